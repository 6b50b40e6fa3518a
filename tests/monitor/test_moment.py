"""What the analysis is told of a scan's moment: nothing that came after it, whatever happened."""

import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from pydicom.dataset import FileDataset
from pydicom.uid import generate_uid

from monitor import analysis, messages
from monitor.config import DicomSection, Settings, StorageSection
from monitor.messages import Measurement, PhaseName, Role
from monitor.moment import moment_of
from monitor.receiver import Receiver
from monitor.service import Service
from scanner_sim.push import Destination, Pusher
from segmentation.moment import Earlier, Moment
from tests.monitor.made import at, measurement, not_assessable, phase
from tests.quick_case import QuickCase, read
from tests.waiting import until


def moment(
    acquired_at: datetime,
    *measurements: Measurement,
    pressed: messages.Phase | None = None,
    series_uid: str = "1.2.9",
    baseline_s: float = 0,
    offset_s: float = 0,
) -> Moment:
    """Of a scan of a series of its own."""
    return moment_of(series_uid, acquired_at, offset_s, pressed, at(baseline_s), measurements)


def ice(volume_ml: float) -> messages.Ice:
    """Ice of a volume."""
    return messages.Ice(volume_ml=volume_ml, visible_surface_fraction=0.7, longest_axis_mm=40)


def before(before_s: float, volume_ml: float) -> Earlier:
    """A made measurement, as the analysis is told of it."""
    return Earlier(before_s, volume_ml, 2.0, (("Renal hilum", 20.0),))


def test_nothing_pressed_and_nothing_measured() -> None:
    found = moment(at(300))
    assert found == Moment(phase=None, phase_s=0, cycle=0, baseline_s=300, earlier=())


@pytest.mark.parametrize(
    ("name", "told"),
    [(PhaseName.FREEZE, "freeze"), (PhaseName.THAW, "thaw"), (PhaseName.IDLE, "idle")],
)
def test_the_pressed_phase_and_for_how_long_it_held(name: PhaseName, told: str) -> None:
    found = moment(at(300), pressed=phase(name, cycle=2, since_s=180))
    assert (found.phase, found.phase_s, found.cycle) == (told, 120, 2)


def test_the_phase_was_pressed_by_another_clock_than_the_scanners() -> None:
    """Acquired at 300 s by a clock that is 100 s ahead: 20 s after the press."""
    found = moment(at(300), pressed=phase(since_s=180), offset_s=100)
    assert (found.phase_s, found.baseline_s) == (20, 300)


def test_a_scan_older_than_its_baseline_has_no_time_since() -> None:
    assert moment(at(300), baseline_s=400).baseline_s == math.inf


def test_earlier_scans_in_order_of_time_the_latest_last() -> None:
    later, first = measurement(2, ice=ice(9)), measurement(1, ice=ice(4))
    assert moment(at(300), later, first).earlier == (before(180, 4), before(60, 9))


def test_a_scan_without_ice_or_of_another_role_is_no_earlier_one() -> None:
    others = (not_assessable(1), not_assessable(2, role=Role.BASELINE))
    assert moment(at(300), *others).earlier == ()


def test_a_scan_that_is_measured_late_knows_nothing_of_those_after_it() -> None:
    found = moment(at(130), measurement(1, ice=ice(4)), measurement(2), measurement(3))
    assert found.earlier == (before(10, 4),)


def test_a_scan_is_not_its_own_predecessor() -> None:
    """Late slices make a scan's acquisition end later than when it was first measured."""
    sooner = measurement(1, ice=ice(4))
    provisional = measurement(2, ice=ice(9))
    uid = provisional.series_instance_uid
    found = moment(at(241), sooner, provisional, series_uid=uid)
    assert found.earlier == (before(121, 4),)


class Recording(ThreadPoolExecutor):
    """Runs everything, and notes what it was given."""

    def __init__(self, moments: list[tuple[list[Path], Moment]]) -> None:
        super().__init__(1)
        self._moments = moments

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        if fn is analysis.measure:
            self._moments.append((args[0], args[3]))
        return super().submit(fn, *args, **kwargs)


@contextmanager
def recorded(
    directory: Path, moments: list[tuple[list[Path], Moment]]
) -> Iterator[tuple[Service, Receiver]]:
    """A service on a folder whose analyses are noted."""
    settings = Settings(
        dicom=DicomSection(port=0, series_quiet_s=1.0),
        storage=StorageSection(directory=directory, minimum_free_mb=10),
    )
    with (
        Service(settings, make_executor=lambda: Recording(moments)) as service,
        Receiver(settings, service.pipeline.knock) as receiver,
    ):
        yield service, receiver


def send(receiver: Receiver, objects: Sequence[FileDataset]) -> None:
    """As a scanner does."""
    Pusher(Destination("ICEMARGIN", "127.0.0.1", receiver.listener.port)).send(objects)


def measured(service: Service) -> list[Measurement]:
    """The monitoring scans with ice."""
    return [m for m in service.pipeline.snapshot().measurements if m.ice is not None]


def test_after_a_restart_and_with_new_contours(quick: QuickCase, tmp_path: Path) -> None:
    """The scan before is known from the journal; and each is measured again with its own past."""
    moments: list[tuple[list[Path], Moment]] = []
    with recorded(tmp_path, moments) as (service, receiver):
        for folder in quick.folders[:-1]:
            send(receiver, read(folder))
        until(lambda: measured(service), "the first measurement")
    moments.clear()
    with recorded(tmp_path, moments) as (service, receiver):
        until(lambda: measured(service), "the journal's measurement")
        assert moments == []
        send(receiver, read(quick.folders[-1]))
        until(lambda: len(measured(service)) == 2, "the second measurement")
        first, second = measured(service)
        apart_s = (second.acquired_at - first.acquired_at).total_seconds()
        ((_, found),) = moments
        assert first.ice is not None
        assert first.tumour is not None
        (earlier,) = found.earlier
        assert (earlier.before_s, earlier.volume_ml) == (apart_s, first.ice.volume_ml)
        assert earlier.margin_mm == first.tumour.margin_mm.value
        assert dict(earlier.distances_mm) == {s.name: s.distance_mm.value for s in first.structures}
        assert found.phase is None
        assert apart_s < found.baseline_s < math.inf

        def as_new(dataset: FileDataset) -> None:
            for keyword in ("SOPInstanceUID", "SeriesInstanceUID"):
                setattr(dataset, keyword, generate_uid(entropy_srcs=[dataset[keyword].value, "n"]))

        ids = {first.id, second.id}
        send(receiver, read(quick.structures, as_new))
        until(lambda: len({m.id for m in measured(service)} - ids) == 2, "both measured again")
        again = [found.earlier for _, found in moments[1:]]
        assert [len(earlier) for earlier in again] == [0, 1]
        assert again[1][0].before_s == apart_s
