"""A service within the tests' own process, with the quick procedure measured."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Thread

import httpx
import pytest
import uvicorn

from monitor.api import make_app
from monitor.config import (
    AlertsSection,
    DicomSection,
    Settings,
    StorageSection,
)
from monitor.messages import Measurement, Role
from monitor.receiver import Receiver
from monitor.service import Service
from monitor.starting import bound_socket
from monitor.web import address_of
from scanner_sim.push import Destination, Pusher
from tests.quick_case import QuickCase, read
from tests.waiting import PATIENCE_S, until
from web_ui import PAGE


@dataclass(frozen=True)
class Web:
    """The service, what it receives by, and a client of its API."""

    service: Service
    receiver: Receiver
    client: httpx.Client

    @property
    def procedure_id(self) -> str:
        """Of the one procedure."""
        procedure = self.service.pipeline.snapshot().procedure
        assert procedure is not None
        return procedure.id

    @property
    def measured(self) -> Measurement:
        """The last scan with figures."""
        found = self.service.pipeline.snapshot().measurements
        return [m for m in found if m.role is Role.MONITORING][-1]


@contextmanager
def served(service: Service) -> Iterator[str]:
    """Page and API of a service, by uvicorn in a thread; their address."""
    page = PAGE if (PAGE / "index.html").exists() else None
    with bound_socket("127.0.0.1", 0) as sock:
        app = make_app(service.backend(), page)
        server = uvicorn.Server(
            uvicorn.Config(
                app,
                log_level="warning",
                ws="websockets-sansio",
                ws_per_message_deflate=False,
                timeout_graceful_shutdown=1,
            )
        )
        thread = Thread(target=server.run, kwargs={"sockets": [sock]})
        thread.start()
        try:
            until(lambda: server.started, "the web's start")
            yield address_of(sock)
        finally:
            server.should_exit = True
            thread.join()


@pytest.fixture(scope="package")
def web(quick: QuickCase, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    """The quick procedure up to its first scan with ice."""
    settings = Settings(
        dicom=DicomSection(port=0),
        storage=StorageSection(directory=tmp_path_factory.mktemp("web"), minimum_free_mb=10),
        alerts=AlertsSection(hilum_near_mm=40.0),
    )
    # Analyses in a thread: this is about the web, and a process takes seconds to start.
    with (
        Service(settings, make_executor=lambda: ThreadPoolExecutor(1)) as service,
        Receiver(settings, service.pipeline.knock) as receiver,
        served(service) as address,
        httpx.Client(base_url=address, timeout=PATIENCE_S) as client,
    ):
        service.receiver_status = receiver.status
        pusher = Pusher(Destination("ICEMARGIN", "127.0.0.1", receiver.listener.port))
        for folder in quick.folders[:-1]:
            pusher.send(read(folder))
        until(
            lambda: any(m.tumour for m in service.pipeline.snapshot().measurements),
            "the first measurement",
        )
        until(lambda: service.pipeline.snapshot().alerts, "its alert")
        yield Web(service, receiver, client)
