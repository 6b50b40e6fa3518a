"""What the latency benchmark makes of pictures, metrics and times."""

from datetime import UTC, datetime, timedelta

import pydicom
import pytest

from benchmarks.latency import Timing, relabelled, table
from benchmarks.served import Stages
from benchmarks.timed import SLICES, THIN_SLICES, thick, thin
from monitor.metrics import Metrics
from scanner_sim.procedure import schedule
from tests.quick_case import QuickCase


def test_stages_are_read_from_the_services_own_metrics() -> None:
    metrics = Metrics()
    before = Stages.parse(metrics.text().decode())
    metrics.stages({"reading": 0.5, "ice": 0.25})
    between = Stages.parse(metrics.text().decode())
    metrics.stages({"reading": 0.1})
    metrics.stages({"reading": 0.3})
    after = Stages.parse(metrics.text().decode())
    assert between.since(before) == {"reading": 0.5, "ice": 0.25}
    assert after.since(between) == pytest.approx({"reading": 0.2})


def test_table_tells_stages_from_the_rest() -> None:
    timings = [
        Timing(0.4, latency_s, 0.1, {"reading": 0.1, "ice": 0.2}) for latency_s in (0.5, 0.7, 0.6)
    ]
    lines = table(timings, 2).splitlines()
    assert "3 scans of 60 slices of 512 x 512, 2 cores" in lines[1]
    assert lines[2] == "  median 0.600 s, min 0.500 s, 90 % 0.680 s, max 0.700 s"
    rows = {line[2:24].strip(): line[24:].split() for line in lines[5:9]}
    assert rows == {
        "reading": ["0.100", "0.100", "17%"],
        "ice": ["0.200", "0.200", "33%"],
        "handing over": ["0.200", "0.300", "33%"],
        "publishing": ["0.100", "0.100", "17%"],
    }
    assert timings[0].in_memory_s == 0.2


def test_relabelled_pictures_are_another_series_of_a_later_time(quick: QuickCase) -> None:
    pictures = [pydicom.dcmread(path) for path in quick.monitoring[0].files]
    at = datetime(2026, 5, 4, 23, 59, 59, tzinfo=UTC)
    copies = relabelled(pictures, at, 3)
    first, original = copies[0], pictures[0]
    assert first.AcquisitionDateTime == "20260504235959.000000+0000"
    assert (first.AcquisitionDate, first.AcquisitionTime) == ("20260504", "235959.000000")
    step = datetime.strptime(copies[-1].AcquisitionDateTime, "%Y%m%d%H%M%S.%f%z") - at
    assert step == timedelta(seconds=0.1 * (len(copies) - 1))
    assert copies[-1].AcquisitionDate == "20260505"
    assert {c.SeriesInstanceUID for c in copies} == {first.SeriesInstanceUID}
    assert first.SeriesInstanceUID != original.SeriesInstanceUID
    assert first.SeriesInstanceUID != relabelled(pictures, at, 4)[0].SeriesInstanceUID
    uids = {c.SOPInstanceUID for c in copies}
    assert len(uids) == len(copies)
    assert uids.isdisjoint(d.SOPInstanceUID for d in pictures)
    assert first.file_meta.MediaStorageSOPInstanceUID == first.SOPInstanceUID
    assert first.StudyInstanceUID == original.StudyInstanceUID
    assert first.PixelData == original.PixelData


def test_the_cases_are_what_the_targets_speak_of() -> None:
    for case, slices, count in ((thick(), SLICES, 3), (thin(), THIN_SLICES, 1)):
        assert (case.monitoring.slice_count, case.monitoring.matrix) == (slices, 512)
        scans, _ = schedule(case.timeline)
        assert len(scans) == count
