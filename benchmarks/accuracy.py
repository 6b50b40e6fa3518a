"""Every named case, generated with its truth, put through ``icemargin analyse``, and scored."""

import json
import multiprocessing
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pydicom

from benchmarks.report import Accuracy, as_json, as_markdown, changes, summary_table
from benchmarks.scoring import CaseScore, ScanScore, read_mask, scan_grid, score_scan
from benchmarks.simulated import Stored, sources_digest, stored
from monitor import __version__
from monitor.analyse import analyse
from monitor.config import Settings
from scanner_sim.cases import CASES, Case

DICE_TARGET = 0.85
"""Least mean Dice of a case."""

ERROR_TARGET_MM = 2.0
"""Greatest mean absolute error of a case, for the margin and for the distance to the hilum."""

AT_ONCE = 2
"""Cases under way together: each needs a core and about a gigabyte."""

SHARED_ANATOMY = Path(__file__).parents[2] / "shared" / "data" / "abdomen-ct"
"""Where the real CT lies, if it lies beside the checkout."""


@dataclass(frozen=True)
class Options:
    """What to run.

    Attributes
    ----------
    cases
        Names; none means all of them.
    anatomy
        Folder of a real CT for the cases that need one; ``SHARED_ANATOMY`` when not given.
    keep
        Where simulated files are kept and found again; none throws them away.
    output
        The document, with a JSON file beside it; none writes none.
    """

    cases: tuple[str, ...] = ()
    anatomy: Path | None = None
    seed: int = 1
    keep: Path | None = None
    output: Path | None = None


def named_cases() -> tuple[str, ...]:
    """All that are not for the project's own tests."""
    return tuple(name for name, case in CASES.items() if not case.for_tests)


def run(options: Options) -> Accuracy:
    """Run, print, write; what was found."""
    anatomy = options.anatomy or (SHARED_ANATOMY if SHARED_ANATOMY.is_dir() else None)
    chosen = [CASES[name] for name in options.cases or named_cases()]
    able = [case for case in chosen if case.source != "ct" or anatomy is not None]
    skipped = [(case.name, "needs --anatomy DIR, a real CT") for case in chosen if case not in able]
    simulator = sources_digest()
    with ExitStack() as stack:
        directory = options.keep
        if directory is None:
            scratch = stack.enter_context(TemporaryDirectory(prefix="icemargin-bench-"))
            directory = Path(scratch)
        directory.mkdir(parents=True, exist_ok=True)
        scores, broken = _all(able, options.seed, directory, anatomy)
    missed = [text for score in scores for text in missed_targets(score)]
    accuracy = Accuracy(
        version=__version__,
        seed=options.seed,
        simulator=simulator,
        cases=tuple(scores),
        skipped=tuple(skipped),
        failures=(*broken, *missed),
    )
    _tell(accuracy, options.output)
    return accuracy


def missed_targets(case: CaseScore) -> list[str]:
    """A sentence for each target that the case misses."""
    summary = case.summary
    if summary.dice_mean is None:
        return [f"{case.name}: not one of {summary.scans} scans was measured."]
    missed = []
    if summary.dice_mean < DICE_TARGET:
        missed.append(f"{case.name}: mean Dice {summary.dice_mean:.3f}, at least {DICE_TARGET}.")
    for name, error_mm in (("margin", summary.margin_mae_mm), ("hilum", summary.hilum_mae_mm)):
        if error_mm is None or error_mm > ERROR_TARGET_MM:
            found = "none" if error_mm is None else f"{error_mm:.2f} mm"
            missed.append(
                f"{case.name}: mean absolute error of the {name} {found}, "
                f"at most {ERROR_TARGET_MM:g} mm."
            )
    return missed


def run_case(name: str, seed: int, directory: Path, anatomy: Path | None) -> CaseScore:
    """Simulate a case unless its files are there, analyse and score it."""
    case = CASES[name]
    procedure = stored(case, seed, directory, anatomy)
    with TemporaryDirectory(prefix="icemargin-found-") as scratch:
        found = Path(scratch)
        analyse([procedure.files], found, Settings())
        return score_case(case, procedure, found)


def score_case(case: Case, procedure: Stored, found: Path) -> CaseScore:
    """Judge what ``analyse`` wrote into ``found``.

    Raises
    ------
    ScoringError
        It does not fit the procedure.
    """
    document = json.loads((found / "measurements.json").read_text(encoding="utf-8"))
    measurements = {m["series_instance_uid"]: m for m in document}
    folders = _folders(procedure.files)
    scans: list[ScanScore] = []
    misread = []
    for truth in procedure.truths():
        uid = truth["series_instance_uid"]
        measurement: dict[str, Any] | None = measurements.get(uid)
        if truth["role"] != "monitoring":
            taken = "nothing" if measurement is None else measurement["role"]
            if taken != truth["role"]:
                misread.append(f"The {truth['role']} scan was taken as {taken}.")
            continue
        written = found / f"{uid}.seg.dcm"
        mask = None
        if written.exists():
            mask = read_mask(written, scan_grid(sorted(folders[uid].glob("*.dcm"))))
        scans.append(score_scan(truth, measurement, mask, procedure.ice(uid)))
    return CaseScore(case.name, case.description, tuple(scans), tuple(misread))


def _folders(files: Path) -> dict[str, Path]:
    """Where each series lies."""
    found = {}
    for folder in sorted(path for path in files.iterdir() if path.is_dir()):
        first = next(folder.glob("*.dcm"))
        header = pydicom.dcmread(first, specific_tags=["SeriesInstanceUID"])
        found[str(header.SeriesInstanceUID)] = folder
    return found


def _all(
    cases: Sequence[Case], seed: int, directory: Path, anatomy: Path | None
) -> tuple[list[CaseScore], list[str]]:
    """Scores in the order of the cases, and the cases that broke."""
    scores: dict[str, CaseScore] = {}
    broken: list[str] = []
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(AT_ONCE, mp_context=context) as pool:
        jobs = {
            pool.submit(run_case, case.name, seed, directory, anatomy): case.name for case in cases
        }
        for job in as_completed(jobs):
            name, error = jobs[job], job.exception()
            if error is not None:
                broken.append(f"{name}: broke with {type(error).__name__}: {error}")
            else:
                scores[name] = job.result()
            print(f"{len(scores) + len(broken)}/{len(jobs)} {name}", flush=True)
    return [scores[case.name] for case in cases if case.name in scores], sorted(broken)


def _tell(accuracy: Accuracy, output: Path | None) -> None:
    print()
    print(summary_table(accuracy))
    for name, why in accuracy.skipped:
        print(f"Not run: {name}, {why}")
    for text in accuracy.failures:
        print(f"MISSED  {text}")
    if output is None:
        return
    figures = output.with_suffix(".json")
    moved = changes(figures.read_text(encoding="utf-8"), accuracy) if figures.exists() else ""
    if moved:
        print(f"Against the figures in {figures} before:\n{moved}")
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(as_markdown(accuracy), encoding="utf-8")
    figures.write_text(as_json(accuracy), encoding="utf-8")
    print(f"Written to {output} and {figures}")
