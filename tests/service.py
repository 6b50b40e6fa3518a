"""The real service as a process of its own, and the ways in which the world talks to it."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import httpx
import yaml
from prometheus_client.parser import text_string_to_metric_families
from pydantic import TypeAdapter
from websockets.sync.client import ClientConnection, connect

from monitor import messages
from monitor.wire import Wire
from tests.waiting import PATIENCE_S, until

END_S = 15.0
"""A service that was told to end is gone after this; it usually takes about a second."""

_MESSAGE: TypeAdapter[messages.ServerMessage] = TypeAdapter(messages.ServerMessage)
_DICOM = re.compile(r"Listening for DICOM as \S+ on 127\.0\.0\.1:(\d+)")
_PAGE = re.compile(r"The page is at (http://127\.0\.0\.1:(\d+)/)")

M = TypeVar("M", bound=Wire)

Sections = Mapping[str, Mapping[str, object]]


def environment(**more: str) -> dict[str, str]:
    """Ours, without anybody's overrides of the configuration."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("ICEMARGIN__")}
    return kept | more


def write_config(path: Path, directory: Path, changes: Sections) -> Path:
    """A config.yaml for a test: ports given by the system, figures that do not grow old."""
    content: dict[str, dict[str, object]] = {
        "dicom": {"port": 0},
        "web": {"port": 0},
        "storage": {"directory": str(directory), "minimum_free_mb": 10},
        "alerts": {"value_old_s": 86_400, "scan_overdue_s": 86_400},
    }
    for section, keys in changes.items():
        content.setdefault(section, {}).update(keys)
    path.write_text(yaml.safe_dump(content))
    return path


class RunningService:
    """``icemargin serve`` as a process.

    Attributes
    ----------
    directory
        Its ``storage.directory``.
    """

    def __init__(self, root: Path, changes: Sections, **overrides: str) -> None:
        root.mkdir(parents=True, exist_ok=True)
        self.directory = root / "data"
        self._log = root / f"log{len(list(root.glob('log*')))}"
        config = write_config(root / "config.yaml", self.directory, changes)
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "monitor.cli", "serve", "--config", str(config)],
                stdout=log,
                stderr=log,
                env=environment(**overrides),
            )

    def wait_until_up(self) -> None:
        """Wait until it has said where it listens."""
        page = until(lambda: self._said(_PAGE), "the service's start")
        dicom = until(lambda: self._said(_DICOM), "the listener's start")
        self.dicom_port = int(dicom[1])
        self.page = str(page[1])
        self.web_port = int(page[2])

    def _said(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        assert self.process.poll() is None, f"the service ended\n{self.log[-4000:]}"
        return pattern.search(self.log)

    @property
    def log(self) -> str:
        """What it has said so far."""
        return self._log.read_text(errors="replace")

    def pid(self, name: str) -> int:
        """Process id of the ``listener`` or the ``monitor``, as it is at the moment."""
        return int(re.findall(rf"The {name} is process (\d+)", self.log)[-1])

    def metric(self, name: str, **labels: str) -> float:
        """One figure of /metrics; 0 while it is not there."""
        for family in text_string_to_metric_families(self.get("metrics").text):
            for sample in family.samples:
                if sample.name == name and labels.items() <= sample.labels.items():
                    return float(sample.value)
        return 0.0

    # HTTP

    def get(self, path: str, **headers: str) -> httpx.Response:
        """GET a path below the root."""
        return httpx.get(f"{self.page}{path}", headers=headers, timeout=PATIENCE_S)

    def post(self, path: str, body: object = None, **headers: str) -> httpx.Response:
        """POST JSON, or nothing."""
        content = b"" if body is None else json.dumps(body).encode()
        given = {"Content-Type": "application/json"} | headers
        return httpx.post(f"{self.page}{path}", content=content, headers=given, timeout=PATIENCE_S)

    def api(self, path: str) -> Any:
        """The JSON of a call that must succeed."""
        answer = self.get(f"api/v1/{path}")
        assert answer.status_code == 200, f"{path}: {answer.status_code} {answer.text}"
        return answer.json()

    def procedure(self) -> dict[str, Any] | None:
        """The newest procedure, if there is one."""
        found: list[dict[str, Any]] = self.api("procedures")
        return found[0] if found else None

    def measurements(self) -> list[dict[str, Any]]:
        """Of the newest procedure."""
        procedure = self.procedure()
        found: list[dict[str, Any]] = []
        if procedure is not None:
            found = self.api(f"procedures/{procedure['id']}/measurements")
        return found

    def alerts(self) -> list[dict[str, Any]]:
        """Of the newest procedure."""
        procedure = self.procedure()
        found: list[dict[str, Any]] = []
        if procedure is not None:
            found = self.api(f"procedures/{procedure['id']}/alerts")
        return found

    def wait_for_measurement(
        self, series_uid: str, patience_s: float = PATIENCE_S
    ) -> dict[str, Any]:
        """Wait until a series has been measured, or found not to be assessable."""

        def look() -> dict[str, Any] | None:
            found = [m for m in self.measurements() if m["series_instance_uid"] == series_uid]
            return found[0] if found else None

        return until(look, f"a measurement of {series_uid}\n{self.log[-4000:]}", patience_s)

    def wait_for_alert(self, condition: str) -> dict[str, Any]:
        """Wait until there is an alert of a condition."""

        def look() -> dict[str, Any] | None:
            found = [a for a in self.alerts() if a["condition"] == condition]
            return found[-1] if found else None

        return until(look, f"the alert {condition}\n{self.log[-4000:]}")

    # DICOM

    def storescu(self, program: str, *arguments: Path | str) -> subprocess.CompletedProcess[str]:
        """Send files and folders by dcmtk's ``storescu``, on one association."""
        return subprocess.run(
            self.storescu_command(program, *arguments),
            env=os.environ | {"TCP_NODELAY": "1"},
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
        )

    def storescu_command(self, program: str, *arguments: Path | str) -> list[str]:
        """Its command line: options, and files or folders."""
        options = [a for a in arguments if isinstance(a, str)]
        paths = [str(a) for a in arguments if isinstance(a, Path)]
        # Only what is needed is proposed (-R): in explicit little endian, which is what our own
        # files hold, unless the options name another syntax (-x...).
        if not any(option.startswith("-x") for option in options):
            options.append("-xe")
        options += ["-aet", "CT", "-aec", "ICEMARGIN", "-R", "--scan-directories"]
        return [program, *options, "127.0.0.1", str(self.dicom_port), *paths]

    # Ends

    def end(self) -> int:
        """Tell it to end, by SIGTERM; its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(END_S)

    def kill(self) -> None:
        """Kill it, as a power cut would."""
        self.process.kill()
        self.process.wait(END_S)


@contextmanager
def running_service(
    root: Path, changes: Sections | None = None, **overrides: str
) -> Iterator[RunningService]:
    """A service that is up; it is gone afterwards, whatever happens.

    Parameters
    ----------
    root
        Its configuration, log and data; the same again is the same service started again.
    changes
        Sections of config.yaml, over the tests' own.
    overrides
        Environment variables.
    """
    service = RunningService(root, changes or {}, **overrides)
    try:
        service.wait_until_up()
        yield service
    finally:
        if service.process.poll() is None:
            service.process.kill()
        service.process.wait(END_S)


class StreamReader:
    """An independent client of the stream; keeps everything that came, checked by its schema."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self.messages: list[messages.ServerMessage] = []

    def read(self) -> messages.ServerMessage:
        """The next message; a heartbeat at least must come."""
        text = self._socket.recv(timeout=PATIENCE_S)
        self.messages.append(_MESSAGE.validate_json(text))
        return self.messages[-1]

    def read_until(self, wanted: Callable[[messages.ServerMessage], bool]) -> None:
        """Read until a message is the wanted one, also among those read before."""
        if any(wanted(message) for message in self.messages):
            return
        until(lambda: wanted(self.read()), "a message on the stream")

    def of(self, kind: type[M]) -> list[M]:
        """The messages of one kind so far."""
        return [message for message in self.messages if isinstance(message, kind)]


@contextmanager
def stream(service: RunningService, **headers: str) -> Iterator[StreamReader]:
    """A connection to the stream."""
    address = f"ws://127.0.0.1:{service.web_port}/api/v1/stream"
    # No bound of its own: what is not read yet waits here, not in the service.
    with connect(address, max_queue=None, additional_headers=headers) as socket:
        yield StreamReader(socket)
