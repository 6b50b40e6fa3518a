"""Writing a procedure's files to a folder, and its truth beside them."""

import json
import re
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset

from scanner_sim.procedure import Event, PhaseEvent, StructuresEvent
from scanner_sim.truth import ScanTruth


class ProcedureWriter:
    """Writes events as they come: ``DIR/<n>-<label>/IM0001.dcm``.

    Parameters
    ----------
    directory
        Made when absent.
    truth_directory
        Where ``truth.json`` and ``<SeriesInstanceUID>.npz`` (array ``ice``) go; keep it outside
        ``directory`` when that is to hold DICOM files only. None writes no truth.
    """

    def __init__(self, directory: Path, truth_directory: Path | None = None) -> None:
        self._directory = directory
        self._truth_directory = truth_directory
        self._count = 0
        self._truths: list[dict[str, object]] = []
        self._phases: list[dict[str, object]] = []

    def write(self, event: Event) -> Path | None:
        """Write one event; its folder, or None for a phase."""
        if isinstance(event, PhaseEvent):
            self._phases.append({"at_s": event.at_s, "phase": event.phase})
            self._write_truth()
            return None
        if isinstance(event, StructuresEvent):
            return self._write_files("structures", [event.dataset], "RS")
        folder = self._write_files(event.label, event.datasets, "IM")
        if event.truth is not None:
            self._add_truth(event.label, event.truth)
        return folder

    def _write_files(self, label: str, datasets: list[Dataset], prefix: str) -> Path:
        self._count += 1
        slug = re.sub(r"[^a-z0-9.]+", "-", label.lower())
        folder = self._directory / f"{self._count:02d}-{slug}"
        folder.mkdir(parents=True, exist_ok=True)
        for n, dataset in enumerate(datasets, start=1):
            dataset.save_as(folder / f"{prefix}{n:04d}.dcm", enforce_file_format=True)
        return folder

    def _add_truth(self, label: str, truth: ScanTruth) -> None:
        if self._truth_directory is None:
            return
        self._truth_directory.mkdir(parents=True, exist_ok=True)
        np.savez_compressed(
            self._truth_directory / f"{truth.series_instance_uid}.npz", ice=truth.ice
        )
        self._truths.append({"label": label, **truth.as_json()})
        self._write_truth()

    def _write_truth(self) -> None:
        if self._truth_directory is None:
            return
        self._truth_directory.mkdir(parents=True, exist_ok=True)
        text = json.dumps({"scans": self._truths, "phases": self._phases}, indent=1)
        (self._truth_directory / "truth.json").write_text(text + "\n", encoding="utf-8")


def load_ice(path: Path) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    """The ice mask of a ``.npz`` written here, [k, j, i]."""
    with np.load(path) as archive:
        return np.asarray(archive["ice"], dtype=bool)
