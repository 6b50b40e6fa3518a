"""From spooled files to a volume in Hounsfield units. Runs in the analysis processes.

Files are looked at twice: first all headers, so that it is known how the frames make a volume, then
frame after frame, each put straight into its place. So there is never more in memory than the
volume and one frame.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dicom_listener.decoded import frames
from dicom_listener.hounsfield import PADDING_HU
from dicom_listener.images import Image, PixelCode, PixelError, open_image
from segmentation.volume import SlicePlane, Volume, assemble, check_stack

__all__ = ["MAXIMUM_VOXELS", "PADDING_HU", "PixelCode", "PixelError", "read_slice", "read_volume"]

MAXIMUM_VOXELS: Final = 1 << 30
"""Of one volume: 4096 slices of 512 x 512, 2 GB. Compressed objects can claim any size."""


def _unwatched() -> None:
    """Nobody watches."""


def read_volume(
    paths: Sequence[Path],
    step: Callable[[], None] = _unwatched,
    decoded: Path | None = None,
) -> Volume:
    """The volume of a series, (k, j, i) int16 in HU.

    The files may be in any order, each with one slice or with many frames. ``step`` is called for
    each file and for each frame, so that a caller may see how it moves on. ``decoded`` is a folder
    with frames that were decoded ahead of time (``dicom_listener.decoded``).

    Raises
    ------
    PixelError
        When one of the files can't be read, or holds no Hounsfield units of full fidelity.
    GeometryError
        When the slices are no volume (``segmentation.volume.check_stack``).
    """
    images: deque[Image] = deque()
    voxels = 0
    for path in paths:
        images.append(open_image(path))
        step()
        voxels += sum(plane.rows * plane.columns for plane in images[-1].planes)
        if voxels > MAXIMUM_VOXELS:
            raise PixelError("too_large", "The series is larger than any scan.")
    stack = check_stack([plane for image in images for plane in image.planes])

    def in_turn() -> Iterator[NDArray[np.int16]]:
        while images:  # each is let go of when it has been read
            for frame in frames(images.popleft(), decoded):
                step()
                yield frame

    return assemble(stack, in_turn())


def read_slice(path: Path) -> tuple[SlicePlane, NDArray[np.int16]]:
    """Where the first or only frame of a CT object lies, and its (rows, columns) pixels in HU.

    Raises
    ------
    PixelError
        As ``read_volume``.
    """
    image = open_image(path)
    return image.planes[0], next(image.frames())
