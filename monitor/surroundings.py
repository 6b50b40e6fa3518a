"""What the service calls by itself: archives, which get results, and the worklist."""

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import asdict
from pathlib import Path

from dicom_listener import worklist
from dicom_listener.outbox import NodeFigures, Outbox, OutboxLimits
from monitor.config import Settings
from monitor.dispatch import Dispatch
from monitor.nodes import archive_nodes, ourselves, worklist_node
from monitor.stream import Data
from monitor.worklist_messages import ScheduledStep, Worklist


class Surroundings:
    """Archives and worklist, each in threads of its own: none can hold up the service.

    Parameters
    ----------
    sources, make
        As for ``Dispatch``.

    Raises
    ------
    TlsError
        When one is called by TLS, and our files can't be used.
    """

    def __init__(
        self,
        settings: Settings,
        sources: Callable[[str], "Future[tuple[Path, ...]]"],
        make: Callable[[str, Sequence[Path]], bytes],
    ) -> None:
        archive, directory = settings.archive, settings.storage.directory
        limits = OutboxLimits(
            archive.retry_first_s, archive.retry_longest_s, archive.give_up_h * 3600.0
        )
        outbox = Outbox(directory / "outbox", archive_nodes(settings), ourselves(settings), limits)
        wanting = [node.name for node in archive.nodes if "segmentation" in node.send]
        self._dispatch = Dispatch(outbox, wanting, directory / "derived", sources, make)
        self._worklist: worklist.Worklist | None = None
        node = worklist_node(settings)
        if node is not None:
            self._worklist = worklist.Worklist(
                node,
                ourselves(settings),
                station_ae_title=settings.worklist.station_ae_title,
                every_s=settings.worklist.every_s,
            )

    def start(self) -> None:
        """Begin.

        Raises
        ------
        OSError
            The outbox can't be read.
        """
        self._dispatch.start()
        if self._worklist is not None:
            self._worklist.start()

    def stop(self) -> None:
        """End; what was not sent waits for the next start."""
        if self._worklist is not None:
            self._worklist.stop()
        self._dispatch.stop()

    def notice(self, data: Data) -> None:
        """Something was published; never waits."""
        self._dispatch.notice(data)

    def archives(self) -> tuple[NodeFigures, ...]:
        """How each archive gets on."""
        return self._dispatch.outbox.figures()

    def worklist(self) -> Worklist:
        """Who is scheduled, as last heard."""
        if self._worklist is None:
            return Worklist(
                configured=False,
                asked_at=None,
                problem="No worklist is configured.",
                more=False,
                steps=[],
            )
        state = self._worklist.current()
        return Worklist(
            configured=True,
            asked_at=state.asked_at,
            problem=state.problem or None,
            more=state.more,
            steps=[ScheduledStep.model_validate(asdict(step)) for step in state.steps],
        )
