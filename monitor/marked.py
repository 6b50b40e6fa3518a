"""Structures marked on the page: one file a version, and the solids in it.

The file is durable before the decision that names it is journaled. Its name is the digest of its
content, so that a version can't change.
"""

import os
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Final
from uuid import uuid4

import numpy as np
from pydantic import ValidationError

from monitor import progress
from monitor.analysis import Planned, Refused
from monitor.marking_messages import MarkedStructure
from monitor.mask_codec import MaskError, decode
from monitor.planning_scan import PlanningGrid
from monitor.structure_sets import Drawn
from monitor.wire import Point, Wire
from segmentation.structures import Structure, StructureError, solid_from_mask

FOLDER: Final = "marked"
"""Of these files, in the storage directory."""

PART: Final = ".part"
"""Ends the name of a file that is being written."""

MAXIMUM_FILE_BYTES: Final = 160 << 20


class MarkedFile(Wire):
    """A version's structures, and the grid that they were marked in (as ``PlanningScan``)."""

    series_instance_uid: str
    revision: int
    shape: tuple[int, int, int]
    spacing_mm: Point
    origin_lps_mm: Point
    direction: list[float]
    structures: list[MarkedStructure]

    def is_in(self, grid: PlanningGrid) -> bool:
        """Whether it was marked in this very grid."""
        return self.geometry == geometry_of(grid)

    @property
    def geometry(self) -> dict[str, object]:
        """The fields that say where the grid lies."""
        return {name: getattr(self, name) for name in _GEOMETRY}


_GEOMETRY = ("shape", "spacing_mm", "origin_lps_mm", "direction")


def geometry_of(grid: PlanningGrid) -> dict[str, object]:
    """Shape, spacing, origin and direction as they go over the wire."""
    volume = grid.volume
    return {
        "shape": grid.shape,
        "spacing_mm": tuple(volume.spacing_mm.tolist()),
        "origin_lps_mm": tuple(volume.origin_lps_mm.tolist()),
        "direction": volume.direction.ravel().tolist(),
    }


@dataclass(frozen=True)
class Marked:
    """A version from the page that is to be used; as ``monitor.structures.Offered``.

    Attributes
    ----------
    sop_instance_uid
        What stands for it: the digest of its content.
    at
        When it was saved, or was gone back to.
    """

    path: Path
    series_uid: str
    sop_instance_uid: str
    at: datetime


def save(folder: Path, content: MarkedFile) -> str:
    """Write a version; its digest. It is durable when this returns.

    Raises
    ------
    OSError
        It is not.
    """
    text = content.model_dump_json().encode()
    digest = sha256(text).hexdigest()
    folder.mkdir(parents=True, exist_ok=True)
    path, partial = path_of(folder, digest), folder / f"{uuid4().hex}{PART}"
    try:
        with partial.open("wb") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError:
        partial.unlink(missing_ok=True)
        raise
    directory = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
    return digest


def tidy(folder: Path) -> None:
    """Remove what a killed service has left half written."""
    for path in folder.glob(f"*{PART}"):
        path.unlink(missing_ok=True)


def path_of(folder: Path, digest: str) -> Path:
    """Where a version is kept."""
    return folder / f"{digest}.json"


def load(path: Path) -> MarkedFile:
    """Read a version.

    Raises
    ------
    OSError, ValueError
        It is not there, was changed, or is none.
    """
    if path.stat().st_size > MAXIMUM_FILE_BYTES:
        raise ValueError("it is too large")
    text = path.read_bytes()
    if sha256(text).hexdigest() != path.stem:
        raise ValueError("it was changed")
    try:
        return MarkedFile.model_validate_json(text)
    except ValidationError as error:
        raise ValueError("it is none of this version's") from error


def read_marked(marked: Marked) -> Planned | Refused:
    """The solids of a version; for the analysis processes."""
    step = progress.step()
    try:
        content = load(marked.path)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        return Refused("bad_contours", f"The saved structures can't be read: {why}.")
    step()
    solids = []
    try:
        for structure in content.structures:
            solids.append(solid_of(structure, content))
            step()
    except (MaskError, StructureError) as error:
        return Refused("bad_contours", str(error))
    drawn = Drawn((content.series_instance_uid,), "", frozenset())
    return Planned("PAGE", "", drawn, tuple(solids), ())


def solid_of(structure: MarkedStructure, content: MarkedFile) -> Structure:
    """One structure's solid.

    Raises
    ------
    MaskError, StructureError
        It is none.
    """
    box = decode(structure.mask, content.shape)
    direction = np.array(content.direction).reshape(3, 3)
    spacing = np.array(content.spacing_mm)
    origin = np.array(content.origin_lps_mm) + direction @ (spacing * box.origin_index)
    return solid_from_mask(structure.name, structure.kind, box.array, origin, direction, spacing)
