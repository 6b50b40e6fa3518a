"""What a procedure waits for: work for the analysis processes, or a verdict to be published."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from monitor import messages
from monitor.messages import Role
from monitor.series_record import SeriesRecord


@dataclass(frozen=True, eq=False)
class Job:
    """Work for the analysis processes: a function, its arguments, and whose it is.

    ``generation`` is the comparison's: an answer by what was replaced meanwhile is dropped.
    """

    kind: str
    series_uid: str
    revision: int
    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    generation: int
    measurement_id: str = ""


@dataclass(frozen=True, eq=False)
class Verdict:
    """What became of a series: its role, and a measurement to be published.

    ``adopted`` measurements come from the journal after a restart; nothing new is to be said.
    """

    record: SeriesRecord
    role: Role
    measurement: messages.Measurement
    adopted: bool = False
