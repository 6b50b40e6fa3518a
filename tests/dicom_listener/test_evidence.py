"""What the scanner lists, and what else tells that a series is complete."""

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dicom_listener.events import PerformedSeries
from dicom_listener.headers import ObjectHeader, read_header
from dicom_listener.lists import ListEvidence, Lists
from dicom_listener.pixels import read_volume
from dicom_listener.series import SeriesProgress
from segmentation.volume import SlicePlane
from tests.dicom_listener.multi_frame import enhanced
from tests.dicom_listener.objects import ROOT, ct_slice, header, heights, part10
from tests.dicom_listener.story import Story

ENHANCED = "1.2.840.10008.5.1.4.1.1.2.1"
LOCALIZER = ("ORIGINAL", "PRIMARY", "LOCALIZER")


def slices(count: int, series: int = 1) -> list[ObjectHeader]:
    """Headers of the slices from 0 mm on."""
    return [header(z, series) for z in heights(count)]


# Performed procedure steps


def test_all_that_a_step_lists() -> None:
    story = Story()
    story.slices(heights(5))
    story.listed(heights(5))
    assert story.said == [("final", "mpps", None)]
    story.aborted()
    story.pause(10)
    assert len(story.ready) == 1


def test_a_list_that_came_before_the_slices() -> None:
    """The last one makes it final at once."""
    story = Story()
    story.listed(heights(5))
    story.slices(reversed(heights(5)[1:]))
    assert not story.ready
    assert story.outputs[-1] == SeriesProgress(f"{ROOT}.5.1", 4, 5)
    story.slices([0])
    assert story.said == [("final", "mpps", None)]


def test_less_than_is_listed() -> None:
    story = Story()
    story.slices(heights(5))
    story.listed(heights(7))
    story.released()  # gap-free, but weaker evidence
    assert not story.ready
    story.pause(3)
    assert story.said == [("provisional", "quiet", "listed_images_missing")]
    reason = story.ready[0].reason
    assert reason is not None
    assert reason.text == "2 of the 7 images that the scanner lists are missing."
    story.slices(heights(7)[5:6], association="b")
    assert story.outputs[-1] == SeriesProgress(f"{ROOT}.5.1", 6, 7, reopened=True)
    story.slices(heights(7)[6:], association="b")
    assert story.said[1:] == [("final", "mpps", None)]


def test_a_list_takes_back_what_weaker_evidence_said() -> None:
    story = Story()
    story.slices(heights(5))
    story.released()
    story.listed(heights(6))
    assert story.said == [
        ("final", "release", None),
        ("provisional", "mpps", "listed_images_missing"),
    ]
    story.slices([15], association="b")
    assert story.said[2:] == [("final", "mpps", None)]
    assert [ready.revision for ready in story.ready] == [1, 2, 3]


def test_what_is_listed_outweighs_the_extent_of_the_scan_before() -> None:
    story = Story()
    story.slices(heights(6), series=1)
    story.released()
    story.listed(heights(6), series=2)
    story.listed(heights(8), series=3)
    story.slices(heights(4), series=2, association="b")
    story.released("b")
    story.slices(heights(6), series=3, association="c")
    assert len(story.ready) == 1  # it fills the extent, but more are listed
    story.slices(heights(8)[6:], series=3, association="c")
    assert story.said[1:] == [("final", "mpps", None)]


def test_a_shorter_scan_is_final_when_that_is_all_the_scanner_made() -> None:
    story = Story()
    story.slices(heights(6), series=1)
    story.released()
    story.slices(heights(4), series=2, association="b")
    story.released("b")
    assert story.said[1:] == [("provisional", "release", "shorter_than_predecessor")]
    story.listed(heights(4), series=2)
    assert story.said[2:] == [("final", "mpps", None)]


def test_an_abort_is_outweighed_by_a_list() -> None:
    story = Story()
    story.slices(heights(5))
    story.aborted()
    story.pause(3)
    story.listed(heights(5))
    assert story.said[1:] == [("final", "mpps", None)]


def test_a_list_of_a_part_says_nothing_about_the_rest() -> None:
    story = Story()
    story.slices(heights(5))
    story.listed(heights(3))
    assert not story.ready
    story.released()
    assert story.said == [("final", "release", None)]


def test_two_steps_make_one_series() -> None:
    story = Story()
    story.listed(heights(6)[:4])
    story.listed(heights(6)[4:])
    story.slices(heights(6)[:4])
    assert not story.ready
    story.slices(heights(6)[4:])
    assert story.said == [("final", "mpps", None)]


def test_a_gap_in_all_that_was_made_is_not_waited_for() -> None:
    story = Story()
    z_mm = [0, 3, 9, 12, 15]
    story.listed(z_mm)
    story.slices(z_mm)
    assert story.said == [("provisional", "mpps", "missing_slices")]


def test_a_slice_beyond_the_list_opens_again() -> None:
    story = Story()
    story.listed(heights(5))
    story.slices(heights(6))
    story.released()
    assert story.said == [("final", "mpps", None), ("final", "release", None)]
    progress = [o for o in story.outputs if isinstance(o, SeriesProgress)]
    assert [one.reopened for one in progress] == [False] * 5 + [True]


def test_a_listed_object_that_is_no_slice_has_come_all_the_same() -> None:
    story = Story()
    story.slices(heights(5))
    story.listed(heights(5), names=["scout"])
    story.pause(3)
    assert story.said == [("provisional", "quiet", "listed_images_missing")]
    story.object(header(0, name="scout", image_type=LOCALIZER))
    assert story.said[1:] == [("final", "mpps", None)]


def test_a_step_in_progress_is_no_evidence() -> None:
    story = Story()
    story.slices(heights(5))
    uids = tuple(one.sop_instance_uid for one in slices(5))
    story.step((PerformedSeries(f"{ROOT}.5.1", uids),), "IN PROGRESS")
    story.step((PerformedSeries(f"{ROOT}.5.1", ()),), "COMPLETED")
    assert not story.ready


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("count", [0, 5])
def test_a_discontinued_examination(count: int, first: bool) -> None:
    story = Story()
    if first:
        story.listed(heights(count), discontinued=True)
    story.slices(heights(5))
    story.released()
    if not first:
        story.listed(heights(count), discontinued=True)
    story.pause(3)
    completeness, _, code = story.said[-1]
    assert (completeness, code) == ("provisional", "discontinued")
    assert story.ready[-1].stack is not None


def test_a_discontinued_step_that_was_taken_up_again() -> None:
    story = Story()
    story.listed(heights(3), discontinued=True)
    story.listed(heights(6))
    story.slices(heights(6))
    assert story.said[-1] == ("final", "mpps", None)


NOT_MEASURED: list[tuple[dict[str, Any], bool]] = [
    ({"lossy": True}, False),
    ({"planes": ()}, False),
    ({"planes": (), "number_of_frames": 2, "sop_class_uid": ENHANCED}, False),
    ({"patient_id": "another"}, False),
    ({}, True),
]


@pytest.mark.parametrize(("changes", "conflicting"), NOT_MEASURED)
@pytest.mark.parametrize("when", ["before", "amid", "after"])
@pytest.mark.parametrize("by", ["mpps", "commitment"])
def test_a_listed_image_that_is_not_measured(
    changes: dict[str, Any], conflicting: bool, when: str, by: str
) -> None:
    """The others make a volume without it, which a further slice only makes longer."""
    story = Story()

    def tell(moment: str) -> None:
        if moment == when:
            if by == "mpps":
                story.listed(heights(20))
            else:
                story.asked(*slices(20))

    tell("before")
    story.slices(heights(17))
    tell("amid")
    for one in slices(20)[17:]:
        story.object(replace(one, **changes), conflicting=conflicting)
    story.released()
    tell("after")
    story.pause(3)
    assert story.said[-1][0::2] == ("provisional", "listed_images_unmeasured")
    reason = story.ready[-1].reason
    assert reason is not None
    assert reason.text == (
        "3 of the 20 images that the scanner lists came in a form that is not measured."
    )
    story.slices([-3], association="b")
    story.released("b")
    story.pause(3)
    assert story.said[-1][0::2] == ("provisional", "listed_images_unmeasured")


def test_an_image_that_is_not_measured_and_is_listed_for_itself() -> None:
    """Some scanners ask for commitment image by image."""
    story = Story()
    story.object(replace(slices(6)[5], lossy=True))
    story.asked(slices(6)[5])
    for one in slices(5):
        story.object(one)
        story.asked(one)
    assert not story.ready
    story.released()
    assert story.said == [("provisional", "release", "listed_images_unmeasured")]


@pytest.mark.parametrize(
    "changes",
    [
        {"series_instance_uid": f"{ROOT}.5.2", "lossy": True},
        {"sop_class_uid": "1.2.840.10008.5.1.4.1.1.7", "planes": ()},
        {"sop_class_uid": "1.2.840.10008.5.1.4.1.1.88.67", "modality": "SR", "planes": ()},
        {"image_type": LOCALIZER},
    ],
)
def test_a_listed_object_that_is_no_image_of_the_series(changes: dict[str, Any]) -> None:
    story = Story()
    story.object(replace(header(0, name="x"), **changes))
    story.slices(heights(5))
    story.listed(heights(5), names=["x"])
    assert story.said == [("final", "mpps", None)]


def test_the_same_slice_with_another_content_is_measured_as_it_was() -> None:
    story = Story()
    story.slices(heights(5))
    story.object(slices(5)[4], conflicting=True)
    story.listed(heights(5))
    assert story.said == [("final", "mpps", None)]


# Who lists


@pytest.mark.parametrize("count", [5, 7])
@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("how", ["completed", "discontinued", "asked"])
def test_a_list_of_another_caller_is_no_evidence(count: int, first: bool, how: str) -> None:
    story = Story()

    def tell() -> None:
        if how == "asked":
            story.asked(*slices(count), caller="CT2")
        else:
            story.listed(heights(count), caller="CT2", discontinued=how == "discontinued")

    if first:
        tell()
    story.slices(heights(5))
    assert story.outputs[-1] == SeriesProgress(f"{ROOT}.5.1", 5, None)
    story.released()
    if not first:
        tell()
    assert story.said == [("final", "release", None)]


@pytest.mark.parametrize("again", [False, True])
def test_a_list_of_another_caller_counts_when_that_carries_some(again: bool) -> None:
    story = Story()
    story.listed(heights(7), caller="CT2")
    story.slices(heights(6))
    story.released()
    story.slices(heights(7)[5:6] if again else [18], association="b", caller="CT2")
    story.released("b")
    story.pause(3)
    completeness, _, code = story.said[-1]
    wanted = ("provisional", "listed_images_missing") if again else ("final", None)
    assert (completeness, code) == wanted


# Storage commitment


def test_all_that_commitment_is_asked_for() -> None:
    story = Story()
    story.slices(heights(6)[::2], association="a")
    story.slices(heights(6)[1::2], association="b")
    story.released("a")
    story.asked(*slices(6))
    assert not story.ready  # more may come on b
    story.released("b")
    assert story.said == [("final", "commitment", None)]


def test_commitment_asked_for_before_all_has_come() -> None:
    story = Story()
    story.slices(heights(6)[:4])
    story.aborted()
    story.asked(*slices(6))
    story.pause(3)
    assert story.said == [("provisional", "quiet", "listed_images_missing")]
    story.slices(heights(6)[4:], association="b")
    story.released("b")
    assert story.said[1:] == [("final", "commitment", None)]


def test_commitment_asked_for_before_anything_has_come() -> None:
    story = Story()
    story.asked(*slices(6))
    story.slices(heights(5))
    story.released()
    assert not story.ready
    story.pause(3)
    assert story.said == [("provisional", "quiet", "listed_images_missing")]


def test_what_is_asked_for_may_belong_to_another_series() -> None:
    story = Story()
    story.slices(heights(5), series=1)
    story.released()
    dose_report = header(0, 7, sop_class_uid="1.2.840.10008.5.1.4.1.1.88.67", modality="SR")
    story.asked(*slices(5, 1), *slices(5, 2), dose_report)
    assert story.said[1:] == [("provisional", "commitment", "listed_images_missing")]
    assert story.ready[1].reason is not None
    assert "may belong" in story.ready[1].reason.text
    story.slices(heights(5), series=2, association="b")
    story.released("b")
    assert story.said[2:] == [("final", "commitment", None)] * 2
    assert [ready.series_uid for ready in story.ready[2:]] == [f"{ROOT}.5.1", f"{ROOT}.5.2"]


def test_commitment_image_by_image_is_no_evidence() -> None:
    """Else each slice from the fourth on would be the last."""
    story = Story()
    for n, one in enumerate(slices(8)):
        story.object(one, association=str(n))
        story.released(str(n))
        story.asked(one, association=f"c{n}")
    assert not story.ready
    story.pause(3)
    assert story.said == [("final", "quiet", None)]


def test_commitment_of_a_part_does_not_hide_a_missing_end() -> None:
    story = Story()
    story.slices(heights(8), series=1)
    story.released()
    story.slices(heights(5), series=2, association="b")
    story.aborted("b")
    story.asked(*slices(5, 2))
    assert story.said[1:] == [("provisional", "commitment", "shorter_than_predecessor")]


def test_a_commitment_never_overrides_a_step() -> None:
    story = Story()
    story.slices(heights(5))
    story.listed(heights(5))
    story.asked(*slices(7))
    story.pause(10)
    assert story.said == [("final", "mpps", None)]


# Associations, silence and patience


def test_the_whole_sent_again_after_it_was_found_cut() -> None:
    story = Story()
    story.slices(heights(5), association="a")
    story.aborted("a")
    story.pause(3)
    story.slices(heights(5), association="b")
    story.released("b")
    assert story.said == [("provisional", "quiet", "transfer_aborted"), ("final", "release", None)]


def test_the_end_sent_again_after_it_was_found_cut() -> None:
    story = Story()
    story.slices(heights(5), association="a")
    story.aborted("a")
    story.pause(3)
    story.slices(heights(5)[3:], association="b")
    story.released("b")
    story.pause(3)
    assert story.said[1:] == [("final", "quiet", None)]


def test_of_two_associations_the_one_that_was_cut_counts() -> None:
    """Whichever of them ends first."""
    for ends in ("ab", "ba"):
        story = Story()
        story.slices(heights(6)[:3], association="a")
        story.slices(heights(6)[3:], association="b")
        for association in ends:
            if association == "a":
                story.released("a")
            else:
                story.aborted("b")
        story.pause(3)
        assert story.said == [("provisional", "quiet", "transfer_aborted")]


def test_silence_after_an_abort_that_is_told_late_was_none() -> None:
    story = Story()
    story.slices(heights(5))
    story.pause(8)
    assert story.said == [("final", "quiet", None)]
    story.aborted(ago_s=6)
    assert story.said[1:] == [("provisional", "quiet", "transfer_aborted")]


def test_an_association_that_times_out_after_the_silence_changes_nothing() -> None:
    story = Story()
    story.slices(heights(5))
    story.pause(60)
    story.aborted()
    assert story.said == [("final", "quiet", None)]


def test_what_never_falls_silent_is_judged_all_the_same() -> None:
    story = Story(patience_s=10)
    for z in heights(6):
        story.slices([z])
        story.pause(2.5)
    assert story.said == [("provisional", "none", "not_waited_for")]
    assert len(story.ready[0].objects) == 4
    story.pause(1)
    assert story.said[1:] == [("final", "quiet", None)]


def test_no_volume_that_never_falls_silent() -> None:
    story = Story(patience_s=10)
    story.slices([0, 3, 9, 12])
    for _ in range(5):
        story.pause(2.5)
        story.slices([0])  # again and again
    assert story.said == [("provisional", "none", "missing_slices")]


def test_what_never_falls_silent_and_is_refused() -> None:
    """It is not waited for any more, and the silence after it judges the others only."""
    story = Story(patience_s=10, maximum_slices=4)
    for z in heights(5):
        story.slices([z])
        story.pause(2)
    assert story.said == [("refused", "none", "too_many_slices")]
    story.slices(heights(4), series=2, association="b")
    story.pause(10)
    assert story.said[1:] == [("final", "quiet", None)]
    assert story.assembler.next_deadline() is None


def test_too_many_series_at_once() -> None:
    story = Story(maximum_open=2)
    for n in (1, 2, 3):
        story.slices(heights(4), series=n, study_instance_uid=f"{ROOT}.{n}", association=str(n))
    assert story.said == [("provisional", "none", "not_waited_for")]
    story.released("1")
    assert story.said[1:] == [("final", "release", None)]


def test_too_many_slices() -> None:
    story = Story(maximum_slices=5)
    story.slices(heights(5))
    story.released()
    story.slices([15], association="b")
    story.pause(3)
    assert story.said == [("final", "release", None), ("refused", "quiet", "too_many_slices")]


# Multi-frame objects


def multi_frame(z_mm: Sequence[float], series: int = 1, name: str = "m") -> ObjectHeader:
    """Header of an enhanced CT object with a frame at each height."""
    planes = tuple(
        SlicePlane((0.0, 0.0, float(z)), (1, 0, 0, 0, 1, 0), (1.0, 1.0), 16, 16) for z in z_mm
    )
    return header(
        0, series, name, sop_class_uid=ENHANCED, number_of_frames=len(z_mm), planes=planes
    )


def test_one_multi_frame_object_is_a_volume() -> None:
    story = Story()
    story.object(multi_frame([9, 0, 6, 3]))
    assert story.outputs == [SeriesProgress(f"{ROOT}.5.1", 4, None)]
    story.released()
    assert story.said == [("final", "release", None)]
    (ready,) = story.ready
    assert ready.stack is not None
    assert (ready.stack.order, ready.slices, len(ready.objects)) == ((1, 3, 2, 0), 4, 1)


def test_frames_are_counted_object_by_object() -> None:
    story = Story()
    story.object(multi_frame([15, 18, 21], name="upper"))
    story.object(multi_frame([9, 12], name="middle"))
    story.slices([6, 3])
    story.released()
    stack = story.ready[0].stack
    assert stack is not None
    assert stack.order == (6, 5, 3, 4, 0, 1, 2)


def test_a_part_of_a_concatenation_is_not_taken_for_the_scan() -> None:
    story = Story()
    story.object(multi_frame(heights(6), series=1))
    story.released()
    story.object(multi_frame(heights(6)[:4], series=2), association="b")
    story.released("b")
    story.object(multi_frame(heights(6)[4:], series=2, name="rest"), association="c")
    assert story.said == [
        ("final", "release", None),
        ("provisional", "release", "shorter_than_predecessor"),
        ("final", "extent", None),
    ]


def test_a_multi_frame_object_that_was_listed() -> None:
    story = Story()
    story.listed([], names=["m"])
    story.object(multi_frame(heights(6)))
    assert story.said == [("final", "mpps", None)]


def test_a_lossy_multi_frame_object_is_no_slice() -> None:
    story = Story()
    story.object(replace(multi_frame(heights(6)), lossy=True))
    story.pause(3)
    assert not story.ready


# Bounds and cost


SOURCES: list[tuple[str, ListEvidence]] = [
    ("CT1", "mpps"),
    ("CT1", "commitment"),
    ("CT2", "mpps"),
]


def test_lists_are_bounded() -> None:
    """By caller, and steps' lists apart from commitments'."""
    lists = Lists(maximum_instances=100)
    for n in range(50):
        named = [f"{n}.{k}" for k in range(30)]
        for caller, evidence in SOURCES[:1] if n < 3 else SOURCES[1:]:
            lists.add(evidence, caller, named, [str(n)], lambda _uid: None)
    told = [lists.of(str(n), [], ["CT1"]).missing for n in range(50)]
    assert [(n, one.evidence) for n, one in enumerate(told) if one] == [
        *((n, "mpps") for n in (0, 1, 2)),
        *((n, "commitment") for n in (47, 48, 49)),
    ]
    assert [n for n in range(50) if lists.of(str(n), [], ["CT2"]).missing] == [47, 48, 49]
    assert len(lists._awaiting) == 180
    for n in range(50):
        lists.forget(str(n))
    assert not lists._lists
    assert not lists._awaiting


def test_many_slices_cost_no_more_each() -> None:
    """With all that may be looked at for each: a predecessor, and lists for each image."""

    def seconds(count: int) -> float:
        story = Story(maximum_slices=10_000)
        story.slices(heights(20))
        story.released()
        headers = [header(z, 2) for z in heights(count, start_mm=30)]
        begin = time.thread_time()
        for n, one in enumerate(headers):
            story.object(one, association=str(n))
            story.asked(one)
            story.released(str(n))
        elapsed = time.thread_time() - begin
        assert len(story.ready) == 1
        return elapsed

    seconds(100)
    few = min(seconds(500) for _ in range(3))
    assert seconds(4000) < 8 * few * 4  # quadratic would be 64 times


def test_the_order_of_frames_is_that_of_the_pixels(tmp_path: Path) -> None:
    """From bytes to voxels: a series of two enhanced objects."""
    story = Story()
    paths: list[Path] = []
    for heights_mm in ((5, 2, 3), (4, 1)):
        part = enhanced([ct_slice(n, SliceThickness=3) for n in heights_mm])
        paths.append(tmp_path / f"{len(paths)}.dcm")
        paths[-1].write_bytes(part10(part))
        story.object(read_header(paths[-1]))
    story.released()
    (ready,) = story.ready
    assert (ready.completeness, ready.slices) == ("final", 5)
    assert ready.stack is not None
    assert ready.stack.order == (4, 1, 2, 3, 0)
    volume = read_volume(paths)
    assert volume.array[:, 0, 0].tolist() == [n - 1024 for n in range(1, 6)]
    assert volume.origin_lps_mm.tolist() == ready.stack.origin_lps_mm.tolist()
