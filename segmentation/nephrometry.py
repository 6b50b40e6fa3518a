"""Size, nearness and flags of the nephrometry scores, as far as structures tell them.

For context only: a score is a surgeon's or radiologist's judgement. Each item is computed from
named structures, or is left open with the reason; no total is made of them.

- RENAL: Kutikov and Uzzo, J Urol 2009; 182: 844.
- ABLATE: Schmit et al., AJR 2014; 202: 894.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import ConvexHull, QhullError
from scipy.spatial.distance import pdist

from segmentation.distances import gap
from segmentation.rigid import Rigid
from segmentation.structures import Structure

SIZE_STEPS_MM = (40.0, 70.0)
"""R of RENAL: 4 cm and less is 1, 7 cm and more is 3."""

NEAR_STEPS_MM = (4.0, 7.0)
"""N of RENAL: 4 mm and less is 3, 7 mm and more is 1."""

EXOPHYTIC = 0.5
ENDOPHYTIC = 0.02
"""E of RENAL: half outside and more is 1, nothing outside is 3. Contours on slices leave some 2 %
of a tumour on the wrong side of a border that it touches."""

ONE_SIDED = 0.75
"""A of RENAL: a tumour with this share on one side of the kidney's middle plane is anterior or
posterior. The score says "mainly"; the number is ours."""

AXIAL_FLAGS_MM = (30.0, 50.0)
CLOSE_MM = 10.0
"""ABLATE: bowel or ureter at 1 cm or less."""

TOUCH_MM = 1.0
"""Two drawn surfaces nearer than this touch: that is how exact they are."""

STEP_NEAR_MM = 1.0
REACH_MM = 40.0
"""Structures further from the tumour than this are far."""

SECTION_MM = 0.6
"""Half the thickness of an axial section of the surface's points, which lie up to 1 mm apart."""

WHOLE_KIDNEY_ML = 40.0
"""Less than this is no whole kidney: an atrophic one of an adult has some 50 ml."""

DIRECTIONS = 800
"""In which the outermost points of a solid are looked for: 4 degrees apart, so that a ball of 50 mm
comes out too small by 0.1 mm at most."""

CHUNK = 100

BULGE_MM = 3.0
"""The kidney's contour this near to the tumour may be the tumour's."""

Points = NDArray[np.float64]
Score = Literal["RENAL", "ABLATE"]


@dataclass(frozen=True)
class Anatomy:
    """What structures are by their names: regular expressions. A hilum is told by its kind."""

    kidney: str = r"(?i)^(?!.*(cyst|hil|pelvis|sinus|arter|vein|adrenal)).*(kidney|nyre)"
    sinus: str = r"(?i)sinus"
    collecting: str = r"(?i)collecting|pelvis|pyel|cal(yx|yces|ices)"
    ureter: str = r"(?i)ureter|puj|upj"
    bowel: str = r"(?i)bowel|colon|duoden|jejun|ileum|intestin"
    vessels: str = r"(?i)renal.*(arter|vein|vessel)|(arter|vein).*ren"


USUAL = Anatomy()


@dataclass(frozen=True)
class Item:
    """One item of a score.

    Attributes
    ----------
    points, at_least
        Of RENAL; where only a lower bound is known, that.
    letter
        Of RENAL's A: a, p or x.
    flag
        Of ABLATE, and RENAL's h.
    figure, unit
        What it follows from.
    computed_from
        Names of structures.
    remark
        Why it is open, or how sure it is; may be empty.
    """

    score: Score
    name: str
    points: int | None = None
    at_least: int | None = None
    letter: Literal["a", "p", "x"] | None = None
    flag: bool | None = None
    figure: float | None = None
    unit: Literal["mm", "fraction"] | None = None
    computed_from: tuple[str, ...] = ()
    remark: str = ""


@dataclass(frozen=True)
class Nephrometry:
    """Greatest diameter in an axial plane and in space, and the items of the scores."""

    axial_diameter_mm: float
    diameter_mm: float
    items: tuple[Item, ...]


def nephrometry(structures: Sequence[Structure], anatomy: Anatomy = USUAL) -> Nephrometry:
    """Compute what can be computed.

    Parameters
    ----------
    structures
        In one frame; exactly one is the tumour.

    Raises
    ------
    StopIteration
        There is no tumour.
    """
    tumour = next(s for s in structures if s.kind == "tumour")
    axial_mm, diameter_mm = axial_diameter(tumour), diameter(tumour)
    others = _Others(tumour, structures, anatomy)
    exophytic = _exophytic(tumour, others)
    items = (
        _size(tumour, diameter_mm),
        exophytic,
        _nearness(others),
        _side(tumour, others),
        Item("RENAL", "L", remark="Polar lines need the lip of the sinus, which is not contoured."),
        _hilar(others),
        *_axial_flags(tumour, axial_mm),
        _close(others, "bowel", anatomy.bowel),
        Item("ABLATE", "location", remark="Neighbours of the poles are judged by a person."),
        _close(others, "ureter", anatomy.ureter),
        _sinus_fat(others, anatomy),
        Item(
            "ABLATE",
            "exophytic",
            flag=None if exophytic.figure is None else exophytic.figure >= EXOPHYTIC,
            figure=exophytic.figure,
            unit=exophytic.unit,
            computed_from=exophytic.computed_from,
            remark=exophytic.remark,
        ),
    )
    return Nephrometry(axial_mm, diameter_mm, items)


def diameter(solid: Structure) -> float:
    """Greatest distance between two points of the surface, mm."""
    return _widest(solid.surface.points_lps_mm)


def axial_diameter(solid: Structure) -> float:
    """Greatest distance between two points of one axial section, mm."""
    points = solid.surface.points_lps_mm
    heights = np.arange(points[:, 2].min(), points[:, 2].max() + SECTION_MM, SECTION_MM)
    sections = (points[np.abs(points[:, 2] - z) < SECTION_MM, :2] for z in heights)
    return max((_widest(section) for section in sections if len(section) > 3), default=0.0)


def _widest(points: Points) -> float:
    return float(pdist(_outermost(points)).max())


def _outermost(points: Points) -> Points:
    """Of (N, 2) or (N, 3) points those that lie furthest out in one of many directions."""
    if points.shape[1] == 2:
        angle = np.arange(0, 2 * np.pi, 2 * np.pi / 120)
        directions = np.stack([np.cos(angle), np.sin(angle)])
    else:  # evenly on a sphere: a Fibonacci spiral
        z = 1 - (2 * np.arange(DIRECTIONS) + 1) / DIRECTIONS
        angle = np.arange(DIRECTIONS) * np.pi * (3 - np.sqrt(5))
        flat = np.sqrt(1 - z**2)
        directions = np.stack([flat * np.cos(angle), flat * np.sin(angle), z])
    parts = (directions[:, n : n + CHUNK] for n in range(0, directions.shape[1], CHUNK))
    found = np.unique(np.concatenate([(part.T @ points.T).argmax(axis=1) for part in parts]))
    return np.asarray(points[found], dtype=np.float64)


class _Others:
    """The structures round a tumour, by what they are."""

    def __init__(
        self, tumour: Structure, structures: Sequence[Structure], anatomy: Anatomy
    ) -> None:
        self._tumour = tumour
        self._rest = [s for s in structures if s is not tumour]
        self.hila = [s for s in self._rest if s.kind == "hilum"]
        self.vessels = self.named(anatomy.vessels)
        self.centre = self.named(anatomy.collecting) + self.named(anatomy.sinus)
        self.kidney = self._kidney(anatomy)

    def named(self, pattern: str) -> list[Structure]:
        """Those with such a name; a hilum is none of them."""
        return [s for s in self._rest if s.kind == "other" and re.search(pattern, s.name)]

    def distance(self, structure: Structure) -> float:
        """Signed distance of the tumour's surface, mm, negative where they overlap; far: infinite.

        Only what lies within ``REACH_MM`` is looked at.
        """
        surface = self._tumour.surface
        near = structure.field.crop_around(surface.points_lps_mm, REACH_MM)
        if not (near.array > 0).any():
            return np.inf
        if (near.array > 0).all():
            return -np.inf
        cropped = Structure(structure.name, structure.kind, near)
        return gap(surface, cropped, Rigid.identity()).distance_mm

    def nearest(self, structures: Sequence[Structure]) -> tuple[Structure, float]:
        """The nearest of them and its distance."""
        distances = [self.distance(s) for s in structures]
        at = int(np.argmin(distances))
        return structures[at], distances[at]

    def _kidney(self, anatomy: Anatomy) -> Structure | str:
        """The kidney that holds the tumour, or why there is none."""
        found = self.named(anatomy.kidney)
        if not found:
            return "No kidney is among the structures."
        kidney, distance_mm = self.nearest(found)
        if distance_mm > TOUCH_MM:
            return f"The tumour does not touch {kidney.name}."
        if kidney.volume_ml < WHOLE_KIDNEY_ML:
            return f"{kidney.name} has {kidney.volume_ml:.0f} ml: it is no whole kidney."
        return kidney


def _size(tumour: Structure, diameter_mm: float) -> Item:
    points = 1 if diameter_mm <= SIZE_STEPS_MM[0] else 2 if diameter_mm < SIZE_STEPS_MM[1] else 3
    return Item(
        "RENAL",
        "R",
        points=points,
        figure=diameter_mm,
        unit="mm",
        computed_from=(tumour.name,),
        remark=_step_near(diameter_mm, SIZE_STEPS_MM),
    )


def _nearness(others: _Others) -> Item:
    """The hilum stands in where neither sinus nor collecting system is drawn.

    Both reach from the hilum into the kidney: they can be nearer to the tumour, not further.
    """
    if others.centre:
        found, distance_mm = others.nearest(others.centre)
        return Item(
            "RENAL",
            "N",
            points=_nearness_points(distance_mm),
            figure=_known(distance_mm),
            unit="mm",
            computed_from=(found.name,),
            remark=_far(distance_mm) or _step_near(distance_mm, NEAR_STEPS_MM),
        )
    missing = "No collecting system or sinus is contoured"
    if not others.hila:
        return Item("RENAL", "N", remark=f"{missing}.")
    found, distance_mm = others.nearest(others.hila)
    return Item(
        "RENAL",
        "N",
        at_least=_nearness_points(distance_mm),
        figure=_known(distance_mm),
        unit="mm",
        computed_from=(found.name,),
        remark=f"{missing}: measured to the hilum, from which both reach further in.",
    )


def _nearness_points(distance_mm: float) -> int:
    near_mm, far_mm = NEAR_STEPS_MM
    return 3 if distance_mm <= near_mm else 2 if distance_mm < far_mm else 1


def _hilar(others: _Others) -> Item:
    """Whether the tumour touches the main vessels; the hilum stands in for them."""
    drawn = others.vessels or others.hila
    if not drawn:
        return Item("RENAL", "h", remark="Neither hilum nor renal vessels are contoured.")
    found, distance_mm = others.nearest(drawn)
    remark = "" if others.vessels else "Judged by the hilum: it suggests, the vessels decide."
    return Item(
        "RENAL",
        "h",
        flag=distance_mm <= TOUCH_MM,
        figure=_known(distance_mm),
        unit="mm",
        computed_from=(found.name,),
        remark=remark,
    )


def _exophytic(tumour: Structure, others: _Others) -> Item:
    """Share of the tumour outside the outline that the rest of the kidney suggests.

    The outline is the convex hull of the kidney's surface away from the tumour: but for the hilum,
    kidneys are convex.
    """
    kidney = others.kidney
    if isinstance(kidney, str):
        return Item("RENAL", "E", remark=kidney)
    edge = kidney.surface.points_lps_mm
    own = edge[tumour.surface.depth(edge, reach_mm=2 * BULGE_MM)[0] < -BULGE_MM]
    try:
        hull = ConvexHull(_outermost(own))
    except (QhullError, ValueError):
        return Item("RENAL", "E", remark=f"{kidney.name} leaves no outline beside the tumour.")
    inside = tumour.inside_lps_mm
    beyond = np.zeros(len(inside), dtype=bool)
    for plane in hull.equations:
        beyond |= inside @ plane[:3] + plane[3] > 0
    share = float(beyond.mean())
    return Item(
        "RENAL",
        "E",
        points=1 if share >= EXOPHYTIC else 2 if share > ENDOPHYTIC else 3,
        figure=share,
        unit="fraction",
        computed_from=(tumour.name, kidney.name),
        remark="Outside the convex outline of the rest of the kidney.",
    )


def _side(tumour: Structure, others: _Others) -> Item:
    """Anterior or posterior of the plane through the kidney's long axis and its hilum."""
    kidney, towards = others.kidney, others.hila or others.centre
    if isinstance(kidney, str):
        return Item("RENAL", "A", remark=kidney)
    if not towards:
        return Item(
            "RENAL", "A", remark="The middle plane needs the hilum, which is not contoured."
        )
    points = kidney.inside_lps_mm
    points = points[~tumour.surface.holds(points)]
    middle = points.mean(axis=0)
    along = np.linalg.eigh(np.cov((points - middle).T))[1][:, -1]
    normal = np.cross(along, towards[0].centre_lps_mm - middle)
    normal *= -np.sign(normal[1]) / np.linalg.norm(normal)  # to anterior, which is -y
    share = float(((tumour.inside_lps_mm - middle) @ normal > 0).mean())
    letter: Literal["a", "p", "x"] = "x"
    if share >= ONE_SIDED:
        letter = "a"
    elif share <= 1 - ONE_SIDED:
        letter = "p"
    return Item(
        "RENAL",
        "A",
        letter=letter,
        figure=share,
        unit="fraction",
        computed_from=(tumour.name, kidney.name, towards[0].name),
        remark="Share of the tumour on the anterior side of the kidney's middle plane.",
    )


def _axial_flags(tumour: Structure, axial_mm: float) -> list[Item]:
    return [
        Item(
            "ABLATE",
            f"axial_{least_mm / 10:.0f}_cm",
            flag=axial_mm >= least_mm,
            figure=axial_mm,
            unit="mm",
            computed_from=(tumour.name,),
            remark=_step_near(axial_mm, (least_mm,)),
        )
        for least_mm in AXIAL_FLAGS_MM
    ]


def _close(others: _Others, name: str, pattern: str) -> Item:
    drawn = others.named(pattern)
    if not drawn:
        return Item("ABLATE", name, remark=f"No {name} is contoured.")
    found, distance_mm = others.nearest(drawn)
    return Item(
        "ABLATE",
        name,
        flag=distance_mm <= CLOSE_MM,
        figure=_known(distance_mm),
        unit="mm",
        computed_from=(found.name,),
        remark=_far(distance_mm) or _step_near(distance_mm, (CLOSE_MM,)),
    )


def _sinus_fat(others: _Others, anatomy: Anatomy) -> Item:
    drawn = others.named(anatomy.sinus)
    if not drawn:
        return Item("ABLATE", "sinus_fat", remark="No renal sinus is contoured.")
    found, distance_mm = others.nearest(drawn)
    return Item(
        "ABLATE",
        "sinus_fat",
        flag=distance_mm <= TOUCH_MM,
        figure=_known(distance_mm),
        unit="mm",
        computed_from=(found.name,),
        remark=_far(distance_mm),
    )


def _known(distance_mm: float) -> float | None:
    return distance_mm if np.isfinite(distance_mm) else None


def _far(distance_mm: float) -> str:
    return f"More than {REACH_MM:.0f} mm away." if distance_mm == np.inf else ""


def _step_near(figure_mm: float, steps_mm: Sequence[float]) -> str:
    if any(abs(figure_mm - step) < STEP_NEAR_MM for step in steps_mm):
        return f"Within {STEP_NEAR_MM:.0f} mm of a step."
    return ""
