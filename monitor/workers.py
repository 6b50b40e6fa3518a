"""The analysis processes: an executor that is replaced when it breaks or hangs."""

import logging
import multiprocessing
import os
import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextvars import ContextVar
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from monitor import analysis, logs
from monitor.lending import Lending, taken
from monitor.progress import Progress

NICENESS = 10
"""Receiving comes first: a slice that waits too long fails the scanner's sending. On a machine that
is fully busy, an analysis still gets a tenth."""

END_TIMEOUT_S = 5.0
"""How long the service's end waits for the processes' end."""

FEEDER_WAITS = sys.version_info < (3, 11, 5)
"""Until then the thread that feeds a pool's processes would wait for ever for one of those that are
gone to read on (CPython's issue 94777), and the end of ours would wait for it."""

logger = logging.getLogger(__name__)

_progress: ContextVar[Progress] = ContextVar("progress")


class ProcessPool(ProcessPoolExecutor):
    """The local executor: fresh processes, so that none inherits the service's threads."""

    def __init__(self, workers: int) -> None:
        context = multiprocessing.get_context("spawn")
        self.places = workers
        self.progress = Progress(context, workers)
        super().__init__(workers, context, initializer=_begin, initargs=(self.progress,))
        if FEEDER_WAITS:
            close_once(self._call_queue._reader)  # type: ignore[attr-defined]  # noqa: SLF001

    def let_go(self) -> None:
        """Shut down with its processes gone; may take a while."""
        if FEEDER_WAITS:
            self._call_queue._reader.close()  # type: ignore[attr-defined]  # noqa: SLF001
        self.shutdown(cancel_futures=True)


def close_once(connection: Connection) -> None:
    """Let several threads close it: else the second may close what has taken its descriptor.

    A pool that breaks closes its end of the queue, and so does ``let_go``.
    """
    close, lock = connection.close, threading.Lock()

    def locked() -> None:
        with lock:
            close()

    connection.close = locked  # type: ignore[method-assign]


def process_pool(workers: int) -> Executor:
    """A ``ProcessPool``."""
    return ProcessPool(workers)


def _begin(progress: Progress) -> None:
    """First thing in each process."""
    os.nice(NICENESS)
    logs.hush()
    analysis.warm_up()
    end_with_parent()
    _progress.set(progress)
    progress.begin()


def end_with_parent() -> None:
    """A killed service can't end its processes, and nothing else would: they wait for jobs."""
    threading.Thread(target=_await_parent, name="end-with-parent", daemon=True).start()


def _await_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _run(place: int, function: Callable[..., Any], *arguments: Any) -> Any:
    return _progress.get().run(place, _with_lent, function, *arguments)


def _with_lent(function: Callable[..., Any], *arguments: Any) -> Any:
    return function(*(taken(one) for one in arguments))


class Workers:
    """Hands jobs to an executor; not shared between threads.

    Parameters
    ----------
    make
        Makes the executor, at start and after each loss: a process pool, or a cluster's executor.
    lent
        Folder for what is lent to a process pool; None sends it with each job. See ``lending``.
    """

    def __init__(self, make: Callable[[], Executor], lent: Path | None = None) -> None:
        self._make = make
        self._executor = make()
        self._lending = Lending(lent) if lent is not None else None
        self._endings: list[threading.Thread] = []
        self.restarts = 0

    @property
    def places(self) -> int:
        """How many jobs run at once."""
        pool = self._executor
        return pool.places if isinstance(pool, ProcessPool) else sys.maxsize

    def warm(self) -> None:
        """Start the processes now, so that the first scan does not wait for imports."""
        self._executor.submit(analysis.ready)

    def submit(self, place: int, function: Callable[..., Any], *arguments: Any) -> "Future[Any]":
        """Hand over a job; ``place`` is one below ``places`` that no job under way has."""
        try:
            return self._submit(place, function, *arguments)
        except BrokenProcessPool:
            self.replace()
            return self._submit(place, function, *arguments)

    def _submit(self, place: int, function: Callable[..., Any], *arguments: Any) -> "Future[Any]":
        pool = self._executor
        if not isinstance(pool, ProcessPool):
            return pool.submit(function, *arguments)
        pool.progress.clear(place)
        return pool.submit(_run, place, function, *self._lend(arguments))

    def _lend(self, arguments: tuple[Any, ...]) -> Sequence[Any]:
        return arguments if self._lending is None else self._lending.lend(arguments)

    def moved_at(self, place: int) -> float | None:
        """When the job of a place last moved on (monotonic); 0 before its beginning.

        None where the executor does not tell.
        """
        pool = self._executor
        return pool.progress.latest(place) if isinstance(pool, ProcessPool) else None

    def up_since(self, count: int) -> float | None:
        """Since when so many processes have been taking jobs; None when they are not there yet."""
        pool = self._executor
        return pool.progress.up_since(count) if isinstance(pool, ProcessPool) else None

    def replace(self) -> None:
        """End what runs, whatever it does, and start anew; what waits is cancelled. Never waits."""
        self.restarts += 1
        logger.warning("Analysis processes are replaced (%d since start)", self.restarts)
        self._end()
        self._executor = self._make()
        self.warm()

    def close(self) -> None:
        """End all processes, and wait until they are gone."""
        self._end()
        end = time.monotonic() + END_TIMEOUT_S
        for ending in self._endings:
            ending.join(max(end - time.monotonic(), 0))
        if self._lending is not None:
            self._lending.close()

    def _end(self) -> None:
        """Kill: one that hangs or was stopped takes no hint, and none holds what must be kept."""
        pool = self._executor
        if not isinstance(pool, ProcessPool):
            pool.shutdown(wait=False, cancel_futures=True)
            return
        # The pool's, and the one that decodes ahead, which is started again when it is needed.
        for child in multiprocessing.active_children():
            child.kill()
        ending = threading.Thread(target=pool.let_go, name="pool-ending", daemon=True)
        ending.start()
        self._endings = [thread for thread in self._endings if thread.is_alive()] + [ending]
