"""Stand-ins for a segmentation network behind the plug-in point."""

import os
import threading

import numpy as np
from numpy.typing import NDArray

from segmentation.volume import Volume


def bright(volume: Volume) -> dict[str, NDArray[np.bool_]]:
    """What is bright, by halves; and nothing at all."""
    left = volume.array > 30
    left[:, :, : left.shape[2] // 2] = False
    return {"Kidney left": left, "Tumour": volume.array > 45, "Empty": volume.array > 30000}


def crash(volume: Volume) -> object:
    """The process ends, as by a fault in a driver."""
    os._exit(3)


def fail(volume: Volume) -> object:
    """It raises."""
    raise RuntimeError("no memory on the device")


def hang(volume: Volume) -> object:
    """It does not come back."""
    threading.Event().wait()
    return {}


def wrong(volume: Volume) -> object:
    """Masks of another grid."""
    return {"Kidney left": volume.array[1:] > 30}


def many(volume: Volume) -> object:
    """More than anybody looks at."""
    return {f"Part {n}": volume.array > 30 for n in range(1000)}
