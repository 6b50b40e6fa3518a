"""Jobs under way in the analysis processes: at most one a procedure, none for ever.

Owned by the pipeline's thread; only the executor's callback runs elsewhere, and that only calls
``tell``. No more are handed over than can run at once, so that each is watched from its beginning;
the others wait here, one a procedure at most.
"""

import logging
import time
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from typing import Any

from monitor.analysis import Refused
from monitor.metrics import Metrics
from monitor.procedure import Procedure
from monitor.steps import Job
from monitor.workers import Workers

TRIES = 2
"""A job whose process died is tried again once; what kills a process twice is in the scan. It is
tried alone, so that it takes no other's process with it."""

WHOLE = 3.0
"""A job may take so many times ``timeout_s`` in all, however well it moves on."""

BEGIN_S = 30.0
"""A process that is being started loads its libraries before it can begin with a job."""

logger = logging.getLogger(__name__)


@dataclass(eq=False)
class Running:
    """A job, waiting for a place or handed over.

    Attributes
    ----------
    place
        Which of the executor's places it has; None while it waits.
    started, begun
        When it was handed over, and when it was seen to have begun, where that can be seen; 0
        before. Monotonic.
    """

    procedure: Procedure
    job: Job
    tries: int = 1
    place: int | None = None
    started: float = field(default_factory=time.monotonic)
    begun: float = 0.0


@dataclass(frozen=True, eq=False)
class Answered:
    """An analysis process has answered, or failed."""

    running: Running
    future: "Future[Any]"


class Jobs:
    """Hands jobs over and takes their answers.

    Parameters
    ----------
    tell
        Called with each answer, on a thread of the executor's; must not wait.
    timeout_s
        A job that has not moved on for so long is ended, with all processes.
    """

    def __init__(
        self,
        workers: Workers,
        metrics: Metrics,
        tell: Callable[[Answered], None],
        timeout_s: float,
    ) -> None:
        self._workers = workers
        self._metrics = metrics
        self._tell = tell
        self._timeout_s = timeout_s
        self._jobs: dict[str, Running] = {}
        self._counted = 0

    @property
    def idle(self) -> bool:
        """Whether none is under way."""
        return not self._jobs

    def busy(self, procedure: Procedure) -> bool:
        """Whether a job of this procedure is under way."""
        return procedure.id in self._jobs

    def hand_over(self, procedure: Procedure, job: Job) -> None:
        """Start a job, or let it wait for its turn."""
        self._jobs[procedure.id] = Running(procedure, job)
        self._start()

    def take(self, answered: Answered) -> Any | None:
        """The job's answer; None where it was given up before, or is tried again."""
        running = answered.running
        if self._jobs.get(running.procedure.id) is not running:
            return None
        del self._jobs[running.procedure.id]
        cancelled = answered.future.cancelled()
        error = None if cancelled else answered.future.exception()
        if not cancelled and error is None:
            self._start()
            return answered.future.result()
        self._metrics.analysis_failures.inc()
        logger.error("An analysis failed (try %d)", running.tries, exc_info=error)
        again = running.tries < TRIES
        if again:
            self._wait_again(running, running.tries + 1)
        if error is not None and not isinstance(error, BrokenProcessPool):
            self._renew()  # what made it fail may be in its process: memory that is full, say
        self._start()
        return None if again else Refused("analysis_failed", "The analysis failed twice.")

    def end_stuck(self) -> list[tuple[Running, Refused]]:
        """End all processes when one job is stuck; the stuck jobs, with what to answer.

        To be called every second or so. Jobs that ran beside it died with it and are started again.
        """
        stuck = [(r, why) for r in self._placed() if (why := self._why_stuck(r)) is not None]
        if stuck:
            for running, _ in stuck:
                del self._jobs[running.procedure.id]
            self._renew()
            self._start()
        self._metrics.analysis_restarts.inc(self._workers.restarts - self._counted)
        self._counted = self._workers.restarts
        return stuck

    def _why_stuck(self, running: Running) -> Refused | None:
        assert running.place is not None
        now, limit_s = time.monotonic(), self._timeout_s
        moved = self._workers.moved_at(running.place)
        if moved == 0:  # not begun
            up = self._workers.up_since(len(self._placed()))
            since = max(running.started, up or 0)
            limit_s = limit_s if up is not None else max(BEGIN_S, limit_s)
            return _timeout("did not begin", limit_s) if now - since > limit_s else None
        if moved is not None:
            running.begun = running.begun or moved
            if now - moved > limit_s:
                return _timeout("did not move on", limit_s)
        if now - (running.begun or running.started) > WHOLE * limit_s:
            return _timeout("was not done", WHOLE * limit_s)
        return None

    def _placed(self) -> list[Running]:
        return [running for running in self._jobs.values() if running.place is not None]

    def _renew(self) -> None:
        """New processes. What ran in the old ones is to be started again."""
        self._workers.replace()
        for running in self._placed():
            self._wait_again(running, running.tries)

    def _wait_again(self, running: Running, tries: int) -> None:
        self._jobs[running.procedure.id] = Running(running.procedure, running.job, tries)

    def _start(self) -> None:
        """Hand over what there is a place for."""
        for running in [r for r in self._jobs.values() if r.place is None]:
            others = self._placed()
            alone = running.tries > 1 or any(other.tries > 1 for other in others)
            if len(others) >= self._workers.places or (alone and others):
                return
            taken = {other.place for other in others}
            running.place = next(n for n in count() if n not in taken)
            running.started = time.monotonic()
            job = running.job
            future = self._workers.submit(running.place, job.function, *job.arguments)
            future.add_done_callback(partial(self._done, running))

    def _done(self, running: Running, future: "Future[Any]") -> None:
        self._tell(Answered(running, future))


def _timeout(what: str, limit_s: float) -> Refused:
    return Refused("analysis_timeout", f"The analysis {what} for {limit_s:.0f} s and was ended.")
