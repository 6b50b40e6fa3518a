"""The DICOM SEG: each mask on the right slice, supine and prone, read back with pydicom alone."""

import random
from dataclasses import replace
from pathlib import Path
from typing import get_args

import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray

from monitor.segmentation_object import SegmentationError, segmentation_object
from segmentation.structures import Structure
from tests.monitor.artefacts import (
    HILUM_LPS_MM,
    HILUM_RADIUS_MM,
    ICE_LPS_MM,
    ICE_RADIUS_MM,
    LETHAL_LPS_MM,
    LETHAL_RADIUS_MM,
    TUMOUR_LPS_MM,
    TUMOUR_RADIUS_MM,
    MadeScan,
    Position,
    make_scan,
)
from tests.seg_objects import ReadSegmentation, read_segmentation

BALLS = {
    "Ice ball": (ICE_LPS_MM, ICE_RADIUS_MM),
    "Tumour": (TUMOUR_LPS_MM, TUMOUR_RADIUS_MM),
    "Hilum": (HILUM_LPS_MM, HILUM_RADIUS_MM),
    "Modelled -20 °C": (LETHAL_LPS_MM, LETHAL_RADIUS_MM),
}


@pytest.fixture(scope="module", params=get_args(Position))
def scan(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> MadeScan:
    """The same patient, supine and prone."""
    return make_scan(tmp_path_factory.mktemp("balls"), request.param)


@pytest.fixture(scope="module")
def written(scan: MadeScan) -> ReadSegmentation:
    """Written from the slices in an order that is not theirs, and read back."""
    paths = random.Random(1).sample(scan.paths, len(scan.paths))
    return read_segmentation(segmentation_object(scan.artefact, paths, "icemargin"))


def points(segmentation: ReadSegmentation, label: str) -> NDArray[np.float64]:
    """(N, 3) LPS of a segment's voxels, from the frames' own positions and orientation."""
    shared = segmentation.dataset.SharedFunctionalGroupsSequence[0]
    cosines = np.array(shared.PlaneOrientationSequence[0].ImageOrientationPatient, dtype=float)
    spacing = np.array(shared.PixelMeasuresSequence[0].PixelSpacing, dtype=float)
    k, row, column = np.nonzero(segmentation.masks[label])
    return np.asarray(
        segmentation.positions[k]
        + column[:, None] * spacing[1] * cosines[:3]
        + row[:, None] * spacing[0] * cosines[3:]
    )


@pytest.mark.parametrize("label", list(BALLS))
def test_each_ball_is_where_it_is(written: ReadSegmentation, label: str) -> None:
    centre, radius = BALLS[label]
    found = points(written, label)
    assert found.mean(axis=0) == pytest.approx(centre, abs=0.4)
    away = np.linalg.norm(found - centre, axis=1)
    assert away.max() <= radius + 0.1
    volume = len(found) * 1.5 * 1.5 * 3.0
    assert volume == pytest.approx(4 / 3 * np.pi * radius**3, rel=0.05)


def test_every_slice_has_its_frame(written: ReadSegmentation, scan: MadeScan) -> None:
    sources = [pydicom.dcmread(path) for path in scan.paths]
    heights = sorted(float(s.ImagePositionPatient[2]) for s in sources)
    assert written.positions[:, 2] == pytest.approx(heights)
    assert {mask.shape for mask in written.masks.values()} == {scan.volume.array.shape}


def test_frames_name_their_source_images(written: ReadSegmentation, scan: MadeScan) -> None:
    place = {
        str(s.SOPInstanceUID): list(s.ImagePositionPatient)
        for s in (pydicom.dcmread(path) for path in scan.paths)
    }
    for groups in written.dataset.PerFrameFunctionalGroupsSequence:
        (source,) = groups.DerivationImageSequence[0].SourceImageSequence
        position = groups.PlanePositionSequence[0].ImagePositionPatient
        assert place[str(source.ReferencedSOPInstanceUID)] == pytest.approx(list(position))


def test_it_is_the_same_patients_in_the_same_frame(
    written: ReadSegmentation, scan: MadeScan
) -> None:
    source = pydicom.dcmread(scan.paths[0])
    for keyword in ("PatientID", "StudyInstanceUID", "FrameOfReferenceUID", "PatientBirthDate"):
        assert written.dataset[keyword].value == source[keyword].value
    assert written.dataset.SeriesInstanceUID != source.SeriesInstanceUID
    assert written.dataset.Modality == "SEG"
    kinds = {s.SegmentAlgorithmType for s in written.dataset.SegmentSequence}
    assert kinds == {"AUTOMATIC"}


def test_another_structure_keeps_its_name(scan: MadeScan) -> None:
    tumour, hilum = scan.artefact.structures
    bowel = Structure("Bowel", "other", hilum.field)
    with_bowel = replace(scan.artefact, structures=(tumour, bowel))
    found = read_segmentation(segmentation_object(with_bowel, scan.paths, "icemargin"))
    assert set(found.masks) == {"Ice ball", "Tumour", "Bowel", "Modelled -20 °C"}


def test_what_is_modelled_says_so(written: ReadSegmentation) -> None:
    algorithms = {
        str(s.SegmentLabel): str(s.SegmentationAlgorithmIdentificationSequence[0].AlgorithmName)
        for s in written.dataset.SegmentSequence
    }
    modelled = [label for label, name in algorithms.items() if "modelled" in name]
    assert modelled == ["Modelled -20 °C"]
    kind = written.dataset.SegmentSequence[3].SegmentedPropertyTypeCodeSequence[0]
    assert "Modelled" in kind.CodeMeaning


def test_without_a_model_there_is_no_modelled_segment(scan: MadeScan) -> None:
    unmodelled = replace(scan.artefact, lethal=None)
    found = read_segmentation(segmentation_object(unmodelled, scan.paths, "icemargin"))
    assert set(found.masks) == {"Ice ball", "Tumour", "Hilum"}


def test_a_scan_that_has_changed_since(scan: MadeScan) -> None:
    with pytest.raises(SegmentationError, match="has changed"):
        segmentation_object(scan.artefact, scan.paths[:-1], "icemargin")


def test_a_slice_that_is_gone(scan: MadeScan, tmp_path: Path) -> None:
    paths = [*scan.paths[:-1], tmp_path / "gone.dcm"]
    with pytest.raises(SegmentationError, match="can't be read"):
        segmentation_object(scan.artefact, paths, "icemargin")


def test_a_slice_that_is_no_dicom(scan: MadeScan, tmp_path: Path) -> None:
    garbage = tmp_path / "garbage.dcm"
    garbage.write_bytes(b"garbage" * 100)
    with pytest.raises(SegmentationError, match="can't be read"):
        segmentation_object(scan.artefact, [*scan.paths[:-1], garbage], "icemargin")
