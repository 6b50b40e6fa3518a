"""The planning scan as the page gets it: its grid, of a bounded size, and its voxels."""

import gzip
import threading
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from dicom_listener.pixels import PixelError, read_volume
from monitor.decisions import CommandError
from monitor.marking_messages import PlanningCandidate
from monitor.side_process import SideError, SideProcess
from segmentation.volume import GeometryError, Volume

MAXIMUM_BYTES = 64 << 20
"""Of the voxels that are served; a scan with more is made coarser in its planes."""

READ_S = 30.0
COMPRESSION = 1
"""Little is gained by more: the rest is noise."""


@dataclass(frozen=True)
class Source:
    """A series that can be marked on, as it is now.

    Attributes
    ----------
    revision
        Of its judgement: it rises when slices are added.
    next_version
        Number of the next version of the structures.
    """

    procedure_id: str
    series_uid: str
    revision: int
    description: str
    paths: tuple[Path, ...]
    decoded: Path
    candidates: tuple[PlanningCandidate, ...]
    in_use: bool
    next_version: int


@dataclass(frozen=True, eq=False)
class PlanningGrid:
    """A scan's voxels, mm and HU.

    Attributes
    ----------
    reduction
        So many pixels of the scan are one here, along both axes of its planes.
    """

    volume: Volume
    reduction: int

    @property
    def shape(self) -> tuple[int, int, int]:
        """[z, y, x]."""
        z, y, x = self.volume.array.shape
        return z, y, x

    @cached_property
    def compressed(self) -> bytes:
        """Its voxels, int16 little-endian, gzip."""
        raw = np.ascontiguousarray(self.volume.array, dtype="<i2")
        return gzip.compress(raw.data, COMPRESSION, mtime=0)


class PlanningScans:
    """Reads planning scans, and keeps the last one. For any thread; blocks."""

    def __init__(self, process: SideProcess) -> None:
        self._process = process
        self._lock = threading.Lock()
        self._kept: tuple[tuple[str, int, tuple[Path, ...]], PlanningGrid] | None = None

    def grid(self, source: Source) -> PlanningGrid:
        """The scan's voxels.

        Raises
        ------
        CommandError
            They can't be read, or it takes too long.
        """
        key = source.series_uid, source.revision, source.paths
        with self._lock:
            if self._kept is None or self._kept[0] != key:
                try:
                    answer = self._process.run(READ_S, read_grid, source.paths, source.decoded)
                except SideError as error:
                    raise CommandError(
                        "unreadable_scan", f"The scan can't be read: {error}."
                    ) from error
                if isinstance(answer, str):
                    raise CommandError("unreadable_scan", answer)
                self._kept = key, answer
            return self._kept[1]


def read_grid(paths: tuple[Path, ...], decoded: Path) -> PlanningGrid | str:
    """The grid of a series, or a sentence that says why there is none; for the side process."""
    try:
        return reduced(read_volume(paths, decoded=decoded))
    except (PixelError, GeometryError) as error:
        return error.text
    except OSError as error:
        return f"A stored file can't be read ({error.strerror})."


def reduced(volume: Volume, maximum_bytes: int = MAXIMUM_BYTES) -> PlanningGrid:
    """The volume with 2 x 2, 4 x 4, ... pixels of a plane averaged until it is small enough."""
    factor = 1
    while volume.array.size // factor**2 * 2 > maximum_bytes:
        factor *= 2
    if factor == 1:
        return PlanningGrid(volume, 1)
    depth, rows, columns = (
        n // f for n, f in zip(volume.array.shape, (1, factor, factor), strict=True)
    )
    array = np.empty((depth, rows, columns), dtype=np.int16)
    for k, plane in enumerate(volume.array):
        whole = plane[: rows * factor, : columns * factor].astype(np.float32)
        array[k] = np.rint(whole.reshape(rows, factor, columns, factor).mean(axis=(1, 3)))
    middle = (factor - 1) / 2
    return PlanningGrid(
        Volume(
            array,
            volume.to_lps([middle, middle, 0]),
            volume.direction,
            volume.spacing_mm * [factor, factor, 1],
        ),
        factor,
    )
