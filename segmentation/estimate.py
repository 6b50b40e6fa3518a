"""A number with the interval that should hold the truth in 90 of 100 cases."""

from dataclasses import dataclass

NINETY_PERCENT = 1.645
"""Half-width of the central 90 % of a normal distribution, in standard deviations."""


@dataclass(frozen=True)
class Estimate:
    """A value with its 90 % interval, all in one unit."""

    value: float
    low: float
    high: float

    @staticmethod
    def about(value: float, sd: float, *, least: float = float("-inf")) -> "Estimate":
        """The interval of a normal distribution; ``least`` is the smallest number possible."""
        half = NINETY_PERCENT * sd
        return Estimate(max(value, least), max(value - half, least), max(value + half, least))

    def down_to(self, low: float) -> "Estimate":
        """The same, its interval reaching at least so far down."""
        return Estimate(self.value, min(self.low, low), self.high)

    @property
    def sd(self) -> float:
        """Half the width, as a standard deviation."""
        return (self.high - self.low) / 2 / NINETY_PERCENT
