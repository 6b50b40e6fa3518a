"""What the scanner itself says that a series consists of.

Two services tell: a performed procedure step names the images of each of its series when it is
over, and a request for storage commitment names images, but not their series. Either may come
before, amid or after the images. Each is weighed for a series only when the same calling AE title
has carried some of that series: nobody speaks for another's images.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from typing import Final, Literal

ListEvidence = Literal["mpps", "commitment"]

MAXIMUM_INSTANCES: Final = 200_000
"""Instances that are remembered over all lists of one caller, those of steps and those of
commitments each by themselves; beyond this the oldest lists are dropped. A long procedure has some
20 scans of 300 slices."""

MAXIMUM_LISTS: Final = 5000
"""The same for the lists themselves: some scanners ask for commitment image by image."""

_Key = tuple[frozenset[str], bool, frozenset[str]]


@dataclass(eq=False)
class _List:
    evidence: ListEvidence
    caller: str
    """Calling AE title."""
    named: frozenset[str]
    discontinued: bool
    told: frozenset[str]
    """Series that it was known to be of when it came."""
    awaited: set[str] = field(default_factory=set)
    """Those that have not come, as a slice or as anything else."""
    images_of: dict[str, str] = field(default_factory=dict)
    """Series of each that has come as an image of a scan, be it a slice or not."""
    series: set[str] = field(default_factory=set)
    """Series that some of it are known to belong to."""

    @property
    def key(self) -> _Key:
        return self.named, self.discontinued, self.told

    def no_slices(self, series_uid: str, held: Collection[str]) -> set[str]:
        """Images of the series that have come, and are none of the slices that are held."""
        return {uid for uid, of in self.images_of.items() if of == series_uid and uid not in held}


@dataclass(frozen=True)
class Missing:
    """Images of a series that a list names and that its volume lacks.

    Attributes
    ----------
    count, listed
        How many, of how many.
    evidence
        By which list; of those of a commitment that have not come, it is not known whether they
        belong to this series or to another that it names.
    """

    count: int
    listed: int
    evidence: ListEvidence


@dataclass(frozen=True)
class Told:
    """What the lists say of one series with the slices that are held of it."""

    _series_uid: str
    _held: Collection[str]
    _lists: tuple[_List, ...]

    @property
    def expected(self) -> int | None:
        """How many images a performed procedure step lists for the series."""
        steps = [one.named for one in self._lists if one.evidence == "mpps"]
        return len(steps[0] if len(steps) == 1 else frozenset().union(*steps)) or None

    @property
    def missing(self) -> Missing | None:
        """What the lists name beyond what has come, if anything."""
        if not any(one.awaited for one in self._lists) or self.complete == "mpps":
            return None
        return self._lacking([one.awaited for one in self._lists])

    @property
    def unmeasured(self) -> Missing | None:
        """Images of the series that the lists name, and that came as no slice that is measured."""
        return self._lacking([one.no_slices(self._series_uid, self._held) for one in self._lists])

    @property
    def complete(self) -> ListEvidence | None:
        """Which list says that what is held is all there is.

        Every instance that is listed has come, and every one that is held is listed. A list that
        names less than what is held is of a part of the series: it says nothing about the rest,
        neither for nor against. The steps of one series are taken together; of commitments, which
        some scanners ask for image by image, one must name all.
        """
        steps = [one for one in self._lists if one.evidence == "mpps" and not one.discontinued]
        made = frozenset[str]().union(*(one.named for one in steps))
        if steps and not any(one.awaited for one in steps) and _all_in(self._held, made):
            return "mpps"
        if any(one.awaited for one in self._lists):
            return None
        requests = (one.named for one in self._lists if one.evidence == "commitment")
        return "commitment" if any(_all_in(self._held, named) for named in requests) else None

    @property
    def discontinued(self) -> bool:
        """Whether a step that made some of the series was broken off."""
        return any(one.discontinued for one in self._lists)

    def _lacking(self, lacked_by: list[set[str]]) -> Missing | None:
        """Of each list what is lacking; of those where something is, the strongest count."""
        lacking = [pair for pair in zip(self._lists, lacked_by, strict=True) if pair[1]]
        if not lacking:
            return None
        steps = any(one.evidence == "mpps" for one, _ in lacking)
        evidence: ListEvidence = "mpps" if steps else "commitment"
        lacked, named = set[str](), set[str]()
        for one, uids in lacking:
            if one.evidence == evidence:
                lacked |= uids
                named |= one.named
        here = sum(uid in named for uid in self._held)
        return Missing(len(lacked), here + len(lacked), evidence)


class Lists:
    """All lists that are remembered, and what is still awaited of them."""

    def __init__(self, maximum_instances: int = MAXIMUM_INSTANCES) -> None:
        self._maximum = maximum_instances
        self._lists: dict[tuple[str, ListEvidence], dict[_Key, _List]] = {}
        """By caller, so that none pushes out another's, nor a commitment a step's."""
        self._instances: Counter[tuple[str, ListEvidence]] = Counter()
        self._of: dict[str, list[_List]] = {}
        self._awaiting: dict[str, list[_List]] = {}

    def add(
        self,
        evidence: ListEvidence,
        caller: str,
        named: Collection[str],
        series: Iterable[str],
        came_as: Callable[[str], str | None],
        *,
        discontinued: bool = False,
    ) -> bool:
        """Remember a list; false when it was known, or says nothing.

        Parameters
        ----------
        caller
            Calling AE title.
        series
            The series that it is of, as far as that is known.
        came_as
            Of an instance that was received before, the series that it is an image of, empty when
            it is none of a scan; None for one that was not.
        discontinued
            The step was broken off: a list of what was made until then.
        """
        one = _List(evidence, caller, frozenset(named), discontinued, frozenset(series))
        source = caller, evidence
        own = self._lists.get(source, {})
        if one.key in own or not (named or discontinued):
            return False
        self._lists.setdefault(source, own)[one.key] = one
        self._instances[source] += len(one.named)
        for uid in one.named:
            of = came_as(uid)
            if of is None:
                one.awaited.add(uid)
                self._awaiting.setdefault(uid, []).append(one)
            elif of:
                one.images_of[uid] = of
        for series_uid in one.told:
            self._attach(one, series_uid)
        while self._instances[source] > self._maximum or len(own) > MAXIMUM_LISTS:
            self._drop(next(iter(own.values())))
        return True

    def came(self, instance_uid: str, series_uid: str) -> set[str]:
        """An instance was received; the series for which nothing of a list is awaited any more.

        ``series_uid`` is empty for one that is no image of a scan.
        """
        complete: set[str] = set()
        for one in self._awaiting.pop(instance_uid, ()):
            one.awaited.discard(instance_uid)
            if series_uid:
                one.images_of[instance_uid] = series_uid
                if one.evidence == "commitment":
                    self._attach(one, series_uid)
            if not one.awaited:
                complete |= one.series
        return complete

    def of(self, series_uid: str, held: Collection[str], callers: Collection[str]) -> Told:
        """What the lists of these callers say of a series, with the slices that are held of it."""
        lists = self._of.get(series_uid, ())
        return Told(series_uid, held, tuple(one for one in lists if one.caller in callers))

    def drop_parts(self, series_uid: str, held: Collection[str]) -> None:
        """Let go of commitments for less than what is held: they can't come to say anything."""
        for one in list(self._of.get(series_uid, ())):
            part = one.evidence == "commitment" and len(one.named) < len(held)
            if part and not one.awaited and not one.no_slices(series_uid, held):
                _remove(self._of, series_uid, one)
                one.series.discard(series_uid)
                if not one.series:
                    self._drop(one)

    def forget(self, series_uid: str) -> None:
        """The series is not remembered any more."""
        for one in self._of.pop(series_uid, ()):
            one.series.discard(series_uid)
            if not one.series:
                self._drop(one)

    def _attach(self, one: _List, series_uid: str) -> None:
        if series_uid not in one.series:
            one.series.add(series_uid)
            self._of.setdefault(series_uid, []).append(one)

    def _drop(self, one: _List) -> None:
        source = one.caller, one.evidence
        del self._lists[source][one.key]
        self._instances[source] -= len(one.named)
        if not self._lists[source]:
            del self._lists[source], self._instances[source]
        for uid in one.awaited:
            _remove(self._awaiting, uid, one)
        for series_uid in one.series:
            _remove(self._of, series_uid, one)


def _all_in(held: Collection[str], named: frozenset[str]) -> bool:
    return len(held) <= len(named) and all(uid in named for uid in held)


def _remove(lists: dict[str, list[_List]], key: str, one: _List) -> None:
    lists[key].remove(one)
    if not lists[key]:
        del lists[key]
