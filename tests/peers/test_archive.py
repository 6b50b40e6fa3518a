"""Orthanc as an archive (PACS): results go there, and studies are fetched from it."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pydicom
import pytest
import yaml

from dicom_listener.client import CANCELLED, MoveProgress, echo
from dicom_listener.events import AssociationEnded, ObjectStored
from dicom_listener.fetch import StudyQuery, fetch, find_series, find_studies
from dicom_listener.listener import Listener, ListenerSettings
from dicom_listener.nodes import CallError, Node, Ourselves
from dicom_listener.outbox import Outbox, OutboxLimits
from dicom_listener.spool import Spool
from monitor.cli import main
from tests.dicom_listener.conftest import Sink, until
from tests.dicom_listener.objects import SERIES, STUDY, ct_slice, part10
from tests.peers.awkward import shipped
from tests.peers.orthanc import Orthanc, free_port, running_orthanc

pytestmark = pytest.mark.peer

CALLER = Ourselves("ICEMARGIN")
SLICES = 6
OTHER_STUDY = "1.2.826.0.1.3680043.10.999.2"


@pytest.fixture(scope="module")
def orthanc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orthanc]:
    """An archive with a study of two series, and another patient's."""
    folder = tmp_path_factory.mktemp("archive")
    with running_orthanc(folder) as peer:
        path = folder / "object.dcm"
        for n in range(SLICES):
            path.write_bytes(
                part10(ct_slice(n, SeriesDescription="Planning", StudyDate="20260301"))
            )
            peer.upload(path)
        second: dict[str, Any] = {
            "SeriesInstanceUID": f"{SERIES}9",
            "SOPInstanceUID": f"{SERIES}9.1",
        }
        path.write_bytes(part10(ct_slice(StudyDate="20260301", **second)))
        peer.upload(path)
        other: dict[str, Any] = {
            "StudyInstanceUID": OTHER_STUDY,
            "SeriesInstanceUID": f"{OTHER_STUDY}.1",
        }
        changes = other | {"SOPInstanceUID": f"{OTHER_STUDY}.1.1", "PatientID": "4712"}
        path.write_bytes(part10(ct_slice(**changes, StudyDate="20260401")))
        peer.upload(path)
        yield peer


@pytest.fixture
def node(orthanc: Orthanc) -> Node:
    """The archive."""
    return Node("Archive", orthanc.ae_title, "127.0.0.1", orthanc.port)


@pytest.fixture
def sink(orthanc: Orthanc, tmp_path: Path) -> Iterator[Sink]:
    """What our listener tells of; the archive knows where it is."""
    sink = Sink()
    with Spool(tmp_path / "spool", free_floor_bytes=0) as spool:
        listener = Listener(ListenerSettings(port=0, stop_s=0.2), spool, sink)
        listener.start()
        orthanc.add_modality("icemargin", "ICEMARGIN", listener.port)
        yield sink
        listener.stop()


@pytest.fixture
def config(node: Node, tmp_path: Path) -> Path:
    """A configuration that names the archive."""
    archive = {"name": "PACS", "ae_title": node.ae_title, "host": node.host, "port": node.port}
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump({"archive": {"nodes": [archive]}}))
    return path


# Sending


def test_results_reach_an_archive_that_was_down(tmp_path: Path) -> None:
    """A segmentation and slices; the archive comes up while they are tried again."""
    port = free_port()
    outbox = Outbox(
        tmp_path / "outbox",
        [Node("Archive", "ORTHANC", "127.0.0.1", port)],
        CALLER,
        OutboxLimits(retry_first_s=0.1, retry_longest_s=0.3),
    )
    segmentation = shipped("liver.dcm")
    slices = [tmp_path / f"{n}.dcm" for n in range(SLICES)]
    outbox.start()
    try:
        outbox.put("Archive", segmentation)
        for n, path in enumerate(slices):
            path.write_bytes(part10(ct_slice(n)))
            outbox.put("Archive", path)
        until(lambda: "can't be reached" in outbox.figures()[0].problem)
        with running_orthanc(tmp_path / "orthanc", port=port) as orthanc:
            until(lambda: outbox.figures()[0].sent == SLICES + 1)
            original = pydicom.dcmread(segmentation)
            kept = tmp_path / "kept.dcm"
            kept.write_bytes(orthanc.file(original.SOPInstanceUID))
            assert len(orthanc.instances()) == SLICES + 1
            assert pydicom.dcmread(kept).PixelData == original.PixelData
            # The same again is no failure.
            outbox.put("Archive", segmentation)
            until(lambda: outbox.figures()[0].sent == SLICES + 2)
    finally:
        outbox.stop()
    found = outbox.figures()[0]
    assert (found.waiting, found.failed, found.errors, found.problem) == (0, 0, 0, "")


# Fetching


def test_echo(node: Node) -> None:
    assert 0 < echo(node, CALLER) < 5


def test_studies_of_a_patient(node: Node) -> None:
    found = find_studies(node, CALLER, StudyQuery(patient_id="4711"))
    (study,) = found.studies
    assert (study.study_instance_uid, study.patient_name) == (STUDY, "Müller^Åse")
    assert (study.series, study.objects, study.modalities) == (2, SLICES + 1, "CT")
    assert not found.more
    assert not find_studies(node, CALLER, StudyQuery(patient_id="471")).studies


def test_studies_of_a_day_and_by_uid(node: Node) -> None:
    for query in (
        StudyQuery(dates="20260401"),
        StudyQuery(dates="20260302-20260501"),
        StudyQuery(study_instance_uid=OTHER_STUDY),
    ):
        (study,) = find_studies(node, CALLER, query).studies
        assert study.patient_id == "4712"
    assert len(find_studies(node, CALLER, StudyQuery(dates="20260301-")).studies) == 2


def test_series_of_a_study(node: Node) -> None:
    series = {one.series_instance_uid: one for one in find_series(node, CALLER, STUDY)}
    assert set(series) == {SERIES, f"{SERIES}9"}
    assert (series[SERIES].objects, series[SERIES].description) == (SLICES, "Planning")


def test_a_study_is_fetched(node: Node, sink: Sink) -> None:
    seen: list[MoveProgress] = []
    ended = fetch(node, CALLER, STUDY, on_progress=seen.append)
    assert (ended.status, ended.completed, ended.failed) == (0, SLICES + 1, 0)
    assert [one.completed for one in seen[:-1]] == list(range(1, SLICES + 1))
    stored = sink.wait(ObjectStored, SLICES + 1)
    assert {one.header.study_instance_uid for one in stored} == {STUDY}
    assert {one.how for one in sink.wait(AssociationEnded)} == {"released"}


def test_one_series_is_fetched(node: Node, sink: Sink) -> None:
    ended = fetch(node, CALLER, STUDY, f"{SERIES}9")
    assert ended.completed == 1
    (stored,) = sink.wait(ObjectStored)
    assert stored.header.series_instance_uid == f"{SERIES}9"


def test_a_transfer_is_called_off(node: Node, sink: Sink) -> None:
    """Orthanc heeds it between two objects; it may have sent them all by then."""
    enough = threading.Event()
    ended = fetch(
        node, CALLER, STUDY, on_progress=lambda _one: enough.set(), cancelled=enough.is_set
    )
    assert ended.status in (CANCELLED, 0)


def test_a_destination_that_is_not_known(node: Node) -> None:
    with pytest.raises(CallError) as raised:
        fetch(node, Ourselves("NOBODY"), STUDY)
    assert raised.value.code == "refused"
    assert raised.value.status is not None


def test_a_destination_that_is_not_there(node: Node, orthanc: Orthanc) -> None:
    orthanc.add_modality("gone", "GONE", free_port())
    with pytest.raises(CallError, match="can reach our listener"):
        fetch(node, Ourselves("GONE"), STUDY)


# The command line


def test_find(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["find", "--config", str(config), "--node", "PACS", "--patient-id", "4711"]) == 0
    said = capsys.readouterr().out
    assert STUDY in said
    assert "Müller^Åse" in said
    assert OTHER_STUDY not in said
    assert SERIES not in said.replace(STUDY, "")
    assert main(["find", "--config", str(config), "--study", STUDY]) == 0
    assert f"{SERIES}9" in capsys.readouterr().out
    assert main(["find", "--config", str(config), "--patient-id", "nobody"]) == 1
    assert "Nothing was found" in capsys.readouterr().out


def test_fetch(config: Path, sink: Sink, capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["fetch", "--config", str(config), "--node", "PACS"]
    assert main([*asked, STUDY, "--series", SERIES]) == 0
    said = capsys.readouterr().out
    assert "Of Müller^Åse (4711): " in said
    assert f"{SLICES} objects came, 0 failed." in said
    assert len(sink.wait(ObjectStored, SLICES)) == SLICES
    assert main([*asked, "1.2.3"]) == 1
    assert "PACS has no such study." in capsys.readouterr().out
    assert main([*asked, STUDY, "--series", "1.2.3"]) == 1
    assert "PACS can't do that; see that it has it" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["find"], 2, "must be given"),
        (["find", "--patient-id", "*"], 2, "wildcards"),
        (["find", "--node", "OTHER", "--patient-id", "1"], 2, "there are PACS"),
        (["fetch", "../x"], 2, "no UID"),
        (["worklist"], 2, "No worklist is configured"),
    ],
)
def test_what_is_not_asked(
    config: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, said: str
) -> None:
    assert main([*arguments, "--config", str(config)]) == code
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1


def test_an_archive_that_is_gone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    archive = {"name": "PACS", "ae_title": "A", "host": "127.0.0.1", "port": free_port()}
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump({"archive": {"nodes": [archive]}}))
    assert main(["find", "--config", str(path), "--patient-id", "1"]) == 1
    error = capsys.readouterr().err
    assert "PACS can't be reached" in error
    assert error.count("\n") == 1
