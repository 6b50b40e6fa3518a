"""``icemargin find``, ``fetch`` and ``worklist``: what other systems hold, on the terminal."""

import time
from collections.abc import Callable, Sequence
from datetime import datetime

from dicom_listener import fetch as fetching
from dicom_listener import worklist as listing
from dicom_listener.client import CANCELLED, MoveProgress
from dicom_listener.fetch import StudyQuery
from dicom_listener.nodes import Node
from monitor.config import Settings
from monitor.nodes import archive_nodes, ourselves, worklist_node

TELL_S = 1.0
"""How often a transfer tells how far it is."""

Say = Callable[[str], None]


class RemoteError(Exception):
    """A command that can't be carried out; the text says why, for people."""


def archive(settings: Settings, name: str) -> Node:
    """The archive node of that name; without a name the only one.

    Raises
    ------
    RemoteError
        There is none, or it is not told which.
    TlsError
        As ``archive_nodes``.
    """
    nodes = {node.name: node for node in archive_nodes(settings)}
    if not nodes:
        raise RemoteError("No archive is configured; see archive.nodes in config.yaml.")
    if not name and len(nodes) == 1:
        return next(iter(nodes.values()))
    if name not in nodes:
        said = f"There is no archive node called {name!r}" if name else "Say --node"
        raise RemoteError(f"{said}; there are {', '.join(nodes)}.")
    return nodes[name]


def find(settings: Settings, node_name: str, query: StudyQuery, say: Say) -> bool:
    """A table of studies, and of the series when it is one study; whether there are any.

    Raises
    ------
    RemoteError, TlsError, QueryError, CallError
        As their names say.
    """
    node, caller = archive(settings, node_name), ourselves(settings)
    found = fetching.find_studies(node, caller, query)
    head = ("Date", "Patient ID", "Name", "Modalities", "Objects", "Description", "Study UID")
    rows = (_study_row(study) for study in found.studies)
    say(table([head, *rows]) if found.studies else "Nothing was found.")
    if found.more:
        say(f"There are more than {fetching.MAXIMUM_ANSWERS}: ask for less.")
    if found.foreign:
        say(f"{found.foreign} answers did not match what was asked, and are left out.")
    if query.study_instance_uid and found.studies:
        series = fetching.find_series(node, caller, query.study_instance_uid)
        titles = ("Series", "Modality", "Objects", "Description", "Series UID")
        say("")
        say(table([titles, *(_series_row(one) for one in series)]))
    return bool(found.studies)


def fetch(
    settings: Settings,
    node_name: str,
    study_uid: str,
    series_uid: str,
    say: Say,
    cancelled: Callable[[], bool],
) -> bool:
    """Have a study or series sent to the service, and say whose it is; whether all of it came.

    Raises
    ------
    RemoteError, TlsError, QueryError, CallError
        As their names say.
    """
    node, caller = archive(settings, node_name), ourselves(settings)
    known = fetching.find_studies(node, caller, StudyQuery(study_instance_uid=study_uid))
    if not known.studies:
        say(f"{node.name} has no such study.")
        return False
    study = known.studies[0]
    say(f"Of {study.patient_name} ({study.patient_id}): {study.description or study.modalities}")
    told = time.monotonic()

    def tell(progress: MoveProgress) -> None:
        nonlocal told
        if not progress.is_over and time.monotonic() - told >= TELL_S:
            told = time.monotonic()
            say(f"{progress.completed + progress.warned} came, {progress.remaining} to come")

    ended = fetching.fetch(
        node, caller, study_uid, series_uid, on_progress=tell, cancelled=cancelled
    )
    came = ended.completed + ended.warned
    if ended.status == CANCELLED:
        say(f"Called off: {came} objects came before that.")
        return False
    if not came and not ended.failed:
        say(f"{node.name} has no such series.")
        return False
    say(f"{came} objects came, {ended.failed} failed.")
    return not ended.failed


def worklist(settings: Settings, say: Say) -> bool:
    """A table of who is planned for today; whether the worklist is on.

    Raises
    ------
    RemoteError, TlsError, CallError
        As their names say.
    """
    node = worklist_node(settings)
    if node is None:
        raise RemoteError("No worklist is configured; see worklist.host in config.yaml.")
    station = settings.worklist.station_ae_title
    now = datetime.now().astimezone()
    state = listing.ask(node, ourselves(settings), station_ae_title=station, now=now)
    head = ("Time", "Patient ID", "Name", "Born", "Accession", "Modality", "Station", "Procedure")
    rows = (_step_row(step) for step in state.steps)
    say(table([head, *rows]) if state.steps else "Nothing is planned for today.")
    if state.more:
        say(f"There are more than {listing.MAXIMUM_STEPS}: name worklist.station_ae_title.")
    return True


def table(rows: Sequence[Sequence[str]]) -> str:
    """Columns as wide as they must be; what a terminal would take for a command is replaced."""
    clean = [["".join(c if c.isprintable() else "?" for c in cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*clean, strict=True)]
    lines = ("  ".join(map(str.ljust, row, widths)).rstrip() for row in clean)
    return "\n".join(lines)


def _study_row(study: fetching.Study) -> tuple[str, ...]:
    return (
        f"{study.at:%Y-%m-%d %H:%M}" if study.at else "",
        study.patient_id,
        study.patient_name,
        study.modalities,
        _count(study.objects),
        study.description,
        study.study_instance_uid,
    )


def _step_row(step: listing.ScheduledStep) -> tuple[str, ...]:
    return (
        f"{step.scheduled_at:%m-%d %H:%M}",
        step.patient_id,
        step.patient_name,
        step.patient_birth_date,
        step.accession_number,
        step.modality,
        step.station_ae_title,
        step.procedure_description or step.step_description,
    )


def _series_row(series: fetching.Series) -> tuple[str, ...]:
    return (
        _count(series.number),
        series.modality,
        _count(series.objects),
        series.description,
        series.series_instance_uid,
    )


def _count(number: int | None) -> str:
    return "" if number is None else str(number)
