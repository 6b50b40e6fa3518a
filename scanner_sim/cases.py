"""The named cases: who the patient is, where the tumour sits, how it is scanned and frozen."""

from dataclasses import replace
from types import MappingProxyType
from typing import Final

from scanner_sim.body import Build
from scanner_sim.case import Case, Placement, Timeline
from scanner_sim.hard_cases import HARD_CASES
from scanner_sim.imaging import Protocol
from scanner_sim.phantom import TumourSite

__all__ = ["CASES", "Case", "Placement", "Timeline"]

_PLANNING = Protocol(512, 0.78, 52, 3.0, 3.0, 9.0)
_MONITORING = Protocol(512, 0.75, 50, 2.5, 2.5, 12.0)

_STANDARD = Case(
    name="standard",
    description="28 mm tumour of the left lower pole, three probes, supine, 2.5 mm slices",
    site=TumourSite(6, 2, -28.5, 28),
    placement=Placement(3, 8.5),
    planning=_PLANNING,
    monitoring=_MONITORING,
)

_CASES: Final = (
    _STANDARD,
    replace(
        _STANDARD,
        name="exophytic",
        description="26 mm tumour, half of it in the perirenal fat, where ice hardly shows",
        site=TumourSite(18, -16, -20, 26),
        localizer=True,
    ),
    replace(
        _STANDARD,
        name="central",
        description="24 mm tumour against the renal sinus, vessels warm its deep side",
        site=TumourSite(2, -2, -17, 24),
        placement=Placement(3, 8.0),
    ),
    replace(
        _STANDARD,
        name="prone",
        description="30 mm tumour of the right kidney, patient prone, probes from the back",
        site=TumourSite(6, 8, -26, 30),
        side=-1,
        position="HFP",
        signed=False,
        localizer=True,
    ),
    replace(
        _STANDARD,
        name="thick-slices",
        description="the standard tumour on 5 mm slices",
        monitoring=Protocol(512, 0.75, 40, 5.0, 5.0, 11.0),
        planning=Protocol(512, 0.78, 40, 5.0, 5.0, 9.0),
        kernel="STANDARD",
    ),
    replace(
        _STANDARD,
        name="five-probes",
        description="40 mm tumour of the upper pole, five probes and their streaks",
        site=TumourSite(8, 2, 30, 40),
        placement=Placement(5, 11.5, 45.0, 2.0, active_mm=36.0),
        monitoring=Protocol(512, 0.78, 56, 3.0, 3.0, 12.0),
        signed=False,
    ),
    replace(
        _STANDARD,
        name="two-probes",
        description="18 mm tumour, two probes, thin slices of 2 mm",
        site=TumourSite(12, -4, 16, 18),
        placement=Placement(2, 6.5),
        monitoring=Protocol(512, 0.7, 60, 2.0, 2.0, 12.0),
    ),
    replace(
        _STANDARD,
        name="noisy",
        description="large patient, twice the noise, 3 mm slices, deep breathing",
        build=Build(200.0, 142.0, 38.0),
        monitoring=Protocol(512, 0.88, 45, 3.0, 3.0, 21.0),
        planning=Protocol(512, 0.9, 45, 3.0, 3.0, 16.0),
        breathing_mm=(5.0, 8.0),
        side=-1,
    ),
    replace(
        _STANDARD,
        name="low-drop",
        description="ice that is only 65 HU darker than tissue",
        drop_hu=65.0,
    ),
    replace(
        _STANDARD,
        name="real-ct-left",
        description="ice painted into a real CT (--anatomy), left kidney",
        source="ct",
        own_chance=True,
        site=TumourSite(3, 6, 2, 24),
        monitoring=Protocol(512, 0.75, 48, 3.0, 3.0, 10.0),
    ),
    replace(
        _STANDARD,
        name="real-ct-right",
        description="ice painted into a real CT (--anatomy), right kidney, 5 mm slices",
        source="ct",
        own_chance=True,
        side=-1,
        site=TumourSite(-6, 0, 12, 26),
        monitoring=Protocol(512, 0.75, 40, 5.0, 5.0, 10.0),
        signed=False,
    ),
    *HARD_CASES,
    replace(
        _STANDARD,
        name="quick",
        description="small and short, for the project's own tests",
        site=TumourSite(7, 2, -31, 20),
        placement=Placement(2, 6.5),
        planning=Protocol(128, 1.5, 24, 4.0, 4.0, 9.0),
        monitoring=Protocol(128, 1.5, 24, 4.0, 4.0, 10.0),
        physics_mm=2.5,
        resolution_mm=1.5,
        timeline=Timeline(
            structures_s=60,
            needles_s=120,
            freeze_from_s=180,
            freeze_s=480,
            thaw_s=0,
            refreeze_s=0,
            interval_s=240,
        ),
        narrow_view=True,
        physics_varies=False,
        for_tests=True,
    ),
)

CASES: Final = MappingProxyType({case.name: case for case in _CASES})
"""All cases by name; ``standard`` is the demo's."""
