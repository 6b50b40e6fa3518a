"""File meta information of spooled objects (PS3.10, 7.1), with the receipt in its private part."""

import json
import logging
import os
import struct
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from dicom_listener.encoded import split_part10
from dicom_listener.events import Receipt
from dicom_listener.headers import ObjectHeader
from dicom_listener.syntaxes import is_uid

LOGGER = logging.getLogger(__name__)

IMPLEMENTATION_CLASS_UID: Final = "2.25.149725947943281424729382909920614848901"
"""Ours, made from a random UUID (PS3.5, B.2)."""

RECEIPT_UID: Final = "2.25.137404802225645766551506216464855009697"
"""Private Information Creator UID of the receipt."""


# All of it is in Explicit VR Little Endian.
CLASS_UID: Final = 0x00020002
"""Media Storage SOP Class UID."""
INSTANCE_UID: Final = 0x00020003
"""Media Storage SOP Instance UID."""
SYNTAX_UID: Final = 0x00020010
"""Transfer Syntax UID."""
_VERSION = 0x00020001
_IMPLEMENTATION = 0x00020012
_SOURCE_AE = 0x00020016
_PRIVATE_CREATOR = 0x00020100
_PRIVATE = 0x00020102
_VRS = {
    CLASS_UID: b"UI",
    INSTANCE_UID: b"UI",
    SYNTAX_UID: b"UI",
    _IMPLEMENTATION: b"UI",
    _SOURCE_AE: b"AE",
    _PRIVATE_CREATOR: b"UI",
}


def uid_or_nothing(text: str) -> bytes:
    """A UID's bytes; none for what is no valid UID."""
    return text.encode("ascii") if is_uid(text) else b""


def encode_meta(values: Mapping[int, bytes]) -> bytes:
    """Preamble, prefix and file meta information; empty values are left out."""
    body = b""
    known = {_VERSION: b"\x00\x01", _IMPLEMENTATION: IMPLEMENTATION_CLASS_UID.encode(), **values}
    for tag, value in sorted(known.items()):
        if not value:
            continue
        vr = _VRS.get(tag, b"OB")
        padded = value + (b" " if vr == b"AE" else b"\0") * (len(value) % 2)
        size = len(padded)
        length = struct.pack("<HL", 0, size) if vr == b"OB" else struct.pack("<H", size)
        body += struct.pack("<HH2s", tag >> 16, tag & 0xFFFF, vr) + length + padded
    return bytes(128) + b"DICM" + struct.pack("<HH2sHL", 2, 0, b"UL", 4, len(body)) + body


def file_meta(header: ObjectHeader, receipt: Receipt, length: int = 0) -> bytes:
    """File meta information with the receipt, filled up with blanks to ``length`` bytes."""
    values = {
        CLASS_UID: header.sop_class_uid.encode(),
        INSTANCE_UID: header.sop_instance_uid.encode(),
        SYNTAX_UID: header.transfer_syntax_uid.encode(),
        _SOURCE_AE: receipt.calling_ae_title.encode("ascii", "replace")[:16],
        _PRIVATE_CREATOR: RECEIPT_UID.encode(),
        _PRIVATE: json.dumps(receipt_json(receipt)).encode(),
    }
    values[_PRIVATE] += b" " * (len(values[_PRIVATE]) % 2)
    meta = encode_meta(values)
    if len(meta) < length:
        values[_PRIVATE] += b" " * (length - len(meta))
        meta = encode_meta(values)
    return meta


def receipt_json(receipt: Receipt) -> dict[str, str]:
    """A receipt for JSON."""
    return {**vars(receipt), "received_at": receipt.received_at.isoformat()}


def read_receipt(path: Path) -> Receipt:
    """The receipt of a stored file; for a foreign file what can be told from the outside.

    Raises
    ------
    DatasetError
        When it is no DICOM file.
    OSError
        When it can't be read.
    """
    with path.open("rb") as file:
        meta, _ = split_part10(file.read(4096))
        changed = datetime.fromtimestamp(os.fstat(file.fileno()).st_mtime, UTC)
    source = meta.get(_SOURCE_AE, b"").decode("ascii", "replace").strip()
    if meta.get(_PRIVATE_CREATOR, b"").strip(b"\0") == RECEIPT_UID.encode():
        try:
            facts = json.loads(meta[_PRIVATE].rstrip(b"\0 "))
            facts["received_at"] = datetime.fromisoformat(facts["received_at"])
            return Receipt(**facts)
        except (KeyError, ValueError, TypeError):
            LOGGER.warning("The receipt in %s can't be read", path)
    return Receipt(changed, "", source, "")
