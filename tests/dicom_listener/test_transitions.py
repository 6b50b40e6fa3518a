"""The table of what happens to a series."""

from itertools import product

import pytest

from dicom_listener.transitions import (
    TRANSITIONS,
    Event,
    State,
    TransitionError,
    Verdict,
    next_state,
)

N, R, P, F, X = State.OPEN, State.REOPENED, State.PROVISIONAL, State.FINAL, State.REFUSED

ORDER = (
    Verdict.VOLUME,
    Verdict.SHORT,
    Verdict.CUT,
    Verdict.DISCONTINUED,
    Verdict.UNMEASURED,
    Verdict.MENDABLE,
    Verdict.AWAITED,
    Verdict.BROKEN,
)
EXPECTED = {
    (N, Event.SLICE): (N, N, N, N, N, N, N, N),
    (N, Event.STEP): (F, F, F, P, P, P, N, X),
    (N, Event.COMMITMENT): (F, P, F, P, P, N, N, X),
    (N, Event.RELEASED): (F, P, F, P, P, N, N, X),
    (N, Event.EXTENT): (F, N, F, P, P, N, N, N),
    (N, Event.QUIET): (F, P, P, P, P, P, P, X),
    (N, Event.IMPATIENT): (P, P, P, P, P, P, P, X),
    (R, Event.SLICE): (R, R, R, R, R, R, R, R),
    (R, Event.STEP): (F, F, F, P, P, P, R, X),
    (R, Event.COMMITMENT): (F, P, F, P, P, R, R, X),
    (R, Event.RELEASED): (F, P, F, P, P, R, R, X),
    (R, Event.EXTENT): (F, R, F, P, P, R, R, R),
    (R, Event.QUIET): (F, P, P, P, P, P, P, X),
    (R, Event.IMPATIENT): (P, P, P, P, P, P, P, X),
    (P, Event.SLICE): (R, R, R, R, R, R, R, R),
    (P, Event.STEP): (F, F, F, P, P, P, P, X),
    (P, Event.COMMITMENT): (F, P, F, P, P, P, P, X),
    (P, Event.RELEASED): (F, P, F, P, P, P, P, X),
    (P, Event.QUIET): (F, P, P, P, P, P, P, X),
    (P, Event.IMPATIENT): (P, P, P, P, P, P, P, X),
    (F, Event.SLICE): (R, R, R, R, R, R, R, R),
    (F, Event.STEP): (F, F, F, P, P, F, P, F),
    (F, Event.COMMITMENT): (F, F, F, P, P, F, P, F),
    (F, Event.RELEASED): (F, F, F, F, F, F, F, F),
    (F, Event.ABORTED): (F, F, P, P, P, F, P, F),
    (X, Event.SLICE): (R, R, R, R, R, R, R, R),
    (X, Event.STEP): (X, X, X, X, X, X, X, X),
    (X, Event.COMMITMENT): (X, X, X, X, X, X, X, X),
    (X, Event.RELEASED): (X, X, X, X, X, X, X, X),
}


@pytest.mark.parametrize(("state", "event"), list(product(State, Event)))
def test_every_pair(state: State, event: Event) -> None:
    expected = EXPECTED.get((state, event))
    if expected is None:
        with pytest.raises(TransitionError, match=event.name):
            next_state(state, event, Verdict.VOLUME)
        return
    found = tuple(next_state(state, event, verdict) for verdict in ORDER)
    assert found == expected


def test_the_table_has_no_other_pair() -> None:
    assert TRANSITIONS.keys() == EXPECTED.keys()
    assert set(ORDER) == set(Verdict)


def test_nothing_but_a_whole_volume_becomes_final() -> None:
    never = set(Verdict) - {Verdict.VOLUME, Verdict.SHORT, Verdict.CUT}
    for (state, event), row in TRANSITIONS.items():
        if state is not State.FINAL:
            assert all(row[verdict] is not State.FINAL for verdict in never), event


def test_only_a_slice_or_a_list_takes_back_what_is_final() -> None:
    """And an abort, what was final by silence; see ``SeriesAssembler``."""
    taking = {e for (s, e), row in TRANSITIONS.items() if s is F and set(row.values()) != {F}}
    assert taking == {Event.SLICE, Event.STEP, Event.COMMITMENT, Event.ABORTED}
