"""Masks as they go over the wire, and back; see ``monitor.marking_messages.Mask``."""

import base64
import binascii
import math
import zlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from monitor.marking_messages import Mask

LEVEL = 6


class MaskError(ValueError):
    """No mask of this grid; the message is a sentence for people."""


@dataclass(frozen=True, eq=False)
class Box:
    """Marked voxels.

    Attributes
    ----------
    origin_index
        (x, y, z) of the first voxel in the grid.
    array
        [z, y, x]; something is marked on each of its six sides.
    """

    origin_index: tuple[int, int, int]
    array: NDArray[np.bool_]


def encode(marked: NDArray[np.bool_]) -> Mask:
    """The mask of a whole grid, [z, y, x].

    Raises
    ------
    MaskError
        Nothing is marked.
    """
    box = cropped(marked)
    packed = np.packbits(box.array, bitorder="little").tobytes()
    z, y, x = box.array.shape
    return Mask(
        origin_index=box.origin_index,
        shape=(z, y, x),
        runs=base64.b64encode(zlib.compress(packed, LEVEL)).decode(),
    )


def decode(mask: Mask, grid_shape: tuple[int, int, int]) -> Box:
    """The marked voxels of a mask in a grid of a shape [z, y, x].

    No more is ever unpacked than the mask's shape says, and that lies within the grid.

    Raises
    ------
    MaskError
        It leaves the grid, its bits are not as many as its shape says, or none is set.
    """
    x, y, z = mask.origin_index
    beyond = (z + mask.shape[0], y + mask.shape[1], x + mask.shape[2])
    if any(b > n for b, n in zip(beyond, grid_shape, strict=True)):
        raise MaskError("A mask leaves the scan.")
    voxels = math.prod(mask.shape)
    length = (voxels + 7) // 8
    unpacking = zlib.decompressobj()
    try:
        packed = unpacking.decompress(base64.b64decode(mask.runs, validate=True), length + 1)
    except (binascii.Error, ValueError, zlib.error) as error:
        raise MaskError("A mask can't be read.") from error
    if len(packed) != length or not unpacking.eof or unpacking.unused_data:
        raise MaskError("A mask has not as many voxels as its shape says.")
    bits = np.unpackbits(np.frombuffer(packed, np.uint8), count=voxels, bitorder="little")
    box = cropped(bits.reshape(mask.shape).astype(bool))
    first = (x + box.origin_index[0], y + box.origin_index[1], z + box.origin_index[2])
    return Box(first, box.array)


def cropped(marked: NDArray[np.bool_]) -> Box:
    """The smallest box that holds what is marked.

    Raises
    ------
    MaskError
        Nothing is marked.
    """
    sides = []
    for axis in range(3):
        others = tuple(n for n in range(3) if n != axis)
        used = np.flatnonzero(marked.any(axis=others))
        if not len(used):
            raise MaskError("A mask is empty.")
        sides.append(slice(int(used[0]), int(used[-1]) + 1))
    z, y, x = sides
    return Box((x.start, y.start, z.start), np.ascontiguousarray(marked[z, y, x]))
