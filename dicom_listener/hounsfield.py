"""From the words of a stored frame to Hounsfield units."""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

PADDING_HU: Final = -1024
"""What pixels outside of the scanner's circle become: air, the lowest value of 12-bit CT."""


@dataclass(frozen=True)
class Layout:
    """How stored values lie in their words (PS3.5, 8.1.1).

    Attributes
    ----------
    padding
        First and last value that mean no pixel (PS3.3, C.7.5.1.1.2); an empty range if there are
        none.
    """

    rows: int
    columns: int
    allocated: int
    stored: int
    high: int
    signed: bool
    little_endian: bool
    padding: tuple[int, int]

    @property
    def dtype(self) -> np.dtype[Any]:
        order, kind = "<" if self.little_endian else ">", "i" if self.signed else "u"
        return np.dtype(f"{order}{kind}{self.allocated // 8}")

    @property
    def frame_bytes(self) -> int:
        return self.rows * self.columns * self.allocated // 8

    def values(self, words: NDArray[Any]) -> NDArray[Any]:
        """Sign extended, and free of what other bits hold: overlays (retired) or rubbish."""
        if self.stored == self.allocated:
            return words
        # The shift to the right is arithmetic for signed values.
        return (words << (self.allocated - 1 - self.high)) >> (self.allocated - self.stored)


def to_hu(words: NDArray[Any], layout: Layout, slope: float, intercept: float) -> NDArray[np.int16]:
    """A frame's (rows, columns) words in HU.

    HU are slope x stored value + intercept (PS3.3, C.11.1), rounded and clipped to int16; pixels
    that carry the padding value become ``PADDING_HU``.
    """
    stored = layout.values(words)
    limits = np.iinfo(np.int16)
    low, high = int(stored.min()), int(stored.max())
    whole = slope == 1 and intercept.is_integer()
    if (
        whole
        and all(limits.min <= n <= limits.max for n in (low, high))
        and (limits.min <= low + intercept <= high + intercept <= limits.max)
    ):
        hu = stored.astype(np.int16) + np.int16(intercept)
    else:
        exact = stored.astype(np.float64) * slope + intercept
        hu = np.clip(np.rint(exact), limits.min, limits.max).astype(np.int16)
    first, last = layout.padding
    # Some write it into all bits of the word, beyond those that are said to be stored.
    for each in (stored,) if stored is words else (stored, words):
        if first <= each.max() and last >= each.min():
            hu[(each >= first) & (each <= last)] = PADDING_HU
    return hu
