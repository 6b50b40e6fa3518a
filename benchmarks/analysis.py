"""Time and memory of the whole analysis of one scan, once its volume is in memory."""

import hashlib
import json
import multiprocessing
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ParamSpec, TypeVar

import numpy as np
import pydicom

from benchmarks import rival
from benchmarks.machine import CORES, few_cores, peak_bytes, warn_if_busy
from benchmarks.reading import scan_grid
from benchmarks.simulated import Stored, stored
from benchmarks.tables import table
from benchmarks.timed import SEED, SLICES, THIN_SLICES, thick, thin
from dicom_listener.pixels import read_volume
from monitor.analysis import Refused, prepare_reference, warm_up
from monitor.config import Settings
from monitor.structures import read_structure_set
from scanner_sim.cases import Case
from segmentation.assessment import assess
from segmentation.moment import Moment

P = ParamSpec("P")
T = TypeVar("T")

TARGET_S = {SLICES: 0.4, THIN_SLICES: 0.8}
"""Greatest median by number of slices, on two cores."""

RATIO_TARGET = 25.0
"""Against the naive pipeline on the same scan of 60 slices."""

MEMORY_TARGET_BYTES = 1.5e9

FREEZING = Moment(phase="freeze", phase_s=450.0, cycle=1, baseline_s=510.0)
"""What a service would know of the scan; without it nothing is foretold, and that takes time."""

DISCARDED = 1
"""First runs that are not counted: pages and caches are then warm, as in service."""


@dataclass(frozen=True)
class Options:
    """How much to run.

    Attributes
    ----------
    runs
        Analyses that count.
    keep
        Where simulated files are kept and found again; none throws them away.
    rival
        Whether to time the naive pipeline too.
    """

    runs: int = 10
    keep: Path | None = None
    rival: bool = True


@dataclass(frozen=True)
class Job:
    """Files of one scan and of what it is compared with."""

    planning: tuple[Path, ...]
    structures: Path
    baseline: tuple[Path, ...]
    scan: tuple[Path, ...]


@dataclass(frozen=True)
class Timed:
    """What one fresh process found.

    Attributes
    ----------
    seconds
        Wall time of each whole analysis that counts.
    cpu_s
        Median of the processor time of an analysis, on all cores together: what other programs on
        the machine hardly change.
    stages_s
        Median of each stage.
    peak_bytes
        Of the whole process, which reads the scans and prepares the reference as well; once it has
        analysed once, before the runs that are timed.
    digest
        Of every number of the outcome, to the last bit.
    """

    slices: int
    seconds: tuple[float, ...]
    cpu_s: float
    stages_s: dict[str, float]
    peak_bytes: int
    digest: str

    @property
    def median_s(self) -> float:
        """Wall time of an analysis."""
        return statistics.median(self.seconds)


@dataclass(frozen=True)
class Analysis:
    """What the benchmark found.

    Attributes
    ----------
    repeated
        Whether two fresh processes came to the same numbers, by number of slices.
    ratio
        Time of the naive pipeline over ours; None when it was not run.
    """

    timed: tuple[Timed, ...]
    repeated: dict[int, bool]
    cores: int
    naive_s: dict[str, float] | None

    @property
    def ratio(self) -> float | None:
        """Time of the naive pipeline over ours, on the same scan; None when it was not run."""
        if self.naive_s is None:
            return None
        return sum(self.naive_s.values()) / self.timed[0].median_s

    @property
    def failures(self) -> tuple[str, ...]:
        """A sentence for each target that is missed."""
        texts = []
        for timed in self.timed:
            name, limit_s = f"{timed.slices} slices", TARGET_S[timed.slices]
            if timed.median_s > limit_s:
                texts.append(f"{name}: {timed.median_s:.3f} s, at most {limit_s:g} s.")
            if timed.peak_bytes > MEMORY_TARGET_BYTES:
                texts.append(f"{name}: {_gb(timed.peak_bytes)}, at most 1.5 GB.")
            if not self.repeated[timed.slices]:
                texts.append(f"{name}: two processes came to different numbers.")
        if self.ratio is not None and self.ratio < RATIO_TARGET:
            texts.append(f"{self.ratio:.0f} times the naive pipeline, at least {RATIO_TARGET:g}.")
        return tuple(texts)


def run(options: Options) -> Analysis:
    """Run and print; what was found."""
    with ExitStack() as stack:
        directory = options.keep
        if directory is None:
            scratch = stack.enter_context(TemporaryDirectory(prefix="icemargin-bench-"))
            directory = Path(scratch)
        directory.mkdir(parents=True, exist_ok=True)
        procedures = [_fresh(_stored, case, directory) for case in (thick(), thin())]
        warn_if_busy()
        cores = stack.enter_context(few_cores())
        timed, repeated = [], {}
        for procedure in procedures:
            job = last_scan(procedure)
            first = _fresh(time_analysis, job, options.runs)
            again = _fresh(time_analysis, job, 0)
            timed.append(first)
            repeated[first.slices] = first.digest == again.digest
        naive_s = None
        if options.rival:
            naive_s = _fresh(_time_rival, procedures[0], last_scan(procedures[0]))
    found = Analysis(tuple(timed), repeated, cores, naive_s)
    print(as_markdown(found), flush=True)
    if cores > CORES:
        print(f"(The targets are for {CORES} cores; here were {cores}.)")
    for text in found.failures:
        print(f"MISSED  {text}")
    return found


def as_markdown(found: Analysis) -> str:
    """Times, stages, memory, and the naive pipeline beside it."""
    names = list(dict.fromkeys(name for timed in found.timed for name in timed.stages_s))
    rows = [
        (
            str(timed.slices),
            f"{min(timed.seconds):.3f}",
            f"{timed.median_s:.3f}",
            f"{max(timed.seconds):.3f}",
            f"{TARGET_S[timed.slices]:g}",
            f"{timed.cpu_s:.3f}",
            *(f"{timed.stages_s.get(name, 0.0):.3f}" for name in names),
            _gb(timed.peak_bytes),
            "yes" if found.repeated[timed.slices] else "**no**",
        )
        for timed in found.timed
    ]
    columns = (
        "Slices of 512 x 512",
        "Min s",
        "Median s",
        "Max s",
        "At most",
        "CPU s",
        *(f"{name} s" for name in names),
        "Peak memory",
        "Repeats",
    )
    lines = [
        f"Whole analysis of a scan whose volume is in memory, {len(found.timed[0].seconds)} runs "
        f"in a fresh process on {found.cores} cores. Peak memory is that process's, which also "
        "reads planning, baseline and scan and prepares the reference (at most 1.5 GB). *Repeats*: "
        "a second fresh process came to the same numbers to the last bit.",
        table(columns, rows),
    ]
    if found.naive_s is not None and found.ratio is not None:
        steps = ", ".join(f"{name} {seconds:.2f} s" for name, seconds in found.naive_s.items())
        lines.append(
            f"The {rival.NAME}, on the same scan of {SLICES} slices and the same cores, in memory, "
            f"once: {sum(found.naive_s.values()):.1f} s ({steps}), **{found.ratio:.0f} times** as "
            f"long (at least {RATIO_TARGET:g})."
        )
    return "\n\n".join(lines)


def last_scan(procedure: Stored) -> Job:
    """The files of a procedure's last monitoring scan and of what comes before."""
    folders = {}
    structures: list[Path] = []
    for folder in sorted(procedure.files.iterdir()):
        files = tuple(sorted(folder.glob("*.dcm")))
        header = pydicom.dcmread(files[0], specific_tags=["SeriesInstanceUID", "Modality"])
        folders[str(header.SeriesInstanceUID)] = files
        if header.Modality == "RTSTRUCT":
            structures += files
    roles = {t["role"]: folders[t["series_instance_uid"]] for t in procedure.truths()}
    return Job(roles["planning"], structures[0], roles["baseline"], roles["monitoring"])


def time_analysis(job: Job, runs: int) -> Timed:
    """Read, prepare, and analyse ``DISCARDED`` + ``runs`` times, in this process.

    Raises
    ------
    RuntimeError
        There is no reference to compare with.
    NotAssessable
        The scan can't be measured: a refusal is quick and must not pass for an analysis.
    """
    warm_up()
    patterns = Settings().structures
    contoured = read_structure_set(
        job.structures,
        tumour_pattern=patterns.tumour_pattern,
        hilum_pattern=patterns.hilum_pattern,
    ).structures
    structures = tuple(one.solid() for one in contoured)
    reference = prepare_reference(job.planning, job.baseline, structures)
    if isinstance(reference, Refused):
        raise RuntimeError(reference.text)  # noqa: TRY004
    scan = read_volume(job.scan)
    whole: list[float] = []
    cpu: list[float] = []
    stages: dict[str, list[float]] = {}
    digest, peak = "", 0
    for n in range(DISCARDED + runs):
        passed: dict[str, float] = {}
        used, began = time.process_time(), time.perf_counter()
        last = began

        def stage(name: str, passed: dict[str, float] = passed) -> None:
            nonlocal last
            now = time.perf_counter()
            passed[name] = now - last
            last = now

        assessed = assess(scan, reference, FREEZING, stage=stage)
        seconds, used = time.perf_counter() - began, time.process_time() - used
        if n < DISCARDED:
            digest, peak = numbers_digest(assessed), peak_bytes()
            continue
        whole.append(seconds)
        cpu.append(used)
        for name, duration in passed.items():
            stages.setdefault(name, []).append(duration)
    medians = {name: statistics.median(values) for name, values in stages.items()}
    median_cpu = statistics.median(cpu) if cpu else 0.0
    return Timed(len(job.scan), tuple(whole), median_cpu, medians, peak, digest)


def numbers_digest(value: Any) -> str:
    """SHA-256 of every number in a tree of dataclasses, arrays and plain values."""
    digest = hashlib.sha256()
    _feed(value, digest.update)
    return digest.hexdigest()


def _feed(value: Any, update: Callable[[bytes], None]) -> None:
    if isinstance(value, np.ndarray):
        update(f"{value.dtype}{value.shape}".encode())
        update(np.ascontiguousarray(value).tobytes())
    elif hasattr(value, "__dataclass_fields__"):
        for name in value.__dataclass_fields__:
            update(name.encode())
            _feed(getattr(value, name), update)
    elif isinstance(value, list | tuple):
        update(f"[{len(value)}".encode())
        for item in value:
            _feed(item, update)
    elif isinstance(value, dict):
        for key in sorted(value, key=str):
            update(str(key).encode())
            _feed(value[key], update)
    elif isinstance(value, float | np.floating):
        update(float(value).hex().encode())
    elif value is None or isinstance(value, str | bool | int | np.integer | np.bool_):
        update(json.dumps(value, default=int).encode())
    else:
        raise TypeError(f"no number is known of {type(value).__name__}")


def _stored(case: Case, directory: Path) -> Stored:
    return stored(case, SEED, directory)


def _time_rival(procedure: Stored, job: Job) -> dict[str, float]:
    """Seconds of each step of the naive pipeline."""
    truth = [t for t in procedure.truths() if t["role"] == "monitoring"][-1]
    inside = np.argwhere(procedure.ice(truth["series_instance_uid"]))
    middle = inside[np.argmin(((inside - inside.mean(axis=0)) ** 2).sum(axis=1))]
    seed = (scan_grid(job.scan).affine @ np.append(middle, 1.0))[:3]
    return rival.run(rival.read(job.scan), rival.read(job.baseline), seed).seconds


def _fresh(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """In a process of its own."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(function, *args, **kwargs).result()


def _gb(count: float) -> str:
    return f"{count / 1e9:.2f} GB"
