"""Phases over HTTP: pressed, offered and dismissed, corrected."""

from typing import Annotated

from fastapi import Body, FastAPI, Request
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from monitor import messages
from monitor.calls import answer_of, check_origin
from monitor.decisions import Decision, PhaseMoved, PhaseOfferDismissed, PhaseTakenBack
from monitor.routes_decisions import BY
from monitor.web_backend import WebBackend


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class PhaseBody(_Body):
    """A pressed phase; ``since`` where it began earlier than now."""

    phase: messages.PhaseName
    since: AwareDatetime | None = None


class TakeBackBody(_Body):
    """Which press was a mistake: ``pressed_at`` of the last one."""

    pressed_at: AwareDatetime


class MoveBody(_Body):
    """Which press, by its ``pressed_at``, and when its phase really began."""

    pressed_at: AwareDatetime
    since: AwareDatetime


class DismissBody(_Body):
    """Which offered phase has not begun."""

    offer_id: str = Field(min_length=1, max_length=200, pattern=r"^\S+( \S+){2}$")


def add_phase_routes(app: FastAPI, backend: WebBackend) -> None:
    """Add them."""
    root = "/api/v1/procedures/{procedure_id}/phase"

    @app.post(root)
    async def phase(request: Request, procedure_id: str, body: PhaseBody) -> messages.Phase:
        """The radiographer pressed freeze, thaw or idle, or confirms an offered phase."""
        check_origin(request)
        return await answer_of(
            lambda: backend.desk.press_phase(procedure_id, body.phase, body.since)
        )

    @app.post(f"{root}/take-back")
    async def take_back(
        request: Request, procedure_id: str, body: Annotated[TakeBackBody, Body()]
    ) -> Decision:
        """The last press was a mistake: it has never been."""
        check_origin(request)
        what = PhaseTakenBack(pressed_at=body.pressed_at)
        return await answer_of(lambda: backend.desk.decide(procedure_id, BY, what))

    @app.post(f"{root}/move")
    async def move(
        request: Request, procedure_id: str, body: Annotated[MoveBody, Body()]
    ) -> Decision:
        """The last pressed phase began at another time."""
        check_origin(request)
        what = PhaseMoved(pressed_at=body.pressed_at, since=body.since)
        return await answer_of(lambda: backend.desk.decide(procedure_id, BY, what))

    @app.post(f"{root}/dismiss")
    async def dismiss(
        request: Request, procedure_id: str, body: Annotated[DismissBody, Body()]
    ) -> Decision:
        """The offered phase has not begun; it is not offered again on the same grounds."""
        check_origin(request)
        what = PhaseOfferDismissed(offer_id=body.offer_id)
        return await answer_of(lambda: backend.desk.decide(procedure_id, BY, what))
