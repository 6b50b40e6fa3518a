"""Storage commitment: a peer asks whether what it has sent is safe here, and may then delete it.

We are the provider of the service (PS3.4, annex J). A request is durable before it is answered; the
report follows, on the association that asked while that is open, or else by a call of ours to the
peer. It is tried until the peer has taken it or it is given up, also across restarts: so it may
come twice, and never not at all.

An object counts as held when it is durable. Scanners ask while the last slices are still under way,
so what is missing is waited for (``grace_s``) before it is reported as missing.
"""

import errno
import itertools
import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Protocol

from pydicom.dataset import Dataset

from dicom_listener.attributes import (
    PROCESSING_FAILURE,
    RESOURCE_LIMITATION,
    SUCCESS,
    RefusalError,
)
from dicom_listener.client import Call
from dicom_listener.events import CommitmentReported, CommitmentRequested, ListenerEvent
from dicom_listener.negotiation import COMMITMENT, COMMITMENT_INSTANCE
from dicom_listener.nodes import CallError, Node, Ourselves
from dicom_listener.peers import Caller
from dicom_listener.syntaxes import UNCOMPRESSED
from dicom_listener.transaction import (
    CLASS_INSTANCE_CONFLICT,
    DUPLICATE_TRANSACTION,
    NO_SUCH_OBJECT,
    read_request,
    result,
)

LOGGER = logging.getLogger(__name__)

MAXIMUM_KNOWN: Final = 10_000
"""Transactions of one peer that are remembered, to tell one that is used twice."""

CALLS: Final = 8
"""Peers that are reported to at once; one that does not answer holds up no other until then."""

LAST_TRIES: Final = 3
"""A peer that we can't call is tried so often on its own association."""


class Holdings(Protocol):
    """What is held."""

    def sop_class_of(self, sop_instance_uid: str) -> str | None:
        """The SOP class of a durable object; None where there is none."""


@dataclass(frozen=True)
class CommitmentSettings:
    """Times and bounds.

    Attributes
    ----------
    grace_s
        What is missing is waited for so long from the request on.
    look_s
        How often it is looked whether it has come.
    retry_first_s, retry_longest_s
        Pause after the first report that was not taken; it doubles up to the longest.
    give_up_s
        From the request on; then the report is given up.
    maximum_pending
        Reports under way to one peer; its further requests are refused for want of resources.
    """

    grace_s: float = 10.0
    look_s: float = 0.5
    retry_first_s: float = 5.0
    retry_longest_s: float = 300.0
    give_up_s: float = 72 * 3600.0
    maximum_pending: int = 1000


@dataclass(eq=False)
class _Job:
    """One report that is due."""

    number: int
    request: CommitmentRequested
    duplicate: bool
    caller: Caller | None
    due_s: float = 0.0
    """By the monotonic clock."""
    tries: int = 0
    failed: dict[str, int] | None = None
    """What it looked like when it was last looked at, while it is waited for the rest."""


class Commitments:
    """Requests for storage commitment, and the reports on them. For any thread.

    Parameters
    ----------
    holdings
        Looked at from threads of this class.
    sink
        Told of requests before they are answered, and of reports; what it was given is durable when
        it returns, and is not when it raises OSError.
    nodes
        Where peers are called for reports, by their names. One that is not among them only gets the
        report while its association is open.
    ourselves
        As whom they are called.
    """

    def __init__(
        self,
        holdings: Holdings,
        sink: Callable[[ListenerEvent], None],
        nodes: Mapping[str, Node],
        ourselves: Ourselves,
        settings: CommitmentSettings | None = None,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._holdings = holdings
        self._sink = sink
        self._nodes = nodes
        self._ourselves = ourselves
        self._settings = settings or CommitmentSettings()
        self._now = now
        self._changed = threading.Condition()
        self._numbers = itertools.count()
        self._jobs: dict[int, _Job] = {}
        self._known: dict[str, dict[str, int]] = {}
        """Of each peer's transactions, the hash of what they asked for."""
        self._busy: dict[str, _Job] = {}
        """Peers that are being reported to."""
        self._calls: dict[str, Call] = {}
        self._stopped = False
        self._thread: threading.Thread | None = None

    def restore(self, events: Iterable[ListenerEvent]) -> None:
        """Take up again what was asked for before a restart, and not reported. Before ``start``."""
        for event in events:
            if isinstance(event, CommitmentRequested):
                self._take(event, None)
            elif isinstance(event, CommitmentReported):
                self._forget(event.transaction_uid)

    def start(self) -> None:
        """Report, in threads of its own."""
        self._thread = threading.Thread(target=self._run, name="storage commitment", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End; calls are broken off. What is not reported is so after the next start."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
            calls = list(self._calls.values())
        for call in calls:
            call.break_off()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    @property
    def pending(self) -> int:
        """Reports that are not delivered yet."""
        with self._changed:
            return len(self._jobs)

    def request(self, information: Dataset, caller: Caller) -> int:
        """N-ACTION; its status. Never raises, whatever the data set holds.

        The same transaction again is reported again: its report may have been lost. With other
        instances it is a duplicate, all of which is reported as failed.
        """
        try:
            transaction, instances = read_request(information)
            request = CommitmentRequested(
                transaction,
                instances,
                caller.association_id,
                caller.calling_ae_title,
                caller.peer.name,
                self._now(),
            )
            self._accept(request, caller)
        except RefusalError as refusal:
            failure = refusal
        except OSError as error:
            LOGGER.exception("A storage commitment request can't be written down")
            full = error.errno == errno.ENOSPC
            status = RESOURCE_LIMITATION if full else PROCESSING_FAILURE
            failure = RefusalError(status, "It can't be written down")
        except Exception:  # the edge to a peer's bytes: wrong ones raise anything
            LOGGER.exception("A storage commitment request can't be read")
            failure = RefusalError(PROCESSING_FAILURE, "The data set can't be read")
        else:
            return SUCCESS
        LOGGER.warning(
            "Refused storage commitment to %s with status %04X: %s",
            caller.calling_ae_title,
            failure.status,
            failure.comment,
        )
        return failure.status

    def _accept(self, request: CommitmentRequested, caller: Caller) -> None:
        with self._changed:
            pending = sum(job.request.peer == request.peer for job in self._jobs.values())
            if pending >= self._settings.maximum_pending:
                raise RefusalError(RESOURCE_LIMITATION, "Too many reports are under way")
            self._sink(request)
            self._take(request, caller)
            self._changed.notify_all()

    def _take(self, request: CommitmentRequested, caller: Caller | None) -> None:
        asked = hash(frozenset(request.instances))
        known = self._known.setdefault(request.peer, {})
        duplicate = known.setdefault(request.transaction_uid, asked) != asked
        if len(known) > MAXIMUM_KNOWN:
            del known[next(iter(known))]
        number = next(self._numbers)
        self._jobs[number] = _Job(number, request, duplicate, caller)

    def _forget(self, transaction_uid: str) -> None:
        for job in self._jobs.values():
            if job.request.transaction_uid == transaction_uid:
                del self._jobs[job.number]
                return

    # In threads of its own

    def _run(self) -> None:
        with ThreadPoolExecutor(CALLS, "storage commitment") as pool:
            while (job := self._next()) is not None:
                pool.submit(self._guarded, job)

    def _next(self) -> _Job | None:
        """A report that is due, to a peer that has none under way; None at the end."""
        with self._changed:
            while not self._stopped:
                now_s = time.monotonic()
                free = [j for j in self._jobs.values() if j.request.peer not in self._busy]
                if free and len(self._busy) < CALLS:
                    job = min(free, key=lambda one: (one.due_s, one.number))
                    if job.due_s <= now_s:
                        self._busy[job.request.peer] = job
                        return job
                    self._changed.wait(job.due_s - now_s)
                else:
                    self._changed.wait()
        return None

    def _guarded(self, job: _Job) -> None:
        try:
            done = self._attend(job)
        except Exception:  # the thread's outermost edge
            LOGGER.exception("A report on storage commitment failed")
            self._postpone(job)
            done = False
        with self._changed:
            del self._busy[job.request.peer]
            if done:
                self._jobs.pop(job.number, None)
            self._changed.notify_all()

    def _attend(self, job: _Job) -> bool:
        """Look, wait, or report; whether that was all."""
        request = job.request
        failed = job.failed = self._failures(job)
        age_s = (self._now() - request.at).total_seconds()
        if NO_SUCH_OBJECT in failed.values() and 0 <= age_s < self._settings.grace_s:
            job.due_s = time.monotonic() + self._settings.look_s
            return False
        delivered = self._deliver(job, *result(request.transaction_uid, request.instances, failed))
        if self._stopped and not delivered:
            return False
        job.tries += 1
        job.failed = None
        in_vain = request.peer not in self._nodes and job.tries >= LAST_TRIES
        if not delivered and not in_vain and age_s < self._settings.give_up_s:
            self._postpone(job)
            return False
        LOGGER.log(
            logging.INFO if delivered else logging.ERROR,
            "Storage commitment %s: %d of %d objects are held; %s %s be told",
            request.transaction_uid,
            len(request.instances) - len(failed),
            len(request.instances),
            request.peer,
            "could" if delivered else "can't",
        )
        try:
            self._sink(
                CommitmentReported(request.transaction_uid, delivered, self._now(), request.peer)
            )
        except OSError:
            LOGGER.exception("A report can't be written down: it will come again after a restart")
        return True

    def _failures(self, job: _Job) -> dict[str, int]:
        """Failure Reason of each SOP instance that is not committed."""
        if job.duplicate:
            return dict.fromkeys((uid for _, uid in job.request.instances), DUPLICATE_TRANSACTION)
        failed: dict[str, int] = {}
        for sop_class, instance in job.request.instances:
            if job.failed is not None and instance not in job.failed:
                continue  # it was held a moment ago
            held_as = self._holdings.sop_class_of(instance)
            if held_as is None:
                failed[instance] = NO_SUCH_OBJECT
            elif held_as != sop_class:
                failed[instance] = CLASS_INSTANCE_CONFLICT
        return failed

    def _deliver(self, job: _Job, event_type: int, information: Dataset) -> bool:
        """On the association that asked, or on one of ours; whether the peer has taken it."""
        if job.caller is not None and job.caller.report(information, event_type):
            return True
        node = self._nodes.get(job.request.peer)
        if node is None:
            return False
        job.caller = None  # it is over, or the peer wants it otherwise
        call = Call(node, self._ourselves, [(COMMITMENT, UNCOMPRESSED)], provider_of=[COMMITMENT])
        with self._changed:
            if self._stopped:
                return False
            self._calls[job.request.peer] = call
        try:
            with call:
                answer = call.report(COMMITMENT, COMMITMENT_INSTANCE, event_type, information)
        except CallError as error:
            LOGGER.warning("A report on storage commitment failed: %s", error.text)
            return False
        finally:
            with self._changed:
                del self._calls[job.request.peer]
        if answer.status != SUCCESS:
            LOGGER.warning("%s refused a report (%s)", node.name, answer.comment)
        return answer.status == SUCCESS

    def _postpone(self, job: _Job) -> None:
        first_s, longest_s = self._settings.retry_first_s, self._settings.retry_longest_s
        pause_s = min(first_s * 2.0 ** min(job.tries - 1, 30), longest_s)
        job.due_s = time.monotonic() + pause_s
