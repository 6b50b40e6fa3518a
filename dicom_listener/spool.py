"""The durable store of received objects: what is acknowledged is here, whole, after any crash.

Layout, below the spool's folder::

    objects/<study>/<series>/<SOP instance>.dcm           DICOM files, exactly as received
    objects/<study>/<series>/<SOP instance>+<digest>.dcm  same UID, other content
    quarantine/<time>-<random>.dcm and .json              what was refused, and why
    incoming/                                             being written; emptied at start
    lock                                                  held by the one process that writes here

An object is written to ``incoming``, fsynced, renamed into its place, and the folder is fsynced;
only after that it may be acknowledged. How it came in (``Receipt``) is kept in the file meta
information, in the elements that PS3.10, 7.1 has for this, so it is as durable as the object.
Names come from UIDs that ``headers`` has checked, never from a peer's words.
"""

import fcntl
import hashlib
import json
import logging
import os
import struct
import threading
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Final, Literal, Self

from dicom_listener.encoded import DatasetError, split_part10
from dicom_listener.events import Outcome, Receipt
from dicom_listener.headers import HeaderError, ObjectHeader, read_header
from dicom_listener.syntaxes import is_uid

LOGGER = logging.getLogger(__name__)

IMPLEMENTATION_CLASS_UID: Final = "2.25.149725947943281424729382909920614848901"
"""Ours, made from a random UUID (PS3.5, B.2)."""

RECEIPT_UID: Final = "2.25.137404802225645766551506216464855009697"
"""Private Information Creator UID of the receipt."""

DEFAULT_FREE_FLOOR_BYTES: Final = 2 << 30
"""Free space below which nothing is taken in: room for the journal and for some twenty scans."""

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
            _fsync_folder(folder)
        self._lock = threading.Lock()
        self._failure: str | None = None
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

    def store(
        self, header: ObjectHeader, data: bytes | memoryview, receipt: Receipt
    ) -> SpooledObject:
        """Keep an object for good: when this returns, it may be acknowledged.

        ``data`` is the data set as received, without file meta information. The same SOP Instance
        UID with the same content changes nothing; with another content, the object is kept beside
        the first, which stays as it is. Content is compared byte by byte, so the same object in
        another transfer syntax counts as another content.

        Raises
        ------
        SpoolFullError
            When free space is below the floor.
        SpoolError
            When writing fails; no part of the object is left.
        """
        try:
            stored = self._store(header, memoryview(data), receipt)
        except OSError as error:
            self._failure = f"Writing to the spool failed: {error.strerror}."
            LOGGER.exception("Writing to the spool failed")
            raise SpoolError(self._failure) from error
        self._failure = None
        return stored

    def _store(self, header: ObjectHeader, data: memoryview, receipt: Receipt) -> SpooledObject:
        folder = self._objects / header.study_instance_uid / header.series_instance_uid
        path = folder / f"{header.sop_instance_uid}.dcm"
        with self._lock:
            first = self._first.get(header.sop_instance_uid)
        if first is None:
            self._make_folder(folder)
            temporary = self._write_temporary(_file_meta(header, receipt), data)
            with self._lock:
                first = self._first.get(header.sop_instance_uid)
                if first is None:
                    _rename(temporary, path)
                    self._first[header.sop_instance_uid] = path
            if first is None:
                _fsync_folder(folder)
                return SpooledObject(header, path, receipt, "new")
            temporary.unlink()  # another association was faster with the same UID
        if _same_content(first, header, data):
            _fsync_folder(first.parent)  # its own writer may not have come so far
            return SpooledObject(header, first, receipt, "identical")
        digest = hashlib.sha256(header.transfer_syntax_uid.encode() + data).hexdigest()
        path = path.with_name(f"{header.sop_instance_uid}+{digest[:_DIGEST_CHARACTERS]}.dcm")
        if not path.exists():
            self._make_folder(folder)
            temporary = self._write_temporary(_file_meta(header, receipt), data)
            _rename(temporary, path)
        _fsync_folder(folder)
        return SpooledObject(header, path, receipt, "conflicting")

    def _make_folder(self, folder: Path) -> None:
        """The series' folder, its name durable."""
        with self._lock:
            if folder in self._folders:
                return
            folder.mkdir(parents=True, exist_ok=True)
            for parent in (folder.parent, self._objects):
                _fsync_folder(parent)
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
        reason = {"code": code, "text": text, "claims": dict(claims)} | _receipt_json(receipt)
        meta = _encode_meta(
            {
                _CLASS: _uid(claims.get("sop_class_uid", "")),
                _INSTANCE: _uid(claims.get("sop_instance_uid", "")),
                _SYNTAX: _uid(claims.get("transfer_syntax_uid", "")),
            }
        )
        try:
            path = self._quarantine / f"{name}.dcm"
            _rename(self._write_temporary(meta, memoryview(data)), path)
            text_bytes = json.dumps(reason, indent=1, ensure_ascii=False).encode()
            _rename(self._write_temporary(b"", memoryview(text_bytes)), path.with_suffix(".json"))
            _fsync_folder(self._quarantine)
        except (OSError, SpoolFullError) as error:
            LOGGER.warning("No place for a refused object (%s): %s", code, error)
            return None
        return path

    def scan(self) -> Iterator[SpooledObject]:
        """Everything stored, oldest first, for starting again after a stop or a crash.

        A file that can't be read any more is logged and left where it is.
        """
        found: list[tuple[Receipt, Path]] = []
        for path in self._objects.glob("*/*/*.dcm"):
            try:
                found.append((_read_receipt(path), path))
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
                os.fsync(handle)
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


def _fsync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _same_content(path: Path, header: ObjectHeader, data: memoryview) -> bool:
    stored = path.read_bytes()
    try:
        meta, offset = split_part10(stored)
    except DatasetError:
        LOGGER.exception("%s in the spool can't be read", path)
        return False
    same_syntax = meta.get(_SYNTAX, b"").strip(b"\0") == header.transfer_syntax_uid.encode()
    return same_syntax and memoryview(stored)[offset:] == data


# File meta information (PS3.10, 7.1), always Explicit VR Little Endian.
_VERSION = 0x00020001
_CLASS = 0x00020002
_INSTANCE = 0x00020003
_SYNTAX = 0x00020010
_IMPLEMENTATION = 0x00020012
_SOURCE_AE = 0x00020016
_PRIVATE_CREATOR = 0x00020100
_PRIVATE = 0x00020102
_VRS = {
    _CLASS: b"UI",
    _INSTANCE: b"UI",
    _SYNTAX: b"UI",
    _IMPLEMENTATION: b"UI",
    _SOURCE_AE: b"AE",
    _PRIVATE_CREATOR: b"UI",
}


def _uid(text: str) -> bytes:
    return text.encode("ascii") if is_uid(text) else b""


def _encode_meta(values: Mapping[int, bytes]) -> bytes:
    """Preamble, prefix and file meta information; empty values are left out."""
    body = b""
    known = {_VERSION: b"\x00\x01", _IMPLEMENTATION: IMPLEMENTATION_CLASS_UID.encode(), **values}
    for tag, value in sorted(known.items()):
        if not value:
            continue
        vr = _VRS.get(tag, b"OB")
        padded = value + (b" " if vr == b"AE" else b"\0") * (len(value) % 2)
        size = len(padded)
        length = struct.pack("<HL", 0, size) if vr == b"OB" else struct.pack("<H", size)
        body += struct.pack("<HH2s", tag >> 16, tag & 0xFFFF, vr) + length + padded
    return bytes(128) + b"DICM" + struct.pack("<HH2sHL", 2, 0, b"UL", 4, len(body)) + body


def _file_meta(header: ObjectHeader, receipt: Receipt) -> bytes:
    return _encode_meta(
        {
            _CLASS: header.sop_class_uid.encode(),
            _INSTANCE: header.sop_instance_uid.encode(),
            _SYNTAX: header.transfer_syntax_uid.encode(),
            _SOURCE_AE: receipt.calling_ae_title.encode("ascii", "replace")[:16],
            _PRIVATE_CREATOR: RECEIPT_UID.encode(),
            _PRIVATE: json.dumps(_receipt_json(receipt)).encode(),
        }
    )


def _receipt_json(receipt: Receipt) -> dict[str, str]:
    return asdict(receipt) | {"received_at": receipt.received_at.isoformat()}


def _read_receipt(path: Path) -> Receipt:
    """The receipt of a stored file; for a foreign file what can be told from the outside."""
    with path.open("rb") as file:
        meta, _ = split_part10(file.read(4096))
        changed = datetime.fromtimestamp(os.fstat(file.fileno()).st_mtime, UTC)
    source = meta.get(_SOURCE_AE, b"").decode("ascii", "replace").strip()
    if meta.get(_PRIVATE_CREATOR, b"").strip(b"\0") == RECEIPT_UID.encode():
        try:
            facts = json.loads(meta[_PRIVATE].rstrip(b"\0"))
            facts["received_at"] = datetime.fromisoformat(facts["received_at"])
            return Receipt(**facts)
        except (KeyError, ValueError, TypeError):
            LOGGER.warning("The receipt in %s can't be read", path)
    return Receipt(changed, "", source, "")
