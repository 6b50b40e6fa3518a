"""What a peer says from its first byte to its last, mostly wrong, made from a seed."""

import hashlib
import ssl
import struct
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from random import Random

from pydicom.datadict import tag_for_keyword
from pydicom.dataset import Dataset
from pydicom.uid import (
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    RTStructureSetStorage,
    generate_uid,
)

from tests.dicom_listener.objects import ct_slice, encode, structure_set
from tests.dicom_listener.raw_peer import associate_rq, element, p_data, pdu
from tests.faults.mutations import ANY, IN_DATA, deflate_bomb, deflated, spoiled

VERIFICATION = "1.2.840.10008.1.1"
PERFORMED_STEP = "1.2.840.10008.3.1.2.3.3"
COMMITMENT, COMMITMENT_INSTANCE = "1.2.840.10008.1.20.1", "1.2.840.10008.1.20.1.1"
SYNTAXES = (
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
)
CONTEXTS = (
    *((1 + 2 * n, CTImageStorage, (syntax,)) for n, syntax in enumerate(SYNTAXES)),
    (21, VERIFICATION, (ImplicitVRLittleEndian,)),
    (23, PERFORMED_STEP, (ExplicitVRLittleEndian,)),
    (25, COMMITMENT, (ExplicitVRLittleEndian,)),
    (27, RTStructureSetStorage, (ExplicitVRLittleEndian,)),
)
LARGE_BYTES = 5 << 20
"""Of a data set that the listener puts into a file while it comes."""

ESCAPE = "icemargin-escaped"
"""In the names of files that nobody may make."""

BAD_UIDS = (f"../../{ESCAPE}", f"/tmp/{ESCAPE}", f"1.2/../{ESCAPE}", "", ".", "1" * 65, "1..2", "é")

_CREATE, _SET, _ACTION, _ECHO, _STORE = 0x140, 0x120, 0x130, 0x30, 1
_FRAGMENT_BYTES = 16_000


@dataclass
class Conversation:
    """The bytes, in the parts in which they are sent.

    Attributes
    ----------
    waits
        Whether the answer to the association request is waited for.
    says_goodbye
        ``half``: closes its side and listens on; ``reset``: is gone at once; ``stays``: is silent
        until everybody goes.
    objects
        Data sets by Message ID: the SOP Instance UID that was claimed, and the digest of the bytes.
        Empty when what arrives can't be known.
    how
        ``plain``; ``tls``: to the port with TLS, with a certificate; ``raw``: to that port, without
        a handshake.
    """

    parts: list[bytes]
    waits: bool = True
    says_goodbye: str = "half"
    objects: dict[int, tuple[str, str]] = field(default_factory=dict)
    how: str = "plain"


def conversation(random: Random) -> Conversation:
    """Any of them."""
    kind = random.choices(tuple(_KINDS), weights=tuple(_KINDS.values()))[0]
    made = kind(random)
    made.waits = made.waits and random.random() < 0.7
    if made.how == "plain" and random.random() < 0.1:
        made.how = "tls"
    made.says_goodbye = random.choices(("half", "reset", "stays"), weights=(8, 2, 1))[0]
    return made


def _request(random: Random) -> Conversation:
    """A spoilt A-ASSOCIATE-RQ."""
    whole = associate_rq(CONTEXTS)
    if random.random() < 0.5:  # its header stays right, so that all of it is looked at
        return Conversation([pdu(1, spoiled(random, whole[6:], ANY))])
    if random.random() < 0.3:
        titles = {"called": random.choice(("", "X" * 16, "\\", "é")), "calling": "\0" * 16}
        return Conversation([associate_rq(CONTEXTS, **titles)])
    return Conversation([spoiled(random, whole, ANY)], waits=False)


def _contexts(random: Random) -> Conversation:
    """As many contexts as there can be, with as many syntaxes as fit."""
    names = [f"1.2.3.{n}" for n in range(random.choice((1, 40, 600)))]
    numbers = [random.randrange(256) for _ in range(random.choice((1, 128, 300)))]
    return Conversation([associate_rq([(n, CTImageStorage, names) for n in numbers])], waits=False)


def _noise(random: Random) -> Conversation:
    """What is no DICOM at all."""
    heads = (b"", b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x02\x00", b"\x04\x00\x00\x00\x00\x00")
    parts = [random.choice(heads) + random.randbytes(random.randint(0, 2000))]
    return Conversation(parts, waits=False)


def _handshake(random: Random) -> Conversation:
    """Half a TLS handshake, or none."""
    hello = client_hello()
    parts = [random.choice((hello[: random.randrange(len(hello))], spoiled(random, hello, ANY)))]
    return Conversation(parts, waits=False, how="raw")


def _pdus(random: Random) -> Conversation:
    """PDUs that are whole, in an order of no meaning."""
    known = [
        *_session(random).parts,
        pdu(2, bytes(68)),
        pdu(3, bytes(4)),
        pdu(5, bytes(4)),
        pdu(6, bytes(4)),
        pdu(7, bytes(4)),
        pdu(random.randrange(256), random.randbytes(random.randint(0, 200))),
        pdu(4, b""),
    ]
    parts = [random.choice(known) for _ in range(random.randint(1, 12))]
    return Conversation([known[0], *parts] if random.random() < 0.7 else parts)


def _stream(random: Random) -> Conversation:
    """A session that is spoilt anywhere after its association."""
    made = _session(random)
    head, *rest = made.parts
    return Conversation([head, spoiled(random, b"".join(rest), ANY)])


def _commands(random: Random) -> Conversation:
    """Command sets that are none, in PDUs that are right."""
    context, command, data = random.choice(_messages(random))
    body = spoiled(random, command[12:], ANY)
    if random.random() < 0.5:
        body = element(0, struct.pack("<L", len(body))) + body
    parts = [associate_rq(CONTEXTS), p_data(body, command=True, context=context)]
    if data is not None:
        parts += _fragments(random, data, context)
    return Conversation(parts)


def _data_sets(random: Random) -> Conversation:
    """Data sets that are none, in messages that are right."""
    made = Conversation([associate_rq(CONTEXTS)])
    if random.random() < 0.2:  # contours, which the measuring side reads at once
        ds = structure_set()
        ds.SOPInstanceUID = _uid(random)
        data = spoiled(random, encode(ds), IN_DATA)
        _add(random, made, 27, RTStructureSetStorage, str(ds.SOPInstanceUID), data, 9)
    for message in range(1, random.randint(2, 4)):
        number, syntax = random.choice(tuple(enumerate(SYNTAXES)))
        uid, data = _ct(random, syntax)
        if syntax == DeflatedExplicitVRLittleEndian:
            plain = _ct_bytes(uid, ExplicitVRLittleEndian)
            data = deflated(spoiled(random, plain, IN_DATA))
            if random.random() < 0.3:
                data = _bomb() if random.random() < 0.5 else spoiled(random, data, ANY)
        else:
            data = spoiled(random, data, IN_DATA)
        _add(random, made, 1 + 2 * number, CTImageStorage, uid, data, message)
    return made


def _attributes(random: Random) -> Conversation:
    """Performed steps and commitments whose data sets are none."""
    context, command, data = random.choice([m for m in _messages(random) if m[0] in (23, 25)])
    parts = [associate_rq(CONTEXTS), p_data(command, command=True, context=context)]
    assert data is not None
    parts += _fragments(random, spoiled(random, data, IN_DATA), context)
    return Conversation(parts)


def _names(random: Random) -> Conversation:
    """UIDs that are none, or lead elsewhere."""
    uid = random.choice(BAD_UIDS)
    ds = ct_slice(SOPInstanceUID=generate_uid(entropy_srcs=[str(random.random())]))
    where = random.choice(("SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID"))
    data = encode(ds).replace(_explicit(where, str(ds[where].value)), _explicit(where, uid), 1)
    made = Conversation([associate_rq(CONTEXTS)])
    claimed = uid if where == "SOPInstanceUID" else str(ds.SOPInstanceUID)
    _add(random, made, 1, CTImageStorage, claimed, data, 1)
    return made


def _large(random: Random) -> Conversation:
    """An object that goes into a file as it comes, and often does not come to its end."""
    uid = _uid(random)
    ds = ct_slice(SOPInstanceUID=uid)
    ds.add_new("DataSetTrailingPadding", "OB", random.randbytes(64) * (LARGE_BYTES // 64))
    data = encode(ds)
    made = Conversation([associate_rq(CONTEXTS)])
    whole = random.random() < 0.3
    sent = data if whole else data[: random.randint(LARGE_BYTES - 100_000, len(data) - 1)]
    _add(random, made, 1, CTImageStorage, uid, sent, 1, ends=random.random() < 0.5 or whole)
    return made


def _session(random: Random) -> Conversation:
    """Nothing wrong with it."""
    made = Conversation([associate_rq(CONTEXTS)])
    for message in range(1, random.randint(2, 4)):
        number, syntax = random.choice(tuple(enumerate(SYNTAXES)))
        uid, data = _ct(random, syntax)
        _add(random, made, 1 + 2 * number, CTImageStorage, uid, data, message)
    for context, command, rest in random.sample(_messages(random), 2):
        made.parts.append(p_data(command, command=True, context=context))
        if rest is not None:
            made.parts += _fragments(random, rest, context)
    made.parts.append(pdu(5, bytes(4)))
    return made


_KINDS: dict[Callable[[Random], Conversation], float] = {
    _request: 4,
    _contexts: 1,
    _noise: 1,
    _handshake: 1,
    _pdus: 4,
    _stream: 6,
    _commands: 5,
    _data_sets: 10,
    _attributes: 5,
    _names: 2,
    _large: 0.3,
    _session: 3,
}
"""How often each occurs."""


def _add(
    random: Random,
    made: Conversation,
    context: int,
    sop_class: str,
    uid: str,
    data: bytes,
    message: int,
    *,
    ends: bool = True,
) -> None:
    """One C-STORE request."""
    command = _command(_STORE, message, {0x0002: sop_class, 0x1000: uid}, with_data=True)
    made.parts.append(p_data(command, command=True, context=context))
    made.parts += _fragments(random, data, context, ends=ends)
    made.objects[message] = (uid, hashlib.sha256(data).hexdigest())


def _fragments(random: Random, data: bytes, context: int, *, ends: bool = True) -> list[bytes]:
    size = random.choice((_FRAGMENT_BYTES, _FRAGMENT_BYTES, 128 << 10, max(len(data) // 7, 1)))
    starts = range(0, max(len(data), 1), size)
    return [
        p_data(
            data[start : start + size],
            command=False,
            last=ends and start + size >= len(data),
            context=context,
        )
        for start in starts
    ]


def _messages(random: Random) -> list[tuple[int, bytes, bytes | None]]:
    """Other requests than C-STORE: context, command set, data set."""
    step, transaction, instance = _uid(random), _uid(random), _uid(random)
    create, change, action = Dataset(), Dataset(), Dataset()
    image = Dataset()
    image.ReferencedSOPClassUID, image.ReferencedSOPInstanceUID = CTImageStorage, instance
    series = Dataset()
    series.SeriesInstanceUID = _uid(random)
    series.ReferencedImageSequence = [image]
    create.PerformedProcedureStepStatus = "IN PROGRESS"
    create.PerformedProcedureStepID = "1"
    create.PatientID = "4711"
    create.PerformedSeriesSequence = []
    change.PerformedProcedureStepStatus = random.choice(("COMPLETED", "DISCONTINUED", "NONSENSE"))
    change.PerformedSeriesSequence = [series]
    action.TransactionUID = transaction
    action.ReferencedSOPSequence = [image]
    made = {0x0002: PERFORMED_STEP, 0x1000: step}
    changed = {0x0003: PERFORMED_STEP, 0x1001: step}
    asked = {0x0003: COMMITMENT, 0x1001: COMMITMENT_INSTANCE}
    return [
        (21, _command(_ECHO, 90, {0x0002: VERIFICATION}, with_data=False), None),
        (23, _command(_CREATE, 91, made, with_data=True), encode(create)),
        (23, _command(_SET, 92, changed, with_data=True), encode(change)),
        (25, _command(_ACTION, 93, asked, with_data=True, action=1), encode(action)),
    ]


def _command(
    number: int, message: int, uids: dict[int, str], *, with_data: bool, action: int | None = None
) -> bytes:
    """A command set (PS3.7, 9 and 10), its elements in order."""
    values = {tag: text.encode() for tag, text in uids.items()}
    values |= {0x0100: struct.pack("<H", number), 0x0110: struct.pack("<H", message)}
    values[0x0800] = struct.pack("<H", 1 if with_data else 0x0101)
    if action is not None:
        values[0x1008] = struct.pack("<H", action)
    body = b"".join(element(tag, value) for tag, value in sorted(values.items()))
    return element(0, struct.pack("<L", len(body))) + body


def _explicit(keyword: str, uid: str) -> bytes:
    """An element of VR UI, explicit little endian."""
    tag = tag_for_keyword(keyword) or 0
    value = uid.encode() + b"\0" * (len(uid.encode()) % 2)
    return struct.pack("<HH2sH", tag >> 16, tag & 0xFFFF, b"UI", len(value)) + value


def _uid(random: Random) -> str:
    return str(generate_uid(entropy_srcs=[str(random.random())]))


def _ct(random: Random, syntax: str) -> tuple[str, bytes]:
    uid = _uid(random)
    return uid, _ct_bytes(uid, syntax)


def _ct_bytes(uid: str, syntax: str) -> bytes:
    return encode(ct_slice(SOPInstanceUID=uid), syntax)


def client_hello() -> bytes:
    """What a TLS client says first."""
    out = ssl.MemoryBIO()
    client = ssl.create_default_context().wrap_bio(ssl.MemoryBIO(), out, server_hostname="ct")
    with suppress(ssl.SSLWantReadError):
        client.do_handshake()
    return out.read()


@cache
def _bomb() -> bytes:
    return deflate_bomb()
