"""Page and API over HTTP: uvicorn, until told to end."""

import asyncio
import logging
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import uvicorn

from monitor.api import make_app
from monitor.web_backend import WebBackend
from web_ui import PAGE

TURN_S = 0.2
"""How often the event loop says that it turns."""

logger = logging.getLogger(__name__)


@dataclass
class Turning:
    """When the event loop has last turned; read from any thread."""

    at: float = field(default_factory=time.monotonic)

    @property
    def silent_s(self) -> float:
        """Seconds since then."""
        return time.monotonic() - self.at


class _Deaf(uvicorn.Server):
    """A server that leaves signals to whoever has set their handlers."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none."""
        yield


def address_of(sock: socket.socket) -> str:
    """The page's address."""
    host, port = sock.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    return f"http://{shown}:{port}/"


def serve_web(
    backend: WebBackend,
    sock: socket.socket,
    started: Callable[[], None],
    until: threading.Event | None = None,
    turning: Turning | None = None,
    *,
    by_signals: bool = True,
) -> None:
    """Serve page and API until SIGTERM, SIGINT or ``until``; ``started`` once it answers.

    Parameters
    ----------
    turning
        Brought up to date as long as the event loop turns.
    by_signals
        Whether signals end it; else only ``until`` does.
    """
    page: Path | None = PAGE if (PAGE / "index.html").exists() else None
    if page is None:
        logger.warning("The page was not built; only the API is served")
    config = uvicorn.Config(
        make_app(backend, page),
        log_level="warning",
        access_log=False,
        ws="websockets-sansio",
        ws_per_message_deflate=False,
        timeout_graceful_shutdown=3,
        server_header=False,
    )
    server = uvicorn.Server(config) if by_signals else _Deaf(config)

    async def run() -> None:
        loop = asyncio.get_running_loop()
        if by_signals:
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.add_signal_handler(number, lambda: setattr(server, "should_exit", True))
        serving = asyncio.create_task(server.serve(sockets=[sock]))
        while not server.started and not serving.done():
            await asyncio.sleep(0.01)
        if server.started:
            started()
        while not serving.done():
            if until is not None and until.is_set():
                server.should_exit = True
            if turning is not None:
                turning.at = time.monotonic()
            await asyncio.wait({serving}, timeout=TURN_S)
        await serving

    asyncio.run(run())
