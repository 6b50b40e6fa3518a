"""From the last C-STORE response of a scan to its measurement at a display, in the real service."""

import logging
import statistics
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from copy import deepcopy
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pydicom
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid

from benchmarks.machine import CORES, few_cores, warn_if_busy
from benchmarks.served import Arrival, Display, Service, Stages, served
from benchmarks.simulated import Stored, stored
from benchmarks.timed import SEED, SLICES, thick
from monitor.simulate import press_phase
from scanner_sim.push import Pusher

MEDIAN_TARGET_S = 1.0
"""On two cores, for 60 slices of 512 x 512."""

INTERVAL_S = 150.0
"""Between the acquisitions of two scans, as in a procedure."""

PATIENCE_S = 60.0

READING = "reading"
"""The service's name of the stage that puts the volume into memory."""

_OWN_UIDS = ("SeriesInstanceUID", "SOPInstanceUID")
_TIMES = (
    ("InstanceCreationDate", "InstanceCreationTime"),
    ("SeriesDate", "SeriesTime"),
    ("AcquisitionDate", "AcquisitionTime"),
    ("ContentDate", "ContentTime"),
)


@dataclass(frozen=True)
class Options:
    """How much to run.

    Attributes
    ----------
    scans
        Monitoring scans.
    keep
        Where simulated files are kept and found again; none throws them away.
    """

    scans: int = 20
    keep: Path | None = None


@dataclass(frozen=True)
class Timing:
    """One monitoring scan; seconds.

    Attributes
    ----------
    sending_s
        From the first C-STORE request to the last response.
    latency_s
        From the last response to the message at the display.
    publishing_s
        Of it, from the service's ``published_at`` on: journal, alerts, stream.
    stages_s
        Of the analysis, by the service's own account.
    """

    sending_s: float
    latency_s: float
    publishing_s: float
    stages_s: dict[str, float]

    @property
    def handing_s(self) -> float:
        """What is left: assembly, queueing, to the analysis process and back, and what that does
        outside its stages."""
        return self.latency_s - self.publishing_s - sum(self.stages_s.values())

    @property
    def in_memory_s(self) -> float:
        """The analysis once the volume is in memory."""
        return sum(s for name, s in self.stages_s.items() if name != READING)


@dataclass(frozen=True)
class Latency:
    """What one run found."""

    timings: tuple[Timing, ...]
    failures: tuple[str, ...]


def run(options: Options) -> Latency:
    """Run and print; what was found."""
    with ExitStack() as stack:
        directory = options.keep
        if directory is None:
            scratch = stack.enter_context(TemporaryDirectory(prefix="icemargin-bench-"))
            directory = Path(scratch)
        directory.mkdir(parents=True, exist_ok=True)
        logging.getLogger("pynetdicom").setLevel(logging.WARNING)
        procedure = stored(thick(), SEED, directory)
        warn_if_busy()
        cores = stack.enter_context(few_cores())
        timings = _timings(procedure, options.scans)
        median_s = statistics.median(t.latency_s for t in timings)
        print(table(timings, cores), flush=True)
    failures = []
    if median_s > MEDIAN_TARGET_S:
        failures.append(f"median latency {median_s:.2f} s, at most {MEDIAN_TARGET_S:g} s.")
    if cores > CORES:
        print(f"(The target is for {CORES} cores; here were {cores}.)")
    for text in failures:
        print(f"MISSED  {text}")
    return Latency(tuple(timings), tuple(failures))


def table(timings: Sequence[Timing], cores: int) -> str:
    """Latency over the scans, and where the time goes."""
    latencies = sorted(t.latency_s for t in timings)
    lines = [
        "",
        f"From the last C-STORE response to the measurement at a display: {len(timings)} scans of "
        f"{SLICES} slices of 512 x 512, {cores} cores",
        f"  median {statistics.median(latencies):.3f} s, min {latencies[0]:.3f} s, "
        f"90 % {float(np.percentile(latencies, 90)):.3f} s, max {latencies[-1]:.3f} s",
        f"  (sending took {statistics.median(t.sending_s for t in timings):.2f} s a scan)",
        f"  {'stage':<22}{'median s':>10}{'max s':>10}{'share':>8}",
    ]
    rows: list[tuple[str, list[float]]] = [
        (name, [t.stages_s.get(name, 0.0) for t in timings])
        for name in dict.fromkeys(name for t in timings for name in t.stages_s)
    ]
    rows.insert(0, ("handing over", [t.handing_s for t in timings]))
    rows.append(("publishing", [t.publishing_s for t in timings]))
    total = sum(latencies)
    for name, values in rows:
        share = sum(values) / total
        lines.append(
            f"  {name:<22}{statistics.median(values):>10.3f}{max(values):>10.3f}{share:>8.0%}"
        )
    lines.append(
        "  (handing over: assembly, to the analysis process and back, its work outside the stages; "
        "publishing: journal, alerts, stream)"
    )
    return "\n".join(lines)


def _timings(procedure: Stored, scans: int) -> list[Timing]:
    """Run the service and send it the procedure."""
    length_s = thick().timeline.freeze_from_s + (scans + 1) * INTERVAL_S
    # The last scan ends about now, as in a procedure that has come this far.
    start = datetime.now().astimezone() - timedelta(seconds=length_s)
    planning, structures, baseline, *freeze = shifted_to(start, sorted(procedure.files.iterdir()))
    with ExitStack() as stack:
        scratch = stack.enter_context(TemporaryDirectory(prefix="icemargin-served-"))
        service = stack.enter_context(served(Path(scratch)))
        display = stack.enter_context(Display(service.page))
        pusher = Pusher(service.destination)
        for datasets in (planning, structures, baseline):
            pusher.send(datasets)
        display.wait(str(planning[0].SeriesInstanceUID), PATIENCE_S)
        press_phase(service.page, "freeze")
        timings = []
        for n, number in enumerate(there_and_back(len(freeze), scans)):
            at = start + timedelta(seconds=thick().timeline.freeze_from_s + (n + 1) * INTERVAL_S)
            datasets = relabelled(freeze[number], at, n)
            timings.append(_one(service, display, pusher, datasets))
            print(f"{n + 1}/{scans}  {timings[-1].latency_s:.3f} s", flush=True)
    return timings


def shifted_to(start: datetime, folders: Sequence[Path]) -> list[list[Dataset]]:
    """A procedure's objects, folder by folder; planning, structures and baseline as if the first of
    them was made at ``start``."""
    read = [read_series(folder) for folder in folders]
    begins = min(str(d.AcquisitionDateTime) for d in read[0])
    shift = start - datetime.strptime(begins, "%Y%m%d%H%M%S.%f%z")
    for datasets in read[:3]:
        for dataset in datasets:
            _delay(dataset, shift)
    return read


def _one(service: Service, display: Display, pusher: Pusher, datasets: Sequence[Dataset]) -> Timing:
    """Send one scan and wait for its measurement.

    Raises
    ------
    RuntimeError
        It was not measured: a refusal is quick and must not pass for a measurement.
    """
    before: Stages = service.stages()
    responses: list[float] = []
    began = time.monotonic()
    pusher.send(datasets, on_sent=lambda _: responses.append(time.monotonic()))
    arrival: Arrival = display.wait(str(datasets[0].SeriesInstanceUID), PATIENCE_S)
    measurement = arrival.measurement
    if measurement["assessment"] != "final":
        raise RuntimeError(
            f"a scan was not measured: {measurement['role']}, {measurement['reasons']}"
        )
    return Timing(
        sending_s=responses[-1] - began,
        latency_s=arrival.at_s - responses[-1],
        publishing_s=(
            arrival.at - datetime.fromisoformat(measurement["published_at"])
        ).total_seconds(),
        stages_s=service.stages().since(before),
    )


def relabelled(datasets: Sequence[Dataset], at: datetime, number: int) -> list[Dataset]:
    """The same pictures as another series of the same study, acquired from this time on."""
    first = datetime.strptime(str(datasets[0].AcquisitionDateTime), "%Y%m%d%H%M%S.%f%z")
    copies = []
    for dataset in datasets:
        copy = deepcopy(dataset)
        for keyword in _OWN_UIDS:
            old = str(copy[keyword].value)
            setattr(copy, keyword, generate_uid(entropy_srcs=[old, str(number)]))
        copy.file_meta.MediaStorageSOPInstanceUID = copy.SOPInstanceUID
        copy.SeriesNumber = 100 + number
        _delay(copy, at - first)
        copies.append(copy)
    return copies


def _delay(dataset: Dataset, by: timedelta) -> None:
    """Move every time of making by as much."""
    if "AcquisitionDateTime" in dataset:
        moment = datetime.strptime(str(dataset.AcquisitionDateTime), "%Y%m%d%H%M%S.%f%z") + by
        dataset.AcquisitionDateTime = moment.strftime("%Y%m%d%H%M%S.%f%z")
    for date, clock in _TIMES:
        if date in dataset and clock in dataset:
            text = f"{dataset[date].value}{dataset[clock].value}"
            form = "%Y%m%d%H%M%S.%f" if "." in text else "%Y%m%d%H%M%S"
            moment = datetime.strptime(text, form) + by  # noqa: DTZ007  no zone goes in or out
            setattr(dataset, date, moment.strftime("%Y%m%d"))
            setattr(dataset, clock, moment.strftime("%H%M%S.%f"))


def there_and_back(available: int, scans: int) -> Iterator[int]:
    """0, 1, 2, 1, 0, 1, …: ice that grows and shrinks, without a jump from most to least."""
    period = [*range(available), *range(available - 2, 0, -1)]
    return (period[n % len(period)] for n in range(scans))


def read_series(folder: Path) -> list[Dataset]:
    """The files of one folder, in the order of their names."""
    return [pydicom.dcmread(path) for path in sorted(folder.glob("*.dcm"))]
