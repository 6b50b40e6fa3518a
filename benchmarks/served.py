"""The real service as a process of its own, and a display that listens to its stream."""

import json
import os
import re
import subprocess
import sys
import threading
import time
import urllib.request
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Self

from prometheus_client.parser import text_string_to_metric_families
from websockets.exceptions import WebSocketException
from websockets.sync.client import ClientConnection, connect

from monitor.config import ENVIRONMENT_PREFIX
from scanner_sim.push import Destination

START_S = 60.0
END_S = 20.0
REQUEST_S = 10.0
LOG_LINES = 40
"""Of its end, shown when something fails."""

STAGES = "icemargin_analysis_stage_seconds"

_DICOM = re.compile(r"Listening for DICOM as (\S+) on (\S+):(\d+)$")
_SECURE = re.compile(r"Listening for DICOM over TLS as \S+ on \S+:(\d+)$")
_PAGE = re.compile(r"The page is at (http://\S+/)$")


class ServedError(RuntimeError):
    """The service or its stream is not as it should be; the message says how."""


class Service:
    """``icemargin serve`` on ports that the system gives, and on a folder of its own.

    Parameters
    ----------
    settings
        Further keys of the configuration, as the environment writes them: ``DICOM__PORT``.

    Attributes
    ----------
    destination
        Where to send to.
    page
        Its address, with the slash at its end.
    tls_port
        Its second port; None when it has none.
    """

    def __init__(self, directory: Path, settings: Mapping[str, str] | None = None) -> None:
        kept = {k: v for k, v in os.environ.items() if not k.startswith(ENVIRONMENT_PREFIX)}
        ours = {
            "DICOM__PORT": "0",
            "WEB__PORT": "0",
            "STORAGE__DIRECTORY": str(directory),
            **(settings or {}),
        }
        self._process = subprocess.Popen(
            [sys.executable, "-m", "monitor.cli", "serve"],
            env=kept | {f"{ENVIRONMENT_PREFIX}{name}": value for name, value in ours.items()},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._log: deque[str] = deque(maxlen=LOG_LINES)
        self._said = threading.Condition()
        self._ended = False
        self._found: dict[re.Pattern[str], re.Match[str]] = {}
        self._reader = threading.Thread(target=self._read, name="service-log")
        self._reader.start()

    def wait(self) -> None:
        """Wait until it has said where it listens.

        Raises
        ------
        ServedError
            It ended, or said nothing.
        """
        with self._said:
            self._said.wait_for(lambda: self._ended or _PAGE in self._found, START_S)
            if not {_DICOM, _PAGE} <= self._found.keys():
                raise ServedError(f"the service did not start:\n{self.log}")
            title, host, port = self._found[_DICOM].groups()
        self.destination = Destination(title, host, int(port))
        self.page = str(self._found[_PAGE][1])
        secure = self._found.get(_SECURE)
        self.tls_port = int(secure[1]) if secure is not None else None

    @property
    def pid(self) -> int:
        """Of the process that was started; there may be others below it."""
        return self._process.pid

    @property
    def log(self) -> str:
        """The last lines that it wrote."""
        return "\n".join(self._log)

    def stages(self) -> "Stages":
        """Seconds spent so far in each stage of the analyses."""
        with urllib.request.urlopen(f"{self.page}metrics", timeout=REQUEST_S) as answer:
            return Stages.parse(answer.read().decode())

    def end(self) -> None:
        """End the process and what reads from it."""
        self._process.terminate()
        try:
            self._process.wait(END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join()

    def _read(self) -> None:
        assert self._process.stderr is not None
        with self._process.stderr as lines:
            for line in lines:
                text = line.rstrip("\n")
                with self._said:
                    self._log.append(text)
                    for pattern in (_DICOM, _SECURE, _PAGE):
                        match = pattern.search(text)
                        if match is not None:
                            self._found[pattern] = match
                    self._said.notify_all()
        with self._said:
            self._ended = True
            self._said.notify_all()


@contextmanager
def served(directory: Path, settings: Mapping[str, str] | None = None) -> Iterator[Service]:
    """A running service, ended at the end; see ``Service``."""
    service = Service(directory, settings)
    try:
        service.wait()
        yield service
    finally:
        service.end()


@dataclass(frozen=True)
class Stages:
    """Seconds and number of analyses by stage, in the order in which the service names them."""

    seconds: dict[str, float]
    counts: dict[str, float]

    @staticmethod
    def parse(text: str) -> "Stages":
        """From Prometheus' text format."""
        found: dict[str, dict[str, float]] = {f"{STAGES}_sum": {}, f"{STAGES}_count": {}}
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                if sample.name in found:
                    found[sample.name][sample.labels["stage"]] = sample.value
        return Stages(found[f"{STAGES}_sum"], found[f"{STAGES}_count"])

    def since(self, earlier: "Stages") -> dict[str, float]:
        """Seconds an analysis since an earlier look, by stage; stages not passed are left out."""
        return {
            name: (self.seconds[name] - earlier.seconds.get(name, 0.0)) / count
            for name, total in self.counts.items()
            if (count := total - earlier.counts.get(name, 0.0)) > 0
        }


@dataclass(frozen=True)
class Arrival:
    """A measurement at the display; ``at_s`` is on ``time.monotonic``, ``at`` by the clock."""

    at_s: float
    at: datetime
    measurement: dict[str, Any]


class Display:
    """A client of the stream that notes when each measurement comes; a context manager."""

    def __init__(self, page: str) -> None:
        address = page.replace("http://", "ws://", 1) + "api/v1/stream"
        self._stack = ExitStack()
        self._connection: ClientConnection = self._stack.enter_context(
            connect(address, max_size=None, compression=None)
        )
        self._arrivals: dict[str, Arrival] = {}
        self._structures: dict[tuple[str, ...], float] = {}
        self._news = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._listen, name="display")
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()
        self._thread.join()

    def wait(self, series_instance_uid: str, timeout_s: float) -> Arrival:
        """The measurement of a series, provisional ones passed over.

        Raises
        ------
        ServedError
            It does not come, or the stream ends.
        """
        with self._news:
            self._news.wait_for(
                lambda: self._closed or series_instance_uid in self._arrivals, timeout_s
            )
            if series_instance_uid not in self._arrivals:
                why = "the stream ended" if self._closed else f"none within {timeout_s:g} s"
                raise ServedError(f"no measurement of {series_instance_uid}: {why}")
            return self._arrivals[series_instance_uid]

    def wait_for_structures(self, names: tuple[str, ...], timeout_s: float) -> float:
        """When a procedure was first told to have just these structures, on ``time.monotonic``.

        Raises
        ------
        ServedError
            It does not come, or the stream ends.
        """
        with self._news:
            self._news.wait_for(lambda: self._closed or names in self._structures, timeout_s)
            if names not in self._structures:
                why = "the stream ended" if self._closed else f"not within {timeout_s:g} s"
                raise ServedError(f"no structures {', '.join(names)}: {why}")
            return self._structures[names]

    def _listen(self) -> None:
        try:
            for text in self._connection:
                self._note(time.monotonic(), datetime.now().astimezone(), json.loads(text))
        except WebSocketException:
            pass  # told to whoever waits, as a stream that has ended
        with self._news:
            self._closed = True
            self._news.notify_all()

    def _note(self, at_s: float, at: datetime, message: dict[str, Any]) -> None:
        if message["type"] == "procedure":
            names = tuple(one["name"] for one in message["data"]["structures"])
            with self._news:
                self._structures.setdefault(names, at_s)
                self._news.notify_all()
        if message["type"] != "measurement" or message["data"]["assessment"] == "provisional":
            return
        with self._news:
            self._arrivals[message["data"]["series_instance_uid"]] = Arrival(
                at_s, at, message["data"]
            )
            self._news.notify_all()
