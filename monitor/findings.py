"""What each measurement, and the passing of time, says about the alert conditions.

Figures in texts are rounded towards danger: a distance or margin downwards.
"""

from collections.abc import Iterable
from datetime import datetime

from monitor import messages
from monitor.alerts import Finding
from monitor.config import AlertsSection
from monitor.messages import Assessment, Condition, PhaseName, Role
from monitor.nearness import of_distances, rounded_down
from monitor.procedure import Procedure

NOT_ALARMING = {"no_ice", "rejected"}
"""Reasons for no figure that are no fault: after the thaw there is no ice, and who has rejected a
scan knows it."""


def of_measurement(
    measurement: messages.Measurement,
    procedure: Procedure,
    limits: AlertsSection,
    warned: Iterable[str] = (),
) -> Iterable[Finding]:
    """Findings of one measurement; none about what it can't tell.

    ``warned`` are the structures that have an alert of their own.
    """
    newest = procedure.results.latest()
    if measurement.role is Role.IGNORED and newest is not None:
        measurement = newest  # it may have been the newest until now
    if measurement.role is not Role.MONITORING or newest is None or newest.id != measurement.id:
        return []
    found = [_assessable(measurement)]
    if measurement.tumour is not None:
        found.append(_margin(measurement, measurement.tumour, limits.margin_target_mm))
        found += of_distances(measurement, procedure, limits.hilum_near_mm, warned)
    return found


def _assessable(measurement: messages.Measurement) -> Finding:
    reason = measurement.reasons[0] if measurement.reasons else None
    present = (
        measurement.assessment is Assessment.NOT_ASSESSABLE
        and reason is not None
        and reason.code not in NOT_ALARMING
    )
    text = f"Scan not assessable: {reason.text}" if reason is not None else ""
    return Finding(Condition.SCAN_NOT_ASSESSABLE, present, text, measurement_id=measurement.id)


def _margin(
    measurement: messages.Measurement, tumour: messages.Tumour, target_mm: float
) -> Finding:
    margin = tumour.margin_mm
    text = (
        f"Ice reaches {rounded_down(margin.value)} mm beyond the tumour everywhere "
        f"({rounded_down(margin.low)} to {rounded_down(margin.high)} mm)."
    )
    return Finding(
        Condition.MARGIN_REACHED,
        margin.value >= target_mm,
        text,
        value=margin.value,
        limit=target_mm,
        measurement_id=measurement.id,
    )


def of_time(procedure: Procedure, now: datetime, overdue_s: float) -> Iterable[Finding]:
    """Whether a scan is overdue: only while freezing."""
    phase = procedure.phase
    newest = procedure.results.latest()
    since = phase.since
    if newest is not None:
        # One that seems to have come before it was taken was not taken after it came.
        since = max(since, min(newest.taken_at, newest.last_slice_received_at))
    waited_s = (now - since).total_seconds()
    present = phase.phase is PhaseName.FREEZE and waited_s > overdue_s
    text = f"No scan for more than {overdue_s / 60:.0f} min while freezing."
    return [Finding(Condition.SCAN_OVERDUE, present, text, limit=overdue_s)]
