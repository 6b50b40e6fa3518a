"""Peers that talk nonsense to a running service, many at once, and what must hold all the same.

One seed makes one run: each peer of each round has a generator of its own, so that a round can be
run again alone. What holds after each round is in ``Fuzz.check``.
"""

import hashlib
import logging
import re
import socket
import ssl
import struct
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from random import Random

from pydicom.uid import CTImageStorage, generate_uid

from dicom_listener.headers import read_header
from tests.dicom_listener.objects import ct_slice, encode
from tests.dicom_listener.raw_peer import ASSOCIATE_AC, P_DATA, RawPeer
from tests.faults.conversations import (
    CONTEXTS,
    ESCAPE,
    VERIFICATION,
    Conversation,
    conversation,
)
from tests.service import RunningService
from tests.waiting import until

LOGGER = logging.getLogger(__name__)

PEERS = 6
"""At once."""

CONVERSATIONS = 12
"""Of each peer in a round, one after the other."""

HANGING_S = 30.0
"""A listener that has not closed a connection so long after its peer has is hanging."""

GROWTH_BYTES = 96 << 20
EACH_BYTES = 4096
"""More memory than after the first rounds is a leak: what the allocator keeps for later, and for
each conversation what the spool's index and the last thousands of steps and lists take."""

MORE_THREADS = 4
"""A pool's threads, which are only started when they are first needed."""

FIRST_ROUNDS = 10
"""Rounds after which what is held is compared: by then every way has been gone once."""

SETTLING_S = 3.0
"""Longer than the listener reads on after its last word (``dicom_listener.wire``)."""

_SECURE = re.compile(r"Listening for DICOM over TLS as \S+ on 127\.0\.0\.1:(\d+)")
_LOG_LINE = re.compile(r"\d\d:\d\d:\d\d [A-Z]+ +\S")
_RESET = struct.pack("ii", 1, 0)
_IN_DATA = {"derived", "incoming", "journal", "ledger", "lock", "objects", "outbox", "quarantine"}


@dataclass(frozen=True)
class Held:
    """What a process holds."""

    threads: int
    files: int
    memory_bytes: int

    @staticmethod
    def by(pid: int) -> "Held":
        """As the system counts it; memory of its own only."""
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        found = dict(line.split(":", 1) for line in lines if ":" in line)
        files = len(list(Path(f"/proc/{pid}/fd").iterdir()))
        return Held(int(found["Threads"]), files, int(found["RssAnon"].split()[0]) * 1024)


class Fuzz:
    """One run against a service.

    Parameters
    ----------
    tls
        How to get in at its second port.

    Attributes
    ----------
    conversations, statuses
        How many there were, and what requests were answered with.
    """

    def __init__(self, service: RunningService, seed: str, tls: ssl.SSLContext) -> None:
        self._service = service
        self._tls = tls
        self._tls_port = int(_SECURE.findall(service.log)[0])
        self._seed = seed
        self._root = service.directory.parent
        self._outside = {path.name for path in self._root.iterdir()}
        self._listener, self._monitor = self._pids()
        self._sent: set[tuple[str, str]] = set()
        self._seen: set[Path] = set()
        self._read_bytes = 0
        self._lock = threading.Lock()
        self.conversations = 0
        self.statuses: Counter[int] = Counter()
        self.check()
        self.begun_with = self.held = Held.by(self._listener)

    def run(self, seconds: float) -> None:
        """Round after round, for so long.

        Raises
        ------
        AssertionError
            Something does not hold; a note tells the seed and the round.
        """
        end = time.monotonic() + seconds
        number = 0
        while time.monotonic() < end:
            try:
                self.round(number)
            except AssertionError as error:
                error.add_note(f"seed {self._seed!r}, round {number}")
                error.add_note(self._service.log[-3000:])
                raise
            LOGGER.debug("%d: %d conversations, %s", number, self.conversations, self.held)
            number += 1

    def round(self, number: int) -> None:
        """All peers at once, then the checks."""
        with ThreadPoolExecutor(PEERS) as peers:
            for held in list(peers.map(self._peer, [(number, n) for n in range(PEERS)])):
                for connection in held:
                    connection.close()
        self.check()
        if number == FIRST_ROUNDS:
            self.begun_with = self._settled()
        elif number > FIRST_ROUNDS:
            self._check_level()

    # Peers

    def _peer(self, who: tuple[int, int]) -> list[socket.socket]:
        """One peer's round; connections that it has left open."""
        random = Random(f"{self._seed}/{who[0]}/{who[1]}")
        left = []
        for _ in range(CONVERSATIONS):
            talk = conversation(random)
            with self._lock:
                self.conversations += 1
                self._sent |= set(talk.objects.values())
            connection = self._connect(talk.how)
            answers = self._play(talk, connection)
            if talk.how == "plain":  # else what is heard at the end is still sealed
                self._check_answers(talk, answers)
            if talk.says_goodbye == "stays":
                left.append(connection)
            else:
                connection.close()
        return left

    def _connect(self, how: str) -> socket.socket:
        port = self._service.dicom_port if how == "plain" else self._tls_port
        connection = socket.create_connection(("127.0.0.1", port), timeout=HANGING_S)
        return self._tls.wrap_socket(connection) if how == "tls" else connection

    def _play(self, talk: Conversation, connection: socket.socket) -> bytes:
        """Say all of it; what is answered."""
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        heard = b""
        try:
            for n, part in enumerate(talk.parts):
                connection.sendall(part)
                if n == 0 and talk.waits and len(talk.parts) > 1:
                    heard += connection.recv(1 << 16)
            if talk.says_goodbye == "reset":
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            elif talk.says_goodbye == "half":
                connection.shutdown(socket.SHUT_WR)
                while said := connection.recv(1 << 16):
                    heard += said
        except TimeoutError as error:
            raise AssertionError("the listener does not let go of a connection") from error
        except OSError:
            pass  # it has ended the association while we were speaking, as it may
        return heard

    def _check_answers(self, talk: Conversation, heard: bytes) -> None:
        """What was acknowledged is there when the acknowledgement is."""
        for message, status in statuses(heard):
            with self._lock:
                self.statuses[status] += 1
            if status == 0 and message in talk.objects:
                uid, digest = talk.objects[message]
                found = [_digest(path) for path in self._objects(uid)]
                assert digest in found, f"{uid} was acknowledged and is not there"

    # What must hold

    def check(self) -> None:
        """Everybody is alive, well-meaning peers are served, and the spool is as it should be."""
        assert self._service.process.poll() is None
        assert self._pids() == (self._listener, self._monitor), "a process was started again"
        self._check_log()
        self._be_served()
        until(lambda: not any((self._service.directory / "incoming").iterdir()), "empty incoming")
        for path in set(self._objects()) - self._seen:
            self._seen.add(path)
            self._check_object(path)
        assert self._service.get("healthz").status_code == 200
        assert {path.name for path in self._root.iterdir()} == self._outside
        data = {path.name.split(".")[0] for path in self._service.directory.iterdir()}
        assert data <= _IN_DATA, data
        for folder in (self._root, *self._root.parents, Path.cwd(), Path("/tmp")):
            assert not (folder / ESCAPE).exists(), folder
        for path in (self._service.directory / "quarantine").iterdir():
            path.unlink()  # as people would who have looked at it

    def _check_log(self) -> None:
        """Neither a traceback, nor a line that a peer has written."""
        with self._service._log.open("rb") as file:
            file.seek(self._read_bytes)
            new = file.read()
        self._read_bytes += len(new)
        strange = [line for line in new.decode().splitlines() if not _LOG_LINE.match(line)]
        assert not strange, strange[:30]

    def _be_served(self) -> None:
        uid = str(generate_uid())
        data = encode(ct_slice(SOPInstanceUID=uid))
        with RawPeer(self._service.dicom_port, timeout_s=HANGING_S) as peer:
            assert peer.associate(CONTEXTS) == ASSOCIATE_AC
            assert peer.store(b"", VERIFICATION, None, context=21) is not None
            assert peer.store(data, CTImageStorage, uid) == 0
            peer.release()
        self._sent.add((uid, hashlib.sha256(data).hexdigest()))

    def _settled(self) -> Held:
        """What is held when all connections are over; the least of some looks."""
        looks = []
        end = time.monotonic() + SETTLING_S
        while time.monotonic() < end:
            looks.append(Held.by(self._listener))
            time.sleep(0.1)
        return min(looks, key=lambda held: (held.threads, held.files))

    def _check_level(self) -> None:
        """Threads, files and memory come back to where they were."""
        before = self.begun_with

        def look() -> bool:
            self.held = Held.by(self._listener)
            few_threads = self.held.threads <= before.threads + MORE_THREADS
            return few_threads and self.held.files <= before.files

        try:
            until(look, "threads and files to be given back")
        except AssertionError as error:
            error.add_note(f"{before}, and now {self.held}")
            raise
        growth_bytes = self.held.memory_bytes - before.memory_bytes
        assert growth_bytes < GROWTH_BYTES + EACH_BYTES * self.conversations, (before, self.held)

    def _check_object(self, path: Path) -> None:
        """It was sent like that, or is at least whole, and under its own name."""
        uid = path.stem.split("+")[0]
        if (uid, _digest(path)) in self._sent:
            return
        assert read_header(path).sop_instance_uid == uid

    def _objects(self, uid: str = "") -> Iterator[Path]:
        pattern = f"{uid}*.dcm" if uid else "*"
        return (self._service.directory / "objects").glob(f"*/*/{pattern}")

    def _pids(self) -> tuple[int, int]:
        lines = self._service.log.splitlines()
        listeners, monitors = (
            [int(line.split()[-1]) for line in lines if f"The {name} is process" in line]
            for name in ("listener", "monitor")
        )
        return listeners[-1], monitors[-1]


def statuses(heard: bytes) -> Iterator[tuple[int, int]]:
    """Message ID Being Responded To and Status of each answer in what was heard."""
    position = 0
    while position + 6 <= len(heard):
        kind, length = struct.unpack_from(">BxL", heard, position)
        body = heard[position + 6 : position + 6 + length]
        position += 6 + length
        if kind == P_DATA and len(body) >= 6 and body[5] & 1:
            values = dict(_elements(body[6:]))
            if 0x0120 in values and 0x0900 in values:
                yield (
                    int.from_bytes(values[0x0120], "little"),
                    int.from_bytes(values[0x0900], "little"),
                )


def _elements(command: bytes) -> Iterator[tuple[int, bytes]]:
    position = 0
    while position + 8 <= len(command):
        _, tag, length = struct.unpack_from("<HHL", command, position)
        yield tag, command[position + 8 : position + 8 + length]
        position += 8 + length


def _digest(path: Path) -> str:
    """Of a file's data set."""
    content = path.read_bytes()
    meta = struct.unpack_from("<L", content, 140)[0]
    return hashlib.sha256(content[144 + meta :]).hexdigest()
