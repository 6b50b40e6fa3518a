"""A service whose processes are killed at numbered steps, and what must hold all the same."""

import json
import os
import re
import time
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Self, TypeVar

import httpx
import pydicom

from dicom_listener.steps import Step
from scanner_sim.push import Destination, Pusher
from tests.dicom_listener.objects import encode
from tests.faults.scanner import Scanner, Slice
from tests.quick_case import QuickCase, acquired_at, read, renamed
from tests.service import RunningService, running_service
from tests.waiting import until

ROOT = Path(__file__).parents[2]
PATIENCE_S = 90.0

ASK_S = 0.2
"""Between two looks at the API: asking all the time would slow down what is waited for."""

BETWEEN_S = 10.0
"""From one scan's acquisition to the next one's: the last one's lies in the past when it is sent.
One from the future tells that the scanner's clock is ahead, and all are judged again."""

PADDING_BYTES = 5 << 20
"""More than a reception keeps in memory (``dicom_listener.reception``)."""

_OF_THE_MOMENT = frozenset(
    {"id", "procedure_id", "last_slice_received_at", "published_at", "supersedes"}
)
"""Of a measurement: what differs from run to run. Where a death makes a scan come in parts, slowly,
what is said of the parts is superseded by what is found in all of it."""

Figures = dict[str, Any]

T = TypeVar("T")


@dataclass(frozen=True)
class Series:
    """One scan of the freeze."""

    uid: str
    slices: tuple[Slice, ...]


def copies(quick: QuickCase, count: int, padded: frozenset[int] = frozenset()) -> list[Series]:
    """The first scan of the freeze, again and again, as series of their own.

    Parameters
    ----------
    padded
        Which of them have slices of several megabytes: Data Set Trailing Padding (PS3.10, 7.2).
    """
    first = pydicom.dcmread(quick.monitoring[0].files[0])
    begins = datetime.strptime(str(first.AcquisitionDateTime), "%Y%m%d%H%M%S.%f%z")
    found = []
    for n in range(count):
        at = begins + n * timedelta(seconds=BETWEEN_S)
        datasets = read(quick.monitoring[0].folder, renamed(f"copy {n}"), acquired_at(at))
        if n in padded:
            for dataset in datasets:
                dataset.add_new("DataSetTrailingPadding", "OB", bytes(PADDING_BYTES))
        slices = tuple(Slice(str(d.SOPInstanceUID), encode(d)) for d in datasets)
        found.append(Series(str(datasets[0].SeriesInstanceUID), slices))
    return found


def figures(measurement: dict[str, Any]) -> Figures:
    """What a measurement says of the patient."""
    return {name: value for name, value in measurement.items() if name not in _OF_THE_MOMENT}


class Story:
    """One service, one scanner, and the deaths on the way; a context manager.

    Attributes
    ----------
    hits
        Deaths by step.
    """

    def __init__(self, root: Path, quick: QuickCase) -> None:
        self._root = root
        self._quick = quick
        self._order = root / "order"
        self._carried_out = root / "order.done"
        self._stack = ExitStack()
        self._ledger: dict[Path, int] = {}
        self._entered: set[str] = set()
        self._before: set[str] = set()
        self._whole: dict[str, tuple[int, int, int]] = {}
        self.hits: Counter[Step] = Counter()

    def __enter__(self) -> Self:
        self._root.mkdir(parents=True)
        self.service = self._start()
        self.scanner = Scanner(self.service.dicom_port, self.check_what_is_stored)
        pusher = Pusher(Destination("ICEMARGIN", "127.0.0.1", self.service.dicom_port))
        for folder in self._quick.folders[:3]:
            pusher.send(read(folder))
        self.measurement(self._quick.baseline.uid)
        self._before = {path.stem for path in self._files()}
        return self

    def __exit__(self, *error: object) -> None:
        self.scanner.hang_up()
        self._stack.close()

    def _start(self) -> RunningService:
        # Deaths are tried here, not slowness: a busy machine must not end an analysis.
        changes = {"dicom": {"series_quiet_s": 0.5}, "analysis": {"timeout_s": PATIENCE_S}}
        paths = [str(Path(__file__).parent / "deadly"), str(ROOT)]
        overrides = {"PYTHONPATH": os.pathsep.join(paths), "DEADLY_ORDER": str(self._order)}
        running = running_service(self._root, changes, **overrides)
        return self._stack.enter_context(running)

    # Who is who

    def process(self, name: str) -> int:
        """Process id of the listener or the monitor, as last started."""
        return int(re.findall(rf"The {name} is process (\d+)", self.service.log)[-1])

    def worker(self) -> int:
        """Process id of an analysis process."""

        def look() -> int | None:
            for path in Path(f"/proc/{self.process('monitor')}/task").glob("*/children"):
                for pid in _words(path):
                    if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes():
                        return int(pid)
            return None

        return self._wait(lambda: _or_none(look), "an analysis process")

    # Deaths

    def order(self, step: Step, *, unharmed: int = 0, victim: int = 0) -> None:
        """Who next reaches the step dies, or kills the victim."""
        written = self._order.with_suffix(".new")
        written.write_text(f"{int(step)} {unharmed} {victim}")
        written.rename(self._order)
        self._ordered = step

    def wait_for_death(self, meanwhile: Callable[[], object] = lambda: None) -> None:
        """Wait until the order is carried out."""

        def look() -> bool:
            meanwhile()
            return self._carried_out.exists()

        self._wait(look, f"death at {self._ordered.name}")
        self._carried_out.unlink()
        self.hits[self._ordered] += 1

    def begin_again(self) -> None:
        """Start the service after the death of its first process."""
        old = [self.process("listener"), self.process("monitor")]
        self.service.process.wait(PATIENCE_S)
        self._wait(lambda: not any(Path(f"/proc/{pid}").exists() for pid in old), "the others' end")
        self.scanner.hang_up()
        self.service = self._start()
        self.scanner.port = self.service.dicom_port

    # What must hold

    def check_what_is_stored(self) -> None:
        """All that was acknowledged is there and whole; nothing else is counted.

        Holds whenever the listener takes an association, whatever happened before.
        """
        there: dict[str, Path] = {}
        for path in self._files():
            there[path.stem] = path
        ours = there.keys() - self._before
        assert ours <= self.scanner.sent.keys(), "an object that was never sent"
        for uid in ours:
            state = there[uid].stat()
            seen = (state.st_ino, state.st_size, state.st_mtime_ns)
            if self._whole.get(uid) != seen:
                _check_whole(there[uid], uid, self.scanner.sent[uid])
                self._whole[uid] = seen
        lost = self.scanner.acknowledged - there.keys()
        assert not lost, f"acknowledged, and not there: {lost}"
        self._read_ledger()
        assert self._entered == there.keys(), (
            f"counted, and not there: {self._entered - there.keys()}; "
            f"there, and not counted: {there.keys() - self._entered}"
        )

    def check_nothing_half_is_left(self) -> None:
        """Nothing in ``incoming``, nothing refused, nothing beside its first."""
        data = self.service.directory
        assert list((data / "quarantine").iterdir()) == []
        self._wait(lambda: not list((data / "incoming").iterdir()), "an empty incoming")

    def measurement(self, series_uid: str) -> dict[str, Any]:
        """The measurement of a series, waited for."""

        def look() -> dict[str, Any] | None:
            time.sleep(ASK_S)
            found = self.service.measurements()
            return next((m for m in found if m["series_instance_uid"] == series_uid), None)

        return self._wait(look, f"a measurement of {series_uid}")

    def check_measured(self, series: Series, expected: Figures) -> None:
        """It comes to the same figures, from all of its slices."""
        found: Figures = {}

        def look() -> bool:
            nonlocal found
            time.sleep(ASK_S)
            all_found = _or_none(self.service.measurements) or []
            measured = [m for m in all_found if m["series_instance_uid"] == series.uid]
            found = figures(measured[0]) if measured else {}
            return found == expected

        try:
            self._wait(look, "the same figures")
        except AssertionError as error:
            differing = {k: (found.get(k), v) for k, v in expected.items() if found.get(k) != v}
            raise AssertionError(f"found and expected: {differing}") from error
        (procedure,) = self.service.api("procedures")
        (listed,) = [s for s in procedure["series"] if s["series_instance_uid"] == series.uid]
        assert listed["slices"] == len(series.slices)

    def _wait(self, look: Callable[[], T | None], what: str) -> T:
        try:
            return until(look, what, PATIENCE_S)
        except AssertionError as error:
            error.add_note(self.service.log[-3000:])
            raise

    def _files(self) -> Iterable[Path]:
        return (self._root / "data" / "objects").glob("*/*/*")

    def _read_ledger(self) -> None:
        """What is newly entered, as a stranger would read it."""
        for path in sorted((self.service.directory / "ledger").glob("*.jsonl")):
            with path.open("rb") as file:
                file.seek(self._ledger.get(path, 0))
                for line in file:
                    if not line.endswith(b"\n"):
                        break
                    self._ledger[path] = self._ledger.get(path, 0) + len(line)
                    entry = json.loads(line)
                    if entry["event"] == "ObjectStored":
                        self._entered.add(Path(entry["data"]["path"]).stem)


def _check_whole(path: Path, uid: str, data: bytes) -> None:
    """A DICOM file (PS3.10, 7) with this data set, byte for byte."""
    content = path.read_bytes()
    assert content[128:132] == b"DICM", path.name
    meta = pydicom.filereader.read_file_meta_info(path)
    assert meta.MediaStorageSOPInstanceUID == uid
    assert content[144 + meta.FileMetaInformationGroupLength :] == data, path.name


def _words(path: Path) -> list[str]:
    return path.read_text().split()


def _or_none(look: Callable[[], T]) -> T | None:
    """None where something is just being started again."""
    try:
        return look()
    except (OSError, AssertionError, httpx.HTTPError):
        return None
