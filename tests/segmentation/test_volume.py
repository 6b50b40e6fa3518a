"""A set of slices is a volume, or it is refused with the reason."""

from dataclasses import replace

import numpy as np
import pytest

from segmentation.volume import GeometryError, SlicePlane, assemble, check_stack

AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
PRONE = (-1.0, 0.0, 0.0, 0.0, -1.0, 0.0)


def planes(heights: list[float], orientation: tuple[float, ...] = AXIAL) -> list[SlicePlane]:
    a, b, c, d, e, f = orientation
    return [SlicePlane((-50.0, -40.0, z), (a, b, c, d, e, f), (0.7, 0.8), 4, 6) for z in heights]


def test_order_spacing_and_place_come_from_positions() -> None:
    stack = check_stack(planes([10.0, 2.5, 7.5, 5.0, 0.0]))
    assert stack.order == (4, 1, 3, 2, 0)
    assert stack.spacing_mm == pytest.approx([0.8, 0.7, 2.5])
    assert stack.origin_lps_mm == pytest.approx([-50, -40, 0])
    assert stack.extent_mm == pytest.approx((0, 10))


def test_prone_is_read_from_the_orientation() -> None:
    stack = check_stack(planes([0.0, 3.0, 6.0, 9.0], PRONE))
    volume = assemble(stack, [np.full((4, 6), n, dtype=np.int16) for n in range(4)])
    # One column on is 0.8 mm to the patient's right, one row down 0.7 mm to anterior.
    assert volume.to_lps([1, 1, 1]) == pytest.approx([-50.8, -40.7, 3.0])
    assert volume.array[:, 0, 0].tolist() == [0, 1, 2, 3]


def test_index_and_patient_coordinates_are_inverse() -> None:
    stack = check_stack(planes([0.0, 3.0, 6.0, 9.0], PRONE))
    volume = assemble(stack, [np.zeros((4, 6), dtype=np.int16)] * 4)
    points = np.array([[-52.1, -41.3, 4.4], [-50.0, -40.0, 0.0]])
    assert volume.to_lps(volume.to_index(points)) == pytest.approx(points)


def test_crop_keeps_places() -> None:
    stack = check_stack(planes([0.0, 3.0, 6.0, 9.0]))
    values = [np.arange(24, dtype=np.int16).reshape(4, 6) + 100 * n for n in range(4)]
    volume = assemble(stack, values)
    part = volume.crop((2, 1, 1), (5, 3, 3))
    assert part.array.shape == (2, 2, 3)
    assert part.array[0, 0, 0] == 108
    assert part.origin_lps_mm == pytest.approx(volume.to_lps([2, 1, 1]))


@pytest.mark.parametrize(
    ("heights", "code"),
    [
        ([0.0, 2.5, 5.0], "too_few_slices"),
        ([0.0, 2.5, 5.0, 5.0, 7.5], "duplicate_position"),
        ([0.0, 2.5, 5.0, 10.0, 12.5], "missing_slices"),
        ([0.0, 2.5, 5.0, 8.0, 11.0], "uneven_spacing"),
    ],
)
def test_slices_that_are_no_volume(heights: list[float], code: str) -> None:
    with pytest.raises(GeometryError) as caught:
        check_stack(planes(heights))
    assert caught.value.code == code


def test_a_missing_slice_is_counted() -> None:
    with pytest.raises(GeometryError, match="2 slices are missing"):
        check_stack(planes([0.0, 3.0, 6.0, 15.0, 18.0, 21.0]))


def test_gantry_tilt_shows_in_the_positions_alone() -> None:
    tilted = [
        replace(plane, position=(-50.0, -40.0 + 0.5 * n, 2.0 * n))
        for n, plane in enumerate(planes([0.0, 2.0, 4.0, 6.0]))
    ]
    with pytest.raises(GeometryError, match=r"14\.0 degrees") as caught:
        check_stack(tilted)
    assert caught.value.code == "gantry_tilt"


def test_mixed_orientation_and_matrix_are_refused() -> None:
    good = planes([0.0, 2.0, 4.0, 6.0])
    with pytest.raises(GeometryError) as caught:
        check_stack([*good[:3], replace(good[3], orientation=PRONE)])
    assert caught.value.code == "mixed_orientation"
    with pytest.raises(GeometryError) as caught:
        check_stack([*good[:3], replace(good[3], rows=5)])
    assert caught.value.code == "mixed_matrix"


def test_direction_cosines_that_are_none() -> None:
    with pytest.raises(GeometryError) as caught:
        check_stack(planes([0.0, 2.0, 4.0, 6.0], (1.0, 0.0, 0.0, 0.5, 1.0, 0.0)))
    assert caught.value.code == "bad_orientation"


def test_jitter_of_scanners_is_not_uneven() -> None:
    heights = [2.5 * n + 0.001 * (-1) ** n for n in range(10)]
    assert check_stack(planes(heights)).spacing_mm[2] == pytest.approx(2.5, abs=1e-3)
