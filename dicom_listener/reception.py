"""The bytes of one data set while they come in: in memory, and from a bound on in a file.

A slice has half a megabyte and is quickest in memory; an enhanced object of 512 frames has 256 MB,
which several senders at once would take the service's memory with.
"""

import io
import mmap
import os
from collections.abc import Callable
from pathlib import Path
from typing import Final
from uuid import uuid4

from dicom_listener import steps

SPILL_BYTES: Final = 4 << 20
"""From here on in a file: more than any slice of 1024 x 1024 pixels of 16 bits has."""

META_BYTES: Final = 2048
"""Room left at the start of the file for preamble and file meta information, which is written when
all is there: the file then becomes the object, without being copied."""


ROOM_BYTES: Final = 16 << 20
"""The disk's free space is looked at each time that so much has been written."""


class Reception:
    """Bytes in the order in which they come. Belongs to one thread at a time.

    Parameters
    ----------
    folder
        Where the file is made, if it comes to that: the spool's ``incoming``.
    need
        Raises OSError when there is no room for so many bytes more.

    Attributes
    ----------
    path
        The file, which holds the data set from ``META_BYTES`` on; None while all is in memory.
    """

    def __init__(self, folder: Path, need: Callable[[int], None] = lambda _bytes: None) -> None:
        self._folder = folder
        self._need = need
        self._allowed = 0
        self._memory = io.BytesIO()
        self._size = 0
        self._handle = -1
        self._mapped: mmap.mmap | None = None
        self.path: Path | None = None

    def __len__(self) -> int:
        return self._size

    def write(self, data: bytes | memoryview) -> None:
        """Append.

        Raises
        ------
        OSError
            When the file can't be written; what came so far is then of no use.
        """
        self._size += len(data)
        if self._handle < 0:
            self._memory.write(data)
            if self._size >= SPILL_BYTES:
                self._spill()
            return
        self._write(memoryview(data))

    def view(self) -> memoryview:
        """All bytes so far; nothing may be written after this."""
        if self._handle < 0:
            return self._memory.getbuffer()
        if self._mapped is None:
            self._mapped = mmap.mmap(self._handle, 0, access=mmap.ACCESS_READ)
        return memoryview(self._mapped)[META_BYTES:]

    def seal(self, meta: bytes) -> Path:
        """Write ``META_BYTES`` of meta before the data, and make the file durable.

        For one that has a file; who calls this renames it, or discards it.

        Raises
        ------
        OSError
            When that fails.
        """
        assert self.path is not None
        assert len(meta) == META_BYTES
        os.pwrite(self._handle, meta, 0)
        steps.reached(steps.Step.WRITTEN)
        os.fsync(self._handle)
        steps.reached(steps.Step.SYNCED)
        return self.path

    def close(self) -> None:
        """Let go of memory and file; a file that was not renamed is removed."""
        self._memory = io.BytesIO()
        self._mapped = None  # unmapped with its last view
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1
        if self.path is not None:
            self.path.unlink(missing_ok=True)
            self.path = None

    def _spill(self) -> None:
        path = self._folder / f"{uuid4().hex}.part"
        self._handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o640)
        self.path = path
        os.lseek(self._handle, META_BYTES, os.SEEK_SET)
        self._write(self._memory.getbuffer())
        self._memory = io.BytesIO()
        steps.reached(steps.Step.SPILLED)

    def _write(self, data: memoryview) -> None:
        """Write until all is written: a full disk or a signal makes it stop early."""
        if self._size > self._allowed:
            self._need(ROOM_BYTES)
            self._allowed = self._size + ROOM_BYTES
        while data:
            data = data[os.write(self._handle, data) :]
