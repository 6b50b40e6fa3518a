"""Planning files dropped on the page, over HTTP."""

import asyncio

from fastapi import FastAPI, Request
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect

from monitor.calls import answer_of, check_origin
from monitor.decisions import CommandError
from monitor.dropped import Incoming, Owner
from monitor.routes_decisions import BY
from monitor.structure_messages import StructureSource
from monitor.web_backend import WebBackend

AT_ONCE = 2
"""Files that may come at the same time; each may be as large as the greatest."""

COMING_S = 60.0
"""A file must have come within this."""

READ_S = 10.0
"""How long its reading is waited for; it goes on when that is over."""

LOOK_S = 0.05
"""Between two looks whether it was read."""


def add_dropped_routes(app: FastAPI, backend: WebBackend) -> None:
    """Add them."""
    coming = asyncio.Semaphore(AT_ONCE)

    @app.post(
        "/api/v1/procedures/{procedure_id}/structure-file",
        openapi_extra={
            "requestBody": {
                "required": True,
                "content": {
                    "application/dicom": {"schema": {"type": "string", "format": "binary"}}
                },
            }
        },
    )
    async def structure_file(request: Request, procedure_id: str) -> StructureSource:
        """Take a structure set or segmentation (the body: a DICOM file) as if it had been sent."""
        check_origin(request)
        procedure = await answer_of(lambda: backend.desk.procedure(procedure_id))
        if procedure.state == "closed":
            raise CommandError("procedure_closed", "The procedure is closed.")
        if coming.locked():
            raise CommandError("busy", "Other files are coming in; try again.")
        async with coming:
            owner = Owner(procedure.patient_id, procedure.study_instance_uid)
            uid = await _take(request, backend, procedure_id, owner)
        return await _read(backend, procedure_id, uid)


async def _take(request: Request, backend: WebBackend, procedure_id: str, owner: Owner) -> str:
    """Its SOPInstanceUID, once it is decided that it counts."""
    known = await answer_of(lambda: backend.desk.planning_files(procedure_id))
    incoming = await run_in_threadpool(Incoming, backend.storage)
    try:
        async with asyncio.timeout(COMING_S):
            async for part in request.stream():
                await run_in_threadpool(incoming.write, part)
        what = await run_in_threadpool(incoming.keep, owner, known.get)
    except (TimeoutError, ClientDisconnect):
        raise CommandError("too_slow", "The file did not come to its end.") from None
    finally:
        await run_in_threadpool(incoming.end)
    await answer_of(lambda: backend.desk.decide(procedure_id, BY, what))
    return what.sop_instance_uid


async def _read(backend: WebBackend, procedure_id: str, uid: str) -> StructureSource:
    """What became of it."""
    end = asyncio.get_running_loop().time() + READ_S
    while True:
        procedure = await answer_of(lambda: backend.desk.procedure(procedure_id))
        found = [one for one in procedure.structure_sources if one.sop_instance_uid == uid]
        if found and found[0].state == "refused" and found[0].reason is not None:
            raise CommandError("bad_structures", found[0].reason.text)
        if found:
            return found[0]
        if asyncio.get_running_loop().time() > end:
            raise CommandError("busy", "The file was taken; it is still being read.")
        await asyncio.sleep(LOOK_S)
