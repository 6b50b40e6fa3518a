"""Phases, what is offered to be one, the protocol, and the scanner's clock, as they go over the
wire."""

from enum import StrEnum
from typing import Literal

from pydantic import AwareDatetime, Field, model_validator

from monitor.wire import Wire


class PhaseName(StrEnum):
    """Phase of the freeze-thaw protocol, as pressed by the radiographer."""

    FREEZE = "freeze"
    THAW = "thaw"
    IDLE = "idle"


class Phase(Wire):
    """A pressed phase. ``pressed_at`` tells one press from another; null where none was."""

    procedure_id: str
    phase: PhaseName
    since: AwareDatetime
    cycle: int
    pressed_at: AwareDatetime | None = None


class OfferedPhase(Wire):
    """A change that the ice shows and nobody has pressed. It holds only once it is confirmed.

    ``since`` is the best guess, ``earliest`` and ``latest`` are its bounds.
    """

    id: str
    phase: Literal[PhaseName.FREEZE, PhaseName.THAW]
    since: AwareDatetime
    earliest: AwareDatetime
    latest: AwareDatetime
    text: str

    @model_validator(mode="after")
    def _ordered(self) -> "OfferedPhase":
        if not self.earliest <= self.since <= self.latest:
            raise ValueError(f"not ordered: {self.earliest} <= {self.since} <= {self.latest}")
        return self


class ProtocolStep(Wire):
    """A freeze or a thaw as it is planned."""

    phase: Literal[PhaseName.FREEZE, PhaseName.THAW]
    planned_s: float = Field(gt=0)


class ScannerClock(Wire):
    """A scanner's clock that surely differs from the service's.

    ``offset_s`` is what is taken off the scanner's times: positive where its clock is ahead; the
    true one is from ``low_s`` to ``high_s``.
    """

    sender: str
    offset_s: float
    low_s: float
    high_s: float
    text: str
