"""A scan is measured alike however it was sent: the numbers, not only the pixels."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pydicom
import pytest
from highdicom.legacy import LegacyConvertedEnhancedCTImage
from pydicom.dataset import FileDataset

from dicom_listener.headers import read_header
from dicom_listener.pixels import read_volume
from monitor.structures import read_structure_set
from segmentation.assessment import Assessed, Reference, assess, prepare
from segmentation.volume import Volume
from tests.dicom_listener.anatomy import Lattice, datasets, new_uid, slices, write
from tests.dicom_listener.multi_frame import enhanced
from tests.dicom_listener.test_syntaxes import convert
from tests.quick_case import QuickCase


@dataclass(frozen=True, eq=False)
class Plain:
    """The last scan of the quick case, as it was sent, and what is measured on it."""

    reference: Reference
    files: list[Path]
    volume: Volume
    measured: Assessed


@pytest.fixture(scope="module")
def plain(quick: QuickCase) -> Plain:
    contoured = read_structure_set(
        next(quick.structures.glob("*.dcm")), tumour_pattern="(?i)tumou?r", hilum_pattern="(?i)hil"
    ).structures
    structures = tuple(one.solid() for one in contoured)
    reference = prepare(
        read_volume(quick.planning.files), read_volume(quick.baseline.files), structures
    )
    scan = quick.monitoring[-1]
    volume = read_volume(scan.files)
    return Plain(reference, scan.files, volume, assess(volume, reference))


def descending(scan: list[FileDataset], folder: Path) -> list[Path]:
    return write(folder, scan[::-1])


def one_object(scan: list[FileDataset], folder: Path) -> list[Path]:
    return write(folder, [enhanced(scan)])


def legacy_converted(scan: list[FileDataset], folder: Path) -> list[Path]:
    for ds in scan:
        ds.PatientName, ds.StudyID, ds.PositionReferenceIndicator = "Quick^Case", "", ""
    converted = LegacyConvertedEnhancedCTImage(
        scan,
        series_instance_uid=new_uid(),
        series_number=9,
        sop_instance_uid=new_uid(),
        instance_number=1,
    )
    return write(folder, [converted])


def by(command: str) -> Callable[[list[FileDataset], Path], list[Path]]:
    """Converted by a program of dcmtk."""

    def change(scan: list[FileDataset], folder: Path) -> list[Path]:
        (source,) = write(folder, [enhanced(scan)])
        convert(command, "dcmtk", source, folder / "converted.dcm")
        return [folder / "converted.dcm"]

    return change


WAYS: Final[dict[str, Callable[[list[FileDataset], Path], list[Path]]]] = {
    "descending": descending,
    "enhanced": one_object,
    "legacy converted": legacy_converted,
    "deflated": by("dcmconv +td"),
    "JPEG lossless": by("dcmcjpeg +e1 +un"),
}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_to_the_last_digit(
    plain: Plain, tmp_path: Path, way: Callable[[list[FileDataset], Path], list[Path]]
) -> None:
    paths = way([pydicom.dcmread(path) for path in plain.files], tmp_path)
    assert sum(read_header(path).number_of_frames for path in paths) == len(plain.files)
    found = assess(read_volume(paths), plain.reference)
    assert found.margin.margin_mm == plain.measured.margin.margin_mm
    assert found.margin.covered_fraction == plain.measured.margin.covered_fraction
    assert found.ice.volume_ml == plain.measured.ice.volume_ml
    for one, other in zip(found.clearances, plain.measured.clearances, strict=True):
        assert one.distance_mm == other.distance_mm


ALIKE_MM: Final = 0.01
"""Interpolation adds up in another order."""

LAYOUTS: Final = {
    "feet first, prone": ("+x", "-y", "-z"),
    "head first, prone": ("-x", "-y", "+z"),
    "decubitus": ("+y", "-x", "+z"),
    "coronal": ("+x", "-z", "+y"),
    "sagittal": ("+y", "-z", "-x"),
}


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_from_another_side(plain: Plain, tmp_path: Path, layout: tuple[str, str, str]) -> None:
    """Voxels of the same places, in slices of another direction."""
    volume = plain.volume
    x, y, z = (float(v) for v in volume.origin_lps_mm)
    a, b, c = (float(v) for v in volume.spacing_mm)
    lattice = Lattice(volume.array.astype(np.int16), (x, y, z), (a, b, c))
    turned = read_volume(write(tmp_path, datasets(slices(*layout, of=lattice))))
    found, wanted = assess(turned, plain.reference), plain.measured
    pairs = [(found.margin.margin_mm, wanted.margin.margin_mm)]
    for one, other in zip(found.clearances, wanted.clearances, strict=True):
        pairs.append((one.distance_mm, other.distance_mm))
    for new, old in pairs:
        numbers = [(new.value, old.value), (new.low, old.low), (new.high, old.high)]
        assert all(abs(a - b) < ALIKE_MM for a, b in numbers), (new, old)
    assert found.ice.volume_ml == pytest.approx(wanted.ice.volume_ml, rel=1e-3)
