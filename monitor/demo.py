"""``icemargin demo``: the service on a throw-away folder, and a simulated scanner feeding it."""

import subprocess
import sys
import tempfile
import threading
import webbrowser
from collections.abc import Callable
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path

from monitor.cli import READY
from monitor.clock import Clock
from monitor.config import Settings
from monitor.receiver import Receiver
from monitor.service import Service
from monitor.starting import StartError, bound_socket
from monitor.web import address_of, serve_web

SETTLE_S = 30.0
"""How long the pipeline may take to say whether it is idle."""

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
        clock = Clock.lapsed(speed, origin)
        service = stack.enter_context(Service(local, clock))
        receiver = stack.enter_context(Receiver(local, service.pipeline.knock))
        service.receiver_status = receiver.status
        scanner = _Scanner(
            [
                *("simulate", "--to", f"{local.dicom.ae_title}@127.0.0.1:{receiver.listener.port}"),
                *("--case", case, "--seed", str(seed), "--speed", str(speed)),
                *("--start", origin.isoformat(), "--salt", origin.isoformat(), "--announce"),
                *("--page", address),
                *(("--anatomy", str(anatomy)) if anatomy is not None else ()),
            ],
            begins=clock.release,
            settled=lambda: service.pipeline.idle().result(timeout=SETTLE_S),
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
        serve_web(service.backend(), sock, started, until=None if stay else scanner.over)
        return scanner.status or 0


class _Scanner:
    """The simulated scanner as a process of its own, and a thread that follows it.

    Parameters
    ----------
    begins
        Called when procedure time begins, after the first images have been computed.
    settled
        Whether the service has measured all that was sent.
    """

    def __init__(
        self, arguments: list[str], begins: Callable[[], None], settled: Callable[[], bool]
    ) -> None:
        self._command = [sys.executable, "-m", "monitor.cli", *arguments]
        self._begins = begins
        self._settled = settled
        self._process: subprocess.Popen[str] | None = None
        self._following: threading.Thread | None = None
        self._told_to_end = threading.Event()
        self.over = threading.Event()
        self.status: int | None = None
        self.when_ended: Callable[[int], None] = lambda _status: None

    def start(self) -> None:
        self._process = subprocess.Popen(  # noqa: S603  our own interpreter
            self._command, stdout=subprocess.PIPE, text=True
        )
        self._following = threading.Thread(target=self._follow, name="scanner")
        self._following.start()

    def _follow(self) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        with self._process.stdout as lines:
            for line in lines:
                if line.strip() == READY:
                    self._begins()
        self.status = self._process.wait()
        while not (self._told_to_end.is_set() or self._settled()):
            self._told_to_end.wait(0.2)
        if not self._told_to_end.is_set():
            self.when_ended(self.status)
        self.over.set()

    def end(self) -> None:
        if self._process is None or self._following is None:
            return
        running = self._process.poll() is None
        self._told_to_end.set()
        if running:
            self._process.terminate()
        self._following.join(timeout=10)
        if running:
            self.status = 0
