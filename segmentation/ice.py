"""The ice ball in one scan: threshold on the change against the baseline, and region growing.

Freezing lowers the CT number of water-rich tissue by about 85 HU from wherever it was (Sandison
1998), so ice is looked for in the difference from the same patient's baseline, never by an
absolute number: contrast-filled kidney at 120 HU freezes to what unfrozen kidney looks like
without contrast. The edge is half-way between the ice and what lies just outside of it. In fat
there is hardly any drop, and the edge is taken from the freezing model.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from segmentation import freezing
from segmentation.change import Change, Level, Window, compare, level_of
from segmentation.freezing import FreezingModel
from segmentation.ground import GRID_STEP_MM, Ground
from segmentation.growing import (
    CLIP_MM,
    EDGE_WIDTH_MM,
    LEAK_MM,
    SEED_MM,
    USUAL_DROP_HU,
    Grown,
    depth_seen,
    drop_hu,
    grow,
    outside_hu,
    visible_edge,
    window_of,
)
from segmentation.moment import Moment
from segmentation.rigid import Rigid
from segmentation.sampling import resample, sample, smooth
from segmentation.surface import Surface, surface_of
from segmentation.volume import Volume

MIN_SEED_FRACTION = 0.15
NO_SEED_FRACTION = 0.04
"""Of the tissue round a probe: at least so much has fallen where there is ice, at most so much by
noise where there is none. In between nothing is said."""

MIN_RING_VOXELS = 100
MIN_RING_SHOWN = 0.03
"""Less of the tissue round the freezing zones than this, and it can't be said that there is no
ice."""

MIN_VOLUME_ML = 0.3
NO_LEVEL_HU = 3.0
"""Unfrozen tissue that has changed by less has not changed."""

UNEVEN_HU = 8.0
"""Other organs change otherwise than the kidney: from here on ice is not looked for in them."""

CONTRAST_HU = 20.0
"""From this on it has taken up contrast medium."""

OWN_VOXELS = 100
"""Seen ice that a piece needs to be more than the shaft of a probe that is off."""

JOIN_VOXELS = 0.7
"""Gaussian over the seam of seen and modelled."""

BESIDE_MM = 4.0
"""The model is looked at up to this far outside of its ice."""

SLICE_SHARE = 0.12
"""Part of the slice spacing that enters as a standard deviation of the edge's place."""

EDGE_FLOOR_MM = 0.35
"""The edge itself is 1.5 to 2 mm thick in temperature (domain facts, 1.2)."""

UNKNOWN_NOISE = 0.2
"""Noise as a part of the drop, where there is too little unfrozen tissue to tell."""

MODELLED_FLOOR_MM = 0.65
RESIDUAL_SHARE = 0.5
UNMODELLED_MM = 4.0
"""Standard deviation of an edge that was not seen: at least, the part of the model's own residual
that comes to it, and without a model."""

SHELL = 0.5
"""Part of the edge's standard deviation that all of the surface has in common."""

DIRECTIONS = 500

F32 = NDArray[np.float32]
Mask = NDArray[np.bool_]


class HiddenError(ValueError):
    """Whether there is ice can't be seen; the message is a sentence for people."""


class UncertainError(ValueError):
    """There may be ice, or not; the message is a sentence for people."""


@dataclass(frozen=True, eq=False)
class Ice:
    """The ice ball, in the scan's frame.

    Attributes
    ----------
    surface
        Its sub-voxel surface.
    visible
        (N,) for each surface point: 1 where the edge was seen, 0 where it was modelled.
    volume_ml
        With partial voxels.
    drop_hu
        Drop on freezing, estimated from this scan.
    noise_hu
        Robust standard deviation of the smoothed difference in unfrozen tissue.
    edge_sd_mm
        (N,) for each surface point: standard deviation of the edge's place, from noise, slices and,
        where it was modelled, from how much the possible histories differ.
    level
        By how much unfrozen tissue has changed since the baseline.
    model
        The fitted freezing model, in the baseline's frame; None without one.
    leaked
        Whether growth had to be cut off.
    """

    surface: Surface
    visible: F32
    edge_sd_mm: F32
    volume_ml: float
    drop_hu: float
    noise_hu: float
    level: Level
    model: FreezingModel | None
    leaked: bool

    @property
    def model_residual_mm(self) -> float:
        """How far the visible edge lies from the freezing model; NaN without a model."""
        return self.model.residual_mm if self.model is not None else float("nan")

    @property
    def visible_surface_fraction(self) -> float:
        """Share of the surface that was seen and not modelled."""
        return float((self.visible > 0.5).mean())

    @property
    def volume_sd_ml(self) -> float:
        """Of the volume: a shell as thick as the edge is uncertain, on a ball of this volume."""
        radius_mm = (self.volume_ml * 1000 * 3 / (4 * np.pi)) ** (1 / 3)
        return float(SHELL * 4 * np.pi * radius_mm**2 * self.edge_sd_mm.mean()) / 1000

    @property
    def longest_axis_mm(self) -> float:
        """Largest width of the surface, over directions 6 degrees apart: short by 0.2 % at most."""
        widths = self.surface.points_lps_mm.astype(np.float32) @ _half_sphere(DIRECTIONS).T
        return float(np.ptp(widths, axis=0).max())


def _half_sphere(count: int) -> F32:
    """(count, 3): unit vectors spread evenly over a half-sphere (Fibonacci's lattice)."""
    n = np.arange(count) + 0.5
    height = n / count
    angle = np.pi * (1 + np.sqrt(5)) * n
    radius = np.sqrt(1 - height**2)
    axes = np.column_stack([radius * np.cos(angle), radius * np.sin(angle), height])
    return axes.astype(np.float32)


def find_ice(
    scan: Volume,
    ground: Ground,
    baseline_to_scan: Rigid,
    moment: Moment,
    seed_lps_mm: NDArray[np.float64] | None = None,
) -> Ice | None:
    """Segment the ice; None where there is none.

    Parameters
    ----------
    scan
        In HU.
    ground
        Of the baseline.
    baseline_to_scan
        Takes the baseline's frame to the scan's.
    moment
        When it was taken.
    seed_lps_mm
        (3,): a point in the baseline's frame that a person knows to be ice in this scan.

    Raises
    ------
    HiddenError
        Too little of the tissue round the probes can be judged.
    UncertainError
        There may be a little ice, or it can't be told what else has changed.
    """
    change = compare(scan, ground, baseline_to_scan)
    level = level_of(change)
    if not level.known:
        # Enhanced tissue hides ice, tissue that has lost its medium looks like ice.
        raise UncertainError(
            "Too little unfrozen kidney is seen to tell whether it has changed since the baseline."
        )
    if level.most_hu > UNEVEN_HU:
        change = change.in_kidney()
    if seed_lps_mm is not None:
        change = change.seeded(seed_lps_mm)
    seen = _see(change, ground, level, moment)
    if seen is None:
        return None
    if level.overall_hu > CONTRAST_HU:
        dark = _see(change, ground, level.without_rise(), moment)
        if dark is not None and moment.thaws_dead(seen.volume_ml, dark.volume_ml):
            seen = dark
    slice_mm = max(float(scan.spacing_mm[2]), ground.slice_mm)
    ice = _complete(change, seen, level, baseline_to_scan, slice_mm)
    if ice is None:
        raise UncertainError("Something has darkened at the probes, too little to be measured.")
    return ice


@dataclass(frozen=True, eq=False)
class _Seen:
    """Visible ice in a window of the grid, and the model fitted to its edge."""

    window: Window
    grown: Grown
    drop_hu: float
    model: FreezingModel | None
    off: frozenset[int]

    @property
    def volume_ml(self) -> float:
        """By the model, or of what is visible."""
        if self.model is not None:
            return self.model.volume_ml
        return float((self.grown.depth > 0).sum()) * GRID_STEP_MM**3 / 1000


def _see(change: Change, ground: Ground, level: Level, moment: Moment) -> _Seen | None:
    fallen = -change.difference_hu
    if level.most_hu > NO_LEVEL_HU:
        fallen += level.of(change)
    fallen /= change.water
    distance = change.probe_distance_mm
    ring = (distance > SEED_MM[0]) & (distance < SEED_MM[1])
    shown = ring & (change.trusted > 0.5)
    if shown.sum() < MIN_RING_SHOWN * ring.sum():
        raise HiddenError("Metal, streaks, gas or fat hide the tissue round the probes.")
    shares = _frozen_shares(fallen[shown], change.nearest_probe[shown])
    most = max(shares.values(), default=0.0)
    if most < MIN_SEED_FRACTION:
        if most > NO_SEED_FRACTION:
            raise UncertainError("It can't be told whether there is ice at the probes.")
        return None
    change = replace(change, off=frozenset(n for n, s in shares.items() if s < NO_SEED_FRACTION))
    window = window_of(change, fallen)
    if window is None:
        return None
    part, fallen = change.part(window), fallen[window]
    drop = drop_hu(part, fallen)
    rough = grow(part, depth_seen(fallen, drop, None), None)
    depth = depth_seen(fallen, drop, outside_hu(part, fallen, rough.depth))
    grown = grow(part, depth, None)
    model = freezing.fit(ground, visible_edge(part, part.at_probes(grown.depth)), moment)
    if model is not None and change.seed is None:
        modelled = resample(model.depth, part.grid, outside=-freezing.CLIP_MM).array
        if ((grown.depth > 0) & (modelled < -LEAK_MM)).any():
            grown = grow(part, depth, modelled.astype(np.float32, copy=False))
    return _Seen(window, grown, drop, model, change.off)


def _frozen_shares(fallen: F32, probe: NDArray[np.int8]) -> dict[int, float]:
    """Share of frozen voxels round each probe that can be judged: not all of them need to be on."""
    count = np.bincount(probe)
    frozen = np.bincount(probe, weights=fallen > USUAL_DROP_HU / 2, minlength=len(count))
    return {
        n: float(frozen[n] / count[n]) for n in range(len(count)) if count[n] >= MIN_RING_VOXELS
    }


def _complete(
    change: Change, seen: _Seen, level: Level, baseline_to_scan: Rigid, slice_mm: float
) -> Ice | None:
    change = replace(change, off=seen.off)
    window = seen.window if seen.model is None else _with_model(seen.window, change, seen.model)
    part = change.part(window)
    depth = np.full(part.grid.array.shape, -CLIP_MM, dtype=np.float32)
    inner = tuple(
        slice(a.start - b.start, a.stop - b.start) for a, b in zip(seen.window, window, strict=True)
    )
    depth[inner] = seen.grown.depth
    field, share = _join(part, depth, seen.model)
    if field is None:
        return None
    volume_ml = float(np.clip(field / GRID_STEP_MM + 0.5, 0, 1).sum()) * GRID_STEP_MM**3 / 1000
    if volume_ml < MIN_VOLUME_ML:
        return None
    surface = surface_of(part.on_grid(field))
    shown = sample(part.on_grid(share), surface.points_lps_mm, outside=0.0)
    noise_hu = _noise_hu(part, field)
    sd_mm = _edge_sd_mm(surface, shown, seen.model, noise_hu / seen.drop_hu, slice_mm)
    return Ice(
        surface=_moved(surface, baseline_to_scan),
        visible=shown,
        edge_sd_mm=sd_mm,
        volume_ml=volume_ml,
        drop_hu=seen.drop_hu,
        noise_hu=noise_hu,
        level=level,
        model=seen.model,
        leaked=seen.grown.leaked,
    )


def _with_model(window: Window, change: Change, model: FreezingModel) -> Window:
    """A window that holds the modelled ice too."""
    index = np.argwhere(model.depth.array > -BESIDE_MM)[:, ::-1].astype(np.float64)
    if not len(index):
        return window
    at = change.grid.to_index(model.depth.to_lps(index))[:, ::-1]
    low, high = at.min(axis=0).astype(int) - 2, at.max(axis=0).astype(int) + 3
    size = change.grid.array.shape
    bounds = [
        slice(max(0, min(w.start, a)), min(n, max(w.stop, b)))
        for w, a, b, n in zip(window, low, high, size, strict=True)
    ]
    return bounds[0], bounds[1], bounds[2]


def _edge_sd_mm(
    surface: Surface,
    visible: F32,
    model: FreezingModel | None,
    noise_share: float,
    slice_mm: float,
) -> F32:
    """(N,): see ``Ice``."""
    noise = noise_share if np.isfinite(noise_share) else UNKNOWN_NOISE
    seen = float(np.linalg.norm([noise * EDGE_WIDTH_MM, SLICE_SHARE * slice_mm, EDGE_FLOOR_MM]))
    modelled = np.full(len(visible), UNMODELLED_MM, dtype=np.float32)
    if model is not None:
        spread = sample(model.spread_mm, surface.points_lps_mm, outside=UNMODELLED_MM)
        rest = np.hypot(MODELLED_FLOOR_MM, RESIDUAL_SHARE * model.residual_mm)
        modelled = np.hypot(np.hypot(spread, np.float32(rest)), np.float32(seen))
    share = np.clip(visible, 0, 1)
    return (share * np.float32(seen) + (1 - share) * modelled).astype(np.float32)


def _moved(surface: Surface, move: Rigid) -> Surface:
    field = surface.field
    return Surface(
        Volume(
            field.array,
            move.apply(field.origin_lps_mm),
            move.rotation @ field.direction,
            field.spacing_mm,
        ),
        move.apply(surface.points_lps_mm),
        surface.normals @ move.rotation.T,
    )


def _shares(change: Change, seen: F32, model: FreezingModel) -> tuple[F32, F32]:
    """How much of the surface is what is seen, and the model's depth.

    What is seen as ice far outside of the model is not believed. The model has all probes on: round
    one that is off there is none.
    """
    resampled = resample(model.depth, change.grid, outside=-freezing.CLIP_MM)
    outside_mm = -resampled.array - freezing.believed_mm(model.residual_mm)
    share = np.clip(2 * change.trusted - 1, 0, 1)
    if change.seed is None:
        share *= np.where(seen > -CLIP_MM, np.clip(1 - outside_mm / GRID_STEP_MM, 0, 1), 1)
    modelled = np.clip(resampled.array, -CLIP_MM, CLIP_MM)
    modelled[change.idle] = -CLIP_MM
    return share.astype(np.float32), modelled.astype(np.float32)


def _join(change: Change, seen: F32, model: FreezingModel | None) -> tuple[F32 | None, F32]:
    """One level set without holes, and 0 to 1 for how far it was seen.

    Seen where it can be seen, modelled elsewhere; none where there is nothing at the probes. Early
    in a freeze each probe has a ball of its own: all are kept in which ice is seen.
    """
    distance = change.probe_distance_mm
    if model is None:
        share = np.where(change.trusted > 0.25, 1.0, 0.0).astype(np.float32)
        modelled = np.where(distance < SEED_MM[1], 1.0, -CLIP_MM).astype(np.float32)
    else:
        share, modelled = _shares(change, seen, model)
    field = smooth(share * seen + (1 - share) * modelled, JOIN_VOXELS)
    field[change.gas & (field > 0) & (distance > SEED_MM[1])] = -0.5
    labels, count = ndimage.label(field > 0)
    ring = (distance < SEED_MM[1]) & (labels > 0)
    if count == 0 or not ring.any():
        return None, share
    touching = np.bincount(labels[ring], minlength=count + 1)
    seen_ice = (seen > 0) & (change.trusted > 0.5)
    kept = (touching > 0) & (np.bincount(labels[seen_ice], minlength=count + 1) >= OWN_VOXELS)
    kept[int(np.argmax(touching))] = True
    kept[0] = False
    body = ndimage.binary_fill_holes(kept[labels])
    field = np.where((field > 0) & ~body, np.float32(-0.5), field)
    return np.where((field <= 0) & body, np.float32(0.5), field), share


def _noise_hu(change: Change, field: F32) -> float:
    """Robust standard deviation of the difference in water-rich tissue clear of the ice."""
    clear = (field <= -CLIP_MM + 0.5) & (change.trusted > 0.9)
    if clear.sum() < 200:
        return float("nan")
    values = change.difference_hu[clear]
    return 1.48 * float(np.median(np.abs(values - np.median(values))))
