"""Which scan of a procedure structures are marked on. On the pipeline's thread."""

from monitor.course import DECODED
from monitor.decisions import CommandError
from monitor.marking_messages import PlanningCandidate, StructuresVersion
from monitor.messages import Role
from monitor.planning_scan import Source
from monitor.procedure import Procedure
from monitor.series_record import SeriesRecord


def source_of(procedure: Procedure, series_uid: str | None) -> Source:
    """The planning scan; where there is none yet, the first scan that is a volume.

    Raises
    ------
    CommandError
        There is none, or not the one that is asked for.
    """
    fit = [record for record in procedure.series.values() if _is_volume(record)]
    fit.sort(key=lambda record: record.order)
    chosen = _chosen(procedure, fit, series_uid)
    return Source(
        procedure_id=procedure.id,
        series_uid=chosen.uid,
        revision=chosen.revision,
        description=chosen.description,
        paths=chosen.paths,
        decoded=procedure.derived / DECODED,
        candidates=tuple(
            PlanningCandidate(
                series_instance_uid=record.uid,
                description=record.description,
                slices=record.received,
            )
            for record in fit
        ),
        in_use=chosen.uid == procedure.drawings.scan_uid,
        next_version=procedure.drawings.versions.next_number,
    )


def versions_of(procedure: Procedure) -> list[StructuresVersion]:
    """All versions of its structures."""
    return procedure.drawings.version_messages()


def _chosen(procedure: Procedure, fit: list[SeriesRecord], series_uid: str | None) -> SeriesRecord:
    if series_uid is not None:
        for record in fit:
            if record.uid == series_uid:
                return record
        raise CommandError("no_such_series", "There is no such scan in this procedure.")
    if not fit:
        raise CommandError("no_scan", "No scan has come yet that could be marked on.")
    planning = procedure.compared.planning
    if planning is not None:
        return planning
    return next((record for record in fit if record.role is not Role.IGNORED), fit[0])


def _is_volume(record: SeriesRecord) -> bool:
    return record.ready is not None and record.ready.stack is not None
