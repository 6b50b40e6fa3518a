"""``icemargin analyse``: the same pipeline over folders of DICOM files, without the network."""

import json
import logging
import time
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from itertools import groupby
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from dicom_listener.encoded import DatasetError
from dicom_listener.events import AssociationEnded, ListenerEvent, ObjectStored, Receipt
from dicom_listener.headers import HeaderError, ObjectHeader, read_header
from monitor import lending, messages
from monitor.artefact import load
from monitor.clock import Clock
from monitor.config import Settings
from monitor.desk import Desk
from monitor.journal_writer import JournalWriter
from monitor.messages import Assessment, Role
from monitor.metrics import Metrics
from monitor.pipeline import Pipeline
from monitor.segmentation_object import SegmentationError, segmentation_object
from monitor.wire import Interval
from monitor.workers import Workers, process_pool

POLL_S = 0.05

FORECAST_S = 180.0
"""What the table forecasts."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class FileRefused:
    """A file that is no DICOM object we can use, and why."""

    path: Path
    text: str


@dataclass(frozen=True, eq=False)
class Outcome:
    """What came of the folders.

    Attributes
    ----------
    measurements
        In the order of acquisition, one a series.
    procedures
        One a patient and study.
    refused
        Files that were passed over.
    seconds
        Wall time.
    """

    measurements: list[messages.Measurement]
    procedures: list[messages.Procedure]
    refused: list[FileRefused]
    seconds: float


def analyse(
    folders: Sequence[Path], output: Path, settings: Settings, *, workers: int = 1
) -> Outcome:
    """Measure every procedure found under the folders and write what was found.

    Writes ``output/measurements.json`` and ``output/<SeriesInstanceUID>.seg.dcm`` for each measured
    scan.
    """
    began = time.monotonic()
    objects, refused = _read(folders)
    output.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix="icemargin-") as scratch:
        directory = Path(scratch)
        storage = settings.storage.model_copy(update={"directory": directory, "database_url": ""})
        local = settings.model_copy(update={"storage": storage})
        pool: Workers = Workers(partial(_pool, workers), directory / lending.FOLDER)
        metrics = Metrics()
        journal = JournalWriter(local.database_url, metrics)
        try:
            feed = _Folders(objects)
            pipeline = Pipeline(local, Clock(), journal, pool, metrics, feed, any_patient=True)
            pipeline.start(lambda _data: None)
            while not pipeline.idle().result():
                time.sleep(POLL_S)
            desk = Desk(pipeline, journal, Clock())
            procedures = desk.procedures().result()
            measurements = [
                measurement
                for procedure in procedures
                for measurement in desk.measurements(procedure.id).result()
            ]
            for measurement in measurements:
                if measurement.assessment is not Assessment.NOT_ASSESSABLE:
                    _write_segmentation(desk, measurement, directory, output)
            pipeline.stop()
        finally:
            pool.close()
            journal.close()
    measurements.sort(key=lambda m: m.acquired_at)
    document = [m.model_dump(mode="json") for m in measurements]
    (output / "measurements.json").write_text(json.dumps(document, indent=1) + "\n")
    return Outcome(measurements, procedures, refused, time.monotonic() - began)


def _pool(workers: int) -> Executor:
    return process_pool(workers)


def _read(folders: Sequence[Path]) -> tuple[list[ObjectStored], list[FileRefused]]:
    """All objects, in the order that a scanner would have sent them."""
    found: dict[str, list[tuple[ObjectHeader, Path]]] = defaultdict(list)
    refused = []
    for folder in folders:
        for path in sorted(p for p in folder.rglob("*") if p.is_file()):
            try:
                header = read_header(path)
            except (HeaderError, DatasetError, OSError) as error:
                refused.append(FileRefused(path, str(error)))
                continue
            found[header.series_instance_uid].append((header, path))
    never = datetime.max.replace(tzinfo=UTC)
    series = sorted(found.items(), key=lambda item: min(h.acquired_at or never for h, _ in item[1]))
    stored = []
    for uid, members in series:
        receipt = Receipt(_now(), uid, "", "")
        seen: set[str] = set()
        for header, path in members:
            known = header.sop_instance_uid in seen
            seen.add(header.sop_instance_uid)
            stored.append(ObjectStored(header, path, receipt, "identical" if known else "new"))
    return stored, refused


class _Folders:
    """Objects of folders as a listener would have received them: an association for each series."""

    def __init__(self, objects: Sequence[ObjectStored]) -> None:
        self._groups = groupby(objects, key=lambda stored: stored.association_id)

    def read(self) -> list[ListenerEvent]:
        """The next series; nothing when there are no more."""
        for association_id, objects in self._groups:
            return [*objects, AssociationEnded(association_id, "", "released", _now())]
        return []


def _write_segmentation(
    desk: Desk, measurement: messages.Measurement, directory: Path, output: Path
) -> None:
    artefact = load(directory / "derived" / f"{measurement.id}.npz")
    sources = desk.sources(measurement.id).result()
    try:
        content = segmentation_object(artefact, sources, "icemargin")
    except SegmentationError as error:
        logger.warning("No segmentation of %s: %s", measurement.series_instance_uid, error)
        return
    (output / f"{measurement.series_instance_uid}.seg.dcm").write_bytes(content)


def table(outcome: Outcome) -> str:
    """The outcome for a terminal."""
    lines = []
    titles = {
        p.id: f"{p.patient_id or '(no patient id)'} · {p.patient_name}" for p in outcome.procedures
    }
    for procedure_id, title in titles.items():
        lines += ["", f"Procedure {title}"]
        lines.append(
            f"{'acquired':<10}{'role':<12}{'assessment':<16}{'ice ml':>7}"
            f"{'margin mm':>24}{'forecast +3 min':>17}{'nearest structure mm':>34}"
        )
        rows = [m for m in outcome.measurements if m.procedure_id == procedure_id]
        lines += [_row(m) for m in rows]
        if not rows:
            lines.append("  nothing was measured")
    if outcome.refused:
        lines += ["", f"{len(outcome.refused)} files passed over:"]
        lines += [f"  {f.path.name}: {f.text}" for f in outcome.refused[:10]]
        if len(outcome.refused) > 10:
            lines.append(f"  … and {len(outcome.refused) - 10} more")
    return "\n".join(lines).lstrip("\n")


def _row(m: messages.Measurement) -> str:
    start = f"{m.acquired_at:%H:%M:%S}  {m.role:<12}"
    if m.role is not Role.MONITORING:
        return f"{start}{'-':<16}{m.reasons[0].text}"
    if m.tumour is None or m.ice is None:
        return f"{start}{m.assessment:<16}{m.reasons[0].text}"
    nearest: Any = min(m.structures, key=lambda s: s.distance_mm.value, default=None)
    other = f"{nearest.name} {_figures(nearest.distance_mm)}" if nearest is not None else "-"
    return (
        f"{start}{m.assessment:<16}{m.ice.volume_ml:>7.1f}{_figures(m.tumour.margin_mm):>24}"
        f"{_forecast(m):>17}{other:>34}"
    )


def _forecast(m: messages.Measurement) -> str:
    """The margin after 3 min more of freezing; a range alone, since it is not measured."""
    ahead = m.forecast.ahead if m.forecast is not None else []
    found = [a.margin_mm for a in ahead if a.after_s == FORECAST_S]
    return f"{found[0].low:.1f} to {found[0].high:.1f}" if found else "-"


def _figures(interval: Interval) -> str:
    return f"{interval.value:.1f} ({interval.low:.1f} to {interval.high:.1f})"


def _now() -> datetime:
    return datetime.now().astimezone()
