"""What happens to an assembler, told as a story."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from dicom_listener.events import CommitmentRequested, PerformedSeries, StepReported, StepStatus
from dicom_listener.headers import ObjectHeader
from dicom_listener.series import (
    AssemblerOutput,
    AssemblerSettings,
    SeriesAssembler,
    SeriesReady,
)
from tests.dicom_listener.objects import ROOT, at, header


class Story:
    """Tells an assembler what happens, and keeps what it says."""

    def __init__(self, **settings: float) -> None:
        self.assembler = SeriesAssembler(AssemblerSettings(**settings))  # type: ignore[arg-type]
        self.outputs: list[AssemblerOutput] = []
        self.now_s = 0.0

    def slices(
        self,
        z_mm: Iterable[float],
        *,
        series: int = 1,
        association: str = "a",
        caller: str = "CT1",
        name: str = "",
        **changes: Any,
    ) -> None:
        """Slices come, 10 ms apart."""
        for z in z_mm:
            one = header(z, series, name, **changes)
            self.object(one, association=association, caller=caller)

    def object(
        self,
        one: ObjectHeader,
        *,
        association: str = "a",
        caller: str = "CT1",
        conflicting: bool = False,
    ) -> None:
        self.now_s += 0.01
        self.outputs += self.assembler.add(
            one,
            Path(one.sop_instance_uid),
            at(self.now_s),
            association,
            calling_ae_title=caller,
            conflicting=conflicting,
        )

    def released(self, association: str = "a") -> None:
        self.outputs += self.assembler.association_ended(association, "released", at(self.now_s))

    def aborted(self, association: str = "a", ago_s: float = 0.0) -> None:
        when = at(self.now_s - ago_s)
        self.outputs += self.assembler.association_ended(association, "aborted", when)

    def pause(self, seconds: float) -> None:
        self.now_s += seconds
        self.outputs += self.assembler.tick(at(self.now_s))

    def listed(
        self,
        z_mm: Iterable[float],
        *,
        series: int = 1,
        names: Iterable[str] = (),
        discontinued: bool = False,
        caller: str = "CT1",
    ) -> None:
        """A performed procedure step is over, and lists slices of one series."""
        uids = [header(z, series).sop_instance_uid for z in z_mm]
        uids += [header(0, series, name).sop_instance_uid for name in names]
        performed = PerformedSeries(header(0, series).series_instance_uid, tuple(uids))
        self.step((performed,), "DISCONTINUED" if discontinued else "COMPLETED", caller)

    def step(
        self, series: tuple[PerformedSeries, ...], status: StepStatus, caller: str = "CT1"
    ) -> None:
        """What is known of a performed procedure step has changed."""
        step = StepReported(f"{ROOT}.8.1", status, series, "m", caller, at(self.now_s))
        self.outputs += self.assembler.step_reported(step)

    def asked(self, *named: ObjectHeader, association: str = "c", caller: str = "CT1") -> None:
        """Storage commitment is asked for."""
        instances = tuple((one.sop_class_uid, one.sop_instance_uid) for one in named)
        request = CommitmentRequested(
            f"{ROOT}.9.1", instances, association, caller, "CT 1", at(self.now_s)
        )
        self.outputs += self.assembler.commitment_requested(request)

    @property
    def ready(self) -> list[SeriesReady]:
        return [output for output in self.outputs if isinstance(output, SeriesReady)]

    @property
    def said(self) -> list[tuple[str, str, str | None]]:
        """Completeness, evidence and reason's code of all that was ready."""
        return [
            (one.completeness, one.evidence, one.reason.code if one.reason else None)
            for one in self.ready
        ]
