"""Marking tumour, hilum and other structures on the planning scan, over HTTP."""

from functools import partial
from typing import Annotated

from fastapi import FastAPI, Query, Request, Response
from starlette.concurrency import run_in_threadpool

from monitor.calls import answer_of, check_origin
from monitor.decisions import CommandError, StructuresUsed
from monitor.marking_messages import (
    PlanningScan,
    ProposalBody,
    StructureProposal,
    StructuresBody,
    StructuresContent,
    StructuresVersion,
    StructuresVersions,
)
from monitor.routes_decisions import BY
from monitor.web_backend import WebBackend

SAVING_TRIES = 3
"""Two who save at the same time get two versions."""

Uid = Annotated[str | None, Query(max_length=64)]


def add_structures_routes(app: FastAPI, backend: WebBackend) -> None:
    """Add them."""
    _add_scan(app, backend)
    _add_versions(app, backend)


def _add_scan(app: FastAPI, backend: WebBackend) -> None:
    @app.get("/api/v1/procedures/{procedure_id}/planning")
    async def planning(procedure_id: str, series: Uid = None) -> PlanningScan:
        """The scan that is marked on, and its grid."""
        source = await answer_of(lambda: backend.desk.planning_source(procedure_id, series))
        return await run_in_threadpool(backend.marking.scan, source)

    @app.get("/api/v1/procedures/{procedure_id}/planning/volume", response_class=Response)
    async def volume(procedure_id: str, series: Uid = None) -> Response:
        """Its voxels: int16 little-endian HU, slice after slice, compressed by gzip."""
        source = await answer_of(lambda: backend.desk.planning_source(procedure_id, series))
        content = await run_in_threadpool(backend.marking.voxels, source)
        headers = {"Content-Encoding": "gzip", "Cache-Control": "no-store"}
        return Response(content, media_type="application/octet-stream", headers=headers)

    @app.post("/api/v1/procedures/{procedure_id}/proposal")
    async def proposal(
        request: Request, procedure_id: str, body: ProposalBody
    ) -> StructureProposal:
        """A structure round a point, for a person to correct. Nothing is changed by it."""
        check_origin(request)
        uid = body.series_instance_uid
        source = await answer_of(lambda: backend.desk.planning_source(procedure_id, uid))
        return await run_in_threadpool(backend.marking.propose, source, body)


def _add_versions(app: FastAPI, backend: WebBackend) -> None:
    @app.get("/api/v1/procedures/{procedure_id}/structures")
    async def versions(procedure_id: str) -> StructuresVersions:
        """All versions, saved here or come by DICOM."""
        return await answer_of(lambda: backend.desk.versions(procedure_id))

    @app.post("/api/v1/procedures/{procedure_id}/structures")
    async def save(request: Request, procedure_id: str, body: StructuresBody) -> StructuresVersion:
        """Save structures; they are used from now on, and all scans are measured again."""
        check_origin(request)
        uid = body.series_instance_uid
        for tries_left in reversed(range(SAVING_TRIES)):
            source = await answer_of(lambda: backend.desk.planning_source(procedure_id, uid))
            what = await run_in_threadpool(backend.marking.keep, source, body)
            try:
                await answer_of(partial(backend.desk.decide, procedure_id, BY, what))
                return await _one(procedure_id, what.version)
            except CommandError as error:
                if not tries_left or error.code != "version_taken":
                    raise
        raise AssertionError("unreachable")

    @app.get("/api/v1/procedures/{procedure_id}/structures/{version}")
    async def content(procedure_id: str, version: int) -> StructuresContent:
        """A version's voxels, in the grid of its planning scan as it is served now."""
        wanted = await answer_of(lambda: backend.desk.version(procedure_id, version))
        uid = wanted.series_uid
        source = await answer_of(lambda: backend.desk.planning_source(procedure_id, uid))
        return await run_in_threadpool(backend.marking.content, wanted, source)

    @app.post("/api/v1/procedures/{procedure_id}/structures/{version}/use")
    async def use(request: Request, procedure_id: str, version: int) -> StructuresVersion:
        """Go back to a version; all scans are measured again."""
        check_origin(request)
        wanted = await answer_of(lambda: backend.desk.version(procedure_id, version))
        what = StructuresUsed(version=version, key=wanted.key)
        await answer_of(lambda: backend.desk.decide(procedure_id, BY, what))
        return await _one(procedure_id, version)

    async def _one(procedure_id: str, version: int) -> StructuresVersion:
        found = await answer_of(lambda: backend.desk.versions(procedure_id))
        return next(one for one in found.versions if one.version == version)
