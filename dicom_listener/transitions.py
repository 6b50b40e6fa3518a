"""What happens to a series, as a table: (state, event) and what its slices are -> the next state.

Evidence that a series is complete, strongest first: the scanner's own list of what it made (MPPS);
the list of what it asks to have stored (storage commitment); the release of the association that
carried all; the extent of the scan before; silence. Weaker evidence never overrides stronger: what
a list says to be missing is missing (``Verdict.AWAITED``) whatever else may speak for completeness,
and what is final is opened again by nothing but a further slice or a list.
"""

import enum
from collections.abc import Mapping
from typing import Final


class State(enum.Enum):
    """State of one series."""

    OPEN = "open"
    PROVISIONAL = "provisional"
    FINAL = "final"
    REFUSED = "refused"
    REOPENED = "reopened"
    """A slice has come after it was judged; what was said of it no longer holds."""


class Event(enum.Enum):
    """What can happen to a series."""

    SLICE = "a slice came"
    STEP = "a performed procedure step lists its images"
    COMMITMENT = "a storage commitment request lists its images"
    RELEASED = "the association that carried all slices was released"
    EXTENT = "extent of the predecessor filled"
    QUIET = "no slice for the quiet time"
    ABORTED = "the silence was that of an association that had been aborted"
    IMPATIENT = "its end can't be waited for any longer"


class Verdict(enum.Enum):
    """What the slices are, taken together, at the moment of the event."""

    VOLUME = "a volume"
    SHORT = "a volume that ends before its predecessor did"
    CUT = "a volume whose transfer was aborted"
    DISCONTINUED = "a volume from an examination that was discontinued"
    UNMEASURED = "a volume without images that the scanner lists, which came as no slices"
    MENDABLE = "no volume yet"
    AWAITED = "less than the scanner lists"
    BROKEN = "no volume, whatever comes"


class TransitionError(RuntimeError):
    """Something happened that can't happen."""


_O, _P, _F, _R = State.OPEN, State.PROVISIONAL, State.FINAL, State.REFUSED
_VERDICTS: Final = (
    Verdict.VOLUME,
    Verdict.SHORT,
    Verdict.CUT,
    Verdict.DISCONTINUED,
    Verdict.UNMEASURED,
    Verdict.MENDABLE,
    Verdict.AWAITED,
    Verdict.BROKEN,
)

# _O stands for: goes on waiting, in the state that it is in.
_JUDGED: Final[Mapping[Event, tuple[State, ...]]] = {
    #             VOLUME SHORT CUT DISCONTINUED UNMEASURED MENDABLE AWAITED BROKEN
    # That is all that the scanner made: a gap stays one.
    Event.STEP: (_F, _F, _F, _P, _P, _P, _O, _R),
    # May be asked for part by part: an end that is missing, or a gap, may follow.
    Event.COMMITMENT: (_F, _P, _F, _P, _P, _O, _O, _R),
    Event.RELEASED: (_F, _P, _F, _P, _P, _O, _O, _R),
    # Not before it is seen that something is broken, and the more so with what is awaited.
    Event.EXTENT: (_F, _O, _F, _P, _P, _O, _O, _O),
    Event.QUIET: (_F, _P, _P, _P, _P, _P, _P, _R),
    Event.IMPATIENT: (_P, _P, _P, _P, _P, _P, _P, _R),
}
_KEPT: Final[Mapping[Event, tuple[State, ...]]] = {
    #             VOLUME SHORT CUT DISCONTINUED UNMEASURED MENDABLE AWAITED BROKEN
    Event.STEP: (_F, _F, _F, _P, _P, _F, _P, _F),
    Event.COMMITMENT: (_F, _F, _F, _P, _P, _F, _P, _F),
    Event.RELEASED: (_F, _F, _F, _F, _F, _F, _F, _F),
}
"""What is judged: only a list takes back what is final."""

_SILENT: Final = (_F, _F, _P, _P, _P, _F, _P, _F)
"""The same for what is final by silence alone, which was none."""

_UNJUDGED: Final = (State.OPEN, State.REOPENED)


def _table() -> dict[tuple[State, Event], dict[Verdict, State]]:
    rows: dict[tuple[State, Event], dict[Verdict, State]] = {}
    for state in State:
        after = State.OPEN if state is State.OPEN else State.REOPENED
        rows[state, Event.SLICE] = dict.fromkeys(_VERDICTS, after)
    for event, states in _JUDGED.items():
        for state in _UNJUDGED:
            rows[state, event] = _row(states, waiting=state)
        if event is not Event.EXTENT:  # is looked for only when a slice has just come
            rows[State.PROVISIONAL, event] = _row(states, waiting=State.PROVISIONAL)
    for event, states in _KEPT.items():
        rows[State.FINAL, event] = _row(states, waiting=State.FINAL)
        rows[State.REFUSED, event] = dict.fromkeys(_VERDICTS, State.REFUSED)
    rows[State.FINAL, Event.ABORTED] = _row(_SILENT, waiting=State.FINAL)
    return rows


def _row(states: tuple[State, ...], *, waiting: State) -> dict[Verdict, State]:
    named = zip(_VERDICTS, states, strict=True)
    return {verdict: waiting if state is State.OPEN else state for verdict, state in named}


TRANSITIONS: Final[Mapping[tuple[State, Event], Mapping[Verdict, State]]] = _table()
"""(state, event) to the next state, by verdict. A pair that is not here can't happen."""


def next_state(state: State, event: Event, verdict: Verdict) -> State:
    """Where an event leads.

    Raises
    ------
    TransitionError
        For an event that can't happen in this state.
    """
    row = TRANSITIONS.get((state, event))
    if row is None:
        raise TransitionError(f"{event.name} can't happen to a series that is {state.value}")
    return row[verdict]
