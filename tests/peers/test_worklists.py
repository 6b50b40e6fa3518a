"""Worklists as their Debian packages serve them: Orthanc's plugin, and dcmtk's wlmscpfs."""

import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pydicom
import pytest
import yaml
from pydicom.dataset import FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian

from dicom_listener.client import echo
from dicom_listener.nodes import CallError, Node
from dicom_listener.worklist import ScheduledStep, ask
from monitor.cli import main
from tests.conftest import needed
from tests.dicom_listener.providers import CALLER
from tests.dicom_listener.test_worklist import STEP, entry
from tests.peers.orthanc import free_port, running_worklist, worklist_file
from tests.waiting import until

pytestmark = pytest.mark.peer

Serve = Callable[[Path], AbstractContextManager[Node]]

TODAY = datetime.now().astimezone().replace(hour=12, minute=0, second=0, microsecond=0)
STEPS = (
    replace(STEP, scheduled_at=TODAY.replace(hour=8)),
    replace(STEP, patient_id="4712", scheduled_at=TODAY.replace(hour=9), station_ae_title="CT2"),
    replace(STEP, patient_id="4713", scheduled_at=TODAY + timedelta(days=1)),
)


def content(step: ScheduledStep, character_set: str = "ISO_IR 100") -> bytes:
    """A worklist file."""
    dataset = entry(step, character_set)
    dataset.RequestedProcedureID = "R1"
    dataset.PatientSex = "F"
    dataset.ScheduledProcedureStepSequence[0].ScheduledPerformingPhysicianName = "Doe^Jane"
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = UID("1.2.276.0.7230010.3.1.0.1")
    dataset.file_meta.MediaStorageSOPInstanceUID = UID("1.2.3")
    buffer = pydicom.filebase.DicomBytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def fill(folder: Path) -> None:
    """Three steps; not all are today's, or of one station."""
    for step in STEPS:
        worklist_file(folder, step.patient_id, content(step))


@contextmanager
def orthancs(folder: Path) -> Iterator[Node]:
    """Orthanc's plugin."""
    fill(folder / "worklists")
    with running_worklist(folder) as peer:
        yield Node("The worklist", peer.ae_title, "127.0.0.1", peer.port)


@contextmanager
def dcmtks(folder: Path) -> Iterator[Node]:
    """dcmtk's wlmscpfs."""
    program = needed("wlmscpfs", "dcmtk")
    place = folder / "WORKLIST"
    fill(place)
    (place / "lockfile").touch()
    port = free_port()
    command = [program, "--single-process", "-dfp", str(folder), str(port)]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            command, stdout=log, stderr=log, env=os.environ | {"TCP_NODELAY": "1"}
        )
    node = Node("The worklist", "WORKLIST", "127.0.0.1", port)

    def is_up() -> bool:
        assert process.poll() is None, (folder / "log").read_text()
        try:
            echo(node, CALLER)
        except CallError:
            return False
        return True

    try:
        until(is_up, "wlmscpfs")
        yield node
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize("serve", [orthancs, dcmtks])
def test_today_s_steps(tmp_path: Path, serve: Serve) -> None:
    now = TODAY + timedelta(hours=1)
    with serve(tmp_path) as node:
        assert ask(node, CALLER, now=now).steps == STEPS[:2]
        assert ask(node, CALLER, station_ae_title="CT2", now=now).steps == STEPS[1:2]
        assert ask(node, CALLER, station_ae_title="CT3", now=now).steps == ()


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with orthancs(tmp_path / "peer") as node:
        config = tmp_path / "config.yaml"
        worklist = {"ae_title": node.ae_title, "host": node.host, "port": node.port}
        config.write_text(yaml.safe_dump({"worklist": worklist}))
        assert main(["worklist", "--config", str(config)]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0].split()[:3] == ["Time", "Patient", "ID"]
    assert [line.split()[2] for line in said[1:]] == ["4711", "4712"]
    assert "Cryoablation, kidney" in said[1]
    assert main(["worklist", "--config", str(config)]) == 1
    assert "can't be reached" in capsys.readouterr().err
