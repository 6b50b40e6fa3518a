"""The machine that figures of time are taken on: its cores, who else uses it, and memory."""

import os
import resource
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

CORES = 2
"""That the targets speak of."""

LOOK_S = 2.0
QUIET = 0.1
"""Share of the machine that others may use without spoiling the figures."""


def warn_if_busy() -> None:
    """Say so when other programs take much of the machine."""
    busy = busy_elsewhere()
    if busy is not None and busy > QUIET:
        print(f"Other programs keep {busy:.0%} of the machine busy: figures will be too high.")


def busy_elsewhere() -> float | None:
    """Share of all cores that is in use while we do nothing; None where it can't be known."""
    statistic = Path("/proc/stat")
    if not statistic.exists():
        return None

    def ticks() -> tuple[int, int]:
        user, nice, system, idle, waiting, *more = (
            int(text) for text in statistic.read_text().splitlines()[0].split()[1:]
        )
        return user + nice + system + sum(more[:3]), idle + waiting

    used, free = ticks()
    time.sleep(LOOK_S)
    used_later, free_later = ticks()
    total = used_later + free_later - used - free
    return (used_later - used) / total if total else None


@contextmanager
def few_cores() -> Iterator[int]:
    """Confine this process and its children to two cores where the system can; how many it has."""
    get: Callable[[int], set[int]] | None = getattr(os, "sched_getaffinity", None)
    if get is None:
        yield os.cpu_count() or 1
        return
    usual = get(0)
    os.sched_setaffinity(0, sorted(usual)[:CORES])
    try:
        yield len(get(0))
    finally:
        os.sched_setaffinity(0, usual)


def peak_bytes() -> int:
    """Most memory that this process has held at once (resident set).

    From the kernel's ``VmHWM`` where there is one: ``getrusage`` also counts what the parent held
    when it started this process.
    """
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
