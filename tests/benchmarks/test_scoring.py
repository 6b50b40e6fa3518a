"""The benchmark's judge, against masks and distances that were counted by hand."""

from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import highdicom as hd
import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom.sr.codedict import codes
from pydicom.uid import generate_uid

from benchmarks.scoring import (
    DistanceScore,
    ScanScore,
    ScoringError,
    Summary,
    dice,
    read_mask,
    scan_grid,
    score_scan,
)
from scanner_sim.dicom_ct import Identity, ct_series
from scanner_sim.grid import Grid
from tests.scanner_sim.conftest import START

Position = Literal["HFS", "HFP"]


def _ct(folder: Path, position: Position) -> list[Path]:
    """6 slices of 8 x 10 pixels, 0.8 mm wide and 2.5 mm apart; file names run against height."""
    identity = Identity("bench", 1, "", START, position, "B30f", signed=True)
    steps = np.arange(10, dtype=np.float64)
    grid = Grid(steps * 0.8 - 3.3, steps[:8] * 0.8 + 1, steps[:6] * 2.5 - 40.0625)
    hu = np.zeros((6, 8, 10), dtype=np.int16)
    datasets = ct_series(identity, grid, hu, number=1, label="scan", at_s=0.0, thickness_mm=2.5)
    files = []
    for n, dataset in enumerate(reversed(datasets)):
        files.append(folder / f"{n}.dcm")
        dataset.save_as(files[-1], enforce_file_format=True)
    return files


def _ice() -> NDArray[np.bool_]:
    """[k, j, i], unlike itself when any axis is flipped; empty slices at one end."""
    ice = np.zeros((6, 8, 10), dtype=bool)
    ice[0, 1, 2:5] = True
    ice[1, 1:4, 2] = True
    ice[2, 5, 7] = True
    return ice


def _write_seg(path: Path, ct: list[Path], ice: NDArray[np.bool_], *, sparse: bool) -> None:
    """As anybody's software might: frames from the head down, empty ones left out or not."""
    sources = [hd.imread(file) for file in ct]
    sources.sort(key=lambda d: -float(d.ImagePositionPatient[2]))
    described = hd.seg.SegmentDescription(
        segment_number=1,
        segment_label="Ice ball",
        segmented_property_category=codes.SCT.MorphologicallyAbnormalStructure,
        segmented_property_type=codes.SCT.Neoplasm,
        algorithm_type=hd.seg.SegmentAlgorithmTypeValues.MANUAL,
    )
    hd.seg.Segmentation(
        source_images=sources,
        pixel_array=ice[::-1].astype(np.uint8),
        segmentation_type=hd.seg.SegmentationTypeValues.BINARY,
        segment_descriptions=[described],
        series_instance_uid=generate_uid(),
        series_number=9,
        sop_instance_uid=generate_uid(),
        instance_number=1,
        manufacturer="test",
        manufacturer_model_name="test",
        software_versions="1",
        device_serial_number="1",
        omit_empty_frames=sparse,
    ).save_as(path)


@pytest.mark.parametrize("position", ["HFS", "HFP"])
@pytest.mark.parametrize("sparse", [True, False])
def test_mask_is_read_on_the_scans_voxels(tmp_path: Path, position: Position, sparse: bool) -> None:
    ct = _ct(tmp_path, position)
    _write_seg(tmp_path / "a.seg.dcm", ct, _ice(), sparse=sparse)
    found = read_mask(tmp_path / "a.seg.dcm", scan_grid(ct))
    np.testing.assert_array_equal(found, _ice())


def test_mask_on_another_grid_is_refused(tmp_path: Path) -> None:
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
    ct = _ct(tmp_path / "one", "HFS")
    other = _ct(tmp_path / "other", "HFS")
    for file in other:
        dataset = hd.imread(file)
        dataset.ImagePositionPatient[0] += 0.4
        dataset.save_as(file)
    _write_seg(tmp_path / "a.seg.dcm", ct, _ice(), sparse=False)
    with pytest.raises(ScoringError, match="not on its scan's grid"):
        read_mask(tmp_path / "a.seg.dcm", scan_grid(other))


def test_segment_of_another_name_is_refused(tmp_path: Path) -> None:
    ct = _ct(tmp_path, "HFS")
    _write_seg(tmp_path / "a.seg.dcm", ct, _ice(), sparse=False)
    with pytest.raises(ScoringError, match="0 segments 'Tumour'"):
        read_mask(tmp_path / "a.seg.dcm", scan_grid(ct), "Tumour")


def test_dice() -> None:
    ice = _ice()
    assert dice(ice, ice) == 1
    assert dice(np.roll(ice, 1, axis=1), ice) == pytest.approx(2 * 2 / 14)
    assert dice(ice, np.zeros_like(ice)) == 0
    assert dice(np.zeros_like(ice), np.zeros_like(ice)) == 1
    with pytest.raises(ScoringError, match="shape"):
        dice(ice[1:], ice)


TRUTH: dict[str, Any] = {
    "label": "freeze 1",
    "series_instance_uid": "1.2",
    "volume_ml": 20.0,
    "margin_mm": -2.0,
    "hilum_distance_mm": 8.0,
}


def _measurement(**changed: Any) -> dict[str, Any]:
    return {
        "role": "monitoring",
        "assessment": "final",
        "reasons": [],
        "ice": {"visible_surface_fraction": 0.5},
        "tumour": {"margin_mm": {"value": -1.5, "low": -2.5, "high": -0.5}},
        "structures": [
            {"name": "Colon", "distance_mm": {"value": 30.0, "low": 29.0, "high": 31.0}},
            {"name": "Renal hilum", "distance_mm": {"value": 7.0, "low": 6.5, "high": 7.5}},
        ],
        **changed,
    }


def test_a_measured_scan() -> None:
    scan = score_scan(TRUTH, _measurement(), _ice(), _ice())
    assert scan.refused is None
    assert scan.dice == 1
    assert scan.margin is not None
    assert scan.hilum is not None
    assert (scan.margin.error_mm, scan.margin.holds, scan.margin.width_mm) == (0.5, True, 2.0)
    assert (scan.hilum.error_mm, scan.hilum.holds, scan.hilum.width_mm) == (-1.0, False, 1.0)


def test_ice_measured_where_there_is_none_has_no_error_but_no_overlap_either() -> None:
    truth = {**TRUTH, "volume_ml": 0.0, "margin_mm": None, "hilum_distance_mm": None}
    scan = score_scan(truth, _measurement(), _ice(), np.zeros_like(_ice()))
    assert scan.dice == 0
    assert scan.distances == ()


@pytest.mark.parametrize(
    ("measurement", "text"),
    [
        (None, "no measurement at all"),
        (
            _measurement(
                assessment="not_assessable", reasons=[{"code": "leak", "text": "It leaks."}]
            ),
            "leak: It leaks.",
        ),
        (
            _measurement(role="baseline", reasons=[{"code": "no_ice", "text": "No ice."}]),
            "taken as baseline: no_ice: No ice.",
        ),
    ],
)
def test_a_refused_scan(measurement: dict[str, Any] | None, text: str) -> None:
    scan = score_scan(TRUTH, measurement, None, _ice())
    assert scan.refused == text
    assert scan.dice is None
    assert scan.distances == ()


def test_a_measurement_must_have_its_ice_and_its_hilum() -> None:
    with pytest.raises(ScoringError, match="was not written"):
        score_scan(TRUTH, _measurement(), None, _ice())
    with pytest.raises(ScoringError, match="0 distances to the hilum"):
        score_scan(TRUTH, _measurement(structures=[]), _ice(), _ice())


def test_summary() -> None:
    scans = [
        ScanScore("a", "1", 5.0, None, 0.9, DistanceScore(1, 2, 0, 4), DistanceScore(9, 3.5, 3, 4)),
        ScanScore("b", "2", 6.0, None, 0.8, DistanceScore(1, -2, -3, 1), DistanceScore(5, 5, 4, 6)),
        ScanScore("c", "3", 7.0, "leak: It leaks."),
    ]
    found = Summary.of(scans)
    assert found.dice_mean == pytest.approx(0.85)
    assert found.width_mm == pytest.approx((4 + 1 + 4 + 2) / 4)
    assert replace(found, dice_mean=None, width_mm=None) == Summary(
        scans=3,
        refused=1,
        dice_mean=None,
        dice_min=0.8,
        margin_mae_mm=2.0,
        margin_worst_mm=-3.0,
        hilum_mae_mm=2.75,
        hilum_worst_mm=-5.5,
        coverage=0.75,
        width_mm=None,
        confidently_wrong=1,
    )


def test_summary_of_nothing_measured_holds_no_number() -> None:
    summary = Summary.of([ScanScore("c", "3", 7.0, "leak: It leaks.")])
    assert (summary.scans, summary.refused, summary.confidently_wrong) == (1, 1, 0)
    assert summary.dice_mean is None
    assert summary.margin_mae_mm is None
    assert summary.coverage is None
