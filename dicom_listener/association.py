"""An association that we ask for, and the messages on it (PS3.7 and PS3.8).

pynetdicom's own requestor runs two threads for each association, which poll; its association thread
can take an answer for a request and drop it on a busy machine, a peer that stalls within a PDU
holds it for ever, and a failure is an empty data set. A user of services is sequential by nature:
here it is one thread that asks, waits within bounds, and gets the answer or a ``CallError``.
pynetdicom encodes and decodes.
"""

import io
import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self

from pydicom.dataset import Dataset
from pydicom.uid import UID
from pynetdicom.dsutils import decode, encode
from pynetdicom.pdu import (
    A_ABORT_RQ,
    A_ASSOCIATE_AC,
    A_ASSOCIATE_RJ,
    A_ASSOCIATE_RQ,
    A_RELEASE_RQ,
)
from pynetdicom.pdu_primitives import (
    A_ASSOCIATE,
    ImplementationClassUIDNotification,
    MaximumLengthNotification,
    SCP_SCU_RoleSelectionNegotiation,
)
from pynetdicom.presentation import build_context

from dicom_listener.connection import Connection
from dicom_listener.file_meta import IMPLEMENTATION_CLASS_UID
from dicom_listener.nodes import CallCode, CallError, Node, Ourselves

MAXIMUM_CONTEXTS: Final = 128
"""Presentation contexts in one request: odd numbers of one byte (PS3.8, 9.3.2.2)."""

MAXIMUM_SENT_PDU_BYTES: Final = 131072
"""Longest PDU that we send, where the peer would take more; larger ones are slower."""

MINIMUM_PDU_BYTES: Final = 256
"""A peer that takes no more than this can't be meant."""

MAXIMUM_ANSWER_BYTES: Final = 4 << 20
"""Longest answer; one to a query has some hundred bytes."""

_APPLICATION_CONTEXT = "1.2.840.10008.3.1.1.1"
_RESPONSE = 0x8000
_C_CANCEL = 0x0FFF
_NO_DATA = 0x0101
_WITH_DATA = 0x0001
_RELEASE_S = 5.0
_RELEASE_PDUS = 16
_ABORT_S = 1.0

_ACCEPTED, _REJECTED, _DATA, _RELEASED, _ABORTED = 0x02, 0x03, 0x04, 0x06, 0x07

Proposal = tuple[str, Sequence[str]]
"""An abstract syntax, and the transfer syntaxes of one presentation context for it."""


@dataclass(frozen=True)
class Context:
    """A presentation context that was accepted."""

    number: int
    abstract_syntax: str
    transfer_syntax: str


@dataclass(frozen=True)
class Answer:
    """A response: the status, the command set it came in, and the data set's bytes, if any."""

    status: int
    command: Dataset
    data: bytes

    @property
    def comment(self) -> str:
        """Status and Error Comment (0000,0902), for people."""
        text = " ".join(str(self.command.get("ErrorComment", "")).split())
        return f"status 0x{self.status:04X}" + (f", {text}" if text else "")


class Association:
    """An association that we ask for; one request on it after the other.

    A context manager: it begins with the association, and ends with a release, or with an abort
    after an exception. It belongs to one thread, but for ``break_off``.

    Parameters
    ----------
    proposals
        Presentation contexts, at most ``MAXIMUM_CONTEXTS``.
    provider_of
        Abstract syntaxes that we are the provider of, though it is us who call (PS3.7, D.3.3.4).

    Attributes
    ----------
    contexts
        Those that were accepted.
    """

    def __init__(
        self,
        node: Node,
        caller: Ourselves,
        proposals: Sequence[Proposal],
        *,
        provider_of: Sequence[str] = (),
    ) -> None:
        self.node = node
        self.caller = caller
        self.contexts: tuple[Context, ...] = ()
        self._proposals = proposals
        self._provider_of = provider_of
        self._opened: Connection | None = None
        self._broken_off = False
        self._message = 0
        self._sent_bytes = MAXIMUM_SENT_PDU_BYTES

    def __enter__(self) -> Self:
        """Connect, and ask for the association.

        Raises
        ------
        CallError
            When there is none, or none of the proposals was accepted.
        """
        self._opened = Connection(self.node, self.caller)
        if self._broken_off:
            self._opened.break_off()
        try:
            self._associate()
        except BaseException:
            self.abort()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error is None:
            self.release()
        else:
            self.abort()

    # The association

    def _associate(self) -> None:
        request = A_ASSOCIATE()
        request.application_context_name = UID(_APPLICATION_CONTEXT)
        request.calling_ae_title = self.caller.ae_title
        request.called_ae_title = self.node.ae_title
        contexts = [build_context(uid, list(syntaxes)) for uid, syntaxes in self._proposals]
        for place, context in enumerate(contexts):
            context.context_id = 2 * place + 1
        request.presentation_context_definition_list = contexts
        length = MaximumLengthNotification()
        length.maximum_length_received = MAXIMUM_SENT_PDU_BYTES
        implementation = ImplementationClassUIDNotification()
        implementation.implementation_class_uid = UID(IMPLEMENTATION_CLASS_UID)
        request.user_information = [length, implementation]
        for uid in self._provider_of:
            role = SCP_SCU_RoleSelectionNegotiation()
            role.sop_class_uid = UID(uid)
            role.scu_role, role.scp_role = False, True
            request.user_information.append(role)
        pdu = A_ASSOCIATE_RQ()
        pdu.from_primitive(request)
        self._connection.send(pdu.encode())
        accepted = self._accepted()
        length_taken = accepted.maximum_length_received or 0
        if 0 < length_taken < MINIMUM_PDU_BYTES:
            raise self.error("aborted", "takes no PDU of a sensible length")
        self._sent_bytes = min(length_taken or MAXIMUM_SENT_PDU_BYTES, MAXIMUM_SENT_PDU_BYTES)
        self.contexts = tuple(
            Context(2 * place + 1, str(ours.abstract_syntax), str(theirs.transfer_syntax[0]))
            for place, ours in enumerate(contexts)
            for theirs in accepted.presentation_context_definition_results_list
            if theirs.context_id == ours.context_id
            and theirs.result == 0
            and set(theirs.transfer_syntax[:1]) & set(ours.transfer_syntax)
        )
        if not self.contexts:
            raise self.error("no_context", "offers none of the services that are asked for")

    def _accepted(self) -> A_ASSOCIATE:
        """The peer's acceptance."""
        kind, body = self._connection.receive(self.caller.answer_s)
        if kind not in (_ACCEPTED, _REJECTED):
            raise self._unexpected(kind)
        whole = struct.pack(">BBL", kind, 0, len(body)) + body
        acceptance, rejection = A_ASSOCIATE_AC(), A_ASSOCIATE_RJ()
        try:
            if kind == _ACCEPTED:
                acceptance.decode(whole)
                return acceptance.to_primitive()
            rejection.decode(whole)
            reason = rejection.reason_str.lower()
        except Exception as error:  # the edge to a peer's bytes: wrong ones raise anything
            raise self.error("aborted", "answers what is no DICOM") from error
        raise self.error("rejected", f"rejected the association ({reason})")

    def context(self, abstract_syntax: str, transfer_syntax: str = "") -> Context:
        """An accepted context for an abstract syntax, and for a transfer syntax if one is given.

        Raises
        ------
        CallError
            ``no_context``.
        """
        for one in self.contexts:
            if one.abstract_syntax == abstract_syntax and transfer_syntax in (
                "",
                one.transfer_syntax,
            ):
                return one
        name = UID(abstract_syntax).name
        how = f" in {UID(transfer_syntax).name}" if transfer_syntax else ""
        raise self.error("no_context", f"does not take {name}{how}")

    def release(self) -> None:
        """End the association as the standard wants it. What was answered stays answered, so that
        nothing that goes wrong here matters."""
        try:
            self._connection.send(A_RELEASE_RQ().encode())
            for _ in range(_RELEASE_PDUS):
                if self._connection.receive(_RELEASE_S)[0] in (_RELEASED, _ABORTED):
                    break
        except CallError:
            return
        finally:
            self._connection.close()

    def abort(self) -> None:
        """End the association at once."""
        pdu = A_ABORT_RQ()
        pdu.source = 0x00
        pdu.reason_diagnostic = 0x00
        try:
            self._connection.send(pdu.encode(), _ABORT_S)
        except CallError:
            return
        finally:
            self._connection.close()

    def break_off(self) -> None:
        """Let whatever is under way fail, and what would come, from any thread."""
        self._broken_off = True
        if self._opened is not None:
            self._opened.break_off()

    @property
    def _connection(self) -> Connection:
        assert self._opened is not None, "an association begins with its context"
        return self._opened

    # Messages

    def request(
        self,
        context: Context,
        command: int,
        data: Iterable[bytes | memoryview] | None = None,
        **elements: object,
    ) -> None:
        """Send a request: a command set with these elements, and a data set if there is one.

        Parameters
        ----------
        command
            Command Field (PS3.7, E.1-1).
        data
            The encoded data set, in the context's transfer syntax, in parts of any length.

        Raises
        ------
        CallError
            ``timed_out``, ``aborted`` or ``tls``.
        """
        self._message = self._message % 0xFFFF + 1
        self._send_command(
            context,
            CommandField=command,
            MessageID=self._message,
            CommandDataSetType=_NO_DATA if data is None else _WITH_DATA,
            **elements,
        )
        if data is not None:
            self._fragments(context, data, control=0)

    def cancel(self, context: Context) -> None:
        """Send C-CANCEL for the request that is under way, whose last answer then tells."""
        self._send_command(
            context,
            CommandField=_C_CANCEL,
            MessageIDBeingRespondedTo=self._message,
            CommandDataSetType=_NO_DATA,
        )

    def _send_command(self, context: Context, **elements: object) -> None:
        """A command set: Implicit VR Little Endian, its length first (PS3.7, 6.3.1)."""
        command = Dataset()
        for keyword, value in elements.items():
            setattr(command, keyword, value)
        body = encode(command, is_implicit_vr=True, is_little_endian=True) or b""
        length = struct.pack("<HHLL", 0, 0, 4, len(body))
        self._fragments(context, [length + body], control=1)

    def _fragments(
        self, context: Context, data: Iterable[bytes | memoryview], *, control: int
    ) -> None:
        """P-DATA with one fragment each; the last one is marked (PS3.8, 9.3.5 and annex E)."""
        size = self._sent_bytes - 6
        waiting = b""
        for part in data:
            view = memoryview(part)
            for start in range(0, len(view), size):
                if waiting:
                    self._fragment(context, waiting, control)
                waiting = bytes(view[start : start + size])
        self._fragment(context, waiting, control | 2)

    def _fragment(self, context: Context, data: bytes, control: int) -> None:
        head = struct.pack(
            ">BBLLBB", _DATA, 0, len(data) + 6, len(data) + 2, context.number, control
        )
        self._connection.send(head + data)

    def has_more(self, within_s: float) -> bool:
        """Whether something comes within that time; also when it is the end."""
        return self._connection.has_more(within_s)

    def answer(self, command: int) -> Answer:
        """The next answer to the request that is under way.

        Raises
        ------
        CallError
            ``timed_out``, ``aborted`` or ``tls``.
        """
        body, data = self._received()
        try:
            answer = decode(io.BytesIO(body), is_implicit_vr=True, is_little_endian=True)
            field, message = int(answer.CommandField), int(answer.MessageIDBeingRespondedTo)
            status = int(answer.Status)
        except Exception as error:  # the edge to a peer's bytes: wrong ones raise anything
            raise self.error("aborted", "answers what is no DICOM message") from error
        if (field, message) != (command | _RESPONSE, self._message):
            raise self.error("aborted", "answers something that was not asked")
        return Answer(status, answer, data)

    def _received(self) -> tuple[bytes, bytes]:
        """The next message's command set and data set, as bytes."""
        parts = (bytearray(), bytearray())  # data set, command set
        wanted: set[int] = {1}
        while wanted:
            kind, body = self._connection.receive(self.caller.answer_s)
            if kind != _DATA:
                raise self._unexpected(kind)
            for control, fragment in self._values(body):
                which = control & 1
                parts[which].extend(fragment)
                if control & 2:
                    wanted.discard(which)
                    if which and _has_data(parts[1]):
                        wanted.add(0)
            if sum(len(part) for part in parts) > MAXIMUM_ANSWER_BYTES:
                raise self.error("aborted", "answers at too great length")
        return bytes(parts[1]), bytes(parts[0])

    def _values(self, body: bytes) -> Iterator[tuple[int, bytes]]:
        """Control byte and fragment of each value in a P-DATA-TF."""
        at = 0
        while at < len(body):
            length = int.from_bytes(body[at : at + 4], "big")
            value = body[at + 4 : at + 4 + length]
            if length < 2 or len(value) != length:
                raise self.error("aborted", "sends data of a wrong length")
            yield value[1], value[2:]
            at += 4 + length

    def encoded(self, context: Context, data: Dataset) -> list[bytes]:
        """A data set of ours for ``request``."""
        syntax = UID(context.transfer_syntax)
        encoded = encode(data, syntax.is_implicit_VR, syntax.is_little_endian)
        assert encoded is not None, "a data set of ours can be encoded"
        return [encoded]

    def decoded(self, context: Context, data: bytes) -> Dataset:
        """A data set that came with an answer.

        Raises
        ------
        CallError
            ``aborted`` when it is none.
        """
        syntax = UID(context.transfer_syntax)
        try:
            return decode(io.BytesIO(data), syntax.is_implicit_VR, syntax.is_little_endian)
        except Exception as error:  # the edge to a peer's bytes: wrong ones raise anything
            raise self.error("aborted", "answers a query with what is no data set") from error

    # Failures

    def error(self, code: CallCode, what: str, status: int | None = None) -> CallError:
        """A failure of this call: the node's name, and ``what`` it did."""
        return self.node.error(code, what, status)

    def _unexpected(self, kind: int) -> CallError:
        ended = "aborted the association" if kind == _ABORTED else "answers out of turn"
        return self.error("aborted", ended)


def _has_data(command: bytes | bytearray) -> bool:
    """Whether a data set follows: Command Data Set Type (0000,0800) (PS3.7, E.1)."""
    element = struct.pack("<HHL", 0, 0x0800, 2)
    at = command.find(element)
    return at >= 0 and command[at + 8 : at + 10] != struct.pack("<H", _NO_DATA)
