"""The simulator's quick procedure as files, and what is true of it."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.dataset import FileDataset
from pydicom.uid import generate_uid

from scanner_sim.cases import CASES
from scanner_sim.procedure import ScanEvent, StructuresEvent, run_procedure
from scanner_sim.write import ProcedureWriter, load_ice

SEED = 7

Change = Callable[[FileDataset], object]


@dataclass(frozen=True)
class Scan:
    """One series: its folder, and what the simulator knows of it."""

    folder: Path
    role: str
    uid: str
    margin_mm: float | None
    hilum_distance_mm: float | None
    ice_file: Path

    @property
    def files(self) -> list[Path]:
        """Its slices, from the feet up."""
        return sorted(self.folder.glob("*.dcm"))

    def ice(self) -> NDArray[np.bool_]:
        """The true ice, [k, j, i] on the scan's voxels."""
        return load_ice(self.ice_file)


@dataclass(frozen=True)
class QuickCase:
    """All of it: planning, contours, needles in, two scans of the freeze."""

    folder: Path
    planning: Scan
    structures: Path
    baseline: Scan
    monitoring: tuple[Scan, Scan]

    @property
    def folders(self) -> list[Path]:
        """In the order of a procedure."""
        before = [self.planning.folder, self.structures, self.baseline.folder]
        return [*before, *(scan.folder for scan in self.monitoring)]

    @property
    def study_uid(self) -> str:
        """StudyInstanceUID of everything."""
        return str(pydicom.dcmread(self.planning.files[0]).StudyInstanceUID)


def make_quick_case(root: Path, start: datetime, *, salt: str = "") -> QuickCase:
    """Simulate it; the files go to ``root/files``, the truth beside them."""
    writer = ProcedureWriter(root / "files", root / "truth")
    folders: list[Path] = []
    roles: list[str] = []
    structures = None
    for event in run_procedure(CASES["quick"], seed=SEED, start=start, salt=salt):
        folder = writer.write(event)
        if isinstance(event, StructuresEvent):
            structures = folder
        elif isinstance(event, ScanEvent) and folder is not None:
            folders.append(folder)
            roles.append(event.role)
    assert structures is not None
    assert roles == ["planning", "baseline", "monitoring", "monitoring"]
    truths = json.loads((root / "truth" / "truth.json").read_text())["scans"]
    scans = [_scan(f, truth, root) for f, truth in zip(folders, truths, strict=True)]
    planning, baseline, first, second = scans
    return QuickCase(root / "files", planning, structures, baseline, (first, second))


def _scan(folder: Path, truth: dict[str, Any], root: Path) -> Scan:
    uid = truth["series_instance_uid"]
    return Scan(
        folder=folder,
        role=truth["role"],
        uid=uid,
        margin_mm=truth["margin_mm"],
        hilum_distance_mm=truth["hilum_distance_mm"],
        ice_file=root / "truth" / f"{uid}.npz",
    )


def read(folder: Path, *changes: Change) -> list[FileDataset]:
    """A folder's objects, each put through the changes."""
    found = []
    for path in sorted(folder.glob("*.dcm")):
        dataset = pydicom.dcmread(path)
        for change in changes:
            change(dataset)
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
        found.append(dataset)
    return found


def changed(folder: Path, target: Path, *changes: Change) -> Path:
    """A copy of a folder, each of its objects put through the changes."""
    target.mkdir(parents=True, exist_ok=True)
    for n, dataset in enumerate(read(folder, *changes), start=1):
        dataset.save_as(target / f"{n:04d}.dcm", enforce_file_format=True)
    return target


def acquired_at(moment: datetime) -> Change:
    """Acquired from this time on, a millisecond a slice."""

    def change(dataset: FileDataset) -> None:
        at = moment + timedelta(milliseconds=int(dataset.InstanceNumber))
        dataset.TimezoneOffsetFromUTC = at.strftime("%z")
        dataset.AcquisitionDateTime = at.strftime("%Y%m%d%H%M%S.%f%z")
        dataset.AcquisitionDate = at.strftime("%Y%m%d")
        dataset.AcquisitionTime = at.strftime("%H%M%S.%f")

    return change


def renamed(name: str) -> Change:
    """Another series, with other instances, of the same study."""

    def change(dataset: FileDataset) -> None:
        for keyword in ("SeriesInstanceUID", "SOPInstanceUID"):
            old = str(dataset[keyword].value)
            setattr(dataset, keyword, generate_uid(entropy_srcs=[old, name]))

    return change
