"""Where a kidney may have gone: every shift within reach tried out, for one rotation at a time.

Masked normalised correlation (Padfield 2012), summed directly. Shifts of up to 24 mm in steps of
6 mm are few hundred, and a kidney on that grid is a thousand points, so that no Fourier transform
pays.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segmentation.rigid import Rigid
from segmentation.volume import Volume

STEP_VOXELS = 2
"""From one shift to the next; the coarse pass of least squares starts well from half of that."""

LEAST_SHARE = 0.6
"""At least this share of the points must lie in the scan for a shift to count."""


@dataclass(frozen=True, eq=False)
class Candidate:
    """A place for the kidney.

    Attributes
    ----------
    transform
        Takes the reference's frame to the scan's.
    correlation
        Of the two images there.
    """

    transform: Rigid
    correlation: float


def candidates(
    points_lps_mm: NDArray[np.float64],
    values: NDArray[np.float64],
    start: Rigid,
    moving: Volume,
    reach_mm: float,
    count: int,
) -> list[Candidate]:
    """The best shifts after ``start``, best first, none of them a neighbour of a better one.

    Parameters
    ----------
    points_lps_mm, values
        (N, 3) in the reference's frame and (N,) what is seen there.
    moving
        The scan, smoothed, on an even grid.
    reach_mm
        Largest shift.
    """
    step_mm = float(moving.spacing_mm[0]) * STEP_VOXELS
    most = int(reach_mm / step_mm)
    axis = np.arange(-most, most + 1)
    cube = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1).reshape(-1, 3)
    steps = cube[(cube**2).sum(axis=1) * step_mm**2 <= reach_mm**2]
    scores = _scores(points_lps_mm, values, start, moving, steps * STEP_VOXELS)
    found: list[Candidate] = []
    taken: list[NDArray[np.int64]] = []
    for n in np.argsort(-scores, kind="stable"):
        if len(found) == count or not np.isfinite(scores[n]):
            break
        if all(np.abs(steps[n] - other).max() > 1 for other in taken):
            taken.append(steps[n])
            shift = moving.direction @ (steps[n] * step_mm)
            transform = Rigid(start.rotation, start.shift_mm + shift)
            found.append(Candidate(transform, float(scores[n])))
    return found


def _scores(
    points: NDArray[np.float64],
    values: NDArray[np.float64],
    start: Rigid,
    moving: Volume,
    offsets: NDArray[np.int64],
) -> NDArray[np.float64]:
    """(S,) masked normalised correlation for (S, 3) shifts (i, j, k) in voxels."""
    index = np.rint(moving.to_index(start.apply(points))).astype(np.int64)
    reach = int(np.abs(offsets).max())
    size = np.array(moving.array.shape[::-1])
    before = np.maximum(reach - index.min(axis=0), 0)
    after = np.maximum(index.max(axis=0) + reach + 1 - size, 0)
    rim = list(zip(before[::-1].tolist(), after[::-1].tolist(), strict=True))
    padded = np.pad(moving.array, rim, constant_values=np.nan)
    index += before
    stride = np.array([1, padded.shape[2], padded.shape[1] * padded.shape[2]])
    seen = padded.ravel()[(offsets @ stride)[:, None] + index @ stride]
    known = np.isfinite(seen)
    fixed = (values - values.mean()).astype(np.float32)
    if known.all():
        seen -= seen.mean(axis=1, keepdims=True)
        size_seen = np.einsum("sn,sn->s", seen, seen)
        return np.asarray(
            (seen @ fixed) / np.sqrt(float(fixed @ fixed) * np.maximum(size_seen, 1e-6)), np.float64
        )
    share = known.astype(np.float32)
    seen = np.where(known, seen, np.float32(0))
    total = np.maximum(share.sum(axis=1), 1)
    mean_fixed, mean_seen = (share @ fixed) / total, seen.sum(axis=1) / total
    product = seen @ fixed - total * mean_fixed * mean_seen
    size_fixed = share @ fixed**2 - total * mean_fixed**2
    size_seen = np.einsum("sn,sn->s", seen, seen) - total * mean_seen**2
    scores = product / np.sqrt(np.maximum(size_fixed * size_seen, 1e-6))
    return np.where(total >= LEAST_SHARE * len(points), scores, -np.inf).astype(np.float64)
