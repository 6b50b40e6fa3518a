"""Segmentations: read as marked, whatever their form, or refused with a sentence."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray
from pydicom.data import get_testdata_file
from pydicom.uid import ExplicitVRLittleEndian, JPEGLSLossless, RLELossless

from monitor.analysis import Planned, Refused, read_structures
from monitor.structure_sets import Masked, StructureSet, StructureSetError
from monitor.structures import Offered, read_structure_set
from segmentation.structures import Structure
from tests.dicom_listener.objects import at
from tests.monitor.made_segmentations import NEOPLASM, Types, described, segmentation
from tests.quick_case import QuickCase
from tests.segmentation.drawn import AXES, SHAPES, Shape, grid

TUMOUR, HILUM = "(?i)tum(o|ou)r|gtv|mass|lesion", "(?i)hil"
SPACING = np.array([0.7, 0.7, 3.0])
BALL = SHAPES["sphere"]
HILAR = Shape(lambda points: BALL.depth(points - np.array([8.0, 0, 0])), BALL.volume_ml)
"""As large as the tumour, and overlapping it."""


def parse(path: Path) -> StructureSet:
    """With the patterns that are built in."""
    return read_structure_set(path, tumour_pattern=TUMOUR, hilum_pattern=HILUM)


def answered(path: Path) -> Planned | Refused:
    """What the analysis process makes of it."""
    return read_structures(Offered(path, "1.2", "1.2.3", TUMOUR, HILUM, at(0)))


def planned(path: Path) -> dict[str, Structure]:
    """Its solids by name."""
    found = answered(path)
    assert isinstance(found, Planned)
    return {solid.name: solid for solid in found.structures}


def written(dataset: pydicom.Dataset, folder: Path) -> Path:
    """As a file."""
    path = folder / "segmentation.dcm"
    dataset.save_as(path)
    return path


def marked(axes: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Positions of frames, and the voxels' centres."""
    origin, centres = grid(SPACING, axes)
    return origin + np.arange(len(centres))[:, None] * SPACING[2] * axes[:, 2], centres


def made(quick: QuickCase, axes: NDArray[np.float64] = AXES["axial"], **kwargs: Any) -> Any:
    """Tumour and hilum, overlapping, as a binary segmentation."""
    positions, centres = marked(axes)
    masks = np.stack([shape.depth(centres) > 0 for shape in (BALL, HILAR)], axis=-1)
    segments = [described(1, "Tumour", NEOPLASM), described(2, "Renal hilum")]
    return segmentation(
        quick.planning.files,
        kwargs.pop("masks", masks),
        kwargs.pop("segments", segments),
        positions,
        axes,
        SPACING,
        **kwargs,
    )


def check(solids: dict[str, Structure]) -> None:
    """Tumour and hilum are where they were marked."""
    for name, shape, x in (("Tumour", BALL, 0.3), ("Renal hilum", HILAR, 8.3)):
        assert solids[name].volume_ml == pytest.approx(shape.volume_ml, rel=0.01)
        assert solids[name].centre_lps_mm == pytest.approx([x, -0.2, 0.7], abs=0.1)
    assert (solids["Tumour"].kind, solids["Renal hilum"].kind) == ("tumour", "hilum")


@pytest.mark.parametrize("plane", AXES)
def test_overlapping_segments_on_planes_of_any_orientation(
    quick: QuickCase, tmp_path: Path, plane: str
) -> None:
    path = written(made(quick, AXES[plane]), tmp_path)
    check(planned(path))
    found = parse(path)
    assert found.form == "SEG"
    assert found.drawn.series_uids == (quick.planning.uid,)
    images = {
        str(pydicom.dcmread(p, specific_tags=["SOPInstanceUID"]).SOPInstanceUID)
        for p in quick.planning.files
    }
    assert found.drawn.image_uids == images
    assert found.remarks == ()


def test_fractions(quick: QuickCase, tmp_path: Path) -> None:
    _, centres = marked(AXES["axial"])
    shares = np.stack([np.clip(s.depth(centres) + 0.5, 0, 1) for s in (BALL, HILAR)], axis=-1)
    dataset = made(quick, masks=shares, kind=Types.FRACTIONAL)
    assert dataset.MaximumFractionalValue > 1
    check(planned(written(dataset, tmp_path)))


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, RLELossless, JPEGLSLossless])
def test_label_maps(quick: QuickCase, tmp_path: Path, syntax: str) -> None:
    """The tumour's voxels are the hilum's no more."""
    _, centres = marked(AXES["axial"])
    labels = np.where(HILAR.depth(centres) > 0, 2, 0)
    labels = np.where(BALL.depth(centres) > 0, 1, labels).astype(np.uint8)
    dataset = made(quick, masks=labels, kind=Types.LABELMAP, more={"transfer_syntax_uid": syntax})
    solids = planned(written(dataset, tmp_path))
    assert solids["Tumour"].volume_ml == pytest.approx(BALL.volume_ml, rel=0.01)
    assert 0.3 * BALL.volume_ml < solids["Renal hilum"].volume_ml < 0.7 * BALL.volume_ml


def test_frames_that_were_left_out_are_empty(quick: QuickCase, tmp_path: Path) -> None:
    """Two lesions of one segment, with planes between that were not sent."""
    _, centres = marked(AXES["axial"])
    up = np.array([0, 0, 14])
    both = Shape(lambda p: np.maximum(BALL.depth(p + up), BALL.depth(p - up)), 0.0)
    dataset = made(
        quick,
        masks=(both.depth(centres) > 0)[..., None],
        segments=[described(1, "Mass")],
        more={"omit_empty_frames": True},
    )
    assert dataset.NumberOfFrames < len(centres) - 4
    (solid,) = planned(written(dataset, tmp_path)).values()
    assert solid.volume_ml == pytest.approx(2 * BALL.volume_ml, rel=0.01)
    assert not solid.surface.holds(np.array([[0.3, -0.2, 0.7]])).any()


def test_what_it_means_tells_where_no_label_does(quick: QuickCase, tmp_path: Path) -> None:
    segments = [described(1, "Segment 1", NEOPLASM), described(2, "Segment 2")]
    found = parse(written(made(quick, segments=segments), tmp_path))
    assert [one.kind for one in found.structures] == ["tumour", "other"]
    segments = [described(1, "Cyst", NEOPLASM), described(2, "Tumour left")]
    found = parse(written(made(quick, segments=segments), tmp_path))
    assert [one.kind for one in found.structures] == ["other", "tumour"]


def test_an_empty_segment_is_left_out(quick: QuickCase, tmp_path: Path) -> None:
    dataset = made(quick)
    dataset.SegmentSequence.append(described(3, "Ureter"))
    found = parse(written(dataset, tmp_path))
    assert [one.name for one in found.structures] == ["Tumour", "Renal hilum"]
    assert found.remarks == ("“Ureter” is empty and was left out.",)


def test_without_references_it_is_known_by_its_frame(quick: QuickCase, tmp_path: Path) -> None:
    dataset = made(quick)
    for keyword in ("ReferencedSeriesSequence", "SourceImageSequence"):
        dataset.pop(keyword, None)
    for frame in dataset.PerFrameFunctionalGroupsSequence:
        frame.pop("DerivationImageSequence", None)
    found = parse(written(dataset, tmp_path))
    assert found.drawn.series_uids == ()
    assert found.drawn.frame_of_reference_uid == dataset.FrameOfReferenceUID


def test_another_library_s(tmp_path: Path) -> None:
    """One of dcmqi's, as pydicom ships it: a liver, three frames of which hold it."""
    path = get_testdata_file("liver.dcm", download=False)
    assert isinstance(path, str)
    (liver,) = parse(Path(path)).structures
    assert isinstance(liver, Masked)
    assert (liver.name, liver.kind) == ("Liver", "other")
    dataset = pydicom.dcmread(path)
    pixels = float(
        np.prod(dataset.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0].PixelSpacing)
    )
    marks = [np.asarray(plane) > 0 for plane in liver.planes]
    area = sum(float(mark.sum()) for mark in marks) * pixels
    assert area == pytest.approx(float(dataset.pixel_array.sum()) * pixels)


Fault = Callable[[pydicom.Dataset], object]


def ours(dataset: pydicom.Dataset) -> None:
    dataset.Manufacturer = "icemargin"


def nowhere(dataset: pydicom.Dataset) -> None:
    for frame in dataset.PerFrameFunctionalGroupsSequence:
        del frame.PlanePositionSequence


def tilted(dataset: pydicom.Dataset) -> None:
    del dataset.SharedFunctionalGroupsSequence[0].PlaneOrientationSequence
    for n, frame in enumerate(dataset.PerFrameFunctionalGroupsSequence):
        item = pydicom.Dataset()
        angle = 0.1 * n
        cosines = [np.cos(angle), np.sin(angle), 0, -np.sin(angle), np.cos(angle), 0]
        item.ImageOrientationPatient = [f"{c:.6f}" for c in cosines]
        frame.PlaneOrientationSequence = [item]


def no_rotation(dataset: pydicom.Dataset) -> None:
    orientation = dataset.SharedFunctionalGroupsSequence[0].PlaneOrientationSequence[0]
    orientation.ImageOrientationPatient = [1, 0, 0, 1, 0, 0]


def far_away(dataset: pydicom.Dataset) -> None:
    frame = dataset.PerFrameFunctionalGroupsSequence[0]
    frame.PlanePositionSequence[0].ImagePositionPatient = [0, 0, 1e30]


def too_few_described(dataset: pydicom.Dataset) -> None:
    del dataset.PerFrameFunctionalGroupsSequence[-1]


def nothing_marked(dataset: pydicom.Dataset) -> None:
    dataset.PixelData = bytes(len(dataset.PixelData))


def too_large(dataset: pydicom.Dataset) -> None:
    dataset.Rows = dataset.Columns = 65535


def pixels_missing(dataset: pydicom.Dataset) -> None:
    dataset.PixelData = dataset.PixelData[:1000]


def in_colour(dataset: pydicom.Dataset) -> None:
    dataset.SamplesPerPixel = 3


def no_segments(dataset: pydicom.Dataset) -> None:
    del dataset.SegmentSequence


def of_no_segment(dataset: pydicom.Dataset) -> None:
    for frame in dataset.PerFrameFunctionalGroupsSequence:
        frame.SegmentIdentificationSequence[0].ReferencedSegmentNumber = 9


FAULTS = [
    (ours, "is a result of this service, not a plan"),
    (nowhere, "does not say where in the patient"),
    (tilted, "lie at different angles"),
    (no_rotation, "lies nowhere in a patient"),
    (far_away, "lies nowhere in a patient"),
    (too_few_described, "not all frames are described"),
    (nothing_marked, "marks nothing. “Tumour” is empty"),
    (too_large, "is too large"),
    (pixels_missing, "pixels are missing"),
    (in_colour, "is in colour"),
    (no_segments, "can't be read"),
    (of_no_segment, "unknown segment 9"),
]


@pytest.mark.parametrize(("fault", "said"), FAULTS)
def test_a_wrong_one_is_refused(quick: QuickCase, tmp_path: Path, fault: Fault, said: str) -> None:
    dataset = made(quick)
    fault(dataset)
    with pytest.raises(StructureSetError, match=said) as caught:
        parse(written(dataset, tmp_path))
    assert str(caught.value).endswith(".")


@pytest.mark.parametrize("name", ["CT_small.dcm", "rtplan.dcm", "rtdose.dcm", "SC_rgb_rle.dcm"])
def test_other_objects_are_named(name: str) -> None:
    path = get_testdata_file(name, download=False)
    assert isinstance(path, str)
    said = r"^The object is .*, not a structure set \(RTSTRUCT\) or segmentation \(SEG\)\.$"
    with pytest.raises(StructureSetError, match=said):
        parse(Path(path))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "the file is empty"),
        (b"no DICOM at all, but long enough to be looked at" * 20, "it is no DICOM file"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "file.dcm"
    path.write_bytes(content)
    with pytest.raises(StructureSetError, match=said):
        parse(path)


def test_one_that_is_cut_short(quick: QuickCase, tmp_path: Path) -> None:
    path = written(made(quick), tmp_path)
    whole = path.read_bytes()
    for part in (0.3, 0.7, 0.99):
        path.write_bytes(whole[: int(part * len(whole))])
        with pytest.raises(StructureSetError):
            parse(path)


def test_two_tumours_are_refused_by_name(quick: QuickCase, tmp_path: Path) -> None:
    segments = [described(1, "GTV"), described(2, "Mass")]
    found = answered(written(made(quick, segments=segments), tmp_path))
    assert isinstance(found, Refused)
    assert found.code == "several_tumours"
    assert "2 structures named as the tumour, “GTV” and “Mass”" in found.text
