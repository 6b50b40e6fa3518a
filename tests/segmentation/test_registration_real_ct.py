"""Registration on a real CT whose kidney is moved by known shifts and rotations."""

from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from segmentation.assessment import MAX_RESIDUAL_MM
from segmentation.kidney import kidney_region
from segmentation.registration import RegistrationError, kidney_patch, register
from segmentation.rigid import Rigid
from segmentation.volume import Volume
from tests.segmentation.kidney_phantom import ball, pose

FOLDER = Path(__file__).parents[3] / "shared" / "data" / "abdomen-ct"
RIGID_MM, FADE_MM = 5.0, 12.0
"""What lies this near to the kidney moves with it; the motion fades over the next."""

UPPER_MM = 160.0
"""How much of the CT is used, from the top; labels exist for the topmost 90 mm."""

pytestmark = pytest.mark.skipif(
    not FOLDER.is_dir(), reason=f"THE DEVELOPMENT DATA ARE NOT HERE: {FOLDER}"
)


def read(name: str) -> Volume:
    """A NIfTI file in LPS, its upper part."""
    import nibabel

    image = nibabel.funcs.as_closest_canonical(  # type: ignore[no-untyped-call]
        nibabel.loadsave.load(FOLDER / name)
    )
    array = np.asarray(image.dataobj, dtype=np.float32).transpose(2, 1, 0)[:, ::-1, ::-1]
    spacing = np.abs(np.diag(image.affine)[:3])
    keep = round(UPPER_MM / float(spacing[2]))
    return Volume(np.ascontiguousarray(array[-keep:]), np.zeros(3), np.eye(3), spacing)


def moved(scan: Volume, near: NDArray[np.float32], move: Rigid, noise_seed: int) -> Volume:
    """The scan with its kidney elsewhere; ``near`` is the distance (mm) to the kidney at rest."""
    k, j, i = np.indices(scan.array.shape)
    points = scan.to_lps(np.stack([i, j, k], axis=-1))
    source = move.inverse().apply(points)

    def at(
        array: NDArray[np.float32], where: NDArray[np.float64], order: Literal[1, 3]
    ) -> NDArray[np.float32]:
        index = np.moveaxis(scan.to_index(where), -1, 0)[::-1]
        return np.asarray(
            ndimage.map_coordinates(array, index, order=order, mode="nearest"), dtype=np.float32
        )

    share = np.clip(1 - (at(near, source, 1) - RIGID_MM) / FADE_MM, 0, 1)[..., None]
    array = at(scan.array.astype(np.float32), points + share * (source - points), 3)
    array += np.random.default_rng(noise_seed).normal(0, 12, array.shape)
    return Volume(array.astype(np.int16), scan.origin_lps_mm, scan.direction, scan.spacing_mm)


def test_no_start_on_a_real_ct_ends_in_a_confident_wrong_answer() -> None:
    scan = read("example_ct.nii.gz")
    labelled = read("kidney_left.nii.gz").array > 0
    label = np.zeros(scan.array.shape, dtype=bool)
    label[-len(labelled) :] = labelled  # whatever its header says
    found = np.argwhere(label)
    near = ndimage.distance_transform_edt(~label, sampling=scan.spacing_mm[::-1])
    points = scan.to_lps(found[:, ::-1])
    middle = points.mean(axis=0)
    outer = points[np.abs(points[:, 2] - middle[2]) < 12]
    tumour = ball(tuple(outer[np.argmax(outer[:, 0])] - [9.0, 0.0, 0.0]), 11.0)
    hilum = ball(tuple(middle - [8.0, 0.0, 0.0]), 7.0)
    kidney = kidney_region(scan, tumour, hilum)
    patch = kidney_patch(scan, kidney, Rigid.identity(), tumour, hilum)
    rng = np.random.default_rng(4)
    right, count = 0, 14
    for n in range(count):
        shift, axis = rng.normal(size=(2, 3))
        shift *= 20 * rng.uniform() ** (1 / 3) / np.linalg.norm(shift)
        axis *= rng.uniform(0, 10) / np.linalg.norm(axis)
        turn = pose((0.0, 0.0, 0.0), tuple(axis)).rotation
        move = Rigid(turn, middle + shift - turn @ middle)
        try:
            result = register(patch, moved(scan, near.astype(np.float32), move, n))
        except RegistrationError:
            continue
        error = np.linalg.norm(result.transform.apply(tumour) - move.apply(tumour), axis=1).mean()
        assert error < 3 or result.residual_mm > MAX_RESIDUAL_MM
        assert error < 2 * result.residual_mm
        right += error < 1
    assert right >= 0.95 * count
