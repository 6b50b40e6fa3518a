"""Least squares that brings one image of the kidney onto another, and says how well they agree.

Inverse-compositional (Baker and Matthews 2004) with Tukey's weights. Contrast medium changes each
tissue by its own amount, so that the scan is the reference plus one unknown number of HU for each
tissue, found together with the motion. Ice, moving gas and whatever else has changed are outliers
and lose their weight.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial.transform import Rotation

from segmentation.rigid import Rigid
from segmentation.sampling import sample
from segmentation.volume import Volume

TUKEY = 4.685
"""Tukey's biweight at 95 % efficiency; differences beyond this many robust sigmas weigh nothing."""

LEAST_SIGMA_HU = 8.0
MOST_SIGMA_HU = 11.0
"""Smoothed noise is less even at 25 HU a voxel, and ice must stay beyond Tukey's limit."""

AGREEING_PART = 0.35
AGREEING_SIGMAS = 0.4538
"""The robust sigma is taken from the smallest 35 % of differences, which for normal ones are those
below 0.4538 sigma: ice may well fill half of what is compared."""

LEAST_OFF_MM = 0.3
COOLING = 0.7
"""How far off an edge may be and still be believed falls by this factor an iteration, down to the
least: far from the solution every edge is an outlier, and without them there is nothing to pull
(graduated non-convexity, Blake and Zisserman 1987). Ice is an outlier from the start, since
it shows where there are no edges."""

MODE_BIN_HU = 5.0
MODE_SIGMA_HU = 12.0
LEAST_MODE = 0.25
"""A tissue's change is the brightest frequent one, at least this often as the most frequent: what
has frozen is darker than what has not."""

STIFFNESS = 1e-4
"""Weight, as a share of the points, with which a tissue's change is kept small."""

HELD = 1e3
CONVERGED_MM = 0.01
DAMPING = 1e-6
LEAST_IN_OCTANT = 40.0
"""Less weight than this says nothing about an eighth of the kidney."""

LEAST_RESIDUAL_MM = 0.1
"""No registration on this grid is better."""

AGREES = 0.2
"""A point with more weight than this shows the same in both images."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Level:
    """One resolution of the reference, with all that does not depend on the scan.

    Attributes
    ----------
    points_lps_mm
        (N, 3).
    values
        (N,) HU.
    tissues
        (N, T): each tissue's share of a point, blurred as the image is.
    jacobian
        (1 + T, N, 6): how the values, then each tissue's share, change with rotation (rad, about
        the centre, LPS axes) and shift (mm).
    centre_lps_mm
        (3,): the points' mean, about which rotations are counted.
    """

    points_lps_mm: Floats
    values: Floats
    tissues: Floats
    jacobian: Floats
    centre_lps_mm: Floats

    @classmethod
    def of(
        cls,
        image: Volume,
        tissues: list[NDArray[np.float32]],
        mask: NDArray[np.bool_],
    ) -> "Level":
        """From an image, the tissues' shares on its grid and what of it is used."""
        k, j, i = np.nonzero(mask)
        points = image.to_lps(np.stack([i, j, k], axis=1))
        centre = points.mean(axis=0)
        offset = points - centre
        parts = []
        for field in (image.array, *tissues):
            slopes: list[NDArray[np.float32]] = list(np.gradient(field, *image.spacing_mm[::-1]))
            along = [s[mask] for s in slopes]
            # Slopes per array axis (k, j, i) become slopes in LPS.
            slope = np.stack(along[::-1], axis=1) @ image.direction.T
            parts.append(np.concatenate([np.cross(offset, slope), slope], axis=1))
        return cls(
            points_lps_mm=points,
            values=image.array[mask].astype(np.float64),
            tissues=np.stack([t[mask] for t in tissues], axis=1).astype(np.float64),
            jacobian=np.stack(parts).astype(np.float64),
            centre_lps_mm=centre,
        )


@dataclass(frozen=True, eq=False)
class Aligned:
    """What least squares came to.

    Attributes
    ----------
    transform
        Takes the reference's frame to the scan's.
    added_hu
        (T,): what each tissue has gained since.
    correlation
        Of the images where they agree.
    agreeing
        Share of the points that do.
    residual_mm
        Estimated error, one standard deviation.
    """

    transform: Rigid
    added_hu: Floats
    correlation: float
    agreeing: float
    residual_mm: float


def align(
    level: Level,
    moving: Volume,
    start: Rigid,
    added_hu: Floats | None = None,
    *,
    iterations: int,
    off_mm: float,
    changed: bool = True,
) -> Aligned:
    """Bring the level onto the moving image from a start nearby.

    Parameters
    ----------
    added_hu
        What each tissue is thought to have gained; none where nothing is known.
    off_mm
        How far off the start may be.
    changed
        False: tissues keep their HU. Where most of the kidney is ice, ice would pass for a change.
    """
    transform = start
    reach_mm = float(np.sqrt(((level.points_lps_mm - level.centre_lps_mm) ** 2).sum(axis=1).mean()))
    if added_hu is not None:
        added = added_hu
    elif changed:
        added = _first_guess(level, _seen(level, moving, start))
    else:
        added = np.zeros(level.tissues.shape[1])
    stiffness = (STIFFNESS if changed else HELD) * len(level.values)
    motions = 6
    for _ in range(iterations):
        seen = _seen(level, moving, transform)
        slopes = np.tensordot(np.concatenate([[1.0], added]), level.jacobian, axes=1)
        difference, weight = _compare(level, seen, added, slopes, off_mm)
        columns = np.concatenate([slopes, level.tissues], axis=1)
        prior = np.concatenate([np.zeros(motions), np.full(len(added), stiffness)])
        wanted = np.concatenate([np.zeros(motions), -added])
        found = _least_squares(columns, difference, weight, prior, wanted)
        step, added = found[:motions], added + found[motions:]
        transform = transform.after(_motion(step, level.centre_lps_mm).inverse())
        moved = np.hypot(np.linalg.norm(step[:3]) * reach_mm, np.linalg.norm(step[3:]))
        if moved < CONVERGED_MM and off_mm == 0:
            break
        off_mm = off_mm * COOLING if off_mm * COOLING > LEAST_OFF_MM else 0.0
    seen = _seen(level, moving, transform)
    slopes = np.tensordot(np.concatenate([[1.0], added]), level.jacobian, axes=1)
    difference, weight = _compare(level, seen, added, slopes, 0.0)
    model = level.values + level.tissues @ added
    return Aligned(
        transform=transform,
        added_hu=added,
        correlation=_correlation(model, np.where(weight > 0, seen, 0.0), weight),
        agreeing=float((weight > AGREES).mean()),
        residual_mm=_residual_mm(level, slopes[:, 3:], difference, weight),
    )


def _seen(level: Level, moving: Volume, transform: Rigid) -> Floats:
    """(N,) the scan's HU at the level's points; not a number outside of it."""
    values = sample(moving, transform.apply(level.points_lps_mm), outside=np.nan)
    return values.astype(np.float64)


def _first_guess(level: Level, seen: Floats) -> Floats:
    """(T,) where a tissue is nearly alone; later tissues lie within earlier ones."""
    added = np.zeros(level.tissues.shape[1])
    known = np.isfinite(seen)
    for n in range(len(added)):
        alone = known & (level.tissues[:, n] > 0.8)
        if n + 1 < len(added):
            alone &= (level.tissues[:, n + 1 :] < 0.2).all(axis=1)
        if alone.sum() >= LEAST_IN_OCTANT:
            rest = (seen - level.values - level.tissues @ added)[alone]
            added[n] = _brightest_mode(rest) if n else np.median(rest)
    return added


def _brightest_mode(values: Floats) -> float:
    edges = np.arange(-400.0, 500.0, MODE_BIN_HU)
    counts = np.histogram(values, edges)[0].astype(np.float64)
    smooth = ndimage.gaussian_filter1d(counts, MODE_SIGMA_HU / MODE_BIN_HU)
    inner = smooth[1:-1]
    peaks = (inner >= smooth[:-2]) & (inner > smooth[2:]) & (inner >= LEAST_MODE * smooth.max())
    highest = int(np.flatnonzero(peaks).max(initial=-1)) + 1
    if highest == 0:
        return float(np.median(values))
    return float(edges[highest] + MODE_BIN_HU / 2)


def _compare(
    level: Level, seen: Floats, added: Floats, slopes: Floats, off_mm: float
) -> tuple[Floats, Floats]:
    """(N,) difference, 0 where nothing is seen, and Tukey's weight.

    What a difference may be grows with how steep the image is there and how far off it may lie.
    """
    known = np.isfinite(seen)
    difference = np.where(known, seen, 0.0) - level.values - level.tissues @ added
    if not known.any():
        return np.zeros_like(difference), np.zeros_like(difference)
    steep = np.sqrt((slopes[:, 3:] ** 2).sum(axis=1))
    allowed = np.sqrt(1 + (steep * off_mm / LEAST_SIGMA_HU) ** 2)
    normed = difference / allowed
    usual = float(np.quantile(np.abs(normed[known]), AGREEING_PART))
    sigma = float(np.clip(usual / AGREEING_SIGMAS, LEAST_SIGMA_HU, MOST_SIGMA_HU))
    share = np.clip(normed / (TUKEY * sigma), -1, 1)
    weight = np.where(known, (1 - share**2) ** 2, 0.0)
    return np.where(known, difference, 0.0), weight


def _motion(step: Floats, centre: Floats) -> Rigid:
    rotation = Rotation.from_rotvec(step[:3]).as_matrix()
    return Rigid(rotation, step[3:6] + centre - rotation @ centre)


def _residual_mm(level: Level, slopes: Floats, difference: Floats, weight: Floats) -> float:
    """Estimated error from the shifts that eight octants of the kidney would still ask for.

    Were the registration exact and the kidney rigid, all would be zero but for noise. The root
    mean square over octants, over the root of their number, is the error of the whole; a quarter
    of it is added for what octants have in common.
    """
    octant = (level.points_lps_mm > level.centre_lps_mm) @ np.array([1, 2, 4])
    shifts = []
    for n in range(8):
        chosen = octant == n
        if weight[chosen].sum() < LEAST_IN_OCTANT:
            continue
        shifts.append(_least_squares(slopes[chosen], difference[chosen], weight[chosen]))
    if len(shifts) < 3:
        return float("inf")
    squares = (np.array(shifts) ** 2).sum(axis=1)
    rms = float(np.sqrt(squares.mean()))
    return rms / float(np.sqrt(len(shifts))) + rms / 2 + LEAST_RESIDUAL_MM


def _least_squares(
    columns: Floats,
    difference: Floats,
    weight: Floats,
    prior: Floats | None = None,
    wanted: Floats | None = None,
) -> Floats:
    """Weighted; ``prior`` is each unknown's own weight towards its ``wanted`` value."""
    weighted = columns * weight[:, None]
    normal = weighted.T @ columns
    right = weighted.T @ difference
    if prior is not None and wanted is not None:
        normal, right = normal + np.diag(prior), right + prior * wanted
    damping = DAMPING * np.diag(np.diag(normal)) + 1e-9 * np.eye(len(normal))
    return np.asarray(np.linalg.solve(normal + damping, right), np.float64)


def _correlation(x: Floats, y: Floats, weight: Floats) -> float:
    total = weight.sum()
    if total <= 0:
        return 0.0
    dx, dy = x - (weight @ x) / total, y - (weight @ y) / total
    size = float(np.sqrt((weight @ dx**2) * (weight @ dy**2)))
    return float(weight @ (dx * dy)) / size if size > 0 else 0.0
