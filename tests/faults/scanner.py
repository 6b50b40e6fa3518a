"""A scanner that sends each slice until it is acknowledged, whatever happens on the other side."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from pydicom.uid import CTImageStorage

from tests.dicom_listener.raw_peer import ASSOCIATE_AC, RawPeer, associate_rq
from tests.waiting import until

PATIENCE_S = 60.0
SUCCESS = 0


@dataclass(frozen=True)
class Slice:
    """One object: its SOP Instance UID, and its data set as it goes over the network."""

    uid: str
    data: bytes


class Scanner:
    """Keeps what it has sent, and what of it was acknowledged.

    Parameters
    ----------
    on_return
        Called when an association is accepted, before anything is sent on it.
    """

    def __init__(self, port: int, on_return: Callable[[], None] = lambda: None) -> None:
        self.port = port
        self.sent: dict[str, bytes] = {}
        self.acknowledged: set[str] = set()
        self.associations = 0
        self._on_return = on_return
        self._peer: RawPeer | None = None

    def send(self, image: Slice) -> None:
        """Send it again and again, until there is a Success for it."""
        until(lambda: self.try_once(image), f"a Success for {image.uid}", PATIENCE_S)

    def try_once(self, image: Slice) -> bool:
        """Send it, on a new association if there is none; whether it was acknowledged."""
        self.sent[image.uid] = image.data
        try:
            peer = self._peer or self._associate()
            status = peer.store(image.data, CTImageStorage, image.uid) if peer is not None else None
        except OSError:
            status = None
        if status is None:
            self.hang_up()
            return False
        assert status == SUCCESS, f"{image.uid} was answered with {status:04X}"
        self.acknowledged.add(image.uid)
        return True

    def hang_up(self) -> None:
        """Close the connection without a word."""
        if self._peer is not None:
            self._peer.socket.close()
            self._peer = None

    def release(self) -> None:
        """End the association as it should end, if there still is one."""
        if self._peer is not None:
            with suppress(OSError, AssertionError):  # it has just died: the silence has to say it
                self._peer.release()
            self.hang_up()

    def _associate(self) -> RawPeer | None:
        peer = RawPeer(self.port, timeout_s=PATIENCE_S)
        self._peer = peer
        peer.send(associate_rq())
        answer = peer.receive()
        if answer is None or answer[0] != ASSOCIATE_AC:
            return None
        self.associations += 1
        self._on_return()
        return peer
