"""Structures marked through the API, from the scan to the measurement, on the real service."""

import base64
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from numpy.typing import NDArray

from monitor.analysis import Planned, read_structures
from monitor.config import AlertsSection, DicomSection, Settings, StorageSection
from monitor.marking_messages import Mask
from monitor.mask_codec import decode, encode
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


@dataclass(frozen=True)
class Page:
    """What a page knows that marks."""

    web: Web
    scan: Json
    grid: Volume

    @property
    def path(self) -> str:
        return f"procedures/{self.web.procedure_id}"

    def get(self, path: str) -> Json:
        answer = self.web.client.get(f"{self.path}/{path}")
        assert answer.status_code == 200, answer.text
        found: Json = answer.json()
        return found

    def post(self, path: str, body: object = None) -> httpx.Response:
        return self.web.client.post(f"{self.path}/{path}", json=body)

    def body(self, *structures: Json, **changes: object) -> Json:
        fields = {
            "series_instance_uid": self.scan["series_instance_uid"],
            "revision": self.scan["revision"],
            "structures": list(structures),
        }
        return fields | changes

    def versions(self) -> list[Json]:
        found: list[Json] = self.get("structures")["versions"]
        return found

    def ball(self, radius: int = 5, at: int = 12) -> NDArray[np.bool_]:
        """A ball of so many voxels about a place in the middle."""
        k, j, i = np.indices(self.grid.array.shape)
        place = (k - at) ** 2 * 4 + (j - 60) ** 2 + (i - 60) ** 2
        return np.asarray(place <= radius**2)


def opened(web: Web) -> Page:
    """A page that has fetched scan and voxels."""
    path = f"procedures/{web.procedure_id}"
    scan = web.client.get(f"{path}/planning").json()
    answer = web.client.get(f"{path}/planning/volume")
    assert answer.headers["content-encoding"] == "gzip"
    return Page(web, scan, planning_grid(scan, answer.content))


@pytest.fixture(scope="module")
def story(quick: QuickCase, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """Planning scan and baseline have come, and no structures."""
    with service_in(tmp_path_factory.mktemp("marking"), hilum_near_mm=1.0) as web:
        send(web, quick.planning.folder, quick.baseline.folder)
        until(lambda: len(candidates(web)) == 2, "both scans")
        yield opened(web)


def test_marking_gives_what_contours_give(story: Page, quick: QuickCase) -> None:
    assert story.scan["series_instance_uid"] == quick.planning.uid
    assert not story.scan["in_use"]
    tumour, hilum = true_structures(quick)
    body = story.body(
        marked("Tumour", "tumour", voxels_of(tumour, story.grid)),
        marked("Renal hilum", "hilum", voxels_of(hilum, story.grid)),
        marked("Ureter", "other", voxels_of(hilum, story.grid), warning_distance_mm=60),
        note="by the truth",
    )
    saved = story.post("structures", body)
    assert saved.status_code == 200, saved.text
    version = saved.json()
    assert (version["version"], version["by"], version["source"]) == (1, "console", "page")
    send(story.web, quick.monitoring[0].folder)
    until(lambda: monitoring(story.web), "a measurement")
    found = monitoring(story.web)[-1]
    assert found.tumour is not None
    margin = found.tumour.margin_mm
    assert quick.monitoring[0].margin_mm is not None
    assert margin.low <= quick.monitoring[0].margin_mm <= margin.high
    near = {one.name: one.distance_mm for one in found.structures}
    assert quick.monitoring[0].hilum_distance_mm is not None
    assert near["Renal hilum"].value == pytest.approx(quick.monitoring[0].hilum_distance_mm, abs=1)
    assert near["Ureter"] == near["Renal hilum"]
    (alert,) = until(lambda: story.web.service.pipeline.snapshot().alerts, "an alert")
    assert (alert.condition, alert.subject, alert.limit) == ("structure_near", "Ureter", 60)
    assert [(v["version"], v["in_use"]) for v in story.versions()] == [(1, True)]
    assert story.get("planning")["in_use"]


def test_a_version_is_loaded_as_it_was_saved(story: Page, quick: QuickCase) -> None:
    content = story.get("structures/1")
    assert content["series_instance_uid"] == quick.planning.uid
    tumour, _ = true_structures(quick)
    loaded = Mask.model_validate(content["structures"][0]["mask"])
    truth = voxels_of(tumour, story.grid)
    assert decode(loaded, truth.shape).array.sum() == truth.sum()
    assert [s["warning_distance_mm"] for s in content["structures"]] == [None, None, 60]


def test_contours_that_come_are_a_version_and_one_can_go_back(
    story: Page, quick: QuickCase
) -> None:
    send(story.web, quick.structures)
    until(lambda: [v["in_use"] for v in story.versions()] == [False, True], "contours in use")
    version = story.versions()[1]
    assert (version["source"], version["by"]) == ("dicom", "DICOM")
    assert [s["name"] for s in version["structures"]] == ["Tumour", "Renal hilum"]
    content = story.get("structures/2")
    found = decode(Mask.model_validate(content["structures"][0]["mask"]), story.grid.array.shape)
    voxel_ml = float(story.grid.spacing_mm.prod()) / 1000
    volume_ml = version["structures"][0]["volume_ml"]
    assert found.array.sum() * voxel_ml == pytest.approx(volume_ml, rel=0.05)
    until(  # the ureter is not in use any more: its alert waits to be seen
        lambda: [a.state for a in story.web.service.pipeline.snapshot().alerts] == ["latched"],
        "the end of the alert's condition",
    )
    assert story.post("structures/1/use").status_code == 200
    until(lambda: [v["in_use"] for v in story.versions()] == [True, False], "the older one")
    assert story.web.client.get(story.path).json()["structures_version"] == 1


def test_a_proposal_is_made_and_changes_nothing(story: Page, quick: QuickCase) -> None:
    before = story.versions()
    tumour, _ = true_structures(quick)
    what = {
        "series_instance_uid": quick.planning.uid,
        "kind": "tumour",
        "method": "grow",
        "seed_lps_mm": tumour.centre_lps_mm.tolist(),
        "radii_mm": [10, 10, 10],
    }
    answer = story.post("proposal", what)
    assert answer.status_code == 200, answer.text
    truth = voxels_of(tumour, story.grid)
    box = decode(Mask.model_validate(answer.json()["mask"]), truth.shape)
    x, y, z = box.origin_index
    nz, ny, nx = box.array.shape
    both = (truth[z : z + nz, y : y + ny, x : x + nx] & box.array).sum()
    assert 2 * both / (truth.sum() + box.array.sum()) > 0.75
    assert story.versions() == before
    for changes in ({"seed_lps_mm": None}, {"seed_lps_mm": [0, 0, 1e6]}):
        refused = story.post("proposal", what | changes)
        assert (refused.status_code, refused.json()["error"]["code"]) == (422, "no_proposal")


@pytest.mark.parametrize(
    "change",
    [
        {"seed_lps_mm": [0, 0, "NaN"]},
        {"seed_lps_mm": [0, 0]},
        {"radii_mm": [-1, 5, 5]},
        {"radii_mm": [1e9, 5, 5]},
        {"method": "guess"},
        {"kind": "kidney"},
        {"more": 1},
    ],
)
def test_proposals_that_are_none(story: Page, change: Json) -> None:
    what = {"series_instance_uid": "1.2", "method": "grow", "seed_lps_mm": [0, 0, 0]}
    assert story.post("proposal", what | change).status_code == 422


def test_structures_that_are_none(story: Page) -> None:
    ball = marked("Tumour", "tumour", story.ball())
    other = marked("Ureter", "other", story.ball())
    bomb = base64.b64encode(zlib.compress(bytes(100 << 20))).decode()
    far = ball["mask"] | {"origin_index": [10**6, 0, 0]}
    cases: list[tuple[Json, int, str]] = [
        (story.body(), 422, "invalid"),
        (story.body(other), 422, "bad_structures"),
        (story.body(ball, ball | {"name": "Second"}), 422, "bad_structures"),
        (story.body(ball, other | {"name": " tumour "}), 422, "bad_structures"),
        (story.body(ball | {"name": " "}), 422, "bad_structures"),
        (story.body(ball | {"name": "a\nb"}), 422, "bad_structures"),
        (story.body(ball | {"name": "x" * 65}), 422, "invalid"),
        (story.body(ball | {"mask": far}), 422, "bad_structures"),
        (story.body(ball | {"mask": ball["mask"] | {"runs": bomb}}), 422, "bad_structures"),
        (story.body(ball | {"mask": ball["mask"] | {"runs": "?"}}), 422, "bad_structures"),
        (story.body(marked("Tumour", "tumour", story.ball(0))), 422, "bad_structures"),
        (story.body(ball, other | {"warning_distance_mm": -1}), 422, "invalid"),
        (story.body(ball, other | {"warning_distance_mm": "NaN"}), 422, "invalid"),
        (story.body(ball, *[other] * 1000), 422, "invalid"),
        (story.body(ball, note="x" * 2001), 422, "invalid"),
        (story.body(ball, series_instance_uid="1.2.3"), 404, "no_such_series"),
        (story.body(ball, revision=story.scan["revision"] + 1), 409, "scan_changed"),
    ]
    before = story.versions()
    for body, status, code in cases:
        answer = story.post("structures", body)
        assert (answer.status_code, answer.json()["error"]["code"]) == (status, code), answer.text
    assert story.versions() == before


def test_a_body_without_an_end_is_not_read(story: Page) -> None:
    answer = story.web.client.post(
        f"{story.path}/structures", content=iter([b" " * (1 << 20)] * 64)
    )
    assert answer.status_code == 413


def test_pages_of_others_can_save_nothing(story: Page) -> None:
    for path in ("structures", "structures/1/use", "proposal"):
        body = story.body(marked("Tumour", "tumour", story.ball()))
        what = {"series_instance_uid": "1.2", "method": "grow"} if path == "proposal" else body
        answer = story.web.client.post(
            f"{story.path}/{path}", json=what, headers={"Origin": "http://evil.example"}
        )
        assert answer.status_code == 403, path


def test_what_is_not_there(story: Page) -> None:
    for path, code in (
        ("structures/99", "no_such_version"),
        ("planning?series=1.2", "no_such_series"),
        ("planning/volume?series=1.2", "no_such_series"),
    ):
        answer = story.web.client.get(f"{story.path}/{path}")
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, code)


def test_versions_hold_over_a_restart(
    quick: QuickCase, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("restart")
    with service_in(folder) as web:
        send(web, quick.planning.folder)
        until(lambda: candidates(web), "the scan")
        page = opened(web)
        for radius in (6, 8):
            body = page.body(marked("Tumour", "tumour", page.ball(radius)), note=f"{radius}")
            assert page.post("structures", body).status_code == 200
        assert page.post("structures/1/use").status_code == 200
        until(lambda: [v["in_use"] for v in page.versions()] == [True, False], "the first")
        before = page.versions()
    (folder / "marked" / "half.part").write_text("{")
    with service_in(folder) as web:
        until(lambda: candidates(web), "the scan")
        page = opened(web)
        until(lambda: any(v["in_use"] for v in page.versions()), "the structures")
        assert page.versions() == before
        kept = folder / "marked"
        assert sorted(path.suffix for path in kept.iterdir()) == [".json", ".json"]
        web.client.post(f"procedures/{web.procedure_id}/close")
        closed = page.post("structures", page.body(marked("Tumour", "tumour", page.ball())))
        assert (closed.status_code, closed.json()["error"]["code"]) == (409, "procedure_closed")


def test_a_file_that_was_changed_is_not_believed(quick: QuickCase, tmp_path: Path) -> None:
    with service_in(tmp_path) as web:
        send(web, quick.planning.folder)
        until(lambda: candidates(web), "the scan")
        page = opened(web)
        for radius in (6, 8):
            body = page.body(marked("Tumour", "tumour", page.ball(radius)))
            assert page.post("structures", body).status_code == 200
        until(lambda: [v["in_use"] for v in page.versions()] == [False, True], "the second")
    for path in (tmp_path / "marked").iterdir():
        path.write_text(path.read_text().replace("Tumour", "Tumoar"))
    with service_in(tmp_path) as web:
        until(lambda: candidates(web), "the scan")
        page = opened(web)
        until(lambda: all(v["problem"] for v in page.versions()), "that it is noticed")
        assert not any(v["in_use"] for v in page.versions())
        assert "was changed" in page.versions()[0]["problem"]
        assert page.post("structures/1/use").status_code == 422
        answer = web.client.get(f"{page.path}/structures/1")
        assert (answer.status_code, answer.json()["error"]["code"]) == (
            409,
            "unreadable_structures",
        )
