"""The hard named cases: each has one thing that makes ice hard to see, in its own anatomy.

``upper-pole`` and ``real-ct-exophytic`` have none of the features; they are held out as they are.
"""

from typing import Final

from scanner_sim.body import Build
from scanner_sim.case import Case, Placement, Timeline
from scanner_sim.contrast import Enhancement
from scanner_sim.cracks import Cracks
from scanner_sim.features import Features
from scanner_sim.imaging import Protocol
from scanner_sim.metal_reduction import MetalReduction
from scanner_sim.neighbours import BowelLoop, Layer, Pocket
from scanner_sim.phantom import Dose, TumourSite
from scanner_sim.thawed import ThawedRim

_SHORT: Final = Timeline(thaw_s=360.0, refreeze_s=0.0, thaw_interval_s=180.0)
"""One freeze of 10 min with four scans, one thaw of 6 min with two."""

_CYST = Case(
    name="cyst",
    description="simple cyst of 20 mm against a 24 mm tumour of the right kidney, partly frozen",
    site=TumourSite(11, 6, 16, 24),
    side=-1,
    placement=Placement(3, 7.5),
    build=Build(160.0, 110.0, 15.0),
    planning=Protocol(512, 0.76, 48, 3.0, 3.0, 9.0),
    monitoring=Protocol(512, 0.72, 44, 3.0, 3.0, 12.0),
    own_chance=True,
    drop_hu=80.0,
    timeline=_SHORT,
    features=Features(neighbours=(Pocket((7.0, -1.0, -19.5), (10.5, 10.0, 10.0), 8.0),)),
)

_URINE = Case(
    name="urine",
    description="central 22 mm tumour beside a dilated renal pelvis full of urine",
    site=TumourSite(5, 4, 13, 22),
    placement=Placement(3, 7.0, 40.0),
    build=Build(172.0, 120.0, 20.0),
    planning=Protocol(512, 0.8, 52, 3.0, 3.0, 10.0),
    monitoring=Protocol(512, 0.76, 52, 2.5, 2.5, 13.0),
    own_chance=True,
    drop_hu=75.0,
    timeline=_SHORT,
    features=Features(
        neighbours=(
            Pocket((-19.0, -1.0, -9.0), (13.0, 11.0, 16.0), 6.0),
            Pocket((-11.0, -2.0, 6.0), (9.0, 9.0, 10.0), 6.0),
            Pocket((-4.0, -3.0, -18.0), (9.0, 9.0, 8.0), 6.0),
            Pocket((-10.0, -3.0, -35.0), (7.0, 7.0, 8.0), 6.0),
        )
    ),
)

_HYDRODISSECTION = Case(
    name="hydrodissection",
    description="saline between a 26 mm exophytic tumour and the wall, growing, partly frozen",
    site=TumourSite(19, 7, -14, 26),
    side=-1,
    placement=Placement(3, 8.0, 60.0),
    build=Build(175.0, 122.0, 24.0),
    planning=Protocol(512, 0.8, 42, 4.0, 4.0, 9.0),
    monitoring=Protocol(512, 0.78, 38, 4.0, 4.0, 11.0),
    own_chance=True,
    drop_hu=90.0,
    signed=False,
    timeline=_SHORT,
    features=Features(
        neighbours=(
            Layer((4.0, 2.0, 4.0), (40.0, 40.0, 42.0), 13.0, 8.0, begins_s=320.0, full_s=660.0),
        )
    ),
)

_BOWEL_GAS = Case(
    name="bowel-gas",
    description="a loop of bowel 10 mm from a 26 mm exophytic tumour, its gas never the same",
    site=TumourSite(15, -19, 9, 26),
    placement=Placement(3, 8.0),
    build=Build(165.0, 114.0, 16.0),
    planning=Protocol(512, 0.78, 52, 3.0, 3.0, 9.0),
    monitoring=Protocol(512, 0.72, 60, 2.0, 2.0, 12.0),
    own_chance=True,
    drop_hu=88.0,
    timeline=_SHORT,
    features=Features(neighbours=(BowelLoop((-14.0, -30.5, 2.0), (14.0, 12.5, 21.0)),)),
)

_HAEMATOMA = Case(
    name="haematoma",
    description="blood growing in the perirenal fat after the needles, patient prone",
    site=TumourSite(15, 11, -20, 25),
    position="HFP",
    placement=Placement(3, 8.0, 20.0),
    build=Build(162.0, 116.0, 19.0),
    planning=Protocol(512, 0.78, 50, 3.0, 3.0, 10.0),
    monitoring=Protocol(512, 0.74, 46, 3.0, 3.0, 14.0),
    own_chance=True,
    drop_hu=82.0,
    timeline=_SHORT,
    features=Features(
        neighbours=(
            Layer(
                (2.0, 2.0, 8.0),
                (42.0, 42.0, 46.0),
                15.0,
                58.0,
                begins_s=320.0,
                full_s=900.0,
                mottle_hu=5.0,
            ),
        )
    ),
)

_EXCRETED = Case(
    name="excreted-contrast",
    description="contrast given at planning fills pelvis and calyces, densest in mid-freeze",
    site=TumourSite(4, -2, 19, 23),
    side=-1,
    placement=Placement(3, 7.5, 70.0),
    build=Build(170.0, 116.0, 22.0),
    planning=Protocol(512, 0.8, 48, 3.0, 3.0, 9.0),
    monitoring=Protocol(512, 0.77, 52, 2.5, 2.5, 12.0),
    own_chance=True,
    drop_hu=78.0,
    timeline=_SHORT,
    features=Features(
        contrast=(
            Enhancement(
                Dose(kidney_hu=70.0, tumour_hu=35.0, vessels_hu=70.0, organs_hu=35.0),
                ((0.0, 1.0), (300.0, 0.5), (900.0, 0.3), (1800.0, 0.15)),
            ),
            Enhancement(
                Dose(urine_hu=640.0),
                ((0.0, 0.4), (300.0, 0.7), (700.0, 1.0), (1000.0, 0.75), (1800.0, 0.35)),
            ),
        )
    ),
)

_CONTRAST_BETWEEN = Case(
    name="contrast-between-scans",
    description="contrast given in mid-freeze: unfrozen tissue enhances, what was frozen does not",
    site=TumourSite(10, 7, -22, 27),
    placement=Placement(3, 8.0, 110.0),
    build=Build(164.0, 120.0, 17.0),
    planning=Protocol(512, 0.78, 50, 3.0, 3.0, 9.0),
    monitoring=Protocol(512, 0.75, 44, 3.0, 3.0, 11.0),
    own_chance=True,
    timeline=_SHORT,
    features=Features(
        contrast=(
            Enhancement(
                Dose(85.0, 45.0, 90.0, 40.0, 15.0),
                ((690.0, 0.0), (740.0, 1.0), (960.0, 0.85), (1305.0, 0.6)),
                given_s=690.0,
            ),
        )
    ),
)

_ENHANCED_PLANNING = Case(
    name="enhanced-planning",
    description="planning scan in the nephrographic phase, all others without contrast",
    site=TumourSite(9, -6, -25, 24),
    side=-1,
    placement=Placement(3, 7.5),
    build=Build(158.0, 112.0, 14.0),
    planning=Protocol(512, 0.74, 34, 5.0, 5.0, 9.0),
    monitoring=Protocol(512, 0.72, 38, 4.0, 4.0, 12.0),
    own_chance=True,
    drop_hu=70.0,
    timeline=_SHORT,
    features=Features(
        contrast=(
            Enhancement(
                Dose(120.0, 60.0, 120.0, 50.0, 10.0), ((0.0, 1.0), (60.0, 1.0), (61.0, 0.0))
            ),
        )
    ),
)

_CRACKS = Case(
    name="cracks",
    description="fissures open in the ice of a 30 mm tumour, thin slices",
    site=TumourSite(9, 4, 21, 30),
    placement=Placement(4, 9.0, 30.0),
    build=Build(168.0, 116.0, 18.0),
    planning=Protocol(512, 0.78, 52, 3.0, 3.0, 9.0),
    monitoring=Protocol(512, 0.7, 62, 2.0, 2.0, 11.0),
    own_chance=True,
    drop_hu=92.0,
    timeline=_SHORT,
    features=Features(cracks=Cracks(from_s=740.0, full_s=950.0)),
)

_MAR = Case(
    name="mar",
    description="metal artefact reduction: faint streaks, blurred shafts, smooth errors by them",
    site=TumourSite(12, 9, -9, 28),
    side=-1,
    placement=Placement(4, 9.0, 15.0),
    build=Build(174.0, 118.0, 21.0),
    planning=Protocol(512, 0.8, 52, 3.0, 3.0, 9.0),
    monitoring=Protocol(512, 0.77, 50, 2.5, 2.5, 11.0),
    own_chance=True,
    drop_hu=84.0,
    timeline=_SHORT,
    features=Features(metal_reduction=MetalReduction()),
)

_THAW_RIM = Case(
    name="thaw-rim",
    description="thawed tissue stays 12 to 15 HU below its old HU; a scan every 2 min of the thaw",
    site=TumourSite(13, -2, -24, 26),
    placement=Placement(3, 8.0, 75.0),
    build=Build(166.0, 115.0, 16.0),
    planning=Protocol(512, 0.78, 50, 3.0, 3.0, 9.0),
    monitoring=Protocol(512, 0.75, 44, 3.0, 3.0, 12.5),
    own_chance=True,
    drop_hu=86.0,
    timeline=Timeline(interval_s=200.0, thaw_interval_s=120.0),
    features=Features(thawed_rim=ThawedRim()),
)

_UPPER_POLE = Case(
    name="upper-pole",
    description="28 mm tumour of the right upper pole, four probes, large patient",
    site=TumourSite(6, 4, 31, 28),
    side=-1,
    placement=Placement(4, 9.0, 45.0),
    build=Build(182.0, 128.0, 28.0),
    planning=Protocol(512, 0.84, 50, 3.0, 3.0, 11.0),
    monitoring=Protocol(512, 0.8, 46, 3.0, 3.0, 15.0),
    own_chance=True,
    drop_hu=88.0,
    timeline=_SHORT,
)

_REAL_CT_EXOPHYTIC = Case(
    name="real-ct-exophytic",
    description="ice painted into a real CT (--anatomy), most of a lobulated tumour in the fat",
    source="ct",
    site=TumourSite(-3, 18, -16, 27),
    placement=Placement(3, 8.0, 50.0),
    planning=Protocol(512, 0.78, 50, 3.0, 3.0, 9.0),
    monitoring=Protocol(512, 0.75, 56, 2.5, 2.5, 11.0),
    own_chance=True,
    drop_hu=80.0,
    timeline=_SHORT,
)

HARD_CASES: Final = (
    _CYST,
    _CONTRAST_BETWEEN,
    _CRACKS,
    _BOWEL_GAS,
    _UPPER_POLE,
    _URINE,
    _HYDRODISSECTION,
    _HAEMATOMA,
    _EXCRETED,
    _ENHANCED_PLANNING,
    _MAR,
    _THAW_RIM,
    _REAL_CT_EXOPHYTIC,
)
"""In the order of ``tuning``, then ``test``."""
