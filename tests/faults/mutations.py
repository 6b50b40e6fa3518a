"""Ways of spoiling bytes; what is random comes from the generator that they are given."""

import struct
import zlib
from collections.abc import Callable
from random import Random

Mutation = Callable[[Random, bytes], bytes]

LENGTHS = (0, 1, 2, 3, 7, 8, 0x7F, 0xFF, 0x100, 0x7FFF, 0xFFFF, 0x10000, 0x100000, 0x7FFFFFFF)
"""Claims that programs stumble over, besides those at the top of their range."""

BOMB_BYTES = 96 << 20
DEPTH = 20_000
MANY = 20_000


def spoiled(random: Random, data: bytes, mutations: tuple[Mutation, ...]) -> bytes:
    """Some of the mutations, one after the other."""
    for _ in range(random.choice((1, 1, 1, 2, 3, 8))):
        data = random.choice(mutations)(random, data)
    return data


def flip(random: Random, data: bytes) -> bytes:
    """Other bits, a few."""
    spoiled = bytearray(data)
    for _ in range(random.randint(1, 8) if data else 0):
        spoiled[random.randrange(len(data))] ^= 1 << random.randrange(8)
    return bytes(spoiled)


def flip_early(random: Random, data: bytes) -> bytes:
    """Other bits in the first 300 bytes, where the structure is."""
    return flip(random, data[:300]) + data[300:]


def cut(random: Random, data: bytes) -> bytes:
    """An early end."""
    return data[: random.randint(0, len(data))]


def drop(random: Random, data: bytes) -> bytes:
    """A hole."""
    start = random.randint(0, len(data))
    return data[:start] + data[start + random.randint(1, 64) :]


def insert(random: Random, data: bytes) -> bytes:
    """Something in between."""
    at = random.randint(0, len(data))
    return data[:at] + random.randbytes(random.randint(1, 64)) + data[at:]


def repeat(random: Random, data: bytes) -> bytes:
    """A part of it twice."""
    start = random.randint(0, len(data))
    part = data[start : start + random.randint(1, 400)]
    return data[:start] + part * random.choice((2, 2, 3, 50)) + data[start + len(part) :]


def lie(random: Random, data: bytes) -> bytes:
    """Another number in two or four bytes, as a length of either byte order would be."""
    form = random.choice(("<H", ">H", "<L", ">L"))
    size = struct.calcsize(form)
    if len(data) < size:
        return data
    top = (1 << 8 * size) - 1
    number = random.choice((*LENGTHS, top, top - 1, top - random.randrange(64), len(data))) & top
    at = random.randint(0, min(len(data) - size, random.choice((64, 400, len(data)))))
    return data[:at] + struct.pack(form, number) + data[at + size :]


ANY: tuple[Mutation, ...] = (flip, flip_early, cut, drop, insert, repeat, lie, lie, lie)
"""For bytes of any kind."""


def nest(random: Random, data: bytes) -> bytes:
    """Sequences in sequences, of explicit VR, before or after the rest."""
    depth = random.choice((33, 500, DEPTH))
    opened = b"\x09\x00\x10\x10SQ\0\0\xff\xff\xff\xff\xfe\xff\x00\xe0\xff\xff\xff\xff"
    closed = b"\xfe\xff\x0d\xe0\0\0\0\0\xfe\xff\xdd\xe0\0\0\0\0"
    return data + opened * depth + closed * random.choice((0, depth - 1, depth))


def crowd(random: Random, data: bytes) -> bytes:
    """Very many elements, each empty."""
    elements = (struct.pack("<HH2sH", 0x0009, 0x1000 + n % 0xE000, b"LO", 0) for n in range(MANY))
    return data + b"".join(elements)


def claim(random: Random, data: bytes) -> bytes:
    """An element that says it is far longer than what comes."""
    length = random.choice((0xFFFFFFFE, 0x7FFFFFFF, 0x10000000, len(data), 0xFFFFFFFF))
    return data + struct.pack("<HH2sHL", 0x7FE0, 0x0010, b"OW", 0, length) + bytes(10)


IN_DATA: tuple[Mutation, ...] = (*ANY, *ANY, nest, crowd, claim)
"""For data sets."""


def deflated(data: bytes) -> bytes:
    """As the deflated transfer syntax wants it (PS3.5, A.5)."""
    deflater = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return deflater.compress(data) + deflater.flush()


def deflate_bomb() -> bytes:
    """A short data set that inflates to ``BOMB_BYTES``."""
    return deflated(struct.pack("<HH2sHL", 9, 0x1010, b"OB", 0, BOMB_BYTES) + bytes(BOMB_BYTES))
