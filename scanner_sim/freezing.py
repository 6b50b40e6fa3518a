"""Growth and melting of the ice: Pennes' bio-heat equation with phase change.

Explicit finite differences on the volumetric enthalpy H, from which the temperature follows as a
line of three pieces (frozen, changing, unfrozen). Unlike an apparent heat capacity this conserves
the latent heat whatever the time step.
"""

from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from scanner_sim.grid import F32, Box, Field, Grid
from scanner_sim.probes import DEAD_TIP_MM, Probe
from scanner_sim.variation import TEXTBOOK, Variation

BODY_C: Final = 37.0
LIQUIDUS_C: Final = -1.0
"""Freezing begins here, Micromachines 2025 16(12):1321."""
SOLIDUS_C: Final = -8.0
"""Freezing ends here, the same."""
ICE_C: Final = (LIQUIDUS_C + SOLIDUS_C) / 2
"""Half frozen, -4.5 C: the edge of the ice as truth defines it, half-way down the fall in HU."""

RAMP_S: Final = 60.0
"""Until the shaft is cold."""

BLOOD_J_PER_M3K: Final = 1050.0 * 3617.0
ROUNDING_S: Final = 1e-6
"""Times that differ by less are one: many small steps do not add up to the last bit."""

STABLE: Final = 0.9
"""Share of the longest stable time step that is used."""
REFRESH_STEPS: Final = 4
"""Conductivity, perfusion and the moving window are renewed every so many steps."""
CALM_C: Final = 0.02
"""Tissue cooled by less than this is left out of the sum."""


@dataclass(frozen=True)
class Material:
    """Thermal constants of one tissue, SI units, volumetric where per volume."""

    k_unfrozen: float
    k_frozen: float
    c_unfrozen: float
    c_frozen: float
    latent: float


SOFT_TISSUE: Final = Material(0.5, 2.0, 1000 * 3600.0, 998 * 1800.0, 250e6)
"""Micromachines 2025 16(12):1321."""
FAT: Final = Material(0.21, 0.3, 911 * 2300.0, 911 * 1800.0, 75e6)
"""Perirenal fat; the water in it (``FAT_WATER``) is part of these."""
FAT_WATER: Final = 0.15
"""Share of water-rich tissue in fat."""


@dataclass(frozen=True, eq=False)
class Cold:
    """What the freezing has done so far, fields on one grid.

    Attributes
    ----------
    temperature
        Now, C.
    coldest
        The lowest so far, C.
    frozen_at
        When tissue first was frozen through, seconds since the start of the solver; ``NEVER_S``
        where it has not been. Both are kept at the times ``advance`` was called for.
    """

    temperature: Field
    coldest: Field
    frozen_at: Field


NEVER_S: Final = 1e9


@dataclass(frozen=True, eq=False)
class Tissue:
    """What the solver must know of the anatomy, arrays on one grid indexed [k, j, i].

    Attributes
    ----------
    grid
        Evenly spaced, the same step along each axis.
    water
        Share of water-rich tissue, ``FAT_WATER`` to 1.
    perfusion
        Blood volume per tissue volume and second, 1/s.
    vessel
        True where blood keeps the wall at body temperature.
    """

    grid: Grid
    water: F32
    perfusion: F32
    vessel: NDArray[np.bool_]


class FreezeSolver:
    """The temperature of one box of tissue, stepped forward on demand.

    ``advance`` may be called as often as wanted; the state is the temperature at ``time_s``.
    """

    def __init__(
        self, tissue: Tissue, probes: Sequence[Probe], variation: Variation = TEXTBOOK
    ) -> None:
        self._grid = tissue.grid
        self._probe_c = variation.probe_c
        self._step_m = float(tissue.grid.spacing[0]) * 1e-3
        lean = np.clip((tissue.water - FAT_WATER) / (1 - FAT_WATER), 0, 1).astype(np.float32)

        def mix(fat: float, soft: float) -> F32:
            mixed: F32 = (fat + (soft - fat) * lean).astype(np.float32)
            return mixed

        soft, fat = SOFT_TISSUE, FAT
        self._k_unfrozen = mix(fat.k_unfrozen, soft.k_unfrozen)
        k_frozen = mix(fat.k_frozen, soft.k_frozen) * np.float32(variation.frozen_conductivity)
        self._k_gain = k_frozen - self._k_unfrozen
        latent = mix(fat.latent, soft.latent)
        span = np.float32(LIQUIDUS_C - SOLIDUS_C)
        self._frozen_slope: F32 = np.float32(1) / mix(fat.c_frozen, soft.c_frozen)
        self._change_slope: F32 = (span / latent).astype(np.float32)
        self._unfrozen_slope: F32 = np.float32(1) / mix(fat.c_unfrozen, soft.c_unfrozen)
        self._unfrozen_shift = (LIQUIDUS_C - self._unfrozen_slope * latent).astype(np.float32)
        # The fastest conductor sets the time step.
        worst = float((k_frozen * self._frozen_slope).max())
        self.step_s = STABLE * self._step_m**2 / (6 * worst)

        body = np.float32(BODY_C)
        self._enthalpy: F32 = ((body - self._unfrozen_shift) / self._unfrozen_slope).astype(
            np.float32
        )
        self._temperature: F32 = np.full(tissue.grid.shape, BODY_C, dtype=np.float32)
        self._coldest = self._temperature.copy()
        self._frozen_at = np.full(tissue.grid.shape, NEVER_S, dtype=np.float32)
        supply = tissue.perfusion * (BLOOD_J_PER_M3K * variation.perfusion)
        self._blood: F32 = supply.astype(np.float32)
        self._warm = np.flatnonzero(tissue.vessel)
        self._warm_enthalpy = self._enthalpy.ravel()[self._warm]
        self._cold, self._grip = _sources(tissue.grid, probes, variation)
        self._seeds = np.unravel_index(self._cold, tissue.grid.shape)
        self.time_s = 0.0
        self._on_since_s: float | None = None

    @property
    def temperature(self) -> Field:
        """Temperature in C now, a copy."""
        return Field(self._grid, self._temperature.copy(), BODY_C)

    @property
    def cold(self) -> Cold:
        """All that the freezing has done until now, a copy."""
        return Cold(
            temperature=self.temperature,
            coldest=Field(self._grid, self._coldest.copy(), BODY_C),
            frozen_at=Field(self._grid, self._frozen_at.copy(), NEVER_S),
        )

    def twin(self) -> "FreezeSolver":
        """Another solver in the same state, which goes its own way."""
        other = copy(self)
        for name in ("_enthalpy", "_temperature", "_coldest", "_frozen_at", "_blood"):
            setattr(other, name, getattr(self, name).copy())
        return other

    def switch(self, *, on: bool) -> None:
        """Turn the probes on (cooling) or off (thawing of itself)."""
        if on and self._on_since_s is None:
            self._on_since_s = self.time_s
        elif not on:
            self._on_since_s = None

    def advance(
        self,
        to_s: float,
        watch: Sequence[float] = (),
        seen: Callable[[float], None] | None = None,
    ) -> None:
        """Step forward to a time, seconds since the start of the solver.

        Parameters
        ----------
        watch
            Ascending times on the way; ``seen`` is called with each as the solver passes it, at
            most ``REFRESH_STEPS`` steps late, so that watching does not change the steps.

        Raises
        ------
        ValueError
            The time lies in the past.
        """
        if to_s < self.time_s - ROUNDING_S:
            raise ValueError(f"cannot step back from {self.time_s} s to {to_s} s")
        waiting = [time_s for time_s in watch if self.time_s < time_s <= to_s]
        while to_s - self.time_s > ROUNDING_S:
            count = min(REFRESH_STEPS, int(np.ceil((to_s - self.time_s) / self.step_s)))
            step_s = min(self.step_s, (to_s - self.time_s) / count)
            self._run(count, step_s)
            while waiting and self.time_s > waiting[0] - ROUNDING_S:
                passed_s = waiting.pop(0)
                if seen is not None:
                    seen(passed_s)
        self._note()

    def _note(self) -> None:
        """Keep how cold it has been, and when it froze through."""
        np.minimum(self._coldest, self._temperature, out=self._coldest)
        through = (self._temperature <= SOLIDUS_C) & (self._frozen_at >= NEVER_S)
        self._frozen_at[through] = self.time_s

    def _window(self) -> tuple[slice, slice, slice] | None:
        """The part that is cooled or about to be, with a margin, inside the fixed border."""
        cooled = self._temperature < BODY_C - CALM_C
        bounds = []
        for axis in range(3):
            others = tuple(n for n in range(3) if n != axis)
            inside = np.flatnonzero(cooled.any(axis=others))
            hit = list(inside[[0, -1]]) if inside.size else []
            if self._on_since_s is not None and self._cold.size:
                hit += [self._seeds[axis].min(), self._seeds[axis].max()]
            if not hit:
                return None
            reach = REFRESH_STEPS
            bounds.append(
                slice(
                    max(int(min(hit)) - reach, 0),
                    min(int(max(hit)) + reach + 1, cooled.shape[axis]),
                )
            )
        return bounds[0], bounds[1], bounds[2]

    def _run(self, count: int, step_s: float) -> None:
        """A few steps with conductivity and perfusion held."""
        window = self._window()
        if window is None:
            self.time_s += count * step_s
            return
        temperature = self._temperature[window]
        enthalpy = self._enthalpy[window]
        core = (slice(1, -1),) * 3
        frozen = np.clip(
            (LIQUIDUS_C - temperature) / (LIQUIDUS_C - SOLIDUS_C), 0, 1, dtype=np.float32
        )
        # Perfusion ends for good where tissue has frozen through: its vessels are lost.
        blood = self._blood[window]
        blood[frozen >= 1] = 0
        supply = np.where(frozen[core] > 0, 0, blood[core] * np.float32(step_s))
        k = self._k_unfrozen[window] + self._k_gain[window] * frozen
        k *= np.float32(0.5 * step_s / self._step_m**2)
        faces = [
            k[1:, 1:-1, 1:-1] + k[:-1, 1:-1, 1:-1],
            k[1:-1, 1:, 1:-1] + k[1:-1, :-1, 1:-1],
            k[1:-1, 1:-1, 1:] + k[1:-1, 1:-1, :-1],
        ]
        inner_t, inner_h = temperature[core], enthalpy[core]
        slopes: list[F32] = [
            slope[window][core]
            for slope in (
                self._frozen_slope,
                self._change_slope,
                self._unfrozen_slope,
                self._unfrozen_shift,
            )
        ]
        scratch = np.empty_like(inner_t)
        scratch2 = np.empty_like(inner_t)
        views = [
            (temperature[1:, 1:-1, 1:-1], temperature[:-1, 1:-1, 1:-1]),
            (temperature[1:-1, 1:, 1:-1], temperature[1:-1, :-1, 1:-1]),
            (temperature[1:-1, 1:-1, 1:], temperature[1:-1, 1:-1, :-1]),
        ]
        for _ in range(count):
            for axis, (upper, lower) in enumerate(views):
                flux = upper - lower
                flux *= faces[axis]
                np.subtract(
                    flux[tuple(slice(1, None) if a == axis else slice(None) for a in range(3))],
                    flux[tuple(slice(None, -1) if a == axis else slice(None) for a in range(3))],
                    out=scratch,
                )
                inner_h += scratch
            np.subtract(BODY_C, inner_t, out=scratch)
            scratch *= supply
            inner_h += scratch
            self._draw_heat(step_s)
            _to_temperature(inner_h, slopes, scratch, scratch2, inner_t)
            if self._warm.size:
                self._enthalpy.ravel()[self._warm] = self._warm_enthalpy
                self._temperature.ravel()[self._warm] = BODY_C
            self.time_s += step_s

    def _draw_heat(self, step_s: float) -> None:
        """What the probes take out of the cells round them."""
        if self._on_since_s is None or not self._cold.size:
            return
        ramp = min((self.time_s + step_s - self._on_since_s) / RAMP_S, 1.0)
        probe_c = 20.0 + (self._probe_c - 20.0) * ramp
        flat = self._temperature.ravel()
        pull = np.minimum(probe_c - flat[self._cold], 0)
        self._enthalpy.ravel()[self._cold] += (self._grip * np.float32(step_s)) * pull


def _to_temperature(
    enthalpy: F32, slopes: Sequence[F32], scratch: F32, scratch2: F32, out: F32
) -> None:
    """Temperature of an enthalpy (J/m3 above the solidus), piece by piece.

    The slopes fall from frozen to unfrozen to changing, so the line of three pieces is
    ``min(frozen, max(changing, unfrozen))``.
    """
    frozen, change, unfrozen, shift = slopes
    np.multiply(enthalpy, unfrozen, out=scratch)
    scratch += shift
    np.multiply(enthalpy, change, out=scratch2)
    scratch2 += np.float32(SOLIDUS_C)
    np.maximum(scratch, scratch2, out=scratch)
    np.multiply(enthalpy, frozen, out=scratch2)
    scratch2 += np.float32(SOLIDUS_C)
    np.minimum(scratch, scratch2, out=out)


KERNEL_STEPS: Final = 0.8
"""Width (sigma) of the source across the shaft, in grid steps: narrow enough for the ice, wide
enough that the shaft's place between the nodes does not matter."""
GRIP_W_PER_MK: Final = 14.0
"""Heat taken per metre of shaft and kelvin on a grid of 1.5 mm; set so that a single probe meets
a fine axisymmetric solution with the same constants (29.6, 25.8 and 21.2 mm across at 0 C after
10 min at a perfusion of 0, 0.006 and 0.02 1/s; ours are 29.8, 25.4 and 20.1 mm)."""


def _grip(step_mm: float) -> float:
    """``GRIP_W_PER_MK`` for another grid: a wider source lies further from the shaft's surface, so
    the frozen cylinder in between, ln(r)/(2 pi k), is taken off the resistance."""
    between = np.log(step_mm / 1.5) / (2 * np.pi * SOFT_TISSUE.k_frozen)
    return float(1 / (1 / GRIP_W_PER_MK + between))


def _sources(
    grid: Grid, probes: Sequence[Probe], variation: Variation
) -> tuple[NDArray[np.intp], F32]:
    """Flat indices of the cells that probes cool and how hard, W/m3/K."""
    weight = np.zeros(grid.shape, dtype=np.float64)
    grips = [variation.grip[min(n, len(variation.grip) - 1)] for n in range(len(probes))]
    step = float(grid.spacing[0])
    sigma = KERNEL_STEPS * step
    reach = 3
    for probe, strength in zip(probes, grips, strict=True):
        ends = np.array(probe.active_ends)
        length_mm = float(np.linalg.norm(ends[1] - ends[0]))
        points = probe.points(DEAD_TIP_MM, DEAD_TIP_MM + length_mm, step / 4)
        centre = np.rint((points - grid.origin) / step).astype(int)
        for offset in np.ndindex(*(2 * reach + 1,) * 3):
            cell = centre + np.array(offset) - reach
            inside = ((cell >= 1) & (cell < np.array(grid.shape[::-1]) - 1)).all(axis=1)
            gap = grid.origin + cell[inside] * step - points[inside]
            value = np.exp(-(gap**2).sum(axis=1) / (2 * sigma**2))
            np.add.at(weight, tuple(cell[inside].T[::-1]), value * (strength * step / 4))
    weight[weight < 0.02 * weight.max()] = 0
    cells = np.flatnonzero(weight)
    values = weight.ravel()[cells]
    total_mm = sum(p.active_mm * strength for p, strength in zip(probes, grips, strict=True))
    # Shares of the total length, spread over cells: W/m/K * m / m3.
    grip = _grip(step) * (total_mm * 1e-3) * values / values.sum() / (step * 1e-3) ** 3
    return cells, grip.astype(np.float32)


def box_around(probes: Sequence[Probe], reach_mm: float = 32.0) -> Box:
    """The box the solver needs for these probes."""
    return Box.around(np.array([end for probe in probes for end in probe.active_ends]), reach_mm)


def frozen_fraction(temperature_c: F32) -> F32:
    """Share of the water that is ice, 0 to 1."""
    share: F32 = np.clip((LIQUIDUS_C - temperature_c) / (LIQUIDUS_C - SOLIDUS_C), 0, 1)
    return share
