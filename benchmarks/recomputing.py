"""A changed tumour: from the response to its structure set until ten scans are measured again."""

import json
import time
import urllib.request
from collections.abc import Sequence
from contextlib import ExitStack
from copy import deepcopy
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid

from benchmarks.latency import INTERVAL_S, PATIENCE_S, relabelled, shifted_to, there_and_back
from benchmarks.machine import CORES, few_cores, warn_if_busy
from benchmarks.served import Display, served
from benchmarks.simulated import stored
from benchmarks.timed import SEED, SLICES, thick
from monitor.simulate import press_phase
from scanner_sim.push import Pusher

TARGET_S = 6.0
"""For ten scans, on two cores."""

SCANS = 10

LARGER = 1.1
"""The tumour is drawn anew, so many times as large."""

LOOK_S = 0.05


@dataclass(frozen=True)
class Recomputed:
    """What one run found: seconds to each scan that was measured again, and whether it was told."""

    seconds: tuple[float, ...]
    told: bool
    failures: tuple[str, ...]


def run(keep: Path | None = None) -> Recomputed:
    """Run and print; what was found."""
    with ExitStack() as stack:
        directory = keep
        if directory is None:
            scratch = stack.enter_context(TemporaryDirectory(prefix="icemargin-bench-"))
            directory = Path(scratch)
        directory.mkdir(parents=True, exist_ok=True)
        procedure = stored(thick(), SEED, directory)
        warn_if_busy()
        cores = stack.enter_context(few_cores())
        seconds, told = _recomputed(sorted(procedure.files.iterdir()))
    print(
        f"\nA tumour drawn anew: {SCANS} scans of {SLICES} slices measured again, {cores} cores\n"
        f"  first after {seconds[0]:.2f} s, last after {seconds[-1]:.2f} s "
        f"(asked: at most {TARGET_S:g} s); progress was {'' if told else 'not '}told",
        flush=True,
    )
    failures = []
    if seconds[-1] > TARGET_S:
        failures.append(f"ten scans took {seconds[-1]:.2f} s, at most {TARGET_S:g} s.")
    if not told:
        failures.append("no progress was told.")
    if cores > CORES:
        print(f"(The target is for {CORES} cores; here were {cores}.)")
    for text in failures:
        print(f"MISSED  {text}")
    return Recomputed(tuple(seconds), told, tuple(failures))


def _recomputed(folders: Sequence[Path]) -> tuple[list[float], bool]:
    length_s = thick().timeline.freeze_from_s + (SCANS + 1) * INTERVAL_S
    start = datetime.now().astimezone() - timedelta(seconds=length_s)
    planning, structures, baseline, *freeze = shifted_to(start, folders)
    with ExitStack() as stack:
        scratch = stack.enter_context(TemporaryDirectory(prefix="icemargin-served-"))
        service = stack.enter_context(served(Path(scratch)))
        display = stack.enter_context(Display(service.page))
        pusher = Pusher(service.destination)
        for datasets in (planning, structures, baseline):
            pusher.send(datasets)
        display.wait(str(planning[0].SeriesInstanceUID), PATIENCE_S)
        press_phase(service.page, "freeze")
        for n, number in enumerate(there_and_back(len(freeze), SCANS)):
            at = start + timedelta(seconds=thick().timeline.freeze_from_s + (n + 1) * INTERVAL_S)
            datasets = relabelled(freeze[number], at, n)
            pusher.send(datasets)
            display.wait(str(datasets[0].SeriesInstanceUID), PATIENCE_S)
        known = {str(m["id"]) for m in _measured(service.page)}
        responses: list[float] = []
        pusher.send([_drawn_anew(structures[0])], on_sent=lambda _: responses.append(_now()))
        return _until_measured(service.page, known, responses[-1])


def _now() -> float:
    return time.monotonic()


def _until_measured(page: str, known: set[str], since: float) -> tuple[list[float], bool]:
    seconds: list[float] = []
    told = False
    while len(seconds) < SCANS:
        if _now() - since > PATIENCE_S:
            raise RuntimeError(f"{len(seconds)} of {SCANS} scans were measured again")
        again = [m for m in _measured(page) if m["id"] not in known]
        seconds += [_now() - since] * (len(again) - len(seconds))
        told |= _procedure(page)["recomputing"] is not None
        time.sleep(LOOK_S)
    return seconds, told


def _drawn_anew(drawn: Dataset) -> Dataset:
    """The structure set as another object, its tumour larger about its middle."""
    copy = deepcopy(drawn)
    copy.SOPInstanceUID = generate_uid()
    copy.file_meta.MediaStorageSOPInstanceUID = copy.SOPInstanceUID
    names = {int(r.ROINumber): str(r.ROIName) for r in copy.StructureSetROISequence}
    for roi in copy.ROIContourSequence:
        if "tumour" not in names[int(roi.ReferencedROINumber)].lower():
            continue
        for contour in roi.ContourSequence:
            points = np.array(contour.ContourData, dtype=float).reshape(-1, 3)
            middle = points.mean(axis=0)
            contour.ContourData = [float(v) for v in (middle + LARGER * (points - middle)).ravel()]
    return copy


def _procedure(page: str) -> dict[str, Any]:
    found: list[dict[str, Any]] = _get(f"{page}api/v1/procedures")
    return found[0]


def _measured(page: str) -> list[dict[str, Any]]:
    """Figures that hold."""
    procedure_id = _procedure(page)["id"]
    found: list[dict[str, Any]] = _get(f"{page}api/v1/procedures/{procedure_id}/measurements")
    return [m for m in found if m["role"] == "monitoring" and m["assessment"] == "final"]


def _get(address: str) -> Any:
    with urllib.request.urlopen(address, timeout=PATIENCE_S) as answer:
        return json.loads(answer.read())
