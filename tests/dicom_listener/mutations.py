"""Objects with bytes changed, as no sender should send them and some do."""

import random
import struct
from collections.abc import Callable, Iterator
from typing import Final

Mutation = Callable[[bytearray, random.Random], None]

LENGTHS: Final = (0, 1, 7, 0x7FFF, 0xFFFF, 0x10000, 0x7FFFFFFF, 0xFFFFFFFE, 0xFFFFFFFF)
"""What parsers trip over."""


def flip_bits(data: bytearray, chance: random.Random) -> None:
    for _ in range(chance.randint(1, 6)):
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)


def write_length(data: bytearray, chance: random.Random) -> None:
    at = chance.randrange(132, len(data) - 4)
    struct.pack_into(chance.choice(("<L", ">L")), data, at, chance.choice(LENGTHS))


def write_item(data: bytearray, chance: random.Random) -> None:
    at = chance.randrange(132, len(data) - 8)
    tag = chance.choice((0xE000, 0xE00D, 0xE0DD))
    struct.pack_into("<HHL", data, at, 0xFFFE, tag, chance.choice(LENGTHS))


def cut_out(data: bytearray, chance: random.Random) -> None:
    at = chance.randrange(132, len(data))
    del data[at : at + chance.randint(1, 40)]


def put_in(data: bytearray, chance: random.Random) -> None:
    at = chance.randrange(132, len(data))
    data[at:at] = chance.randbytes(chance.randint(1, 20))


def repeat(data: bytearray, chance: random.Random) -> None:
    at, size = chance.randrange(132, len(data)), chance.randint(8, 400)
    data[at:at] = data[at : at + size]


def cut_off(data: bytearray, chance: random.Random) -> None:
    del data[chance.randrange(len(data)) :]


def change_digits(data: bytearray, chance: random.Random) -> None:
    """Numbers of elements are written as text."""
    digits = [n for n in range(132, min(len(data), 6000)) if chr(data[n]).isdigit()]
    for n in chance.sample(digits, min(3, len(digits))):
        data[n] = ord(chance.choice("0123456789-.eE\\ N"))


def change_header(data: bytearray, chance: random.Random) -> None:
    """Anywhere before the pixels, where most that matters stands."""
    for _ in range(chance.randint(1, 4)):
        data[chance.randrange(132, min(len(data), 2500))] = chance.randrange(256)


MUTATIONS: Final[tuple[Mutation, ...]] = (
    flip_bits,
    write_length,
    write_item,
    cut_out,
    put_in,
    repeat,
    cut_off,
    change_digits,
    change_header,
)


def mutated(whole: bytes, count: int, seed: int) -> Iterator[bytes]:
    """``count`` files that differ from a whole one, always the same for a seed."""
    chance = random.Random(seed)
    for _ in range(count):
        data = bytearray(whole)
        for mutation in chance.choices(MUTATIONS, k=chance.choice((1, 1, 1, 2, 3))):
            if len(data) > 200:
                mutation(data, chance)
        yield bytes(data)
