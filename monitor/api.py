"""HTTP and websocket: thin routes over the pipeline's snapshot and commands.

Until there is sign-in the service answers on this machine only, and only to pages that it served
itself: a foreign Host (DNS rebinding) or Origin (another site's page in the same browser) is
refused.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any, TypeVar
from urllib.parse import urlsplit

from fastapi import Body, FastAPI, Request, Response, WebSocket, WebSocketDisconnect
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, PlainTextResponse
from fastapi.staticfiles import StaticFiles
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Receive, Scope, Send

from monitor import __version__, messages
from monitor.artefact import ArtefactError
from monitor.body_limit import BodyLimit
from monitor.calls import answer_of, check_origin, same_origin
from monitor.decisions import CommandError
from monitor.routes_decisions import BY, add_decision_routes
from monitor.routes_dropped import add_dropped_routes
from monitor.routes_phases import add_phase_routes
from monitor.routes_probes import add_probe_routes
from monitor.routes_roles import add_role_routes
from monitor.routes_structures import add_structures_routes
from monitor.segmentation_object import SegmentationError
from monitor.stream import SlowClient
from monitor.views import Plane
from monitor.web_backend import WebBackend
from monitor.worklist_messages import Worklist

LOCAL_HOSTS = {"127.0.0.1", "localhost", "::1"}
SEND_TIMEOUT_S = 5.0
TRY_AGAIN_LATER = 1013
"""Websocket close code (RFC 6455 registry)."""

IMMUTABLE = {"Cache-Control": "private, max-age=86400, immutable"}

STATUS = {
    "busy": 503,
    "not_written": 503,
    "no_such_alert": 404,
    "no_such_procedure": 404,
    "no_such_measurement": 404,
    "no_such_series": 404,
    "measured_again": 409,
    "not_a_volume": 409,
    "other_frame": 409,
    "is_planning": 409,
    "no_such_probe": 404,
    "procedure_closed": 409,
    "bad_time": 422,
    "phase_changed": 409,
    "no_such_offer": 404,
    "no_reason": 422,
    "no_such_version": 404,
    "no_scan": 409,
    "scan_changed": 409,
    "version_taken": 409,
    "unreadable_scan": 409,
    "unreadable_structures": 409,
    "no_proposal": 422,
    "bad_structures": 422,
    "another_patient": 409,
    "another_study": 409,
    "other_content": 409,
    "too_large": 413,
    "too_slow": 408,
    "no_such_scan": 422,
    "not_scheduled": 404,
    "procedure_known": 409,
    "procedure_open": 409,
}

logger = logging.getLogger(__name__)
Answer = TypeVar("Answer")


class AcknowledgeBody(BaseModel):
    """Optional body of an acknowledgement."""

    model_config = ConfigDict(extra="forbid")

    note: str | None = Field(None, max_length=2000)


def make_app(backend: WebBackend, page: Path | None) -> FastAPI:
    """The web application.

    Parameters
    ----------
    page
        Folder of the built dashboard; None serves the API alone.
    """

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        backend.stream.attach(asyncio.get_running_loop())
        yield
        backend.stream.detach()

    app = FastAPI(
        title="icemargin",
        version=__version__,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        openapi_url="/api/v1/openapi.json",
        responses={"default": {"model": messages.ErrorAnswer}},
    )
    app.add_middleware(BodyLimit, streamed=("/structure-file",))
    app.add_middleware(_LocalHostOnly)
    _handle_errors(app)
    _add_health(app, backend)
    _add_queries(app, backend)
    _add_commands(app, backend)
    add_decision_routes(app, backend)
    add_probe_routes(app, backend)
    add_structures_routes(app, backend)
    add_role_routes(app, backend)
    add_dropped_routes(app, backend)
    add_phase_routes(app, backend)
    _add_stream(app, backend)
    _describe_stream(app)
    if page is not None:
        app.mount("/", StaticFiles(directory=page, html=True), name="page")
    return app


def _error(status: int, code: str, message: str) -> JSONResponse:
    body = messages.ErrorAnswer(error=messages.ErrorBody(code=code, message=message))
    return JSONResponse(body.model_dump(), status_code=status)


class _LocalHostOnly:
    """Answers only to this machine's own names, against DNS rebinding; errors have our shape."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] in {"http", "websocket"}:
            host = HTTPConnection(scope).headers.get("host", "")
            if urlsplit(f"//{host}").hostname not in LOCAL_HOSTS:
                refusal = _error(400, "foreign_host", "This service answers to its own machine.")
                await refusal(scope, receive, send)
                return
        await self._app(scope, receive, send)


def _handle_errors(app: FastAPI) -> None:
    answer = _error

    @app.exception_handler(Exception)
    async def on_defect(_request: Request, _error: Exception) -> JSONResponse:
        # Starlette logs the traceback itself, after this answer.
        return answer(500, "internal", "Something failed that should not; see the log.")

    @app.exception_handler(HTTPException)
    async def on_http(_request: Request, error: HTTPException) -> JSONResponse:
        code = "not_found" if error.status_code == 404 else f"http_{error.status_code}"
        return answer(error.status_code, code, str(error.detail))

    @app.exception_handler(RequestValidationError)
    async def on_invalid(_request: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        return answer(422, "invalid", f"{place}: {first['msg']}")

    @app.exception_handler(CommandError)
    async def on_command(_request: Request, error: CommandError) -> JSONResponse:
        return answer(STATUS.get(error.code, 400), error.code, str(error))

    @app.exception_handler(ArtefactError)
    async def on_artefact(_request: Request, error: ArtefactError) -> JSONResponse:
        return answer(404, "no_pictures", f"Nothing is kept of this measurement ({error}).")

    @app.exception_handler(SegmentationError)
    async def on_segmentation(_request: Request, error: SegmentationError) -> JSONResponse:
        return answer(409, "no_segmentation", str(error))


def _add_health(app: FastAPI, backend: WebBackend) -> None:
    @app.get("/healthz", response_class=PlainTextResponse)
    async def healthz() -> str:
        """Alive."""
        return "ok\n"

    @app.get("/readyz", response_class=PlainTextResponse)
    async def readyz(response: Response) -> str:
        """200 when scans can be received, kept and measured; else 503 with the reasons."""
        problems = await run_in_threadpool(backend.problems)
        if problems:
            response.status_code = 503
        return "\n".join([*(problems or ["ready"]), ""])

    @app.get("/metrics", response_class=PlainTextResponse)
    async def metrics() -> Response:
        """Prometheus text."""
        return Response(backend.metrics_text(), media_type="text/plain; version=0.0.4")


def _add_queries(app: FastAPI, backend: WebBackend) -> None:
    @app.get("/api/v1/worklist")
    async def worklist() -> Worklist:
        """Who is scheduled, as the worklist has last answered."""
        return backend.worklist()

    @app.get("/api/v1/procedures")
    async def procedures() -> list[messages.Procedure]:
        """Procedures, newest first."""
        return await answer_of(backend.desk.procedures)

    @app.get("/api/v1/procedures/{procedure_id}")
    async def procedure(procedure_id: str) -> messages.Procedure:
        """One procedure with its phase, structures and series."""
        return await answer_of(lambda: backend.desk.procedure(procedure_id))

    @app.get("/api/v1/procedures/{procedure_id}/measurements")
    async def measurements(procedure_id: str) -> list[messages.Measurement]:
        """Measurements in the order of acquisition, one a series."""
        return await answer_of(lambda: backend.desk.measurements(procedure_id))

    @app.get("/api/v1/procedures/{procedure_id}/alerts")
    async def alerts(procedure_id: str) -> list[messages.Alert]:
        """Alerts, oldest first."""
        return await answer_of(lambda: backend.desk.alerts(procedure_id))

    @app.get("/api/v1/measurements/{measurement_id}/views")
    async def views(measurement_id: str, response: Response) -> messages.Views:
        """Three slices through the worst point, with outlines."""
        response.headers.update(IMMUTABLE)
        return await run_in_threadpool(backend.views, measurement_id)

    @app.get("/api/v1/measurements/{measurement_id}/views/{plane}.png", response_class=Response)
    async def picture(measurement_id: str, plane: Plane) -> Response:
        """The slice's picture."""
        png = await run_in_threadpool(backend.picture, measurement_id, plane)
        return Response(png, media_type="image/png", headers=IMMUTABLE)

    @app.get("/api/v1/measurements/{measurement_id}/segmentation", response_class=Response)
    async def segmentation(measurement_id: str) -> Response:
        """DICOM SEG in the monitoring scan's own frame."""
        sources = await answer_of(lambda: backend.desk.sources(measurement_id))
        content = await run_in_threadpool(backend.segmentation, measurement_id, sources)
        return Response(content, media_type="application/dicom")


def _add_commands(app: FastAPI, backend: WebBackend) -> None:
    @app.post("/api/v1/alerts/{alert_id}/acknowledge")
    async def acknowledge(
        request: Request, alert_id: str, body: Annotated[AcknowledgeBody | None, Body()] = None
    ) -> messages.Alert:
        """Acknowledge an alert; the same call twice is one acknowledgement."""
        check_origin(request)
        note = body.note if body is not None else None
        return await answer_of(lambda: backend.desk.acknowledge(alert_id, BY, note))


def _add_stream(app: FastAPI, backend: WebBackend) -> None:
    @app.websocket("/api/v1/stream")
    async def stream(socket: WebSocket) -> None:
        if not same_origin(socket.headers):
            await socket.close()
            return
        await socket.accept()
        subscription = backend.stream.subscribe()
        backend.metrics.clients.set(backend.stream.clients)
        listening = asyncio.ensure_future(_until_gone(socket))
        try:
            while not listening.done():
                waiting = asyncio.ensure_future(subscription.next())
                await asyncio.wait({waiting, listening}, return_when=asyncio.FIRST_COMPLETED)
                if not waiting.done():
                    waiting.cancel()
                    break
                await asyncio.wait_for(socket.send_text(waiting.result()), SEND_TIMEOUT_S)
        except (SlowClient, TimeoutError):
            logger.warning("A display that could not keep up is disconnected")
            listening.cancel()
            await socket.close(TRY_AGAIN_LATER)
        except (WebSocketDisconnect, RuntimeError):
            logger.info("A display has gone")
        finally:
            listening.cancel()
            backend.stream.unsubscribe(subscription)
            backend.metrics.clients.set(backend.stream.clients)


async def _until_gone(socket: WebSocket) -> None:
    """Nothing is expected from a display; returns when it closes."""
    try:
        while True:
            message = await socket.receive()
            if message["type"] == "websocket.disconnect":
                return
    except (WebSocketDisconnect, RuntimeError):
        return


def _describe_stream(app: FastAPI) -> None:
    """Put the stream's messages into the OpenAPI document; FastAPI leaves websockets out."""
    make = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = make()
            schemas = document.setdefault("components", {}).setdefault("schemas", {})
            stream = TypeAdapter(messages.ServerMessage).json_schema(
                mode="serialization", ref_template="#/components/schemas/{model}"
            )
            schemas.update(stream.pop("$defs"))
            schemas["ServerMessage"] = stream
            app.openapi_schema = document
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's documented way to extend it
