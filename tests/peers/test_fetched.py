"""A planning study fetched by hand: from the archive, through the listener, into the procedure."""

from pathlib import Path

import pytest

from monitor.cli import main
from tests.peers.orthanc import running_orthanc
from tests.quick_case import QuickCase
from tests.service import running_service, write_config

pytestmark = pytest.mark.peer


def test_what_is_fetched_is_measured_with(
    quick: QuickCase, storescu: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Planning and contours come from the archive, the scans from the scanner."""
    with running_orthanc(tmp_path / "orthanc") as orthanc:
        for path in (*quick.planning.files, *sorted(quick.structures.glob("*"))):
            orthanc.upload(path)
        node = {"name": "PACS", "ae_title": "ORTHANC", "host": "127.0.0.1", "port": orthanc.port}
        sections = {"archive": {"nodes": [node]}}
        with running_service(tmp_path / "service", sections) as service:
            orthanc.add_modality("icemargin", "ICEMARGIN", service.dicom_port)
            config = write_config(tmp_path / "config.yaml", tmp_path / "unused", sections)
            study = orthanc.call("GET", "/studies?expand")[0]["MainDicomTags"]["StudyInstanceUID"]
            assert main(["fetch", "--config", str(config), "--node", "PACS", study]) == 0
            assert "0 failed." in capsys.readouterr().out
            service.wait_for_measurement(quick.planning.uid)
            for scan in (quick.baseline, quick.monitoring[0]):
                sent = service.storescu(storescu, scan.folder)
                assert sent.returncode == 0, sent.stderr
            found = service.wait_for_measurement(quick.monitoring[0].uid)
    assert found["assessment"] == "final"
    assert found["tumour"]["margin_mm"]["value"] is not None
