"""What happens to the service's processes and disk, and that it goes on."""

import os
import resource
import signal
import socket
from datetime import UTC, datetime
from pathlib import Path

import pytest

from scanner_sim.push import Destination, Pusher, PushError
from tests.dicom_listener.objects import encode
from tests.dicom_listener.raw_peer import RawPeer, c_store_rq, p_data
from tests.quick_case import QuickCase, acquired_at, read, renamed
from tests.service import RunningService, running_service
from tests.waiting import until


def pusher(service: RunningService) -> Pusher:
    """A scanner."""
    return Pusher(Destination("ICEMARGIN", "127.0.0.1", service.dicom_port))


def workers(service: RunningService) -> set[int]:
    """Process ids of its analysis processes."""
    found = set()
    for path in Path(f"/proc/{service.pid('monitor')}/task").glob("*/children"):
        for pid in path.read_text().split():
            try:
                command = Path(f"/proc/{pid}/cmdline").read_bytes()
            except OSError:
                continue
            if b"spawn_main" in command:
                found.add(int(pid))
    return found


def idle_worker(service: RunningService) -> int:
    """The one that is there, once it has nothing to do: the nephrometry scores come last."""

    def scored() -> bool:
        procedure = service.procedure()
        return procedure is not None and procedure["nephrometry"] is not None

    until(scored, "nephrometry scores")
    (pid,) = until(lambda: workers(service), "an analysis process")
    return pid


def cpu_s(pid: int) -> float:
    """Processor time that a process has used (proc(5), fields 14 and 15)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def restarts(service: RunningService) -> float:
    """How often analysis processes were replaced."""
    return service.metric("icemargin_analysis_restarts_total")


def test_analysis_processes_that_are_killed(quick: QuickCase, tmp_path: Path) -> None:
    """While it has nothing to do, and in the middle of an analysis, as when memory is short."""
    with running_service(tmp_path) as service:
        for folder in quick.folders[:2]:
            pusher(service).send(read(folder))
        service.wait_for_measurement(quick.planning.uid)
        busy = idle_worker(service)
        before = cpu_s(busy)
        pusher(service).send(read(quick.baseline.folder))
        until(lambda: cpu_s(busy) > before + 0.5, "the middle of the preparation")
        os.kill(busy, signal.SIGKILL)
        pusher(service).send(read(quick.monitoring[0].folder))
        assert service.wait_for_measurement(quick.baseline.uid)["role"] == "baseline"
        first = service.wait_for_measurement(quick.monitoring[0].uid)
        assert first["assessment"] == "final"
        idle = idle_worker(service)
        assert idle != busy
        os.kill(idle, signal.SIGKILL)
        pusher(service).send(read(quick.monitoring[1].folder))
        found = service.wait_for_measurement(quick.monitoring[1].uid)
        assert found["assessment"] == "final"
        assert service.measurements()[2] == first
        until(lambda: restarts(service) == 2, "the count")
        assert service.end() == 0


def test_analysis_processes_that_are_stopped_or_without_memory(
    quick: QuickCase, tmp_path: Path
) -> None:
    """The one scan is not assessable, scans that come meanwhile are taken in and measured."""
    with running_service(tmp_path) as service:
        for folder in quick.folders[:3]:
            pusher(service).send(read(folder))
        service.wait_for_measurement(quick.baseline.uid)
        stopped = idle_worker(service)
        os.kill(stopped, signal.SIGSTOP)
        for scan in quick.monitoring:
            pusher(service).send(read(scan.folder))
        first, second = (service.wait_for_measurement(scan.uid) for scan in quick.monitoring)
        assert first["assessment"] == "not_assessable"
        assert [reason["code"] for reason in first["reasons"]] == ["analysis_timeout"]
        assert second["assessment"] == "final", second["reasons"]
        until(lambda: restarts(service) == 1, "the count")
        assert not Path(f"/proc/{stopped}").exists()
        short = idle_worker(service)
        size = int(Path(f"/proc/{short}/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
        resource.prlimit(short, resource.RLIMIT_AS, (size, size))
        later = acquired_at(datetime.now(UTC))
        pusher(service).send(read(quick.monitoring[1].folder, renamed("again"), later))
        uid = until(lambda: new_series(service, quick), "another measurement")
        again = service.wait_for_measurement(uid)
        assert again["assessment"] == "final", again["reasons"]
        until(lambda: restarts(service) == 2, "the count")
        assert idle_worker(service) != short
        assert service.end() == 0


def new_series(service: RunningService, quick: QuickCase) -> str | None:
    """UID of a measured series that is none of the case's own."""
    own = {scan.uid for scan in (quick.planning, quick.baseline, *quick.monitoring)}
    found = {m["series_instance_uid"] for m in service.measurements()}
    return next(iter(found - own), None)


def test_no_process_outlives_the_service(quick: QuickCase, tmp_path: Path) -> None:
    with running_service(tmp_path) as service:
        for folder in quick.folders[:3]:
            pusher(service).send(read(folder))
        service.wait_for_measurement(quick.baseline.uid)
        running = until(lambda: workers(service), "an analysis process")
        assert service.end() == 0
        until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in running), "their end")


def test_analysis_processes_end_with_a_killed_service(quick: QuickCase, tmp_path: Path) -> None:
    with running_service(tmp_path) as service:
        running = until(lambda: workers(service), "an analysis process")
        service.kill()
    until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in running), "their end")


def test_a_full_disk(quick: QuickCase, tmp_path: Path) -> None:
    """Nothing is acknowledged that can't be kept; the page goes on, /readyz says why."""
    floor = {"storage": {"directory": str(tmp_path / "data"), "minimum_free_mb": 10**9}}
    with running_service(tmp_path, floor) as service:
        scan = read(quick.planning.folder)
        with pytest.raises(PushError, match="0xA700"):
            pusher(service).send(scan)
        assert list((service.directory / "objects").glob("*/*/*.dcm")) == []
        ready = service.get("readyz")
        assert ready.status_code == 503
        assert "free" in ready.text
        assert service.get("healthz").status_code == 200


def test_a_stalled_scanner_holds_up_nobody(quick: QuickCase, tmp_path: Path) -> None:
    """Half an object on one connection, whole scans on another."""
    with running_service(tmp_path) as service, RawPeer(service.dicom_port) as stalled:
        stalled.associate()
        (dataset, *_) = read(quick.monitoring[1].folder)
        command = c_store_rq(str(dataset.SOPClassUID), str(dataset.SOPInstanceUID))
        stalled.send(p_data(command, command=True))
        stalled.send(p_data(encode(dataset)[:10_000], command=False, last=False))
        for folder in quick.folders[:4]:
            pusher(service).send(read(folder))
        found = service.wait_for_measurement(quick.monitoring[0].uid)
        assert found["assessment"] == "final"


def test_a_display_that_does_not_read_holds_up_nobody(quick: QuickCase, tmp_path: Path) -> None:
    """It asks for the stream and then sleeps; scans are measured and others are served."""
    with running_service(tmp_path) as service:
        with socket.create_connection(("127.0.0.1", service.web_port)) as sleeper:
            sleeper.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            lines = [
                "GET /api/v1/stream HTTP/1.1",
                f"Host: 127.0.0.1:{service.web_port}",
                "Connection: Upgrade",
                "Upgrade: websocket",
                "Sec-WebSocket-Version: 13",
                "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
            ]
            sleeper.sendall("\r\n".join([*lines, "", ""]).encode())
            for folder in quick.folders[:4]:
                pusher(service).send(read(folder))
            found = service.wait_for_measurement(quick.monitoring[0].uid)
            assert found["assessment"] == "final"
        assert service.get("healthz").status_code == 200
        assert service.end() == 0
