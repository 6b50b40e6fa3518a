"""Folders on disk: a name in one is durable only when the folder itself was synced."""

import os
from pathlib import Path


def fsync_folder(folder: Path) -> None:
    """Make the names in a folder durable.

    Raises
    ------
    OSError
        When the folder can't be opened or synced.
    """
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
