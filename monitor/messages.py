"""What leaves the service: the types of the HTTP answers and of the stream, parsed once.

Distances are millimetres, times are RFC 3339 with offset, points are DICOM patient LPS in mm of
the scan's own frame. Nothing here is rounded; rounding towards danger is the display's part.
"""

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import AwareDatetime, Field, model_validator

from monitor import phase_messages, wire
from monitor.forecast_messages import Forecast, Lethal, TimeSpan
from monitor.life import State
from monitor.nephrometry_messages import Nephrometry
from monitor.phase_messages import OfferedPhase, ProtocolStep, ScannerClock
from monitor.probe_messages import Probe, ProbeLine, Probes
from monitor.structure_messages import StructureSource
from monitor.wire import Interval, Point, Wire

Phase = phase_messages.Phase
PhaseName = phase_messages.PhaseName
Reason = wire.Reason


class Role(StrEnum):
    """What a series is for in its procedure."""

    PLANNING = "planning"
    BASELINE = "baseline"
    MONITORING = "monitoring"
    IGNORED = "ignored"


class Assessment(StrEnum):
    """How far a measurement may be believed."""

    FINAL = "final"
    PROVISIONAL = "provisional"
    NOT_ASSESSABLE = "not_assessable"


class Registration(Wire):
    """Rigid registration of the baseline to this scan, at the tumour."""

    residual_mm: float
    shift_mm: Point
    planning_to_scan: Annotated[list[float], Field(min_length=16, max_length=16)] | None = None


class Ice(Wire):
    """The ice ball in this scan."""

    volume_ml: float
    visible_surface_fraction: float
    longest_axis_mm: float


class Tumour(Wire):
    """Ice against the tumour.

    ``margin_mm`` is the signed minimum, over the tumour's surface, of its depth inside the ice;
    negative where tumour lies outside. ``covered_fraction`` maps "0", "5" and "10" to the fraction
    of the tumour's volume that lies at least that many mm inside the ice.
    """

    margin_mm: Interval
    worst_point_lps_mm: Point
    covered_fraction: dict[str, float]


class StructureDistance(Wire):
    """Ice against a structure at risk: 0 at contact, negative when the ice overlaps it."""

    name: str
    distance_mm: Interval
    nearest_point_lps_mm: Point
    rate_mm_per_min: float | None
    contact_in_s: float | None
    contact_interval_s: TimeSpan | None = None


class Review(Wire):
    """What a person has said of a measurement."""

    verdict: Literal["approved", "rejected"]
    by: str
    at: AwareDatetime
    reason: str


class Correction(Wire):
    """How a person has had a scan measured."""

    baseline_series_instance_uid: str | None
    seed_lps_mm: Point | None
    nudge_mm: Point | None
    by: str
    at: AwareDatetime
    note: str


class Recomputing(Wire):
    """Scans that are being measured again because something changed: ``done`` of ``total``."""

    done: int
    total: int


class Measurement(Wire):
    """What was found in one series; see the contract of each field in ``docs/api.md``.

    ``basis`` stands for all that it rests on beside the scan: structures, baseline, corrections.
    ``supersedes`` is the measurement of the same series that it took the place of.
    ``acquired_at`` is by the scanner's clock, less ``clock_offset_s`` by the service's. ``probes``
    are those that were first found in this series.
    """

    id: str
    procedure_id: str
    series_instance_uid: str
    frame_of_reference_uid: str | None
    acquired_at: AwareDatetime
    last_slice_received_at: AwareDatetime
    published_at: AwareDatetime
    role: Role
    phase: PhaseName | None
    elapsed_freeze_s: float | None
    assessment: Assessment
    reasons: list[Reason]
    registration: Registration | None
    ice: Ice | None
    tumour: Tumour | None
    structures: list[StructureDistance]
    forecast: Forecast | None = None
    lethal: Lethal | None = None
    review: Review | None = None
    correction: Correction | None = None
    probes: list[Probe] = Field(default_factory=list)
    basis: str = ""
    supersedes: str | None = None
    clock_offset_s: float = 0.0
    version: str

    @property
    def taken_at(self) -> datetime:
        """When it was acquired, by the service's clock as far as that is known."""
        return self.acquired_at - timedelta(seconds=self.clock_offset_s)

    @model_validator(mode="after")
    def _no_number_in_place_of_a_reason(self) -> "Measurement":
        if self.assessment is Assessment.NOT_ASSESSABLE:
            numbers = (self.tumour, self.ice, self.forecast, self.lethal)
            if self.structures or any(number is not None for number in numbers):
                raise ValueError("a measurement that is not assessable carries no number")
            if not self.reasons:
                raise ValueError("a measurement that is not assessable says why")
        elif self.role is not Role.MONITORING:
            raise ValueError(f"a {self.role} series is not measured")
        return self


class AlertState(StrEnum):
    """See the transition table in ``monitor/alerts.py``."""

    ACTIVE_UNACKNOWLEDGED = "active_unacknowledged"
    ACTIVE_ACKNOWLEDGED = "active_acknowledged"
    LATCHED = "latched"
    CLEARED = "cleared"


class Priority(StrEnum):
    """IEC 60601-1-8 priorities."""

    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"


class Condition(StrEnum):
    """What an alert is about."""

    HILUM_NEAR = "hilum_near"
    STRUCTURE_NEAR = "structure_near"
    MARGIN_REACHED = "margin_reached"
    SCAN_OVERDUE = "scan_overdue"
    SCAN_NOT_ASSESSABLE = "scan_not_assessable"
    OTHER_PATIENT = "other_patient"
    OBJECT_CONFLICT = "object_conflict"
    OBJECT_REFUSED = "object_refused"
    RECEIVING_STOPPED = "receiving_stopped"


class Alert(Wire):
    """One alert; an acknowledgement is a record on it, with who and when.

    ``subject`` is the structure that it is about, where the condition has one for each.
    """

    id: str
    procedure_id: str
    measurement_id: str | None
    condition: Condition
    kind: Literal["physiological", "technical"]
    priority: Priority
    state: AlertState
    raised_at: AwareDatetime
    text: str
    value: float | None
    limit: float | None
    acknowledged_by: str | None
    acknowledged_at: AwareDatetime | None
    note: str | None
    cleared_at: AwareDatetime | None
    subject: str = ""


class Series(Wire):
    """One received series and what became of it.

    ``chosen_by`` is who has given it its role, null where it follows from the rules.
    ``same_acquisition_as`` is the series that is used of the same acquisition in its place.
    ``can_be_measured`` is false for what can have no role but to be ignored.
    """

    series_instance_uid: str
    description: str
    modality: str
    role: Role | None
    status: Literal["receiving", "provisional", "final", "refused", "stored"]
    slices: int
    reason: Reason | None
    acquired_at: AwareDatetime | None
    number: int | None = None
    kernel: str = ""
    slice_thickness_mm: float | None = None
    slice_spacing_mm: float | None = None
    metal_reduced: bool = False
    can_be_measured: bool = False
    chosen_by: str | None = None
    same_acquisition_as: str | None = None


class PlannedStructure(Wire):
    """A structure in use, as received or marked.

    Ice that comes nearer than ``warning_distance_mm`` raises an alert; for a hilum without a
    distance of its own, and for the site's other structures, the configuration says how near.
    """

    name: str
    kind: Literal["tumour", "hilum", "other"]
    volume_ml: float
    warning_distance_mm: float | None = None


class Procedure(Wire):
    """One patient and study under treatment."""

    id: str
    patient_id: str
    patient_name: str
    study_instance_uid: str
    opened_at: AwareDatetime
    state: State
    phase: Phase
    phases: list[Phase] = Field(default_factory=list)
    offered_phase: OfferedPhase | None = None
    scanner_clock: ScannerClock | None = None
    structures: list[PlannedStructure]
    structures_version: int | None = None
    structure_sources: list[StructureSource] = Field(default_factory=list)
    series: list[Series]
    recomputing: Recomputing | None = None
    probes: Probes = Field(default_factory=Probes)
    nephrometry: Nephrometry | None = None


class ScanProgress(Wire):
    """Slices of a series arriving; ``expected`` is what its predecessor had, if any."""

    procedure_id: str
    series_instance_uid: str
    received: int
    expected: int | None
    complete: bool


class Limits(Wire):
    """The site's limits, for drawing; distances of published origin are in ``docs/hazards.md``."""

    margin_target_mm: float
    hilum_near_mm: float
    scan_overdue_s: float
    value_old_s: float
    protocol: list[ProtocolStep] = Field(default_factory=list)


class Clock(Wire):
    """The server's clock. ``speed`` is 1 in service; in a time-lapsed demo it is greater."""

    now: AwareDatetime
    speed: float
    simulated: bool


class Snapshot(Wire):
    """The whole current state, first on every connection."""

    version: str
    clock: Clock
    limits: Limits
    procedure: Procedure | None
    measurements: list[Measurement]
    alerts: list[Alert]
    scan_progress: ScanProgress | None


class _Message(Wire):
    seq: int
    run: str
    at: AwareDatetime


class SnapshotMessage(_Message):
    """First message on a connection."""

    type: Literal["snapshot"] = "snapshot"
    data: Snapshot


class ScanProgressMessage(_Message):
    """Slices arriving."""

    type: Literal["scan_progress"] = "scan_progress"
    data: ScanProgress


class MeasurementMessage(_Message):
    """A series was measured, or was found not to be assessable."""

    type: Literal["measurement"] = "measurement"
    data: Measurement


class AlertMessage(_Message):
    """An alert changed its state."""

    type: Literal["alert"] = "alert"
    data: Alert


class PhaseMessage(_Message):
    """The radiographer pressed a phase."""

    type: Literal["phase"] = "phase"
    data: Phase


class ProcedureMessage(_Message):
    """A procedure opened, or something in it changed."""

    type: Literal["procedure"] = "procedure"
    data: Procedure


class HeartbeatMessage(_Message):
    """Every second, so that silence is noticed."""

    type: Literal["heartbeat"] = "heartbeat"
    data: Clock


ServerMessage = Annotated[
    SnapshotMessage
    | ScanProgressMessage
    | MeasurementMessage
    | AlertMessage
    | PhaseMessage
    | ProcedureMessage
    | HeartbeatMessage,
    Field(discriminator="type"),
]


class Outline(Wire):
    """Closed curves of one object in a view: lists of (x, y) in mm on the view's plane."""

    name: str
    kind: Literal["ice", "lethal", "tumour", "hilum", "other"]
    curves: list[list[tuple[float, float]]]


class View(Wire):
    """A slice through the worst point.

    ``x`` grows to the right of the picture and ``y`` downwards, both from the picture's upper left
    corner in mm; the picture ``image`` covers ``width_mm`` by ``height_mm``. ``left``, ``right``,
    ``top`` and ``bottom`` are the patient directions at the picture's edges (A, P, L, R, H, F).
    ``origin_lps_mm`` is the upper left corner in the scan's frame, ``right_lps`` and ``down_lps``
    are unit vectors in which x and y grow.
    """

    plane: Literal["axial", "coronal", "sagittal"]
    image: str
    width_mm: float
    height_mm: float
    left: str
    right: str
    top: str
    bottom: str
    origin_lps_mm: Point
    right_lps: Point
    down_lps: Point
    worst_point: tuple[float, float]
    outlines: list[Outline]
    probes: list[ProbeLine] = Field(default_factory=list)


class Views(Wire):
    """The three slices of one measurement."""

    measurement_id: str
    views: list[View]


class ErrorBody(Wire):
    """The one shape of errors, inside ``{"error": …}``."""

    code: str
    message: str


class ErrorAnswer(Wire):
    """What every refused call answers."""

    error: ErrorBody


def rfc3339(moment: datetime) -> str:
    """RFC 3339 text of an aware time."""
    if moment.tzinfo is None:
        raise ValueError(f"a time without offset: {moment.isoformat()}")
    return moment.isoformat()
