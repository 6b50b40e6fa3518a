"""What the routes need of the service, apart from the web itself."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from monitor import artefact, messages
from monitor import views as pictures
from monitor.artefact import Artefact, ArtefactError
from monitor.desk import Desk
from monitor.marking import Marking
from monitor.metrics import Metrics
from monitor.segmentation_object import segmentation_object
from monitor.stream import Stream
from monitor.views import Plane
from monitor.worklist_messages import Worklist

KEPT_ARTEFACTS = 4
"""Artefacts held in memory: three pictures and the outlines are fetched of each."""


@dataclass(eq=False)
class WebBackend:
    """Answers of the service; the methods block and belong into a thread.

    Attributes
    ----------
    problems
        What keeps the service from being ready, in sentences; empty when it is.
    """

    desk: Desk
    stream: Stream
    metrics: Metrics
    derived: Path
    marking: Marking
    problems: Callable[[], list[str]]
    worklist: Callable[[], Worklist]
    refresh_metrics: Callable[[], None]

    def __post_init__(self) -> None:
        self._load = lru_cache(KEPT_ARTEFACTS)(artefact.load)

    @property
    def storage(self) -> Path:
        """The storage directory."""
        return self.derived.parent

    def _artefact(self, measurement_id: str) -> Artefact:
        # Never a path from a caller's text: only ids of ours, which are 32 hexadecimal digits.
        if len(measurement_id) != 32 or not set(measurement_id) <= set("0123456789abcdef"):
            raise ArtefactError("no such measurement")
        return self._load(self.derived / f"{measurement_id}.npz")

    def views(self, measurement_id: str) -> messages.Views:
        """Outlines of the three slices."""
        return pictures.views(self._artefact(measurement_id), measurement_id)

    def picture(self, measurement_id: str, plane: Plane) -> bytes:
        """PNG of one slice."""
        return pictures.picture(self._artefact(measurement_id), plane)

    def segmentation(self, measurement_id: str, sources: Sequence[Path]) -> bytes:
        """DICOM SEG; see ``monitor.segmentation_object``."""
        return segmentation_object(self._artefact(measurement_id), sources, "icemargin")

    def metrics_text(self) -> bytes:
        """Prometheus text."""
        self.refresh_metrics()
        return self.metrics.text()
