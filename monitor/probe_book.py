"""The probes of one procedure: their numbers, those found late, and those taken away."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from monitor.analysis import Found
from monitor.decisions import CommandError, Decision
from monitor.probe_messages import (
    Probe,
    ProbeRemoved,
    ProbeRestored,
    Probes,
    RemovedProbe,
    Spacing,
)
from monitor.wire import Point
from segmentation import probes as shafts
from segmentation.assessment import Reference
from segmentation.ground import Ground
from segmentation.layout import Known, Numbered, Placed, tips_gap_mm, zones_gap_mm


class ProbeBook:
    """What was found where.

    A number is given once: it stays with its probe while the planning frame is the same, also after
    a restart, when it is taken back from the journaled measurements.
    """

    def __init__(self) -> None:
        self._planning_uid = ""
        self._found: dict[str, tuple[Probe, ...]] = {}
        self._numbered: dict[int, Probe] = {}
        self._removed: dict[int, tuple[Decision, ProbeRemoved]] = {}
        self._grown: tuple[datetime, Ground, tuple[Placed, ...]] | None = None
        self._main = True

    # What people decide

    def check(self, what: ProbeRemoved | ProbeRestored) -> None:
        """Whether it can be done.

        Raises
        ------
        CommandError
            There is no such probe.
        """
        if isinstance(what, ProbeRestored):
            known = what.number in self._removed
        else:
            known = what.probe in self._all()
        if not known:
            raise CommandError("no_such_probe", "There is no such probe any more.")

    def decide(self, decision: Decision, what: ProbeRemoved | ProbeRestored) -> None:
        """A person has taken a probe away, or put it back."""
        if isinstance(what, ProbeRestored):
            self._removed.pop(what.number, None)
        else:
            self._removed[what.probe.number] = decision, what
            self._planning_uid = self._planning_uid or what.planning_series_uid
            if what.planning_series_uid == self._planning_uid:
                self._numbered[what.probe.number] = what.probe

    @property
    def any_removed(self) -> bool:
        """Whether a person has taken one away."""
        return bool(self._removed)

    def basis(self) -> list[str]:
        """What of it a measurement rests on, for ``Measurement.basis``."""
        return [self._removed[number][0].id for number in sorted(self._removed)]

    # For the analysis

    def known(self, planning_uid: str, scan_uid: str) -> Known:
        """What an analysis is told of a scan's probes."""
        if planning_uid != self._planning_uid:  # lines in another frame say nothing in this one
            self._planning_uid, self._numbered, self._found = planning_uid, {}, {}
        taken = [what for _, what in self._removed.values()]
        here = [what for what in taken if what.planning_series_uid == planning_uid]
        elsewhere = [what.probe for what in taken if what not in here]
        return Known(
            numbered=tuple(Numbered(n, _planned(p)) for n, p in sorted(self._numbered.items())),
            removed=tuple(_planned(what.probe) for what in here),
            removed_here=tuple(
                _shaft(probe.tip_lps_mm, probe.direction, probe.visible_length_mm)
                for probe in elsewhere
                if probe.series_instance_uid == scan_uid
            ),
        )

    def reference(
        self, reference: Reference, planning_uid: str, at: datetime, *, main: bool
    ) -> Reference:
        """What a scan of that time is measured against: with the probes found late by then.

        ``main``: it is the procedure's, and none that a person wants for one scan.
        """
        self._main = main
        if main and self._grown is not None and at >= self._grown[0]:
            _, ground, placed = self._grown
            reference = replace(reference, ground=ground, placed=placed)
        known = self.known(planning_uid, "")
        told = {one.number for one in reference.placed}
        told |= {one.number for one in reference.known.numbered}
        if told.issuperset(one.number for one in known.numbered):
            return reference
        return replace(reference, known=known)

    # What was found

    def take_baseline(self, series_uid: str, reference: Reference) -> None:
        """A reference was prepared: its probes take the place of any earlier baseline's."""
        for uid in [uid for uid, found in self._found.items() if not all(p.late for p in found)]:
            del self._found[uid]
        self._grown = None
        self._take(series_uid, reference.placed, late=False)

    def take_late(self, series_uid: str, at: datetime, against: Reference, found: Found) -> None:
        """A scan was measured; probes that it shows first are kept, with the ground they make."""
        others = {p.number for uid, f in self._found.items() if uid != series_uid for p in f}
        late = [placed for placed in found.late if placed.number not in others]
        if late:
            self._take(series_uid, late, late=True)
            if self._main and found.ground is not None:
                self._grown = at, found.ground, (*against.placed, *found.late)
        elif {p.number for p in self.of(series_uid)} - {p.number for p in against.placed}:
            self.drop(series_uid)  # found before, and no more

    def drop(self, series_uid: str) -> None:
        """The series is no baseline any more, or could not be measured."""
        self._found.pop(series_uid, None)

    def restore(self, probes: Sequence[Probe], planning_uid: str) -> None:
        """Take back what a journaled measurement says was found."""
        if not probes:
            return
        self._planning_uid = planning_uid
        self._found[probes[0].series_instance_uid] = tuple(probes)
        self._numbered |= {probe.number: probe for probe in probes}

    def forget(self) -> None:
        """Everything is measured again: late probes are to be found again, in their turn."""
        self._grown = None

    def of(self, series_uid: str) -> list[Probe]:
        """Those that were first found in a series."""
        return list(self._found.get(series_uid, ()))

    def message(self) -> Probes:
        """As they go over the wire, by number."""
        found = sorted(self._all(), key=lambda probe: probe.number)
        return Probes(
            found=found,
            removed=[
                RemovedProbe(probe=what.probe, by=decision.by, at=decision.at)
                for _, (decision, what) in sorted(self._removed.items())
            ],
            spacings=_spacings(found),
        )

    def _all(self) -> list[Probe]:
        every = [probe for found in self._found.values() for probe in found]
        return [probe for probe in every if probe.number not in self._removed]

    def _take(self, series_uid: str, placed: Iterable[Placed], *, late: bool) -> None:
        found = tuple(_message(one, series_uid, late=late) for one in placed)
        self._found[series_uid] = found
        self._numbered |= {probe.number: probe for probe in found}


def _spacings(found: Sequence[Probe]) -> list[Spacing]:
    gaps = {}
    for one, other in combinations(found, 2):
        first, second = _planned(one), _planned(other)
        gaps[one.number, other.number] = zones_gap_mm(first, second), tips_gap_mm(first, second)
    nearest = {
        min((gaps[pair][0], pair) for pair in gaps if probe.number in pair)[1]
        for probe in found
        if gaps
    }
    return [
        Spacing(numbers=pair, zones_mm=zones, tips_mm=tips, neighbours=pair in nearest)
        for pair, (zones, tips) in gaps.items()
    ]


def _message(placed: Placed, series_uid: str, *, late: bool) -> Probe:
    return Probe(
        id=f"probe-{placed.number}",
        number=placed.number,
        series_instance_uid=series_uid,
        late=late,
        tip_lps_mm=_point(placed.probe.tip_lps_mm),
        direction=_point(placed.probe.direction),
        planning_tip_lps_mm=_point(placed.planned.tip_lps_mm),
        planning_direction=_point(placed.planned.direction),
        visible_length_mm=placed.probe.length_mm,
        tumour_distance_mm=placed.tumour_distance_mm,
        inside_tumour_mm=placed.inside_mm,
    )


def _planned(probe: Probe) -> shafts.Probe:
    return _shaft(probe.planning_tip_lps_mm, probe.planning_direction, probe.visible_length_mm)


def _shaft(tip: Point, direction: Point, length_mm: float) -> shafts.Probe:
    return shafts.Probe(np.array(tip), np.array(direction), length_mm)


def _point(vector: NDArray[np.float64]) -> Point:
    x, y, z = (float(v) for v in vector)
    return x, y, z
