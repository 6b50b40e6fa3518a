"""One small anatomy of simple shapes, to be sent in every way that scanners send one.

Its voxels lie on one lattice in the patient. However its slices are laid out, turned, ordered,
encoded or packed, what is read must have the same Hounsfield units at the same points.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

from dicom_listener.pixels import PixelError, read_volume
from segmentation.volume import GeometryError, Volume
from tests.dicom_listener.objects import FRAME, SERIES, STUDY, part10

SIZE: Final = (20, 18, 12)
"""Voxels along x, y and z."""

SPACING_MM: Final = (0.75, 1.25, 2.5)
"""The pixels of no plane are square."""

ORIGIN_MM: Final = (-7.5, 30.25, -412.5)

AXES: Final = {"x": 0, "y": 1, "z": 2}


def _hu() -> NDArray[np.int16]:
    """[z, y, x]: a body in air, a kidney, half-frozen ice with a soft edge, a needle, noise."""
    z, y, x = np.meshgrid(*(np.linspace(-1, 1, n) for n in SIZE[::-1]), indexing="ij")
    hu = np.where(x**2 + y**2 < 0.9, 42.0, -1000.0)
    kidney = (x + 0.2) ** 2 + y**2 + (z / 1.5) ** 2
    hu[kidney < 0.4] = 31
    ice = np.sqrt((x - 0.1) ** 2 + (y + 0.1) ** 2 + (z - 0.1) ** 2)
    hu -= 85 / (1 + np.exp((ice - 0.45) / 0.05)) * (kidney < 0.4)
    hu[:, 8, 11] = 2900
    hu += np.random.default_rng(4).normal(0, 8, hu.shape)
    return np.asarray(np.rint(np.clip(hu, -1024, 3071)), dtype=np.int16)


HU: Final = _hu()


@dataclass(frozen=True)
class Lattice:
    """Voxels [z, y, x] in the patient, along the axes of the patient."""

    hu: NDArray[np.int16]
    origin_mm: tuple[float, float, float]
    spacing_mm: tuple[float, float, float]


ANATOMY: Final = Lattice(HU, ORIGIN_MM, SPACING_MM)


@dataclass
class Slice:
    """One slice, as the anatomy has it: first pixel's centre, direction cosines, pixels in HU."""

    position: NDArray[np.float64]
    orientation: NDArray[np.float64]
    spacing_mm: tuple[float, float]
    hu: NDArray[np.int16]

    def move(self, x: float, y: float, z: float) -> None:
        """Say that it lies elsewhere, by so many mm."""
        self.position = self.position + np.array([x, y, z])


def slices(
    row: str = "+x", column: str = "+y", stack: str = "+z", of: Lattice = ANATOMY
) -> list[Slice]:
    """The anatomy, or another one, cut into slices.

    ``row`` is the axis along which the column index grows, ``column`` the one along which the row
    index does, ``stack`` the one along which slices are sent; each ``+x`` (to the patient's left),
    ``-z`` (to the feet) and so on.
    """
    axes = [AXES[name[1]] for name in (row, column, stack)]
    signs = [1 if name[0] == "+" else -1 for name in (row, column, stack)]
    array = of.hu.transpose(2 - axes[2], 2 - axes[1], 2 - axes[0])
    array = array[:: signs[2], :: signs[1], :: signs[0]]
    vectors = [sign * np.eye(3)[axis] for axis, sign in zip(axes, signs, strict=True)]
    start = np.array(of.origin_mm)
    for axis, sign in zip(axes, signs, strict=True):
        if sign < 0:
            start[axis] += (of.hu.shape[2 - axis] - 1) * of.spacing_mm[axis]
    step = vectors[2] * of.spacing_mm[axes[2]]
    return [
        Slice(
            start + n * step,
            np.concatenate(vectors[:2]),
            (of.spacing_mm[axes[1]], of.spacing_mm[axes[0]]),
            np.ascontiguousarray(pixels),
        )
        for n, pixels in enumerate(array)
    ]


def turned(found: Sequence[Slice], rotation: NDArray[np.float64]) -> list[Slice]:
    """The same slices, of a patient who is turned about the origin."""
    return [
        Slice(
            rotation @ s.position,
            np.concatenate([rotation @ s.orientation[:3], rotation @ s.orientation[3:]]),
            s.spacing_mm,
            s.hu,
        )
        for s in found
    ]


def numbers(values: Sequence[float] | NDArray[np.float64]) -> list[str]:
    """DS: as many digits as 16 characters hold."""
    texts = []
    for value in values:
        digits = 12
        while len(text := f"{float(value):.{digits}g}") > 16:
            digits -= 1
        texts.append(text)
    return texts


def dataset(one: Slice, n: int = 0, **elements: Any) -> Dataset:
    """A CT slice, signed 16 bit and in HU as it stands; ``elements`` change it, None removes."""
    ds = Dataset()
    ds.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    ds.SOPClassUID = CTImageStorage
    ds.SOPInstanceUID = f"{SERIES}.{n + 1}"
    ds.StudyDate = ds.AcquisitionDate = ds.ContentDate = "20260301"
    ds.StudyTime = ds.AcquisitionTime = ds.ContentTime = "090000"
    ds.AccessionNumber = ""
    ds.Modality = "CT"
    ds.Manufacturer = "Anatomy"
    ds.ReferringPhysicianName = ""
    ds.PatientName = "Anatomy^Small"
    ds.PatientID = "4711"
    ds.PatientBirthDate = ""
    ds.PatientSex = ""
    ds.KVP = "120"
    ds.StudyID = ""
    ds.PatientPosition = "HFS"
    ds.ConvolutionKernel = "B30f"
    ds.StudyInstanceUID = STUDY
    ds.SeriesInstanceUID = SERIES
    ds.SeriesNumber = 3
    ds.AcquisitionNumber = 1
    ds.InstanceNumber = n + 1
    ds.ImagePositionPatient = numbers(one.position)
    ds.ImageOrientationPatient = numbers(one.orientation)
    ds.FrameOfReferenceUID = FRAME
    ds.PositionReferenceIndicator = ""
    ds.SliceThickness = "7"  # wrong on purpose: nobody may believe it
    ds.SamplesPerPixel = 1
    ds.PhotometricInterpretation = "MONOCHROME2"
    ds.Rows, ds.Columns = one.hu.shape
    ds.PixelSpacing = numbers(one.spacing_mm)
    ds.BitsAllocated = ds.BitsStored = 16
    ds.HighBit = 15
    ds.PixelRepresentation = 1
    ds.RescaleIntercept = 0
    ds.RescaleSlope = 1
    ds.RescaleType = "HU"
    ds.PixelData = one.hu.astype("<i2").tobytes()
    ds["PixelData"].VR = "OW"
    for keyword, value in elements.items():
        if value is None:
            delattr(ds, keyword)
        else:
            setattr(ds, keyword, value)
    return ds


def datasets(found: Sequence[Slice], **elements: Any) -> list[Dataset]:
    """All of the slices."""
    return [dataset(one, n, **elements) for n, one in enumerate(found)]


def write(
    folder: Path, objects: Sequence[Dataset], syntax: str = ExplicitVRLittleEndian
) -> list[Path]:
    """The objects as files."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for n, ds in enumerate(objects):
        paths.append(folder / f"{n:03d}.dcm")
        paths[-1].write_bytes(part10(ds, syntax))
    return paths


def assert_same(
    volume: Volume,
    *,
    back: NDArray[np.float64] | None = None,
    tolerance_mm: float = 1e-6,
    hu: NDArray[np.int16] = HU,
) -> None:
    """Each voxel of the volume lies on one of the anatomy's, and has its HU to the bit.

    ``back`` turns the patient to where the anatomy is.
    """
    assert volume.array.size == hu.size
    k, j, i = np.indices(volume.array.shape)
    points = volume.to_lps(np.stack([i, j, k], axis=-1))
    if back is not None:
        points = points @ back.T
    exact = (points - ORIGIN_MM) / SPACING_MM
    index = np.rint(exact).astype(int)
    assert np.abs((exact - index) * SPACING_MM).max() < tolerance_mm
    assert len(np.unique(index.reshape(-1, 3), axis=0)) == hu.size
    x, y, z = np.moveaxis(index, -1, 0)
    np.testing.assert_array_equal(volume.array, hu[z, y, x])


def refusal(paths: list[Path]) -> str:
    """The code of why these files are no volume."""
    try:
        read_volume(paths)
    except (PixelError, GeometryError) as error:
        return error.code
    return "measured"


def stored(
    one: Slice, n: int, change: Callable[[NDArray[np.int32]], NDArray[Any]], **elements: Any
) -> Dataset:
    """A slice whose stored values are made of its HU."""
    pixels = change(one.hu.astype(np.int32))
    return dataset(one, n, PixelData=pixels.tobytes(), **elements)


def new_uid() -> str:
    """A UID that no other object has."""
    return str(generate_uid())
