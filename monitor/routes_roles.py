"""What a series is for, by a person, over HTTP."""

from typing import Literal

from fastapi import FastAPI, Request
from pydantic import BaseModel, ConfigDict, Field

from monitor.calls import answer_of, check_origin
from monitor.decisions import Decision, RoleChosen
from monitor.routes_decisions import BY
from monitor.web_backend import WebBackend


class RoleBody(BaseModel):
    """The role of a series; null gives it back to the rules."""

    model_config = ConfigDict(extra="forbid")

    role: Literal["planning", "baseline", "monitoring", "ignored"] | None
    note: str = Field("", max_length=2000)


def add_role_routes(app: FastAPI, backend: WebBackend) -> None:
    """Add them."""

    @app.post("/api/v1/procedures/{procedure_id}/series/{series_uid}/role")
    async def role(
        request: Request, procedure_id: str, series_uid: str, body: RoleBody
    ) -> Decision:
        """Change what a series is for; all that depends on it is computed again."""
        check_origin(request)
        what = RoleChosen(series_instance_uid=series_uid, role=body.role, note=body.note)
        return await answer_of(lambda: backend.desk.decide(procedure_id, BY, what))
