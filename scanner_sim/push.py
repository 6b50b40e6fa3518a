"""Sending as a scanner does: C-STORE, over one association a scan or one an image; and, if asked
to, MPPS and storage commitment.
"""

import logging
import queue
import socket
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import AE, build_context, evt
from pynetdicom.association import Association
from pynetdicom.events import Event as NetworkEvent
from pynetdicom.events import EventHandlerType

from scanner_sim.performed import (
    ALL_COMMITTED,
    COMMITMENT,
    COMMITMENT_INSTANCE,
    PERFORMED_STEP,
    REQUEST_COMMITMENT,
    commitment_request,
    step_begun,
    step_ended,
    step_uid,
)
from scanner_sim.procedure import Event, ScanEvent, StructuresEvent

logger = logging.getLogger(__name__)

CALLING_AE_TITLE = "SIMCT"
MAX_PDU = 131072
"""Larger ones are slower with pynetdicom."""

_SUCCESS = 0x0000
_WARNINGS = range(0xB000, 0xC000)
_TIMEOUT_S = 30.0
_STANDING_TIMEOUT_S = 1.0


class PushError(Exception):
    """The peer could not be reached, or did not take an object."""


@dataclass(frozen=True)
class Destination:
    """Where to send: ``AE@host:port``."""

    ae_title: str
    host: str
    port: int

    @staticmethod
    def parse(text: str) -> "Destination":
        """From ``AE@host:port``.

        Raises
        ------
        ValueError
            Any other form.
        """
        ae_title, at, address = text.partition("@")
        host, colon, port = address.rpartition(":")
        if not (at and colon and ae_title and host and port.isdigit()):
            raise ValueError(f"a destination is written AE@host:port, not {text!r}")
        if len(ae_title) > 16 or not 0 < int(port) < 65536:
            raise ValueError(f"an AE title has at most 16 characters, a port 16 bits: {text!r}")
        return Destination(ae_title, host.strip("[]"), int(port))

    def __str__(self) -> str:
        return f"{self.ae_title}@{self.host}:{self.port}"


@dataclass(frozen=True)
class Pusher:
    """Sends objects to one destination.

    Attributes
    ----------
    association_per_image
        Some scanners open one for every image.
    slice_delay_s
        Pause before each object, as while a scanner reconstructs.
    stop
        Set to break off between two objects.
    report_steps
        Tell of each scan by MPPS: created before its first image, completed with the list of its
        images after the last one, or discontinued when broken off.
    commit
        After each scan, ask for storage commitment, and wait for the report.
    """

    destination: Destination
    calling_ae_title: str = CALLING_AE_TITLE
    association_per_image: bool = False
    slice_delay_s: float = 0.0
    stop: threading.Event | None = None
    report_steps: bool = False
    commit: bool = False

    def event(self, event: Event) -> int:
        """Send what an event holds; the number of objects sent."""
        if isinstance(event, ScanEvent):
            return self.scan(event.datasets)
        if isinstance(event, StructuresEvent):
            return self.send([event.dataset])
        return 0

    def scan(self, images: Sequence[Dataset]) -> int:
        """Send the images of one scan, and tell of them; how many were taken.

        Raises
        ------
        PushError
            As ``send``; or what was told was not taken, or not all that was sent is committed.
        """
        if self.report_steps:
            self.begin_step(images)
        sent = self.send(images)
        if self.report_steps and sent:
            self.end_step(images[:sent], "COMPLETED" if sent == len(images) else "DISCONTINUED")
        if self.commit and sent:
            self.ask_commitment(images[:sent])
        return sent

    def begin_step(self, images: Sequence[Dataset]) -> None:
        """N-CREATE of the performed procedure step of one scan; PushError when it is refused."""
        begun = step_begun(images, self.calling_ae_title)
        with self._association_for(PERFORMED_STEP) as association:
            status, _ = association.send_n_create(begun, PERFORMED_STEP, step_uid(images))
        self._check("a performed procedure step", status)

    def end_step(self, images: Sequence[Dataset], status_word: str = "COMPLETED") -> None:
        """N-SET at its end, with the list of its images; PushError when it is refused."""
        ended = step_ended(images, status_word)
        with self._association_for(PERFORMED_STEP) as association:
            status, _ = association.send_n_set(ended, PERFORMED_STEP, step_uid(images))
        self._check("a performed procedure step", status)

    def ask_commitment(self, objects: Sequence[Dataset]) -> None:
        """N-ACTION of storage commitment; wait for the report on the same association.

        Raises
        ------
        PushError
            The request is refused, no report comes, or not everything is committed.
        """
        reports: queue.SimpleQueue[tuple[int | None, threading.Thread]] = queue.SimpleQueue()

        def take(event: NetworkEvent) -> tuple[int, None]:
            reports.put((event.event_type, threading.current_thread()))
            return _SUCCESS, None

        information = commitment_request(objects)
        handlers: list[EventHandlerType] = [(evt.EVT_N_EVENT_REPORT, take)]
        with self._association_for(COMMITMENT, handlers) as association:
            status, _ = association.send_n_action(
                information, REQUEST_COMMITMENT, COMMITMENT, COMMITMENT_INSTANCE
            )
            self._check("storage commitment", status)
            try:
                event_type, thread = reports.get(timeout=_TIMEOUT_S)
            except queue.Empty as error:
                raise PushError(f"{self.destination} does not report on commitment") from error
            # pynetdicom answers in a thread of its own, which says at its end that the one of the
            # association goes on, while a release waits for that to stand.
            thread.join(_TIMEOUT_S)
        if event_type != ALL_COMMITTED:
            raise PushError(f"{self.destination} does not commit to all that was sent")

    def send(
        self, datasets: Sequence[Dataset], on_sent: Callable[[Dataset], None] | None = None
    ) -> int:
        """Send objects in order; how many were taken (fewer only when stopped).

        Raises
        ------
        PushError
            No association, a refused object, or a connection that broke.
        """
        groups: Iterable[Sequence[Dataset]]
        groups = [[d] for d in datasets] if self.association_per_image else [datasets]
        sent = 0
        for group in groups:
            if not group or (self.stop is not None and self.stop.is_set()):
                break
            sent += self._send_group(group, on_sent)
        return sent

    def echo(self) -> None:
        """C-ECHO; PushError when nobody answers."""
        ae = _entity(self.calling_ae_title)
        ae.add_requested_context("1.2.840.10008.1.1")
        association = self._associate(ae)
        try:
            status = association.send_c_echo()
            if getattr(status, "Status", None) != _SUCCESS:
                raise PushError(f"{self.destination} did not answer C-ECHO")
        finally:
            association.release()

    def _send_group(
        self, datasets: Sequence[Dataset], on_sent: Callable[[Dataset], None] | None
    ) -> int:
        """One association."""
        ae = _entity(self.calling_ae_title)
        # A context for each syntax: in a shared one the peer would choose, mostly Implicit.
        ae.requested_contexts = [
            build_context(uid, syntax)
            for uid in sorted({str(dataset.SOPClassUID) for dataset in datasets})
            for syntax in (ExplicitVRLittleEndian, ImplicitVRLittleEndian)
        ]
        association = self._associate(ae)
        sent = 0
        try:
            for dataset in datasets:
                if self._paused():
                    break
                self._store(association, dataset)
                sent += 1
                if on_sent is not None:
                    on_sent(dataset)
        finally:
            if association.is_established:
                association.release()
        logger.info("sent %d objects to %s", sent, self.destination)
        return sent

    def _paused(self) -> bool:
        """Wait for the next slice; whether to stop instead."""
        if self.stop is not None:
            return self.stop.wait(self.slice_delay_s)
        if self.slice_delay_s > 0:
            threading.Event().wait(self.slice_delay_s)
        return False

    @contextmanager
    def _association_for(
        self, sop_class: str, handlers: Sequence[EventHandlerType] = ()
    ) -> Iterator[Association]:
        ae = _entity(self.calling_ae_title)
        ae.add_requested_context(sop_class)
        association = self._associate(ae, handlers)
        try:
            yield association
        finally:
            if association.is_established:
                association.release()

    def _check(self, what: str, status: Dataset) -> None:
        code = getattr(status, "Status", None)
        if code is None:
            raise PushError(f"{self.destination}: no answer about {what}")
        if code != _SUCCESS:
            comment = getattr(status, "ErrorComment", "")
            raise PushError(f"{self.destination} refused {what}: status 0x{code:04X} {comment}")

    def _associate(self, ae: AE, handlers: Sequence[EventHandlerType] = ()) -> Association:
        target = self.destination
        association = ae.associate(
            target.host,
            target.port,
            ae_title=target.ae_title,
            max_pdu=MAX_PDU,
            evt_handlers=[(evt.EVT_CONN_OPEN, _no_delay), *handlers],
        )
        if not association.is_established:
            reason = "refused the association" if association.is_rejected else "cannot be reached"
            raise PushError(f"{target} {reason}")
        # Nothing is under way yet, so that the thread's old checkpoint is open and is soon left.
        association._reactor_checkpoint = _Checkpoint()  # noqa: SLF001  there is no public way
        return association

    def _store(self, association: Association, dataset: Dataset) -> None:
        """One C-STORE, its status checked."""
        uid = dataset.SOPInstanceUID
        try:
            answer = association.send_c_store(dataset)
        except (ValueError, RuntimeError) as error:
            raise PushError(f"{self.destination}: {uid} could not be sent: {error}") from error
        status = getattr(answer, "Status", None)
        if status is None:
            raise PushError(f"{self.destination}: no answer for {uid}, the connection broke")
        if status in _WARNINGS:
            logger.warning("%s took %s with status 0x%04X", self.destination, uid, status)
        elif status != _SUCCESS:
            comment = getattr(answer, "ErrorComment", "")
            raise PushError(f"{self.destination} refused {uid}: status 0x{status:04X} {comment}")


class _Checkpoint(threading.Event):
    """Where pynetdicom's association thread waits while a request of ours is under way.

    pynetdicom 3.0 closes its checkpoint and then looks whether the thread "is paused", which the
    thread also says for a moment when it is passing. On a busy machine it then takes our answer for
    a request and drops it, and the request times out. Here closing it waits until the thread
    stands, after it has passed at least once since it was opened.
    """

    def __init__(self) -> None:
        super().__init__()
        self._change = threading.Condition()
        self._open = True
        self._openings = 0
        self._standing = False

    def is_set(self) -> bool:
        """Whether the thread may pass."""
        return self._open

    def set(self) -> None:
        """Let the thread pass."""
        with self._change:
            self._open = True
            self._openings += 1
            self._standing = False
            self._change.notify_all()

    def clear(self) -> None:
        """Close it, and wait until the thread stands at it (or has ended, which takes a second)."""
        with self._change:
            self._open = False
            self._change.wait_for(lambda: self._standing, timeout=_STANDING_TIMEOUT_S)

    def wait(self, timeout: float | None = None) -> bool:
        """Stand here while it is closed."""
        with self._change:
            openings = self._openings
            while not self._open and self._openings == openings:
                self._standing = True
                self._change.notify_all()
                if not self._change.wait(timeout):
                    break
            self._standing = False
        return self._open


def _entity(title: str) -> AE:
    ae = AE(ae_title=title)
    ae.acse_timeout = ae.dimse_timeout = ae.network_timeout = ae.connection_timeout = _TIMEOUT_S
    return ae


def _no_delay(event: NetworkEvent) -> None:
    """Without it Nagle's algorithm waits for delayed acknowledgements, 40 ms an object."""
    transport = event.assoc.dul.socket
    if transport is not None and transport.socket is not None:
        transport.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
