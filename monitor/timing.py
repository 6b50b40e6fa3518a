"""When each scan of a procedure was acquired, by the service's clock, and in which phase."""

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta

from monitor import messages
from monitor.phase_messages import OfferedPhase, ScannerClock
from monitor.phases import Phases
from monitor.scanner_clock import ScannerClocks
from monitor.series_record import SeriesRecord


class Timing:
    """See the module's docstring.

    Attributes
    ----------
    at
        Turns a real receipt time into the service's clock.
    phases
        What was pressed.
    """

    def __init__(
        self,
        phases: Phases,
        clocks: ScannerClocks,
        opened_at: datetime,
        at: Callable[[datetime], datetime],
        series: Mapping[str, SeriesRecord],
    ) -> None:
        self.phases = phases
        self.at = at
        self._clocks = clocks
        self._opened_at = opened_at
        self._series = series

    def now(self) -> datetime:
        """By the service's clock."""
        return self.at(datetime.now().astimezone())

    def clock_offset_s(self, record: SeriesRecord) -> float:
        """How far ahead the scanner's clock is, as far as that is known."""
        if record.acquired_at is None:
            return 0.0
        received_at = self.at(record.last_received_at)
        return self._clocks.offset_s(record.sender, record.acquired_at, received_at)

    def taken_at(self, record: SeriesRecord) -> datetime:
        """When a scan was acquired, by the service's clock as far as that is known."""
        return record.order - timedelta(seconds=self.clock_offset_s(record))

    def phase_of(self, record: SeriesRecord) -> messages.Phase | None:
        """The phase that held when a scan was acquired; None before any was pressed."""
        return self.phases.at(self.taken_at(record))

    def word(self, record: SeriesRecord) -> str:
        """The phase that a scan was acquired in, and how its time is corrected."""
        phase = self.phase_of(record)
        held = f"{phase.phase} {phase.since.timestamp()} {phase.cycle}" if phase else ""
        return f"{held} {self.clock_offset_s(record):.6f}"

    @property
    def begin(self) -> datetime:
        """No phase began before: the first object, or what it shows, came first."""
        taken = [self.taken_at(r) for r in self._series.values() if r.headers]
        return min([self._opened_at, *taken])

    def offered(
        self, measured: Iterable[messages.Measurement], baseline: SeriesRecord | None
    ) -> OfferedPhase | None:
        """What the ice has begun to do and nobody has pressed."""
        at = self.taken_at(baseline) if baseline is not None else None
        return self.phases.offered(list(measured), at)

    @property
    def scanner_clock(self) -> ScannerClock | None:
        """Of the scanner that sends the scans now, where it surely differs."""
        scans = [r for r in self._series.values() if r.ready is not None and r.headers]
        newest = max(scans, key=lambda record: record.last_received_at, default=None)
        return self._clocks.known(newest.sender) if newest is not None else None
