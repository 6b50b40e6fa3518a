"""Jobs under way in the analysis processes: at most one a procedure, none for ever.

Owned by the pipeline's thread; only the executor's callback runs elsewhere, and that only calls
``tell``.
"""

import logging
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from monitor.analysis import Refused
from monitor.metrics import Metrics
from monitor.procedure import Procedure
from monitor.steps import Job
from monitor.workers import Workers

TRIES = 2
"""A job whose process died is tried again once; what kills a process twice is in the scan."""

logger = logging.getLogger(__name__)


@dataclass(eq=False)
class Running:
    """A job that has been handed over."""

    procedure: Procedure
    job: Job
    started: float = field(default_factory=time.monotonic)
    tries: int = 1


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
        Called with each answer, on a thread of the executor's.
    timeout_s
        A job that takes longer is ended, with all processes.
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
        self._running: dict[str, Running] = {}

    @property
    def idle(self) -> bool:
        """Whether none is under way."""
        return not self._running

    def busy(self, procedure: Procedure) -> bool:
        """Whether a job of this procedure is under way."""
        return procedure.id in self._running

    def hand_over(self, procedure: Procedure, job: Job) -> None:
        """Start a job."""
        self._start(Running(procedure, job))

    def take(self, answered: Answered) -> Any | None:
        """The job's answer; None where it was given up before, or is tried again."""
        running = answered.running
        if self._running.get(running.procedure.id) is not running:
            return None
        del self._running[running.procedure.id]
        cancelled = answered.future.cancelled()
        error = None if cancelled else answered.future.exception()
        if not cancelled and error is None:
            return answered.future.result()
        self._metrics.analysis_failures.inc()
        logger.error("An analysis failed (try %d)", running.tries, exc_info=error)
        if running.tries < TRIES:
            self._start(Running(running.procedure, running.job, tries=running.tries + 1))
            return None
        return Refused("analysis_failed", "The analysis failed twice.")

    def end_stuck(self) -> list[tuple[Running, Refused]]:
        """End all processes when one job takes too long; the stuck jobs, with what to answer.

        Jobs that ran beside it died with it and are started again.
        """
        now = time.monotonic()
        stuck = [r for r in self._running.values() if now - r.started > self._timeout_s]
        if not stuck:
            return []
        others = [r for r in self._running.values() if r not in stuck]
        self._running.clear()
        self._metrics.analysis_restarts.inc()
        self._workers.replace()
        for running in others:
            self._start(Running(running.procedure, running.job, tries=running.tries))
        text = f"The analysis took longer than {self._timeout_s:.0f} s and was ended."
        return [(running, Refused("analysis_timeout", text)) for running in stuck]

    def _start(self, running: Running) -> None:
        self._running[running.procedure.id] = running
        future = self._workers.submit(running.job.function, *running.job.arguments)
        future.add_done_callback(partial(self._done, running))

    def _done(self, running: Running, future: "Future[Any]") -> None:
        self._tell(Answered(running, future))
