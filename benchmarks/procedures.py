"""One whole procedure: analysed as in service, and scored scan by scan."""

import hashlib
import json
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import highdicom as hd
import numpy as np
import pydicom
import SimpleITK as sitk  # noqa: N813  its usual name

from benchmarks import naive, pictures
from benchmarks.forecasts import Earlier
from benchmarks.reading import Planned, ScoringError, read_hu, read_mask, read_planned, scan_grid
from benchmarks.scoring import (
    CaseScore,
    ScanScore,
    published_matrix,
    refusal,
    score_scan,
)
from benchmarks.simulated import Stored, stored
from benchmarks.solids import Solid
from monitor.analyse import analyse
from monitor.config import Settings
from scanner_sim.cases import CASES, Case

OWN_TO_A_RUN = frozenset({"id", "procedure_id", "last_slice_received_at", "published_at"})
"""What of a measurement is told by the clock or by chance, and is no figure."""


@dataclass(frozen=True)
class Outcome:
    """A scored case.

    Attributes
    ----------
    digest
        Of every published figure, to the last bit.
    pictures
        PNG of the case's worst scan, by criterion; none of a case with a real CT.
    """

    score: CaseScore
    digest: str
    pictures: dict[str, bytes]


def run_case(name: str, seed: int, directory: Path, anatomy: Path | None) -> Outcome:
    """Simulate a case unless its files are there, analyse and score it."""
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    case = CASES[name]
    procedure = stored(case, seed, directory, anatomy)
    with TemporaryDirectory(prefix="icemargin-found-") as scratch:
        found = Path(scratch)
        analyse([procedure.files], found, Settings())
        return score_case(case, procedure, found)


def digest_again(name: str, seed: int, directory: Path, anatomy: Path | None) -> str:
    """Analyse a case that is there, and digest what was measured."""
    procedure = stored(CASES[name], seed, directory, anatomy)
    with TemporaryDirectory(prefix="icemargin-again-") as scratch:
        found = Path(scratch)
        analyse([procedure.files], found, Settings())
        return figures_digest(_measurements(found))


def figures_digest(measurements: list[dict[str, Any]]) -> str:
    """SHA-256 of all figures and texts; JSON writes each number so that no two share a text."""
    figures = [{k: v for k, v in m.items() if k not in OWN_TO_A_RUN} for m in measurements]
    return hashlib.sha256(json.dumps(figures, sort_keys=True).encode()).hexdigest()


def score_case(case: Case, procedure: Stored, found: Path) -> Outcome:
    """Judge what ``analyse`` wrote into ``found``.

    Raises
    ------
    ScoringError
        It does not fit the procedure.
    """
    judge = _Judge(procedure, found)
    scans = []
    misread = []
    for truth in judge.truths:
        uid = truth["series_instance_uid"]
        if truth["role"] == "monitoring":
            scans.append(judge.scan(truth))
        elif (taken := judge.role(uid)) != truth["role"]:
            misread.append(f"The {truth['role']} scan was taken as {taken}.")
    score = CaseScore(
        case.name, case.description, tuple(scans), tuple(misread), case.part, case.source
    )
    # Pictures of a real CT are somebody's, and never leave the machine.
    drawn = judge.drawn(scans) if case.source == "phantom" else {}
    return Outcome(score, figures_digest(judge.measurements), drawn)


def _measurements(found: Path) -> list[dict[str, Any]]:
    document: list[dict[str, Any]] = json.loads(
        (found / "measurements.json").read_text(encoding="utf-8")
    )
    return document


class _Judge:
    """One procedure's truth and what was found, side by side."""

    def __init__(self, procedure: Stored, found: Path) -> None:
        self._procedure = procedure
        self._found = found
        self.truths = procedure.truths()
        self.measurements = _measurements(found)
        self._by_uid = {m["series_instance_uid"]: m for m in self.measurements}
        self._files: dict[str, list[Path]] = {}
        self._grids: dict[str, hd.VolumeGeometry] = {}
        structures = []
        for folder in sorted(path for path in procedure.files.iterdir() if path.is_dir()):
            files = sorted(folder.glob("*.dcm"))
            header = pydicom.dcmread(files[0], specific_tags=["SeriesInstanceUID", "Modality"])
            self._files[str(header.SeriesInstanceUID)] = files
            if header.Modality == "RTSTRUCT":
                structures += files
        self._planned = self._read_planned(structures)
        self._before: tuple[str, Earlier] | None = None

    def role(self, uid: str) -> str:
        """What a series was taken for."""
        return str(self._by_uid[uid]["role"]) if uid in self._by_uid else "nothing"

    def scan(self, truth: dict[str, Any]) -> ScanScore:
        """Score the next scan; in order of acquisition."""
        uid = truth["series_instance_uid"]
        measurement = self._by_uid.get(uid)
        affine = np.asarray(self._grid(uid).affine, dtype=np.float64)
        true = Solid(self._procedure.ice(uid), affine)
        found = self._ice(uid)
        if self._before is not None and self._before[0] != truth["phase"]:
            self._before = None
        score = score_scan(
            truth,
            measurement,
            found,
            true,
            tumour_lps_mm=self._planned.points_lps_mm,
            before=None if self._before is None else self._before[1],
        )
        if measurement is None or refusal(measurement) is not None:
            return score
        self._before = truth["phase"], Earlier(float(truth["at_s"]), measurement)
        to_scan = published_matrix(measurement)
        if to_scan is None or found is None or not (found.mask.any() and true.mask.any()):
            return score
        hu, _ = read_hu(self._files[uid])
        return replace(score, naive=naive.compare(truth, hu, found, true, self._planned, to_scan))

    def drawn(self, scans: list[ScanScore]) -> dict[str, bytes]:
        """PNG of the worst scan by each criterion."""
        drawn = {}
        shown: dict[str, pictures.Shown] = {}
        for criterion, score in pictures.worst(scans).items():
            uid = score.series_instance_uid
            if uid not in shown:
                shown[uid] = self._shown(uid)
            scan = shown[uid]
            if scan.found.mask.any() and scan.true.mask.any():
                point = pictures.place(criterion, self._by_uid[uid], scan.found, scan.true)
                drawn[criterion] = pictures.picture(scan, point)
        return drawn

    def _shown(self, uid: str) -> pictures.Shown:
        """What there is to see of a measured scan."""
        hu, affine = read_hu(self._files[uid])
        found = self._ice(uid)
        assert found is not None  # scored, so written
        truth = next(t for t in self.truths if t["series_instance_uid"] == uid)
        return pictures.Shown(
            hu=hu,
            affine=affine,
            found=found,
            true=Solid(self._procedure.ice(uid), affine),
            planned=self._planned,
            put=published_matrix(self._by_uid[uid]),
            lies=np.array(truth["kidney_matrix"], dtype=np.float64),
        )

    def _ice(self, uid: str) -> Solid | None:
        written = self._found / f"{uid}.seg.dcm"
        if not written.exists():
            return None
        grid = self._grid(uid)
        return Solid(read_mask(written, grid), np.asarray(grid.affine, dtype=np.float64))

    def _grid(self, uid: str) -> hd.VolumeGeometry:
        if uid not in self._grids:
            self._grids[uid] = scan_grid(self._files[uid])
        return self._grids[uid]

    def _read_planned(self, structures: list[Path]) -> Planned:
        planning = [t["series_instance_uid"] for t in self.truths if t["role"] == "planning"]
        if len(structures) != 1 or len(planning) != 1:
            raise ScoringError(
                f"{len(structures)} structure sets and {len(planning)} planning scans"
            )
        return read_planned(structures[0], self._files[planning[0]])
