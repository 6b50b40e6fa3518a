"""Receiving and measuring are processes of their own: the end of one is a pause, and no more."""

import os
import signal
from pathlib import Path

import pytest

from scanner_sim.push import Destination, Pusher
from tests.dicom_listener.raw_peer import RawPeer
from tests.quick_case import QuickCase, read
from tests.service import RunningService, running_service, stream
from tests.waiting import until


def restarts(service: RunningService, name: str) -> float:
    """As the service counts them."""
    return service.metric("icemargin_process_restarts", process=name)


def gone(pid: int) -> bool:
    """Whether there is no such process any more."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    # Nobody may have asked for its exit status yet.
    return ") Z" in Path(f"/proc/{pid}/stat").read_text()


def test_connections_wait_while_the_listener_is_started_again(tmp_path: Path) -> None:
    with running_service(tmp_path) as service:
        for count in (1, 2):
            before = service.pid("listener")
            os.kill(before, signal.SIGKILL)
            with RawPeer(service.dicom_port) as peer:  # at once: the port was never closed
                assert peer.associate() == 2
                peer.release()
            assert service.pid("listener") != before
            until(lambda n=count: restarts(service, "listener") == n, "the count")  # type: ignore[misc]
        assert restarts(service, "monitor") == 0
        assert service.end() == 0


def test_receiving_goes_on_while_the_measuring_side_is_dead(
    quick: QuickCase, tmp_path: Path
) -> None:
    with running_service(tmp_path) as service:
        pusher = Pusher(Destination("ICEMARGIN", "127.0.0.1", service.dicom_port))
        for folder in quick.folders[:3]:
            os.kill(service.pid("monitor"), signal.SIGKILL)
            before = service.pid("monitor")
            pusher.send(read(folder))  # raises unless every object is answered with Success
            until(lambda p=before: service.pid("monitor") != p, "another one")  # type: ignore[misc]
        found = service.wait_for_measurement(quick.baseline.uid)
        assert found["role"] == "baseline"
        assert restarts(service, "listener") == 0
        until(lambda: restarts(service, "monitor") == 3, "the count")
        assert service.end() == 0


@pytest.mark.parametrize("name", ["listener", "monitor"])
def test_a_process_that_hangs_is_started_again(name: str, tmp_path: Path) -> None:
    with running_service(tmp_path) as service:
        before = service.pid(name)
        os.kill(before, signal.SIGSTOP)
        until(lambda: service.pid(name) != before, "another one")
        until(lambda: restarts(service, name) == 1, "the count")
        with RawPeer(service.dicom_port) as peer:
            assert peer.associate() == 2
            peer.release()
        with stream(service) as seen:
            seen.read()
        assert gone(before)
        assert service.end() == 0


def test_no_process_outlives_a_killed_supervisor(tmp_path: Path) -> None:
    with running_service(tmp_path) as service:
        pids = [service.pid("listener"), service.pid("monitor")]
        service.kill()
        until(lambda: all(map(gone, pids)), "their ends")
    with running_service(tmp_path) as service:  # folder and ports are free
        assert service.end() == 0
