"""A real CT as the anatomy: a tumour is painted into the chosen kidney, ice comes from the physics.

The folder holds ``example_ct.nii.gz`` and organ labels ``<organ>.nii.gz`` on its top slices (the
layout of TotalSegmentator's reference files). Nothing of it is part of this project.
"""

from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import Delaunay

from scanner_sim.grid import F32, F64, Box, Field, Grid
from scanner_sim.phantom import (
    FAT_PERFUSION_PER_S,
    KIDNEY_PERFUSION_PER_S,
    MUSCLE_PERFUSION_PER_S,
    TUMOUR_HU,
    TUMOUR_PERFUSION_PER_S,
    Dose,
    TumourSite,
    muscle_share,
)
from scanner_sim.render import paint
from scanner_sim.shapes import Ellipsoid, Shape, Union, lobulated
from scanner_sim.texture import Texture

Mask = NDArray[np.bool_]

CT_NAME = "example_ct.nii.gz"
_STATIC = (
    "iliopsoas_left",
    "iliopsoas_right",
    "autochthon_left",
    "autochthon_right",
    "vertebrae_L1",
    "vertebrae_L2",
    "aorta",
    "inferior_vena_cava",
)
_BONE_HU = 170.0
_WALL_MM = 28.0
"""Skin, fat and wall together stay in place."""
_EMBEDDED_MM = 4.0
"""How far inside the kidney's surface the tumour's centre lies."""
_FINE_MM = 1.5
_FAR_MM = 45.0
"""Distances beyond this are not told apart."""
_HEIGHT_MM = 210.0
"""How much of the CT is used, from the top: kidneys and what a scan round them covers."""


class RealAnatomy:
    """A real CT with a tumour added; implements ``phantom.Anatomy``.

    Coordinates are the CT's own, LPS mm. The tumour sits at the kidney's outer edge, ``site.w_mm``
    above the hilum, ``site.u_mm`` further out and ``site.v_mm`` further back than usual.

    Raises
    ------
    FileNotFoundError
        The folder lacks the CT or a label.
    ValueError
        The kidney's label is empty.
    """

    classify_mm = 2.0

    def __init__(
        self, folder: Path, *, side: int, site: TumourSite, rng: np.random.Generator
    ) -> None:
        self._side = side
        coarse = _load_ct(folder / CT_NAME)
        grid = coarse.grid
        self._ct = _finer(coarse)
        smooth = ndimage.gaussian_filter(coarse.array, 0.4)
        label = _load_label(folder, f"kidney_{'left' if side > 0 else 'right'}", grid)
        if not label.any():
            raise ValueError(f"no kidney on that side in {folder}")
        kidney = _follow_down(label, smooth)
        self._kidney = _Sampled.of(kidney, grid)
        static = smooth > _BONE_HU
        for name in _STATIC:
            static |= _load_label(folder, name, grid)
        static &= ~ndimage.binary_dilation(kidney)
        body = ndimage.binary_fill_holes(ndimage.binary_opening(smooth > -300))
        depth = ndimage.distance_transform_edt(body, sampling=grid.spacing[::-1])
        static |= depth < _WALL_MM
        away = ndimage.distance_transform_edt(~static, sampling=grid.spacing[::-1])
        self._static = Field(grid, away.astype(np.float32) - np.float32(1.0), 0.0)

        self._hilum = _find_hilum(label, grid)
        level = self._hilum.centre[2] + site.w_mm
        layer = np.abs(grid.z - level) < 8
        centre = _centroid(label & layer[:, None, None], grid)
        toward = self.outwards * np.array([1, 1, 0])
        toward /= np.linalg.norm(toward)
        ray = centre + np.arange(0, 60, 0.5)[:, None] * toward
        x, y, z = ray.astype(np.float32).T
        outside = np.flatnonzero(self._kidney.distance(x, y, z) > 0)
        edge = ray[outside[0]]
        inwards = _EMBEDDED_MM - site.u_mm
        at = edge - inwards * toward + np.array([0.0, site.v_mm, 0.0])
        self._tumour = lobulated(at, site.diameter_mm, rng)
        half = (self.reach.upper - self.reach.lower) / 2
        self._middle = (self.reach.upper + self.reach.lower) / 2
        self._texture = Texture(rng, (float(half[0]), float(half[1]), float(half[2])))
        self._centre = centre

    @property
    def tumour(self) -> Shape:
        """See Anatomy."""
        return self._tumour

    @property
    def hilum(self) -> Shape:
        """See Anatomy."""
        return self._hilum

    @property
    def kidney_centre(self) -> F64:
        """See Anatomy."""
        return self._centre

    @property
    def axes(self) -> F64:
        """Lateral, posterior, cranial."""
        return np.diag([float(self._side), 1.0, 1.0])

    @cached_property
    def moving(self) -> Shape:
        """See Anatomy."""
        return Union((self._kidney, self._tumour))

    @property
    def outwards(self) -> F64:
        """See Anatomy: from the flank."""
        toward = np.array([float(self._side), 0.55, -0.1])
        return np.asarray(toward / np.linalg.norm(toward))

    @property
    def reach(self) -> Box:
        """See Anatomy."""
        return self._ct.grid.box

    def static_distance(self, x: F32, y: F32, z: F32) -> F32:
        """See Anatomy."""
        return _sample(self._static, x, y, z)

    def hu(self, grid: Grid) -> F32:
        """See Anatomy."""
        hu = self._ct.on(grid)
        x, y, z = self._middle
        cloud = self._texture.on(Grid(grid.x - x, grid.y - y, grid.z - z))
        paint(hu, grid, self._tumour, TUMOUR_HU, (6.0, cloud), edge_mm=2.0)
        return hu

    def enhancement(self, hu: F32, grid: Grid, dose: Dose) -> F32:
        """See Anatomy; organs and vessels are not told from muscle."""
        added = muscle_share(hu) * np.float32(dose.muscle_hu)
        paint(added, grid, self._kidney, dose.kidney_hu)
        paint(added, grid, self._tumour, dose.tumour_hu)
        return added

    def add_gas(self, hu: F32, grid: Grid, rng: np.random.Generator) -> None:
        """Nothing: the gas of the CT stays as it is."""

    def perfusion(self, grid: Grid) -> F32:
        """See Anatomy."""
        x, y, z = grid.open
        hu = self._ct.on(grid)
        supply = np.where(hu < -40, FAT_PERFUSION_PER_S, MUSCLE_PERFUSION_PER_S)
        supply[self._kidney.distance(x, y, z) < 0] = KIDNEY_PERFUSION_PER_S
        supply[self._tumour.distance(x, y, z) < 0] = TUMOUR_PERFUSION_PER_S
        return supply.astype(np.float32)

    def vessel(self, grid: Grid) -> Mask:
        """See Anatomy: soft tissue of the sinus that is not kidney."""
        x, y, z = grid.open
        near = self._hilum.distance(x, y, z) < 1
        result: Mask = near & (self._ct.on(grid) > 20) & (self._kidney.distance(x, y, z) > 1)
        return result


class _Sampled:
    """A shape from a mask: a smoothed distance on a grid of 1.5 mm."""

    def __init__(self, field: Field, box: Box) -> None:
        self._field = field
        self._box = box

    @staticmethod
    def of(mask: Mask, grid: Grid) -> "_Sampled":
        """From a mask on the CT's grid."""
        soft = Field(grid, ndimage.gaussian_filter(mask.astype(np.float32), 0.6))
        index = np.argwhere(mask)[:, ::-1]
        tight = Box.around(grid.origin + index * grid.spacing, float(grid.spacing.max()))
        fine = Grid.covering(tight.grow(_FAR_MM), _FINE_MM)
        inside = soft.on(fine) > 0.5
        distance = ndimage.distance_transform_edt(~inside) - ndimage.distance_transform_edt(inside)
        # Half a voxel: both transforms count to the next voxel's centre.
        signed = (distance - 0.5 * np.sign(distance)) * _FINE_MM
        return _Sampled(Field(fine, signed.astype(np.float32), _FAR_MM), tight)

    @property
    def box(self) -> Box:
        """Of the voxels inside."""
        return self._box

    def distance(self, x: F32, y: F32, z: F32) -> F32:
        """Linear between samples."""
        return _sample(self._field, x, y, z)


def _sample(field: Field, x: F32, y: F32, z: F32) -> F32:
    """A field at coordinates that broadcast."""
    full = np.broadcast_arrays(x, y, z)
    points = np.stack([axis.ravel() for axis in full], axis=1).astype(np.float64)
    return field.at(points).reshape(full[0].shape)


def _load(path: Path) -> tuple[NDArray[np.float32], F64, F64]:
    """Array [k, j, i] in LPS order, origin and spacing, LPS mm."""
    import nibabel

    image = nibabel.funcs.as_closest_canonical(  # type: ignore[no-untyped-call]
        nibabel.loadsave.load(path)
    )
    affine = np.asarray(image.affine, dtype=np.float64)
    array = np.asarray(image.dataobj, dtype=np.float32).transpose(2, 1, 0)[:, ::-1, ::-1]
    spacing = np.diag(affine)[:3]
    size = np.array(array.shape[::-1])
    first = affine[:3, 3]
    last = first + (size - 1) * spacing
    return array, np.array([-last[0], -last[1], first[2]]), spacing


def _load_ct(path: Path) -> Field:
    """The upper part of the CT as it is."""
    array, origin, spacing = _load(path)
    skip = max(array.shape[0] - round(_HEIGHT_MM / float(spacing[2])), 0)
    axes = [
        start + step * np.arange(n)
        for start, step, n in zip(origin, spacing, array.shape[::-1], strict=True)
    ]
    hu = np.clip(array[skip:], -1024, 3071)
    return Field(Grid(axes[0], axes[1], axes[2][skip:]), hu, -1000.0)


def _finer(coarse: Field) -> Field:
    """Cubic between the coarse voxels, at half their spacing."""
    size = coarse.array.shape
    zoomed = ndimage.zoom(coarse.array, [(2 * n - 1) / n for n in size], order=3)
    grid = coarse.grid
    axes = [np.linspace(a[0], a[-1], 2 * a.size - 1) for a in (grid.x, grid.y, grid.z)]
    return Field(Grid(*axes), zoomed, -1000.0)


def _load_label(folder: Path, organ: str, grid: Grid) -> Mask:
    """A label on the CT's grid; it covers the top slices only, whatever its header says."""
    array, _, _ = _load(folder / f"{organ}.nii.gz")
    full = np.zeros(grid.shape, dtype=bool)
    count = min(array.shape[0], full.shape[0])
    full[full.shape[0] - count :] = array[array.shape[0] - count :] > 0
    return full


def _follow_down(label: Mask, hu: F32) -> Mask:
    """The kidney below its label: soft tissue that continues it, slice by slice."""
    full = label.copy()
    lowest = int(np.flatnonzero(label.any(axis=(1, 2)))[0])
    before = label[lowest]
    for k in range(lowest - 1, -1, -1):
        near = ndimage.binary_dilation(before)
        slice_mask = ndimage.binary_opening((hu[k] > 5) & (hu[k] < 90) & near, iterations=2)
        if slice_mask.sum() < 60 or slice_mask.sum() > 1.25 * before.sum() + 40:
            break
        full[k] = slice_mask
        before = slice_mask
    return full


def _find_hilum(label: Mask, grid: Grid) -> Ellipsoid:
    """The hollow of the C that the kidney makes in axial slices."""
    hollows = []
    for k in np.flatnonzero(label.any(axis=(1, 2))):
        points = np.argwhere(label[k])
        if len(points) < 40:
            continue
        hull = Delaunay(points)
        low, high = points.min(axis=0), points.max(axis=0)
        cells = np.stack(
            np.meshgrid(*(np.arange(a, b + 1) for a, b in zip(low, high, strict=True))), axis=-1
        ).reshape(-1, 2)
        hollow = cells[(hull.find_simplex(cells) >= 0) & ~label[k][tuple(cells.T)]]
        if len(hollow) > 0.08 * len(points):
            hollows.append(np.column_stack([np.full(len(hollow), k), hollow]))
    if not hollows:
        raise ValueError("the kidney's label shows no sinus")
    index = np.concatenate(hollows).mean(axis=0)[::-1]
    return Ellipsoid(grid.origin + index * grid.spacing, np.array([9.0, 8.0, 11.0]))


def _centroid(mask: Mask, grid: Grid) -> F64:
    return np.asarray(grid.origin + np.argwhere(mask).mean(axis=0)[::-1] * grid.spacing)
