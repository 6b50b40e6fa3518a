"""What the freezing model says, as it goes over the wire: modelled, never measured.

Times are seconds from the scan's acquisition. What the model does not expect within its 15 minutes
is null, as JSON knows no infinity.
"""

from typing import Literal

from pydantic import model_validator

from monitor.wire import Interval, Wire

BASIS: Literal["freezing model"] = "freezing model"


class TimeSpan(Wire):
    """From when to when; ``high`` is null where it may not happen within 15 minutes."""

    low: float
    high: float | None

    @model_validator(mode="after")
    def _ordered(self) -> "TimeSpan":
        if self.low < 0 or (self.high is not None and self.high < self.low):
            raise ValueError(f"not ordered: 0 <= {self.low} <= {self.high}")
        return self


class Until(TimeSpan):
    """Seconds until something is reached; ``value`` is null where it is not expected."""

    value: float | None

    @model_validator(mode="after")
    def _within(self) -> "Until":
        if self.value is None:
            return self
        if self.value < self.low or (self.high is not None and self.value > self.high):
            raise ValueError(f"not ordered: {self.low} <= {self.value} <= {self.high}")
        return self


class StructureAhead(Wire):
    """A structure's distance from the ice some seconds ahead."""

    name: str
    distance_mm: Interval


class Ahead(Wire):
    """The procedure some seconds after the scan, should freezing go on."""

    after_s: float
    volume_ml: Interval
    margin_mm: Interval
    structures: list[StructureAhead]


class Forecast(Wire):
    """What freezing on would do."""

    basis: Literal["freezing model"]
    ahead: list[Ahead]
    margin_5_mm_in_s: Until | None


class Lethal(Wire):
    """Tissue at or below ``temperature_c`` when the scan was taken."""

    temperature_c: float
    basis: Literal["freezing model"]
    volume_ml: Interval
    margin_mm: Interval
    covered_fraction: float
