"""What each measurement, and the passing of time, says about the alert conditions.

Figures in texts are rounded towards danger: a distance or margin downwards.
"""

import math
from collections.abc import Iterable
from datetime import datetime

from monitor import messages
from monitor.alerts import Finding
from monitor.config import AlertsSection
from monitor.messages import Assessment, Condition, PhaseName, Role
from monitor.procedure import Procedure, latest

NOT_ALARMING = {"no_ice", "rejected"}
"""Reasons for no figure that are no fault: after the thaw there is no ice, and who has rejected a
scan knows it."""


def rounded_down(value: float) -> str:
    """One decimal, towards danger: 3.19 is "3.1", -0.31 is "-0.4"."""
    return f"{math.floor(value * 10) / 10:.1f}"


def of_measurement(
    measurement: messages.Measurement, procedure: Procedure, limits: AlertsSection
) -> Iterable[Finding]:
    """Findings of one measurement; none about what it can't tell."""
    newest = latest(procedure.measurements)
    if measurement.role is not Role.MONITORING or newest is None or newest.id != measurement.id:
        return []
    found = [_assessable(measurement)]
    if measurement.tumour is not None:
        found.append(_margin(measurement, measurement.tumour, limits.margin_target_mm))
        hilum = _hilum(measurement, procedure)
        if hilum is not None:
            found.append(_near(measurement, hilum, limits.hilum_near_mm))
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


def _hilum(
    measurement: messages.Measurement, procedure: Procedure
) -> messages.StructureDistance | None:
    names = {s.name for s in procedure.structures or () if s.kind == "hilum"}
    near = [s for s in measurement.structures if s.name in names]
    return min(near, key=lambda s: s.distance_mm.value) if near else None


def _near(
    measurement: messages.Measurement, hilum: messages.StructureDistance, limit_mm: float
) -> Finding:
    value = hilum.distance_mm.value
    if value < 0:
        text = f"Ice OVERLAPS the renal hilum by {-math.floor(value * 10) / 10:.1f} mm."
    else:
        text = f"Ice {rounded_down(value)} mm from the renal hilum."
    return Finding(
        Condition.HILUM_NEAR,
        value < limit_mm,
        text,
        value=value,
        limit=limit_mm,
        measurement_id=measurement.id,
        worse_is="lower",
    )


def of_time(procedure: Procedure, now: datetime, overdue_s: float) -> Iterable[Finding]:
    """Whether a scan is overdue: only while freezing."""
    phase = procedure.phase
    newest = latest(procedure.measurements)
    since = phase.since
    if newest is not None:
        since = max(since, newest.acquired_at)
    waited_s = (now - since).total_seconds()
    present = phase.phase is PhaseName.FREEZE and waited_s > overdue_s
    text = f"No scan for more than {overdue_s / 60:.0f} min while freezing."
    return [Finding(Condition.SCAN_OVERDUE, present, text, limit=overdue_s)]
