"""What describes one simulated procedure."""

from dataclasses import dataclass
from typing import Final, Literal

from scanner_sim.body import Build
from scanner_sim.features import PLAIN, Features
from scanner_sim.imaging import Protocol
from scanner_sim.phantom import TumourSite

HELD_OUT: Final = frozenset(
    {
        "upper-pole",
        "urine",
        "hydrodissection",
        "haematoma",
        "excreted-contrast",
        "enhanced-planning",
        "mar",
        "thaw-rim",
        "real-ct-exophytic",
    }
)
"""Names of the cases that nothing is tuned on."""


@dataclass(frozen=True)
class Placement:
    """How the probes lie: ``ring_mm`` from the tumour's axis, turned by ``turn_deg`` and leaning
    outwards by ``splay_deg``; ``depth_mm`` pushes them past (or short of) the tumour's centre."""

    count: int
    ring_mm: float
    turn_deg: float = 90.0
    splay_deg: float = 1.5
    depth_mm: float = 0.0
    active_mm: float = 30.0


@dataclass(frozen=True)
class Timeline:
    """Seconds of the procedure. Scans in a phase come every ``interval_s`` and at its end."""

    structures_s: float = 120.0
    needles_s: float = 300.0
    freeze_from_s: float = 360.0
    freeze_s: float = 600.0
    thaw_s: float = 480.0
    refreeze_s: float = 600.0
    interval_s: float = 150.0
    thaw_interval_s: float = 240.0


_BUILD: Final = Build()
_TIMELINE: Final = Timeline()


@dataclass(frozen=True)
class Case:
    """One simulated procedure.

    Attributes
    ----------
    source
        ``phantom``, or ``ct`` for a real CT in a folder that is named at run time.
    side
        +1 left kidney, -1 right.
    position
        PatientPosition of DICOM.
    drop_hu
        Fall of water-rich tissue on freezing.
    breathing_mm
        Least and greatest step of the kidney from one scan to the next.
    signed
        PixelRepresentation 1 (16 bits stored) instead of 0 (12 bits stored).
    localizer
        Whether a localizer comes first.
    contour_error_mm
        Standard deviation of the drawn contours about the truth.
    features
        What makes it hard to read.
    own_chance
        Whether bowel, texture, the tumour's bumps and breathing are drawn for this case alone
        instead of for the seed.
    physics_varies
        Whether the constants of the freezing differ from the textbook's (see ``variation``).
    for_tests
        Small and quick, not for people.
    """

    name: str
    description: str
    site: TumourSite
    placement: Placement
    planning: Protocol
    monitoring: Protocol
    build: Build = _BUILD
    source: Literal["phantom", "ct"] = "phantom"
    side: Literal[1, -1] = 1
    position: Literal["HFS", "HFP"] = "HFS"
    drop_hu: float = 85.0
    breathing_mm: tuple[float, float] = (4.0, 7.0)
    signed: bool = True
    localizer: bool = False
    kernel: str = "B30f"
    contour_error_mm: float = 0.25
    physics_mm: float = 1.5
    resolution_mm: float = 0.8
    timeline: Timeline = _TIMELINE
    narrow_view: bool = False
    features: Features = PLAIN
    own_chance: bool = False
    physics_varies: bool = True
    for_tests: bool = False

    def __post_init__(self) -> None:
        if not 60 <= self.drop_hu <= 95:
            raise ValueError(f"drop_hu outside 60 to 95: {self.drop_hu}")

    @property
    def part(self) -> Literal["tuning", "test"]:
        """Which part of the evidence it belongs to.

        The split is by name (``HELD_OUT``), made before anything was tuned on the hard cases:
        methods and their constants may be chosen by looking at ``tuning``; ``test`` is measured and
        reported apart.
        """
        return "test" if self.name in HELD_OUT else "tuning"
