"""Closed outlines on one plane: their loops, which of them are holes, and distances to them."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

F64 = NDArray[np.float64]
Loop = F64
"""(N, 2) corners, mm; the last is joined to the first."""

TOUCH_MM = 0.1
"""Corners nearer than this are one: where an outline touches itself, it is cut there. A keyhole, an
outline that goes in to a hole and back on the same way, so becomes an outline and a hole."""

LEAST_AREA_MM2 = 0.01
"""A loop with less than this is none."""

SAMPLES_PER_STEP = 2.0
"""Points on an outline, for each step of the lattice, by which the nearest edge is found."""

THREADS = 2


class Lattice(NamedTuple):
    """Points ``lower + step_mm * (i, j)`` with i < columns and j < rows."""

    lower: F64
    step_mm: float
    columns: int
    rows: int


def area(loop: Loop) -> float:
    """Signed area, mm^2: positive where it turns from the first axis to the second."""
    a = loop - loop[0]
    b = np.roll(a, -1, axis=0)
    return float((a[:, 0] * b[:, 1] - b[:, 0] * a[:, 1]).sum()) / 2


def moments(loop: Loop) -> tuple[float, F64, F64]:
    """Area, (2,) centroid and (2, 2) covariance of a loop's inside (Green's theorem)."""
    origin = loop.mean(axis=0)
    a = loop - origin
    b = np.roll(a, -1, axis=0)
    cross = a[:, 0] * b[:, 1] - b[:, 0] * a[:, 1]
    double = float(cross.sum())
    if abs(double) < 1e-9:
        return 1e-9, origin, np.eye(2) * 1e-9
    centre = cross @ (a + b) / (3 * double)
    pairs = (
        np.einsum("n,ni,nj->ij", cross, a, a)
        + np.einsum("n,ni,nj->ij", cross, b, b)
        + np.einsum("n,ni,nj->ij", cross, a + b, a + b)
    )
    return abs(double) / 2, origin + centre, pairs / (12 * double) - np.outer(centre, centre)


def loops_of(outline: Loop) -> list[Loop]:
    """The outline, cut where it touches itself; loops without area are left out."""
    found = []
    waiting = [outline]
    while waiting:
        loop = waiting.pop()
        cut = _touching(loop) if len(loop) > 3 else None
        if cut is not None:
            first, second = cut
            waiting += [loop[first:second], np.concatenate([loop[second:], loop[:first]])]
        elif len(loop) >= 3 and abs(area(loop)) >= LEAST_AREA_MM2:
            found.append(loop)
    return found


def _touching(loop: Loop) -> tuple[int, int] | None:
    """Two corners at one place that are not next to one another, those with the shortest way."""
    pairs = KDTree(loop).query_pairs(TOUCH_MM, output_type="ndarray")
    if not len(pairs):
        return None
    along = pairs[:, 1] - pairs[:, 0]
    way = np.minimum(along, len(loop) - along)
    apart = np.flatnonzero(way > 1)
    if not len(apart):
        return None
    first, second = pairs[apart[np.argmin(way[apart])]]
    return int(first), int(second)


def layers_of(loops: Sequence[Loop]) -> list[list[Loop]]:
    """The outermost loops, their holes, the islands in those, and so on, by exclusive-or.

    Loops that cross one another are all in the first layer: ``depth`` combines them by exclusive-or
    all the same.
    """
    around = np.zeros(len(loops), dtype=int)
    for n, inner in enumerate(loops):
        for m, outer in enumerate(loops):
            if n == m:
                continue
            within = holds(outer, inner)
            if within.all() and abs(area(outer)) > abs(area(inner)):
                around[n] += 1
            elif within.any() and not holds(inner, outer).all():
                return [list(loops)]
    deepest = int(around.max()) if len(loops) else -1
    return [
        [loop for loop, n in zip(loops, around, strict=True) if n == layer]
        for layer in range(deepest + 1)
    ]


def holds(loop: Loop, points: F64) -> NDArray[np.bool_]:
    """(N,): which of (N, 2) points lie inside one loop."""
    inside = np.zeros(len(points), dtype=bool)
    a, b = loop, np.roll(loop, -1, axis=0)
    for start in range(0, len(points), 1000):
        x, y = points[start : start + 1000].T[:, :, None]
        crosses = (a[:, 1] > y) != (b[:, 1] > y)
        rise = np.where(b[:, 1] == a[:, 1], 1.0, b[:, 1] - a[:, 1])
        left = x < a[:, 0] + (y - a[:, 1]) * (b[:, 0] - a[:, 0]) / rise
        inside[start : start + 1000] = (crosses & left).sum(axis=1) % 2 == 1
    return inside


def depth(lattice: Lattice, loops: Sequence[Loop]) -> F64:
    """[j, i]: distance of the lattice's points to the nearest edge, mm.

    Positive inside an odd number of loops, else negative.
    """
    start = np.concatenate(loops)
    end = np.concatenate([np.roll(loop, -1, axis=0) for loop in loops])
    inside = _parity(lattice, start, end)
    count = np.maximum(
        np.ceil(np.linalg.norm(end - start, axis=1) * SAMPLES_PER_STEP / lattice.step_mm), 1
    ).astype(int)
    of = np.repeat(np.arange(len(start)), count)
    place = np.arange(len(of)) - np.repeat(np.cumsum(count) - count, count)
    part = ((place + 0.5) / count[of])[:, None]
    samples = start[of] + part * (end - start)[of]
    j, i = np.indices((lattice.rows, lattice.columns))
    points = lattice.lower + lattice.step_mm * np.stack([i, j], axis=-1).reshape(-1, 2)
    _, nearest = KDTree(samples).query(points, k=min(2, len(samples)), workers=THREADS)
    squared = np.full(len(points), np.inf)
    for edge in of[nearest.reshape(len(points), -1)].T:
        along = end[edge] - start[edge]
        offset = points - start[edge]
        length = np.maximum(np.einsum("ij,ij->i", along, along), 1e-12)
        foot = np.clip(np.einsum("ij,ij->i", offset, along) / length, 0, 1)
        offset -= foot[:, None] * along
        np.minimum(squared, np.einsum("ij,ij->i", offset, offset), out=squared)
    distance = np.sqrt(squared).reshape(inside.shape)
    return np.asarray(np.where(inside, distance, -distance), dtype=np.float64)


def _parity(lattice: Lattice, start: F64, end: F64) -> NDArray[np.bool_]:
    """[j, i]: whether a ray along the first axis crosses an odd number of edges before a point."""
    low, high = np.minimum(start[:, 1], end[:, 1]), np.maximum(start[:, 1], end[:, 1])
    first = np.ceil((low - lattice.lower[1]) / lattice.step_mm).astype(int)
    beyond = np.ceil((high - lattice.lower[1]) / lattice.step_mm).astype(int)
    first, beyond = np.clip(first, 0, lattice.rows), np.clip(beyond, 0, lattice.rows)
    count = beyond - first
    of = np.repeat(np.arange(len(start)), count)
    row = np.arange(len(of)) - np.repeat(np.cumsum(count) - count, count) + first[of]
    y = lattice.lower[1] + lattice.step_mm * row
    slope = (end[of, 0] - start[of, 0]) / (end[of, 1] - start[of, 1])
    x = start[of, 0] + (y - start[of, 1]) * slope
    column = np.ceil((x - lattice.lower[0]) / lattice.step_mm)
    column = np.clip(column, 0, lattice.columns).astype(int)
    crossings = np.zeros((lattice.rows, lattice.columns + 1), dtype=np.int64)
    np.add.at(crossings, (row, column), 1)
    return np.asarray(np.cumsum(crossings, axis=1)[:, :-1] % 2 == 1)
