"""A process beside the analysis processes, for what people wait for while they mark.

It is started when it is first needed, holds up neither scans nor the web, and is ended when an
answer takes too long. One call at a time.
"""

import logging
import multiprocessing
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from typing import Any, Final

from monitor.decisions import CommandError

TRIES: Final = 2
"""The processes of the service are all ended together when an analysis hangs; ours is then started
again, and asked again."""

IN_LINE_S: Final = 10.0
"""A caller waits no longer for those before it."""

logger = logging.getLogger(__name__)


class SideError(RuntimeError):
    """The call raised something it should not have, or its process died; says what."""


class SideProcess:
    """Runs functions in a process of its own; for any thread."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._turn = threading.Lock()
        self._process: SpawnProcess | None = None
        self._connection: Connection | None = None

    def run(self, timeout_s: float, function: Callable[..., Any], *arguments: Any) -> Any:
        """The function's answer; both must be picklable.

        Raises
        ------
        CommandError
            ``busy``: others are before, or it takes too long.
        SideError
            It failed.
        """
        if not self._turn.acquire(timeout=IN_LINE_S):
            raise CommandError("busy", "Others are being served; try again.")
        try:
            for _ in range(TRIES):
                try:
                    return self._ask(timeout_s, function, arguments)
                except (EOFError, OSError):  # it died
                    logger.warning("The process for %s has died", self._name)
                    self._end()
            raise SideError(f"The process for {self._name} died twice.")
        finally:
            self._turn.release()

    def close(self) -> None:
        """End it, whatever it does."""
        process = self._process
        if process is not None:
            process.kill()
        with self._turn:
            self._end()

    def _ask(self, timeout_s: float, function: Callable[..., Any], arguments: Any) -> Any:
        if self._connection is None:
            self._start()
        assert self._connection is not None
        self._connection.send((function, arguments))
        if not self._connection.poll(timeout_s):
            logger.error("What was asked for %s took longer than %.0f s", self._name, timeout_s)
            self._end()
            raise CommandError("busy", f"It took longer than {timeout_s:.0f} s and was ended.")
        answer, error = self._connection.recv()
        if error is not None:
            raise SideError(error)
        return answer

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs,), name=self._name, daemon=True)
        self._process.start()
        theirs.close()

    def _end(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.join()
        if self._connection is not None:
            self._connection.close()
        self._process = self._connection = None


def _serve(connection: Connection) -> None:
    """The process."""
    import os

    from monitor import analysis, logs
    from monitor.workers import NICENESS, end_with_parent

    os.nice(NICENESS)
    logs.hush()
    analysis.warm_up()
    end_with_parent()
    while True:
        try:
            function, arguments = connection.recv()
        except EOFError:
            return
        answer: tuple[Any, str | None]
        try:
            answer = function(*arguments), None
        except Exception as error:  # noqa: BLE001  the process's outermost edge; it is told
            answer = None, f"{type(error).__name__}: {error}"
        connection.send(answer)
