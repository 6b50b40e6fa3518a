"""When a scan was taken, for the analysis: the pressed phase, and what was measured before it."""

import math
from collections.abc import Iterable
from datetime import datetime

from monitor import messages
from monitor.messages import PhaseName, Role
from segmentation.moment import Earlier, Moment, Phase

_PHASES: dict[PhaseName, Phase] = {
    PhaseName.FREEZE: "freeze",
    PhaseName.THAW: "thaw",
    PhaseName.IDLE: "idle",
}


def moment_of(
    series_uid: str,
    acquired_at: datetime,
    clock_offset_s: float,
    phase: messages.Phase | None,
    baseline_at: datetime,
    measurements: Iterable[messages.Measurement],
) -> Moment:
    """A scan's moment; nothing that came after its acquisition enters, whenever it is measured.

    Parameters
    ----------
    acquired_at, clock_offset_s
        By the scanner's clock, and by how much that is ahead of the service's.
    phase
        That held when the scan was acquired; None before any was pressed.
    baseline_at
        When the scan that it is compared with was acquired, by the same clock.
    measurements
        Of the same procedure, in any order.
    """

    def before_s(measurement: messages.Measurement) -> float:
        return (acquired_at - measurement.acquired_at).total_seconds()

    # An earlier measurement of the same scan is no earlier scan: late slices may have moved the
    # time of its acquisition.
    others = (m for m in measurements if m.series_instance_uid != series_uid)
    earlier = [
        Earlier(
            before_s=before_s(m),
            volume_ml=m.ice.volume_ml,
            margin_mm=m.tumour.margin_mm.value if m.tumour is not None else None,
            distances_mm=tuple((s.name, s.distance_mm.value) for s in m.structures),
        )
        for m in others
        if m.role is Role.MONITORING and m.ice is not None and before_s(m) > 0
    ]
    phase_s = 0.0
    if phase is not None:
        phase_s = (acquired_at - phase.since).total_seconds() - clock_offset_s
    baseline_s = (acquired_at - baseline_at).total_seconds()
    return Moment(
        phase=_PHASES[phase.phase] if phase is not None else None,
        phase_s=phase_s,
        cycle=phase.cycle if phase is not None else 0,
        # A scan sent late may be older than the baseline; its time since is then not known.
        baseline_s=baseline_s if baseline_s > 0 else math.inf,
        earlier=tuple(sorted(earlier, key=lambda scan: -scan.before_s)),
    )
