"""A simulated procedure, measured: the ice, the margins, and when there is no number."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
from numpy.typing import NDArray

from dicom_listener.pixels import read_volume
from monitor.structures import read_structure_set
from segmentation.assessment import Assessed, NotAssessable, Reference, assess, prepare
from segmentation.layout import Known, Numbered
from segmentation.rigid import Rigid
from segmentation.sampling import resample
from segmentation.structures import Structure
from segmentation.volume import Volume
from tests.quick_case import QuickCase, Scan


@dataclass(frozen=True, eq=False)
class Measured:
    """The quick case in memory."""

    planning: Volume
    baseline: Volume
    structures: tuple[Structure, ...]
    reference: Reference
    scans: list[tuple[Scan, Volume]]


@pytest.fixture(scope="module")
def case(quick: QuickCase) -> Measured:
    contoured = read_structure_set(
        next(quick.structures.glob("*.dcm")), tumour_pattern="(?i)tumou?r", hilum_pattern="(?i)hil"
    ).structures
    structures = tuple(one.solid() for one in contoured)
    planning = read_volume(quick.planning.files)
    baseline = read_volume(quick.baseline.files)
    return Measured(
        planning=planning,
        baseline=baseline,
        structures=structures,
        reference=prepare(planning, baseline, structures),
        scans=[(scan, read_volume(scan.files)) for scan in quick.monitoring],
    )


def dice(found: Assessed, volume: Volume, truth: NDArray[np.bool_]) -> float:
    mask = resample(found.ice.surface.field, volume, outside=-3.0).array > 0
    return float(2 * (mask & truth).sum() / (mask.sum() + truth.sum()))


def test_ice_and_margins_agree_with_the_truth(case: Measured) -> None:
    for scan, volume in case.scans:
        found = assess(volume, case.reference)
        assert dice(found, volume, scan.ice()) > 0.88
        assert scan.margin_mm is not None
        assert scan.hilum_distance_mm is not None
        assert found.margin.margin_mm.value == pytest.approx(scan.margin_mm, abs=1.5)
        hilum = next(c for c in found.clearances if c.structure.kind == "hilum")
        assert hilum.distance_mm.value == pytest.approx(scan.hilum_distance_mm, abs=3.0)


def test_both_probes_are_found_once(case: Measured) -> None:
    assert len(case.reference.probes) == 2
    first, second = case.reference.probes
    assert float(first.direction @ second.direction) > 0.98
    assert np.linalg.norm(first.tip_lps_mm - second.tip_lps_mm) == pytest.approx(13, abs=3)


def test_the_same_scan_gives_the_same_numbers(case: Measured) -> None:
    _, volume = case.scans[-1]
    one, two = assess(volume, case.reference), assess(volume, case.reference)
    assert one.margin.margin_mm == two.margin.margin_mm
    assert np.array_equal(one.ice.surface.points_lps_mm, two.ice.surface.points_lps_mm)


def test_the_baseline_itself_has_no_ice(case: Measured) -> None:
    with pytest.raises(NotAssessable) as caught:
        assess(case.baseline, case.reference)
    assert caught.value.code == "no_ice"


@pytest.mark.parametrize("shift_mm", [(0, 0, 18), (-6, 5, -15), (12, -10, 0)])
def test_a_shifted_patient_frame_changes_nothing_but_the_place(
    case: Measured, shift_mm: tuple[float, float, float]
) -> None:
    """Where a scan starts in its own coordinates says nothing about the kidney."""
    _, volume = case.scans[-1]
    moved = Volume(
        volume.array,
        volume.origin_lps_mm + np.array(shift_mm),
        volume.direction,
        volume.spacing_mm,
    )
    here, there = assess(volume, case.reference), assess(moved, case.reference)
    assert there.margin.margin_mm.value == pytest.approx(here.margin.margin_mm.value, abs=0.6)
    gap = there.margin.worst_point_lps_mm - here.margin.worst_point_lps_mm - shift_mm
    assert np.linalg.norm(there.shift_mm - here.shift_mm - shift_mm) < 0.6
    assert np.linalg.norm(gap) < 6.0


def test_a_scan_of_something_else_is_refused(case: Measured) -> None:
    _, volume = case.scans[-1]
    noise = np.random.default_rng(3).normal(30, 60, volume.array.shape)
    strange = Volume(
        noise.astype(np.int16), volume.origin_lps_mm, volume.direction, volume.spacing_mm
    )
    with pytest.raises(NotAssessable) as caught:
        assess(strange, case.reference)
    assert caught.value.code == "registration_failed"


def test_a_scan_that_misses_the_kidney_is_refused(case: Measured) -> None:
    _, volume = case.scans[-1]
    far = Volume(
        volume.array,
        volume.origin_lps_mm + np.array([0, 0, 300.0]),
        volume.direction,
        volume.spacing_mm,
    )
    with pytest.raises(NotAssessable) as caught:
        assess(far, case.reference)
    assert caught.value.code == "registration_failed"


def test_a_scan_that_cuts_the_tumour_is_refused(case: Measured) -> None:
    _, volume = case.scans[-1]
    centre = case.reference.planning_to_baseline.transform.apply(
        case.reference.tumour.centre_lps_mm
    )
    k = int(np.rint(volume.to_index(centre)[2]))
    cut = volume.crop((0, 0, k), (512, 512, 999))
    with pytest.raises(NotAssessable) as caught:
        assess(cut, case.reference)
    assert caught.value.code in {"tumour_outside_scan", "registration_failed"}


def test_without_a_tumour_nothing_is_prepared(case: Measured) -> None:
    hilum = [s for s in case.structures if s.kind == "hilum"]
    with pytest.raises(NotAssessable) as caught:
        prepare(case.planning, case.baseline, hilum)
    assert caught.value.code == "no_tumour"


def test_contours_drawn_on_the_baseline_itself(case: Measured) -> None:
    reference = prepare(case.planning, case.planning, case.structures, same_scan=True)
    assert reference.planning_to_baseline.residual_mm == 0
    assert np.array_equal(reference.planning_to_baseline.transform.rotation, np.eye(3))


def test_rigid_transforms_compose_and_invert() -> None:
    angle = 0.3
    turn = Rigid(
        np.array(
            [[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]]
        ),
        np.array([1.0, 2.0, 3.0]),
    )
    point = np.array([[4.0, -5.0, 6.0]])
    assert turn.inverse().apply(turn.apply(point)) == pytest.approx(point)
    assert turn.after(turn).apply(point) == pytest.approx(turn.apply(turn.apply(point)))
    assert turn.angle_deg == pytest.approx(np.degrees(angle))


def test_a_scan_with_ice_is_no_baseline_unless_a_person_says_so(case: Measured) -> None:
    _, frozen = case.scans[0]
    with pytest.raises(NotAssessable) as caught:
        prepare(case.planning, frozen, case.structures)
    assert caught.value.code == "baseline_frozen"
    assert len(prepare(case.planning, frozen, case.structures, ice_allowed=True).probes) == 2


def test_a_probe_that_was_taken_away_is_found_in_no_scan(case: Measured) -> None:
    false, true = (placed.planned for placed in case.reference.placed)
    known = Known(numbered=(Numbered(1, false), Numbered(2, true)), removed=(false,))
    reference = prepare(case.planning, case.baseline, case.structures, known=known)
    assert [placed.number for placed in reference.placed] == [2]
    _, volume = case.scans[-1]
    found = assess(volume, reference)
    assert [probe.number for probe in found.probes] == [2]
    assert found.late == ()
    both = Known(removed=(false, true))
    reference = prepare(case.planning, case.baseline, case.structures, known=both)
    with pytest.raises(NotAssessable) as caught:
        assess(volume, reference)
    assert caught.value.code == "no_probes"


def test_probes_that_only_a_later_scan_shows_are_late(case: Measured) -> None:
    """The planning scan, which shows none, is the baseline here."""
    reference = prepare(case.planning, case.planning, case.structures, same_scan=True)
    assert reference.probes == ()
    _, volume = case.scans[0]
    found = assess(volume, reference)
    assert [placed.number for placed in found.late] == [1, 2]
    grown = replace(reference, ground=found.ground, placed=found.late)
    again = assess(volume, grown)
    assert again.late == ()
    assert again.margin.margin_mm == found.margin.margin_mm
