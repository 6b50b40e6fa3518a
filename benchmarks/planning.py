"""From the last C-STORE response of the planning objects to the structures at a display."""

import logging
import statistics
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from pydicom.dataset import Dataset

from benchmarks.latency import read_series
from benchmarks.machine import CORES, few_cores, warn_if_busy
from benchmarks.served import Display, served
from benchmarks.simulated import stored
from benchmarks.tables import table
from benchmarks.timed import SEED, thick
from scanner_sim.push import Pusher

TARGET_S = 2.0
"""On two cores, planning scan and contours of the usual case."""

PATIENCE_S = 60.0

ORDERS = ("contours last", "scan last")


@dataclass(frozen=True)
class Options:
    """How much to run.

    Attributes
    ----------
    runs
        Of each order; each is a service of its own.
    keep
        Where simulated files are kept and found again; none throws them away.
    """

    runs: int = 3
    keep: Path | None = None


@dataclass(frozen=True)
class Found:
    """Seconds, by what came last."""

    seconds: dict[str, tuple[float, ...]]
    failures: tuple[str, ...]


def run(options: Options) -> Found:
    """Run and print; what was found."""
    with ExitStack() as stack:
        directory = options.keep
        if directory is None:
            scratch = stack.enter_context(TemporaryDirectory(prefix="icemargin-bench-"))
            directory = Path(scratch)
        directory.mkdir(parents=True, exist_ok=True)
        logging.getLogger("pynetdicom").setLevel(logging.WARNING)
        folders = sorted(stored(thick(), SEED, directory).files.iterdir())
        scan, contours = (read_series(folder) for folder in folders[:2])
        warn_if_busy()
        cores = stack.enter_context(few_cores())
        seconds = {
            ORDERS[0]: tuple(_one((scan, contours)) for _ in range(options.runs)),
            ORDERS[1]: tuple(_one((contours, scan)) for _ in range(options.runs)),
        }
    print(f"\nFrom the last planning object to the structures at a display, {cores} cores")
    rows = [
        (order, f"{statistics.median(found):.2f}", f"{max(found):.2f}")
        for order, found in seconds.items()
    ]
    print(table(("last", "median s", "max s"), rows), flush=True)
    failures = tuple(
        f"{order}: {max(found):.2f} s, at most {TARGET_S:g} s."
        for order, found in seconds.items()
        if max(found) > TARGET_S
    )
    if cores > CORES:
        print(f"(The target is for {CORES} cores; here were {cores}.)")
    for text in failures:
        print(f"MISSED  {text}")
    return Found(seconds, failures)


def _one(objects: Sequence[Sequence[Dataset]]) -> float:
    """Send all to a new service; how long the structures were in coming."""
    contours = min(objects, key=len)[0]
    names = tuple(str(roi.ROIName) for roi in contours.StructureSetROISequence)
    with TemporaryDirectory(prefix="icemargin-served-") as scratch, ExitStack() as stack:
        service = stack.enter_context(served(Path(scratch)))
        display = stack.enter_context(Display(service.page))
        pusher = Pusher(service.destination)
        responses: list[float] = []
        for datasets in objects:
            pusher.send(datasets, on_sent=lambda _: responses.append(time.monotonic()))
        return display.wait_for_structures(names, PATIENCE_S) - responses[-1]
