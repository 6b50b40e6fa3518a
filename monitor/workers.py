"""The analysis processes: an executor that is replaced when it breaks or hangs."""

import logging
import multiprocessing
import os
import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any

from monitor import analysis

END_TIMEOUT_S = 5.0

logger = logging.getLogger(__name__)


def process_pool(workers: int) -> Executor:
    """The local executor: fresh processes, so that none inherits the listener's threads."""
    return ProcessPoolExecutor(
        max_workers=workers,
        mp_context=multiprocessing.get_context("spawn"),
        initializer=_begin,
    )


def _begin() -> None:
    """First thing in each process."""
    analysis.warm_up()
    threading.Thread(target=_end_with_parent, name="end-with-parent", daemon=True).start()


def _end_with_parent() -> None:
    """A killed service can't end its processes, and nothing else would: they wait for jobs."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


class Workers:
    """Hands jobs to an executor; not shared between threads.

    Parameters
    ----------
    make
        Makes the executor, at start and after each loss: a process pool, or a cluster's executor.
    """

    def __init__(self, make: Callable[[], Executor]) -> None:
        self._make = make
        self._executor = make()
        self.restarts = 0

    def warm(self) -> None:
        """Start the processes now, so that the first scan does not wait for imports."""
        self._executor.submit(analysis.ready)

    def submit(self, function: Callable[..., Any], *arguments: Any) -> "Future[Any]":
        """Hand over a job."""
        try:
            return self._executor.submit(function, *arguments)
        except BrokenProcessPool:
            self.replace()
            return self._executor.submit(function, *arguments)

    def replace(self) -> None:
        """End what runs, whatever it does, and start anew; what waits is cancelled."""
        self.restarts += 1
        logger.warning("Analysis processes are replaced (%d since start)", self.restarts)
        self._end()
        self._executor = self._make()

    def close(self) -> None:
        """End all processes."""
        self._end()

    def _end(self) -> None:
        if not isinstance(self._executor, ProcessPoolExecutor):
            self._executor.shutdown(wait=False, cancel_futures=True)
            return
        children = multiprocessing.active_children()  # the pool's; we start no others
        for child in children:
            child.terminate()
        for child in children:
            child.join(timeout=END_TIMEOUT_S)
            if child.is_alive():
                child.kill()
        # With its processes gone the pool's own thread ends at once. It is waited for because the
        # system tells only one of us that a process has ended.
        self._executor.shutdown(wait=True, cancel_futures=True)
