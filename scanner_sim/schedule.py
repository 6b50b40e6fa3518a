"""When scans are taken and when freezing begins and ends."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from scanner_sim.case import Timeline

PhaseWord = Literal["freeze", "thaw", "idle"]

LAST_SCAN_BEFORE_END_S = 15.0
"""The last scan of a phase is taken this long before the phase ends."""


@dataclass(frozen=True)
class PhaseEvent:
    """The radiographer presses freeze, thaw or idle."""

    at_s: float
    phase: PhaseWord


@dataclass(frozen=True)
class DueScan:
    """A monitoring scan that is due."""

    at_s: float
    label: str
    phase: PhaseWord


def schedule(timeline: Timeline) -> tuple[tuple[DueScan, ...], tuple[PhaseEvent, ...]]:
    """Monitoring scans and phases, each in order of time."""
    scans: list[DueScan] = []
    phases: list[PhaseEvent] = []
    begin = timeline.freeze_from_s
    parts: tuple[tuple[str, PhaseWord, float, float], ...] = (
        ("freeze 1", "freeze", timeline.freeze_s, timeline.interval_s),
        ("thaw", "thaw", timeline.thaw_s, timeline.thaw_interval_s),
        ("freeze 2", "freeze", timeline.refreeze_s, timeline.interval_s),
    )
    for label, phase, length_s, interval_s in parts:
        if length_s <= 0:
            continue
        phases.append(PhaseEvent(begin, phase))
        last = length_s - LAST_SCAN_BEFORE_END_S
        times = [*np.arange(interval_s, last - interval_s / 2, interval_s), last]
        scans += [DueScan(begin + t, f"{label} {t / 60:.1f} min", phase) for t in map(float, times)]
        begin += length_s
    phases.append(PhaseEvent(begin, "idle"))
    return tuple(scans), tuple(phases)
