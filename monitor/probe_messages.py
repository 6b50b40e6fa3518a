"""Cryoprobes on the wire, and what people decide about them."""

from typing import Literal

from pydantic import AwareDatetime, Field

from monitor.wire import Point, Wire
from segmentation.layout import USUAL_SPACING_MM

Flat = tuple[float, float]
"""A point of a picture, mm."""


class Probe(Wire):
    """One straight probe that was found.

    ``number`` (and ``id``) stays through the procedure. ``tip_lps_mm`` and ``direction`` (a unit
    vector up the shaft) are in the frame of the series it was found in; ``planning_…`` are the same
    in the planning scan's frame. ``visible_length_mm`` is what shows of the shaft within 60 mm of
    the tumour. ``tumour_distance_mm`` is the least distance of the freezing zone's axis to the
    tumour's surface, negative by the greatest depth where it passes inside; ``inside_tumour_mm`` is
    the shaft's length inside. ``late``: the baseline did not show it.
    """

    id: str
    number: int = Field(ge=1)
    series_instance_uid: str
    late: bool
    tip_lps_mm: Point
    direction: Point
    planning_tip_lps_mm: Point
    planning_direction: Point
    visible_length_mm: float
    tumour_distance_mm: float
    inside_tumour_mm: float


class RemovedProbe(Wire):
    """One that a person has taken away as false: nothing is computed with it."""

    probe: Probe
    by: str
    at: AwareDatetime


class Spacing(Wire):
    """Distance between two probes: least between the axes of the freezing zones, and of the tips.

    ``neighbours``: for one of the two the other is the nearest.
    """

    numbers: tuple[int, int]
    zones_mm: float
    tips_mm: float
    neighbours: bool


class Probes(Wire):
    """All probes of a procedure. ``usual_spacing_mm``: what spacing is advised, low and high."""

    found: list[Probe] = Field(default_factory=list)
    removed: list[RemovedProbe] = Field(default_factory=list)
    spacings: list[Spacing] = Field(default_factory=list)
    usual_spacing_mm: tuple[float, float] = USUAL_SPACING_MM


class ProbeRemoved(Wire):
    """A person says that what was found is no probe.

    It is known again by where it lies: in the planning scan's frame, and in its own scan's.
    """

    kind: Literal["probe_removed"] = "probe_removed"
    planning_series_uid: str
    probe: Probe


class ProbeRestored(Wire):
    """It is one after all."""

    kind: Literal["probe_restored"] = "probe_restored"
    number: int


class ProbeLine(Wire):
    """A probe's shaft in a view: projected onto it, from tip to where it ceases to show.

    ``near`` is the part that lies within 3 mm of the plane; None where none does.
    """

    number: int
    line: tuple[Flat, Flat]
    near: tuple[Flat, Flat] | None
    tip_near: bool
