"""A measured figure with its interval, against the true one."""

from dataclasses import dataclass

CONFIDENTLY_WRONG_MM = 5.0
"""A distance shown as measured must never be wrong by more."""


@dataclass(frozen=True)
class IntervalScore:
    """Value and interval, and what is true; mm, ml or s."""

    truth: float
    value: float
    low: float
    high: float

    @staticmethod
    def of(truth: float | None, found: dict[str, float] | None) -> "IntervalScore | None":
        """From a published ``{"value", "low", "high"}``; None where one of both is absent."""
        if truth is None or found is None:
            return None
        return IntervalScore(float(truth), found["value"], found["low"], found["high"])

    @property
    def error(self) -> float:
        """Positive where more was measured than is true."""
        return self.value - self.truth

    @property
    def holds(self) -> bool:
        """Whether the interval holds the truth."""
        return self.low <= self.truth <= self.high

    @property
    def width(self) -> float:
        """Of the interval."""
        return self.high - self.low
