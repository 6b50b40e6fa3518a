"""One quick procedure, computed once for all tests of this room."""

from datetime import UTC, datetime

import pytest

from scanner_sim.cases import CASES
from scanner_sim.procedure import Event, ScanEvent, StructuresEvent, run_procedure

START = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)


@pytest.fixture(scope="session")
def events() -> tuple[Event, ...]:
    """All events of the quick case."""
    return tuple(run_procedure(CASES["quick"], seed=7, start=START))


@pytest.fixture(scope="session")
def scans(events: tuple[Event, ...]) -> tuple[ScanEvent, ...]:
    """Its scans."""
    return tuple(event for event in events if isinstance(event, ScanEvent))


@pytest.fixture(scope="session")
def structures(events: tuple[Event, ...]) -> StructuresEvent:
    """Its planning contours."""
    return next(event for event in events if isinstance(event, StructuresEvent))
