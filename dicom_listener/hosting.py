"""Which associations are let in, how their requests are answered, and what is written down."""

import io
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Final, Protocol

from pydicom.dataset import Dataset
from pydicom.uid import UID
from pynetdicom.dsutils import decode

from dicom_listener.acceptor import Acceptor, Answer
from dicom_listener.commands import ACTION_TYPE_ID, Field
from dicom_listener.counters import Counters
from dicom_listener.events import (
    AssociationEnded,
    AssociationOpened,
    AssociationRejected,
    How,
    ListenerEvent,
)
from dicom_listener.messages import Message
from dicom_listener.negotiation import (
    APPLICATION_CONTEXT_NAME,
    COMMITMENT,
    COMMITMENT_INSTANCE,
    PERFORMED_STEP,
    AssociationRequest,
)
from dicom_listener.peers import (
    APPLICATION_CONTEXT,
    CALLED_TITLE,
    CONGESTION,
    LOCAL_LIMIT,
    PROTOCOL_VERSION,
    Address,
    Caller,
    Peer,
    Peers,
    Rejection,
    Service,
)
from dicom_listener.reception import Reception
from dicom_listener.server import Server
from dicom_listener.storing import SUCCESS, Storing
from dicom_listener.syntaxes import VERIFICATION, is_uid

LOGGER = logging.getLogger(__name__)

# Statuses of DIMSE-N services (PS3.7, annex C).
PROCESSING_FAILURE: Final = 0x0110
NO_SUCH_INSTANCE: Final = 0x0112
INVALID_INSTANCE: Final = 0x0117
NO_SUCH_CLASS: Final = 0x0118
NO_SUCH_ACTION: Final = 0x0123
UNRECOGNIZED_OPERATION: Final = 0x0211
RESOURCE_LIMITATION: Final = 0x0213

REQUEST_COMMITMENT: Final = 1
"""Action Type ID of storage commitment's one action (PS3.4, J.3.2)."""

WRITTEN_PER_ADDRESS: Final = 10
WRITTEN_WITHIN_S: Final = 60.0
WRITTEN_ADDRESSES: Final = 256
"""Rejections that are written down: so many of an address in that time, of so many addresses. All
are counted; somebody who calls in vain for ever must not fill the disk with that."""


class _UnreadableError(Exception):
    """A data set that is none; the text is a sentence."""


class StepsHandler(Protocol):
    """Answers requests about performed procedure steps: status, and attributes if there are any.

    Of a failure the attributes are Error Comment and Error ID, if there is one. An OSError means
    that it can't be written down; the request then fails.
    """

    def create(self, uid: str, attributes: Dataset, caller: Caller) -> tuple[int, Dataset | None]:
        """N-CREATE."""

    def set(self, uid: str, attributes: Dataset, caller: Caller) -> tuple[int, Dataset | None]:
        """N-SET."""


class CommitmentHandler(Protocol):
    """Answers requests for storage commitment.

    An OSError means that it can't be written down; the request then fails.
    """

    def request(self, information: Dataset, caller: Caller) -> int:
        """N-ACTION; its status. The report comes later, by ``caller.report`` or by a call."""


class Hosting:
    """The ``Host`` of all associations.

    Attributes
    ----------
    is_closing
        No further association is accepted.
    server
        Where connections wait; set before the first one comes.
    """

    server: Server

    def __init__(
        self,
        ae_title: str,
        peers: Peers,
        storing: Storing,
        receive: Callable[[], Reception],
        sink: Callable[[ListenerEvent], None],
        counters: Counters,
        now: Callable[[], datetime],
        *,
        steps_handler: StepsHandler | None,
        commitment_handler: CommitmentHandler | None,
    ) -> None:
        self.is_closing = False
        self.receive = receive
        self.pause_s = peers.pause_s
        self._ae_title = ae_title
        self._peers = peers
        self._storing = storing
        self._sink = sink
        self._counters = counters
        self._now = now
        self._steps_handler = steps_handler
        self._commitment_handler = commitment_handler
        offered: dict[Service, object] = {
            "store": storing,
            "mpps": steps_handler,
            "commitment": commitment_handler,
        }
        self._services = frozenset(name for name, handler in offered.items() if handler is not None)
        self._written = _Sparing()

    # Associations

    def decide(self, acceptor: Acceptor, request: AssociationRequest) -> Peer | Rejection:
        """Who the caller is, with one of its places taken; or why not."""
        title = request.calling_ae_title
        if not request.has_our_version:
            return Rejection(PROTOCOL_VERSION, f"{title!r} speaks another version of the protocol.")
        if request.application_context != APPLICATION_CONTEXT_NAME:
            return Rejection(APPLICATION_CONTEXT, f"{title!r} asks for what is no DICOM.")
        if request.called_ae_title != self._ae_title:
            called = request.called_ae_title
            return Rejection(CALLED_TITLE, f"{title!r} calls {called!r}, which is not us.")
        certificate = acceptor.certificate
        found = self._peers.recognize(
            title,
            acceptor.address,
            secure=acceptor.secure,
            fingerprint=certificate.sha256 if certificate else "",
        )
        if isinstance(found, Rejection):
            return found
        if self.is_closing:
            return Rejection(CONGESTION, "The service is ending.")
        if not self._peers.take_place(found):
            self._counters.add_for(found.name, associations_rejected=1)
            reason = f"{found.name} has {found.maximum_associations} associations open already."
            return Rejection(LOCAL_LIMIT, reason)
        return replace(found, services=found.services & self._services)

    def turned_away(self, address: Address) -> None:
        """A connection was closed at once."""
        self._counters.add(connections_refused=1)
        self._write_rejection("", "", address, f"Nobody may call from {address}.")

    def refused(self, acceptor: Acceptor, called_ae_title: str, reason: str) -> None:
        """It was not let in, and knows it."""
        self._counters.add(associations_rejected=1)
        title = acceptor.calling_ae_title
        self._write_rejection(title, called_ae_title, acceptor.address, reason)

    def _write_rejection(self, calling: str, called: str, address: Address, reason: str) -> None:
        if self._written.allows(str(address)):
            LOGGER.warning("Rejected %r from %s: %s", calling, address, reason)
            self._tell(AssociationRejected(calling, called, str(address), reason, self._now()))

    def opened(self, acceptor: Acceptor) -> None:
        """It is about to be accepted."""
        assert acceptor.peer is not None
        self.server.settle(acceptor)
        self._counters.add(associations=1, open_associations=1)
        self._counters.add_for(acceptor.peer.name, open_associations=1)
        self._tell(
            AssociationOpened(
                acceptor.association_id,
                acceptor.calling_ae_title,
                str(acceptor.address),
                acceptor.peer.name,
                acceptor.secure,
                acceptor.certificate.subject if acceptor.certificate else "",
                self._now(),
            )
        )

    def left(self, acceptor: Acceptor) -> None:
        """It is over, which the peer does not know yet: its place is free."""
        assert acceptor.peer is not None
        self._peers.leave_place(acceptor.peer)
        self._counters.add(open_associations=-1)
        self._counters.add_for(acceptor.peer.name, open_associations=-1)
        self.server.wait(acceptor)

    def ended(self, acceptor: Acceptor, how: How, reason: str) -> None:
        """It is over."""
        assert acceptor.peer is not None
        well = {"associations_released": int(how == "released")}
        well["associations_aborted"] = 1 - well["associations_released"]
        self._counters.add(**well)
        self._counters.add_for(acceptor.peer.name, **well)
        if reason:
            LOGGER.warning("An association of %s was aborted: %s", acceptor.peer.name, reason)
        self._tell(
            AssociationEnded(
                acceptor.association_id,
                acceptor.calling_ae_title,
                how,
                self._now(),
                acceptor.objects,
                acceptor.refused,
                acceptor.octets,
                time.monotonic() - acceptor.accepted_at,
                reason,
            )
        )

    def gone(self, acceptor: Acceptor) -> None:
        """The connection is closed, and its thread ends."""
        self.server.gone(acceptor)

    def _tell(self, event: ListenerEvent) -> None:
        try:
            self._sink(event)
        except OSError:
            LOGGER.exception("%s can't be written down", type(event).__name__)
            self._counters.add(records_failed=1)
        except Exception:  # the edge to whoever listens
            LOGGER.exception("%s could not be handled", type(event).__name__)
            self._counters.add(handler_errors=1)

    # Requests

    def answer(self, acceptor: Acceptor, message: Message) -> Answer:
        """The answer to a request."""
        field, abstract_syntax = message.command.field, message.context.abstract_syntax
        if field == Field.C_STORE:
            return self._storing.answer(acceptor, message)
        if (field, abstract_syntax) == (Field.C_ECHO, VERIFICATION):
            self._counters.add(echoes=1)
            return Answer(SUCCESS)
        if message.command.sop_class_uid not in (None, abstract_syntax):
            return Answer(NO_SUCH_CLASS)
        if message.refusal is not None:
            return Answer(RESOURCE_LIMITATION, comment=message.refusal[1])
        try:
            if abstract_syntax == PERFORMED_STEP and self._steps_handler is not None:
                return self._answer_step(self._steps_handler, message, acceptor)
            if abstract_syntax == COMMITMENT and self._commitment_handler is not None:
                return self._answer_commitment(self._commitment_handler, message, acceptor)
        except _UnreadableError as error:
            return Answer(PROCESSING_FAILURE, comment=str(error))
        except OSError as error:
            LOGGER.exception("A request can't be written down")
            self._counters.add(records_failed=1)
            return Answer(PROCESSING_FAILURE, comment=str(error.strerror))
        except Exception:
            LOGGER.exception("A request could not be handled")
            self._counters.add(handler_errors=1)
            return Answer(PROCESSING_FAILURE)
        return Answer(UNRECOGNIZED_OPERATION)

    def _answer_step(self, handler: StepsHandler, message: Message, acceptor: Acceptor) -> Answer:
        calls = {Field.N_CREATE: handler.create, Field.N_SET: handler.set}
        call = calls.get(Field(message.command.field)) if message.command.field in calls else None
        if call is None:
            return Answer(UNRECOGNIZED_OPERATION)
        uid = message.command.sop_instance_uid
        if uid is None or not is_uid(uid):
            return Answer(INVALID_INSTANCE)
        attributes = _attributes(message)
        status, given = call(uid, attributes, acceptor.caller(message.context))
        self._counters.add(steps_reported=int(status == SUCCESS))
        if status != SUCCESS and given is not None:
            comment = str(given.get("ErrorComment", ""))
            return Answer(status, comment=comment, error_id=given.get("ErrorID"))
        return Answer(status, given)

    def _answer_commitment(
        self, handler: CommitmentHandler, message: Message, acceptor: Acceptor
    ) -> Answer:
        if message.command.field != Field.N_ACTION:
            return Answer(UNRECOGNIZED_OPERATION)
        if message.command.sop_instance_uid != COMMITMENT_INSTANCE:
            return Answer(NO_SUCH_INSTANCE)
        if message.command.number(ACTION_TYPE_ID) != REQUEST_COMMITMENT:
            return Answer(NO_SUCH_ACTION)
        information = _attributes(message)
        status = handler.request(information, acceptor.caller(message.context))
        self._counters.add(commitments_requested=int(status == SUCCESS))
        return Answer(status)


def _attributes(message: Message) -> Dataset:
    """The data set of a request, read to its last element."""
    syntax = UID(message.context.transfer_syntax)
    encoded = io.BytesIO(message.data.view() if message.data is not None else b"")
    try:
        attributes = decode(encoded, syntax.is_implicit_VR, syntax.is_little_endian)
        for _ in attributes.iterall():
            pass
    except Exception as error:  # the edge to a peer's bytes: wrong ones raise anything
        raise _UnreadableError("The data set can't be read.") from error
    return attributes


class _Sparing:
    """Lets through so many of each, within a time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._since = 0.0
        self._counts: dict[str, int] = {}

    def allows(self, address: str) -> bool:
        now = time.monotonic()
        with self._lock:
            if now - self._since > WRITTEN_WITHIN_S:
                self._since = now
                self._counts.clear()
            if address not in self._counts and len(self._counts) >= WRITTEN_ADDRESSES:
                return False
            self._counts[address] = self._counts.get(address, 0) + 1
            return self._counts[address] <= WRITTEN_PER_ADDRESS
