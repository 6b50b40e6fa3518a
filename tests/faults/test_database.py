"""A database that is slow, away or silent, while scans come in: a real PostgreSQL."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed

from monitor.desk import WRITE_S
from monitor.messages import HeartbeatMessage, MeasurementMessage, ServerMessage
from scanner_sim.push import Destination, Pusher
from tests.peers.postgres import Postgres, running_postgres
from tests.quick_case import QuickCase, read
from tests.service import RunningService, StreamReader, running_service, stream
from tests.waiting import until

pytestmark = pytest.mark.peer

TABLES = ("procedures", "measurements", "alerts", "events")

SILENCE_S = 3.0
"""After this a display shows NO LIVE DATA."""


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    """One for all tests here."""
    with running_postgres() as server:
        yield server


@pytest.fixture
def postgres(server: Postgres) -> Postgres:
    """Empty."""
    server.empty()
    return server


class Display(Thread):
    """Reads the stream all the time, and notes when what came."""

    def __init__(self, seen: StreamReader) -> None:
        super().__init__()
        self._seen = seen
        self.came: list[tuple[float, ServerMessage]] = []

    def run(self) -> None:
        while True:
            try:
                message = self._seen.read()
            except ConnectionClosed:
                return
            self.came.append((time.monotonic(), message))

    def measured(self, uid: str) -> bool:
        """Whether a series' figures have been shown."""
        shown = [m.data for _, m in self.came if isinstance(m, MeasurementMessage)]
        return any(m.series_instance_uid == uid and m.tumour is not None for m in shown)

    @property
    def longest_silence_s(self) -> float:
        """Between two heartbeats."""
        beats = [at for at, m in self.came if isinstance(m, HeartbeatMessage)]
        return max(after - before for before, after in pairwise(beats))


@contextmanager
def display(service: RunningService) -> Iterator[Display]:
    """One that is connected."""
    with stream(service) as seen:
        reader = Display(seen)
        reader.start()
        yield reader
    reader.join()


def settings(postgres: Postgres) -> dict[str, dict[str, object]]:
    """The journal is there; the hilum is near anyhow, so that there is an alert."""
    storage: dict[str, object] = {"database_url": postgres.url}
    return {"storage": storage, "alerts": {"hilum_near_mm": 40.0}}


def send(service: RunningService, quick: QuickCase, *numbers: int) -> None:
    """Folders of the procedure."""
    pusher = Pusher(Destination("ICEMARGIN", "127.0.0.1", service.dicom_port))
    for number in numbers:
        pusher.send(read(quick.folders[number]))


def refused(service: RunningService, path: str, body: object = None) -> None:
    """A command that can't be written is answered so, in time."""
    began = time.monotonic()
    answer = service.post(f"api/v1/{path}", body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "not_written")
    assert time.monotonic() - began < WRITE_S + 1.5


def check_journal(postgres: Postgres, service: RunningService) -> None:
    """What is shown is what is in the database, in order."""
    until(lambda: service.get("readyz").status_code == 200, f"readiness\n{service.log[-3000:]}")
    until(lambda: held(service) == 0, "the last change")
    rows = [one for (one,) in postgres.rows("SELECT id FROM measurements ORDER BY number")]
    assert len(rows) == len(set(rows))
    assert {m["id"] for m in service.measurements()} <= set(rows)
    alerts: Any = postgres.rows("SELECT id, document FROM alerts")
    for alert in service.alerts():
        assert f'"state":"{alert["state"]}"' in dict(alerts)[alert["id"]]
    times = [str(at) for (at,) in postgres.rows("SELECT at FROM events ORDER BY number")]
    assert times == sorted(times)


def held(service: RunningService) -> float:
    """How many changes wait for the database, as /metrics tells."""
    lines = service.get("metrics").text.splitlines()
    (line,) = [line for line in lines if line.startswith("icemargin_journal_waiting ")]
    return float(line.split()[1])


def check_trouble(service: RunningService) -> None:
    """It is told to whoever asks."""
    ready = until(
        lambda: answer if (answer := service.get("readyz")).status_code == 503 else None, "trouble"
    )
    assert "journal" in ready.text
    assert held(service) > 0


def test_slow_then_away_then_silent(quick: QuickCase, tmp_path: Path, postgres: Postgres) -> None:
    """Held by another session; stopped, connections refused; connections taken, no answer.

    Scans are measured and shown all the while, commands are refused in time and have not happened,
    and in the end everything is in the database, in order, once.
    """
    with running_service(tmp_path, settings(postgres)) as service, display(service) as seen:

        def wait_for(uid: str) -> None:
            until(lambda: seen.measured(uid), f"{uid} on the display\n{service.log[-3000:]}")

        send(service, quick, 0, 1, 2)
        service.wait_for_measurement(quick.baseline.uid)
        check_journal(postgres, service)
        procedure = service.procedure()
        assert procedure is not None
        phase = f"procedures/{procedure['id']}/phase"
        with postgres.locked(*TABLES):
            send(service, quick, 3)
            refused(service, phase, {"phase": "freeze"})
            wait_for(quick.monitoring[0].uid)
            check_trouble(service)
        check_journal(postgres, service)
        assert postgres.rows("SELECT number FROM events WHERE kind = 'phase'") == []
        alert = service.wait_for_alert("hilum_near")
        acknowledge = f"alerts/{alert['id']}/acknowledge"
        postgres.stop()
        send(service, quick, 4)
        refused(service, acknowledge)
        wait_for(quick.monitoring[1].uid)
        check_trouble(service)
        postgres.start()
        check_journal(postgres, service)
        with postgres.frozen():
            refused(service, acknowledge)
            refused(service, phase, {"phase": "freeze"})
        check_journal(postgres, service)
        states = {a["state"] for a in service.alerts() if a["id"] == alert["id"]}
        assert states == {"active_unacknowledged"}
        answer = service.post(f"api/v1/{acknowledge}").json()
        assert answer["state"] == "active_acknowledged"
        check_journal(postgres, service)
        assert postgres.rows("SELECT number FROM events WHERE kind = 'phase'") == []
        before = [m["id"] for m in service.measurements()]
        assert seen.longest_silence_s < SILENCE_S
        assert service.end() == 0
    with running_service(tmp_path, settings(postgres)) as service:
        until(lambda: [m["id"] for m in service.measurements()] == before, "what was before")
        assert service.end() == 0


def test_a_service_that_starts_before_its_database(
    quick: QuickCase, tmp_path: Path, postgres: Postgres
) -> None:
    """It takes scans in and shows them, says what is missing, and writes when it can."""
    postgres.stop()
    try:
        with running_service(tmp_path, settings(postgres)) as service:
            send(service, quick, 0, 1)
            service.wait_for_measurement(quick.planning.uid)
            procedure = service.procedure()
            assert procedure is not None
            check_trouble(service)
            postgres.start()
            until(lambda: written(postgres) == 1, "what was measured")
            told = "could not be read at start"
            until(lambda: told in service.get("readyz").text, "what is missing")
            assert service.end() == 0
        with running_service(tmp_path, settings(postgres)) as service:
            again = until(service.procedure, "what was before")
            assert again["id"] == procedure["id"]
            assert service.get("readyz").status_code == 200
            assert service.end() == 0
    finally:
        postgres.stop()
        postgres.start()


def written(postgres: Postgres) -> object:
    """How many measurements; None while there is no table for them yet."""
    if postgres.rows("SELECT to_regclass('measurements')") == [(None,)]:
        return None
    ((count,),) = postgres.rows("SELECT count(*) FROM measurements")
    return count
