"""From outlines on parallel planes to a level set: shape-based interpolation."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.interpolate import Akima1DInterpolator
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import KDTree

from segmentation.outlines import Lattice, Loop, depth, holds, layers_of, loops_of, moments
from segmentation.volume import Volume

GRID_STEP_MM = (0.5, 1.0)
"""Least and greatest spacing of the solids' grid. The level set is linear between grid points, so
the surface is far finer than this; only the edges of thin solids need the least."""

MAXIMUM_POINTS = 2_000_000
"""Of the grid: what is so large that it has more, as the outline of a body, gets a coarser one."""

STEPS_TO_MIDDLE = 6
"""Steps of the grid from a solid's surface to its middle, within these limits."""

MAX_LEAN = 1.5
"""Sideways shift of the sections' centres from plane to plane, per mm, that is followed. What is
further apart on two planes that are next to one another are two solids."""

MAX_STRETCH = 3.0
"""Ratio of length to width that is evened out."""

CAP_PLANES = 4
"""Planes whose sizes tell where the solid ends beyond the last one."""

NEXT_PLANE = 0.98
"""The solid ends before this part of the way to the next plane, on which nothing was drawn."""

CLIFF_RIM = 7
"""Points of the lattice across, about what ends between two planes, that are changed with it."""

LEAST_BEND = -0.03
"""Of a sphere's squared radius the parabola bends by -1, of an ellipsoid's five times as long as
wide by -0.04; what bends less is no rounded end."""

F64 = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class _Part:
    """Loops that hang together, by plane.

    Attributes
    ----------
    heights
        Of its planes, ascending.
    groups
        The loops on each.
    below, above
        How far it is from the end planes to the next, on which it is not.
    open_below, open_above
        It goes straight on there: a hole that reaches the end of what it is in is no bubble.
    """

    heights: F64
    groups: list[list[Loop]]
    below: float
    above: float
    open_below: bool = False
    open_above: bool = False

    @property
    def corners(self) -> F64:
        """(N, 2): of all loops."""
        return np.concatenate([loop for group in self.groups for loop in group])


def field_of_sections(
    heights: Sequence[float],
    outlines: Sequence[Sequence[Loop]],
    axes: F64,
    thickness: float,
) -> Volume | None:
    """Level set of a solid from its outlines on parallel planes; None where there is no area.

    Outlines on one plane combine by exclusive-or. What hangs together from plane to plane is one
    solid, and so is each hole; each is interpolated for itself.

    Parameters
    ----------
    heights
        Of the planes along ``axes[:, 2]``, ascending, mm; those on which nothing is drawn may be
        among them.
    outlines
        On each plane, in coordinates along ``axes[:, 0]`` and ``axes[:, 1]``, mm.
    axes
        (3, 3): columns are unit vectors, LPS.
    thickness
        Usual distance of the planes, mm.
    """
    levels = np.asarray(heights, dtype=np.float64)
    planes = [
        layers_of([loop for o in outlines_ for loop in loops_of(o)]) for outlines_ in outlines
    ]
    layers: list[list[_Part]] = []
    around: list[list[Loop]] = []
    for layer in range(max(map(len, planes), default=0)):
        loops = [plane[layer] if layer < len(plane) else [] for plane in planes]
        parts = _parts(levels, loops, thickness)
        layers.append([_opened(part, levels, around) for part in parts] if layer else parts)
        around = loops
    if not layers:
        return None
    solids = layers[0]
    step_mm = max(_step(parts, thickness) for parts in layers)
    lean = np.abs([_upright(part).lean for part in solids]).max(axis=0)
    corners = np.concatenate([part.corners for part in solids])
    rim = np.append(2 * step_mm + thickness * lean, max(p.above for p in solids) + step_mm)
    lower = np.append(corners.min(axis=0), min(p.heights[0] for p in solids)) - rim
    upper = np.append(corners.max(axis=0), max(p.heights[-1] for p in solids)) + rim
    step_mm = max(step_mm, float(np.cbrt(np.prod(upper - lower) / MAXIMUM_POINTS)))
    count = np.ceil((upper - lower) / step_mm).astype(int) + 1
    array = np.full(tuple(count[::-1]), -float(rim.max()), dtype=np.float32)
    for layer, parts in enumerate(layers):
        for part in parts:
            place, values = _field(part, lower, step_mm, count)
            into = array[place]
            array[place] = np.minimum(into, -values) if layer % 2 else np.maximum(into, values)
    return Volume(array, axes @ lower, axes, np.full(3, step_mm))


def _parts(levels: F64, groups: Sequence[Sequence[Loop]], thickness: float) -> list[_Part]:
    """What hangs together."""
    nodes = [(level, loop) for level, group in enumerate(groups) for loop in group]
    trees = [KDTree(loop) for _, loop in nodes]
    links: list[tuple[int, int]] = []
    for leaning in (False, True):  # what lies over nothing may lean as far as to the next
        above, below = {a for a, _ in links}, {b for _, b in links}
        for a, (level, loop) in enumerate(nodes):
            for b in range(a + 1, len(nodes)):
                other_level, other = nodes[b]
                if other_level > level + 1:
                    break
                if leaning and (other_level == level or a in above or b in below):
                    continue
                reach = MAX_LEAN * (levels[other_level] - levels[level]) if leaning else 0.0
                if _near(loop, trees[a], other, reach):
                    links.append((a, b))
    start, end = np.array(links, dtype=int).reshape(-1, 2).T
    graph = coo_array((np.ones(len(start)), (start, end)), shape=(len(nodes), len(nodes)))
    count, of = connected_components(graph, directed=False) if nodes else (0, np.zeros(0))
    parts = []
    for part in range(count):
        members = [nodes[n] for n in np.flatnonzero(of == part)]
        own = sorted({level for level, _ in members})
        first, last = own[0], own[-1]
        parts.append(
            _Part(
                levels[own],
                [[loop for level, loop in members if level == n] for n in own],
                below=float(levels[first] - levels[first - 1]) if first else thickness,
                above=float(levels[last + 1] - levels[last])
                if last + 1 < len(levels)
                else thickness,
            )
        )
    return parts


def _opened(hole: _Part, levels: F64, around: Sequence[Sequence[Loop]]) -> _Part:
    """The hole, open at an end where the next plane has nothing about it."""

    def bare(level: int, group: Sequence[Loop]) -> bool:
        about = around[level] if 0 <= level < len(levels) else []
        return not any(holds(solid, loop[:1]).any() for solid in about for loop in group)

    first, last = np.searchsorted(levels, hole.heights[[0, -1]])
    return replace(
        hole,
        open_below=bare(int(first) - 1, hole.groups[0]),
        open_above=bare(int(last) + 1, hole.groups[-1]),
    )


def _near(loop: Loop, tree: KDTree, other: Loop, reach: float) -> bool:
    if (loop.min(axis=0) > other.max(axis=0) + reach).any():
        return False
    if (other.min(axis=0) > loop.max(axis=0) + reach).any():
        return False
    if bool(np.isfinite(tree.query(other, distance_upper_bound=reach + 1e-9)[0]).any()):
        return True
    return bool(holds(loop, other[:1]).any() or holds(other, loop[:1]).any())


def _step(parts: Sequence[_Part], thickness: float) -> float:
    """Spacing of the grid that the thickest of them needs."""
    widths = [
        min(
            max(float(np.ptp(loop, axis=0).min()) for group in part.groups for loop in group),
            float(part.heights[-1] - part.heights[0]) + thickness,
        )
        for part in parts
    ]
    return float(np.clip(max(widths) / 2 / STEPS_TO_MIDDLE, *GRID_STEP_MM))


@dataclass(frozen=True, eq=False)
class _Upright:
    """Axes in which the solid stands upright on its planes and is about as long as wide.

    Every ellipsoid becomes one whose sections are concentric circles: a point (u, v) of the plane
    at height w goes to ``stretch @ ((u, v) - middle - lean * w)``.
    """

    middle: F64
    lean: F64
    stretch: F64

    def apply(self, points: F64, height: float) -> F64:
        """(N, 2) points of the plane at ``height`` to (N, 2), mm."""
        return np.asarray((points - self.middle - self.lean * height) @ self.stretch.T)


def _upright(part: _Part) -> _Upright:
    found = [
        (height, *moments(loop))
        for height, group in zip(part.heights, part.groups, strict=True)
        for loop in group
    ]
    h, weight = np.array([f[0] for f in found]), np.array([f[1] for f in found])
    weight = weight / weight.sum()
    centre, spreads = np.array([f[2] for f in found]), np.array([f[3] for f in found])
    level, middle = float(weight @ h), weight @ centre
    vary = float(weight @ (h - level) ** 2)
    lean = np.zeros(2)
    if vary > 0:
        lean = (weight * (h - level)) @ (centre - middle) / vary
        lean *= min(1.0, MAX_LEAN / max(float(np.linalg.norm(lean)), 1e-9))
    squares, axes = np.linalg.eigh(np.einsum("n,nij->ij", weight, spreads))
    squares = np.maximum(squares, squares.max() / MAX_STRETCH**2)
    # As wide as the narrower side, so that depths stay about those in millimetres.
    stretch = axes @ np.diag(np.sqrt(squares.min() / squares)) @ axes.T
    return _Upright(middle - lean * level, lean, stretch)


def _field(
    part: _Part, lower: F64, step_mm: float, count: NDArray[np.int_]
) -> tuple[tuple[slice, ...], NDArray[np.float32]]:
    """Depth in about mm on the part of the grid (``lower + step_mm * index``) that it may fill."""
    corners, heights, upright = part.corners, part.heights, _upright(part)
    rim = 2 * step_mm + max(part.below, part.above) * np.abs(upright.lean)
    least = np.append(corners.min(axis=0) - rim, heights[0] - part.below - step_mm)
    most = np.append(corners.max(axis=0) + rim, heights[-1] + part.above + step_mm)
    first = np.maximum(np.floor((least - lower) / step_mm), 0).astype(int)
    beyond = np.minimum(np.ceil((most - lower) / step_mm).astype(int) + 1, count)
    u, v, w = (
        corner + step_mm * np.arange(a, b)
        for corner, a, b in zip(lower, first, beyond, strict=True)
    )
    flat = np.stack(np.meshgrid(u, v, indexing="xy"), axis=-1).reshape(-1, 2)
    reached = np.array([upright.apply(flat, float(height)) for height in w])
    # The upright axes have a lattice of their own, that of the solid is filled from it.
    corner = reached.min(axis=(0, 1))
    size = np.ceil((reached.max(axis=(0, 1)) - corner) / step_mm).astype(int) + 1
    lattice = Lattice(corner, step_mm, int(size[0]), int(size[1]))
    stack = np.array(
        [
            _squared(lattice, [upright.apply(loop, float(height)) for loop in group])
            for height, group in zip(heights, part.groups, strict=True)
        ]
    )
    at = _at_heights(part, _without_cliffs(stack, step_mm), w)
    index = np.moveaxis((reached - corner) / step_mm, -1, 0)[::-1]
    array = np.array(
        [
            ndimage.map_coordinates(plane, index[:, n], order=3, mode="nearest")
            for n, plane in enumerate(at)
        ]
    ).reshape(len(w), len(v), len(u))
    place = tuple(slice(a, b) for a, b in zip(first[::-1], beyond[::-1], strict=True))
    return place, _in_mm(array, step_mm)


def _squared(lattice: Lattice, loops: Sequence[Loop]) -> F64:
    """[j, i]: for a circle its squared radius less the point's, mm^2, and alike for other shapes.

    With r the greatest depth inside the loops and d the depth of a point, it is d (2 r - d).
    """
    found = depth(lattice, loops)
    deepest = max(float(found.max()), 1e-3)
    return found * (2 * deepest - found)


def _without_cliffs(stack: F64, step_mm: float) -> F64:
    """The planes' squared radii, not further below zero than they can tell anything.

    Where a lobe ends between two planes, the next one says only how far away the rest is, and the
    lobe would be cut off close to its last plane. It is let end about half way instead: where what
    is inside on one plane only reaches p, the other plane is less by at most 2 p. In a ball it is
    less by p: the square of the one height less that of the other.
    """
    found = stack.copy()
    for here, there in itertools.chain.from_iterable(
        ((n, n + 1), (n + 1, n)) for n in range(len(stack) - 1)
    ):
        lost, count = ndimage.label((stack[here] > 0) & (stack[there] <= 0), np.ones((3, 3)))
        if not count:
            continue
        # A ring narrower than the lattice's step reaches more than any point of it shows.
        slope = 2 * float(np.sqrt(max(stack[here].max(), 0))) * step_mm
        most = np.append(0.0, ndimage.maximum(stack[here], lost, np.arange(1, count + 1))) + slope
        near = ndimage.grey_dilation(lost, size=(CLIFF_RIM, CLIFF_RIM))
        near = np.where((lost == 0) & ((stack[here] > 0) | (stack[there] > 0)), 0, near)
        floor = np.where(near > 0, stack[here] - 2 * most[near], -np.inf)
        found[there] = np.maximum(found[there], floor)
    return found


def _at_heights(part: _Part, stack: F64, w: F64) -> F64:
    """The planes' squared radii carried to heights ``w``, between the planes and beyond them."""
    heights = part.heights
    out = np.empty((len(w), *stack.shape[1:]))
    within = (w >= heights[0]) & (w <= heights[-1])
    if len(heights) == 1:
        out[within] = stack
    elif within.any():
        # Akima's spline is exact for a parabola on even planes, and does not overshoot where
        # neighbouring planes differ abruptly.
        out[within] = Akima1DInterpolator(heights, stack, axis=0)(w[within])
    for beyond, outward, gap, is_open in (
        (heights[0] - w, slice(None), part.below, part.open_below),
        (w - heights[-1], slice(None, None, -1), part.above, part.open_above),
    ):
        chosen = beyond > 0
        if is_open:
            out[chosen] = stack[outward][0]
            continue
        ends = stack[outward][:CAP_PLANES]
        steps = np.abs(heights[outward][:CAP_PLANES] - heights[outward][0])
        fall = _fall(ends.max(axis=(1, 2)), steps, gap, beyond[chosen])
        out[chosen] = ends[0] - fall[:, None, None]
    return out


def _fall(
    squared: F64,
    steps: F64,
    thickness: float,
    beyond: F64,
) -> F64:
    """By how much the squared radius falls from the end plane to the distances ``beyond`` it.

    A parabola through the end plane fits the last planes; it comes to zero, the pole, before the
    next plane, on which nothing was drawn. Where the planes show no parabola that closes, or are
    fewer than three, the end is taken as a sphere's.

    Parameters
    ----------
    squared, steps
        Squared radius of the end plane and of those further in, mm^2, and how far in they lie, mm.
    """
    radius = float(squared[0])
    slope, bend = 0.0, 0.0
    if len(steps) > 2:
        # Nearer planes count for more.
        powers = np.column_stack([-np.ones(len(steps) - 1), steps[1:]]) / steps[1:, None]
        rise = (squared[1:] - radius) / steps[1:] ** 2
        (slope, bend), *_ = np.linalg.lstsq(powers, rise, rcond=None)
    if bend > LEAST_BEND:
        bend = -1.0
        slope = (radius - float(squared[1])) / steps[1] - steps[1] if len(steps) > 1 else 0.0
    inner = slope**2 - 4 * bend * radius
    pole = (-slope - np.sqrt(inner)) / (2 * bend) if bend < 0 <= inner else np.inf
    if not pole < NEXT_PLANE * thickness:
        pole = NEXT_PLANE * thickness
        bend = min(-(radius + slope * pole) / pole**2, 0.0)
        slope = -radius / pole - bend * pole
    return -(slope * beyond + bend * beyond**2)


def _in_mm(squared: F64, step_mm: float) -> NDArray[np.float32]:
    """Depth of a field like that of a sphere, R^2 - r^2, whose gradient is 2 r."""
    radius = np.sqrt(sum(slope**2 for slope in np.gradient(squared, step_mm))) / 2
    whole = np.sqrt(np.maximum(radius**2 + squared, 0))
    return np.asarray(squared / np.maximum(radius + whole, 1e-3), dtype=np.float32)
