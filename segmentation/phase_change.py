"""Freezing or thawing that the volumes of the ice show, against the phase that was pressed.

Two scans of the same ice differ by less than a fourteenth (``SHRUNK``); more is growth or melting.
It is compared with the least, or the most, ice of the phase, so that a slow change is seen too.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from segmentation.moment import SETTLE_S, SHRUNK, Phase

GROWTH_EXPONENT = 1.3
"""This power of the volume grows by nearly the same amount each minute in the first 5 minutes of a
freeze. Set on the simulator's cases, so that a straight line through its first two scans comes to
zero near its begin; a person confirms or moves what is offered."""


@dataclass(frozen=True)
class Seen:
    """A measured scan. ``at_s`` counts from any moment, the same for all."""

    at_s: float
    volume_ml: float


@dataclass(frozen=True)
class Held:
    """The phase that was pressed last.

    Attributes
    ----------
    phase
        None where none was.
    since_s
        On the scans' clock; minus infinity where none was pressed.
    frozen
        Whether a freeze was pressed, now or earlier.
    """

    phase: Phase | None = None
    since_s: float = -math.inf
    frozen: bool = False


@dataclass(frozen=True)
class Change:
    """What the ice has begun to do.

    Attributes
    ----------
    since_s, earliest_s, latest_s
        When, at best guess and at the outside; after the phase before it was pressed.
    before, after
        Numbers of the scans that show it, from 0; ``before`` is None for the baseline.
    """

    phase: Literal["freeze", "thaw"]
    since_s: float
    earliest_s: float
    latest_s: float
    before: int | None
    after: int


def change(
    scans: Sequence[Seen], held: Held, baseline_s: float | None, denied: int | None = None
) -> Change | None:
    """The first change that the scans show since a phase is held; None when they fit it.

    Parameters
    ----------
    scans
        In order of time.
    baseline_s
        When the last scan without ice was taken; None where there is none.
    denied
        Number of the scan up to which a person has said that nothing has changed.
    """
    first = 0 if denied is None else denied
    if not held.frozen and denied is None:
        return _first_ice(scans, held, baseline_s)
    chosen = [
        n for n, scan in enumerate(scans) if n >= first and scan.at_s >= held.since_s + SETTLE_S
    ]
    growing = held.phase != "freeze"
    turn: int | None = None
    for n in chosen:
        volume_ml = scans[n].volume_ml
        if turn is None:
            turn = n
            continue
        extreme_ml = scans[turn].volume_ml
        changed = volume_ml > extreme_ml / SHRUNK if growing else volume_ml < SHRUNK * extreme_ml
        if changed:
            # Ice goes on for a while as before, so it may have begun before the turn was seen.
            earliest_s = max(scans[turn].at_s - SETTLE_S, held.since_s)
            since_s = (scans[turn].at_s + scans[n].at_s) / 2
            phase: Literal["freeze", "thaw"] = "freeze" if growing else "thaw"
            return Change(phase, since_s, earliest_s, scans[n].at_s, turn, n)
        if volume_ml <= extreme_ml if growing else volume_ml >= extreme_ml:
            turn = n
    return None


def _first_ice(scans: Sequence[Seen], held: Held, baseline_s: float | None) -> Change | None:
    """The first freeze: between the last scan without ice and the first with it."""
    if baseline_s is None:
        return None
    earliest_s = max(baseline_s, held.since_s)
    later = [n for n, scan in enumerate(scans) if scan.at_s > earliest_s and scan.volume_ml > 0]
    if not later:
        return None
    one = scans[later[0]]
    since_s = (earliest_s + one.at_s) / 2
    if len(later) > 1:
        two = scans[later[1]]
        grown = two.volume_ml**GROWTH_EXPONENT - one.volume_ml**GROWTH_EXPONENT
        if two.volume_ml > one.volume_ml / SHRUNK:
            back_s = one.volume_ml**GROWTH_EXPONENT * (two.at_s - one.at_s) / grown
            since_s = max(one.at_s - back_s, earliest_s)
    return Change("freeze", since_s, earliest_s, one.at_s, None, later[0])
