"""When a series is complete, and what is said when it is not."""

from collections.abc import Sequence
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from dicom_listener.headers import read_header
from dicom_listener.series import (
    ObjectReady,
    SeriesProgress,
)
from tests.dicom_listener.objects import ROOT, at, header, heights
from tests.dicom_listener.story import Story


def test_released_with_all_slices() -> None:
    story = Story()
    story.slices(heights(5))
    assert not story.ready
    story.released()
    (ready,) = story.ready
    assert story.said == [("final", "release", None)]
    assert (ready.revision, len(ready.objects)) == (1, 5)
    assert ready.last_received_at == at(0.05)
    assert ready.stack is not None
    assert ready.stack.extent_mm == (0.0, 12.0)
    story.pause(100)
    assert len(story.ready) == 1
    assert story.assembler.next_deadline() is None


def test_progress() -> None:
    story = Story()
    story.slices(heights(3))
    uid = f"{ROOT}.5.1"
    assert story.outputs == [SeriesProgress(uid, n, None) for n in (1, 2, 3)]
    assert story.assembler.next_deadline() == at(0.03) + timedelta(seconds=3)


def test_out_of_order() -> None:
    story = Story()
    story.slices([9, 0, 6, 3])
    story.released()
    (ready,) = story.ready
    assert ready.stack is not None
    assert ready.stack.order == (1, 3, 2, 0)
    in_order = [ready.objects[n].header.plane for n in ready.stack.order]
    assert [plane.position[2] for plane in in_order if plane] == [0, 3, 6, 9]


def test_quiet() -> None:
    """An association that is held open."""
    story = Story()
    story.slices(heights(5))
    story.pause(2.9)
    assert not story.ready
    story.pause(0.1)
    assert story.said == [("final", "quiet", None)]
    story.released()
    assert len(story.ready) == 1


def test_one_association_for_each_image() -> None:
    story = Story()
    for n, z in enumerate(heights(5)):
        story.slices([z], association=str(n))
        story.released(str(n))
    assert not story.ready
    story.pause(3)
    assert story.said == [("final", "quiet", None)]


def test_two_associations_for_one_series() -> None:
    """The release of one that carried half says nothing about the whole."""
    story = Story()
    story.slices(heights(10)[::2], association="a")
    story.slices(heights(10)[1::2], association="b")
    story.released("a")
    story.released("b")
    assert not story.ready
    story.pause(3)
    assert story.said == [("final", "quiet", None)]


@pytest.mark.parametrize(
    ("z_mm", "code"),
    [
        ([0, 3, 6, 12, 15], "missing_slices"),
        ([0, 3, 6], "too_few_slices"),
        ([0, 3, 6, 9.7, 12], "uneven_spacing"),
    ],
)
def test_what_later_slices_could_mend_waits(z_mm: Sequence[float], code: str) -> None:
    story = Story()
    story.slices(z_mm)
    story.released()
    assert not story.ready
    story.pause(3)
    assert story.said == [("provisional", "quiet", code)]
    assert story.ready[0].stack is None


def test_a_missing_slice_that_comes_late() -> None:
    story = Story()
    story.slices([0, 3, 9, 12], association="a")
    story.released("a")
    story.pause(5)
    story.slices([6], association="b")
    story.released("b")
    assert story.said == [("provisional", "quiet", "missing_slices")]
    story.pause(3)
    assert story.said[1:] == [("final", "quiet", None)]
    assert [ready.revision for ready in story.ready] == [1, 2]
    assert len(story.ready[1].objects) == 5


def test_two_slices_at_one_place_are_refused_at_once() -> None:
    story = Story()
    story.slices(heights(5))
    story.slices([6], name="again")
    story.released()
    assert story.said == [("refused", "release", "duplicate_position")]
    assert story.ready[0].reason is not None
    assert "same place" in story.ready[0].reason.text


def test_an_abort_is_no_completion() -> None:
    story = Story()
    story.slices(heights(5))
    story.aborted()
    assert not story.ready
    story.pause(3)
    assert story.said == [("provisional", "quiet", "transfer_aborted")]
    assert story.ready[0].stack is not None


def test_sent_again_after_an_abort() -> None:
    """The second association carries all, the first half of it as duplicates."""
    story = Story()
    story.slices(heights(3), association="a")
    story.aborted("a")
    story.slices(heights(6), association="b")
    story.released("b")
    assert story.said == [("final", "release", None)]
    assert len(story.ready[0].objects) == 6


def test_the_rest_after_an_abort() -> None:
    story = Story()
    story.slices(heights(6)[:3], association="a")
    story.aborted("a")
    story.slices(heights(6)[3:], association="b")
    story.released("b")
    story.pause(3)
    assert story.said == [("final", "quiet", None)]


def test_the_extent_of_the_scan_before() -> None:
    story = Story()
    story.slices(heights(6), series=1)
    story.released()
    story.slices(heights(6), series=2, association="b")
    assert story.said == [("final", "release", None), ("final", "extent", None)]
    assert story.outputs[-2] == SeriesProgress(f"{ROOT}.5.2", 6, 6)
    story.released("b")
    assert len(story.ready) == 2


def test_as_many_slices_elsewhere_do_not_fill_the_extent() -> None:
    story = Story()
    story.slices(heights(6), series=1)
    story.released()
    story.slices(heights(6, start_mm=30), series=2, association="b")
    assert len(story.ready) == 1
    story.released("b")
    assert story.said[1:] == [("final", "release", None)]


def test_a_longer_scan_is_opened_again_once() -> None:
    story = Story()
    story.slices(heights(6), series=1)
    story.released()
    story.slices(heights(10), series=2, association="b")
    story.released("b")
    assert story.said[1:] == [("final", "extent", None), ("final", "release", None)]
    assert [len(ready.objects) for ready in story.ready] == [6, 6, 10]


@pytest.mark.parametrize("part", [slice(4), slice(2, 6)])
def test_a_missing_end_shows_against_the_scan_before(part: slice) -> None:
    story = Story()
    story.slices(heights(6), series=1)
    story.released()
    story.slices(heights(6)[part], series=2, association="b")
    story.released("b")
    assert story.said[1:] == [("provisional", "release", "shorter_than_predecessor")]
    reason = story.ready[1].reason
    assert reason is not None
    assert "2 slices more" in reason.text
    story.pause(10)
    assert len(story.ready) == 2
    story.slices(heights(6), series=2, association="c")
    story.released("c")
    assert story.said[2:] == [("final", "extent", None)]


def test_the_same_shorter_range_twice_is_a_range() -> None:
    story = Story()
    for n, count in enumerate((6, 4, 4), start=1):
        story.slices(heights(count), series=n, association=str(n))
        story.released(str(n))
    assert story.said == [
        ("final", "release", None),
        ("provisional", "release", "shorter_than_predecessor"),
        ("final", "release", None),
    ]


@pytest.mark.parametrize(
    "changes",
    [
        {"study_instance_uid": f"{ROOT}.7"},
        {"frame_of_reference_uid": f"{ROOT}.8"},
        {"frame_of_reference_uid": None},
        {"convolution_kernel": "B70f"},
    ],
)
def test_what_is_no_predecessor(changes: dict[str, Any]) -> None:
    story = Story()
    story.slices(heights(6), series=1)
    story.released()
    story.slices(heights(4), series=2, association="b", **changes)
    story.released("b")
    assert story.said[1:] == [("final", "release", None)]
    assert [o.expected for o in story.outputs if isinstance(o, SeriesProgress)] == [None] * 10


def test_another_spacing_is_no_predecessor() -> None:
    story = Story()
    story.slices(heights(6), series=1)
    story.released()
    story.slices(heights(5, spacing_mm=1.5), series=2, association="b")
    story.released("b")
    assert story.said[1:] == [("final", "release", None)]


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({"sop_class_uid": "1.2.840.10008.5.1.4.1.1.481.3", "modality": "RTSTRUCT"}, "stored"),
        ({"sop_class_uid": "1.2.840.10008.5.1.4.1.1.4", "modality": "MR"}, "stored"),
        ({"sop_class_uid": "1.2.840.10008.5.1.4.1.1.7"}, "stored"),
        ({"image_type": ("ORIGINAL", "PRIMARY", "LOCALIZER")}, "localizer"),
        ({"lossy": True}, "lossy"),
        ({"planes": ()}, "no_plane"),
        (
            {
                "sop_class_uid": "1.2.840.10008.5.1.4.1.1.2.1",
                "number_of_frames": 9,
                "planes": (),
            },
            "multi_frame",
        ),
    ],
)
def test_what_is_no_slice_is_told_at_once(changes: dict[str, Any], kind: str) -> None:
    story = Story()
    story.slices([0], **changes)
    (output,) = story.outputs
    assert isinstance(output, ObjectReady)
    assert (output.kind, output.received_at) == (kind, at(0.01))
    assert story.assembler.next_deadline() is None


def test_conflicting_and_foreign_slices_stay_out() -> None:
    story = Story()
    story.slices(heights(5))
    story.object(header(15), conflicting=True)
    story.slices([18], patient_id="4712")
    story.released()
    kinds = [output.kind for output in story.outputs if isinstance(output, ObjectReady)]
    assert kinds == ["conflict", "foreign"]
    assert story.said == [("final", "release", None)]
    assert len(story.ready[0].objects) == 5


def test_an_interrupted_series_does_not_hold_up_another() -> None:
    story = Story()
    story.slices(heights(3), series=1, association="a")
    story.slices(heights(5), series=2, association="b")
    story.released("b")
    assert [ready.series_uid for ready in story.ready] == [f"{ROOT}.5.2"]


def test_bounds() -> None:
    story = Story(maximum_open=3, maximum_remembered=2, maximum_slices=5)
    for n in range(1, 6):
        story.slices(heights(4), series=n, study_instance_uid=f"{ROOT}.{n}")
    assert [ready.series_uid for ready in story.ready] == [f"{ROOT}.5.1", f"{ROOT}.5.2"]
    story.slices(heights(7), series=6)
    assert sum(isinstance(output, ObjectReady) for output in story.outputs) == 2
    story.pause(9)
    assert len(story.assembler._series) == 2
    assert len(story.assembler._series_of) == 9


@pytest.mark.shared_data
@pytest.mark.parametrize(
    ("folder", "expected"),
    [
        ("geometry/gantrytilting/001", ("refused", "gantry_tilt")),
        ("geometry/notavolume/001", ("refused", "duplicate_position")),
        ("geometry/sliceincrement/001", ("provisional", "missing_slices")),
        ("geometry/sliceincrement/002", ("provisional", "missing_slices")),
        ("tilt-mixed-spacing", ("provisional", "missing_slices")),
    ],
)
def test_real_awkward_geometry(
    awkward: Path, folder: str, expected: tuple[str, str | None]
) -> None:
    story = Story()
    for path in sorted((awkward / folder).glob("*.dcm")):
        story.object(read_header(path))
    story.released()
    story.pause(3)
    assert [(one[0], one[2]) for one in story.said] == [expected]
    assert story.ready[0].stack is None


@pytest.mark.shared_data
@pytest.mark.parametrize("folder", ["geometry/slicecount/001", "geometry/sliceorientation/001"])
def test_real_series_that_are_no_ct(awkward: Path, folder: str) -> None:
    story = Story()
    for path in sorted((awkward / folder).glob("*.dcm")):
        story.object(read_header(path))
    story.pause(3)
    kinds = {output.kind for output in story.outputs if isinstance(output, ObjectReady)}
    assert kinds == {"stored"}
    assert not story.ready


@pytest.mark.shared_data
def test_all_real_headers_can_be_read(awkward: Path) -> None:
    paths = sorted(awkward.rglob("*.dcm"))
    assert len([read_header(path) for path in paths]) == len(paths) > 60


def test_times_never_run_backwards() -> None:
    story = Story()
    story.slices(heights(5))
    progress = [o.received for o in story.outputs if isinstance(o, SeriesProgress)]
    assert all(a < b for a, b in pairwise(progress))
