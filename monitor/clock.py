"""The service's clock, which a demo may run faster than time."""

import time
from dataclasses import dataclass
from datetime import datetime, timedelta

from monitor import messages


@dataclass(eq=False)
class Clock:
    """Real time, or time that has run ``speed`` times as fast since ``origin``.

    Attributes
    ----------
    speed
        1 in service.
    simulated
        Whether what is shown is not a real procedure; the page says so.
    origin
        Aware time that a lapsed clock starts from; it stands there until it is released.
    """

    speed: float = 1.0
    simulated: bool = False
    origin: datetime | None = None
    _released_at: float | None = None

    @classmethod
    def lapsed(cls, speed: float, origin: datetime) -> "Clock":
        """A simulated clock that stands at ``origin`` until it is released."""
        return cls(speed=speed, simulated=True, origin=origin)

    def release(self) -> None:
        """Let a lapsed clock run."""
        self._released_at = time.monotonic()

    def now(self) -> datetime:
        """Aware time."""
        real = datetime.now().astimezone()
        if self.origin is None:
            return real
        if self._released_at is None:
            return self.origin
        return self.origin + timedelta(seconds=(time.monotonic() - self._released_at) * self.speed)

    def at(self, wall: datetime) -> datetime:
        """What this clock read at the given real time, not long ago."""
        if self.origin is None:
            return wall
        ago = datetime.now().astimezone() - wall
        return self.now() - ago * self.speed

    def message(self) -> messages.Clock:
        """As it goes over the wire."""
        return messages.Clock(now=self.now(), speed=self.speed, simulated=self.simulated)
