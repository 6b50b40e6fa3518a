"""Kill -9 of every process of the service, at every numbered step of receiving.

What must hold: see ``Story.check_what_is_stored``; and each scan comes to the same measurement as
in a service that nobody has killed.
"""

import shutil
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from dicom_listener.steps import Step
from tests.faults.scanner import Slice
from tests.faults.story import Figures, Series, Story, copies, figures
from tests.quick_case import QuickCase

TIMES = 10
"""How often each step is deadly."""

RECEIVING = [step for step in Step if step < Step.TAKEN]
MEASURING = [step for step in Step if step >= Step.TAKEN]

SERIES = 3 + TIMES + 2 * len(MEASURING[1:])
"""Scans of the longer story."""

MEMORY = Path("/dev/shm")
NEEDED_BYTES = 2 << 30
"""A file system in memory is quicker, and no less honest: the system outlives its processes."""

SPILLED = RECEIVING.index(Step.SPILLED)

pytestmark = pytest.mark.timeout(900)


Deaths = Callable[[Step], int]


@pytest.fixture(scope="module")
def deaths(quick: QuickCase, tmp_path_factory: pytest.TempPathFactory) -> Deaths:
    """Both stories, side by side; asking for a step gives its deaths, or raises what went wrong."""
    scans = copies(quick, SERIES, frozenset({SPILLED}))
    with ExitStack() as stack:
        root = tmp_path_factory.mktemp("kills")
        if MEMORY.exists() and shutil.disk_usage(MEMORY).free > NEEDED_BYTES:
            root = Path(stack.enter_context(TemporaryDirectory(prefix="kills-", dir=MEMORY)))
        expected = _undisturbed(root / "undisturbed", quick, scans)
        both = stack.enter_context(ThreadPoolExecutor(2))
        first = both.submit(receiving, root / "receiving", quick, scans, expected)
        second = both.submit(measuring, root / "measuring", quick, scans, expected)
    return lambda step: (first if step in RECEIVING else second).result()[step]


def _undisturbed(root: Path, quick: QuickCase, scans: list[Series]) -> dict[str, Figures]:
    """The figures of each scan when nobody dies."""
    found = {}
    with Story(root, quick) as story:
        for scan in scans:
            for image in scan.slices:
                story.scanner.send(image)
            story.scanner.release()
            measurement = story.measurement(scan.uid)
            assert measurement["assessment"] == "final", measurement
            found[scan.uid] = figures(measurement)
        story.check_what_is_stored()
        assert story.scanner.associations == len(scans)
        assert story.service.end() == 0
    return found


def receiving(
    root: Path, quick: QuickCase, scans: list[Series], expected: dict[str, Figures]
) -> Mapping[Step, int]:
    """The listener dies at each of its steps, and at each everybody else dies once."""
    with Story(root, quick) as story:
        for step, scan in zip(RECEIVING, scans, strict=False):
            _receive(story, step, scan)
        for scan in scans[: len(RECEIVING)]:
            story.check_measured(scan, expected[scan.uid])
        assert story.service.end() == 0
    return story.hits


def _receive(story: Story, step: Step, scan: Series) -> None:
    images = iter(scan.slices)
    for _ in range(TIMES):
        _dies_while_sending(story, step, next(images), 0)
    _dies_while_sending(story, step, next(images), story.worker())
    _dies_while_sending(story, step, next(images), story.process("monitor"))
    # All processes: the slice that was under way is sent to the next service.
    _dies_while_sending(story, step, next(images), story.service.process.pid)
    story.begin_again()
    for image in scan.slices:
        story.scanner.send(image)
    story.scanner.release()
    story.check_what_is_stored()
    story.check_nothing_half_is_left()


def _dies_while_sending(story: Story, step: Step, image: Slice, victim: int) -> None:
    """Somebody dies while this slice is sent."""
    if step is Step.ACCEPTED:
        story.scanner.hang_up()
    story.order(step, victim=victim)
    # Again and again: the connection may still be that of one who has died before.
    story.wait_for_death(lambda: story.scanner.try_once(image))


def measuring(
    root: Path, quick: QuickCase, scans: list[Series], expected: dict[str, Figures]
) -> Mapping[Step, int]:
    """The monitor dies at each of its steps, and at each an analysis process and the listener."""
    rest = iter(scans)

    def scanned(step: Step, victim: Callable[[], int], deaths: int = 1) -> None:
        """A scan that is whole for the first time when somebody dies."""
        scan = next(rest)
        *images, last = scan.slices
        for image in images:
            story.scanner.send(image)
        story.order(step, victim=victim())
        story.scanner.send(last)
        story.scanner.release()
        story.wait_for_death()
        for n in range(1, deaths):
            # The monitor is back, goes through the same ledger, and dies. Of the analyses, those of
            # the contours and of the baseline then come before the scan's.
            story.order(step, unharmed=n % 3 if step is Step.ANALYSED else 0)
            story.wait_for_death()
        story.check_measured(scan, expected[scan.uid])
        story.check_what_is_stored()

    with Story(root, quick) as story:
        _take(story, next(rest), expected)
        for step in MEASURING[1:]:
            # What is durable in the journal is not measured again: such a scan sees one death.
            each = 1 if step is Step.MEASURED else TIMES
            for _ in range(TIMES // each):
                scanned(step, lambda: 0, each)
            scanned(step, story.worker)
            scanned(step, partial(story.process, "listener"))
        story.check_nothing_half_is_left()
        for scan in scans:
            story.check_measured(scan, expected[scan.uid])
        assert story.service.end() == 0
    return story.hits


def _whoever() -> int:
    """Dies who gets there."""
    return 0


def _take(story: Story, scan: Series, expected: dict[str, Figures]) -> None:
    """Deaths in the middle of a scan."""
    images = iter(scan.slices)
    others: list[Callable[[], int]] = [story.worker, partial(story.process, "listener")]
    for victim in [_whoever] * TIMES + others:
        story.order(Step.TAKEN, victim=victim())
        story.scanner.send(next(images))
        story.wait_for_death()
    for image in images:
        story.scanner.send(image)
    story.scanner.release()
    story.check_measured(scan, expected[scan.uid])
    story.check_what_is_stored()


@pytest.mark.parametrize("step", Step, ids=lambda step: str(step.name).lower())
def test_nothing_acknowledged_is_lost(step: Step, deaths: Deaths) -> None:
    """Each object is there, whole, and leads to the same measurement."""
    assert deaths(step) >= TIMES
