"""The service: spool, listener, pipeline, analysis processes and web, put together and run."""

import asyncio
import logging
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

import uvicorn

from dicom_listener.events import ObjectStored
from dicom_listener.listener import Listener, ListenerError, ListenerSettings
from dicom_listener.spool import Spool, SpoolInUseError
from monitor.api import make_app
from monitor.clock import Clock
from monitor.config import Settings
from monitor.desk import Desk
from monitor.journal import Journal, JournalError
from monitor.metrics import Metrics
from monitor.pipeline import Pipeline, Recovered
from monitor.stream import Stream
from monitor.web_backend import WebBackend
from monitor.workers import Workers, process_pool
from web_ui import PAGE

MEGABYTE = 1_000_000

logger = logging.getLogger(__name__)


class StartError(RuntimeError):
    """The service can't start; the message says why and what to do."""


class Service:
    """A running service but for the web: a context manager.

    Parameters
    ----------
    make_executor
        Where analyses run; a local process pool unless told otherwise.

    Raises
    ------
    StartError
        On entering: storage, database or port can't be used.
    """

    def __init__(
        self,
        settings: Settings,
        clock: Clock | None = None,
        make_executor: Callable[[], Executor] | None = None,
    ) -> None:
        self.settings = settings
        self.clock = clock or Clock()
        self.metrics = Metrics()
        self._make_executor = make_executor or partial(process_pool, settings.analysis.workers)

    def __enter__(self) -> Self:
        storage = self.settings.storage
        try:
            self.spool = Spool(
                storage.directory, free_floor_bytes=storage.minimum_free_mb * MEGABYTE
            )
        except (OSError, SpoolInUseError) as error:
            raise StartError(f"storage.directory {storage.directory}: {error}") from error
        try:
            self.journal = Journal(self.settings.database_url)
        except JournalError as error:
            self.spool.close()
            raise StartError(f"storage.database_url: {error}") from error
        self.workers = Workers(self._make_executor)
        self.pipeline = Pipeline(
            self.settings, self.clock, self.journal, self.workers, self.metrics, self._stored
        )
        self.stream = Stream(self.clock, self.pipeline.snapshot)
        self.listener = Listener(self._listener_settings(), self.spool, self.pipeline.put)
        try:
            self.listener.start()
        except ListenerError as error:
            self._close()
            raise StartError(str(error)) from error
        self.workers.warm()
        self.pipeline.put(Recovered(tuple(self._stored())))
        self.pipeline.start(self.stream.publish)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop receiving, finish what is in the inbox, end the processes."""
        self.listener.stop()
        self.pipeline.stop()
        self._close()

    def _close(self) -> None:
        self.workers.close()
        self.journal.close()
        self.spool.close()

    def _listener_settings(self) -> ListenerSettings:
        dicom = self.settings.dicom
        return ListenerSettings(
            ae_title=dicom.ae_title,
            host=dicom.host,
            port=dicom.port,
            calling_ae_titles=tuple(dicom.allowed_calling_ae_titles),
            maximum_associations=dicom.maximum_associations,
            maximum_object_bytes=dicom.maximum_object_mb * MEGABYTE,
            pdu_s=dicom.network_timeout_s,
        )

    def _stored(self) -> Iterator[ObjectStored]:
        for item in self.spool.scan():
            yield ObjectStored(item.header, item.path, item.receipt, item.outcome)

    def problems(self) -> list[str]:
        """What keeps it from being ready, in sentences."""
        found = []
        if not self.listener.is_running:
            found.append("The DICOM listener is not running.")
        if not self.pipeline.alive:
            found.append("The pipeline is stuck.")
        problem = self.spool.problem()
        if problem is not None:
            found.append(problem)
        try:
            self.journal.check()
        except JournalError as error:
            found.append(str(error))
        return found

    def refresh_metrics(self) -> None:
        """Bring gauges up to date that others count."""
        for name, value in asdict(self.listener.counters.read()).items():
            self.metrics.listener.labels(name).set(value)

    def backend(self) -> WebBackend:
        """What the web side needs."""
        return WebBackend(
            desk=Desk(self.pipeline, self.journal, self.clock),
            stream=self.stream,
            metrics=self.metrics,
            derived=self.settings.storage.directory / "derived",
            problems=self.problems,
            refresh_metrics=self.refresh_metrics,
        )


@contextmanager
def bound_socket(host: str, port: int) -> Iterator[socket.socket]:
    """A listening socket for the page, bound before anything is announced.

    Raises
    ------
    StartError
        The address is taken or not ours.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind((host, port))
        except OSError as error:
            raise StartError(
                f"Can't serve the page on {host}:{port}: {error.strerror or error}. "
                "Is another service using this port? Choose another web.port."
            ) from error
        yield sock
    finally:
        sock.close()


def address_of(sock: socket.socket) -> str:
    """The page's address."""
    host, port = sock.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    return f"http://{shown}:{port}/"


def serve_web(
    service: Service,
    sock: socket.socket,
    started: Callable[[], None],
    until: threading.Event | None = None,
) -> None:
    """Serve page and API until SIGTERM, SIGINT or ``until``; ``started`` once it answers."""
    page: Path | None = PAGE if (PAGE / "index.html").exists() else None
    if page is None:
        logger.warning("The page was not built; only the API is served")
    config = uvicorn.Config(
        make_app(service.backend(), page),
        log_level="warning",
        access_log=False,
        ws="websockets-sansio",
        ws_per_message_deflate=False,
        timeout_graceful_shutdown=3,
        server_header=False,
    )
    server = uvicorn.Server(config)

    async def run() -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, lambda: setattr(server, "should_exit", True))
        serving = asyncio.create_task(server.serve(sockets=[sock]))
        while not server.started and not serving.done():
            await asyncio.sleep(0.01)
        if server.started:
            started()
        while until is not None and not serving.done():
            if until.is_set():
                server.should_exit = True
            await asyncio.sleep(0.2)
        await serving

    asyncio.run(run())


def serve(settings: Settings) -> None:
    """``icemargin serve``: run until told to end.

    Raises
    ------
    StartError
        See ``Service``.
    """
    web = settings.web
    with bound_socket(web.host, web.port) as sock, Service(settings) as service:

        def announce() -> None:
            dicom = settings.dicom
            logger.info(
                "Listening for DICOM as %s on %s:%d",
                dicom.ae_title,
                dicom.host,
                service.listener.port,
            )
            logger.info("The page is at %s", address_of(sock))

        serve_web(service, sock, announce)
        logger.info("Ending; what was acknowledged is kept")
