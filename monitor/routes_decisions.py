"""What people decide, over HTTP."""

from typing import Annotated, Literal

from fastapi import Body, FastAPI, Request
from pydantic import BaseModel, ConfigDict, Field

from monitor.calls import answer_of, check_origin
from monitor.decisions import Decision, ScanReviewed
from monitor.web_backend import WebBackend

BY = "console"
"""Who has decided, until there is sign-in."""


class ReviewBody(BaseModel):
    """What a person says of a measurement."""

    model_config = ConfigDict(extra="forbid")

    verdict: Literal["approved", "rejected"]
    reason: str = Field("", max_length=2000)


def add_decision_routes(app: FastAPI, backend: WebBackend) -> None:
    """Add them."""

    @app.get("/api/v1/procedures/{procedure_id}/decisions")
    async def decisions(procedure_id: str) -> list[Decision]:
        """What people have decided about a procedure, oldest first."""
        return await answer_of(lambda: backend.desk.decisions(procedure_id))

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
