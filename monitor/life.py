"""The life of a procedure, as one table."""

from enum import StrEnum
from typing import Literal


class State(StrEnum):
    """Where a procedure stands.

    ``expected``: opened from the worklist, and nothing has come yet. ``open``: under way.
    ``lapsed``: nothing has come for long, and the next object opens it again. ``closed``: over;
    what comes of it is stored and not measured.
    """

    EXPECTED = "expected"
    OPEN = "open"
    LAPSED = "lapsed"
    CLOSED = "closed"


Event = Literal["object", "silence", "replaced", "close", "reopen"]
"""``object``: one of its patient and study has come. ``silence``: none for
``procedure.idle_close_s``. ``replaced``: another procedure begins. ``close``, ``reopen``: a person
says so."""

TRANSITIONS: dict[tuple[State, Event], State] = {
    (State.EXPECTED, "object"): State.OPEN,
    (State.EXPECTED, "silence"): State.LAPSED,
    (State.EXPECTED, "replaced"): State.CLOSED,
    (State.EXPECTED, "close"): State.CLOSED,
    (State.OPEN, "object"): State.OPEN,
    (State.OPEN, "silence"): State.LAPSED,
    (State.OPEN, "replaced"): State.CLOSED,
    (State.OPEN, "close"): State.CLOSED,
    (State.LAPSED, "object"): State.OPEN,
    (State.LAPSED, "silence"): State.LAPSED,
    (State.LAPSED, "replaced"): State.CLOSED,
    (State.LAPSED, "close"): State.CLOSED,
    (State.LAPSED, "reopen"): State.OPEN,
    (State.CLOSED, "object"): State.CLOSED,
    (State.CLOSED, "reopen"): State.OPEN,
}
"""An open procedure is not reopened; one that is closed neither lapses nor gives way, nor is it
closed again."""

UNDER_WAY = frozenset({State.EXPECTED, State.OPEN})
"""While one of the room is so, objects of others raise the identity alert."""


def after(state: State, event: Event) -> State:
    """The state after an event.

    Raises
    ------
    ValueError
        The event can't happen in this state.
    """
    try:
        return TRANSITIONS[state, event]
    except KeyError:
        raise ValueError(f"a procedure that is {state} has no {event!r}") from None
