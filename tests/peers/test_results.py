"""Results go to the archive by themselves, once, whatever happens in between."""

import io
from pathlib import Path

import pydicom
import pytest

from scanner_sim.push import Destination, Pusher
from tests.peers.orthanc import Orthanc, running_orthanc
from tests.quick_case import QuickCase, read
from tests.service import RunningService, Sections, running_service
from tests.waiting import until

pytestmark = pytest.mark.peer


def with_archive(orthanc: Orthanc) -> Sections:
    """Sections of config.yaml."""
    node = {
        "name": "PACS / 1",
        "ae_title": "ORTHANC",
        "host": "127.0.0.1",
        "port": orthanc.port,
        "send": ["segmentation"],
    }
    return {"archive": {"nodes": [node], "retry_first_s": 0.2, "retry_longest_s": 1.0}}


def sent(service: RunningService) -> float:
    """As the service counts them."""
    return service.metric("icemargin_archive", archive="PACS / 1", what="sent")


def test_each_final_scan_is_sent_once(quick: QuickCase, tmp_path: Path) -> None:
    with running_orthanc(tmp_path / "orthanc") as orthanc:
        with running_service(tmp_path / "service", with_archive(orthanc)) as service:
            pusher = Pusher(Destination("ICEMARGIN", "127.0.0.1", service.dicom_port))
            for folder in quick.folders[:4]:
                pusher.send(read(folder))
            (uid,) = until(orthanc.instances, "the result in the archive")
            result = pydicom.dcmread(io.BytesIO(orthanc.file(uid)))
            assert result.Modality == "SEG"
            scan = result.ReferencedSeriesSequence[0].SeriesInstanceUID
            assert scan == quick.monitoring[0].uid
            until(lambda: sent(service) == 1, "the count")
            assert service.end() == 0
        with running_service(tmp_path / "service", with_archive(orthanc)) as service:
            pusher = Pusher(Destination("ICEMARGIN", "127.0.0.1", service.dicom_port))
            pusher.send(read(quick.monitoring[1].folder))
            until(lambda: len(orthanc.instances()) == 2, "the second result")
            until(lambda: sent(service) == 1, "the count of this run")
            assert service.end() == 0
        assert uid in orthanc.instances()
