"""The base of all messages, and the figures that several of them hold."""

from pydantic import BaseModel, ConfigDict, model_validator


class Wire(BaseModel):
    """Base of all messages: immutable, and no field that is not written down here."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        allow_inf_nan=False,
        # A field with a default is for what was journaled before it existed; it is always sent.
        json_schema_serialization_defaults_required=True,
    )


class Reason(Wire):
    """Why something is as it is: a code for programs, a sentence for people."""

    code: str
    text: str


Point = tuple[float, float, float]


class Interval(Wire):
    """A value with the interval that should hold the truth in at least 90 of 100 scans."""

    value: float
    low: float
    high: float

    @model_validator(mode="after")
    def _ordered(self) -> "Interval":
        if not self.low <= self.value <= self.high:
            raise ValueError(f"not ordered: {self.low} <= {self.value} <= {self.high}")
        return self
