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
    ScanReviewed,
)
from monitor.web_backend import WebBackend

BY = "console"
"""Who has decided, until there is sign-in."""


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
