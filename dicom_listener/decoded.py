"""Frames decoded ahead of time, beside the objects: so that little is left to do at the end.

Decoding a compressed slice takes longer than all else that reading it takes (6 ms for JPEG
lossless, 20 ms for JPEG 2000, where a native slice takes 0.6 ms), and it can be done while the next
ones are still coming in. What is kept is only ever a shortcut: it is used when it is whole and of
just this source, frame by frame, and else the source is decoded. Where a slice lies is always read
from the source.

One file for an object, ``<SOP instance>.hu``: a head, then for each frame its pixels as little
endian int16 and their CRC-32. Files are renamed into place, not synced: the sums tell what a power
failure has left.
"""

import os
import struct
import zlib
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import BinaryIO, Final
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray

from dicom_listener.images import Image, open_image
from dicom_listener.syntaxes import ENCAPSULATED

VERSION: Final = 1
"""To be raised with each change of how frames become Hounsfield units."""

_HEAD: Final = struct.Struct("<8sLQQQLLL")
_MAGIC: Final = b"ice hu\r\n"
_SUM: Final = struct.Struct("<L")


def decode_into(path: Path, folder: Path) -> bool:
    """Decode an object and keep its frames in ``folder``; whether that was of use.

    Nothing is kept of native pixel data, which are read as fast as what would be kept.

    Raises
    ------
    PixelError
        When it is no CT image that can be measured, or can't be decoded; nothing is kept.
    OSError
        When ``folder`` can't be written to; nothing is kept.
    """
    image = open_image(path)
    target = _place(image, folder)
    if image.header.transfer_syntax_uid not in ENCAPSULATED:
        return False
    temporary = folder / f"{uuid4().hex}.part"
    try:
        with temporary.open("xb") as file:
            file.write(_head(image))
            for frame in image.frames():
                data = frame.astype("<i2", copy=False).tobytes()
                file.write(data)
                file.write(_SUM.pack(zlib.crc32(data)))
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)
    return True


def frames(image: Image, folder: Path | None) -> Iterator[NDArray[np.int16]]:
    """Each frame's (rows, columns) pixels in HU: those that are kept, the others decoded.

    Raises
    ------
    PixelError
        As ``Image.frames``.
    """
    done = 0
    if folder is not None and image.header.transfer_syntax_uid in ENCAPSULATED:
        try:
            with _place(image, folder).open("rb") as file:
                if file.read(_HEAD.size) == _head(image):
                    for frame in _kept(image, file):
                        yield frame
                        done += 1
        except OSError:
            pass  # not kept, or gone again: it is only a shortcut
    if done < len(image.planes):
        yield from islice(image.frames(), done, None)


def trim(folder: Path, maximum_bytes: int) -> None:
    """Remove what is oldest until the rest has no more than ``maximum_bytes``."""
    found = [(entry.stat(), entry.path) for entry in os.scandir(folder) if entry.is_file()]
    found.sort(key=lambda each: each[0].st_mtime_ns, reverse=True)
    kept = 0
    for state, path in found:
        kept += state.st_size
        if kept > maximum_bytes:
            Path(path).unlink(missing_ok=True)


def _place(image: Image, folder: Path) -> Path:
    return folder / f"{image.header.sop_instance_uid}.hu"


def _head(image: Image) -> bytes:
    """What the frames were decoded from, and by which rules."""
    size, modified_ns, inode = image.identity
    plane = image.planes[0]
    shape = len(image.planes), plane.rows, plane.columns
    return _HEAD.pack(_MAGIC, VERSION, size, modified_ns, inode, *shape)


def _kept(image: Image, file: BinaryIO) -> Iterator[NDArray[np.int16]]:
    """Frames up to the first that is not whole."""
    shape = image.planes[0].rows, image.planes[0].columns
    size = 2 * shape[0] * shape[1]
    for _ in image.planes:
        data, kept_sum = file.read(size), file.read(_SUM.size)
        if kept_sum != _SUM.pack(zlib.crc32(data)) or len(data) != size:
            return
        yield np.frombuffer(data, "<i2").reshape(shape)
