"""What many jobs need is handed to each analysis process once: a reference of some 35 MB.

Down the pipe it would be taken apart, sent and put together for every scan, which takes as long as
registering one. Here it is written to a file in a folder of the service's own. The file goes when
nobody holds the reference any more; what a killed service has left, at the next start.
"""

import logging
import pickle
import shutil
import weakref
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

from segmentation.assessment import Reference

FOLDER: Final = "lent"
"""In the storage folder."""

HELD: Final = 2
"""A process keeps so many: the usual one, and one that a person wants for a scan."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Lent:
    """Stands for what lies in the file."""

    path: Path


class Lending:
    """In the service; not shared between threads.

    Parameters
    ----------
    folder
        Nobody else's; emptied.
    """

    def __init__(self, folder: Path) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        self._folder = folder
        self._paths: weakref.WeakKeyDictionary[Reference, Path] = weakref.WeakKeyDictionary()

    def lend(self, arguments: Sequence[Any]) -> list[Any]:
        """The arguments, what is large in them lent."""
        return [self._lent(one) if isinstance(one, Reference) else one for one in arguments]

    def _lent(self, reference: Reference) -> Lent | Reference:
        path = self._paths.get(reference)
        if path is None:
            path = self._folder / uuid4().hex
            try:
                self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                path.write_bytes(_packed(reference))
            except OSError as error:
                logger.warning("A reference is sent with each job: %s", error)
                with suppress(OSError):
                    path.unlink(missing_ok=True)
                return reference
            self._paths[reference] = path
            weakref.finalize(reference, path.unlink, missing_ok=True)
        return Lent(path)

    def close(self) -> None:
        """All files go."""
        shutil.rmtree(self._folder, ignore_errors=True)


def _packed(reference: Reference) -> bytes:
    """Arrays apart from the rest: they are read-only where they are taken, jobs share them."""
    arrays: list[pickle.PickleBuffer] = []
    rest = pickle.dumps(reference, 5, buffer_callback=arrays.append)
    return pickle.dumps((rest, [bytes(one.raw()) for one in arrays]), 5)


def taken(argument: Any) -> Any:
    """In an analysis process: what was lent, or the argument itself.

    Raises
    ------
    OSError
        The file can't be read.
    """
    return _read(argument.path) if isinstance(argument, Lent) else argument


@lru_cache(maxsize=HELD)
def _read(path: Path) -> Any:
    rest, arrays = pickle.loads(path.read_bytes())  # noqa: S301  the service's own
    return pickle.loads(rest, buffers=arrays)  # noqa: S301
