"""The nephrometry scores' items on the wire: for context, computed, and never a score."""

from typing import Literal

from monitor.wire import Wire
from segmentation import nephrometry as computed


class NephrometryItem(Wire):
    """One item of RENAL or ABLATE; see ``docs/nephrometry.md`` for each ``name``.

    Exactly one of ``points``, ``at_least``, ``letter`` and ``flag`` is set, or none where it could
    not be computed; ``remark`` then says why. ``figure`` is what it follows from: mm, or a fraction
    of the tumour's volume.
    """

    score: Literal["RENAL", "ABLATE"]
    name: str
    points: int | None
    at_least: int | None
    letter: Literal["a", "p", "x"] | None
    flag: bool | None
    figure: float | None
    unit: Literal["mm", "fraction"] | None
    computed_from: list[str]
    remark: str


class Nephrometry(Wire):
    """Size in an axial plane and in space, and the items, all computed from the structures."""

    computed: Literal[True] = True
    axial_diameter_mm: float
    diameter_mm: float
    items: list[NephrometryItem]


def message_of(found: computed.Nephrometry) -> Nephrometry:
    """As it goes over the wire."""
    return Nephrometry(
        axial_diameter_mm=found.axial_diameter_mm,
        diameter_mm=found.diameter_mm,
        items=[
            NephrometryItem.model_validate(vars(item) | {"computed_from": list(item.computed_from)})
            for item in found.items
        ],
    )
