"""A proposal for a tumour from one point in it: an ellipsoid that the image bears out, then grown.

Without contrast medium a renal tumour differs from its kidney by a few HU, less than either varies
from place to place, and a region that grows by limits alone leaks into the kidney. So an ellipsoid
is fitted first. Against fat its surface is seen plainly; towards the kidney a difference is
followed where it is large (region competition, Zhu and Yuille 1996). Without one a usual size and
roundness decide, or the radii that a person has given. Then the region grows to what the image
shows, within a few millimetres of it.

The result is a proposal: a person looks at it and corrects it before anything is measured by it.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage, optimize

from segmentation.sampling import grid_around, resample
from segmentation.volume import Volume

REACH_MM = 10.0
REACH_RADII = 2.2
"""How far from the seed is looked, in mm and in radii."""

STEP_MM = 2.0
SMOOTH_MM = 1.2

SEED_MM = 3.5
"""The first idea of the tumour's CT number is taken this near to the seed."""

SOFT_TISSUE_HU = (-20.0, 300.0)
FAT_HU = (-95.0, 25.0)
"""Mean and spread of perirenal fat."""

LEAST_SPREAD_HU = 8.0
"""The constants from here on were set on eleven simulated planning scans."""

ODDS_LIMIT = 1.0
"""No single voxel says more than this (natural logarithm of the odds): calcium, gas, a vessel."""

SAMPLE_MM3 = 200.0
"""Smoothed voxels nearer than this volume's side say the same."""

USUAL_RADIUS_MM = 13.0
RADIUS_SPREAD = 0.1
"""Of its natural logarithm. Tumours treated are 2.8 cm wide on average (EuRECA, 713 tumours)."""

HINT_SPREAD = 0.07
"""The same where a person has given radii."""

CENTRE_SPREAD = 0.15
"""A person clicks within so many radii of the middle."""

ROUNDNESS_SPREAD = 0.1
EDGES = (0.1, 0.06, 0.04)
"""Width of the ellipsoid's edge in the fit, in radii, round after round: a wide one finds its way,
a narrow one is not drawn inwards by fat."""

RIM = 2
RIM_ODDS = 0.5
"""Soft tissue within so many voxels of fat is rather taken in: the surface is drawn to where it can
be seen."""

DOUBT_HU = 18.0
"""Tumour and kidney each vary by so much from place to place: a difference of this size is believed
by half."""

GROW_MM = 2.0
"""The region grown may leave the ellipsoid by about this much per unit of odds."""

RADII_MM = (2.0, 45.0)
LEAST_VOLUME_ML = 0.1
LITTLE_CONTRAST_HU = 12.0

Mask = NDArray[np.bool_]
F64 = NDArray[np.float64]


class ProposalError(ValueError):
    """There is nothing to propose; the message is a sentence for people."""


@dataclass(frozen=True, eq=False)
class Proposal:
    """What is proposed.

    Attributes
    ----------
    mask
        [k, j, i] on the scan's grid.
    contrast_hu
        Tumour less the soft tissue round it; None for an ellipsoid that a person has given.
    """

    mask: Mask
    volume_ml: float
    contrast_hu: float | None

    @property
    def text(self) -> str:
        """A sentence for people."""
        size = f"{self.volume_ml:.1f} ml proposed."
        if self.contrast_hu is None:
            return size
        if abs(self.contrast_hu) < LITTLE_CONTRAST_HU:
            return f"{size} It hardly differs from the kidney: check the side towards it."
        return f"{size} Check its outline on every slice."


def ellipsoid(scan: Volume, centre_lps_mm: ArrayLike, radii_mm: ArrayLike) -> Proposal:
    """The voxels of an ellipsoid whose axes are those of the patient.

    Raises
    ------
    ProposalError
        The radii are none, or it does not lie within the scan.
    """
    radii = _checked_radii(radii_mm)
    centre = _checked_seed(scan, centre_lps_mm)
    mask = np.zeros(scan.array.shape, dtype=bool)
    window = _window(scan, centre, radii)
    points = _points(scan, window)
    mask[window] = (((points - centre) / radii) ** 2).sum(axis=-1) <= 1
    return _proposal(scan, mask, None)


def grow(scan: Volume, seed_lps_mm: ArrayLike, radii_mm: ArrayLike | None = None) -> Proposal:
    """The tumour round a point, as far as the image tells.

    Parameters
    ----------
    scan
        In HU.
    radii_mm
        About how large it is, where a person has said so.

    Raises
    ------
    ProposalError
        The point is outside the scan or not in soft tissue, or no region of a tumour's size is
        found round it.
    """
    seed = _checked_seed(scan, seed_lps_mm)
    hint = None if radii_mm is None else float(np.prod(_checked_radii(radii_mm)) ** (1 / 3))
    fit = _Fit(scan, seed, hint)
    mask = np.zeros(scan.array.shape, dtype=bool)
    window = _window(scan, fit.centre, fit.extent_mm + 2 * GROW_MM + scan.spacing_mm)
    mask[window] = fit.grown(scan, window)
    return _proposal(scan, mask, fit.tumour_hu - fit.other_hu)


class _Fit:
    """An ellipsoid |axes (x - centre)| < 1 that parts the tumour from what lies round it."""

    def __init__(self, scan: Volume, seed: F64, hint_mm: float | None) -> None:
        reach_mm = REACH_MM + REACH_RADII * (hint_mm or USUAL_RADIUS_MM)
        clipped = _clipped(scan.crop_around(seed, reach_mm + 4))
        grid = grid_around(scan, seed[None], reach_mm, STEP_MM)
        smooth = ndimage.gaussian_filter(resample(clipped, grid).array, SMOOTH_MM / STEP_MM)
        points = _points(grid, tuple(slice(0, n) for n in smooth.shape))
        near = ((points - seed) ** 2).sum(axis=-1) < reach_mm**2
        soft = (smooth > SOFT_TISSUE_HU[0]) & (smooth < SOFT_TISSUE_HU[1])
        self._rim: F64 = np.asarray(
            (soft & ndimage.binary_dilation(smooth < SOFT_TISSUE_HU[0], iterations=RIM))[near],
            dtype=np.float64,
        )
        self._deep: Mask = np.asarray(ndimage.binary_erosion(soft)[near], dtype=bool)
        self._points: F64 = points[near]
        self._hu: F64 = np.asarray(smooth[near], dtype=np.float64)
        self._seed = seed
        self._radius = hint_mm or USUAL_RADIUS_MM
        self._radius_spread = HINT_SPREAD if hint_mm is not None else RADIUS_SPREAD
        at_seed = self._hu[((self._points - seed) ** 2).sum(axis=-1) < SEED_MM**2]
        self.tumour_hu = self.other_hu = float(np.median(at_seed))
        self.spread_hu = LEAST_SPREAD_HU
        if not SOFT_TISSUE_HU[0] < self.tumour_hu < SOFT_TISSUE_HU[1]:
            raise ProposalError("This point is not in soft tissue; choose one inside the tumour.")
        self.centre, self.axes = seed, np.eye(3) / (hint_mm or USUAL_RADIUS_MM)
        self._learn()
        for edge in EDGES:
            self._improve(edge)
            self._learn()

    @property
    def extent_mm(self) -> F64:
        """(3,): half the size of the box round it."""
        return np.asarray(np.linalg.norm(np.linalg.inv(self.axes), axis=1), dtype=np.float64)

    def depth(self, points: F64) -> NDArray[np.float64]:
        """(...,): 1 in the middle, 0 on the surface, negative outside."""
        return np.asarray(1 - np.linalg.norm((points - self.centre) @ self.axes, axis=-1))

    def odds(self, hu: F64) -> F64:
        """Logarithm of how much likelier each CT number is in the tumour than beside it.

        Halfway to fat it changes its sign, so that blurred edges pull neither way.
        """
        floor = min(self.tumour_hu, self.other_hu) - self.spread_hu
        soft = np.clip(hu, floor, None)
        tumour = ((soft - self.tumour_hu) / self.spread_hu) ** 2
        other = ((soft - self.other_hu) / self.spread_hu) ** 2
        odds = np.clip((other - tumour) / 2, -ODDS_LIMIT, ODDS_LIMIT)
        middle = (self.tumour_hu + FAT_HU[0]) / 2
        fat = np.clip((middle - hu) / FAT_HU[1], 0, 1)
        return np.asarray(np.where(hu < middle, -ODDS_LIMIT * fat, odds), dtype=np.float64)

    def _learn(self) -> None:
        """CT numbers inside and just outside, from the ellipsoid as it is."""
        depth = self.depth(self._points)
        inside, beside = self._deep & (depth > 0), self._deep & (depth < -0.2) & (depth > -0.7)
        if inside.sum() > 20:
            values = self._hu[inside]
            self.tumour_hu = float(np.median(values))
            deviation = 1.48 * float(np.median(np.abs(values - self.tumour_hu)))
            self.spread_hu = max(deviation, LEAST_SPREAD_HU)
        seen = float(np.median(self._hu[beside])) if beside.sum() > 50 else self.tumour_hu
        contrast = self.tumour_hu - seen
        believed = contrast**4 / (contrast**4 + DOUBT_HU**4)
        self.other_hu = self.tumour_hu - believed * contrast

    def _improve(self, edge: float) -> None:
        weighted = (self.odds(self._hu) + RIM_ODDS * self._rim) * (STEP_MM**3 / SAMPLE_MM3)

        def cost(values: F64) -> tuple[float, F64]:
            centre, axes = values[:3] * self._radius, _symmetric(values[3:]) / self._radius
            offset = self._points - self._seed - centre
            turned = offset @ axes
            norm = np.maximum(np.linalg.norm(turned, axis=1), 1e-6)
            share = 1 / (1 + np.exp(np.clip((norm - 1) / edge, -40, 40)))
            pull = weighted * share * (1 - share) / edge / norm
            along = turned.T @ (pull[:, None] * offset)
            prior, slope = self._prior(values)
            into_axes = along + along.T - np.diag(np.diag(along))
            gradient = np.concatenate(
                [-(pull @ turned) @ axes * self._radius, _packed(into_axes) / self._radius]
            )
            return prior - float(weighted @ share), gradient + slope

        start = np.concatenate(
            [(self.centre - self._seed) / self._radius, _packed(self.axes * self._radius)]
        )
        found = optimize.minimize(
            cost, start, jac=True, method="L-BFGS-B", options={"maxiter": 40, "ftol": 1e-5}
        ).x
        self.centre = self._seed + found[:3] * self._radius
        self.axes = _symmetric(found[3:]) / self._radius
        radii = 1 / np.abs(np.linalg.eigvalsh(self.axes))
        if not (RADII_MM[0] < radii.min() and radii.max() < RADII_MM[1]):
            raise ProposalError("No region of a tumour's size is found round this point.")

    def _prior(self, values: F64) -> tuple[float, F64]:
        """What is usual of place, size and shape; with its gradient."""
        slope = np.zeros_like(values)
        centre, axes = values[:3], _symmetric(values[3:])
        mean = max(float(np.trace(axes)) / 3, 1e-3)
        size = -np.log(mean) / self._radius_spread
        bent = axes / mean - np.eye(3)
        slope[:3] = centre / CENTRE_SPREAD**2
        flat = bent / ROUNDNESS_SPREAD**2
        by_mean = -size / self._radius_spread / mean - float((flat * axes).sum()) / mean**2
        whole = flat / mean + np.eye(3) * by_mean / 3
        slope[3:] = _packed(whole + whole.T - np.diag(np.diag(whole)))
        cost = (centre @ centre) / CENTRE_SPREAD**2 + size**2 + (bent * flat).sum()
        return float(cost) / 2, slope

    def grown(self, scan: Volume, window: tuple[slice, ...]) -> Mask:
        """The region on the scan's own voxels within a window."""
        part = np.clip(scan.array[window], -200, 500).astype(np.float32)
        sigma = SMOOTH_MM / scan.spacing_mm[::-1]
        hu = ndimage.gaussian_filter(part, np.where(sigma > 0.4, sigma, 0))
        mean_mm = float(np.linalg.det(self.axes)) ** (-1 / 3)
        depth_mm = self.depth(_points(scan, window)) * mean_mm
        region = depth_mm / GROW_MM + self.odds(np.asarray(hu, dtype=np.float64)) > 0
        region &= (hu > (self.tumour_hu + FAT_HU[0]) / 2) & (depth_mm > -2 * GROW_MM)
        return _tidied(region, scan.spacing_mm)


def _tidied(region: Mask, spacing_mm: F64) -> Mask:
    """One piece without threads and holes, its edge smoothed."""
    sigma = 1.0 / spacing_mm[::-1]
    smooth = ndimage.gaussian_filter(region.astype(np.float32), np.where(sigma > 0.3, sigma, 0))
    labels, count = ndimage.label(smooth > 0.5)
    if count == 0:
        return np.zeros(region.shape, dtype=bool)
    largest = int(np.argmax(np.bincount(labels.ravel())[1:])) + 1
    return np.asarray(ndimage.binary_fill_holes(labels == largest), dtype=bool)


def _symmetric(packed: F64) -> F64:
    a, b, c, d, e, f = packed
    return np.array([[a, d, e], [d, b, f], [e, f, c]])


def _packed(matrix: F64) -> F64:
    m = matrix
    return np.array([m[0, 0], m[1, 1], m[2, 2], m[0, 1], m[0, 2], m[1, 2]])


def _checked_seed(scan: Volume, seed: ArrayLike) -> F64:
    point = np.asarray(seed, dtype=np.float64)
    if point.shape != (3,) or not np.isfinite(point).all():
        raise ProposalError("The point has no three coordinates.")
    index = scan.to_index(point)
    if (index < -0.5).any() or (index > np.array(scan.array.shape[::-1]) - 0.5).any():
        raise ProposalError("This point is outside the scan.")
    return point


def _checked_radii(radii_mm: ArrayLike) -> F64:
    radii = np.asarray(radii_mm, dtype=np.float64)
    whole = radii.shape == (3,) and bool(np.isfinite(radii).all())
    if not whole or radii.min() < RADII_MM[0] or radii.max() > RADII_MM[1]:
        least, greatest = RADII_MM
        raise ProposalError(f"Radii must be from {least:.0f} to {greatest:.0f} mm.")
    return radii


def _window(scan: Volume, centre: F64, half_mm: F64) -> tuple[slice, ...]:
    """The voxels within a box of the patient's axes, as slices [k, j, i]."""
    corners = centre + half_mm * np.array(
        [[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)]
    )
    index = scan.to_index(corners)
    size = np.array(scan.array.shape[::-1])
    low = np.clip(np.floor(index.min(axis=0)).astype(int), 0, size - 1)
    high = np.clip(np.ceil(index.max(axis=0)).astype(int) + 1, low + 1, size)
    return tuple(slice(int(a), int(b)) for a, b in zip(low[::-1], high[::-1], strict=True))


def _points(grid: Volume, window: tuple[slice, ...]) -> F64:
    """(k, j, i, 3): LPS mm of a window's voxels."""
    k, j, i = (np.arange(s.start, s.stop) for s in window)
    index = np.stack(np.meshgrid(k, j, i, indexing="ij")[::-1], axis=-1)
    return grid.to_lps(index)


def _clipped(part: Volume) -> Volume:
    array = np.clip(part.array, -200, 500).astype(np.float32)
    return Volume(array, part.origin_lps_mm, part.direction, part.spacing_mm)


def _proposal(scan: Volume, mask: Mask, contrast_hu: float | None) -> Proposal:
    volume_ml = float(mask.sum()) * float(np.prod(scan.spacing_mm)) / 1000
    if volume_ml < LEAST_VOLUME_ML:
        raise ProposalError("No region of a tumour's size is found round this point.")
    return Proposal(mask, volume_ml, contrast_hu)
