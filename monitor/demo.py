"""``icemargin demo``: the service on a throw-away folder, and a simulated scanner feeding it."""

import subprocess
import sys
import tempfile
import threading
import webbrowser
from collections.abc import Callable
from contextlib import ExitStack
from datetime import datetime, timedelta
from pathlib import Path

from monitor.clock import Clock
from monitor.config import Settings
from monitor.service import Service, StartError, address_of, bound_socket, serve_web

LEAD_S = 12.0
"""Real seconds before procedure time 0: what the simulated scanner needs for its first images."""

BANNER = "Research software. Not a medical device. What you see is simulated."


def demo(
    settings: Settings,
    *,
    case: str,
    speed: float,
    seed: int,
    browser: bool,
    anatomy: Path | None = None,
    stay: bool = True,
) -> int:
    """Run one whole procedure over real C-STORE, ``speed`` times as fast as real.

    Parameters
    ----------
    anatomy
        Folder of a real CT, for the cases that are painted into one.
    stay
        Go on serving when the procedure is over, until told to end.

    Returns
    -------
    int
        The scanner's exit status: 0 when everything was sent and taken.

    Raises
    ------
    StartError
        The service can't start.
    """
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="icemargin-demo-")))
        local = settings.model_copy(
            update={
                "storage": settings.storage.model_copy(
                    update={"directory": scratch, "database_url": ""}
                ),
                "dicom": settings.dicom.model_copy(update={"host": "127.0.0.1", "port": 0}),
            }
        )
        try:
            sock = stack.enter_context(bound_socket(local.web.host, local.web.port))
        except StartError:  # somebody has the usual port: any other will do for a demo
            sock = stack.enter_context(bound_socket(local.web.host, 0))
        address = address_of(sock)
        origin = datetime.now().astimezone()
        start = origin + timedelta(seconds=LEAD_S * speed)
        service = stack.enter_context(Service(local, Clock.lapsed(speed, origin)))
        scanner = _Scanner(
            [
                *("simulate", "--to", f"{local.dicom.ae_title}@127.0.0.1:{service.listener.port}"),
                *("--case", case, "--seed", str(seed), "--speed", str(speed)),
                *("--start", start.isoformat(), "--salt", start.isoformat()),
                *("--lead", str(LEAD_S)),
                *("--page", address),
                *(("--anatomy", str(anatomy)) if anatomy is not None else ()),
            ]
        )

        def started() -> None:
            print(BANNER, flush=True)  # noqa: T201  what a person reads on the terminal
            print(f"The page is at {address}", flush=True)  # noqa: T201
            scanner.start()
            if browser:
                webbrowser.open(address)

        def ended(status: int) -> None:
            text = "The procedure is over; the page stays until you press Ctrl-C."
            if status != 0:
                text = f"The simulated scanner ended with status {status}."
            print(text, flush=True)  # noqa: T201

        scanner.when_ended = ended
        stack.callback(scanner.end)
        serve_web(service, sock, started, until=None if stay else scanner.over)
        return scanner.status or 0


class _Scanner:
    """The simulated scanner as a process of its own, and a thread that waits for its end."""

    def __init__(self, arguments: list[str]) -> None:
        self._command = [sys.executable, "-m", "monitor.cli", *arguments]
        self._process: subprocess.Popen[bytes] | None = None
        self._waiting: threading.Thread | None = None
        self._told_to_end = False
        self.over = threading.Event()
        self.status: int | None = None
        self.when_ended: Callable[[int], None] = lambda _status: None

    def start(self) -> None:
        self._process = subprocess.Popen(self._command)  # noqa: S603  our own interpreter
        self._waiting = threading.Thread(target=self._wait, name="scanner")
        self._waiting.start()

    def _wait(self) -> None:
        assert self._process is not None
        self.status = self._process.wait()
        if not self._told_to_end:
            self.when_ended(self.status)
        self.over.set()

    def end(self) -> None:
        if self._process is None or self._waiting is None:
            return
        if self._process.poll() is None:
            self._told_to_end = True
            self._process.terminate()
        self._waiting.join(timeout=10)
        if self._told_to_end:
            self.status = 0
