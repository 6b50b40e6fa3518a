"""Compressed slices are decoded while the next ones come in, so that little is left at the end.

A shortcut and no more: what is not decoded here, because the process is behind, died or the disk is
full, the analysis decodes itself.
"""

import logging
import multiprocessing
import os
import shutil
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Final

from dicom_listener.assembled import kind_of
from dicom_listener.decoded import decode_into, trim
from dicom_listener.events import ObjectStored
from dicom_listener.pixels import PixelError
from dicom_listener.syntaxes import ENCAPSULATED
from monitor import logs
from monitor.workers import end_with_parent

MAXIMUM_OUTSTANDING: Final = 256
"""Slices handed over and not decoded yet; further ones are left to the analysis."""

KEPT_BYTES: Final = 1 << 30
"""Decoded frames that are kept: three scans of 500 slices. The oldest go first."""

TRIMMED_EVERY: Final = 64
"""Slices between two looks at how much is kept."""

NICENESS: Final = 15
"""Below receiving, and below the analysis of the scan before."""

logger = logging.getLogger(__name__)


class Decoding:
    """Decodes ahead of time, in a process that is started with the first compressed slice.

    Belongs to the pipeline's thread, and never waits.

    Parameters
    ----------
    folder
        Where decoded frames are kept; what is left there of an earlier run is removed.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._pool: ProcessPoolExecutor | None = None
        self._outstanding: set[Future[None]] = set()
        self._offered = 0
        shutil.rmtree(folder, ignore_errors=True)

    def offer(self, stored: ObjectStored) -> None:
        """An object came."""
        header = stored.header
        if header.transfer_syntax_uid not in ENCAPSULATED or kind_of(header) != "slice":
            return
        self._outstanding = {future for future in self._outstanding if not future.done()}
        if len(self._outstanding) >= MAXIMUM_OUTSTANDING:
            return
        if self._pool is None:
            self.folder.mkdir(parents=True, exist_ok=True)
            context = multiprocessing.get_context("spawn")
            self._pool = ProcessPoolExecutor(1, context, initializer=_begin)
        self._offered += 1
        try:
            self._outstanding.add(self._pool.submit(_decode, stored.path, self.folder))
            if self._offered % TRIMMED_EVERY == 0:
                self._outstanding.add(self._pool.submit(trim, self.folder, KEPT_BYTES))
        except BrokenProcessPool:
            logger.warning("The process that decodes ahead has died; it is started again")
            self._pool.shutdown(wait=False)
            self._pool = None

    def close(self) -> None:
        """End."""
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)


def _begin() -> None:
    os.nice(NICENESS)
    logs.hush()
    end_with_parent()


def _decode(path: Path, folder: Path) -> None:
    try:
        decode_into(path, folder)
    except (PixelError, OSError) as error:
        logger.info("%s is not decoded ahead: %s", path.name, error)
