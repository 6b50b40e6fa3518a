"""Planning files dropped on the page: taken as if sent, refused with a sentence, never lost."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pydicom
import pytest
from pydicom.data import get_testdata_file
from pydicom.dataset import FileDataset
from pydicom.uid import generate_uid

from monitor.dropped import FOLDER, PART, tidy
from tests.monitor.conftest import Web
from tests.monitor.test_marking import send, service_in
from tests.quick_case import QuickCase
from tests.waiting import until


def file_of(quick: QuickCase) -> Path:
    """The quick case's structure set."""
    return next(quick.structures.glob("*.dcm"))


def drop(web: Web, content: bytes) -> httpx.Response:
    """As the page does."""
    path = f"procedures/{web.procedure_id}/structure-file"
    return web.client.post(path, content=content, headers={"Content-Type": "application/dicom"})


def opened(web: Web, quick: QuickCase) -> None:
    """The planning scan has come."""
    send(web, quick.planning.folder)
    until(lambda: web.service.pipeline.snapshot().procedure, "a procedure")


def structures(web: Web) -> list[str]:
    """Names of those in use."""
    procedure = web.service.pipeline.snapshot().procedure
    return [one.name for one in procedure.structures] if procedure is not None else []


def changed(path: Path, folder: Path, change: Callable[[FileDataset], object]) -> bytes:
    """The file with something else in it, and its own UID."""
    dataset = pydicom.dcmread(path)
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    change(dataset)
    dataset.save_as(folder / "changed.dcm")
    return (folder / "changed.dcm").read_bytes()


def test_a_dropped_file_counts_and_outlives_a_restart(quick: QuickCase, tmp_path: Path) -> None:
    content = file_of(quick).read_bytes()
    with service_in(tmp_path) as web:
        opened(web, quick)
        answer = drop(web, content)
        assert answer.status_code == 200, answer.text
        source = answer.json()
        assert (source["form"], source["names"]) == ("RTSTRUCT", ["Tumour", "Renal hilum"])
        assert source["state"] in {"in_use", "waiting"}  # its scan may still be judged
        until(lambda: structures(web) == ["Tumour", "Renal hilum"], "structures in use")
        (decision,) = web.client.get(f"procedures/{web.procedure_id}/decisions").json()
        assert decision["what"]["kind"] == "structures_dropped"
        assert drop(web, content).json()["state"] == "in_use"  # again: nothing new
    (kept,) = (tmp_path / FOLDER).iterdir()
    assert kept.read_bytes() == content
    with service_in(tmp_path) as web:
        until(lambda: structures(web) == ["Tumour", "Renal hilum"], "structures after a restart")


@pytest.fixture(scope="module")
def story(quick: QuickCase, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A service with a planning scan and its structure set."""
    with service_in(tmp_path_factory.mktemp("dropped")) as web:
        opened(web, quick)
        send(web, quick.structures)
        until(lambda: structures(web) == ["Tumour", "Renal hilum"], "structures in use")
        yield web


def another_patient(dataset: FileDataset) -> None:
    dataset.PatientID = "somebody else"


def another_study(dataset: FileDataset) -> None:
    dataset.StudyInstanceUID = generate_uid()


def no_contours(dataset: FileDataset) -> None:
    dataset.ROIContourSequence = []


def two_tumours(dataset: FileDataset) -> None:
    dataset.StructureSetROISequence[1].ROIName = "GTV"


@pytest.mark.parametrize(
    ("change", "status", "said"),
    [
        (another_patient, 409, "belongs to ANOTHER PATIENT"),
        (another_study, 409, "belongs to another study of this patient"),
        (no_contours, 422, "holds no closed contours"),
        (two_tumours, 422, "2 structures named as the tumour"),
    ],
)
def test_a_wrong_one_is_refused(
    story: Web,
    quick: QuickCase,
    tmp_path: Path,
    change: Callable[[FileDataset], None],
    status: int,
    said: str,
) -> None:
    answer = drop(story, changed(file_of(quick), tmp_path, change))
    assert (answer.status_code, said in answer.json()["error"]["message"]) == (status, True)
    assert structures(story) == ["Tumour", "Renal hilum"]


def test_the_same_uid_with_another_content_is_refused(
    story: Web, quick: QuickCase, tmp_path: Path
) -> None:
    dataset = pydicom.dcmread(file_of(quick))
    dataset.StructureSetROISequence[1].ROIName = "Ureter"
    dataset.save_as(tmp_path / "same.dcm")
    answer = drop(story, (tmp_path / "same.dcm").read_bytes())
    assert answer.json()["error"]["code"] == "other_content"
    assert structures(story) == ["Tumour", "Renal hilum"]


def file_named(name: str) -> bytes:
    path = get_testdata_file(name, download=False)
    assert isinstance(path, str)
    return Path(path).read_bytes()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "the file is empty"),
        (b"%PDF-1.7 " + bytes(4000), "it is no DICOM file"),
        (file_named("rtplan.dcm"), "is a treatment plan (RT Plan), not a structure set"),
        (file_named("rtdose.dcm"), "is a dose distribution (RT Dose), not a structure set"),
        (file_named("CT_small.dcm"), "is a CT image, not a structure set"),
        (file_named("SC_rgb_rle.dcm"), "is a picture of a screen"),
    ],
)
def test_other_files_are_refused(story: Web, content: bytes, said: str) -> None:
    answer = drop(story, content)
    assert answer.status_code == 422
    assert said in answer.json()["error"]["message"]
    folder = story.service.settings.storage.directory / FOLDER
    assert not list(folder.glob(f"*{PART}"))


def test_one_cut_short_is_refused(story: Web, quick: QuickCase) -> None:
    content = file_of(quick).read_bytes()
    answer = drop(story, content[: len(content) // 2])
    assert answer.status_code == 422
    assert answer.json()["error"]["message"].startswith("The structure set can't be read:")


def test_other_sites_and_unknown_procedures_are_refused(story: Web, quick: QuickCase) -> None:
    content = file_of(quick).read_bytes()
    path = f"procedures/{story.procedure_id}/structure-file"
    answer = story.client.post(path, content=content, headers={"Origin": "http://elsewhere"})
    assert answer.status_code == 403
    assert story.client.post("procedures/none/structure-file", content=content).status_code == 404


def test_one_that_is_too_large_is_refused_before_it_has_come(
    story: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("monitor.dropped.MAXIMUM_SEGMENTATION_BYTES", 1000)
    assert drop(story, bytes(5000)).status_code == 413


def test_what_a_dead_service_has_left_is_removed(tmp_path: Path) -> None:
    (tmp_path / FOLDER).mkdir()
    half, whole = tmp_path / FOLDER / f"x{PART}", tmp_path / FOLDER / "y.dcm"
    half.touch()
    whole.touch()
    tidy(tmp_path)
    assert list((tmp_path / FOLDER).iterdir()) == [whole]
