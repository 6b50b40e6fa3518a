"""What a planning object holds once it is read, whatever form it came in."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from segmentation.structures import Kind, Structure, solid_from_contours, solid_from_planes

Form = Literal["RTSTRUCT", "SEG", "PAGE"]
"""What it came as; ``PAGE`` was marked on our page."""

Step = Callable[[], None]
"""Called now and then by work that moves on."""

LONGEST_NAME = 64
"""VR LO (PS3.5, 6.2); a name goes into messages and onto the page."""


class StructureSetError(ValueError):
    """The object can't be used; the message is a sentence for people."""


@dataclass(frozen=True)
class Patterns:
    """Regular expressions, searched in the names of structures; the first that is found counts."""

    tumour: str
    hilum: str

    def kind_of(self, name: str) -> Kind:
        """What a structure of this name is to us."""
        if re.search(self.tumour, name):
            return "tumour"
        return "hilum" if re.search(self.hilum, name) else "other"


@dataclass(frozen=True, eq=False)
class Contoured:
    """One ROI: its name, what it is to us, its closed planar contours ((N, 3) LPS mm each)."""

    name: str
    kind: Kind
    contours: tuple[NDArray[np.float64], ...]

    def solid(self) -> Structure:
        """See ``solid_from_contours``."""
        return solid_from_contours(self.name, self.kind, self.contours)


@dataclass(frozen=True, eq=False)
class Masked:
    """One segment: its name, what it is to us, its planes.

    Attributes
    ----------
    planes, origins_lps_mm, direction, spacing_mm
        See ``solid_from_planes``.
    """

    name: str
    kind: Kind
    planes: tuple[NDArray[Any], ...]
    origins_lps_mm: tuple[NDArray[np.float64], ...]
    direction: NDArray[np.float64]
    spacing_mm: tuple[float, float]

    def solid(self) -> Structure:
        """See ``solid_from_planes``."""
        return solid_from_planes(
            self.name, self.kind, self.planes, self.origins_lps_mm, self.direction, self.spacing_mm
        )


@dataclass(frozen=True)
class Drawn:
    """What a planning object says it was drawn on.

    Attributes
    ----------
    series_uids
        SeriesInstanceUIDs that it names; none where it names none.
    frame_of_reference_uid
        Empty where it names none.
    image_uids
        SOPInstanceUIDs of the images that it names.
    """

    series_uids: tuple[str, ...]
    frame_of_reference_uid: str
    image_uids: frozenset[str]


@dataclass(frozen=True, eq=False)
class StructureSet:
    """A planning object, as far as it matters here.

    Attributes
    ----------
    label
        Its own name for itself.
    structures
        At least one.
    remarks
        Sentences about what was left out, or taken another way than it says.
    """

    form: Form
    label: str
    drawn: Drawn
    structures: tuple[Contoured | Masked, ...]
    remarks: tuple[str, ...]


def clean(text: str) -> str:
    """A name as it may be shown: one line, printable, not too long."""
    line = "".join(c if c.isprintable() else " " for c in text)
    return " ".join(line.split())[:LONGEST_NAME]


def listed(names: list[str]) -> str:
    """'A', 'B' and 2 more."""
    shown = [f"“{name}”" for name in names[:3]]
    if len(names) > len(shown):
        shown.append(f"{len(names) - len(shown)} more")
    return " and ".join([", ".join(shown[:-1]), shown[-1]]) if len(shown) > 1 else "".join(shown)
