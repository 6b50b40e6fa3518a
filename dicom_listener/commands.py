"""DIMSE's command sets: the few elements that say what a message is (PS3.7, 6.3.1 and annex E)."""

import struct
from collections.abc import Mapping
from enum import IntEnum
from typing import Final


class CommandError(Exception):
    """Bytes that are no command set; the text is a sentence."""


class Field(IntEnum):
    """Command Field (0000,0100) of the requests that are known; answers have ``ANSWER`` set too."""

    C_STORE = 0x0001
    C_ECHO = 0x0030
    C_CANCEL = 0x0FFF
    N_EVENT_REPORT = 0x0100
    N_SET = 0x0120
    N_ACTION = 0x0130
    N_CREATE = 0x0140


ANSWER: Final = 0x8000

AFFECTED_CLASS: Final = 0x00000002
REQUESTED_CLASS: Final = 0x00000003
COMMAND_FIELD: Final = 0x00000100
MESSAGE_ID: Final = 0x00000110
ANSWERED_MESSAGE_ID: Final = 0x00000120
DATA_SET_TYPE: Final = 0x00000800
STATUS: Final = 0x00000900
ERROR_COMMENT: Final = 0x00000902
ERROR_ID: Final = 0x00000903
AFFECTED_INSTANCE: Final = 0x00001000
REQUESTED_INSTANCE: Final = 0x00001001
EVENT_TYPE_ID: Final = 0x00001002
ACTION_TYPE_ID: Final = 0x00001008

NO_DATA_SET: Final = 0x0101
"""Command Data Set Type (0000,0800) of a message without data set; any other value means one."""

ERROR_COMMENT_CHARACTERS: Final = 64
"""Longest Error Comment (0000,0902), an LO."""

_NUMBERS = frozenset(
    (
        COMMAND_FIELD,
        MESSAGE_ID,
        ANSWERED_MESSAGE_ID,
        DATA_SET_TYPE,
        STATUS,
        ERROR_ID,
        EVENT_TYPE_ID,
        ACTION_TYPE_ID,
    )
)
_ELEMENT = struct.Struct("<HHL")


class Command:
    """A command set, always Implicit VR Little Endian.

    Raises
    ------
    CommandError
        When the bytes are none, or do not say which command it is.
    """

    def __init__(self, encoded: bytes | bytearray) -> None:
        self._values: dict[int, bytes] = {}
        position = 0
        while position < len(encoded):
            if position + _ELEMENT.size > len(encoded):
                raise CommandError("A command set ends within an element.")
            group, element, length = _ELEMENT.unpack_from(encoded, position)
            start = position + _ELEMENT.size
            position = start + length
            if group or position > len(encoded):
                raise CommandError("A command set holds what is no element of one.")
            self._values[element] = bytes(encoded[start:position])
        field = self.number(COMMAND_FIELD)
        if field is None:
            raise CommandError("A command set names no command.")
        self.field = field
        self.has_data = self.number(DATA_SET_TYPE) not in (None, NO_DATA_SET)

    def number(self, tag: int) -> int | None:
        """The value of a US element, or None."""
        value = self._values.get(tag, b"")
        return int.from_bytes(value, "little") if len(value) == 2 else None

    def text(self, tag: int) -> str | None:
        """The value of a UID or text element; None where there is none, or nothing in it."""
        return self._values.get(tag, b"").decode("ascii", "replace").strip("\0 ") or None

    @property
    def message_id(self) -> int | None:
        """Message ID (0000,0110)."""
        return self.number(MESSAGE_ID)

    @property
    def sop_class_uid(self) -> str | None:
        """Of what is affected or requested."""
        return self.text(AFFECTED_CLASS) or self.text(REQUESTED_CLASS)

    @property
    def sop_instance_uid(self) -> str | None:
        """Of what is affected or requested."""
        return self.text(AFFECTED_INSTANCE) or self.text(REQUESTED_INSTANCE)


def encode_command(values: Mapping[int, int | str | None]) -> bytes:
    """A command set; values that are None are left out."""
    body = b"".join(_encode_element(tag, value) for tag, value in sorted(values.items()))
    return _ELEMENT.pack(0, 0, 4) + struct.pack("<L", len(body)) + body


def _encode_element(tag: int, value: int | str | None) -> bytes:
    if value is None:
        return b""
    if tag in _NUMBERS:
        assert isinstance(value, int)
        return _ELEMENT.pack(0, tag, 2) + struct.pack("<H", value)
    assert isinstance(value, str)
    padding = b" " if tag == ERROR_COMMENT else b"\0"
    encoded = value.encode("ascii", "replace")
    encoded += padding * (len(encoded) % 2)
    return _ELEMENT.pack(0, tag, len(encoded)) + encoded


def encode_answer(
    command: Command,
    status: int,
    *,
    with_data: bool = False,
    comment: str = "",
    error_id: int | None = None,
) -> bytes:
    """The command set of the answer to a request.

    Parameters
    ----------
    comment
        Error Comment: why it was refused, cut to the length that one may have.
    error_id
        Error ID, where the service defines one.
    """
    return encode_command(
        {
            AFFECTED_CLASS: command.sop_class_uid,
            COMMAND_FIELD: command.field | ANSWER,
            ANSWERED_MESSAGE_ID: command.message_id,
            DATA_SET_TYPE: 0 if with_data else NO_DATA_SET,
            STATUS: status,
            ERROR_COMMENT: comment[:ERROR_COMMENT_CHARACTERS] or None,
            ERROR_ID: error_id,
            AFFECTED_INSTANCE: command.sop_instance_uid,
            ACTION_TYPE_ID: command.number(ACTION_TYPE_ID),
        }
    )
