"""A scanner's slices as files, and dcmtk's ``storescu``, which sends them as a scanner would."""

import os
import shutil
import statistics
import subprocess
import time
from collections.abc import Sequence
from contextlib import ExitStack
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset

from benchmarks.processes import MEGABYTE
from benchmarks.receivers import free_port
from scanner_sim.push import Destination

ROOT = "1.2.826.0.1.3680043.10.999.40"
"""Of the UIDs made here; all of one length, so that they can be exchanged in a file."""

FIRST = 100_000
SPACING_MM = 0.75
HEAD_BYTES = 8192
"""Where the UIDs of a slice are: long before its pixels."""

ENVIRONMENT = {"TCP_NODELAY": "1"}
"""dcmtk, and Orthanc with it, otherwise waits 40 ms for each answer (Nagle's algorithm against
delayed acknowledgement), and anything is quick beside that."""

PATIENCE_S = 120.0


class SendingError(RuntimeError):
    """The sender is not there, or failed; the message says how."""


@dataclass
class Slices:
    """One series on one folder; ``renew`` makes it another series.

    Attributes
    ----------
    scanner
        Tells the series of several scanners apart.
    number
        How many series this folder has been.
    """

    folder: Path
    scanner: int
    count: int
    number: int = 0

    @property
    def series_uid(self) -> str:
        """Series Instance UID, and the beginning of each SOP Instance UID."""
        return f"{ROOT}.{self.scanner}.{FIRST + self.number}"

    @property
    def octets(self) -> int:
        """Of all files."""
        return sum(path.stat().st_size for path in self.folder.iterdir())

    def write(self, template: Dataset) -> None:
        """Make the files: the template's picture, moved about, ``SPACING_MM`` apart."""
        self.folder.mkdir(parents=True)
        pixels = template.pixel_array
        corner = [float(value) for value in template.ImagePositionPatient]
        for n in range(self.count):
            dataset = deepcopy(template)
            dataset.SeriesInstanceUID = self.series_uid
            dataset.SOPInstanceUID = f"{self.series_uid}.{FIRST + n}"
            dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
            dataset.InstanceNumber = n + 1
            dataset.ImagePositionPatient = [*corner[:2], corner[2] + SPACING_MM * n]
            dataset.PixelData = np.roll(pixels, 7 * n, axis=0).tobytes()
            dataset.save_as(self.folder / f"{n:04d}.dcm", enforce_file_format=True)

    def renew(self) -> None:
        """Make another series of them, which no receiver has seen."""
        old = self.series_uid.encode()
        self.number += 1
        new = self.series_uid.encode()
        assert len(old) == len(new)
        for path in self.folder.iterdir():
            with path.open("r+b") as file:
                head = file.read(HEAD_BYTES)
                file.seek(0)
                file.write(head.replace(old, new))
        os.sync()  # or the receiver's own syncs would wait for these files


@dataclass(frozen=True)
class Speed:
    """Sendings to one receiver in one situation.

    Attributes
    ----------
    seconds
        Each, from the senders' start to the end of the last.
    start_s
        Of these, what the senders take before they connect.
    """

    octets: int
    seconds: tuple[float, ...]
    start_s: float

    @property
    def gross_mb_s(self) -> float:
        """Median, the senders' start counted."""
        return self.octets / statistics.median(self.seconds) / MEGABYTE

    @property
    def net_mb_s(self) -> float:
        """Median of each, from the senders' connection on."""
        return statistics.median(self.each_mb_s)

    @property
    def each_mb_s(self) -> tuple[float, ...]:
        """From the senders' connection on."""
        return tuple(self.octets / (s - self.start_s) / MEGABYTE for s in self.seconds)


def program() -> str:
    """Path of ``storescu``.

    Raises
    ------
    SendingError
        It is not installed.
    """
    path = shutil.which("storescu")
    if path is None:
        raise SendingError("storescu is missing: install the Debian package dcmtk.")
    return path


def send(destination: Destination, folders: Sequence[Path]) -> float:
    """Send each folder on an association of its own, all at once; seconds until the last has ended.

    Raises
    ------
    SendingError
        Not every object got its Success.
    """
    with ExitStack() as stack:
        began = time.perf_counter()
        senders = [
            stack.enter_context(
                subprocess.Popen(
                    _command(destination, folder),
                    env=os.environ | ENVIRONMENT,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    text=True,
                )
            )
            for folder in folders
        ]
        said = [sender.communicate(timeout=PATIENCE_S)[0] for sender in senders]
        seconds = time.perf_counter() - began
    for sender, text in zip(senders, said, strict=True):
        if sender.returncode:
            raise SendingError(f"storescu to {destination} failed:\n{text[-2000:]}")
    return seconds


def start_s(folders: Sequence[Path]) -> float:
    """Seconds that the senders take before they connect: their start, and a look at every file."""
    nobody = Destination("NOBODY", "127.0.0.1", free_port())
    began = time.perf_counter()
    senders = [
        subprocess.Popen(
            _command(nobody, folder), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        for folder in folders
    ]
    for sender in senders:
        sender.wait(PATIENCE_S)
    return time.perf_counter() - began


def _command(to: Destination, folder: Path) -> list[str]:
    """Explicit little endian, only the contexts that are needed, the longest PDU dcmtk knows."""
    options = ["-xe", "-R", "--max-pdu", "131072", "-aet", "CT", "-aec", to.ae_title]
    return [program(), *options, "--scan-directories", to.host, str(to.port), str(folder)]
