"""Structures as voxels of a grid, so that the page can show and change what came by DICOM."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from monitor.analysis import Refused, read_structures
from monitor.marked import read_marked
from monitor.marking_messages import MarkedStructure
from monitor.mask_codec import MaskError, encode
from monitor.planning_scan import PlanningGrid
from monitor.structures import Offered
from monitor.versions import ToRead
from segmentation.sampling import sample
from segmentation.structures import Structure
from segmentation.volume import Volume

MAXIMUM_NAME = 64


@dataclass(frozen=True, eq=False)
class GridShape:
    """A grid without its values."""

    shape: tuple[int, int, int]
    origin_lps_mm: NDArray[np.float64]
    direction: NDArray[np.float64]
    spacing_mm: NDArray[np.float64]

    @staticmethod
    def of(grid: PlanningGrid) -> "GridShape":
        """A planning scan's."""
        volume = grid.volume
        return GridShape(grid.shape, volume.origin_lps_mm, volume.direction, volume.spacing_mm)

    @property
    def empty(self) -> Volume:
        """With zeroes that take no room."""
        zeroes = np.broadcast_to(np.zeros((), dtype=np.int16), self.shape)
        return Volume(zeroes, self.origin_lps_mm, self.direction, self.spacing_mm)


def rasterise(to_read: ToRead, grid: GridShape) -> list[MarkedStructure] | str:
    """Structures as voxels, or a sentence that says why not; for the side process."""
    read = read_structures(to_read) if isinstance(to_read, Offered) else read_marked(to_read)
    if isinstance(read, Refused):
        return read.text
    return [found for s in read.structures if (found := _marked(s, grid)) is not None]


def _marked(structure: Structure, grid: GridShape) -> MarkedStructure | None:
    """None where it lies outside of the grid."""
    try:
        mask = encode(voxels_of(structure, grid.empty))
    except MaskError:
        return None
    name = structure.name[:MAXIMUM_NAME]
    return MarkedStructure(name=name, kind=structure.kind, warning_distance_mm=None, mask=mask)


def voxels_of(structure: Structure, grid: Volume) -> NDArray[np.bool_]:
    """[z, y, x]: the voxels of a grid whose centre lies inside."""
    marked = np.zeros(grid.array.shape, dtype=bool)
    index = grid.to_index(structure.field.corners_lps_mm)
    low = np.maximum(np.floor(index.min(axis=0)).astype(int), 0)
    high = np.minimum(np.ceil(index.max(axis=0)).astype(int) + 1, grid.array.shape[::-1])
    if (high <= low).any():
        return marked
    window = tuple(slice(a, b) for a, b in zip(low[::-1], high[::-1], strict=True))
    k, j, i = (np.arange(part.start, part.stop) for part in window)
    points = grid.to_lps(np.stack(np.meshgrid(k, j, i, indexing="ij")[::-1], axis=-1))
    marked[window] = sample(structure.field, points, outside=-1.0) > 0
    return marked
