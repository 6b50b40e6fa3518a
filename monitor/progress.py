"""How far the jobs in the analysis processes have come: times, in memory shared with them.

A process writes a number and waits for nobody; a queue or a lock would hold up what it is to watch
over. Times are ``time.monotonic``'s, one clock for all processes of a machine.
"""

import time
from collections.abc import Callable
from contextvars import ContextVar
from functools import partial
from multiprocessing.context import SpawnContext
from typing import Any

from segmentation.watching import Step, unwatched

_step: ContextVar[Step] = ContextVar("step", default=unwatched)


class Progress:
    """Shared between the service and the processes of one pool.

    Parameters
    ----------
    places
        How many jobs run at once. The service gives each job its place.
    """

    def __init__(self, context: SpawnContext, places: int) -> None:
        self._times: Any = context.RawArray("d", places)
        self._up = context.Value("i", 0)
        self._up_at: Any = context.RawValue("d", 0.0)

    # In the service

    def up_since(self, count: int) -> float | None:
        """Since when so many processes have been taking jobs; None when they are not there yet."""
        return float(self._up_at.value) if self._up.value >= count else None

    def clear(self, place: int) -> None:
        """A job is handed over."""
        self._times[place] = 0.0

    def latest(self, place: int) -> float:
        """When the job of a place last moved on; 0 when it has not begun."""
        return float(self._times[place])

    # In a process

    def begin(self) -> None:
        """The process takes jobs from now on."""
        with self._up.get_lock():
            self._up_at.value = time.monotonic()
            self._up.value += 1

    def run(self, place: int, function: Callable[..., Any], *arguments: Any) -> Any:
        """Do a job; ``step()`` within it tells of it here."""
        step = partial(self._move, place)
        step()
        _step.set(step)
        return function(*arguments)

    def _move(self, place: int) -> None:
        self._times[place] = time.monotonic()


def step() -> Step:
    """What the running job is to call as it moves on."""
    return _step.get()
