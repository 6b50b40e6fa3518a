"""DIMSE messages, put together from the fragments of P-DATA as they come (PS3.8, annex E).

A data set goes straight into its ``Reception``: it is never held in parts, and never twice.
"""

import errno
import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from pydicom.dataset import Dataset
from pydicom.uid import UID
from pynetdicom.dsutils import encode

from dicom_listener import steps
from dicom_listener.commands import Command, CommandError, Field
from dicom_listener.events import RefusalCode
from dicom_listener.reception import Reception

MAXIMUM_COMMAND_BYTES: Final = 64 << 10
"""Longest command set; one of C-STORE has some 200 bytes."""

MAXIMUM_ATTRIBUTES_BYTES: Final = 4 << 20
"""Longest data set of a message that is no object. 20 000 instances that storage commitment is
asked for take 3 MB."""

DROPPED_TIMES: Final = 2
"""A data set that is too long is read to its end and refused, so that the rest of the job can go
on; one that goes on for so many times its limit ends the association."""

UNEXPECTED_PDU: Final = 2
UNEXPECTED_PARAMETER: Final = 5
INVALID_PARAMETER: Final = 6
"""Reasons of an A-ABORT by the service provider (PS3.8, table 9-26)."""

_PDV = struct.Struct(">LBB")
_IS_COMMAND, _IS_LAST = 1, 2
_P_DATA = 4


class ProtocolError(Exception):
    """The peer does not keep to the protocol; the text is a sentence.

    Attributes
    ----------
    reason
        Reason/Diag. of the A-ABORT that it is answered with.
    """

    def __init__(self, reason: int, text: str) -> None:
        super().__init__(text)
        self.reason = reason


@dataclass(frozen=True)
class Context:
    """A presentation context that was accepted."""

    context_id: int
    abstract_syntax: str
    transfer_syntax: str


@dataclass
class Message:
    """A message, or what has come of it.

    Attributes
    ----------
    data
        Its data set; None when it has none, or when it was refused and dropped.
    refusal
        Why its data set was dropped.
    """

    context: Context
    command: Command
    maximum_bytes: int
    data: Reception | None = None
    refusal: tuple[RefusalCode, str] | None = None
    _size: int = field(default=0, repr=False)

    def write(self, fragment: memoryview) -> None:
        """Append to the data set, or drop what can't be kept.

        Raises
        ------
        ProtocolError
            When it is beyond all measure.
        """
        self._size += len(fragment)
        if self._size > self.maximum_bytes:
            text = f"The data set is longer than {self.maximum_bytes / 1e6:g} MB."
            self._drop("too_large", text)
            if self._size > DROPPED_TIMES * self.maximum_bytes:
                raise ProtocolError(0, text)
        if self.data is None:
            return
        try:
            self.data.write(fragment)
        except OSError as error:
            full = error.errno in (errno.ENOSPC, errno.EDQUOT)
            self._drop(
                "spool_full" if full else "spool_failed",
                f"{(error.strerror or str(error)).rstrip(chr(46))}.",
            )

    def _drop(self, code: RefusalCode, text: str) -> None:
        if self.refusal is None:
            self.refusal = (code, text)
        self.close()

    def close(self) -> None:
        """Let go of the data set."""
        if self.data is not None:
            self.data.close()
            self.data = None


class MessageReader:
    """Puts the messages of one association together.

    Parameters
    ----------
    contexts
        By their numbers.
    receive
        Gives a place for a data set.
    maximum_object_bytes
        Longest data set of a C-STORE.
    """

    def __init__(
        self,
        contexts: Mapping[int, Context],
        receive: Callable[[], Reception],
        maximum_object_bytes: int,
    ) -> None:
        self._contexts = contexts
        self._receive = receive
        self._maximum_object_bytes = maximum_object_bytes
        self._context: Context | None = None
        self._command = bytearray()
        self._message: Message | None = None

    @property
    def is_within(self) -> bool:
        """Whether a message has begun and is not at its end."""
        return self._context is not None

    def feed(self, body: memoryview) -> Iterator[Message]:
        """The messages that are whole with the presentation data values of one more P-DATA-TF.

        Who takes a message closes it.

        Raises
        ------
        ProtocolError
            When these are none, or do not go with those before.
        """
        position = 0
        while position < len(body):
            if position + _PDV.size > len(body):
                raise ProtocolError(INVALID_PARAMETER, "A P-DATA-TF PDU ends too early.")
            length, number, control = _PDV.unpack_from(body, position)
            start = position + _PDV.size
            position += 4 + length
            if length < 2 or position > len(body):
                raise ProtocolError(INVALID_PARAMETER, "A presentation data value has no end.")
            fragment = body[start:position]
            self._check_context(number)
            if control & _IS_COMMAND:
                message = self._take_command(fragment, is_last=bool(control & _IS_LAST))
            else:
                message = self._take_data(fragment, is_last=bool(control & _IS_LAST))
            if message is not None:
                self._context = self._message = None
                yield message

    def close(self) -> None:
        """Let go of a message that has not come to its end."""
        if self._message is not None:
            self._message.close()

    def _check_context(self, number: int) -> None:
        context = self._contexts.get(number)
        if context is None:
            raise ProtocolError(
                UNEXPECTED_PARAMETER, f"A message on context {number}, which was not accepted."
            )
        if self._context not in (None, context):
            raise ProtocolError(
                UNEXPECTED_PARAMETER, "Fragments of one message on two presentation contexts."
            )
        self._context = context

    def _take_command(self, fragment: memoryview, *, is_last: bool) -> Message | None:
        if self._message is not None:
            raise ProtocolError(UNEXPECTED_PARAMETER, "A command where a data set should go on.")
        self._command += fragment
        if len(self._command) > MAXIMUM_COMMAND_BYTES:
            raise ProtocolError(INVALID_PARAMETER, "A command set without end.")
        if not is_last:
            return None
        try:
            command = Command(self._command)
        except CommandError as error:
            raise ProtocolError(INVALID_PARAMETER, str(error)) from error
        finally:
            self._command.clear()
        assert self._context is not None
        is_object = command.field == Field.C_STORE
        bound = self._maximum_object_bytes if is_object else MAXIMUM_ATTRIBUTES_BYTES
        message = Message(self._context, command, bound)
        if not command.has_data:
            return message
        message.data = self._receive()
        self._message = message
        steps.reached(steps.Step.BEGUN)
        return None

    def _take_data(self, fragment: memoryview, *, is_last: bool) -> Message | None:
        message = self._message
        if message is None:
            raise ProtocolError(UNEXPECTED_PARAMETER, "A data set without a command.")
        message.write(fragment)
        return message if is_last else None


def encode_message(
    context: Context, command: bytes, data: Dataset | None, longest_pdu_bytes: int
) -> bytes:
    """A message as P-DATA-TF PDUs with one fragment each (PS3.8, 9.3.5 and annex E).

    Raises
    ------
    ValueError
        When the data set can't be encoded.
    """
    parts = [(command, _IS_COMMAND)]
    if data is not None:
        syntax = UID(context.transfer_syntax)
        encoded = encode(data, syntax.is_implicit_VR, syntax.is_little_endian)
        if encoded is None:
            raise ValueError("a data set can't be encoded")
        parts.append((encoded, 0))
    size = longest_pdu_bytes - _PDV.size
    pdus = bytearray()
    for part, kind in parts:
        for start in range(0, max(len(part), 1), size):
            fragment = part[start : start + size]
            control = kind | (_IS_LAST if start + size >= len(part) else 0)
            pdus += struct.pack(">BxL", _P_DATA, _PDV.size + len(fragment))
            pdus += _PDV.pack(len(fragment) + 2, context.context_id, control)
            pdus += fragment
    return bytes(pdus)
