"""What was found in each series of a procedure, and how far it still holds."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime

from monitor.messages import Assessment, Measurement, Reason, Recomputing, Role

RECOMPUTING = Reason(code="recomputing", text="Something has changed; it is measured again.")


class Results:
    """The measurements that hold, one a series, in the order of acquisition.

    Those of before a restart are kept apart until their series shows that it has not grown since.
    """

    def __init__(self) -> None:
        self._held: list[Measurement] = []
        self._newest: dict[str, str] = {}
        self._before: dict[str, tuple[Measurement, int]] = {}
        self._again: set[str] = set()
        self._again_total = 0
        self._retold: list[str] = []

    def __iter__(self) -> Iterator[Measurement]:
        return iter(self._held)

    def of(self, series_uid: str) -> Measurement | None:
        """What holds of a series."""
        return next((m for m in self._held if m.series_instance_uid == series_uid), None)

    def put(self, measurement: Measurement) -> None:
        """It holds of its series from now on, whatever did before."""
        uid = measurement.series_instance_uid
        others = (m for m in self._held if m.series_instance_uid != uid)
        self._held = sorted([*others, measurement], key=lambda m: m.acquired_at)
        self._newest[uid] = measurement.id

    def newest_id(self, series_uid: str) -> str | None:
        """Of what was last found in a series, be it before a restart and no longer true."""
        return self._newest.get(series_uid)

    # From before a restart

    def restore(self, measured: Iterable[tuple[Measurement, int]]) -> None:
        """What the journal holds, each with the number of slices that its series had."""
        self._before = {m.series_instance_uid: (m, slices) for m, slices in measured}
        self._newest |= {uid: m.id for uid, (m, _) in self._before.items()}

    def hold_again(self, slices: Mapping[str, int]) -> None:
        """What holds is to be judged as after a restart; numbers of slices by series."""
        self.restore(
            (m, slices[m.series_instance_uid])
            for m in self._held
            if m.series_instance_uid in slices
        )

    def take_before(self, series_uid: str, slices: int) -> Measurement | None:
        """What held of a series before; asked once, and None where the series has grown since."""
        measurement, then = self._before.pop(series_uid, (None, 0))
        return measurement if then == slices else None

    def settle(self) -> None:
        """Nothing more will come: what held before holds, where nothing else does."""
        known = {m.series_instance_uid for m in self._held}
        rest = [m for m, _ in self._before.values() if m.series_instance_uid not in known]
        self._held = sorted([*self._held, *rest], key=lambda m: m.acquired_at)
        self._before = {}

    # Doubt

    def doubt(self, series_uid: str, reason: Reason) -> Measurement | None:
        """Figures that were final are provisional from now on; None where there are none."""
        known = self.of(series_uid)
        if known is None or known.assessment is not Assessment.FINAL:
            return None
        reasons = [reason, *known.reasons]
        changed = {"assessment": Assessment.PROVISIONAL, "reasons": reasons}
        doubted = known.model_copy(update=changed)
        self.put(doubted)
        return doubted

    def wait(self, series_uid: str) -> None:
        """A scan is to be measured again; its figures are doubted until ``measured``."""
        known = self.of(series_uid)
        if known is None or known.role is not Role.MONITORING:
            return
        if not self._again:
            self._again_total = 0
        if series_uid not in self._again:
            self._again.add(series_uid)
            self._again_total += 1
        if self.doubt(series_uid, RECOMPUTING) is not None:
            self._retold.append(series_uid)

    def waits(self, series_uid: str) -> bool:
        """Whether a scan is still to be measured again."""
        return series_uid in self._again

    def measured(self, measurement: Measurement) -> None:
        """It was judged, once more or for the first time."""
        uid = measurement.series_instance_uid
        self._again.discard(uid)
        self._retold = [other for other in self._retold if other != uid]
        self.put(measurement)

    def review(self, measurement: Measurement) -> None:
        """The same measurement, of which a person has now said something."""
        self.put(measurement)
        self._retold.append(measurement.series_instance_uid)

    def take_retold(self) -> list[Measurement]:
        """Measurements that wait to be made again, or were approved, since the last call."""
        uids, self._retold = self._retold, []
        return [m for uid in uids if (m := self.of(uid)) is not None]

    @property
    def recomputing(self) -> Recomputing | None:
        """How far measuring again is; None while nothing waits for it."""
        if not self._again:
            return None
        total = self._again_total
        return Recomputing(done=total - len(self._again), total=total)

    # What was found when

    def latest(self) -> Measurement | None:
        """The newest of a monitoring scan, by acquisition."""
        monitoring = [m for m in self._held if m.role is Role.MONITORING]
        return max(monitoring, key=lambda m: m.acquired_at) if monitoring else None

    def last_before(self, moment: datetime) -> Measurement | None:
        """The last one with figures before a moment."""
        before = [m for m in self._held if m.tumour is not None and m.acquired_at < moment]
        return before[-1] if before else None
