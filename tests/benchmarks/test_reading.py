"""Segmentations, scans and contours as the benchmark's judge reads them."""

from pathlib import Path
from typing import Literal

import highdicom as hd
import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray
from pydicom.sr.codedict import codes
from pydicom.uid import generate_uid

from benchmarks.reading import ScoringError, read_hu, read_mask, read_planned, scan_grid
from scanner_sim.dicom_ct import Identity, ct_series
from scanner_sim.grid import Grid
from tests.quick_case import QuickCase
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


@pytest.mark.parametrize("position", ["HFS", "HFP"])
def test_hounsfield_units_lie_where_the_grid_says(tmp_path: Path, position: Position) -> None:
    ct = _ct(tmp_path, position)
    hu, affine = read_hu(ct)
    np.testing.assert_allclose(affine, scan_grid(reversed(ct)).affine)
    first = next(d for d in map(pydicom.dcmread, ct) if d.InstanceNumber == 1)
    place = np.append([float(v) for v in first.ImagePositionPatient], 1.0)
    k, j, i = np.rint(np.linalg.solve(affine, place)[:3]).astype(int)
    assert (j, i) == (0, 0)
    np.testing.assert_array_equal(hu[k], first.pixel_array + float(first.RescaleIntercept))


def _contours(quick: QuickCase) -> Path:
    return next(quick.structures.glob("*.dcm"))


def test_contours_are_filled_on_the_planning_scan(quick: QuickCase) -> None:
    planned = read_planned(_contours(quick), quick.planning.files)
    # A ball of 20 mm has 4.19 ml; contours 4 mm apart, each standing for its slice.
    assert planned.tumour.volume_ml == pytest.approx(4.19, rel=0.15)
    assert planned.tumour.mask.shape == (24, 128, 128)
    middle = planned.points_lps_mm.mean(axis=0)
    assert planned.tumour.holds(0.8 * planned.points_lps_mm + 0.2 * middle).all()
    assert not (planned.tumour.mask & planned.hilum.mask).any()


def test_structures_without_a_hilum_are_refused(quick: QuickCase, tmp_path: Path) -> None:
    dataset = pydicom.dcmread(_contours(quick))
    dataset.StructureSetROISequence[1].ROIName = "Colon"
    dataset.save_as(tmp_path / "rs.dcm")
    with pytest.raises(ScoringError, match="Tumour, Colon"):
        read_planned(tmp_path / "rs.dcm", quick.planning.files)
