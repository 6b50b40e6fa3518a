"""A person takes a false probe away, or puts it back, over HTTP."""

from fastapi import FastAPI, Request

from monitor.calls import answer_of, check_origin
from monitor.decisions import CommandError, Decision
from monitor.probe_messages import ProbeRemoved, ProbeRestored, Probes
from monitor.routes_decisions import BY
from monitor.web_backend import WebBackend


def add_probe_routes(app: FastAPI, backend: WebBackend) -> None:
    """Add them."""

    @app.get("/api/v1/procedures/{procedure_id}/probes")
    async def probes(procedure_id: str) -> Probes:
        """Probes that were found, those that were taken away, and how far they are apart."""
        return (await answer_of(lambda: backend.desk.procedure(procedure_id))).probes

    @app.post("/api/v1/procedures/{procedure_id}/probes/{probe_id}/remove")
    async def remove(request: Request, procedure_id: str, probe_id: str) -> Decision:
        """It is no probe: everything is measured again without it."""
        check_origin(request)
        procedure = await answer_of(lambda: backend.desk.procedure(procedure_id))
        planning = next((s for s in procedure.series if s.role == "planning"), None)
        found = next((p for p in procedure.probes.found if p.id == probe_id), None)
        if found is None or planning is None:
            raise CommandError("no_such_probe", "There is no such probe any more.")
        what = ProbeRemoved(planning_series_uid=planning.series_instance_uid, probe=found)
        return await answer_of(lambda: backend.desk.decide(procedure_id, BY, what))

    @app.post("/api/v1/procedures/{procedure_id}/probes/{probe_id}/restore")
    async def restore(request: Request, procedure_id: str, probe_id: str) -> Decision:
        """It is a probe after all."""
        check_origin(request)
        procedure = await answer_of(lambda: backend.desk.procedure(procedure_id))
        removed = [r.probe.number for r in procedure.probes.removed if r.probe.id == probe_id]
        if not removed:
            raise CommandError("no_such_probe", "There is no such probe any more.")
        what = ProbeRestored(number=removed[0])
        return await answer_of(lambda: backend.desk.decide(procedure_id, BY, what))
