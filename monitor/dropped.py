"""Planning files that a person drops on the page.

A file is checked and durable under its final name before the decision that names it is journaled;
the name is the digest of its content, so that it can't change.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Final
from uuid import uuid4

from dicom_listener.encoded import DatasetError, split_syntax
from dicom_listener.headers import HeaderError, ObjectHeader, read_header
from monitor.decisions import CommandError, StructuresDropped
from monitor.structures import MAXIMUM_SEGMENTATION_BYTES, PLANNING_CLASSES, wrong_class

FOLDER: Final = "dropped"
"""Of these files, in the storage directory."""

PART = ".part"
"""Ends the name of a file that is still coming."""


@dataclass(frozen=True)
class Owner:
    """Whose file it must be."""

    patient_id: str
    study_instance_uid: str


class Incoming:
    """A file that is coming; ``end`` leaves nothing of it behind but what was kept.

    Raises
    ------
    CommandError
        ``not_written`` from each method: it can't be written.
    """

    def __init__(self, storage: Path) -> None:
        self._folder = storage / FOLDER
        self._path = self._folder / f"{uuid4().hex}{PART}"
        self._size = 0
        self._digest = sha256()
        with _written():
            self._folder.mkdir(parents=True, exist_ok=True)
            self._file = self._path.open("xb")

    def end(self) -> None:
        """It was kept, or is not wanted."""
        self._file.close()
        self._path.unlink(missing_ok=True)

    def write(self, part: bytes) -> None:
        """Some more of it.

        Raises
        ------
        CommandError
            ``too_large``, too.
        """
        self._size += len(part)
        if self._size > MAXIMUM_SEGMENTATION_BYTES:
            raise CommandError("too_large", "The file is larger than any structure set.")
        self._digest.update(part)
        with _written():
            self._file.write(part)

    def keep(self, owner: Owner, known: Callable[[str], Path | None]) -> StructuresDropped:
        """It is all there: check it, and make it durable.

        Parameters
        ----------
        known
            The file of an object of this UID that came before.

        Raises
        ------
        CommandError
            It can't be used, or is somebody else's.
        """
        with _written():
            self._file.flush()
            os.fsync(self._file.fileno())
        header = _header(self._path)
        _check_owner(header, owner)
        earlier = known(header.sop_instance_uid)
        if earlier is not None and not _same_content(earlier, self._path):
            text = "An object of this UID has come before with another content; it is not used."
            raise CommandError("other_content", text)
        digest = self._digest.hexdigest()
        with _written():
            self._path.replace(path_of(self._folder, digest))
            directory = os.open(self._folder, os.O_RDONLY)
            try:
                os.fsync(directory)
            finally:
                os.close(directory)
        return StructuresDropped(
            file=digest,
            series_instance_uid=header.series_instance_uid,
            sop_instance_uid=header.sop_instance_uid,
        )


class _written:  # noqa: N801  reads as a word in a with statement
    """What the system says of a file that can't be written, for people."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, OSError):
            text = f"The file could not be kept: {error.strerror}."
            raise CommandError("not_written", text) from error


def path_of(folder: Path, digest: str) -> Path:
    """Where a file is kept."""
    return folder / f"{digest}.dcm"


def tidy(storage: Path) -> None:
    """Remove what a service that died has left half written."""
    for path in (storage / FOLDER).glob(f"*{PART}"):
        path.unlink(missing_ok=True)


def _header(path: Path) -> ObjectHeader:
    try:
        header = read_header(path)
    except HeaderError as error:
        why = "it is no DICOM file." if error.code == "not_dicom" else error.text
        if path.stat().st_size == 0:
            why = "the file is empty."
        text = f"The structure set can't be read: {why}"
        raise CommandError("bad_structures", text) from error
    if header.sop_class_uid not in PLANNING_CLASSES:
        raise CommandError("bad_structures", wrong_class(header.sop_class_uid))
    return header


def _check_owner(header: ObjectHeader, owner: Owner) -> None:
    if header.patient_id != owner.patient_id:
        text = "The structure set belongs to ANOTHER PATIENT; it is not used."
        raise CommandError("another_patient", text)
    if header.study_instance_uid != owner.study_instance_uid:
        text = "The structure set belongs to another study of this patient; it is not used."
        raise CommandError("another_study", text)


def _same_content(one: Path, other: Path) -> bool:
    """Whether two files hold the same data set, to the byte, after what is written about them."""
    try:
        contents = [path.read_bytes() for path in (one, other)]
        parts = [split_syntax(content) for content in contents]
    except (OSError, DatasetError):
        return False
    (syntax, start), (other_syntax, other_start) = parts
    same = contents[0][start:] == contents[1][other_start:]
    return same and syntax == other_syntax
