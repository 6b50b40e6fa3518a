"""The durable store of received objects: what is acknowledged is here, whole, after any crash.

Layout, below the spool's folder::

    objects/<study>/<series>/<SOP instance>.dcm           DICOM files, exactly as received
    objects/<study>/<series>/<SOP instance>+<digest>.dcm  same UID, other content
    quarantine/<time>-<random>.dcm and .json              what was refused, and why
    incoming/                                             being written; emptied at start
    lock                                                  held by the one process that writes here

An object is written to ``incoming``, fsynced, renamed into its place, and the folder is fsynced;
then it is entered into the ledger (``ledger``), and only after that it may be acknowledged. How it
came in (``Receipt``) is also kept in the file meta information, in the elements that PS3.10, 7.1
has for this (``file_meta``), so that the ledger could be made anew from the files. Names come from
UIDs that ``headers`` has checked, never from a peer's words.
"""

import errno
import fcntl
import hashlib
import json
import logging
import math
import os
import threading
import uuid
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Final, Literal, Self

from dicom_listener import steps
from dicom_listener.encoded import DatasetError, split_part10
from dicom_listener.events import Outcome, Receipt
from dicom_listener.file_meta import (
    CLASS_UID,
    INSTANCE_UID,
    SYNTAX_UID,
    encode_meta,
    file_meta,
    read_receipt,
    receipt_json,
    uid_or_nothing,
)
from dicom_listener.folders import fsync_folder
from dicom_listener.headers import HeaderError, ObjectHeader, read_header
from dicom_listener.reception import META_BYTES, Reception

LOGGER = logging.getLogger(__name__)

DEFAULT_FREE_FLOOR_BYTES: Final = 2 << 30
"""Free space below which nothing is taken in: room for the journal and for some twenty scans."""

QUARANTINE_BYTES: Final = 1 << 30
"""Refused objects that are kept; beyond this the oldest go."""

COMPARED_BYTES: Final = 1 << 20
"""Read at a time when an object is compared with the one that is there."""

_DIGEST_CHARACTERS = 16


class SpoolError(Exception):
    """The spool can't keep an object; nothing was stored."""

    code: Literal["spool_full", "spool_failed"] = "spool_failed"


class SpoolFullError(SpoolError):
    """Free space is below the floor."""

    code: Literal["spool_full", "spool_failed"] = "spool_full"


class SpoolInUseError(Exception):
    """Another process writes to this folder."""


@dataclass(frozen=True)
class SpooledObject:
    """An object in the spool."""

    header: ObjectHeader
    path: Path
    receipt: Receipt
    outcome: Outcome


class Spool:
    """Owner of a folder of received objects. All methods may be called from any thread."""

    def __init__(
        self, directory: Path, *, free_floor_bytes: int = DEFAULT_FREE_FLOOR_BYTES
    ) -> None:
        """Take the folder, making it if need be, and clear away what was half written.

        Raises
        ------
        SpoolInUseError
            When another process holds it.
        OSError
            When it can't be made or written to.
        """
        self.directory = directory
        self._free_floor_bytes = free_floor_bytes
        self._objects = directory / "objects"
        self._incoming = directory / "incoming"
        self._quarantine = directory / "quarantine"
        for folder in (self._objects, self._incoming, self._quarantine):
            folder.mkdir(parents=True, exist_ok=True)
        self._lock_file = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
        try:
            fcntl.flock(self._lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._lock_file)
            raise SpoolInUseError(f"Another process already writes to {directory}.") from error
        for left_over in self._incoming.iterdir():
            LOGGER.warning("Removing %s, which was never acknowledged", left_over.name)
            left_over.unlink()
        for folder in (directory, directory.parent):
            fsync_folder(folder)
        self._lock = threading.Lock()
        self._failure: str | None = None
        self._quarantined = sum(p.stat().st_size for p in self._quarantine.iterdir())
        self._folders: set[Path] = set()
        self._first: dict[str, Path] = {
            path.stem: path for path in self._objects.glob("*/*/*.dcm") if "+" not in path.stem
        }

    def close(self) -> None:
        """Give the folder back."""
        if self._lock_file >= 0:
            fcntl.flock(self._lock_file, fcntl.LOCK_UN)
            os.close(self._lock_file)
            self._lock_file = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def sop_class_of(self, sop_instance_uid: str) -> str | None:
        """The SOP class of an object that is held, from its file; None where there is none.

        Of several with one UID, that of the first.
        """
        with self._lock:
            path = self._first.get(sop_instance_uid)
        if path is None:
            return None
        try:
            with path.open("rb") as file:
                meta, _ = split_part10(file.read(META_BYTES))
        except (OSError, DatasetError):
            LOGGER.exception("%s in the spool can't be read", path)
            return None
        return meta.get(CLASS_UID, b"").decode("ascii", "replace").strip("\0") or None

    def free_bytes(self) -> int:
        """Free space on the spool's file system, for unprivileged users."""
        state = os.statvfs(self.directory)
        return state.f_bavail * state.f_frsize

    def problem(self) -> str | None:
        """Why objects can't be taken in at this moment, for people; None when they can.

        A failure to write is forgotten with the next object that is stored.
        """
        try:
            free = self.free_bytes()
        except OSError as error:
            return f"The spool's folder can't be read: {error.strerror}."
        if free < self._free_floor_bytes:
            return (
                f"Only {free / 1e9:.1f} GB are free in the spool, "
                f"less than the floor of {self._free_floor_bytes / 1e9:.1f} GB."
            )
        return self._failure

    def receive(self) -> Reception:
        """A place for the bytes of one object to come in."""
        return Reception(self._incoming, self._need)

    def _need(self, count: int) -> None:
        try:
            self._check_free(count)
        except SpoolFullError as error:
            raise OSError(errno.ENOSPC, str(error)) from error

    def store(self, header: ObjectHeader, reception: Reception, receipt: Receipt) -> SpooledObject:
        """Keep an object for good: when this returns, it may be entered into the ledger.

        ``reception`` holds the data set as received, without file meta information. The same SOP
        Instance UID with the same content changes nothing; with another content, the object is kept
        beside the first, which stays as it is. Content is compared byte by byte, so the same object
        in another transfer syntax counts as another content.

        Raises
        ------
        SpoolFullError
            When free space is below the floor.
        SpoolError
            When writing fails; no part of the object is left.
        """
        try:
            stored = self._store(header, reception, receipt)
        except OSError as error:
            self._failure = f"Writing to the spool failed: {error.strerror}."
            LOGGER.exception("Writing to the spool failed")
            raise SpoolError(self._failure) from error
        self._failure = None
        return stored

    def _store(self, header: ObjectHeader, reception: Reception, receipt: Receipt) -> SpooledObject:
        folder = self._objects / header.study_instance_uid / header.series_instance_uid
        path = folder / f"{header.sop_instance_uid}.dcm"
        with self._lock:
            first = self._first.get(header.sop_instance_uid)
        if first is None:
            self._make_folder(folder)
            temporary = self._write_object(header, reception, receipt)
            with self._lock:
                first = self._first.get(header.sop_instance_uid)
                if first is None:
                    _rename(temporary, path)
                    self._first[header.sop_instance_uid] = path
            if first is None:
                steps.reached(steps.Step.RENAMED)
                fsync_folder(folder)
                steps.reached(steps.Step.NAMED)
                return SpooledObject(header, path, receipt, "new")
            # Another association was faster with the same UID.
            if reception.path is None:
                temporary.unlink()
        data = reception.view()
        if _same_content(first, header, data):
            fsync_folder(first.parent)  # its own writer may not have come so far
            return SpooledObject(header, first, receipt, "identical")
        digest = hashlib.sha256(header.transfer_syntax_uid.encode())
        digest.update(data)
        name = f"{header.sop_instance_uid}+{digest.hexdigest()[:_DIGEST_CHARACTERS]}.dcm"
        path = path.with_name(name)
        if not path.exists():
            self._make_folder(folder)
            _rename(self._write_object(header, reception, receipt), path)
        fsync_folder(folder)
        return SpooledObject(header, path, receipt, "conflicting")

    def _write_object(self, header: ObjectHeader, reception: Reception, receipt: Receipt) -> Path:
        """The whole object under a temporary name, durable."""
        if reception.path is None:
            return self._write_temporary(file_meta(header, receipt), reception.view())
        self._check_free(0)
        return reception.seal(file_meta(header, receipt, META_BYTES))

    def _make_folder(self, folder: Path) -> None:
        """The series' folder, its name durable."""
        with self._lock:
            if folder in self._folders:
                return
            folder.mkdir(parents=True, exist_ok=True)
            for parent in (folder.parent, self._objects):
                fsync_folder(parent)
            self._folders.add(folder)

    def quarantine(
        self,
        data: bytes | memoryview,
        receipt: Receipt,
        *,
        code: str,
        text: str,
        claims: Mapping[str, str],
    ) -> Path | None:
        """Keep what was refused, with the reason beside it, for people to look at.

        ``claims`` are the UIDs of the C-STORE request: ``sop_class_uid``, ``sop_instance_uid`` and
        ``transfer_syntax_uid``; they are written down, and used only where they are valid UIDs.
        Returns where the bytes are, or None when there is no room for them (which is logged).
        """
        name = f"{receipt.received_at:%Y%m%dT%H%M%S%f}-{uuid.uuid4().hex}"  # sorts by time
        reason = {"code": code, "text": text, "claims": dict(claims)} | receipt_json(receipt)
        meta = encode_meta(
            {
                CLASS_UID: uid_or_nothing(claims.get("sop_class_uid", "")),
                INSTANCE_UID: uid_or_nothing(claims.get("sop_instance_uid", "")),
                SYNTAX_UID: uid_or_nothing(claims.get("transfer_syntax_uid", "")),
            }
        )
        try:
            path = self._quarantine / f"{name}.dcm"
            _rename(self._write_temporary(meta, memoryview(data)), path)
            text_bytes = json.dumps(reason, indent=1, ensure_ascii=False).encode()
            _rename(self._write_temporary(b"", memoryview(text_bytes)), path.with_suffix(".json"))
            fsync_folder(self._quarantine)
            self._bound_quarantine(len(data))
        except (OSError, SpoolFullError) as error:
            LOGGER.warning("No place for a refused object (%s): %s", code, error)
            return None
        return path

    def _bound_quarantine(self, added: int) -> None:
        """Let the oldest go: a peer that sends the same wrong object for ever must not fill the
        disk for all."""
        with self._lock:
            self._quarantined += added
            if self._quarantined <= QUARANTINE_BYTES:
                return
            self._quarantined = 0
            for path in sorted(self._quarantine.glob("*.dcm"), reverse=True):  # newest first
                size = path.stat().st_size
                if self._quarantined + size > QUARANTINE_BYTES // 2:
                    path.unlink()
                    path.with_suffix(".json").unlink(missing_ok=True)
                else:
                    self._quarantined += size

    def unknown(self, known: Collection[Path], since: datetime | None = None) -> list[Path]:
        """Files of objects that are not ``known``, of those written after ``since``."""
        earliest = since.timestamp() if since is not None else -math.inf
        return [
            path
            for path in self._objects.glob("*/*/*.dcm")
            if path not in known and path.stat().st_mtime >= earliest
        ]

    def read(self, paths: Iterable[Path]) -> Iterator[SpooledObject]:
        """The objects in these files, oldest first.

        A file that can't be read any more is logged and left where it is.
        """
        found: list[tuple[Receipt, Path]] = []
        for path in paths:
            try:
                found.append((read_receipt(path), path))
            except (DatasetError, OSError):
                LOGGER.exception("%s in the spool can't be read", path)
        for receipt, path in sorted(found, key=lambda pair: pair[0].received_at):
            try:
                header = read_header(path)
            except (HeaderError, OSError):
                LOGGER.exception("%s in the spool can't be read", path)
                continue
            outcome: Outcome = "conflicting" if "+" in path.stem else "new"
            yield SpooledObject(header, path, receipt, outcome)

    def _check_free(self, wanted: int) -> None:
        free = self.free_bytes()
        if free - wanted < self._free_floor_bytes:
            raise SpoolFullError(
                f"{free / 1e9:.1f} GB are free, below the floor of "
                f"{self._free_floor_bytes / 1e9:.1f} GB."
            )

    def _write_temporary(self, meta: bytes, data: memoryview) -> Path:
        """A whole, fsynced file in ``incoming``; nothing is left there when writing fails."""
        self._check_free(len(data))
        path = self._incoming / f"{uuid.uuid4().hex}.part"
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o640)
        try:
            try:
                _write_all(handle, [memoryview(meta), data])
                steps.reached(steps.Step.WRITTEN)
                os.fsync(handle)
                steps.reached(steps.Step.SYNCED)
            finally:
                os.close(handle)
        except OSError:
            path.unlink(missing_ok=True)
            raise
        return path


def _rename(temporary: Path, path: Path) -> None:
    """Rename, or leave nothing."""
    try:
        temporary.rename(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise


def _write_all(handle: int, parts: list[memoryview]) -> None:
    """``writev`` until all is written: a full disk or a signal makes it stop early."""
    while parts:
        written = os.writev(handle, parts)
        while parts and written >= len(parts[0]):
            written -= len(parts.pop(0))
        if parts:
            parts[0] = parts[0][written:]


def _same_content(path: Path, header: ObjectHeader, data: memoryview) -> bool:
    # Read, not mapped: a sector that can't be read is an error then, and not the process's end.
    try:
        with path.open("rb") as file:
            meta, offset = split_part10(file.read(META_BYTES))
            size = os.fstat(file.fileno()).st_size - offset
            syntax = meta.get(SYNTAX_UID, b"").strip(b"\0").decode("ascii", "replace")
            if syntax != header.transfer_syntax_uid or size != len(data):
                return False
            file.seek(offset)
            starts = range(0, size, COMPARED_BYTES)
            return all(file.read(COMPARED_BYTES) == data[n : n + COMPARED_BYTES] for n in starts)
    except (DatasetError, OSError):
        LOGGER.exception("%s in the spool can't be read", path)
        return False
