"""Masks over the wire: what they look like, and what is no mask."""

import base64
import zlib

import numpy as np
import pytest

from monitor.marking_messages import Mask
from monitor.mask_codec import MaskError, decode, encode

GRID = (4, 5, 6)


def mask(packed: bytes, **changes: object) -> Mask:
    runs = base64.b64encode(zlib.compress(packed)).decode()
    given = {"origin_index": (0, 0, 0), "shape": (1, 1, 4), "runs": runs} | changes
    return Mask.model_validate(given)


def test_bits_by_hand() -> None:
    """Voxels x = 1 and 2 of four are bits 1 and 2: 2 + 4."""
    box = decode(mask(b"\x06", origin_index=(1, 2, 3)), GRID)
    assert box.origin_index == (2, 2, 3)
    assert box.array.tolist() == [[[True, True]]]


def test_there_and_back() -> None:
    marked = np.random.default_rng(2).random(GRID) > 0.7
    box = decode(encode(marked), GRID)
    again = np.zeros(GRID, dtype=bool)
    x, y, z = box.origin_index
    nz, ny, nx = box.array.shape
    again[z : z + nz, y : y + ny, x : x + nx] = box.array
    assert (again == marked).all()


def test_a_bomb_is_not_unpacked() -> None:
    with pytest.raises(MaskError, match="as many voxels"):
        decode(mask(bytes(200 << 20)), GRID)


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"runs": "!"}, "read"),
        ({"runs": "é"}, "read"),
        ({"runs": ""}, "as many"),
        ({"runs": base64.b64encode(b"abc").decode()}, "read"),
        ({"shape": (1, 1, 9)}, "leaves"),
        ({"shape": (1, 4, 4)}, "as many"),
        ({"origin_index": (3, 0, 0)}, "leaves"),
        ({"origin_index": (0, 0, 4)}, "leaves"),
        ({"shape": ((1 << 20) - 1,) * 3}, "leaves"),
    ],
)
def test_what_is_no_mask(changes: dict[str, object], word: str) -> None:
    with pytest.raises(MaskError, match=word):
        decode(mask(b"\x06", **changes), GRID)


def test_cut_short_and_with_more_behind() -> None:
    whole = zlib.compress(b"\x06")
    for content in (whole[:-2], whole + b"x"):
        with pytest.raises(MaskError):
            decode(mask(b"", runs=base64.b64encode(content).decode()), GRID)


def test_an_empty_one() -> None:
    with pytest.raises(MaskError, match="empty"):
        decode(mask(b"\x00"), GRID)
    with pytest.raises(MaskError, match="empty"):
        encode(np.zeros(GRID, dtype=bool))
