"""A scan's measurement, put right by a person."""

import numpy as np
import pytest

from dicom_listener.pixels import read_volume
from monitor.structures import read_structure_set
from segmentation.assessment import Assessed, NotAssessable, Reference, assess, prepare
from segmentation.correction import NUDGED_MM, Correction
from segmentation.moment import Moment
from segmentation.volume import Volume
from tests.quick_case import QuickCase


@pytest.fixture(scope="module")
def reference(quick: QuickCase) -> Reference:
    path = next(quick.structures.glob("*.dcm"))
    found = read_structure_set(path, tumour_pattern="(?i)tumou?r", hilum_pattern="(?i)hil")
    solids = tuple(one.solid() for one in found.structures)
    return prepare(read_volume(quick.planning.files), read_volume(quick.baseline.files), solids)


@pytest.fixture(scope="module")
def scan(quick: QuickCase) -> Volume:
    return read_volume(quick.monitoring[-1].files)


@pytest.fixture(scope="module")
def found(scan: Volume, reference: Reference) -> Assessed:
    return assess(scan, reference)


def test_a_nudge_moves_the_contours(scan: Volume, reference: Reference, found: Assessed) -> None:
    nudge = (0.8, -0.6, 0.5)
    nudged = assess(scan, reference, Moment(), Correction(nudge_lps_mm=nudge))
    assert nudged.shift_mm - found.shift_mm == pytest.approx(nudge)
    point = reference.tumour.centre_lps_mm
    moved = nudged.planning_to_scan.apply(point) - found.planning_to_scan.apply(point)
    assert moved == pytest.approx(nudge)
    # What was judged by eye is no more certain than an eye is.
    assert nudged.residual_mm >= NUDGED_MM
    width = nudged.margin.margin_mm.high - nudged.margin.margin_mm.low
    assert width >= 2 * 1.6 * NUDGED_MM


def test_a_nudge_and_back(scan: Volume, reference: Reference, found: Assessed) -> None:
    """No further than it was nudged: the same place, the same margin."""
    stayed = assess(scan, reference, Moment(), Correction(nudge_lps_mm=(0.0, 0.0, 0.0)))
    assert stayed.margin.margin_mm.value == pytest.approx(found.margin.margin_mm.value, abs=1e-6)


def test_where_registration_fails_a_nudge_takes_its_place(
    scan: Volume, reference: Reference, found: Assessed
) -> None:
    """Half of the kidney has gone from the picture: only a person can tell where it lay."""
    rng = np.random.default_rng(1)
    noise = rng.normal(0, 60, scan.array.shape).astype(np.float32)
    spoilt = Volume(scan.array + noise, scan.origin_lps_mm, scan.direction, scan.spacing_mm)
    far = spoilt.array.copy()
    far[:] = rng.permutation(far.reshape(-1)).reshape(far.shape)
    nothing = Volume(far, scan.origin_lps_mm, scan.direction, scan.spacing_mm)
    with pytest.raises(NotAssessable) as refused:
        assess(nothing, reference)
    assert refused.value.code == "registration_failed"
    x, y, z = (float(v) for v in found.shift_mm)
    correction = Correction(nudge_lps_mm=(x, y, z))
    with pytest.raises(NotAssessable) as refused:  # the contours have a place; there is no ice
        assess(nothing, reference, Moment(), correction)
    assert refused.value.code != "registration_failed"


def test_a_seed_in_the_ice_that_was_found_changes_little(
    scan: Volume, reference: Reference, found: Assessed
) -> None:
    index = found.ice.surface.points_lps_mm
    seed = index.mean(axis=0)
    seeded = assess(scan, reference, Moment(), Correction(seed_lps_mm=(seed[0], seed[1], seed[2])))
    assert seeded.ice.volume_ml == pytest.approx(found.ice.volume_ml, rel=0.15)


def test_ice_apart_from_the_probes_is_grown_from_its_seed(
    scan: Volume, reference: Reference, found: Assessed
) -> None:
    """A second ball that no found probe explains: not measured by itself, measured when seeded."""
    kidney = reference.patch.kidney
    voxels = np.argwhere(kidney.array > 0.5)[:, ::-1]
    points = kidney.to_lps(voxels) + found.shift_mm
    ice = found.ice.surface.points_lps_mm
    gaps = np.array([np.linalg.norm(ice - point, axis=1).min() for point in points[::50]])
    middle = points.mean(axis=0)
    depth = np.linalg.norm(points[::50] - middle, axis=1)
    centre = points[::50][np.argmax(np.where(gaps > 13.0, -depth, -np.inf))]
    index = np.indices(scan.array.shape)[::-1].reshape(3, -1).T
    inside = np.linalg.norm(scan.to_lps(index) - centre, axis=1) < 11.0
    assert inside.any()
    array = scan.array.copy()
    array.reshape(-1)[inside] = np.minimum(array.reshape(-1)[inside], -45)
    second = Volume(array, scan.origin_lps_mm, scan.direction, scan.spacing_mm)
    without = assess(second, reference)
    seed = (float(centre[0]), float(centre[1]), float(centre[2]))
    seeded = assess(second, reference, Moment(), Correction(seed_lps_mm=seed))
    assert seeded.ice.volume_ml > without.ice.volume_ml + 0.8
