"""What people decide, over HTTP."""

from typing import Annotated, Literal

from fastapi import Body, FastAPI, Request
from pydantic import BaseModel, ConfigDict, Field

from monitor.calls import answer_of, check_origin
from monitor.decisions import (
    CommandError,
    Decision,
    ProcedureClosed,
    ProcedureReopened,
    ScanCorrected,
    ScanReviewed,
)
from monitor.web_backend import WebBackend

BY = "console"
"""Who has decided, until there is sign-in."""


Coordinate = Annotated[float, Field(ge=-5000, le=5000)]
"""mm; no scanner's patient frame reaches further."""

Nudge = Annotated[float, Field(ge=-50, le=50)]
"""mm; a kidney moves by up to 43 mm with breathing (domain facts, 2.2)."""


class ReviewBody(BaseModel):
    """What a person says of a measurement."""

    model_config = ConfigDict(extra="forbid")

    verdict: Literal["approved", "rejected"]
    reason: str = Field("", max_length=2000)


class BeginBody(BaseModel):
    """A patient and study of the worklist."""

    model_config = ConfigDict(extra="forbid")

    patient_id: str = Field(max_length=64)
    study_instance_uid: str = Field(max_length=64)


class CorrectionBody(BaseModel):
    """How a scan is to be measured; nothing but nulls: as it is found."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    baseline_series_instance_uid: str | None = Field(None, max_length=64)
    seed_lps_mm: tuple[Coordinate, Coordinate, Coordinate] | None = None
    nudge_mm: tuple[Nudge, Nudge, Nudge] | None = None
    note: str = Field("", max_length=2000)


def add_decision_routes(app: FastAPI, backend: WebBackend) -> None:
    """Add them."""

    @app.get("/api/v1/procedures/{procedure_id}/decisions")
    async def decisions(procedure_id: str) -> list[Decision]:
        """What people have decided about a procedure, oldest first."""
        return await answer_of(lambda: backend.desk.decisions(procedure_id))

    @app.post("/api/v1/procedures")
    async def begin(request: Request, body: BeginBody) -> Decision:
        """Begin a procedure with a patient of the worklist, before the first image."""
        check_origin(request)
        wanted = (body.patient_id, body.study_instance_uid)
        steps = backend.worklist().steps
        names = [s.patient_name for s in steps if (s.patient_id, s.study_instance_uid) == wanted]
        if not names:
            text = "The worklist does not hold this patient and study."
            raise CommandError("not_scheduled", text)
        return await answer_of(lambda: backend.desk.open(BY, names[0], *wanted))

    @app.post("/api/v1/procedures/{procedure_id}/close")
    async def close(request: Request, procedure_id: str) -> Decision:
        """The procedure is over: what still comes of it is stored and not measured."""
        check_origin(request)
        return await answer_of(lambda: backend.desk.decide(procedure_id, BY, ProcedureClosed()))

    @app.post("/api/v1/procedures/{procedure_id}/reopen")
    async def reopen(request: Request, procedure_id: str) -> Decision:
        """It was not over."""
        check_origin(request)
        return await answer_of(lambda: backend.desk.decide(procedure_id, BY, ProcedureReopened()))

    @app.post("/api/v1/measurements/{measurement_id}/review")
    async def review(
        request: Request, measurement_id: str, body: Annotated[ReviewBody, Body()]
    ) -> Decision:
        """Approve a scan's figures, or reject them with a reason: they are then not shown."""
        check_origin(request)
        of = await answer_of(lambda: backend.desk.measurement(measurement_id))
        what = ScanReviewed(
            measurement_id=measurement_id,
            series_instance_uid=of.series_instance_uid,
            verdict=body.verdict,
            reason=body.reason,
        )
        return await answer_of(lambda: backend.desk.decide(of.procedure_id, BY, what))

    @app.post("/api/v1/procedures/{procedure_id}/series/{series_uid}/correction")
    async def correct(
        request: Request, procedure_id: str, series_uid: str, body: CorrectionBody
    ) -> Decision:
        """Measure a scan again: against another baseline, from a seed, or nudged into place."""
        check_origin(request)
        what = ScanCorrected(series_instance_uid=series_uid, **body.model_dump())
        return await answer_of(lambda: backend.desk.decide(procedure_id, BY, what))
