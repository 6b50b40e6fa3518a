"""Registration on a phantom in known poses: how near, how sure, and never confidently wrong."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from segmentation.assessment import MAX_RESIDUAL_MM, MAX_ROTATION_DEG
from segmentation.kidney import kidney_region
from segmentation.registration import KidneyPatch, RegistrationError, kidney_patch, register
from segmentation.rigid import Rigid
from segmentation.volume import Volume
from tests.segmentation.kidney_phantom import (
    HILUM_LPS_MM,
    HILUM_RADIUS_MM,
    TUMOUR_LPS_MM,
    TUMOUR_RADIUS_MM,
    Shown,
    Taken,
    ball,
    draw,
    pose,
)

TUMOUR = ball(TUMOUR_LPS_MM, TUMOUR_RADIUS_MM)
HILUM = ball(HILUM_LPS_MM, HILUM_RADIUS_MM)
REST = Rigid.identity()
NEEDLES_IN = Shown(probes=True)
FAR = pose((9.0, -7.0, 15.0), (5.0, -4.0, 7.0))
"""19 mm and 9.5 degrees."""

FAST = Taken(1.8, 4.0, extent_mm=(160.0, 160.0, 160.0))


def error_mm(found: Rigid, true: Rigid) -> float:
    """Mean over the tumour."""
    return float(np.linalg.norm(found.apply(TUMOUR) - true.apply(TUMOUR), axis=1).mean())


def starts(count: int) -> list[Rigid]:
    """Shifts up to 20 mm and rotations up to 10 degrees in any direction."""
    rng = np.random.default_rng(11)
    found = []
    for _ in range(count):
        shift, axis = rng.normal(size=(2, 3))
        shift *= 20 * rng.uniform() ** (1 / 3) / np.linalg.norm(shift)
        axis *= rng.uniform(0, 10) / np.linalg.norm(axis)
        found.append(pose(tuple(shift), tuple(axis)))
    return found


def in_another_frame(scan: Volume, move: Rigid) -> Volume:
    """The same scan of a patient who lies elsewhere: only origin and orientation differ."""
    return Volume(
        scan.array, move.apply(scan.origin_lps_mm), move.rotation @ scan.direction, scan.spacing_mm
    )


@pytest.fixture(scope="module")
def planning() -> Volume:
    return draw(REST, Shown(), Taken())


@pytest.fixture(scope="module")
def kidney(planning: Volume) -> Volume:
    return kidney_region(planning, TUMOUR, HILUM)


@pytest.fixture(scope="module")
def patch(kidney: Volume) -> KidneyPatch:
    """Of the needles-in scan."""
    return kidney_patch(draw(REST, NEEDLES_IN, Taken()), kidney, REST, TUMOUR, HILUM)


CASES = {
    "as it was": (NEEDLES_IN, Taken()),
    "thick slices and noise": (replace(NEEDLES_IN, noise_hu=25), Taken(1.5, 5.0)),
    "thin slices, small view": (
        replace(NEEDLES_IN, noise_hu=25),
        Taken(0.9, 1.0, extent_mm=(130.0, 130.0, 140.0)),
    ),
    "rows and columns run the other way": (NEEDLES_IN, Taken().prone()),
    "contrast given": (replace(NEEDLES_IN, kidney_hu=135, tumour_hu=87), Taken()),
    "contrast excreted": (
        replace(NEEDLES_IN, kidney_hu=95, tumour_hu=70, urine_hu=350, ice_radius_mm=20),
        Taken(),
    ),
    "ice": (replace(NEEDLES_IN, ice_radius_mm=20), Taken()),
    "little drop": (replace(NEEDLES_IN, ice_radius_mm=22, drop_hu=60, noise_hu=20), Taken()),
    "gas and a haematoma": (replace(NEEDLES_IN, gas=True, haematoma=True), Taken()),
    "few slices": (
        replace(NEEDLES_IN, ice_radius_mm=18),
        Taken(centre_lps_mm=(0.0, 0.0, -5.0), extent_mm=(160.0, 160.0, 96.0)),
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_a_kidney_far_from_where_it_was(patch: KidneyPatch, case: str) -> None:
    shown, taken = CASES[case]
    found = register(patch, draw(FAR, shown, taken))
    error = error_mm(found.transform, FAR)
    assert error < 0.5
    assert error < 2 * found.residual_mm
    assert found.residual_mm < 1.0


@pytest.mark.parametrize("drop_hu", [85.0, 65.0])
def test_more_ice_than_kidney(patch: KidneyPatch, drop_hu: float) -> None:
    """Six tenths of the kidney are frozen; what is left still says where it lies."""
    shown = replace(NEEDLES_IN, ice_radius_mm=33, ice_depth=0.35, drop_hu=drop_hu)
    found = register(patch, draw(FAR, shown, Taken()))
    assert error_mm(found.transform, FAR) < 1.0
    assert error_mm(found.transform, FAR) < 2 * found.residual_mm


@pytest.mark.parametrize(
    "shown",
    [Shown(kidney_hu=155, tumour_hu=87), Shown(kidney_hu=95, tumour_hu=70, urine_hu=350)],
    ids=["enhanced by 120 HU", "excreted"],
)
def test_planning_with_contrast(shown: Shown) -> None:
    planning = draw(REST, shown, Taken(1.5, 2.5))
    kidney = kidney_region(planning, TUMOUR, HILUM)
    enhanced = kidney_patch(planning, kidney, REST, TUMOUR, HILUM)
    found = register(enhanced, draw(FAR, NEEDLES_IN, Taken()))
    assert error_mm(found.transform, FAR) < 0.5
    assert error_mm(found.transform, FAR) < 2 * found.residual_mm


def test_no_start_ends_in_a_confident_wrong_answer(patch: KidneyPatch) -> None:
    """The kidney moves, its surroundings do not; half of the scans with much ice."""
    right = 0
    moves = starts(16)
    for n, move in enumerate(moves):
        ice = replace(NEEDLES_IN, ice_radius_mm=0 if n % 2 else 26, ice_depth=0.2, seed=n)
        try:
            found = register(patch, draw(move, ice, FAST))
        except RegistrationError:
            continue
        error = error_mm(found.transform, move)
        assert error < 3 or found.residual_mm > MAX_RESIDUAL_MM
        right += error < 1
    assert right >= 0.95 * len(moves)


def test_any_orientation_of_the_scan(patch: KidneyPatch) -> None:
    """Turned frames: nothing is known but what the orientation vectors say."""
    scan = draw(REST, replace(NEEDLES_IN, ice_radius_mm=18, seed=2), Taken())
    for move in starts(20):
        found = register(patch, in_another_frame(scan, move))
        assert error_mm(found.transform, move) < 0.5


def test_axes_of_the_scan_in_another_order(patch: KidneyPatch) -> None:
    """A stack of coronal slices shows the same kidney."""
    scan = draw(FAR, replace(NEEDLES_IN, seed=3), Taken())
    swapped = Volume(
        scan.array.transpose(1, 0, 2).astype(np.int16),
        scan.origin_lps_mm,
        scan.direction[:, [0, 2, 1]],
        scan.spacing_mm[[0, 2, 1]],
    )
    assert error_mm(register(patch, swapped).transform, FAR) < 0.3


def test_the_same_twice(patch: KidneyPatch) -> None:
    scan = draw(FAR, replace(NEEDLES_IN, ice_radius_mm=20), Taken())
    one, two = register(patch, scan), register(patch, scan)
    assert np.array_equal(one.transform.rotation, two.transform.rotation)
    assert np.array_equal(one.transform.shift_mm, two.transform.shift_mm)
    assert one.residual_mm == two.residual_mm


def refused(patch: KidneyPatch, array: NDArray[np.int16], like: Volume) -> bool:
    """By registration itself or by what ``assess`` asks of it."""
    scan = Volume(array, like.origin_lps_mm, like.direction, like.spacing_mm)
    try:
        found = register(patch, scan)
    except RegistrationError:
        return True
    return found.residual_mm > MAX_RESIDUAL_MM or found.transform.angle_deg > MAX_ROTATION_DEG


def test_what_shows_no_such_kidney_is_refused(patch: KidneyPatch, planning: Volume) -> None:
    noise = np.random.default_rng(5).normal(20, 40, planning.array.shape).astype(np.int16)
    assert refused(patch, noise, planning)
    assert refused(patch, np.full_like(planning.array, 30), planning)
    assert refused(patch, np.full_like(planning.array, -1024), planning)
    assert refused(patch, planning.array[::-1].astype(np.int16), planning)  # head and feet swapped
    turned = in_another_frame(planning, pose((0, 0, 300), (0, 0, 0)))
    with pytest.raises(RegistrationError, match="does not show"):
        register(patch, turned)


def test_a_patch_needs_a_kidney(planning: Volume, kidney: Volume) -> None:
    nothing = Volume(
        np.zeros_like(kidney.array), kidney.origin_lps_mm, kidney.direction, kidney.spacing_mm
    )
    with pytest.raises(RegistrationError, match="No kidney"):
        kidney_patch(planning, nothing, REST, TUMOUR, HILUM)


def test_a_scan_that_ends_in_the_kidney_has_no_edge_there(kidney: Volume) -> None:
    """A step to air at the last slice would be the sharpest edge of all."""
    short = Taken(centre_lps_mm=(0.0, 0.0, -15.0), extent_mm=(160.0, 160.0, 75.0))
    patch = kidney_patch(draw(REST, NEEDLES_IN, short), kidney, REST, TUMOUR, HILUM)
    slopes = np.linalg.norm(patch.fine.jacobian[0][:, 3:], axis=1)
    assert slopes.max() < 100  # HU/mm
    move = pose((0.0, 0.0, 6.0), (0.0, 0.0, 0.0))
    found = register(patch, draw(move, replace(NEEDLES_IN, seed=4), short))
    assert error_mm(found.transform, move) < 0.3


def test_rigid_transforms_follow_each_other() -> None:
    quarter = Rigid(Rotation.from_euler("z", 90, degrees=True).as_matrix(), np.array([1.0, 0, 0]))
    assert quarter.apply([1.0, 0, 0]) == pytest.approx([1, 1, 0])
    assert quarter.after(quarter).apply([1.0, 0, 0]) == pytest.approx([0, 1, 0])
    assert quarter.inverse().apply([1.0, 1, 0]) == pytest.approx([1, 0, 0])
    assert quarter.angle_deg == pytest.approx(90)
    assert quarter.shift_at([0.0, 1, 0]) == pytest.approx([0, -1, 0])
