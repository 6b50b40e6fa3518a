"""What goes to and comes from the page where structures are marked on the planning scan.

A mask is a box of voxels in the planning grid as it is served. Its bits are those of
``numpy.packbits(mask, bitorder="little")``, slice after slice from the feet up, row after row,
compressed by zlib and written in base64.
"""

from typing import Annotated, Literal

from pydantic import AwareDatetime, Field

from monitor.wire import Point, Wire

MAXIMUM_STRUCTURES = 30
"""Saved together. Of the structures near a kidney there are about a dozen."""

MAXIMUM_MASK_CHARACTERS = 4 << 20
"""A body's worth of drawing compresses to a tenth of this."""

Index = Annotated[int, Field(ge=0, lt=1 << 20)]
Length = Annotated[int, Field(ge=1, lt=1 << 20)]
Radius = Annotated[float, Field(gt=0, le=200)]
StructureKind = Literal["tumour", "hilum", "other"]


class Mask(Wire):
    """A box of marked voxels.

    ``origin_index`` is [x, y, z] of its first voxel in the planning grid, ``shape`` is
    [nz, ny, nx], ``runs`` are the bits.
    """

    origin_index: tuple[Index, Index, Index]
    shape: tuple[Length, Length, Length]
    runs: str = Field(max_length=MAXIMUM_MASK_CHARACTERS)


class PlanningCandidate(Wire):
    """A scan that can be marked on."""

    series_instance_uid: str
    description: str
    slices: int


class PlanningScan(Wire):
    """The scan that is marked on, and its grid as it is served.

    ``direction`` is a row-major 3 x 3 matrix whose columns are the unit vectors along x, y and z of
    the grid. ``reduction`` is how many pixels of the scan make one of the grid, along x and y.
    ``plugin`` is the site's own program that can find structures; null where there is none.
    """

    series_instance_uid: str
    revision: int
    description: str
    shape: tuple[int, int, int]
    spacing_mm: Point
    origin_lps_mm: Point
    direction: Annotated[list[float], Field(min_length=9, max_length=9)]
    reduction: int
    candidates: list[PlanningCandidate]
    in_use: bool
    plugin: str | None = None


class ProposedStructure(Wire):
    """One structure of a proposal."""

    name: str
    kind: StructureKind
    mask: Mask
    volume_ml: float


class StructureProposal(Wire):
    """What is proposed; nothing is used before a person has saved it.

    ``mask`` and ``volume_ml`` are the first structure's.
    """

    mask: Mask
    volume_ml: float
    text: str
    structures: list[ProposedStructure]


class VersionStructure(Wire):
    """One structure of a version. ``volume_ml`` is of the marked voxels, or of the contours."""

    name: str
    kind: StructureKind
    warning_distance_mm: float | None
    volume_ml: float


class StructuresVersion(Wire):
    """The structures as they were saved, or as they came.

    ``problem`` says why it can't be used; the version before it then stays in use.
    """

    version: int
    at: AwareDatetime
    by: str
    source: Literal["page", "dicom"]
    note: str
    series_instance_uid: str
    structures: list[VersionStructure]
    in_use: bool
    problem: str | None


class StructuresVersions(Wire):
    """All versions of a procedure's structures, oldest first."""

    versions: list[StructuresVersion]


class MarkedStructure(Wire):
    """One structure with its voxels. Without a distance of its own the site's default holds."""

    name: str = Field(min_length=1, max_length=64)
    kind: StructureKind
    warning_distance_mm: float | None = Field(None, ge=0, le=100)
    mask: Mask


class StructuresContent(Wire):
    """A version with its voxels, in the grid of its planning scan as it is served now."""

    version: int
    series_instance_uid: str
    revision: int
    note: str
    structures: list[MarkedStructure]


class ProposalBody(Wire):
    """What is to be proposed."""

    series_instance_uid: str = Field(max_length=64)
    kind: StructureKind = "tumour"
    method: Literal["grow", "ellipsoid", "plug-in"]
    seed_lps_mm: Point | None = None
    radii_mm: tuple[Radius, Radius, Radius] | None = None


class StructuresBody(Wire):
    """What is to be saved as the structures in use."""

    series_instance_uid: str = Field(max_length=64)
    revision: int
    structures: list[MarkedStructure] = Field(min_length=1, max_length=MAXIMUM_STRUCTURES)
    note: str = Field("", max_length=2000)
