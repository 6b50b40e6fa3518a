"""The phases of one procedure: what was pressed, corrected, and what the ice offers.

A press is journaled as it was made; that it was taken back or moved is a decision of its own, which
names the press by the moment it was made at. So it does not matter in which order both are read.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from monitor.decisions import (
    CommandError,
    OfPhases,
    PhaseMoved,
    PhaseOfferDismissed,
    PhaseTakenBack,
)
from monitor.messages import Assessment, Measurement, Role
from monitor.phase_messages import OfferedPhase, Phase, PhaseName
from segmentation.moment import Phase as Word
from segmentation.phase_change import Change, Held, Seen, change

CYCLES: Final[dict[tuple[PhaseName | None, PhaseName], int | None]] = {
    (None, PhaseName.FREEZE): 1,
    (None, PhaseName.THAW): 0,
    (None, PhaseName.IDLE): 0,
    (PhaseName.IDLE, PhaseName.FREEZE): 1,
    (PhaseName.IDLE, PhaseName.THAW): 0,
    (PhaseName.IDLE, PhaseName.IDLE): None,
    (PhaseName.FREEZE, PhaseName.FREEZE): None,
    (PhaseName.FREEZE, PhaseName.THAW): 0,
    (PhaseName.FREEZE, PhaseName.IDLE): 0,
    (PhaseName.THAW, PhaseName.FREEZE): 1,
    (PhaseName.THAW, PhaseName.THAW): None,
    (PhaseName.THAW, PhaseName.IDLE): 0,
}
"""The phase that holds (None before the first press) and the one pressed: by how much the number of
the freeze rises. None: it holds already, and nothing changes."""

_WORDS: Final[dict[PhaseName, Word]] = {
    PhaseName.FREEZE: "freeze",
    PhaseName.THAW: "thaw",
    PhaseName.IDLE: "idle",
}


class Phases:
    """See the module's docstring.

    Attributes
    ----------
    pressed
        Oldest first.
    """

    def __init__(self, procedure_id: str, opened_at: datetime) -> None:
        self._procedure_id = procedure_id
        self._opened_at = opened_at
        self._dismissed: set[tuple[str, str]] = set()
        self.pressed: list[Phase] = []

    @property
    def current(self) -> Phase:
        """The pressed phase; idle since opening when none was pressed."""
        if self.pressed:
            return self.pressed[-1]
        return Phase(
            procedure_id=self._procedure_id, phase=PhaseName.IDLE, since=self._opened_at, cycle=0
        )

    def at(self, moment: datetime) -> Phase | None:
        """The phase that held at a moment; None before any was pressed."""
        held = [phase for phase in self.pressed if phase.since <= moment]
        return held[-1] if held else None

    def after_press(
        self, name: PhaseName, now: datetime, since: datetime | None, begin: datetime
    ) -> Phase:
        """What holds after a press; the present one where that changes nothing.

        Parameters
        ----------
        since
            When it began, where that was earlier than now.
        begin
            Of the procedure: nothing has begun before.

        Raises
        ------
        CommandError
            It can't have begun then.
        """
        last = self.pressed[-1] if self.pressed else None
        rise = CYCLES[last.phase if last is not None else None, name]
        if rise is None:
            assert last is not None
            return last
        if since is not None:
            self._check_time(since, now, last.since if last is not None else None, begin)
        earliest = last.since if last is not None else now
        return Phase(
            procedure_id=self._procedure_id,
            phase=name,
            since=since if since is not None else max(now, earliest),
            cycle=self.current.cycle + rise,
            pressed_at=now,
        )

    def check(
        self,
        what: OfPhases,
        now: datetime,
        begin: datetime,
        offered: OfferedPhase | None,
    ) -> None:
        """Whether a person may decide this now.

        Raises
        ------
        CommandError
            Not the last press, not that time, or not what is offered.
        """
        if isinstance(what, PhaseOfferDismissed):
            if offered is None or _grounds(offered.id) != _grounds(what.offer_id):
                raise CommandError("no_such_offer", "This phase is not offered any more.")
            return
        if not self.pressed or _key(self.pressed[-1]) != what.pressed_at:
            raise CommandError("phase_changed", "Another phase was pressed meanwhile.")
        if isinstance(what, PhaseMoved):
            before = self.pressed[-2].since if len(self.pressed) > 1 else None
            self._check_time(what.since, now, before, begin)

    def take(self, what: OfPhases) -> datetime | None:
        """Let it hold; from when on another phase holds than before, if so."""
        if isinstance(what, PhaseOfferDismissed):
            words = what.offer_id.split()
            self._dismissed.add((words[0], words[-1]))
            return None
        for n, phase in enumerate(self.pressed):
            if _key(phase) != what.pressed_at:
                continue
            if isinstance(what, PhaseTakenBack):
                del self.pressed[n]
                return phase.since
            self.pressed[n] = phase.model_copy(update={"since": what.since})
            return min(phase.since, what.since)
        return None

    def offered(
        self, measurements: Sequence[Measurement], baseline_at: datetime | None
    ) -> OfferedPhase | None:
        """What the ice has begun to do and nobody has pressed; None when it fits.

        Parameters
        ----------
        measurements
            Of the procedure, in order of acquisition. Only final ones count.
        baseline_at
            When the baseline was acquired, by the service's clock.
        """
        monitoring = [m for m in measurements if m.role is Role.MONITORING]
        numbered = [
            (n, m)
            for n, m in enumerate(monitoring, start=1)
            if m.assessment is Assessment.FINAL and m.ice is not None
        ]
        scans = [
            Seen((m.taken_at - self._opened_at).total_seconds(), m.ice.volume_ml)
            for _, m in numbered
            if m.ice is not None
        ]
        baseline_s = None
        if baseline_at is not None:
            baseline_s = (baseline_at - self._opened_at).total_seconds()
        held = Held()
        if self.pressed:
            now = self.current
            since_s = (now.since - self._opened_at).total_seconds()
            held = Held(_WORDS[now.phase], since_s, now.cycle > 0)
        wanted = "thaw" if held.phase == "freeze" else "freeze"
        denied = [
            n
            for n, (_, m) in enumerate(numbered)
            if (wanted, m.series_instance_uid) in self._dismissed
        ]
        found = change(scans, held, baseline_s, denied[-1] if denied else None)
        if found is None:
            return None
        number, shown = numbered[found.after]
        before = numbered[found.before][0] if found.before is not None else None
        return OfferedPhase(
            id=f"{found.phase} {shown.series_instance_uid} {numbered[-1][1].series_instance_uid}",
            phase=PhaseName.FREEZE if found.phase == "freeze" else PhaseName.THAW,
            since=self._moment(found.since_s, found),
            earliest=self._moment(found.earliest_s, found),
            latest=self._moment(found.latest_s, found),
            text=_sentence(found, scans, before, number),
        )

    def _moment(self, seconds: float, found: Change) -> datetime:
        bounded = min(max(seconds, found.earliest_s), found.latest_s)
        return self._opened_at + timedelta(seconds=bounded)

    def _check_time(
        self, since: datetime, now: datetime, before: datetime | None, begin: datetime
    ) -> None:
        if since > now:
            raise CommandError("bad_time", "A phase can't begin in the future.")
        if before is not None and since <= before:
            raise CommandError("bad_time", "A phase begins after the one before it.")
        if since < begin:
            raise CommandError("bad_time", "The procedure began later than that.")


def _key(phase: Phase) -> datetime:
    """By what a press is told from others; presses journaled long ago have only their time."""
    return phase.pressed_at if phase.pressed_at is not None else phase.since


def _grounds(offer_id: str) -> str:
    """Of an offer's id, the phase and the scan that shows it; its last word is the newest scan, up
    to which all was seen when it was dismissed."""
    return offer_id.rpartition(" ")[0]


def _sentence(found: Change, scans: Sequence[Seen], before: int | None, after: int) -> str:
    """What the ice has done, as a person reads it."""
    now_ml = scans[found.after].volume_ml
    if found.before is None or before is None:
        return f"Ice of {now_ml:.0f} ml in scan {after}, none in the baseline."
    then_ml = scans[found.before].volume_ml
    did = "grew" if found.phase == "freeze" else "shrank"
    return f"Ice {did} from {then_ml:.1f} to {now_ml:.1f} ml, scan {before} to {after}."
