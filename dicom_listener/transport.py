"""pynetdicom's associations, with what a hospital's network does to them mended.

Each class overrides one part of pynetdicom 3.0; the numbers are those of the faults that were
reproduced with it:

1. a peer that stalls inside a PDU held its thread and its place for ever, for a read blocks until
   all bytes are there: here a PDU must be complete within ``pdu_s`` of its first byte;
2. a PDU or a data set of any length was buffered whole: here both have limits;
3. a request without SOP UIDs or data set got no answer at all: here it is refused, with a status;
4. storage classes that pynetdicom does not know could only be had by a switch for the whole process
   that also lets in unknown transfer syntaxes: here they are negotiated for each association;
5. a release in the middle of an object looked like a good end: here it counts as an abort;
6. a handler slower than the network timeout had its association aborted for being idle: here the
   idle time starts anew after each request;
7. everything was logged for every PDU, which costs a quarter of the speed: here nothing is bound;
8. a port scan (connect, then close) held a thread until the ACSE timeout: here it ends at once;
9. both threads of an association looked for something to do 1000 times a second, which took 13 % of
   a core for each idle peer and half of the time of a busy one: here they wait until there is;
10. an answer that came after the association was ended, or a command set without its command,
    killed the thread: here the one is dropped, and the other ends the association;
11. connections that ask for nothing could take all threads and file handles: see ``server``.
"""

import logging
import select
import socket
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

from pynetdicom import AE, evt
from pynetdicom._globals import MODE_ACCEPTOR
from pynetdicom.association import Association
from pynetdicom.dimse import DIMSEServiceProvider
from pynetdicom.dimse_primitives import C_STORE, DimseServiceType
from pynetdicom.dul import DULServiceProvider
from pynetdicom.pdu_primitives import P_DATA
from pynetdicom.presentation import PresentationContext, build_context
from pynetdicom.service_class import StorageServiceClass
from pynetdicom.transport import AssociationSocket

from dicom_listener.syntaxes import ACCEPTED_SYNTAXES, UNCOMPRESSED, VERIFICATION, is_storage_class

LOGGER = logging.getLogger(__name__)

MAXIMUM_CONTROL_PDU_BYTES = 1 << 20
"""Longest PDU read at all. An A-ASSOCIATE-RQ with 128 contexts of 40 transfer syntaxes has 150 kB;
some senders overstep the P-DATA length they were given, and are forgiven up to here."""

MAXIMUM_COMMAND_BYTES = 64 << 10
"""Longest DIMSE command set; one of C-STORE has some 200 bytes."""

MAXIMUM_WAITING_MESSAGES = 4
"""Requests that a peer may send ahead of our answers. The asynchronous window is never negotiated,
so that the standard allows 1 (PS3.7, D.3.3.3)."""

_RECEIVE_BYTES = 256 << 10
_WAIT_S = 0.05
"""How long a thread waits for work before it looks at its timers."""


@dataclass(frozen=True)
class TransportLimits:
    """What a peer may ask of us.

    Attributes
    ----------
    pdu_s
        Time for one PDU from its first byte to its last.
    object_bytes
        Longest data set.
    """

    pdu_s: float
    object_bytes: int


@dataclass(frozen=True)
class TransportHooks:
    """Calls from the association's thread.

    Attributes
    ----------
    settled
        It asked for an association, or is over.
    ended
        It is over, and was accepted before.
    """

    settled: Callable[["GuardedAssociation"], None]
    ended: Callable[["GuardedAssociation"], None]


class GuardedSocket(AssociationSocket):
    """A socket that reads a PDU within bounds of time and length (faults 1 and 2)."""

    def __init__(
        self,
        assoc: "GuardedAssociation",
        client: socket.socket,
        limits: TransportLimits,
    ) -> None:
        super().__init__(assoc, client_socket=client)
        self._work = assoc.work
        self._limits = limits
        self._deadline = 0.0
        client.settimeout(limits.pdu_s)
        # Our answers are small and must not wait for the peer's delayed acknowledgement.
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    @property
    def ready(self) -> bool:
        """Whether bytes have come, after waiting for them a while (fault 9)."""
        dul = self.assoc.dul
        assert isinstance(dul, GuardedDul)
        if self.socket is None or not self._is_connected:
            return False
        if dul.to_user_queue.qsize():
            self._work()
        if dul.state_machine.current_state == "Sta13":
            # The association is over. pynetdicom would go on reading for as long as its peer goes
            # on sending; closing with bytes unread would take our last word from the peer.
            self._discard()
            return False
        if self.socket.fileno() < 0:
            self.event_queue.put("Evt17")  # "connection closed", as the base class says it
            return False
        return dul.wait_for_bytes(self.socket)

    def _discard(self) -> None:
        """Read and forget what has come, within bounds."""
        if self.socket is None:
            return
        self.socket.settimeout(0)
        try:
            for _ in range(16):
                if not self.socket.recv(_RECEIVE_BYTES):
                    break
        except OSError:
            LOGGER.debug("Nothing more to read")

    def recv(self, nr_bytes: int) -> bytearray:
        """Exactly ``nr_bytes``, or fewer when the peer closes.

        pynetdicom reads a PDU in two calls: six bytes, then the rest.

        Raises
        ------
        OSError
            When the PDU is too long or does not come in time; pynetdicom then closes.
        """
        if self.socket is None:
            raise ConnectionError("the connection is closed")
        if nr_bytes == 6:
            self._deadline = time.monotonic() + self._limits.pdu_s
        elif nr_bytes > MAXIMUM_CONTROL_PDU_BYTES:
            raise ConnectionError(f"a PDU of {nr_bytes} bytes is too long")
        data = bytearray(nr_bytes)
        view = memoryview(data)
        filled = 0
        while filled < nr_bytes:
            left = self._deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError("a PDU did not come to its end in time")
            self.socket.settimeout(left)
            count = self.socket.recv_into(view[filled : filled + _RECEIVE_BYTES])
            if not count:
                break
            filled += count
        self.socket.settimeout(self._limits.pdu_s)
        return bytearray(view[:filled]) if filled < nr_bytes else data


class GuardedDul(DULServiceProvider):
    """The thread that reads and writes PDUs (faults 9 and 10).

    ``GuardedSocket.ready`` does its waiting, for bytes from the peer and for ``wake``.
    """

    def __init__(self, assoc: Association) -> None:
        super().__init__(assoc)
        self._run_loop_delay = 0.0
        self._wake_in, self._wake_out = socket.socketpair()
        self._wake_in.settimeout(0)
        self._poll = select.poll()
        self._poll.register(self._wake_in, select.POLLIN)

    def send_pdu(self, primitive: Any) -> None:
        """Hand over something to be sent."""
        super().send_pdu(primitive)
        self.wake()

    def kill_dul(self) -> None:
        """Ask the thread to end."""
        super().kill_dul()
        self.wake()

    def wake(self) -> None:
        """Let the thread look for work."""
        try:
            self._wake_out.send(b"x")
        except OSError:
            LOGGER.debug("Nobody to wake")

    def wait_for_bytes(self, connection: socket.socket) -> bool:
        """Wait until the peer has sent something, or there is other work; True for the former."""
        busy = self.to_provider_queue.qsize() or self.event_queue.qsize() or self._kill_thread
        self._poll.register(connection, select.POLLIN)
        events = dict(self._poll.poll(0 if busy else _WAIT_S * 1000))
        if self._wake_in.fileno() in events:
            self._wake_in.recv(4096)
        return connection.fileno() in events

    def close(self) -> None:
        """Free what it holds; the thread must be over."""
        self._wake_in.close()
        self._wake_out.close()

    def _process_recv_primitive(self) -> bool:
        if self.state_machine.current_state == "Sta13":  # we have aborted, and wait for the close
            while self.to_provider_queue.qsize():
                self.to_provider_queue.get_nowait()
            return False
        return super()._process_recv_primitive()


class _Checkpoint(threading.Event):
    """Stands where pynetdicom's association thread passes in each round, and makes it wait there
    until there is something to do (fault 9)."""

    def __init__(self, association: "GuardedAssociation") -> None:
        super().__init__()
        self._association = association
        self._work = threading.Event()
        self.set()

    def work(self) -> None:
        """There is something to do."""
        self._work.set()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for work, or a little while."""
        passed = super().wait(timeout)
        association = self._association
        if not (association.dimse.msg_queue.qsize() or association.dul.to_user_queue.qsize()):
            self._work.wait(_WAIT_S)
        self._work.clear()
        return passed


class GuardedDimse(DIMSEServiceProvider):
    """Collects the fragments of messages, up to a limit (fault 2)."""

    def __init__(
        self, assoc: Association, limits: TransportLimits, work: Callable[[], None]
    ) -> None:
        super().__init__(assoc)
        self._limits = limits
        self._work = work

    def receive_primitive(self, primitive: P_DATA) -> None:
        """As the base class; ends the association when a message grows too long."""
        try:
            super().receive_primitive(primitive)
        except Exception:  # the edge to a peer's bytes: a wrong command set raises anything
            LOGGER.exception("Ending an association: its peer sent a command that is none")
            self._end()
            return
        self._work()
        message = self.message
        too_long = message is not None and (
            (message.data_set is not None and message.data_set.tell() > self._limits.object_bytes)
            or message.encoded_command_set.tell() > MAXIMUM_COMMAND_BYTES
        )
        if too_long or self.msg_queue.qsize() > MAXIMUM_WAITING_MESSAGES:
            LOGGER.warning("Ending an association: its peer sends more than it may")
            self._end()

    def _end(self) -> None:
        self.message = None
        self.dul.event_queue.put("Evt19")  # "invalid PDU": A-P-ABORT (PS3.8, 9.2.3)


class GuardedAssociation(Association):
    """An accepted association (faults 3 to 8).

    Attributes
    ----------
    association_id
        Unique, also across restarts.
    was_established
        Whether it was ever accepted.
    """

    def __init__(self, ae: AE, limits: TransportLimits, hooks: TransportHooks) -> None:
        super().__init__(ae, MODE_ACCEPTOR)
        self.association_id = uuid.uuid4().hex
        self.was_established = False
        self._hooks = hooks
        self._checkpoint = _Checkpoint(self)
        self._reactor_checkpoint = self._checkpoint
        self.dimse = GuardedDimse(self, limits, self.work)
        self._guarded_dul = GuardedDul(self)
        self.dul = self._guarded_dul
        self.acse_timeout = ae.acse_timeout  # again, for they are kept in the new dul
        self.network_timeout = ae.network_timeout

    def work(self) -> None:
        """Let the association's thread look for something to do."""
        self._checkpoint.work()

    @property
    def calling_ae_title(self) -> str:
        """What the peer calls itself."""
        request = self.requestor.primitive
        return str(request.calling_ae_title).strip() if request else ""

    @property
    def peer_address(self) -> str:
        """The peer's IP address."""
        information = self.requestor.address_info
        return information.address if information else ""

    @property
    def ended_well(self) -> bool:
        """Released, and not in the middle of anything (fault 5)."""
        whole = self.dimse.message is None and self.dimse.msg_queue.empty()
        return self.is_released and not self.is_aborted and whole

    def _bind_defaults(self) -> None:
        """Only what is needed to answer (fault 7)."""
        for event in evt._INTERVENTION_EVENTS:  # noqa: SLF001 - the base class does the same
            self.bind(event, evt.get_default_handler(event))

    def run_reactor(self) -> None:
        """The association's thread, from connection to end."""
        try:
            super().run_reactor()
        finally:
            raw = self.hang_up()
            self._hooks.settled(self)
            self._guarded_dul.join()
            self._guarded_dul.close()
            if raw is not None:
                raw.close()
            if self.was_established:
                self._hooks.ended(self)

    def negotiate_contexts(self) -> None:
        """Offer just those of the requested contexts that are wanted (fault 4).

        Called before the association is answered. Negotiating against all storage classes takes
        50 ms.
        """
        self._hooks.settled(self)
        requested = self.requestor.primitive
        contexts: dict[str, PresentationContext] = {}
        for context in requested.presentation_context_definition_list if requested else []:
            uid = str(context.abstract_syntax)
            if uid == VERIFICATION:
                contexts[uid] = build_context(uid, list(UNCOMPRESSED))
            elif is_storage_class(uid):
                contexts[uid] = build_context(uid, list(ACCEPTED_SYNTAXES))
        self.acceptor.supported_contexts = list(contexts.values()) or [build_context(VERIFICATION)]

    def reject_for_now(self) -> None:
        """Reject as transient, local limit exceeded (PS3.8, 9.3.4), while being requested."""
        self._hooks.settled(self)
        self.acse.send_reject(0x02, 0x03, 0x02)
        self.kill()

    def connection_closed(self) -> None:
        """Wake the thread that waits for a request which can't come any more (fault 8)."""
        if self.dul.state_machine.current_state == "Sta2":
            # None is what the queue gives at a timeout.
            self.dul.to_user_queue.put(cast("Any", None))

    def hang_up(self) -> socket.socket | None:
        """End the connection, whatever state it is in; its threads then end by themselves."""
        wrapper = self.dul.socket
        raw = wrapper.socket if wrapper else None
        if raw is not None:
            try:
                raw.shutdown(socket.SHUT_RDWR)
            except OSError:
                LOGGER.debug("The connection is closed already")
        return raw

    def _serve_request(self, msg: DimseServiceType, context_id: int) -> None:
        if isinstance(msg, C_STORE) and msg.MessageID is not None:
            self._serve_store(msg, context_id)
        else:
            super()._serve_request(msg, context_id)
        self.dul._idle_timer.restart()  # noqa: SLF001 - fault 6; there is no public way

    def _serve_store(self, request: C_STORE, context_id: int) -> None:
        """C-STORE, whatever the SOP class (fault 4), and whatever is missing in it (fault 3)."""
        context = self._accepted_cx.get(context_id)
        if context is None:
            LOGGER.warning("Ending an association: C-STORE on a context that was not accepted")
            self.abort()
            return
        StorageServiceClass(self).SCP(request, context)
