"""Results on their way to the archives: the segmentation of each final scan is put into the outbox.

In a thread of its own, for an object takes some tenths of a second to make. What was put is marked
beside its artefact; what was not, when the service died, is found unmarked after the next start.
"""

import hashlib
import logging
import queue
import tempfile
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Final

from dicom_listener.outbox import Outbox, OutboxError
from monitor.artefact import ArtefactError
from monitor.decisions import CommandError
from monitor.messages import Assessment, Measurement, Role
from monitor.segmentation_object import SegmentationError
from monitor.stream import Data

MAXIMUM_WAITING: Final = 200
"""Measurements that may wait, several procedures' worth; further ones are sent after the next
start."""

RETRY_S: Final = 60.0
"""A result that found no place, in the outbox or on the disk, is tried again after this."""

ANSWER_S: Final = 10.0

logger = logging.getLogger(__name__)


class Dispatch:
    """Puts results into the outbox.

    Parameters
    ----------
    outbox
        Started and stopped with this.
    nodes
        Names of the archives that want segmentations.
    derived
        Where artefacts lie, and the marks of what was put.
    sources
        Files of the scan that a measurement was made of.
    make
        The segmentation object of a measurement, as a DICOM file.
    """

    def __init__(
        self,
        outbox: Outbox,
        nodes: Sequence[str],
        derived: Path,
        sources: Callable[[str], "Future[tuple[Path, ...]]"],
        make: Callable[[str, Sequence[Path]], bytes],
    ) -> None:
        self.outbox = outbox
        self._nodes = nodes
        self._derived = derived
        self._sources = sources
        self._make = make
        self._waiting: queue.Queue[str | None] = queue.Queue(MAXIMUM_WAITING)
        self._thread = threading.Thread(target=self._run, name="dispatch", daemon=True)

    def start(self) -> None:
        """Begin.

        Raises
        ------
        OSError
            The outbox can't be read.
        """
        self.outbox.start()
        self._thread.start()

    def stop(self) -> None:
        """End; what was not put or sent is so after the next start."""
        while True:
            try:
                self._waiting.put_nowait(None)
                break
            except queue.Full:
                self._waiting.get()
        self._thread.join(timeout=ANSWER_S)
        self.outbox.stop()

    def notice(self, data: Data) -> None:
        """Something was published; never waits."""
        if (
            not self._nodes
            or not isinstance(data, Measurement)
            or data.role is not Role.MONITORING
            or data.assessment is not Assessment.FINAL
        ):
            return
        try:
            self._waiting.put_nowait(data.id)
        except queue.Full:
            logger.warning("Too many results wait for the archives; %s is sent later", data.id)

    def _run(self) -> None:
        failed: dict[str, None] = {}
        while True:
            try:
                measurement_id = self._waiting.get(timeout=RETRY_S if failed else None)
            except queue.Empty:
                for again in list(failed)[-MAXIMUM_WAITING:]:
                    del failed[again]
                    if not self._tried(again):
                        failed[again] = None
                continue
            if measurement_id is None:
                return
            if not self._tried(measurement_id):
                failed[measurement_id] = None

    def _tried(self, measurement_id: str) -> bool:
        """Whether nothing more is to be done: it is in the outbox, or can't ever be made."""
        try:
            self._put(measurement_id)
        except (OutboxError, OSError) as error:
            logger.warning("The result %s waits: %s", measurement_id, error)
            return False
        except (CommandError, ArtefactError, SegmentationError) as error:
            logger.warning("The result %s can't be sent: %s", measurement_id, error)
        except Exception:  # the thread's edge: one result must not keep the others here
            logger.exception("The result %s can't be sent", measurement_id)
        return True

    def _put(self, measurement_id: str) -> None:
        unmarked = [n for n in self._nodes if not self._mark(measurement_id, n).exists()]
        if not unmarked:
            return
        sources = self._sources(measurement_id).result(timeout=ANSWER_S)
        content = self._make(measurement_id, sources)
        with tempfile.TemporaryDirectory(dir=self._derived) as folder:
            path = Path(folder) / "result.dcm"
            path.write_bytes(content)
            for node in unmarked:
                self.outbox.put(node, path)
                self._mark(measurement_id, node).touch()

    def _mark(self, measurement_id: str, node: str) -> Path:
        digest = hashlib.sha256(node.encode()).hexdigest()[:16]  # a name may hold any character
        return self._derived / f"{measurement_id}.{digest}.put"
