"""A service that is kept analysing while something else is measured."""

import time
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path

import pydicom
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid

from benchmarks.latency import INTERVAL_S, relabelled
from benchmarks.served import Display, Service
from benchmarks.simulated import Stored
from monitor.simulate import press_phase
from scanner_sim.push import Pusher

PATIENCE_S = 120.0
LAST_STAGE = "keeping"
"""The last stage of each analysis, by the service's own name."""

_POLL_S = 0.02


class BusyService:
    """A service with a procedure of many scans.

    Newer contours make it analyse all of them again, one after the other: all that has to be sent
    for that is one small object.

    Parameters
    ----------
    procedure
        Planning, contours, baseline and one scan or more of the freeze.
    scans
        How many analyses a round has.
    """

    def __init__(self, service: Service, procedure: Stored, scans: int) -> None:
        self._service = service
        self._pusher = Pusher(service.destination)
        folders = sorted(procedure.files.iterdir())
        planning, structures, baseline, freeze, *_ = (_read(folder) for folder in folders)
        self._structures = structures[0]
        self._round = 0
        self.scans = scans
        self.template = freeze[0]
        begins = datetime.strptime(str(freeze[0].AcquisitionDateTime), "%Y%m%d%H%M%S.%f%z")
        with Display(service.page) as display:
            for datasets in (planning, structures, baseline):
                self._pusher.send(datasets)
            display.wait(str(planning[0].SeriesInstanceUID), PATIENCE_S)
            press_phase(service.page, "freeze")
            for n in range(scans):
                at = begins + n * timedelta(seconds=INTERVAL_S)
                copies: Sequence[Dataset] = relabelled(freeze, at, n)
                self._pusher.send(copies)
                display.wait(str(copies[0].SeriesInstanceUID), PATIENCE_S)

    def analyse_again(self) -> None:
        """Begin a round; returns once its first scan has been analysed.

        Raises
        ------
        TimeoutError
            None is.
        """
        before = self._analysed()
        self._round += 1
        self._structures.SOPInstanceUID = generate_uid()
        self._structures.file_meta.MediaStorageSOPInstanceUID = self._structures.SOPInstanceUID
        self._pusher.send([self._structures])
        # Two, for the first may be the last of the round before.
        end = time.monotonic() + PATIENCE_S
        while self._analysed() < before + 2:
            if time.monotonic() > end:
                raise TimeoutError("no scan is analysed")
            time.sleep(_POLL_S)
        self._begun = self._analysed()

    @property
    def done(self) -> int:
        """Analyses since ``analyse_again``; as many as ``scans`` - 2 and the round may be over."""
        return self._analysed() - self._begun

    @property
    def is_busy(self) -> bool:
        """Whether the round is not over."""
        return self.done < self.scans - 2

    def wait_until_idle(self) -> None:
        """Wait until a second goes by without an analysis."""
        seen = -1
        while seen != (seen := self._analysed()):
            time.sleep(1.5)

    def _analysed(self) -> int:
        return int(self._service.stages().counts.get(LAST_STAGE, 0))


def _read(folder: Path) -> list[Dataset]:
    return [pydicom.dcmread(path) for path in sorted(folder.glob("*.dcm"))]
