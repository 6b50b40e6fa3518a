"""Orthanc as its Debian package ships it: as sender, and as an archive that is sent to."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from dicom_listener.events import AssociationEnded, ObjectStored
from dicom_listener.listener import Listener, ListenerSettings
from dicom_listener.spool import Spool
from tests.dicom_listener.conftest import Sink
from tests.dicom_listener.objects import ct_slice, part10
from tests.peers.orthanc import Orthanc, running_orthanc

pytestmark = pytest.mark.peer

SLICES = 5


@pytest.fixture(scope="module")
def orthanc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orthanc]:
    """One for all tests of this file."""
    with running_orthanc(tmp_path_factory.mktemp("orthanc")) as peer:
        yield peer


@pytest.fixture
def receiver(orthanc: Orthanc, tmp_path: Path) -> Iterator[Sink]:
    """A listener that Orthanc knows as ``icemargin``; what it tells of."""
    sink = Sink()
    with Spool(tmp_path / "spool", free_floor_bytes=0) as spool:
        listener = Listener(ListenerSettings(port=0, stop_s=0.2), spool, sink)
        listener.start()
        orthanc.add_modality("icemargin", "ICEMARGIN", listener.port)
        yield sink
        listener.stop()


def test_orthanc_echoes(orthanc: Orthanc, receiver: Sink) -> None:
    assert orthanc.echo("icemargin")
    assert receiver.wait(AssociationEnded)[0].calling_ae_title == "ORTHANC"
    orthanc.add_modality("stranger", "OTHER", 1)
    assert not orthanc.echo("stranger")


def test_orthanc_sends(orthanc: Orthanc, receiver: Sink, tmp_path: Path) -> None:
    path = tmp_path / "slice.dcm"
    identifiers = []
    for n in range(SLICES):
        path.write_bytes(part10(ct_slice(n)))
        identifiers.append(orthanc.upload(path))
    assert orthanc.store("icemargin", identifiers).is_success
    stored = receiver.wait(ObjectStored, SLICES)
    assert {one.header.sop_instance_uid for one in stored} == set(orthanc.instances())
    assert receiver.wait(AssociationEnded)[0].how == "released"
