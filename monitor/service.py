"""The measuring side, put together: pipeline, analysis processes, journal, what the web needs."""

import logging
from collections.abc import Callable
from concurrent.futures import Executor
from functools import partial
from types import TracebackType
from typing import Self

from dicom_listener.ledger import Follower, recent
from dicom_listener.tls import TlsError
from monitor import lending
from monitor.clock import Clock
from monitor.config import Settings
from monitor.desk import Desk
from monitor.dropped import tidy
from monitor.journal import JournalError
from monitor.journal_writer import JournalWriter
from monitor.marking import Marking
from monitor.metrics import Metrics
from monitor.pipeline import Pipeline
from monitor.plugin import Plugin
from monitor.receiver import ReceiverStatus
from monitor.starting import StartError
from monitor.stream import Data, Stream
from monitor.surroundings import Surroundings
from monitor.web_backend import WebBackend
from monitor.workers import Workers, process_pool
from monitor.worklist_messages import Worklist

logger = logging.getLogger(__name__)


class Service:
    """The measuring side but for the web: a context manager.

    It follows the ledger in the configured folder, whoever writes it.

    Parameters
    ----------
    make_executor
        Where analyses run; a local process pool unless told otherwise.

    Attributes
    ----------
    receiver_status
        Says how the receiving side is doing.
    restarts
        Says how often each process was restarted, by name.

    Raises
    ------
    StartError
        On entering: the database can't be used.
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
        self.receiver_status: Callable[[], ReceiverStatus] = ReceiverStatus
        self.restarts: Callable[[], dict[str, int]] = dict

    def __enter__(self) -> Self:
        try:
            self.journal = JournalWriter(self.settings.database_url, self.metrics)
        except JournalError as error:
            raise StartError(f"storage.database_url: {error}") from error
        storage = self.settings.storage
        self.workers = Workers(self._make_executor, storage.directory / lending.FOLDER)
        start = recent(storage.directory, storage.replayed_since)
        self.pipeline = Pipeline(
            self.settings,
            self.clock,
            self.journal,
            self.workers,
            self.metrics,
            Follower(storage.directory, start),
            left_out=start.left_out,
        )
        self.pipeline.trouble.problem = lambda: self.receiver_status().problem
        self.stream = Stream(self.clock, self.pipeline.snapshot)
        tidy(storage.directory)
        self._marking = Marking(storage.directory, Plugin.of(self.settings))
        self._desk = Desk(self.pipeline, self.journal, self.clock)
        self._backend = self._make_backend()
        try:
            self._surroundings = Surroundings(
                self.settings, self._desk.sources, self._backend.segmentation
            )
            self._surroundings.start()
        except (OSError, TlsError) as error:
            self.workers.close()
            self.journal.close()
            raise StartError(f"archive or worklist: {error}") from error
        self.workers.warm()
        self.pipeline.start(self._publish)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Finish what is in the ledger, end the processes."""
        self.pipeline.stop()
        self._surroundings.stop()
        self._marking.close()
        self.workers.close()
        self.journal.close()

    def problems(self) -> list[str]:
        """What keeps it from being ready, in sentences."""
        found = []
        problem = self.receiver_status().problem
        if problem is not None:
            found.append(problem)
        if not self.pipeline.alive:
            found.append("The pipeline is stuck.")
        problem = self.journal.problem()
        if problem is not None:
            found.append(problem)
        return found

    def refresh_metrics(self) -> None:
        """Bring gauges up to date that others count."""
        status = self.receiver_status()
        for name, value in status.counts.items():
            self.metrics.listener.labels(name).set(value)
        for peer, counts in status.peers.items():
            for name, value in counts.items():
                self.metrics.peers.labels(peer, name).set(value)
        for archive in self._surroundings.archives():
            for name in ("waiting", "sent", "failed", "errors", "oldest_s"):
                self.metrics.archives.labels(archive.node, name).set(getattr(archive, name))
        for name, count in self.restarts().items():
            self.metrics.restarts.labels(name).set(count)

    def backend(self) -> WebBackend:
        """What the web side needs."""
        return self._backend

    def _make_backend(self) -> WebBackend:
        return WebBackend(
            desk=self._desk,
            stream=self.stream,
            metrics=self.metrics,
            derived=self.settings.storage.directory / "derived",
            marking=self._marking,
            problems=self.problems,
            worklist=self._worklist,
            refresh_metrics=self.refresh_metrics,
        )

    def _worklist(self) -> Worklist:
        return self._surroundings.worklist()

    def _publish(self, data: Data) -> None:
        self.stream.publish(data)
        self._surroundings.notice(data)
