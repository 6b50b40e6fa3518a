"""Proposals on a block of fat with a kidney and a ball on its border."""

import numpy as np
import pytest
from numpy.typing import NDArray

from segmentation.proposal import Proposal, ProposalError, ellipsoid, grow
from segmentation.volume import Volume

SPACING = np.array([1.0, 1.0, 2.0])
CENTRE = np.array([40.0, 40.0, 40.0])
FAT_HU, KIDNEY_HU = -100.0, 35.0


def block(tumour_hu: float, radius_mm: float = 13.0) -> tuple[Volume, NDArray[np.bool_]]:
    """Kidney below y = 38 mm, fat above, a ball in the middle; noise of 10 HU."""
    k, j, i = np.indices((40, 80, 80))
    points = np.stack([i, j, k], axis=-1) * SPACING
    ball = np.linalg.norm(points - CENTRE, axis=-1) < radius_mm
    hu = np.where(points[..., 1] < 38, KIDNEY_HU, FAT_HU)
    hu[ball] = tumour_hu
    hu += np.random.default_rng(1).normal(0, 10, hu.shape)
    return Volume(hu.astype(np.int16), np.zeros(3), np.eye(3), SPACING), ball


def dice(found: Proposal, truth: NDArray[np.bool_]) -> float:
    return 2 * float((found.mask & truth).sum()) / float(found.mask.sum() + truth.sum())


@pytest.mark.parametrize("tumour_hu", [35, 42, 90, 5])
def test_a_ball_on_the_border_of_the_kidney(tumour_hu: float) -> None:
    scan, truth = block(tumour_hu)
    found = grow(scan, CENTRE + np.array([2, 1, -2]))
    assert dice(found, truth) > 0.85
    assert found.volume_ml == pytest.approx(found.mask.sum() * 0.002)


def test_radii_tell_the_size_where_the_image_does_not() -> None:
    scan, truth = block(35, radius_mm=9)
    assert dice(grow(scan, CENTRE, (9, 9, 9)), truth) > 0.85


def test_it_does_not_leak_into_the_kidney() -> None:
    scan, truth = block(35)
    assert grow(scan, CENTRE).volume_ml < 1.4 * float(truth.sum()) * 0.002


def test_what_hardly_differs_is_said() -> None:
    assert "hardly differs" in grow(block(36)[0], CENTRE).text
    assert "hardly differs" not in grow(block(100)[0], CENTRE).text


def test_an_ellipsoid_has_its_volume_and_axes() -> None:
    scan, _ = block(35)
    found = ellipsoid(scan, CENTRE, (10, 6, 8))
    assert found.volume_ml == pytest.approx(4 / 3 * np.pi * 10 * 6 * 8 / 1000, rel=0.03)
    k, j, i = np.argwhere(found.mask).T
    assert [int(np.ptp(axis)) for axis in (i, j, k)] == [20, 12, 8]


def test_it_follows_the_axes_of_a_turned_scan() -> None:
    """Rows run from left to right, slices from the head down."""
    scan, truth = block(90)
    turned = Volume(
        scan.array[::-1, :, ::-1],
        scan.to_lps([79, 0, 39]),
        np.diag([-1.0, 1.0, -1.0]),
        scan.spacing_mm,
    )
    found = grow(turned, CENTRE)
    assert dice(found, truth[::-1, :, ::-1]) > 0.85


@pytest.mark.parametrize(
    ("seed", "radii", "word"),
    [
        ((40, 70, 40), None, "soft tissue"),
        ((40, 40, 400), None, "outside"),
        ((np.nan, 40, 40), None, "coordinates"),
        ((40, 40), None, "coordinates"),
        ((40, 40, 40), (1, 10, 10), "Radii"),
        ((40, 40, 40), (np.inf, 10, 10), "Radii"),
        ((40, 40, 40), (10, 10, 1000), "Radii"),
    ],
)
def test_what_gives_no_proposal(
    seed: tuple[float, ...], radii: tuple[float, ...] | None, word: str
) -> None:
    with pytest.raises(ProposalError, match=word):
        grow(block(35)[0], seed, radii)
