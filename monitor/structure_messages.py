"""Wire types of what was drawn before the procedure: where the structures come from."""

from typing import Literal

from pydantic import AwareDatetime

from monitor.wire import Reason, Wire

State = Literal["in_use", "waiting", "not_used", "refused"]
"""``waiting``: what it needs may still come. ``not_used``: something else counts, or it does not
fit. ``refused``: it can't be used whatever comes."""


class StructureSource(Wire):
    """One planning object, received or dropped, and what became of it."""

    series_instance_uid: str
    sop_instance_uid: str
    received_at: AwareDatetime
    form: Literal["RTSTRUCT", "SEG", "PAGE"] | None
    label: str
    names: list[str]
    state: State
    reason: Reason | None
    remarks: list[str]
