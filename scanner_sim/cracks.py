"""Fissures that open in the ice: gas-dark, thin, branching, from the probes outwards.

They are part of the ice: truth counts what they cut through as frozen.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from scanner_sim.freezing import Cold, frozen_fraction
from scanner_sim.grid import F32, F64, Field, Grid
from scanner_sim.probes import Probe, across

_STEP_MM = 0.6
_FORK_DEG = 38.0
_WAVE_MM = 1.2
"""How far a sheet bends out of its plane."""
_LEAST_WIDTH_MM = 0.9


@dataclass(frozen=True)
class Cracks:
    """Sheets that run along a probe and away from it.

    Attributes
    ----------
    from_s, full_s
        Procedure time of the first crack and of the last growth.
    per_probe
        Sheets that start at each probe; every one forks once.
    width_mm
        Least and greatest width at the probe; a sheet narrows to half of it at its end.
    length_mm
        Least and greatest distance from the probe they come to; the ice's surface ends them.
    hu
        Least and greatest CT number inside.
    """

    from_s: float
    full_s: float
    per_probe: int = 2
    width_mm: tuple[float, float] = (1.2, 2.0)
    length_mm: tuple[float, float] = (9.0, 24.0)
    hu: tuple[float, float] = (-800.0, -400.0)


@dataclass(frozen=True)
class _Sheet:
    """Part of a half-plane that starts at a line along a probe."""

    start: F64
    along: F64
    out: F64
    across: F64
    half_mm: float
    width_mm: float
    first_mm: float
    last_mm: float
    phase: float
    hu: float


class OpenCracks:
    """The cracks of one procedure, drawn once; they widen and lengthen as it goes on."""

    def __init__(self, cracks: Cracks, probes: Sequence[Probe], rng: np.random.Generator) -> None:
        self._cracks = cracks
        sheets: list[_Sheet] = []
        for probe in probes:
            near, far = probe.active_ends
            turn = float(rng.uniform(0, 2 * np.pi))
            for n in range(cracks.per_probe):
                angle = turn + 2 * np.pi * (n + float(rng.uniform(-0.25, 0.25))) / cracks.per_probe
                sheets += _forked(cracks, probe, (near + far) / 2, angle, rng)
        self._sheets = tuple(sheets)

    def on(self, cold: Cold, at_s: float) -> tuple[Field, Field] | None:
        """Share of crack and the HU in it, in the reference position; None before the first."""
        cracks = self._cracks
        if at_s < cracks.from_s:
            return None
        grown = min(0.6 + 0.4 * (at_s - cracks.from_s) / (cracks.full_s - cracks.from_s), 1.0)
        grid = Grid.covering(cold.temperature.grid.box, _STEP_MM)
        share = np.zeros(grid.shape, dtype=np.float32)
        hu = np.full(grid.shape, np.float32(np.mean(cracks.hu)), dtype=np.float32)
        for sheet in self._sheets:
            cover = _cover(sheet, grid, grown)
            hu[cover > share] = sheet.hu
            np.maximum(share, cover, out=share)
        # Only what is frozen can crack; the fissure closes again when it melts.
        share *= np.clip(2 * frozen_fraction(cold.temperature.on(grid)), 0, 1)
        return Field(grid, share, 0.0), Field(grid, hu, float(np.mean(cracks.hu)))


def _forked(
    cracks: Cracks, probe: Probe, middle: F64, angle: float, rng: np.random.Generator
) -> list[_Sheet]:
    """A sheet and the branch that leaves it half-way."""
    first, second = across(probe.outwards)

    def direction(at: float) -> F64:
        return np.asarray(np.cos(at) * first + np.sin(at) * second)

    length = float(rng.uniform(*cracks.length_mm))
    width = float(rng.uniform(*cracks.width_mm))
    hu = float(rng.uniform(*cracks.hu))
    half = float(rng.uniform(0.3, 0.55)) * probe.active_mm
    start = middle + probe.outwards * float(rng.uniform(-0.15, 0.15)) * probe.active_mm
    phase = float(rng.uniform(0, 2 * np.pi))
    fork = angle + np.radians(_FORK_DEG) * (1 if rng.random() < 0.5 else -1)
    at_mm = 0.45 * length
    out, branch = direction(angle), direction(fork)
    return [
        _Sheet(
            start,
            probe.outwards,
            out,
            np.cross(probe.outwards, out),
            half,
            width,
            0.8,
            length,
            phase,
            hu,
        ),
        _Sheet(
            start + at_mm * out,
            probe.outwards,
            branch,
            np.cross(probe.outwards, branch),
            0.7 * half,
            max(0.75 * width, _LEAST_WIDTH_MM),
            0.0,
            0.6 * length,
            phase + 1.0,
            hu,
        ),
    ]


def _cover(sheet: _Sheet, grid: Grid, grown: float) -> F32:
    """Share of each point's surroundings that lies in the sheet."""
    delta = [a - np.float32(c) for a, c in zip(grid.open, sheet.start, strict=True)]

    def onto(direction: F64) -> F32:
        a, b, c = (np.float32(value) for value in direction)
        result: F32 = delta[0] * a + delta[1] * b + delta[2] * c
        return result

    along, out, off = onto(sheet.along), onto(sheet.out), onto(sheet.across)
    bend = np.float32(_WAVE_MM) * np.sin(out / 5 + along / 9 + np.float32(sheet.phase))
    bend -= np.float32(_WAVE_MM * np.sin(sheet.phase))
    last = np.float32(max(sheet.last_mm * grown, sheet.first_mm + 1))
    # The front of the sheet is round: furthest out at its middle.
    front = last * np.sqrt(np.clip(1 - (along / np.float32(sheet.half_mm)) ** 2, 0, 1))
    width = np.float32(sheet.width_mm) * (1 - 0.5 * np.clip(out / last, 0, 1))
    thick = np.clip(0.5 + (width / 2 - np.abs(off - bend)) / np.float32(_STEP_MM), 0, 1)
    length = np.clip(0.5 + (front - out) / np.float32(_STEP_MM), 0, 1)
    begun = np.clip(0.5 + (out - np.float32(sheet.first_mm)) / np.float32(_STEP_MM), 0, 1)
    cover: F32 = thick * length * begun * (front > 0)
    return cover
