"""Structures marked through the API, from the scan to the measurement, on the real service."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from numpy.typing import NDArray

from monitor.analysis import Planned, read_structures
from monitor.config import AlertsSection, DicomSection, Settings, StorageSection
from monitor.mask_codec import encode
from monitor.messages import Measurement, Role
from monitor.rasterising import voxels_of
from monitor.receiver import Receiver
from monitor.service import Service
from monitor.structures import Offered
from scanner_sim.push import Destination, Pusher
from segmentation.structures import Structure
from segmentation.volume import Volume
from tests.monitor.conftest import Web, served
from tests.monitor.made import at
from tests.quick_case import QuickCase, read
from tests.waiting import PATIENCE_S, until

Json = dict[str, Any]


@contextmanager
def service_in(folder: Path, **alerts: float) -> Iterator[Web]:
    """A service on a folder; the same folder again is the service started again."""
    settings = Settings(
        dicom=DicomSection(port=0, series_quiet_s=0.5),
        storage=StorageSection(directory=folder, minimum_free_mb=10),
        alerts=AlertsSection.model_validate(alerts),
    )
    with (
        Service(settings, make_executor=lambda: ThreadPoolExecutor(1)) as service,
        Receiver(settings, service.pipeline.knock) as receiver,
        served(service) as address,
        httpx.Client(base_url=f"{address}api/v1", timeout=PATIENCE_S) as client,
    ):
        service.receiver_status = receiver.status
        yield Web(service, receiver, client)


def send(web: Web, *folders: Path) -> None:
    pusher = Pusher(Destination("ICEMARGIN", "127.0.0.1", web.receiver.listener.port))
    for folder in folders:
        pusher.send(read(folder))


def true_structures(quick: QuickCase) -> tuple[Structure, ...]:
    """The solids of the simulator's own contours."""
    path = next(quick.structures.glob("*.dcm"))
    read_ = read_structures(Offered(path, "", "", "(?i)tumour", "(?i)hil", at(0)))
    assert isinstance(read_, Planned)
    return read_.structures


def planning_grid(scan: Json, voxels: bytes) -> Volume:
    """The grid as a page builds it from the two answers."""
    return Volume(
        np.frombuffer(voxels, "<i2").reshape(scan["shape"]),
        np.array(scan["origin_lps_mm"]),
        np.array(scan["direction"]).reshape(3, 3),
        np.array(scan["spacing_mm"]),
    )


def marked(name: str, kind: str, array: NDArray[np.bool_], **more: object) -> Json:
    return {"name": name, "kind": kind, "mask": encode(array).model_dump(), **more}


def monitoring(web: Web) -> list[Measurement]:
    found = web.service.pipeline.snapshot().measurements
    return [m for m in found if m.role is Role.MONITORING and m.tumour is not None]


def candidates(web: Web) -> list[Json]:
    """Scans that could be marked on."""
    if web.service.pipeline.snapshot().procedure is None:
        return []
    answer = web.client.get(f"procedures/{web.procedure_id}/planning").json()
    found: list[Json] = answer.get("candidates", [])
    return found


@pytest.fixture(scope="module")
def story(quick: QuickCase, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    """Planning scan and baseline have come, and no structures."""
    with service_in(tmp_path_factory.mktemp("marking"), hilum_near_mm=1.0) as web:
        send(web, quick.planning.folder, quick.baseline.folder)
        until(lambda: len(candidates(web)) == 2, "both scans")
        yield web


def test_marking_gives_what_contours_give(story: Web, quick: QuickCase) -> None:
    path = f"procedures/{story.procedure_id}"
    scan = story.client.get(f"{path}/planning").json()
    assert scan["series_instance_uid"] == quick.planning.uid
    assert not scan["in_use"]
    answer = story.client.get(f"{path}/planning/volume")
    assert answer.headers["content-encoding"] == "gzip"
    grid = planning_grid(scan, answer.content)
    tumour, hilum = true_structures(quick)
    body = {
        "series_instance_uid": scan["series_instance_uid"],
        "revision": scan["revision"],
        "structures": [
            marked("Tumour", "tumour", voxels_of(tumour, grid)),
            marked("Renal hilum", "hilum", voxels_of(hilum, grid)),
            marked("Ureter", "other", voxels_of(hilum, grid), warning_distance_mm=60),
        ],
        "note": "by the truth",
    }
    saved = story.client.post(f"{path}/structures", json=body)
    assert saved.status_code == 200, saved.text
    version = saved.json()
    assert (version["version"], version["by"], version["source"]) == (1, "console", "page")
    send(story, quick.monitoring[0].folder)
    until(lambda: monitoring(story), "a measurement")
    found = monitoring(story)[-1]
    assert found.tumour is not None
    margin = found.tumour.margin_mm
    assert quick.monitoring[0].margin_mm is not None
    assert margin.low <= quick.monitoring[0].margin_mm <= margin.high
    near = {one.name: one.distance_mm for one in found.structures}
    assert quick.monitoring[0].hilum_distance_mm is not None
    assert near["Renal hilum"].value == pytest.approx(quick.monitoring[0].hilum_distance_mm, abs=1)
    assert near["Ureter"] == near["Renal hilum"]
    (alert,) = story.service.pipeline.snapshot().alerts
    assert (alert.condition, alert.subject, alert.limit) == ("structure_near", "Ureter", 60)
    versions = story.client.get(f"{path}/structures").json()["versions"]
    assert [(v["version"], v["in_use"]) for v in versions] == [(1, True)]
