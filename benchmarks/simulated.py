"""Simulated procedures as files with their truth, made once and used again while they are true."""

import hashlib
import json
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import scanner_sim
from scanner_sim.cases import Case
from scanner_sim.procedure import run_procedure
from scanner_sim.write import ProcedureWriter, load_ice

START = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
"""Every simulated procedure begins then, so that a seed gives the same bytes on any day."""

_LIBRARIES = ("numpy", "scipy", "pydicom")
"""What the simulator's numbers and files depend on besides its own sources."""

_SENDING = frozenset({"play.py", "push.py"})
"""The simulator's sources that only bring files to a peer, and never touch what is in them."""

_DIGEST_CHARACTERS = 12


@dataclass(frozen=True)
class Stored:
    """One procedure on disk.

    Attributes
    ----------
    files
        Folder of DICOM files only, one folder a series in it.
    truth
        Folder of what is true of them.
    """

    files: Path
    truth: Path

    def truths(self) -> list[dict[str, Any]]:
        """What is true of each scan but the masks, in the order of acquisition."""
        document = json.loads((self.truth / "truth.json").read_text(encoding="utf-8"))
        scans: list[dict[str, Any]] = document["scans"]
        return scans

    def ice(self, series_instance_uid: str) -> NDArray[np.bool_]:
        """True ice of one scan, [k, j, i] on its voxels, k ascending along the normal."""
        return load_ice(self.truth / f"{series_instance_uid}.npz")


def sources_digest(folder: Path | None = None) -> str:
    """Digest of the simulator's sources and of the libraries it rests on."""
    folder = folder or Path(scanner_sim.__path__[0])
    sources = sorted(path for path in folder.rglob("*.py") if path.name not in _SENDING)
    digest = _digest(sources, folder)
    for name in _LIBRARIES:
        digest.update(f"{name} {version(name)}\n".encode())
    return digest.hexdigest()[:_DIGEST_CHARACTERS]


def key(case: Case, seed: int, anatomy: Path | None) -> str:
    """Names everything that the files of a procedure follow from."""
    digest = hashlib.sha256(f"{sources_digest()} {case!r} {START.isoformat()}".encode())
    if case.source == "ct" and anatomy is not None:
        files = sorted(path for path in anatomy.rglob("*") if path.is_file())
        digest.update(_digest(files, anatomy).digest())
    return f"{case.name}-seed{seed}-{digest.hexdigest()[:_DIGEST_CHARACTERS]}"


def stored(case: Case, seed: int, directory: Path, anatomy: Path | None = None) -> Stored:
    """The procedure's files under the directory; simulated unless they are there already.

    Raises
    ------
    ValueError
        No folder for a case that needs a real CT.
    """
    place = directory / key(case, seed, anatomy)
    found = Stored(place / "files", place / "truth")
    if place.exists():
        return found
    # Under its final name only when it is whole: a run that was broken off leaves no half of one.
    unfinished = place.with_name(f"{place.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    writer = ProcedureWriter(unfinished / "files", unfinished / "truth")
    for event in run_procedure(case, seed=seed, start=START, anatomy_dir=anatomy):
        writer.write(event)
    unfinished.rename(place)
    return found


def _digest(files: Iterable[Path], folder: Path) -> "hashlib._Hash":
    digest = hashlib.sha256()
    for path in files:
        digest.update(str(path.relative_to(folder)).encode())
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest
