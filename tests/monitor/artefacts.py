"""A scan of balls whose places are known, supine and prone, as files and as an artefact."""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from dicom_listener.pixels import read_volume
from monitor.artefact import Artefact
from scanner_sim.dicom_ct import Identity, ct_series
from scanner_sim.grid import Grid
from segmentation.rigid import Rigid
from segmentation.sampling import grid_around, voxel_centres
from segmentation.structures import Kind, Structure
from segmentation.volume import Volume

Position = Literal["HFS", "HFP"]

ICE_LPS_MM = np.array([18.0, -7.0, 12.0])
ICE_RADIUS_MM = 17.0
LETHAL_LPS_MM = np.array([16.0, -6.0, 13.0])
LETHAL_RADIUS_MM = 12.0
TUMOUR_LPS_MM = np.array([12.0, -4.0, 15.0])
TUMOUR_RADIUS_MM = 9.0
HILUM_LPS_MM = np.array([-6.0, 3.0, 4.0])
HILUM_RADIUS_MM = 7.0
WORST_LPS_MM = np.array([6.0, 1.0, 19.0])
"""A point that is in none of the balls' middle planes."""


@dataclass(frozen=True, eq=False)
class MadeScan:
    """The scan."""

    paths: list[Path]
    volume: Volume
    artefact: Artefact


def make_scan(folder: Path, position: Position) -> MadeScan:
    """Slices of 1.5 x 1.5 x 3 mm with the ice ball 100 HU brighter than the rest."""
    axis = np.arange(-60.0, 60.1, 1.5)
    grid = Grid(axis, axis + 4.5, np.arange(-45.0, 60.1, 3.0))
    z, y, x = np.meshgrid(grid.z, grid.y, grid.x, indexing="ij")
    offset = np.stack([x, y, z], axis=-1) - ICE_LPS_MM
    inside = np.clip(ICE_RADIUS_MM - np.linalg.norm(offset, axis=-1) + 0.5, 0, 1)
    identity = Identity(
        case="balls",
        seed=1,
        salt=position,
        start=datetime(2026, 3, 1, 9, 0, tzinfo=UTC),
        position=position,
        kernel="B30f",
        signed=True,
    )
    hu = np.rint(100 * inside).astype(np.int16)
    datasets = ct_series(identity, grid, hu, number=1, label="balls", at_s=0.0, thickness_mm=3.0)
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for n, dataset in enumerate(datasets):
        paths.append(folder / f"{n:03d}.dcm")
        dataset.save_as(paths[-1], enforce_file_format=True)
    volume = read_volume(paths)
    return MadeScan(paths, volume, _artefact(volume))


def _artefact(volume: Volume) -> Artefact:
    """As kept of a scan: cropped, and the contours in another frame of reference's place."""
    turn = np.radians(10)
    rotation = np.array(
        [[np.cos(turn), -np.sin(turn), 0], [np.sin(turn), np.cos(turn), 0], [0, 0, 1]]
    )
    planning_to_scan = Rigid(rotation, np.array([5.0, -3.0, 8.0]))
    to_planning = planning_to_scan.inverse()
    plain = Volume(np.zeros((1, 1, 1), dtype=np.float32), np.zeros(3), np.eye(3), np.ones(3))

    def structure(name: str, kind: Kind, centre: NDArray[np.float64], radius: float) -> Structure:
        return Structure(name, kind, _ball(plain, to_planning.apply(centre), radius))

    return Artefact(
        scan=volume.crop_around(ICE_LPS_MM, 40.0),
        scan_shape=volume.array.shape,
        scan_origin_lps_mm=volume.origin_lps_mm,
        ice=_ball(volume, ICE_LPS_MM, ICE_RADIUS_MM),
        lethal=_ball(plain, LETHAL_LPS_MM, LETHAL_RADIUS_MM, step_mm=2.5),
        structures=(
            structure("Tumour 1", "tumour", TUMOUR_LPS_MM, TUMOUR_RADIUS_MM),
            structure("Renal hilum", "hilum", HILUM_LPS_MM, HILUM_RADIUS_MM),
        ),
        planning_to_scan=planning_to_scan,
        worst_point_lps_mm=WORST_LPS_MM,
    )


def _ball(
    like: Volume, centre: NDArray[np.float64], radius_mm: float, step_mm: float = 1.0
) -> Volume:
    """Signed distance to a sphere, positive inside, on a grid along ``like``'s axes."""
    grid = grid_around(like, centre, radius_mm + 4, step_mm)
    away = np.linalg.norm(voxel_centres(grid) - centre, axis=-1)
    return Volume(
        (radius_mm - away).astype(np.float32), grid.origin_lps_mm, grid.direction, grid.spacing_mm
    )
