"""Messages made up for the tests."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from monitor import messages
from monitor.drawings import USUAL_NAMING, Naming
from monitor.forecast_messages import Ahead, Forecast, Lethal, StructureAhead, Until
from monitor.messages import (
    Alert,
    AlertState,
    Assessment,
    Condition,
    Measurement,
    PhaseName,
    Priority,
    Reason,
    Role,
    StructureDistance,
    Tumour,
)
from monitor.procedure import Procedure
from monitor.wire import Interval
from segmentation.structures import Structure
from tests.segmentation.shapes import ball_field

START = datetime(2026, 3, 1, 9, 0, tzinfo=UTC)


def at(seconds: float) -> datetime:
    """So many seconds after the start of the test's story."""
    return START + timedelta(seconds=seconds)


def interval(value: float, half_mm: float = 1.0) -> Interval:
    """An interval about a value."""
    return Interval(value=value, low=value - half_mm, high=value + half_mm)


def distance(value: float, name: str = "Renal hilum") -> StructureDistance:
    """The ice's distance to a structure."""
    return StructureDistance(
        name=name,
        distance_mm=interval(value),
        nearest_point_lps_mm=(1, 2, 3),
        rate_mm_per_min=-0.5,
        contact_in_s=None,
    )


def forecast(margin_mm: float = 4.0, hilum_mm: float = 15.0) -> Forecast:
    """What freezing on for a minute would do."""
    return Forecast(
        basis="freezing model",
        ahead=[
            Ahead(
                after_s=60,
                volume_ml=interval(25),
                margin_mm=interval(margin_mm),
                structures=[StructureAhead(name="Renal hilum", distance_mm=interval(hilum_mm))],
            )
        ],
        margin_5_mm_in_s=Until(value=100, low=50, high=None),
    )


def lethal() -> Lethal:
    """A modelled surface inside the ice."""
    return Lethal(
        temperature_c=-20,
        basis="freezing model",
        volume_ml=interval(12),
        margin_mm=interval(-2),
        covered_fraction=0.8,
    )


def measurement(
    number: int = 1,
    *,
    margin_mm: float | None = 2.0,
    hilum_mm: float | None = 20.0,
    **changes: Any,
) -> Measurement:
    """A monitoring scan's final measurement, two minutes after the one before."""
    fields: dict[str, Any] = {
        "id": f"{number:032x}",
        "procedure_id": "p",
        "series_instance_uid": f"1.2.{number}",
        "frame_of_reference_uid": "1.2",
        "acquired_at": at(120 * number),
        "last_slice_received_at": at(120 * number + 5),
        "published_at": at(120 * number + 6),
        "role": Role.MONITORING,
        "phase": PhaseName.FREEZE,
        "elapsed_freeze_s": 120.0 * number,
        "assessment": Assessment.FINAL,
        "reasons": [],
        "registration": None,
        "ice": messages.Ice(volume_ml=20, visible_surface_fraction=0.7, longest_axis_mm=40),
        "tumour": None,
        "structures": [],
        "version": "icemargin 0",
    }
    if margin_mm is not None:
        fields["tumour"] = Tumour(
            margin_mm=interval(margin_mm),
            worst_point_lps_mm=(1, 2, 3),
            covered_fraction={"0": 0.9, "5": 0.5, "10": 0.1},
        )
    if hilum_mm is not None:
        fields["structures"] = [distance(hilum_mm)]
    return Measurement.model_validate(fields | changes)


def not_assessable(number: int = 1, code: str = "missing_slices", **changes: Any) -> Measurement:
    """A scan without a number, and why."""
    reason = Reason(code=code, text="Two slices are missing.")
    given: dict[str, Any] = {"assessment": Assessment.NOT_ASSESSABLE, "reasons": [reason]}
    given |= {"ice": None} | changes
    return measurement(number, margin_mm=None, hilum_mm=None, **given)


def alert(**changes: Any) -> Alert:
    """An alert that nobody has seen yet."""
    fields: dict[str, Any] = {
        "id": "a1",
        "procedure_id": "p",
        "measurement_id": None,
        "condition": Condition.HILUM_NEAR,
        "kind": "physiological",
        "priority": Priority.MEDIUM,
        "state": AlertState.ACTIVE_UNACKNOWLEDGED,
        "raised_at": at(0),
        "text": "Ice 3.1 mm from the renal hilum.",
        "value": 3.19,
        "limit": 5.0,
        "acknowledged_by": None,
        "acknowledged_at": None,
        "note": None,
        "cleared_at": None,
    }
    return Alert.model_validate(fields | changes)


def phase(name: PhaseName = PhaseName.FREEZE, cycle: int = 1, since_s: float = 0) -> messages.Phase:
    """A pressed phase."""
    return messages.Phase(procedure_id="p", phase=name, since=at(since_s), cycle=cycle)


def snapshot(**changes: Any) -> messages.Snapshot:
    """A state in which nothing has happened yet."""
    fields: dict[str, Any] = {
        "version": "icemargin 0",
        "clock": messages.Clock(now=at(0), speed=1, simulated=False),
        "limits": messages.Limits(
            margin_target_mm=5, hilum_near_mm=5, scan_overdue_s=240, value_old_s=240
        ),
        "procedure": None,
        "measurements": [],
        "alerts": [],
        "scan_progress": None,
    }
    return messages.Snapshot.model_validate(fields | changes)


def procedure(
    *measurements: Measurement,
    derived: Path = Path("derived"),
    naming: Naming = USUAL_NAMING,
) -> Procedure:
    """A procedure with a tumour and a hilum, of which these scans were measured."""
    made = Procedure(
        id="p",
        patient_id="4711",
        patient_name="Muster",
        study_instance_uid="1.2.3",
        opened_at=at(0),
        derived=derived,
        at=lambda moment: moment,
        naming=naming,
    )
    made.drawings.structures = (
        Structure("Tumour", "tumour", ball_field(12, step_mm=4)),
        Structure("Renal hilum", "hilum", ball_field(8, step_mm=4)),
    )
    for measurement in measurements:
        made.results.put(measurement)
    return made
