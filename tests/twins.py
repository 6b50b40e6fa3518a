"""Second series of a scan, as scanners make them: other instances, the same exposure."""

from pathlib import Path

import numpy as np
import pydicom
from pydicom.dataset import FileDataset
from scipy import ndimage

from tests.quick_case import Change, changed, renamed

EDGES = 1.5
"""How much a sharp kernel raises edges, and with them the noise."""


def set_to(**values: object) -> Change:
    """Elements set."""

    def change(dataset: FileDataset) -> None:
        for keyword, value in values.items():
            setattr(dataset, keyword, value)

    return change


def sharpened(dataset: FileDataset) -> None:
    """Pixels as a sharp kernel makes them of the same exposure."""
    soft = dataset.pixel_array.astype(np.float32)
    sigma = 1.0 / float(dataset.PixelSpacing[0])
    sharp = soft + EDGES * (soft - ndimage.gaussian_filter(soft, sigma))
    sharp = np.clip(np.rint(sharp), 0, 4095).astype(dataset.pixel_array.dtype)
    dataset.PixelData = sharp.tobytes()


def sharp_twin(folder: Path, target: Path, number: int) -> Path:
    """Of a sharp kernel, for lung and bone."""
    named = set_to(ConvolutionKernel="B60f", SeriesNumber=number, SeriesDescription="lung")
    return changed(folder, target, renamed("sharp"), sharpened, named)


def metal_reduced_twin(folder: Path, target: Path, number: int) -> Path:
    """With metal artefact reduction, as far as the header goes."""
    named = set_to(SeriesDescription="Abdomen iMAR", SeriesNumber=number)
    return changed(folder, target, renamed("iMAR"), named)


def uid_of(folder: Path) -> str:
    """Its SeriesInstanceUID."""
    return str(pydicom.dcmread(next(folder.glob("*.dcm"))).SeriesInstanceUID)
