"""What a series is for, by its headers: every line of ``docs/roles.md``."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

import pytest

from dicom_listener.assembled import (
    Completeness,
    ObjectReady,
    SeriesObject,
    SeriesReady,
    kind_of,
)
from dicom_listener.headers import ObjectHeader
from dicom_listener.series import Reason
from monitor.decisions import CommandError, Decision, RoleChosen
from monitor.messages import Role
from monitor.reconstructions import is_metal_reduced, made_as, sharpness_of
from monitor.role_choices import RoleChoices
from monitor.roles import Chosen, Plan, Purpose, TwinRule, doubts_of, purposes, same_acquisition
from monitor.series_facts import SeriesFacts, facts_of
from monitor.series_record import SeriesRecord
from segmentation.volume import GeometryError, SlicePlane, check_stack
from tests.dicom_listener.objects import FRAME, START, at, header, heights
from tests.docs.tables import quoted, read

SCANNED: Final = timedelta(seconds=0.1)
"""From one slice to the next."""

CAPTURE: Final = "1.2.840.10008.5.1.4.1.1.7"
NO_PLAN: Final = Plan()
TUMOUR: Final = Plan("planning", FRAME, ((-20, -20, 20), (20, 20, 60)))


def scan(
    number: int,
    begin_s: float = 0.0,
    *,
    z_mm: Sequence[float] | None = None,
    step: timedelta = SCANNED,
    moments: Sequence[datetime] | None = None,
    **changes: Any,
) -> list[ObjectHeader]:
    """Headers of a series' slices, scanned from ``begin_s`` on."""
    places = heights(20) if z_mm is None else z_mm
    found = []
    for n, z in enumerate(places):
        moment = moments[n] if moments is not None else at(begin_s) + n * step
        one = header(z, number, name=f"{n}", series_number=number)
        plane = replace(one.planes[0], acquired=moment.isoformat())
        times = {"acquired_at": moment, "acquired_from": moment, "acquired_to": moment}
        given: dict[str, Any] = {"planes": (plane,), "slice_thickness_mm": 3.0}
        given |= times | changes
        found.append(replace(one, **given))
    return found


def facts(headers: Sequence[ObjectHeader]) -> SeriesFacts:
    """As of a series that is complete."""
    uid = headers[0].series_instance_uid
    objects = tuple(SeriesObject(one, Path(one.sop_instance_uid)) for one in headers)
    if kind_of(headers[0]) != "slice":
        return facts_of(uid, None, ObjectReady(kind_of(headers[0]), objects[0], START))
    stack, reason = None, None
    try:
        stack = check_stack([plane for one in headers for plane in one.planes])
    except GeometryError as error:
        reason = Reason(error.code, error.text)
    completeness: Completeness = "final" if stack is not None else "refused"
    return facts_of(
        uid, SeriesReady(uid, objects, stack, completeness, "quiet", reason, START, 1), None
    )


def of(
    *series: Sequence[ObjectHeader],
    plan: Plan = NO_PLAN,
    rule: TwinRule = "thin",
    chosen: dict[int, Role] | None = None,
) -> list[Purpose]:
    """What each of these is for; ``chosen`` by their place."""
    known = [facts(headers) for headers in series]
    said = {
        known[n].uid: Chosen(role, "console", place)
        for place, (n, role) in enumerate((chosen or {}).items(), start=1)
    }
    found = purposes(known, plan, rule, said)
    return [found[one.uid] for one in known]


def said(purpose: Purpose) -> str:
    """Its use, and the code of its reason."""
    return f"{purpose.use} {purpose.reason.code}" if purpose.reason is not None else purpose.use


ORIGINAL: Final = ("ORIGINAL", "PRIMARY", "AXIAL")
DERIVED: Final = ("DERIVED", "SECONDARY")
CORONAL: Final = (1.0, 0.0, 0.0, 0.0, 0.0, -1.0)


def coronal(number: int) -> list[ObjectHeader]:
    """A stack of coronal slices of the same block."""
    found = scan(number)
    for n, one in enumerate(found):
        plane = SlicePlane((0, 3.0 * n, 60), CORONAL, (1.0, 1.0), 16, 16, acquired=f"{n}")
        found[n] = replace(one, planes=(plane,))
    return found


def again(number: int, places: int, times: int) -> list[ObjectHeader]:
    """CT fluoroscopy: a few places, time after time."""
    z = [3.0 * n for _ in range(times) for n in range(places)]
    return scan(number, z_mm=z, step=timedelta(seconds=1))


BY_THEMSELVES: Final[dict[str, tuple[list[ObjectHeader], str]]] = {
    "a scan": (scan(1), "measured"),
    "a localizer": (
        scan(1, image_type=("ORIGINAL", "PRIMARY", "LOCALIZER")),
        "ignored localizer",
    ),
    "a dose report": (
        scan(1, modality="SR", sop_class_uid="1.2.840.10008.5.1.4.1.1.88.67", planes=()),
        "ignored dose_report",
    ),
    "a dose page": (
        scan(1, modality="CT", sop_class_uid=CAPTURE, planes=()),
        "ignored secondary_capture",
    ),
    "dose pages of many frames": (
        scan(1, modality="OT", sop_class_uid=f"{CAPTURE}.4", planes=()),
        "ignored secondary_capture",
    ),
    "a presentation state": (
        scan(1, modality="PR", sop_class_uid="1.2.840.10008.5.1.4.1.1.11.1", planes=()),
        "ignored no_ct",
    ),
    "contours": (
        scan(1, modality="RTSTRUCT", sop_class_uid="1.2.840.10008.5.1.4.1.1.481.3", planes=()),
        "none",
    ),
    "three slices": (scan(1, z_mm=heights(3)), "ignored too_few_slices"),
    "a MIP": (scan(1, image_type=(*DERIVED, "MIP")), "ignored projection"),
    "an iodine map": (scan(1, image_type=(*DERIVED, "AXIAL", "IODINE")), "ignored material_map"),
    "a coronal reformat": (coronal(1), "ignored reformatted"),
    "an axial reformat alone": (scan(1, image_type=(*DERIVED, "MPR")), "measured"),
    "a head": (scan(1, body_part="HEAD"), "ignored other_body_part"),
    "a chest, which may hold a kidney": (scan(1, body_part="CHEST"), "measured"),
    "fluoroscopy at one place": (again(1, 1, 6), "ignored fluoroscopy"),
    "fluoroscopy at three places": (again(1, 3, 5), "ignored fluoroscopy"),
    "fluoroscopy that says so": (
        scan(1, z_mm=heights(6), fluoroscopy=True),
        "ignored fluoroscopy",
    ),
    "a scan named after the biopsy": (scan(1, series_description="Biopsy planning"), "measured"),
    "a few slices for the biopsy": (
        scan(1, z_mm=heights(6), series_description="CARE Vision"),
        "ignored fluoroscopy",
    ),
    "the same scan twice in one series": (
        scan(1, z_mm=[*heights(20), *heights(20)], step=timedelta(seconds=5)),
        "unmeasurable several_acquisitions",
    ),
    "two scans on end, minutes apart": (
        scan(1, moments=[at(n * 0.1 + (240 if n > 9 else 0)) for n in range(20)]),
        "unmeasurable several_acquisitions",
    ),
    "steps over the table with breath-holds": (
        scan(1, moments=[at(n * 0.1 + (12 if n > 9 else 0)) for n in range(20)]),
        "measured",
    ),
    "a gap": (
        scan(1, z_mm=[*heights(10), *heights(10, start_mm=60)]),
        "unmeasurable missing_slices",
    ),
}


@pytest.mark.parametrize("case", BY_THEMSELVES)
def test_by_itself(case: str) -> None:
    headers, expected = BY_THEMSELVES[case]
    assert said(of(headers)[0]) == expected


def test_where_it_lies() -> None:
    """The tumour lies from 20 to 60 mm, the scans are of 57 mm from the place given on."""
    near = [of(scan(1, z_mm=heights(20, start_mm=z)), plan=TUMOUR)[0].use for z in (0, 119, -96)]
    assert near == ["measured"] * 3
    for z in (121, -98):
        assert said(of(scan(1, z_mm=heights(20, start_mm=z)), plan=TUMOUR)[0]) == (
            "ignored other_body_part"
        )
    elsewhere = scan(1, z_mm=heights(20, start_mm=900), frame_of_reference_uid="1.2.99")
    assert of(elsewhere, plan=TUMOUR)[0].use == "measured"  # the registration finds out


def test_a_series_of_which_nothing_is_known_yet() -> None:
    bare = facts_of("1.2", None, None)
    assert purposes([bare], NO_PLAN, "thin", {})["1.2"] == Purpose("none")


# Twins


SHARP: Final[dict[str, Any]] = {"convolution_kernel": "B60f"}
REDUCED: Final[dict[str, Any]] = {"series_description": "Abdomen iMAR"}


@pytest.mark.parametrize(
    ("first", "second", "used", "code"),
    [
        ({}, SHARP, 0, "sharp_kernel"),
        (SHARP, {}, 1, "sharp_kernel"),
        ({}, REDUCED, 0, "metal_artefact_reduction"),
        (REDUCED, {}, 1, "metal_artefact_reduction"),
        (REDUCED, SHARP, 1, "metal_artefact_reduction"),
        ({"slice_thickness_mm": 5.0}, {}, 1, "other_thickness"),
        ({"slice_thickness_mm": 1.0}, SHARP, 0, "sharp_kernel"),
        ({"slice_thickness_mm": 1.0} | SHARP, {}, 1, "sharp_kernel"),
        ({"image_type": (*DERIVED, "MPR")}, {}, 1, "reformatted"),
        ({}, {}, 0, "same_acquisition"),
        ({"convolution_kernel": "X7"}, {}, 1, "same_acquisition"),
    ],
)
def test_one_of_two_is_used(
    first: dict[str, Any], second: dict[str, Any], used: int, code: str
) -> None:
    found = of(scan(1, **first), scan(2, 0.05, **second))
    assert found[used] == Purpose("measured")
    other = found[1 - used]
    assert said(other) == f"ignored {code}"
    assert other.same_acquisition_as.endswith(f".5.{used + 1}")
    assert other.reason is not None
    assert f"series {used + 1}, which is used" in other.reason.text


@pytest.mark.parametrize(("rule", "used"), [("thin", 1), ("thick", 2), ("first", 0)])
def test_the_rule_of_twins(rule: TwinRule, used: int) -> None:
    thickness = (3.0, 1.0, 5.0)
    series = [scan(n + 1, slice_thickness_mm=t) for n, t in enumerate(thickness)]
    uses = [purpose.use for purpose in of(*series, rule=rule)]
    assert uses == ["measured" if n == used else "ignored" for n in range(3)]


def test_a_whole_twin_goes_before_a_broken_one() -> None:
    broken = scan(1, z_mm=[*heights(10), *heights(9, start_mm=33)])
    assert [p.use for p in of(broken, scan(2, **SHARP))] == ["ignored", "measured"]
    assert said(of(broken)[0]) == "unmeasurable missing_slices"


APART: Final[dict[str, tuple[list[ObjectHeader], list[ObjectHeader], bool]]] = {
    "the same times": (scan(1), scan(2), True),
    "within a second": (scan(1), scan(2, 2.8, convolution_kernel="B60f"), True),
    "within a second, and alike": (scan(1), scan(2, 2.8), False),
    "seconds later": (scan(1), scan(2, 4.0, convolution_kernel="B60f"), False),
    "no times": (
        scan(1, acquired_from=None, acquired_to=None),
        scan(2, acquired_from=None, acquired_to=None),
        False,
    ),
    "no times, one event": (
        scan(1, acquired_from=None, event_uids=("1.2.7",)),
        scan(2, event_uids=("1.2.7", "1.2.8")),
        True,
    ),
    "two events": (scan(1, event_uids=("1.2.7",)), scan(2, event_uids=("1.2.8",)), False),
    "another frame": (scan(1), scan(2, frame_of_reference_uid="1.2.9"), False),
    "another range": (scan(1), scan(2, z_mm=heights(20, start_mm=50)), False),
    "a part of the range": (scan(1), scan(2, z_mm=heights(8, start_mm=30)), True),
}


@pytest.mark.parametrize("case", APART)
def test_what_tells_one_acquisition(case: str) -> None:
    a, b, expected = APART[case]
    assert same_acquisition(facts(a), facts(b)) is expected
    assert same_acquisition(facts(b), facts(a)) is expected


def test_the_planning_scan_is_never_measured_nor_its_acquisition() -> None:
    plan = replace(NO_PLAN, series_uid=scan(1)[0].series_instance_uid)
    found = of(scan(2, slice_thickness_mm=1.0), scan(1), plan=plan)
    assert [said(p) for p in found] == ["ignored other_thickness", "planning"]


# People


def test_a_person_goes_before_the_rules() -> None:
    soft, sharp = scan(1), scan(2, **SHARP)
    uses = [said(p) for p in of(soft, sharp, chosen={1: Role.MONITORING})]
    assert uses == ["ignored same_acquisition", "monitoring"]
    assert [said(p) for p in of(soft, sharp, chosen={0: Role.IGNORED})] == [
        "ignored chosen",
        "measured",
    ]
    # The last word of a person holds, of one acquisition.
    both = {1: Role.MONITORING, 0: Role.MONITORING}
    assert [p.use for p in of(soft, sharp, chosen=both)] == ["monitoring", "ignored"]


def test_a_person_may_have_measured_what_the_rules_ignore() -> None:
    purpose = of(scan(1, body_part="HEAD"), chosen={0: Role.MONITORING})[0]
    assert purpose.use == "monitoring"
    known = facts(scan(1, body_part="HEAD"))
    (doubt,) = doubts_of(purpose, known, known)
    assert doubt.code == "other_body_part"
    assert "a person" in doubt.text


@pytest.mark.parametrize("case", ["a localizer", "a dose report", "a gap", "a dose page"])
def test_nobody_can_have_measured_what_is_no_volume(case: str) -> None:
    headers, expected = BY_THEMSELVES[case]
    assert said(of(headers, chosen={0: Role.MONITORING})[0]) == expected


def record(headers: Sequence[ObjectHeader]) -> SeriesRecord:
    found = SeriesRecord(headers[0].series_instance_uid, "", "CT")
    known = facts(headers)
    found._facts = (None, None, known)
    return found


def decision(uid: str, role: Any) -> tuple[Decision, RoleChosen]:
    what = RoleChosen(series_instance_uid=uid, role=role)
    return Decision(id=uid, procedure_id="p", at=START, by="console", what=what), what


def test_what_can_be_chosen() -> None:
    records = [
        record(scan(1)),
        record(scan(2, frame_of_reference_uid="1.2.9")),
        record(scan(3, image_type=("ORIGINAL", "PRIMARY", "LOCALIZER"))),
    ]
    series = {one.uid: one for one in records}
    planned, other, localizer = series
    choices = RoleChoices()
    for uid, role, code in (
        ("1.2.3", "ignored", "no_such_series"),
        (localizer, "monitoring", "not_a_volume"),
        (other, "planning", "other_frame"),
        (planned, "monitoring", "is_planning"),
        (planned, "baseline", "is_planning"),
    ):
        with pytest.raises(CommandError) as caught:
            choices.check(decision(uid, role)[1], series, planned)
        assert caught.value.code == code
    for uid, chosen in ((localizer, "ignored"), (localizer, None), (other, "baseline")):
        choices.check(decision(uid, chosen)[1], series, planned)


def test_choices_hold_before_the_series_comes_and_until_they_are_taken_back() -> None:
    one, another = record(scan(1)), record(scan(2, 300))
    choices = RoleChoices()
    choices.take(*decision(one.uid, "baseline"))
    series = {one.uid: one, another.uid: another}
    assert {r.uid for r, _ in choices.assign(series, "", ())} == set(series)
    assert (one.purpose.use, one.purpose.by) == ("baseline", "console")
    assert choices.assign(series, "", ()) == []
    choices.take(*decision(another.uid, "baseline"))  # there is one
    choices.assign(series, "", ())
    assert (one.purpose.use, another.purpose.use) == ("measured", "baseline")
    choices.take(*decision(another.uid, None))
    choices.assign(series, "", ())
    assert another.purpose == Purpose("measured")


def test_another_planning_scan() -> None:
    drawn_on, better = record(scan(1)), record(scan(2, 300))
    series = {drawn_on.uid: drawn_on, better.uid: better}
    choices = RoleChoices()
    choices.take(*decision(better.uid, "planning"))
    choices.assign(series, drawn_on.uid, ())
    assert (drawn_on.purpose.use, better.purpose.use) == ("measured", "planning")
    moved = record(scan(2, 300, frame_of_reference_uid="1.2.9"))
    assert choices.planning_uid({**series, moved.uid: moved}, drawn_on.uid) == drawn_on.uid


# Doubts


@pytest.mark.parametrize(
    ("of_scan", "of_baseline", "codes"),
    [
        ({}, {}, []),
        ({"slice_thickness_mm": 5.0}, {}, []),
        ({"convolution_kernel": "B20f"}, {}, []),
        (SHARP, {}, ["other_kernel"]),
        ({}, SHARP, ["other_kernel"]),
        (SHARP, SHARP, []),
        ({"convolution_kernel": ""}, {}, ["other_kernel"]),
        (REDUCED, {}, ["metal_artefact_reduction"]),
        (REDUCED, REDUCED, ["metal_artefact_reduction"]),
        ({"image_type": (*DERIVED, "MPR")}, {}, ["reformatted"]),
        ({"frame_of_reference_uid": "1.2.9"}, {}, ["other_frame"]),
    ],
)
def test_doubts(of_scan: dict[str, Any], of_baseline: dict[str, Any], codes: list[str]) -> None:
    found = doubts_of(Purpose("measured"), facts(scan(1, **of_scan)), facts(scan(2, **of_baseline)))
    assert [reason.code for reason in found] == codes


# Words


@pytest.mark.parametrize(
    ("kernels", "expected"),
    [
        (
            "B20f B30f B31s Br36 Br40d Bf44 Qr40 I30f J40s Br40d\\3 STANDARD SOFT B A FC03 FC18",
            "soft",
        ),
        ("B50f B60f B70s Br59 Bl57 I70f LUNG BONE BONEPLUS EDGE YA YB L D FC30 FC51 FC86", "sharp"),
        ("X7 K9 ??", "unknown"),
    ],
)
def test_kernels(kernels: str, expected: str) -> None:
    assert {sharpness_of(kernel) for kernel in kernels.split()} == {expected}
    assert sharpness_of("") == "unknown"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Abdomen iMAR", True),
        ("AXIAL O-MAR", True),
        ("SEMAR 1.0", True),
        ("Smart MAR", True),
        ("Body_MAR", True),
        ("MAR 1mm", True),
        ("Metal Artifact Reduction", True),
        ("12-MAR-2026", False),
        ("12 MAR", False),
        ("MAR 2026", False),
        ("MARGIN", False),
        ("SUMMARY", False),
        ("Omaria", False),
    ],
)
def test_metal_artefact_reduction(text: str, expected: bool) -> None:
    assert is_metal_reduced(header(0, series_description=text)) is expected


@pytest.mark.parametrize(
    ("image_type", "expected"),
    [
        (ORIGINAL, "plain"),
        ((*ORIGINAL, "CT_SOM5 SPI"), "plain"),
        ((*DERIVED, "AXIAL", "CT_SOM5 MPR"), "reformatted"),
        ((*DERIVED, "MPR"), "reformatted"),
        ((*DERIVED, "REFORMATTED", "AVERAGE"), "reformatted"),
        ((*DERIVED, "MPR", "MIP"), "projection"),
        ((*DERIVED, "PROJECTION IMAGE"), "projection"),
        ((*DERIVED, "AXIAL", "VNC"), "map"),
        (("MIP",), "plain"),
        ((), "plain"),
    ],
)
def test_image_types(image_type: tuple[str, ...], expected: str) -> None:
    assert made_as(header(0, image_type=image_type)) == expected


def test_the_page_names_every_code() -> None:
    """Each code that a series by itself, a twin or a doubt has is in docs/roles.md."""
    text = read("docs/roles.md")
    given = {expected.split()[-1] for _, expected in BY_THEMSELVES.values() if " " in expected}
    assert given - {"missing_slices"} <= set(quoted(text))
