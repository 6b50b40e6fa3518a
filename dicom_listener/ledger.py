"""The ledger: everything the listener has done, in order, durable before a peer is answered.

It is the only way from the listener to whoever measures: one process writes it, others follow it
at their own pace, from its start after a crash. So nothing stands between the two that could
overflow, and neither can hold up the other. To people it is the audit trail of the DICOM side.

Layout: ``ledger/00000001.jsonl`` and so on, one JSON object a line::

    {"event":"ObjectStored","data":{...},"crc32":"89abcdef"}

The checksum (as in zlib) is of all before ``,"crc32"``. A line whose writing was cut short has no
end or a wrong sum; it was never answered, and is cut off at the next start.
"""

import errno
import logging
import os
import threading
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any, Final, get_args

from pydantic import TypeAdapter, ValidationError

from dicom_listener import steps
from dicom_listener.events import ListenerEvent, ObjectRefused, ObjectStored
from dicom_listener.folders import fsync_folder

LOGGER = logging.getLogger(__name__)

SEGMENT_BYTES: Final = 8 << 20
"""A file longer than this is followed by a new one: some 6000 objects."""

ALWAYS_READ: Final = 2
"""Files that count as recent whatever the clock says: it may have been wrong."""

READ_BYTES: Final = 128 << 10
"""Read at a time: some 100 objects. A line may be longer (an enhanced object has a plane for each
frame)."""

_MARK = b',"crc32":"'
_ADAPTERS: Final[dict[str, TypeAdapter[Any]]] = {
    kind.__name__: TypeAdapter(kind) for kind in get_args(ListenerEvent)
}


class UnsyncedError(OSError):
    """An event was entered, and it is not known whether it is durable."""


class Ledger:
    """The writing end. All methods may be called from any thread.

    Parameters
    ----------
    directory
        The spool's folder; the caller holds its lock. Paths of objects are kept relative to it.

    Raises
    ------
    OSError
        When the folder can't be made or read.
    """

    def __init__(self, directory: Path) -> None:
        self._root = directory
        self._folder = directory / "ledger"
        self._folder.mkdir(parents=True, exist_ok=True)
        self._lock = threading.Lock()
        self._syncing = threading.Lock()
        segments = _segments(self._folder)
        if segments:
            _cut_torn_end(segments[-1])
        self._number = int(segments[-1].stem) if segments else 0
        self._handle = -1
        self._before = -1
        self._size = 0
        self._written = 0
        self._synced = 0
        self._lost: list[range] = []
        self._left = False
        self._open(fresh=not segments)

    def append(self, event: ListenerEvent, *, durable: bool = True) -> None:
        """Write an event down; when this returns it is durable, unless ``durable`` is false.

        Raises
        ------
        UnsyncedError
            When it was written and can't be made durable; it may be read all the same.
        OSError
            When it can't be written; nothing of it is left then.
        """
        line = _encode(event, self._root)
        with self._lock:
            self._write(line)
            self._written += 1
            number, handle = self._written, self._handle
            if self._before >= 0 and self._syncing.acquire(blocking=False):
                self._close_before(handle)
                self._syncing.release()
        steps.reached(steps.Step.ENTERED)
        if durable:
            self._sync(number, handle)
            steps.reached(steps.Step.JOURNALED)

    def events(self, start: "Start | None" = None) -> Iterator[ListenerEvent]:
        """Everything written so far, from the start."""
        follower = Follower(self._root, start)
        try:
            while events := follower.read():
                yield from events
        finally:
            follower.close()

    def close(self) -> None:
        """Release the files."""
        with self._syncing, self._lock:
            for handle in (self._handle, self._before):
                if handle >= 0:
                    os.close(handle)
            self._handle = self._before = -1

    def _write(self, line: bytes) -> None:
        if self._size >= SEGMENT_BYTES and not self._left:
            self._finish(self._handle)
            self._left = True
        if self._left:
            self._open(fresh=True)
            self._left = False
        written = 0
        try:
            written = os.write(self._handle, line)
        finally:
            if written != len(line):
                os.ftruncate(self._handle, self._size)
        if written != len(line):  # the disk is full: only then is less written than was asked
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._size += len(line)

    def _sync(self, number: int, handle: int) -> None:
        """Make all up to ``number`` durable; one call serves all who wait at that time."""
        with self._syncing:
            with self._lock:
                if any(number in lost for lost in self._lost):
                    raise UnsyncedError(errno.EIO, "The ledger could not be synced")
                if self._synced >= number:
                    return
                self._close_before(handle)
                written = self._written
            try:
                os.fdatasync(handle)
            except OSError as error:
                with self._lock:
                    self._leave()
                raise UnsyncedError(error.errno, error.strerror) from error
            with self._lock:
                self._synced = max(self._synced, written)

    def _close_before(self, handle: int) -> None:
        """Close the file before, while nobody syncs it; called with both locks.

        Whoever still waits for it finds its event synced or lost, and does not ask for the file.
        """
        if self._before not in (-1, handle):
            os.close(self._before)
            self._before = -1

    def _finish(self, handle: int) -> None:
        """Sync a file before it is left; called with the lock."""
        try:
            os.fdatasync(handle)
        except OSError:
            self._leave()
            raise
        self._synced = self._written

    def _leave(self) -> None:
        """What the kernel could not write it forgets, and the next call would say that all is well
        (PostgreSQL's "fsyncgate"): nothing more goes into this file, and all who wait for it fail.
        """
        self._lost.append(range(self._synced + 1, self._written + 1))
        self._left = True

    def _open(self, *, fresh: bool) -> None:
        """Go on in the last file, or in a new one; called with the lock, or before sharing.

        The file before stays open: another thread may just be syncing it.
        """
        self._number += int(fresh)  # also where this fails: a follower may have gone on there
        path = self._folder / f"{self._number:08d}.jsonl"
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o640)
        try:
            for folder in (self._folder, self._root):
                fsync_folder(folder)
        except OSError:
            os.close(handle)
            raise
        if self._before >= 0:
            os.close(self._before)
        self._before, self._handle = self._handle, handle
        self._size = os.fstat(handle).st_size


@dataclass(frozen=True)
class Position:
    """How far a follower has read: the number of the file, and an offset in bytes."""

    segment: int = 1
    offset: int = 0


@dataclass(frozen=True)
class Start:
    """Where to begin reading.

    Attributes
    ----------
    left_out
        All that was entered until then lies before; None: nothing does.
    """

    position: Position = field(default_factory=Position)
    left_out: datetime | None = None


def recent(directory: Path, since: datetime) -> Start:
    """Where to begin so that nothing later than ``since`` is left out, and whole files before are.

    Parameters
    ----------
    directory
        The spool's folder.
    """
    segments = _segments(directory / "ledger")
    start = Start()
    for segment, following in pairwise(segments[: 1 - ALWAYS_READ or None]):
        ended = datetime.fromtimestamp(segment.stat().st_mtime, UTC)
        if ended >= since:
            break
        start = Start(Position(int(following.stem)), ended)
    return start


class Follower:
    """The reading end, in any process; belongs to one thread.

    Parameters
    ----------
    directory
        The spool's folder; it may still be empty.
    start
        Where to begin; at the very start unless told otherwise.
    """

    def __init__(self, directory: Path, start: Start | None = None) -> None:
        self._root = directory
        self._folder = directory / "ledger"
        self._handle = -1
        self.position = start.position if start is not None else Position()
        self.broken = 0

    def read(self) -> list[ListenerEvent]:
        """The next events, in order; none when all that is there was read. Never waits.

        A whole line that is damaged is passed over, logged and counted in ``broken``.

        Raises
        ------
        OSError
            When the ledger can't be read; it may be tried again.
        """
        while True:
            lines = self._next_lines()
            if not lines:
                return []
            events = [event for line in lines if (event := self._decode(line)) is not None]
            if events:
                return events

    def close(self) -> None:
        """Let go of the file."""
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1

    def _next_lines(self) -> list[bytes]:
        """Whole lines, as they come; a part of one is left, for it may yet be taken back."""
        while True:
            if self._handle < 0 and not (self._open() or self._skip()):
                return []
            lines = self._read_lines()
            if lines or not self._path(self.position.segment + 1).exists():
                return lines
            # Nothing more is written into a file once there is a next one.
            lines = self._read_lines()
            if lines:
                return lines
            if os.fstat(self._handle).st_size > self.position.offset:
                LOGGER.error("The ledger's file %d ends within a line", self.position.segment)
                self.broken += 1
            self.close()
            self.position = Position(self.position.segment + 1)

    def _read_lines(self) -> list[bytes]:
        count = READ_BYTES
        while True:
            data = os.pread(self._handle, count, self.position.offset)
            end = data.rfind(b"\n")
            if end >= 0:
                self.position = replace(self.position, offset=self.position.offset + end + 1)
                return data[:end].split(b"\n")
            if len(data) < count:
                return []
            count *= 2

    def _open(self) -> bool:
        try:
            self._handle = os.open(self._path(self.position.segment), os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        return True

    def _skip(self) -> bool:
        """Go on at the first file that there is: older ones may have been put away."""
        later = [int(s.stem) for s in _segments(self._folder)]
        if not later or later[0] <= self.position.segment:
            return False
        self.position = Position(later[0])
        return self._open()

    def _path(self, segment: int) -> Path:
        return self._folder / f"{segment:08d}.jsonl"

    def _decode(self, line: bytes) -> ListenerEvent | None:
        event = _decode(line, self._root)
        if event is None:
            LOGGER.error("A line of the ledger is damaged: %r", line[:80])
            self.broken += 1
        return event


def _encode(event: ListenerEvent, root: Path) -> bytes:
    if isinstance(event, ObjectStored | ObjectRefused) and event.path is not None:
        event = replace(event, path=event.path.relative_to(root))
    kind = type(event).__name__
    body = b'{"event":"%b","data":%b' % (kind.encode(), _ADAPTERS[kind].dump_json(event))
    return b'%b%b%08x"}\n' % (body, _MARK, zlib.crc32(body))


def _decode(line: bytes, root: Path) -> ListenerEvent | None:
    """The event of a whole line; None when it is damaged."""
    if not _is_whole(line):
        return None
    body = line.rpartition(_MARK)[0]
    name = body[len(b'{"event":"') :].split(b'"', 1)[0].decode("ascii", "replace")
    adapter = _ADAPTERS.get(name)
    if adapter is None:
        return None
    try:
        event: ListenerEvent = adapter.validate_json(body.split(b',"data":', 1)[1])
    except ValidationError:
        return None
    if isinstance(event, ObjectStored | ObjectRefused) and event.path is not None:
        return replace(event, path=root / event.path)
    return event


def _is_whole(line: bytes) -> bool:
    body, mark, rest = line.rpartition(_MARK)
    return bool(mark) and rest == b'%08x"}' % zlib.crc32(body)


def _segments(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("*.jsonl") if path.stem.isdigit())


def _cut_torn_end(path: Path) -> None:
    """Cut off what was not written as a whole, at the end of the file."""
    with path.open("r+b") as file:
        data = file.read()
        end = data.rfind(b"\n") + 1
        while end and not _is_whole(data[data.rfind(b"\n", 0, end - 1) + 1 : end - 1]):
            end = data.rfind(b"\n", 0, end - 1) + 1
        if end < len(data):
            LOGGER.warning("Cutting %d bytes off the ledger, never answered", len(data) - end)
            file.truncate(end)
            os.fsync(file.fileno())
