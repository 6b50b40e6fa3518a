"""GDCM's gdcmscu, as its Debian package ships it.

Its exit code tells nothing: in version 3.0.21 it aborts after the association was released, whoever
it has called. What counts is what the listener tells.
"""

import os
import subprocess
from pathlib import Path

import pytest

from dicom_listener.events import AssociationEnded, ObjectRefused, ObjectStored
from tests.conftest import needed
from tests.dicom_listener.objects import ct_slice, part10
from tests.peers.awkward import receiving
from tests.waiting import until

pytestmark = pytest.mark.peer

SLICES = 5


def gdcmscu(port: int, *arguments: object, called: str = "ICEMARGIN") -> None:
    """Run it to its end."""
    command = [needed("gdcmscu", "libgdcm-tools"), "--call", called, "--aetitle", "GDCM"]
    subprocess.run(
        [*command, "127.0.0.1", str(port), *map(str, arguments)],
        env=os.environ | {"TCP_NODELAY": "1"},
        capture_output=True,
        timeout=60,
    )


def test_echo(tmp_path: Path) -> None:
    with receiving(tmp_path) as one:
        gdcmscu(one.listener.port, "--echo")
        gdcmscu(one.listener.port, "--echo", called="OTHER")
        assert one.sink.wait(AssociationEnded)[0].how == "released"
        # A rejection is counted after its peer knows.
        until(lambda: one.listener.counters.read().associations_rejected == 1, "the rejection")
        counts = one.listener.counters.read()
        assert (counts.echoes, counts.associations) == (1, 1)


def test_a_folder_of_slices(tmp_path: Path) -> None:
    folder = tmp_path / "slices"
    folder.mkdir()
    for n in range(SLICES):
        (folder / f"{n}.dcm").write_bytes(part10(ct_slice(n, size=64)))
    with receiving(tmp_path / "spool") as one:
        gdcmscu(one.listener.port, "--store", "-i", folder)
        stored = one.sink.wait(ObjectStored, SLICES)
        assert {one.header.instance_number for one in stored} == set(range(1, SLICES + 1))
        (ended,) = one.sink.wait(AssociationEnded)
        assert (ended.how, ended.calling_ae_title) == ("released", "GDCM")
        assert not one.sink.of(ObjectRefused)
