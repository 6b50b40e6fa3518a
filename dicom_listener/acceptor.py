"""An association that a peer asks for, in a thread of its own, from connection to end.

pynetdicom's acceptor runs two threads for each association, which poll and hand each fragment from
one to the other. What breaks it, each reproduced, and what holds here instead:

1. a peer that stalls inside a PDU or a message held its thread and its place for ever: a PDU must
   be complete within ``pdu_s``, a message keeps a pace, and nothing is waited for without end;
2. the TLS handshake ran where connections are accepted, so that one silent client shut out all:
   here each has its own thread, and a bound;
3. a PDU or a data set of any length was buffered whole: both have limits, the data set goes into a
   file when it is large, and what is too long is read to its end without being kept;
4. a path could be made from a peer's UID: the spool names files by UIDs that ``headers`` checked;
5. its order of transfer syntaxes took Implicit first, and classes that it does not know could only
   be had together with unknown syntaxes: see ``negotiation`` and ``syntaxes``;
6. a data set that is no data set was answered with Success, a request without UIDs not at all: an
   object is checked before it is answered, and every request that has a Message ID is answered;
7. a slow handler had its association aborted for being idle, a release in the middle of an object
   was a good end, and temporary files were left behind: idle time is only what we wait for the
   peer, such a release counts as an abort, and a ``Reception`` is closed on every path;
8. the called AE title was not looked at, and stopping cut transfers: see ``listener``.

The peer waits for the answer to one request before it sends the next (PS3.7, D.3.3.3: no other
window is negotiated), so one thread that reads, stores and answers in turn is also the fastest.
"""

import contextlib
import logging
import ssl
import struct
import threading
import time
import uuid
from dataclasses import dataclass
from functools import partial
from typing import Final, Protocol

from pydicom.dataset import Dataset

from dicom_listener import steps
from dicom_listener.commands import ANSWER, Field, encode_answer
from dicom_listener.events import How
from dicom_listener.messages import (
    INVALID_PARAMETER,
    UNEXPECTED_PDU,
    Context,
    Message,
    MessageReader,
    ProtocolError,
    encode_message,
)
from dicom_listener.negotiation import AssociationRequest, negotiate, read_request
from dicom_listener.pace import Pace
from dicom_listener.peers import Address, Caller, Peer, Rejection
from dicom_listener.reception import Reception
from dicom_listener.reports import Reports
from dicom_listener.tls import Certificate, shown_certificate
from dicom_listener.wire import Wire, WireError

LOGGER = logging.getLogger(__name__)

MAXIMUM_CONTROL_PDU_BYTES: Final = 512 << 10
"""Longest PDU that is no P-DATA. An A-ASSOCIATE-RQ with 128 contexts of 45 transfer syntaxes whose
UIDs are all as long as they may be has 400 kB."""

PDU_SLACK_BYTES: Final = 1024
"""Some senders do not count their presentation data values' headers, and overstep the length that
they were given by a little."""

_REQUEST, _ACCEPT, _REJECT, _DATA, _RELEASE, _RELEASED, _ABORT = range(1, 8)
_UNKNOWN_PDU = 1
_RELEASED_PDU = struct.pack(">BBLL", _RELEASED, 0, 4, 0)
_BY_USER, _BY_PROVIDER = 0, 2
_DEFAULT_PDU_BYTES = 16384


@dataclass(frozen=True)
class Answer:
    """The answer to a request.

    Attributes
    ----------
    comment
        Error Comment (0000,0902), for whoever reads the peer's log.
    error_id
        Error ID (0000,0903), where the service defines one.
    """

    status: int
    data: Dataset | None = None
    comment: str = ""
    error_id: int | None = None


class Host(Protocol):
    """What an association asks of the listener; all from the association's thread."""

    def decide(self, acceptor: "Acceptor", request: AssociationRequest) -> Peer | Rejection:
        """Who the caller is, with one of its places taken; or why not."""

    def refused(self, acceptor: "Acceptor", called_ae_title: str, reason: str) -> None:
        """It was not let in, and knows it."""

    def opened(self, acceptor: "Acceptor") -> None:
        """It is about to be accepted."""

    def left(self, acceptor: "Acceptor") -> None:
        """It is over, which the peer does not know yet: its place is free."""

    def ended(self, acceptor: "Acceptor", how: How, reason: str) -> None:
        """It is over."""

    def receive(self) -> Reception:
        """A place for a data set."""

    def pause_s(self, peer: Peer, octets: int) -> float:
        """How long to wait before a peer with a rate is read on."""

    def answer(self, acceptor: "Acceptor", message: Message) -> Answer:
        """The answer to a request."""

    def gone(self, acceptor: "Acceptor") -> None:
        """The connection is closed, and its thread ends."""


@dataclass(frozen=True)
class _End:
    how: How
    reason: str
    last_word: bytes = b""


class Acceptor(threading.Thread):
    """An association, or a connection that wants one.

    Attributes
    ----------
    association_id
        Unique, also across restarts.
    peer
        Who it is; None until it is accepted.
    objects, refused, octets
        C-STORE requests answered with Success and with a failure, and bytes that were stored.
    accepted_at
        Of the monotonic clock, in seconds.
    """

    def __init__(
        self,
        wire: Wire,
        address: Address,
        host: Host,
        *,
        request_s: float,
        message_s: float,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.association_id = uuid.uuid4().hex
        super().__init__(name=f"association-{self.association_id[:8]}", daemon=True)
        self.wire = wire
        self.address = address
        self.calling_ae_title = ""
        self.certificate: Certificate | None = None
        self.peer: Peer | None = None
        self.objects = self.refused = self.octets = 0
        self.accepted_at = 0.0
        self._host = host
        self._request_s = request_s
        self._message_s = message_s
        self._tls = tls
        self._told_to_end = threading.Event()
        self._reports = Reports(self, wire.wake)

    @property
    def secure(self) -> bool:
        """Whether it came to the port with TLS."""
        return self._tls is not None

    def end(self) -> None:
        """Abort as soon as nothing is under way; from any thread."""
        self._told_to_end.set()
        self.wire.wake()

    def caller(self, context: Context) -> Caller:
        """Who sends a request on a context."""
        assert self.peer is not None
        return Caller(
            self.association_id,
            self.calling_ae_title,
            str(self.address),
            self.peer,
            self.secure,
            self.certificate.subject if self.certificate else "",
            partial(self._reports.send, context),
        )

    def run(self) -> None:
        """The thread."""
        try:
            self._converse()
            self.wire.linger()
        except Exception:
            LOGGER.exception("An association was ended by a defect")
        finally:
            try:
                self.wire.close()
            finally:  # or it would hold its place for ever
                self._host.gone(self)

    # Before the association

    def _converse(self) -> None:
        try:
            request = self._await_request()
        except WireError as error:
            LOGGER.debug("A connection from %s asked for nothing: %s", self.address, error)
            return
        except ProtocolError as error:
            self._say(_abort(_BY_PROVIDER, error.reason))
            self._host.refused(self, "", str(error))
            return
        self.calling_ae_title = request.calling_ae_title
        verdict = self._host.decide(self, request)
        if isinstance(verdict, Rejection):
            self._say(struct.pack(">BBLBBBB", _REJECT, 0, 4, 0, *verdict.code))
            self._host.refused(self, request.called_ae_title, verdict.reason)
            return
        self.peer = verdict
        self._serve(verdict, request)

    def _await_request(self) -> AssociationRequest:
        until = time.monotonic() + self._request_s
        if self._tls is not None:
            try:
                self.certificate = shown_certificate(self.wire.secure(self._tls, self._request_s))
            except WireError as error:
                self._host.refused(self, "", str(error))
                raise
        if self.wire.wait(until - time.monotonic()) != "bytes":
            raise WireError("Nothing was asked for in time.")
        kind, length = self.wire.read_header()
        if kind != _REQUEST or length > MAXIMUM_CONTROL_PDU_BYTES:
            raise ProtocolError(UNEXPECTED_PDU, "What came was no association request.")
        return read_request(self.wire.read(length))

    # The association

    def _serve(self, peer: Peer, request: AssociationRequest) -> None:
        self.accepted_at = time.monotonic()
        end = _End("aborted", "A defect of the service.", _abort(_BY_PROVIDER, 0))
        try:
            contexts, acceptance = negotiate(request, peer.services, peer.maximum_pdu_bytes)
            self._host.opened(self)
            self.wire.send(acceptance)
            steps.reached(steps.Step.ACCEPTED)
            messages = MessageReader(contexts, self._host.receive, peer.maximum_object_bytes)
            with contextlib.closing(messages) as reader:
                end = self._exchange(peer, reader, request.maximum_pdu_bytes or _DEFAULT_PDU_BYTES)
        except WireError as error:
            end = _End("aborted", str(error), _abort(_BY_USER, 0))
        except ProtocolError as error:
            end = _End("aborted", str(error), _abort(_BY_PROVIDER, error.reason))
        finally:
            self._reports.close()
            self._host.left(self)
            self._say(end.last_word)
            self._host.ended(self, end.how, end.reason)

    def _exchange(self, peer: Peer, reader: MessageReader, sent_bytes: int) -> _End:
        """Read and answer, in PDUs of ``sent_bytes`` at most, until the end."""
        self._reports.open(sent_bytes)
        longest = peer.maximum_pdu_bytes + PDU_SLACK_BYTES
        pace = Pace(self._message_s, peer.rate_bytes_s)
        while True:
            if not reader.is_within and not self._await_message(peer):
                reason = "The service was ended."
                if not self._told_to_end.is_set():
                    reason = f"It was silent for {peer.idle_s:g} s."
                return _End("aborted", reason, _abort(_BY_USER, 0))
            kind, length = self.wire.read_header()
            if length > (longest if kind == _DATA else MAXIMUM_CONTROL_PDU_BYTES):
                raise ProtocolError(INVALID_PARAMETER, f"A PDU of {length} bytes is too long.")
            if kind == _DATA:
                begins = not reader.is_within
                for message in reader.feed(self.wire.read(length)):
                    self._answer(message, sent_bytes)
                    begins = True
                pace.read(length, begins=begins)
                if reader.is_within:
                    pace.check()
                if peer.rate_bytes_s:
                    pause_s = self._host.pause_s(peer, length)
                    self._told_to_end.wait(pause_s)
                    pace.paused(pause_s)
            elif kind == _RELEASE and reader.is_within:
                reason = "It was released in the middle of a message."
                return _End("aborted", reason, _RELEASED_PDU)
            elif kind == _RELEASE:
                return _End("released", "", _RELEASED_PDU)
            elif kind == _ABORT:
                return _End("aborted", "The peer has aborted.")
            else:
                unexpected = _REQUEST <= kind <= _ABORT
                raise ProtocolError(
                    UNEXPECTED_PDU if unexpected else _UNKNOWN_PDU,
                    f"A PDU of type {kind} came within an association.",
                )

    def _await_message(self, peer: Peer) -> bool:
        """Whether something comes before the idle time is over or we are told to end."""
        until = time.monotonic() + peer.idle_s
        while not self._told_to_end.is_set():
            waited = self.wire.wait(until - time.monotonic())
            if waited != "woken":
                return waited == "bytes"
            self.wire.send(self._reports.unsent())
        return False

    def _answer(self, message: Message, sent_bytes: int) -> None:
        command = message.command
        try:
            if command.field & ANSWER:
                self._reports.take_answer(command)
            elif command.field != Field.C_CANCEL:  # nothing of ours can be cancelled
                if command.message_id is None:
                    raise ProtocolError(INVALID_PARAMETER, "A request has no Message ID.")
                answer = self._host.answer(self, message)
                head = encode_answer(
                    command,
                    answer.status,
                    with_data=answer.data is not None,
                    comment=answer.comment,
                    error_id=answer.error_id,
                )
                self.wire.send(encode_message(message.context, head, answer.data, sent_bytes))
                steps.reached(steps.Step.ANSWERED)
        finally:
            message.close()

    def _say(self, last_word: bytes) -> None:
        try:
            self.wire.send(last_word)
        except WireError as error:
            LOGGER.debug("The peer did not hear our last word: %s", error)


def _abort(source: int, reason: int) -> bytes:
    """A-ABORT (PS3.8, 9.3.8)."""
    return struct.pack(">BBLBBBB", _ABORT, 0, 4, 0, 0, source, reason)
