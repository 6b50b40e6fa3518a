"""The simulated procedures that times are taken on; their figures are judged elsewhere."""

from dataclasses import replace

from scanner_sim.cases import CASES, Case, Timeline
from scanner_sim.imaging import Protocol

SEED = 1
SLICES = 60
"""Of 512 x 512, 2.5 mm apart: a usual monitoring scan."""

THIN_SLICES = 300
THIN_MM = 0.75


def thick() -> Case:
    """The standard case on 60 slices, with one freeze of three scans."""
    standard = CASES["standard"]
    return replace(
        standard,
        name="latency",
        description=f"the standard tumour on {SLICES} slices, one freeze",
        monitoring=replace(standard.monitoring, slice_count=SLICES),
        timeline=Timeline(interval_s=200.0, thaw_s=0.0, refreeze_s=0.0),
    )


def thin() -> Case:
    """The standard case on 300 thin slices, with one scan late in the freeze."""
    standard = CASES["standard"]
    return replace(
        standard,
        name="thin",
        description=f"the standard tumour on {THIN_SLICES} slices of {THIN_MM} mm, one scan",
        monitoring=Protocol(512, 0.75, THIN_SLICES, THIN_MM, THIN_MM, 12.0),
        timeline=Timeline(freeze_s=465.0, interval_s=900.0, thaw_s=0.0, refreeze_s=0.0),
    )
