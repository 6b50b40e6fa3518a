"""Sending files to archives, for as long as it takes.

What was put here is durable, and is tried again until the archive has it, or says that it will not
take it, or the time for it is over; then it is kept in ``failed``, with the reason. Each node has
its own thread: one that is slow or gone never holds up another.

At its bound a node's outbox takes no more: what it has taken on is never dropped for something
newer, and who puts is told.
"""

import logging
import math
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from dicom_listener.association import MAXIMUM_CONTEXTS
from dicom_listener.client import Call
from dicom_listener.nodes import CallError, Node, Ourselves
from dicom_listener.outbox_folder import Job, OutboxFolder
from dicom_listener.outgoing import Outgoing, OutgoingError

LOGGER = logging.getLogger(__name__)

BATCH: Final = MAXIMUM_CONTEXTS // 3
"""Files sent on one association: each may want three presentation contexts."""

STOP_S: Final = 2.0
"""How long ``stop`` lets a file be sent to its end."""

Verdict = Literal["stored", "again", "failed"]


def verdict(status: int) -> Verdict:
    """What a status of C-STORE means for the file (PS3.4, table B.2-1; PS3.7, annex C).

    Out of resources (A7xx) and a failure in processing (0110) pass. A duplicate (0111) is what we
    sent before, when its answer was lost. All other failures are the archive's last word.
    """
    if status in (0x0000, 0x0111) or 0xB000 <= status <= 0xBFFF:
        return "stored"
    if status == 0x0110 or 0xA700 <= status <= 0xA7FF:
        return "again"
    return "failed"


class OutboxError(Exception):
    """A file was not taken on; the text says why, for people."""


@dataclass(frozen=True)
class OutboxLimits:
    """How often, how long, and how much.

    Attributes
    ----------
    retry_first_s, retry_longest_s
        Pause after the first failure; it doubles with each further one, up to the longest.
    give_up_s
        A file that was not sent after this is given up.
    files
        At most so many wait for one node.
    """

    retry_first_s: float = 5.0
    retry_longest_s: float = 300.0
    give_up_s: float = 72 * 3600.0
    files: int = 1000

    def pause_s(self, failures: int) -> float:
        """The pause after so many failures in a row."""
        doublings = min(failures - 1, 30)
        return min(self.retry_first_s * 2.0**doublings, self.retry_longest_s)


@dataclass(frozen=True)
class NodeFigures:
    """How one node gets on.

    Attributes
    ----------
    waiting
        Files that are not sent yet.
    sent, failed, errors
        Files since the start: taken by the node, and given up; and defects met in our own work.
    oldest_s
        Age of the oldest file that waits; 0 when none does.
    problem
        Why the last try failed; empty when it did not.
    """

    node: str
    waiting: int
    sent: int
    failed: int
    errors: int
    oldest_s: float
    problem: str


class Outbox:
    """Files on their way to nodes.

    Parameters
    ----------
    directory
        Made if absent; a folder for each node lies in it.
    """

    def __init__(
        self,
        directory: Path,
        nodes: Sequence[Node],
        caller: Ourselves,
        limits: OutboxLimits | None = None,
    ) -> None:
        self._couriers = {
            node.name: _Courier(OutboxFolder(directory, node.name), node, caller, limits)
            for node in nodes
        }

    def start(self) -> None:
        """Begin to send what is left from before, and what is put.

        Raises
        ------
        OSError
            When a folder can't be made or read.
        """
        for courier in self._couriers.values():
            courier.start()

    def put(self, node_name: str, path: Path) -> None:
        """Take on a DICOM file, which is durable here when this returns.

        The file must not be changed in place afterwards; it may be removed.

        Raises
        ------
        OutboxError
            When it is not taken on: no such node, no DICOM file, the bound is reached, or the
            disk fails.
        """
        courier = self._couriers.get(node_name)
        if courier is None:
            raise OutboxError(f"There is no archive node called {node_name!r}.")
        courier.put(path)

    def stop(self) -> None:
        """End; what is not sent waits for the next start."""
        for courier in self._couriers.values():
            courier.ask_to_stop()
        for courier in self._couriers.values():
            courier.stop()

    def figures(self) -> tuple[NodeFigures, ...]:
        """All nodes, at this moment."""
        return tuple(courier.figures() for courier in self._couriers.values())


class _Courier:
    """Carries the files of one node, in a thread of its own."""

    def __init__(
        self, folder: OutboxFolder, node: Node, caller: Ourselves, limits: OutboxLimits | None
    ) -> None:
        self._folder = folder
        self._node = node
        self._caller = caller
        self._limits = limits or OutboxLimits()
        self._changed = threading.Condition()
        self._jobs: dict[Path, Job] = {}
        self._stopped = False
        self._call: Call | None = None
        self._thread: threading.Thread | None = None
        # Of the node as such, in a row; and when it may be called again, by the monotonic clock.
        self._failures = 0
        self._due_s = 0.0
        self._problem = ""
        self._sent = self._failed = self._errors = 0

    # From any thread

    def start(self) -> None:
        """Load what is left, and begin."""
        self._jobs = {job.path: job for job in self._folder.load()}
        name = f"outbox {self._node.name}"
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def put(self, path: Path) -> None:
        """Take a file on."""
        try:
            Outgoing.read(path)
            with self._changed:
                if self._thread is None or self._stopped:
                    raise OutboxError("The outbox is not started.")
                if len(self._jobs) >= self._limits.files:
                    raise OutboxError(
                        f"{len(self._jobs)} files wait for {self._node.name}, which is the most."
                    )
                job = self._folder.add(path)
                self._jobs[job.path] = job
                self._changed.notify_all()
        except OutgoingError as error:
            raise OutboxError(str(error)) from error
        except OSError as error:
            raise OutboxError(f"{path.name} can't be kept ({error.strerror}).") from error

    def ask_to_stop(self) -> None:
        """Take on nothing, and end after the file that is under way."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    def stop(self) -> None:
        """Wait for the end; a file that takes too long is broken off."""
        if self._thread is None:
            return
        self._thread.join(STOP_S)
        call = self._call
        if call is not None:
            call.break_off()
            self._thread.join(STOP_S)

    def figures(self) -> NodeFigures:
        """How it gets on."""
        with self._changed:
            oldest = min((job.put_at_s for job in self._jobs.values()), default=None)
            return NodeFigures(
                node=self._node.name,
                waiting=len(self._jobs),
                sent=self._sent,
                failed=self._failed,
                errors=self._errors,
                oldest_s=0.0 if oldest is None else max(0.0, time.time() - oldest),
                problem=self._problem,
            )

    # In its own thread

    def _run(self) -> None:
        while True:
            batch = self._next()
            if not batch:
                return
            try:
                self._deliver(batch)
            except Exception:  # the thread's outermost edge
                LOGGER.exception("A defect in sending to %s", self._node.name)
                with self._changed:
                    self._errors += 1
                self._pause(batch[0], "There was a defect of our own; see the log.")

    def _next(self) -> list[Job]:
        """What may be sent now, after waiting for it; nothing at the end.

        Those that failed less often go first, so that one that always fails holds up none.
        """
        with self._changed:
            while not self._stopped:
                now_s = time.monotonic()
                expired = [job for job in self._jobs.values() if self._is_over(job)]
                due = [job for job in self._jobs.values() if job.due_s <= now_s]
                if expired:
                    return expired[:BATCH]
                if due and self._due_s <= now_s:
                    return sorted(due, key=lambda job: (job.attempts, job.path))[:BATCH]
                self._changed.wait(self._wait_s(now_s))
        return []

    def _wait_s(self, now_s: float) -> float | None:
        """Until something may be due, or is too old."""
        jobs = self._jobs.values()
        if not jobs:
            return None
        due_s = max(self._due_s, min(job.due_s for job in jobs)) - now_s
        oldest = min((job.put_at_s for job in jobs if job.problem), default=math.inf)
        return max(0.01, min(due_s, oldest + self._limits.give_up_s - time.time()))

    def _is_over(self, job: Job) -> bool:
        """Whether its time is over; never before it was tried, for the clock may have been set."""
        return bool(job.problem) and time.time() - job.put_at_s > self._limits.give_up_s

    def _deliver(self, batch: Sequence[Job]) -> None:
        """Send files on one association."""
        load: list[tuple[Job, Outgoing]] = []
        for job in batch:
            if self._is_over(job):
                hours = self._limits.give_up_s / 3600
                self._give_up(job, f"Given up after {hours:.0f} h: {job.problem}")
                continue
            try:
                load.append((job, Outgoing.read(job.path)))
            except (OutgoingError, OSError) as error:
                self._give_up(job, f"It can't be read: {error}")
        if not load:
            return
        proposals = dict.fromkeys(one for _, outgoing in load for one in outgoing.proposals())
        self._call = Call(self._node, self._caller, list(proposals))
        try:
            self._send_all(self._call, load)
        finally:
            self._call = None

    def _send_all(self, call: Call, load: Sequence[tuple[Job, Outgoing]]) -> None:
        under_way: Job | None = None
        try:
            with call:
                for job, outgoing in load:
                    if self._stopped:
                        return
                    under_way = job
                    self._send(call, job, outgoing)
        except CallError as error:
            if error.code == "no_context":  # for none of them
                for job, _ in load:
                    self._give_up(job, error.text)
            else:
                self._pause(under_way, error.text)
        except OSError as error:
            self._pause(under_way, f"The file can't be read ({error.strerror}).")

    def _send(self, call: Call, job: Job, outgoing: Outgoing) -> None:
        """Send one file.

        Raises
        ------
        CallError
            When the association is over, or the node must be left alone for a while.
        OSError
            When the file can't be read, perhaps in the middle.
        """
        try:
            context = outgoing.context(call)
            data = outgoing.data(context.transfer_syntax)
        except (CallError, OutgoingError) as error:
            self._give_up(job, str(error))
            return
        answer = call.store(context, outgoing.sop_instance_uid, data)
        judged = verdict(answer.status)
        if judged == "again":
            text = f"{self._node.name} can't take it now ({answer.comment})."
            raise CallError("refused", text, answer.status)
        if judged == "failed":
            self._give_up(job, f"{self._node.name} refused it ({answer.comment}).")
            return
        if answer.status:
            LOGGER.warning(
                "%s took %s with %s", self._node.name, outgoing.sop_instance_uid, answer.comment
            )
        self._settle(job, lambda: self._folder.remove(job))
        with self._changed:
            self._sent += 1
            self._failures = 0
            self._problem = ""

    def _give_up(self, job: Job, reason: str) -> None:
        LOGGER.error("Given up %s for %s: %s", job.path.name, self._node.name, reason)
        self._settle(job, lambda: self._folder.fail(job, reason))
        with self._changed:
            self._failed += 1
            self._problem = reason

    def _settle(self, job: Job, tidy: Callable[[], None]) -> None:
        """Forget a job, also where the disk can't: it then comes again with the next start."""
        with self._changed:
            self._jobs.pop(job.path, None)
        try:
            tidy()
        except OSError:
            LOGGER.exception("The outbox can't be tidied")
            with self._changed:
                self._errors += 1

    def _pause(self, job: Job | None, problem: str) -> None:
        """Leave the node alone for a while, and for longer if it fails again; and so the file, if
        it failed with one."""
        if self._stopped:
            return  # broken off by ourselves
        with self._changed:
            now_s = time.monotonic()
            if job is not None:
                job.attempts += 1
                job.due_s = now_s + self._limits.pause_s(job.attempts)
            for one in self._jobs.values() if job is None else (job,):
                one.problem = problem
            self._failures += 1
            self._problem = problem
            pause_s = self._limits.pause_s(self._failures)
            self._due_s = now_s + pause_s
        LOGGER.warning("%s Next try in %.0f s", problem, pause_s)
