"""The pace that a peer must keep while it sends a message.

Each PDU has its own time, within which a peer could send as little as it likes: with one byte in
each it would keep its place for ever. So a message as a whole has a time as well, which grows with
the bytes that come.
"""

import time
from typing import Final

from dicom_listener.wire import WireError

LEAST_BYTES_S: Final = 64_000
"""A message may take ``message_s`` and the time of its bytes at this pace, half a megabit a second.
A peer with a slower rate of its own may take the time that it has at that."""


class Pace:
    """Of the message that is coming in; owned by the association's thread.

    Parameters
    ----------
    message_s
        Time for a message besides that of its bytes.
    rate_bytes_s
        The peer's own, which it is held to; 0: none.
    """

    def __init__(self, message_s: float, rate_bytes_s: float) -> None:
        self._message_s = message_s
        self._least_bytes_s = min(LEAST_BYTES_S, rate_bytes_s or LEAST_BYTES_S)
        self._until = 0.0

    def read(self, octets: int, *, begins: bool) -> None:
        """So many bytes of a message have come, its first or further ones."""
        if begins:
            self._until = time.monotonic() + self._message_s
        self._until += octets / self._least_bytes_s

    def paused(self, seconds: float) -> None:
        """So long it was we who did not read."""
        self._until += seconds

    def check(self) -> None:
        """Whether the message still has time.

        Raises
        ------
        WireError
            When it has none left.
        """
        if time.monotonic() > self._until:
            raise WireError("A message came too slowly to be waited for.")
