"""When tissue freezes and when it melts: Pennes' bio-heat equation with phase change.

Finite volumes on a coarse grid, stepped by a stabilised explicit method, with the enthalpy as the
state, so that latent heat is conserved whatever the time step. The answer is kept as times, not
temperatures: ice only grows while the probes are on and only shrinks once they are off, so that one
number a cell, when it freezes or melts, holds the whole course.
"""

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from segmentation.probes import Probe
from segmentation.volume import Volume
from segmentation.watching import Step, unwatched

BODY_C = 37.0
LIQUIDUS_C = -1.0
SOLIDUS_C = -8.0
"""Tissue freezes over this range (Micromachines 2025 16(12):1321; domain facts, 6.2)."""

ICE_C = (LIQUIDUS_C + SOLIDUS_C) / 2
"""Half frozen: what CT shows as the edge, half-way down the fall in HU."""

LETHAL_C = -20.0
"""Usual threshold for complete necrosis; in pig kidney -16.1 C was enough (domain facts, 1.2)."""

SHAFT_C = -140.0
"""Argon probe (fat phantom, domain facts, 6.3)."""

SHAFT_RADIUS_MM = 0.75
RAMP_S = 60.0
"""From switching on until the shaft is cold."""

BLOOD_J_PER_M3K = 1050.0 * 3617.0
STABLE = 0.95
"""Share of the longest time step that is stable for the plain explicit method."""

LOOK_S = 10.0
"""One step, and between two looks at which cells have frozen; in between it is linear. Against
steps of 1 s half of the ice's edge is within 0.05 mm, nine tenths within 0.16 mm."""

LEAST_SLOPE_S_PER_MM = 2.0
BEYOND_S_PER_C = 25.0
ALREADY = 4.0
"""Cells that never pass a temperature are given times after the end, later by the first for each
degree, and those past it from the start times before, by a part of it: time has to go on rising
outwards, about as steeply as near the last ice."""

F32 = NDArray[np.float32]


@dataclass(frozen=True)
class _Material:
    """SI units, per volume where it matters."""

    k_unfrozen: float
    k_frozen: float
    c_unfrozen: float
    c_frozen: float
    latent: float


WATER_RICH = _Material(0.5, 2.0, 3.6e6, 1.8e6, 250e6)
FAT = _Material(0.19, 0.27, 2.1e6, 1.65e6, 75e6)
"""Both from domain facts, 6.2; fat's latent heat is given there as 40 to 90 MJ/m3. Fat conducts a
tenth less here than it says: on cells of 2.5 mm ice in fat is then as far as on fine ones."""


@dataclass(frozen=True, eq=False)
class Tissue:
    """What conducts and what warms, on one isotropic grid; arrays [k, j, i].

    Attributes
    ----------
    grid
        Its array is not used.
    water
        Share of water-rich tissue, the rest is fat.
    perfusion_per_s
        Volume of blood per volume of tissue and second.
    warm
        Where large vessels keep body temperature.
    """

    grid: Volume
    water: F32
    perfusion_per_s: F32
    warm: NDArray[np.bool_]


Stage = Literal["freeze", "thaw", "refreeze"]


@dataclass(frozen=True, eq=False)
class Front:
    """Where an isotherm is at any time of a stage; arrays [k, j, i] on the tissue's grid.

    Attributes
    ----------
    stage
        First freeze, the thaw after it, or the freeze after that.
    stop_s
        Seconds of the first freeze; 0 within it.
    times_s
        When it passes a cell, counted from the start of the stage. Beyond what was reached times go
        on in proportion to the temperature.
    slope_s_per_mm
        How steeply that time changes from cell to cell.
    """

    stage: Stage
    stop_s: float
    times_s: F32
    slope_s_per_mm: F32


@dataclass(frozen=True, eq=False)
class Course:
    """A freeze, thaws from several times of it, and a freeze after one of these.

    Attributes
    ----------
    ice
        The surface at which half of the water is frozen, for each stage and stop.
    lethal
        The surface at -20 C, for each of ``ice`` that freezes; None for a thaw.
    """

    ice: tuple[Front, ...]
    lethal: tuple[Front | None, ...]


@dataclass(frozen=True)
class Protocol:
    """Seconds: of the first freeze at most, when it may stop, of each thaw, and of a refreeze.

    The refreeze follows ``thaw_s * refreeze_after`` of the thaw from the stop named.
    """

    freeze_s: float
    stops_s: tuple[float, ...]
    thaw_s: float
    refreeze_stop_s: float
    refreeze_after_s: float
    refreeze_s: float


def run(
    tissue: Tissue, probes: Sequence[Probe], protocol: Protocol, step: Step = unwatched
) -> Course:
    """Simulate the protocol's branches, each from a copy of the state it starts from.

    ``step`` is called every ``LOOK_S`` of simulated time.
    """
    state = _State(tissue, probes, step)
    ice, lethal = _Crossing(ICE_C, state), _Crossing(LETHAL_C, state)
    thaws: list[Front] = []
    again: tuple[Front, Front] | None = None
    for stop_s in (*protocol.stops_s, protocol.freeze_s):
        _advance(state, stop_s, (ice, lethal), on=True)
        if stop_s in protocol.stops_s:
            front, branch = _thaw(state, protocol, stop_s)
            thaws.append(front)
            again = again or branch
    fronts = [ice.front(state, "freeze", 0.0), *thaws]
    colder: list[Front | None] = [lethal.front(state, "freeze", 0.0), *(None for _ in thaws)]
    if again is not None:
        fronts.append(again[0])
        colder.append(again[1])
    return Course(tuple(fronts), tuple(colder))


def _advance(
    state: "_State", until_s: float, crossings: Sequence["_Crossing"], *, on: bool
) -> None:
    while state.time_s < until_s - 1e-6:
        state.advance(min(LOOK_S, until_s - state.time_s), on=on)
        for crossing in crossings:
            crossing.look(state)


def _thaw(
    frozen: "_State", protocol: Protocol, stop_s: float
) -> tuple[Front, tuple[Front, Front] | None]:
    """The thaw from a state, and the freeze after it where the protocol has one there."""
    state = frozen.restarted()
    melted = _Crossing(ICE_C, state, falling=False)
    again = None
    if stop_s == protocol.refreeze_stop_s:
        _advance(state, protocol.refreeze_after_s, (melted,), on=False)
        again = _refreeze(state, protocol, stop_s)
    _advance(state, protocol.thaw_s, (melted,), on=False)
    return melted.front(state, "thaw", stop_s), again


def _refreeze(thawed: "_State", protocol: Protocol, stop_s: float) -> tuple[Front, Front]:
    state = thawed.restarted()
    ice, lethal = _Crossing(ICE_C, state), _Crossing(LETHAL_C, state)
    _advance(state, protocol.refreeze_s, (ice, lethal), on=True)
    return ice.front(state, "refreeze", stop_s), lethal.front(state, "refreeze", stop_s)


class _Crossing:
    """When each cell passes a temperature, in the direction of the stage."""

    def __init__(self, level_c: float, state: "_State", *, falling: bool = True) -> None:
        self._level = np.float32(level_c)
        self._sign = np.float32(1 if falling else -1)
        self._cell_mm = state.cell_mm
        self._before = state.temperature.copy()
        self._before_s = state.time_s
        self._first = state.temperature.copy()
        self._times_s = np.full(self._before.shape, np.inf, dtype=np.float32)

    def look(self, state: "_State") -> None:
        """Note the cells that have passed it since the last look."""
        now = state.temperature
        new = ~np.isfinite(self._times_s) & (self._sign * (now - self._level) <= 0)
        if new.any():
            a, b = self._before[new], now[new]
            share = np.clip((a - self._level) / np.where(a == b, 1, a - b), 0, 1)
            self._times_s[new] = self._before_s + share * np.float32(state.time_s - self._before_s)
        np.copyto(self._before, now)
        self._before_s = state.time_s

    def front(self, state: "_State", stage: Stage, stop_s: float) -> Front:
        """What was seen, gone on with where the level was never or always passed."""
        times = self._times_s.copy()
        never = ~np.isfinite(times)
        gap = self._sign * (state.temperature[never] - self._level)
        times[never] = np.float32(state.time_s) + np.float32(BEYOND_S_PER_C) * gap
        already = self._sign * (self._first - self._level) <= 0
        before = self._sign * (self._first[already] - self._level)
        times[already] = np.float32(BEYOND_S_PER_C / ALREADY) * before
        steps = np.gradient(times, self._cell_mm)
        slope = np.sqrt(steps[0] ** 2 + steps[1] ** 2 + steps[2] ** 2)
        slope = np.maximum(slope, LEAST_SLOPE_S_PER_MM).astype(np.float32)
        return Front(stage, stop_s, times, slope)


class _State:
    """Enthalpy and temperature of all cells at one time."""

    def __init__(self, tissue: Tissue, probes: Sequence[Probe], step: Step) -> None:
        self._moved_on = step
        water = np.clip(tissue.water, 0, 1).astype(np.float32)

        def mix(name: str) -> F32:
            fat, soft = getattr(FAT, name), getattr(WATER_RICH, name)
            return np.asarray(fat + (soft - fat) * water, dtype=np.float32)

        self.cell_mm = float(tissue.grid.spacing_mm[0])
        self._cell_m = self.cell_mm * 1e-3
        k_frozen = mix("k_frozen")
        self._k = mix("k_unfrozen")
        self._k_gain = k_frozen - self._k
        frozen, unfrozen, latent = mix("c_frozen"), mix("c_unfrozen"), mix("latent")
        span = np.float32(LIQUIDUS_C - SOLIDUS_C)
        self._slopes = 1 / frozen, span / latent, 1 / unfrozen
        self._offset = LIQUIDUS_C - latent / unfrozen
        self._blood = (tissue.perfusion_per_s * BLOOD_J_PER_M3K).astype(np.float32)
        self._warm = np.flatnonzero(tissue.warm)
        self._cells, self._grip = _sources(tissue.grid, probes)
        self._step_s = STABLE * self._cell_m**2 / (6 * float((k_frozen / frozen).max()))
        shape = tissue.grid.array.shape
        self.temperature: F32 = np.full(shape, BODY_C, dtype=np.float32)
        self._enthalpy: F32 = ((BODY_C - self._offset) * unfrozen).astype(np.float32)
        self._warm_enthalpy = self._enthalpy.ravel()[self._warm]
        self.time_s = 0.0

    def restarted(self) -> "_State":
        """A copy at the start of a stage."""
        other = copy(self)
        for name in ("temperature", "_enthalpy", "_blood"):
            setattr(other, name, getattr(self, name).copy())
        other.time_s = 0.0
        return other

    def advance(self, seconds: float, *, on: bool) -> None:
        """One step of the Runge-Kutta-Legendre method of first order; see ``_stages``.

        Conductivity and perfusion are held for the whole of it.
        """
        self._moved_on()
        count = _stages(seconds / self._step_s)
        share = 2 / (count * (count + 1))
        part_s = np.float32(share * seconds)
        t = self.temperature
        frozen = np.clip((LIQUIDUS_C - t) / (LIQUIDUS_C - SOLIDUS_C), 0, 1).astype(np.float32)
        # Vessels are lost where tissue has frozen through.
        self._blood[frozen >= 1] = 0
        supply = np.where(frozen > 0, 0, self._blood * part_s).astype(np.float32)
        k = (self._k + self._k_gain * frozen) * np.float32(0.5 / self._cell_m**2) * part_s
        faces = [_flat(k, axis) for axis in range(3)]
        flow, before, now = np.empty_like(t), np.empty_like(t), self._enthalpy
        gained = np.empty_like(t)
        for n in range(1, count + 1):
            np.subtract(np.float32(BODY_C), t, out=gained)
            gained *= supply
            for face, away in faces:
                through = flow.ravel()[:-away]
                np.subtract(t.ravel()[away:], t.ravel()[:-away], out=through)
                through *= face
                gained.ravel()[:-away] += through
                gained.ravel()[away:] -= through
            if on:
                at_s = self.time_s + 0.5 * share * n * (n - 1) * seconds
                shaft_c = 20 + (SHAFT_C - 20) * min(at_s / RAMP_S, 1.0)
                pull = np.minimum(np.float32(shaft_c) - t.ravel()[self._cells], 0)
                gained.ravel()[self._cells] += self._grip * part_s * pull
            gained += now
            if n > 1:
                gained *= np.float32((2 * n - 1) / n)
                before *= np.float32((1 - n) / n)
                gained += before
            before, now, gained = now, gained, before
            self._warm_up(now, flow)
        self._enthalpy = now
        self.time_s += seconds

    def _warm_up(self, h: F32, spare: F32) -> None:
        """The temperature that belongs to an enthalpy; vessels stay as they are."""
        t = self.temperature
        # min(frozen, max(changing, unfrozen)): the slopes fall from frozen to unfrozen to
        # changing, so that the line of three pieces is this.
        np.multiply(h, self._slopes[2], out=t)
        t += self._offset
        np.multiply(h, self._slopes[1], out=spare)
        spare += np.float32(SOLIDUS_C)
        np.maximum(t, spare, out=t)
        np.multiply(h, self._slopes[0], out=spare)
        spare += np.float32(SOLIDUS_C)
        np.minimum(t, spare, out=t)
        if len(self._warm):
            t.ravel()[self._warm] = BODY_C
            h.ravel()[self._warm] = self._warm_enthalpy


def _stages(steps: float) -> int:
    """Stages of a Runge-Kutta-Legendre step as long as so many of the longest explicit ones.

    s stages are stable up to (s^2 + s) / 2 of them, and keep what is monotone so (Meyer, Balsara
    and Aslam 2014, J. Comput. Phys. 257:594, section 2).
    """
    return max(1, int(np.ceil((np.sqrt(1 + 8 * steps) - 1) / 2)))


def _flat(k: F32, axis: int) -> tuple[F32, int]:
    """What passes between each cell and the next along an axis, and how far off that one is.

    All cells in one row, which is much quicker to go through than rows of thirty; nothing passes
    between the last of a row and the first of the next.
    """
    face = np.zeros_like(k)
    before = tuple(slice(None, -1) if a == axis else slice(None) for a in range(3))
    after = tuple(slice(1, None) if a == axis else slice(None) for a in range(3))
    face[before] = k[after] + k[before]
    away = int(np.prod(k.shape[axis + 1 :]))
    return face.ravel()[:-away], away


SPREAD_CELLS = 0.7
"""Width (sigma) of a shaft across, in cells: its place between the cells then hardly matters."""

SOURCE_CELLS = 1.1
"""Radius of a rod that would take heat as such a smeared source does, in cells; set so that a
single probe meets a fine axisymmetric solution (domain facts, 6.4: 17.7, 24.1 and 29.6 mm across at
0 C after 3, 6 and 10 min without perfusion; here 18.0, 24.6 and 29.6)."""


def _sources(grid: Volume, probes: Sequence[Probe]) -> tuple[NDArray[np.intp], F32]:
    """Flat indices of cells that probes cool and how hard, W/m3/K."""
    cell_mm = float(grid.spacing_mm[0])
    weight = np.zeros(grid.array.shape)
    size = np.array(weight.shape[::-1])
    total_mm = 0.0
    for probe in probes:
        near, far = probe.active_ends_lps_mm
        length = float(np.linalg.norm(far - near))
        total_mm += length
        count = int(np.ceil(length / (cell_mm / 4)))
        along = (np.arange(count) + 0.5) / count
        index = grid.to_index(near + along[:, None] * (far - near))
        base = np.rint(index).astype(int)
        for offset in np.ndindex(5, 5, 5):
            cell = base + np.array(offset) - 2
            kept = ((cell >= 0) & (cell < size)).all(axis=1)
            gap = ((cell[kept] - index[kept]) ** 2).sum(axis=1)
            i, j, k = cell[kept].T
            np.add.at(weight, (k, j, i), length / count * np.exp(-gap / (2 * SPREAD_CELLS**2)))
    weight[weight < 0.02 * weight.max()] = 0
    cells = np.flatnonzero(weight)
    share = weight.ravel()[cells] / weight.sum()
    # From the smeared source inwards to the shaft lies a frozen cylinder: its resistance is
    # ln(r) / (2 pi k).
    between = np.log(SOURCE_CELLS * cell_mm / SHAFT_RADIUS_MM) / (2 * np.pi * WATER_RICH.k_frozen)
    grip = total_mm * 1e-3 * share / between / (cell_mm * 1e-3) ** 3
    return cells, grip.astype(np.float32)
