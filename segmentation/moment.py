"""When a scan was taken: the phase it falls in, and what was measured before it.

The phase is pressed by a person or not at all; then it is told from the volumes alone. What was
pressed is not believed against the ice: ice that shrinks is not freezing.
"""

import math
from dataclasses import dataclass
from typing import Literal

from segmentation.bioheat import Stage

Phase = Literal["freeze", "thaw", "idle"]

SHRUNK = 0.93
"""Ice smaller than this share of the scan before is melting; two scans of the same ice differ by
less."""

REACH_SHARE = 0.04
"""By less than the share above and this ice that freezes on may have grown between two scans, when
it is near its end."""

SETTLE_S = 45.0
"""After a change of phase ice still goes on as before: the shaft takes a minute to cool."""

FIRST_MM = 20.0
FIRST_MM_PER_MIN = 2.0
"""The radius at the first scan with ice, by the time since the baseline. Generous: the clocks of
two scans may be set anew in between, and five probes reach 18 mm in 2.5 min."""

JUMP_MM = 2.5
JUMP_MM_PER_MIN = 2.0
"""The radius of a ball of the ice's volume changes by no more than these together: three probes
grow by 1.5 mm/min at their fastest (domain facts, 4.3)."""


@dataclass(frozen=True)
class Earlier:
    """A scan measured before.

    Attributes
    ----------
    before_s
        How long before this one.
    margin_mm, distances_mm
        To the tumour, and to structures with their names.
    """

    before_s: float
    volume_ml: float
    margin_mm: float | None = None
    distances_mm: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True)
class Timing:
    """Seconds, each at least and at most: since the stage began, and of the first freeze."""

    elapsed_s: tuple[float, float]
    frozen_s: tuple[float, float]


@dataclass(frozen=True)
class Moment:
    """What is known beside the scan itself.

    Attributes
    ----------
    phase, phase_s
        Pressed phase and for how long it has held; None where none was pressed.
    cycle
        Which freeze it is or was, from 1; 0 where it is not known.
    baseline_s
        Since the baseline was taken, which shows no ice.
    earlier
        In order of time, the latest last.
    """

    phase: Phase | None = None
    phase_s: float = 0.0
    cycle: int = 0
    baseline_s: float = math.inf
    earlier: tuple[Earlier, ...] = ()

    def stages(self, volume_ml: float) -> tuple[Stage, ...]:
        """What the ice may be doing, given about its volume."""
        growing: tuple[Stage, ...] = ("freeze", "refreeze") if self._thawed else ("freeze",)
        if self._pressed == "thaw" and not self._grown(volume_ml):
            return ("thaw",)
        if self._pressed == "freeze" and not self._shrunk(volume_ml):
            return growing
        if not self.earlier:
            return growing
        if self._shrunk(volume_ml):
            return ("thaw",)
        return growing if self._grown(volume_ml) else ("freeze", "thaw", "refreeze")

    def freezing(self, volume_ml: float) -> bool:
        """Whether the ice is surely growing: it was pressed, or it has grown since the last scan.

        What was pressed is not believed where the ice has shrunk.
        """
        if "thaw" in self.stages(volume_ml):
            return False
        return self.phase == "freeze" if self.phase is not None else self._grown(volume_ml)

    def timing(self, stage: Stage) -> Timing:
        """When the stage began, were the ice in it."""
        times, labels = [scan.before_s for scan in self.earlier], self._labels
        shrinking = [n for n, grew in enumerate(labels) if not grew]
        first_shrunk = times[shrinking[0]] if shrinking else 0.0
        grown = [t for n, t in enumerate(times) if labels[n] and t > first_shrunk]
        frozen = (grown[0] - grown[-1], self.baseline_s - first_shrunk) if grown else (0, math.inf)
        kind = stage != "thaw"
        since = 0.0
        before = self.baseline_s
        for time_s, grew in zip(reversed(times), reversed(labels), strict=True):
            if grew is not kind:
                before = time_s
                break
            since = time_s
        elapsed = since, before
        if stage == "freeze":
            elapsed = (times[0] if times else 0.0), self.baseline_s
        pressed = {"freeze": ("freeze", "refreeze"), "thaw": ("thaw",)}.get(self.phase or "", ())
        if stage in pressed and (stage != "freeze" or self.cycle == 1):
            elapsed = self.phase_s, self.phase_s
        return Timing(elapsed, frozen)

    @property
    def last_ml(self) -> float:
        """Ice in the scan before; none in the baseline."""
        return self.earlier[-1].volume_ml if self.earlier else 0.0

    def jumps(self, volume_ml: float) -> bool:
        """Whether the ice would have grown or melted faster than ice can."""
        if not self.earlier:
            most_mm = FIRST_MM + FIRST_MM_PER_MIN * self.baseline_s / 60
            return _radius_mm(volume_ml) > most_mm
        last = self.earlier[-1]
        change_mm = abs(_radius_mm(volume_ml) - _radius_mm(last.volume_ml))
        return change_mm > JUMP_MM + JUMP_MM_PER_MIN * last.before_s / 60

    def same_freeze(self, volume_ml: float) -> tuple[Earlier, ...]:
        """The scans of the freeze that goes on now: those since the ice last shrank."""
        if self._shrunk(volume_ml):
            return ()
        shrunk = [n for n, grew in enumerate(self._labels) if not grew]
        chosen = self.earlier[shrunk[-1] + 1 :] if shrunk else self.earlier
        if self._pressed == "freeze":
            chosen = tuple(scan for scan in chosen if scan.before_s < self.phase_s)
        return chosen

    @property
    def _labels(self) -> list[bool]:
        """For each earlier scan whether the ice was growing then."""
        labels: list[bool] = []
        for n, scan in enumerate(self.earlier):
            last = self.earlier[max(n - 1, 0)].volume_ml
            if n == 0 or scan.volume_ml > last / SHRUNK:
                labels.append(True)
            elif scan.volume_ml < SHRUNK * last:
                labels.append(False)
            else:
                labels.append(labels[-1])
        return labels

    @property
    def _pressed(self) -> Phase | None:
        """The phase, where it has held for long enough to show."""
        return self.phase if self.phase_s > SETTLE_S and self.phase != "idle" else None

    def thaws_dead(self, all_ml: float, dark_ml: float) -> bool:
        """Whether the ice melts, where contrast medium makes two readings of one scan.

        Frozen tissue full of contrast medium looks as thawed tissue that no blood reaches.

        Parameters
        ----------
        all_ml
            Ice if it were frozen: tissue as bright as before the medium counts.
        dark_ml
            Ice if it were thawed.
        """
        if self._thawed:
            return True
        if self._pressed is not None:
            return self._pressed == "thaw"
        return self._shrunk(dark_ml) and not self._grown(all_ml * (1 - REACH_SHARE))

    @property
    def _thawed(self) -> bool:
        """Whether a thaw went before."""
        return self.cycle > 1 or not all(self._labels)

    def _shrunk(self, volume_ml: float) -> bool:
        return bool(self.earlier) and volume_ml < SHRUNK * self.earlier[-1].volume_ml

    def _grown(self, volume_ml: float) -> bool:
        return bool(self.earlier) and volume_ml > self.earlier[-1].volume_ml / SHRUNK


def _radius_mm(volume_ml: float) -> float:
    """Of a ball."""
    return float((volume_ml * 1000 * 3 / (4 * math.pi)) ** (1 / 3))
