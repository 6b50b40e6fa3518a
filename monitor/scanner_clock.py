"""By how much a scanner's clock differs from the service's, as far as what it sends tells.

Scans carry the scanner's time and come at the service's. A scan can't come before it was taken: one
that seems to shows a clock that is ahead, at least by so much. Where several scans of some minutes
come after the same long time, again and again, they came at once, and the clock is behind: a
transfer that was held up brings scans after different times. In between nothing can be told.

What is stored for long (a scan of last year) says nothing about a clock, nor does a batch.
"""

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from dicom_listener.assembled import image_of
from dicom_listener.events import ObjectStored
from monitor.phase_messages import ScannerClock

PROMPT_S: Final = 120.0
"""The promptest of several scans is here within this time of its acquisition: reconstruction takes
seconds, transfer of 500 slices at 20 a second 25 s, and some scanners send a series only when all
of it is reconstructed."""

ALIKE_S: Final = 60.0
"""Scans that come at once come after times that differ by less; monitoring scans are 2 to 3 min
apart (domain facts, 3), so that those of a batch differ by more."""

FARTHEST_S: Final = 15 * 3600.0
"""No clock that is only in another time zone is so far off; more is an old scan or a wrong date."""

REMEMBERED: Final = 5
"""Newest scans that are looked at: a clock that was set right is soon known to be."""

ALIKE_SCANS_AHEAD: Final = 2
ALIKE_SCANS_BEHIND: Final = 3
"""One scan alone may have a wrong date."""

SPAN_S: Final = 180.0
"""Scans that show a clock that is behind were taken over at least this time."""

ZONE_S: Final = 1800.0
"""Time zones differ by whole half-hours (but for Nepal and the Chatham Islands)."""


@dataclass
class _Scan:
    """One series. ``lag_s`` is the least time, on the two clocks, from acquisition to receipt."""

    acquired_at: datetime
    lag_s: float


class ScannerClocks:
    """One clock for each sender of images, by its AE title. Owned by the pipeline's thread.

    Parameters
    ----------
    tolerance_s
        A difference up to this is not worth telling.
    measured
        False where there is nothing to measure: in time-lapsed play, and for folders.
    """

    def __init__(self, tolerance_s: float = 30.0, *, measured: bool = True) -> None:
        self._tolerance_s = tolerance_s
        self._measured = measured
        self._scans: dict[str, dict[str, _Scan]] = defaultdict(dict)
        self._known: dict[str, ScannerClock] = {}

    def take(self, stored: ObjectStored) -> None:
        """An object came; only new images of scans count."""
        header = stored.header
        uid = image_of(header)
        if not self._measured or not uid or header.acquired_at is None or stored.duplicate:
            return
        lag_s = (stored.received_at - header.acquired_at).total_seconds()
        scans = self._scans[stored.calling_ae_title]
        known = scans.get(uid)
        if known is not None:
            known.lag_s = min(known.lag_s, lag_s)
            return
        scans[uid] = _Scan(header.acquired_at, lag_s)
        if len(scans) > REMEMBERED:
            del scans[next(iter(scans))]

    def settle(self, sender: str) -> bool:
        """Look at what has come by now; whether the sender's clock is taken for another one."""
        before = self._known.get(sender)
        bounds = _bounds(list(self._scans[sender].values()))
        sure_s = _nearest_zero(*bounds) if bounds is not None else 0.0
        if bounds is None or abs(sure_s) <= self._tolerance_s:
            self._known.pop(sender, None)
            return before is not None
        low_s, high_s = bounds
        slack_s = self._tolerance_s
        if before is not None and low_s - slack_s <= before.offset_s <= high_s + slack_s:
            return False
        offset_s = _whole_zone(low_s, high_s) or sure_s
        self._known[sender] = ScannerClock(
            sender=sender,
            offset_s=offset_s,
            low_s=low_s,
            high_s=high_s,
            text=f"The scanner's clock is {spoken(offset_s)}.",
        )
        return True

    def known(self, sender: str) -> ScannerClock | None:
        """The sender's clock, where it surely differs."""
        return self._known.get(sender)

    def offset_s(self, sender: str, acquired_at: datetime, received_at: datetime) -> float:
        """What is taken off a scan's time of acquisition, to have it by the service's clock.

        A little more than is known of the clock where the scan would else have come before it was
        taken. Where it would have by more than the tolerance nothing is added: it is not known
        when it was taken, and whoever compares it with its receipt sees so.
        """
        if not self._measured:
            return 0.0
        known = self._known.get(sender)
        offset_s = known.offset_s if known is not None else 0.0
        early_s = (acquired_at - received_at).total_seconds() - offset_s
        return offset_s + early_s if 0 < early_s <= self._tolerance_s else offset_s


def spoken(offset_s: float) -> str:
    """ "about 1 h ahead", "about 7 min behind", "about 40 s ahead"."""
    size = abs(offset_s)
    if size < 120:
        amount = f"{size:.0f} s"
    elif size < 3600 - 60:
        amount = f"{size / 60:.0f} min"
    else:
        hours, minutes = divmod(round(size / 60), 60)
        amount = f"{hours} h {minutes} min" if minutes else f"{hours} h"
    return f"about {amount} {'ahead' if offset_s > 0 else 'behind'}"


def _bounds(scans: list[_Scan]) -> tuple[float, float] | None:
    """Between what the clock is ahead; None where the scans do not tell."""
    possible = [scan for scan in scans if abs(scan.lag_s) < FARTHEST_S]
    if not possible:
        return None
    least_s = min(scan.lag_s for scan in possible)
    alike = [scan for scan in possible if scan.lag_s <= least_s + ALIKE_S]
    times = [scan.acquired_at for scan in alike]
    span_s = (max(times) - min(times)).total_seconds()
    if least_s < 0:
        if len(alike) < ALIKE_SCANS_AHEAD:
            return None
    elif len(alike) < ALIKE_SCANS_BEHIND or span_s < SPAN_S:
        return None
    return -least_s, PROMPT_S - least_s


def _nearest_zero(low_s: float, high_s: float) -> float:
    return low_s if low_s > 0 else min(high_s, 0.0)


def _whole_zone(low_s: float, high_s: float) -> float | None:
    """Whole half-hours within the bounds, if there are any; never none of them."""
    nearest = round((low_s + high_s) / 2 / ZONE_S) * ZONE_S
    return nearest if nearest and low_s <= nearest <= high_s else None
