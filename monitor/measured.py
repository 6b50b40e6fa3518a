"""Measurements in the wire's form, from what an analysis found or from the reason it did not."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import uuid4

from monitor import __version__, messages
from monitor.analysis import Found
from monitor.forecast_messages import TimeSpan, Until
from monitor.forecasts import contacts_of, forecast_of, interval, lethal_of
from monitor.messages import Assessment, PhaseName, Reason, Role
from monitor.probe_messages import Probe
from monitor.series_record import SeriesRecord

VERSION = f"icemargin {__version__}"

RATE_SPAN_S = 600.0
"""A rate is given between two measurements of one phase no further apart than this."""


@dataclass(frozen=True)
class Context:
    """What a measurement says beside the series and its figures.

    Attributes
    ----------
    phase
        That held when the scan was acquired; None before any was pressed.
    last_slice_received_at, published_at
        By the service's clock.
    basis, supersedes, clock_offset_s, probes
        As in ``messages.Measurement``.
    """

    procedure_id: str
    phase: messages.Phase | None
    last_slice_received_at: datetime
    published_at: datetime
    basis: str
    supersedes: str | None
    clock_offset_s: float
    probes: list[Probe]


def unmeasured(
    record: SeriesRecord, context: Context, role: Role, reason: Reason
) -> messages.Measurement:
    """A series without figures, and why."""
    return messages.Measurement(
        **_common(record, context),
        id=uuid4().hex,
        role=role,
        assessment=Assessment.NOT_ASSESSABLE,
        reasons=[reason],
        registration=None,
        ice=None,
        tumour=None,
        structures=[],
    )


def measured(
    record: SeriesRecord,
    context: Context,
    measurement_id: str,
    found: Found,
    doubts: Sequence[Reason],
    before: messages.Measurement | None,
) -> messages.Measurement:
    """A scan's figures.

    Parameters
    ----------
    doubts
        Why it is only provisional; none when it is final.
    before
        The measurement before it in the same phase, for rates.
    """
    return messages.Measurement(
        **_common(record, context),
        id=measurement_id,
        role=Role.MONITORING,
        assessment=Assessment.PROVISIONAL if doubts else Assessment.FINAL,
        reasons=list(doubts),
        registration=messages.Registration(
            residual_mm=found.residual_mm,
            shift_mm=found.shift_mm,
            planning_to_scan=list(found.planning_to_scan),
        ),
        ice=messages.Ice(
            volume_ml=found.volume_ml,
            visible_surface_fraction=found.visible_surface_fraction,
            longest_axis_mm=found.longest_axis_mm,
        ),
        tumour=messages.Tumour(
            margin_mm=interval(found.margin_mm),
            worst_point_lps_mm=found.worst_point_lps_mm,
            covered_fraction={str(k): v for k, v in found.covered_fraction.items()},
        ),
        structures=[
            messages.StructureDistance(
                name=distance.name,
                distance_mm=interval(distance.distance_mm),
                nearest_point_lps_mm=distance.nearest_point_lps_mm,
                rate_mm_per_min=_rate(
                    distance.name, distance.distance_mm.value, record.order, before
                ),
                contact_in_s=contact.value if contact is not None else None,
                contact_interval_s=_span(contact),
            )
            for distance, contact in zip(found.distances, contacts_of(found), strict=True)
        ],
        forecast=forecast_of(found),
        lethal=lethal_of(found),
    )


def _common(record: SeriesRecord, context: Context) -> dict[str, Any]:
    phase, elapsed_s = context.phase, None
    if phase is not None and phase.phase is PhaseName.FREEZE:
        elapsed_s = (record.order - phase.since).total_seconds() - context.clock_offset_s
    return {
        "procedure_id": context.procedure_id,
        "series_instance_uid": record.uid,
        "frame_of_reference_uid": record.headers[0].frame_of_reference_uid,
        "acquired_at": record.order,
        "last_slice_received_at": context.last_slice_received_at,
        "published_at": context.published_at,
        "phase": phase.phase if phase is not None else None,
        "elapsed_freeze_s": elapsed_s,
        "clock_offset_s": context.clock_offset_s,
        "basis": context.basis,
        "supersedes": context.supersedes,
        "probes": context.probes,
        "version": VERSION,
    }


def _rate(
    name: str, value: float, moment: datetime, before: messages.Measurement | None
) -> float | None:
    """mm/min since the measurement before."""
    if before is None:
        return None
    span_s = (moment - before.acquired_at).total_seconds()
    values = {s.name: s.distance_mm.value for s in before.structures}
    if not 0 < span_s <= RATE_SPAN_S or name not in values:
        return None
    return (value - values[name]) / span_s * 60


def _span(until: Until | None) -> TimeSpan | None:
    return TimeSpan(low=until.low, high=until.high) if until is not None else None
