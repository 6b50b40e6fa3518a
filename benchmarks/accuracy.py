"""Every named case, generated with its truth, put through ``icemargin analyse``, and scored."""

import multiprocessing
from collections.abc import Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, as_completed
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.pictures import CRITERIA, worst
from benchmarks.procedures import Outcome, digest_again, run_case
from benchmarks.report import Accuracy, Pictured, Repeated, as_json, as_markdown, changes
from benchmarks.sections import cases_table, targets_table
from benchmarks.simulated import sources_digest
from benchmarks.targets import missed, short_of
from monitor import __version__
from scanner_sim.cases import CASES, Case

AT_ONCE = 2
"""Cases under way together: each needs a core and about a gigabyte."""

FRESH = 2
"""Added to the seed for the held-out cases' second run."""

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
        The document, with a JSON file and a folder of pictures beside it; none writes none.
    speed
        The analysis' own benchmark as Markdown, for the document.
    """

    cases: tuple[str, ...] = ()
    anatomy: Path | None = None
    seed: int = 1
    keep: Path | None = None
    output: Path | None = None
    speed: str | None = None


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
        outcomes, broken = _all(able, options.seed, directory, anatomy)
        repeated = _again(outcomes, options.seed, directory, anatomy)
        if not options.cases:
            held_out = [case for case in able if case.part == "test"]
            fresh, more = _all(held_out, options.seed + FRESH, directory, anatomy)
            outcomes += [_as_fresh(outcome) for outcome in fresh]
            broken += more
    scores = tuple(outcome.score for outcome in outcomes)
    failures = [*broken, *missed(scores)]
    failures += [f"{r.case}: not the same from run to run." for r in repeated if not r.same]
    if not options.cases:
        failures += short_of(scores)
    pictured, files = worst_pictures(outcomes, _folder(options.output))
    accuracy = Accuracy(
        version=__version__,
        seed=options.seed,
        simulator=simulator,
        cases=scores,
        skipped=tuple(skipped),
        failures=tuple(failures),
        pictured=pictured,
        repeated=tuple(repeated),
        speed=options.speed,
    )
    _tell(accuracy, options.output, files)
    return accuracy


def _as_fresh(outcome: Outcome) -> Outcome:
    """A held-out case with another seed, told from the first."""
    name = f"{outcome.score.name}, fresh"
    return replace(outcome, score=replace(outcome.score, name=name, part="fresh"))


def worst_pictures(
    outcomes: Sequence[Outcome], folder: str
) -> tuple[tuple[Pictured, ...], dict[str, bytes]]:
    """Over the cases that may be drawn, the worst scan by each criterion; if it is shown already,
    the worst of another case.

    Returns
    -------
    pictured
        For the document.
    files
        PNG by file name in ``folder``.
    """
    pictured: dict[str, Pictured] = {}
    files: dict[str, bytes] = {}
    drawn = {o.score.name: o for o in outcomes if o.pictures}
    for criterion in CRITERIA:
        rated = []
        for outcome in drawn.values():
            scan = worst(outcome.score.scans).get(criterion.name)
            if scan is None or criterion.name not in outcome.pictures:
                continue
            if scan.series_instance_uid not in pictured:
                rated.append((criterion.badness(scan) or 0.0, outcome, scan))
        if not rated:
            continue
        _, outcome, scan = max(rated, key=lambda item: item[0])
        uid, why = scan.series_instance_uid, criterion.said(scan)
        name = f"worst-{criterion.name}.png"
        files[name] = outcome.pictures[criterion.name]
        pictured[uid] = Pictured(outcome.score.name, scan.label, why, f"{folder}/{name}")
    return tuple(pictured.values()), files


def _folder(output: Path | None) -> str:
    return "" if output is None else output.stem


def _all(
    cases: Sequence[Case], seed: int, directory: Path, anatomy: Path | None
) -> tuple[list[Outcome], list[str]]:
    """Outcomes in the order of the cases, and the cases that broke."""
    outcomes: dict[str, Outcome] = {}
    broken: list[str] = []
    with _processes() as pool:
        jobs = {
            pool.submit(run_case, case.name, seed, directory, anatomy): case.name for case in cases
        }
        for job in as_completed(jobs):
            name, error = jobs[job], job.exception()
            if error is not None:
                broken.append(f"{name}: broke with {type(error).__name__}: {error}")
            else:
                outcomes[name] = job.result()
            print(f"{len(outcomes) + len(broken)}/{len(jobs)} {name}", flush=True)
    return [outcomes[case.name] for case in cases if case.name in outcomes], sorted(broken)


def _again(
    outcomes: Sequence[Outcome], seed: int, directory: Path, anatomy: Path | None
) -> list[Repeated]:
    """The first case of each part once more, in processes of its own."""
    firsts = {o.score.part: o for o in reversed(outcomes)}
    with _processes() as pool:
        jobs = {
            part: pool.submit(digest_again, o.score.name, seed, directory, anatomy)
            for part, o in sorted(firsts.items(), reverse=True)
        }
        repeated = []
        for part, job in jobs.items():
            error, first = job.exception(), firsts[part]
            again = job.result() if error is None else f"broke with {type(error).__name__}: {error}"
            repeated.append(Repeated(first.score.name, (first.digest, again)))
        return repeated


def _processes() -> Executor:
    return ProcessPoolExecutor(AT_ONCE, mp_context=multiprocessing.get_context("spawn"))


def _tell(accuracy: Accuracy, output: Path | None, pictures: dict[str, bytes]) -> None:
    print()
    print(cases_table(accuracy.cases))
    print()
    print(targets_table(accuracy.cases))
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
    folder = output.with_suffix("")
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("worst-*.png"):
        old.unlink()
    for name, content in pictures.items():
        (folder / name).write_bytes(content)
    output.write_text(as_markdown(accuracy), encoding="utf-8")
    figures.write_text(as_json(accuracy), encoding="utf-8")
    print(f"Written to {output}, {figures} and {folder}")
