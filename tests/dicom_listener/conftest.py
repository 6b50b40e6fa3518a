"""A running listener, its events, and the peers that talk to it."""

import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

import pytest

from dicom_listener.events import (
    AssociationEnded,
    AssociationOpened,
    AssociationRejected,
    ListenerEvent,
    ObjectRefused,
    ObjectStored,
)
from dicom_listener.listener import Listener, ListenerSettings
from dicom_listener.spool import Spool

SHARED_DATA = Path(__file__).parents[2].parent / "shared" / "data"
PATIENCE_S = 20.0

E = TypeVar(
    "E", ObjectStored, ObjectRefused, AssociationOpened, AssociationRejected, AssociationEnded
)


class Sink:
    """Collects events; tests wait on it."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self.events: list[ListenerEvent] = []

    def __call__(self, event: ListenerEvent) -> None:
        with self._changed:
            self.events.append(event)
            self._changed.notify_all()

    def of(self, kind: type[E]) -> list[E]:
        """The events of one kind so far."""
        with self._changed:
            return [event for event in self.events if isinstance(event, kind)]

    def wait(self, kind: type[E], count: int = 1) -> list[E]:
        """Wait for at least ``count`` events of a kind."""
        with self._changed:
            arrived = self._changed.wait_for(
                lambda: sum(isinstance(e, kind) for e in self.events) >= count, PATIENCE_S
            )
        found = self.of(kind)
        assert arrived, f"{len(found)} of {count} {kind.__name__}"
        return found


@dataclass(frozen=True)
class Running:
    """A listener that is up."""

    listener: Listener
    spool: Spool
    sink: Sink

    @property
    def port(self) -> int:
        """Where it listens."""
        return self.listener.port


class Start(Protocol):
    """Starts a listener with some settings."""

    def __call__(self, *, free_floor_bytes: int = 0, **settings: Any) -> Running: ...


def until(condition: Callable[[], bool]) -> None:
    """Wait until a condition holds."""
    end = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.005)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start listeners on free ports; they are stopped after the test."""
    running: list[Running] = []

    def begin(*, free_floor_bytes: int = 0, **settings: Any) -> Running:
        spool = Spool(tmp_path / f"spool{len(running)}", free_floor_bytes=free_floor_bytes)
        sink = Sink()
        given = {"port": 0, "request_s": 5.0, "pdu_s": 5.0, "stop_s": 0.2} | settings
        listener = Listener(ListenerSettings(**given), spool, sink)
        running.append(Running(listener, spool, sink))
        listener.start()
        return running[-1]

    yield begin
    for one in running:
        one.listener.stop()
        one.spool.close()


@pytest.fixture
def running(start: Start) -> Running:
    """A listener with the tests' usual settings."""
    return start()


@pytest.fixture
def dcmtk() -> Callable[[str], str]:
    """Path of one of dcmtk's programs. Missing ones skip, but fail under CI=true."""

    def find(name: str) -> str:
        path = shutil.which(name)
        if path is None:
            reason = f"{name} is missing: install the Debian package dcmtk"
            if os.environ.get("CI") == "true":
                pytest.fail(reason)
            pytest.skip(reason)
        return path

    return find


@pytest.fixture
def awkward() -> Path:
    """Real awkward files, beside the checkout."""
    folder = SHARED_DATA / "awkward"
    if not folder.is_dir():
        pytest.skip(f"THE DEVELOPMENT DATA ARE NOT HERE: {folder}")
    return folder
