"""What the scanner itself says that a series consists of.

Two services tell: a performed procedure step names the images of each of its series when it is
over, and a request for storage commitment names images, but not their series. Either may come
before, amid or after the images.
"""

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from typing import Final, Literal

ListEvidence = Literal["mpps", "commitment"]

MAXIMUM_INSTANCES: Final = 200_000
"""Instances that are remembered over all lists; beyond this the oldest lists are dropped. A long
procedure has some 20 scans of 300 slices."""

MAXIMUM_LISTS: Final = 5000
"""The same for the lists themselves: some scanners ask for commitment image by image."""

_Key = tuple[ListEvidence, frozenset[str], bool, frozenset[str]]


@dataclass(eq=False)
class _List:
    evidence: ListEvidence
    named: frozenset[str]
    awaited: set[str]
    """Those that have not come, as a slice or as anything else."""
    discontinued: bool
    told: frozenset[str]
    """Series that it was known to be of when it came."""
    series: set[str] = field(default_factory=set)
    """Series that some of it are known to belong to."""

    @property
    def key(self) -> _Key:
        return self.evidence, self.named, self.discontinued, self.told


@dataclass(frozen=True)
class Missing:
    """Images of a series that a list names and that have not come.

    Attributes
    ----------
    count, listed
        How many, of how many.
    evidence
        By which list; those of a commitment may belong to another series that it names.
    """

    count: int
    listed: int
    evidence: ListEvidence


class Lists:
    """All lists that are remembered, and what is still awaited of them."""

    def __init__(self, maximum_instances: int = MAXIMUM_INSTANCES) -> None:
        self._maximum = maximum_instances
        self._lists: dict[_Key, _List] = {}
        self._instances = 0
        self._of: dict[str, list[_List]] = {}
        self._awaiting: dict[str, list[_List]] = {}

    def add(
        self,
        evidence: ListEvidence,
        named: Collection[str],
        series: Iterable[str],
        has_come: Callable[[str], bool],
        *,
        discontinued: bool = False,
    ) -> bool:
        """Remember a list; false when it was known, or says nothing.

        Parameters
        ----------
        series
            The series that it is of, as far as that is known.
        has_come
            Whether an instance was received before.
        discontinued
            The step was broken off: a list of what was made until then.
        """
        names, of = frozenset(named), frozenset(series)
        one = _List(evidence, names, {uid for uid in names if not has_come(uid)}, discontinued, of)
        if one.key in self._lists or not (names or discontinued):
            return False
        self._lists[one.key] = one
        self._instances += len(names)
        for uid in one.awaited:
            self._awaiting.setdefault(uid, []).append(one)
        for series_uid in of:
            self._attach(one, series_uid)
        while self._instances > self._maximum or len(self._lists) > MAXIMUM_LISTS:
            self._drop(next(iter(self._lists.values())))
        return True

    def came(self, instance_uid: str, series_uid: str | None) -> set[str]:
        """An instance was received; the series for which nothing of a list is awaited any more.

        ``series_uid`` is None for one that is no slice.
        """
        complete: set[str] = set()
        for one in self._awaiting.pop(instance_uid, ()):
            one.awaited.discard(instance_uid)
            if series_uid is not None and one.evidence == "commitment":
                self._attach(one, series_uid)
            if not one.awaited:
                complete |= one.series
        return complete

    def expected(self, series_uid: str) -> int | None:
        """How many images a performed procedure step lists for the series."""
        steps = [one.named for one in self._of.get(series_uid, ()) if one.evidence == "mpps"]
        return len(steps[0] if len(steps) == 1 else frozenset().union(*steps)) or None

    def missing(self, series_uid: str, held: Collection[str]) -> Missing | None:
        """What the lists name beyond what has come, if anything."""
        lists = [one for one in self._of.get(series_uid, ()) if one.awaited]
        if not lists or self.complete(series_uid, held) == "mpps":
            return None
        evidence: ListEvidence = (
            "mpps" if any(a.evidence == "mpps" for a in lists) else "commitment"
        )
        told = [one for one in lists if one.evidence == evidence]
        awaited = set[str]().union(*(one.awaited for one in told))
        named = set[str]().union(*(one.named for one in told))
        here = sum(uid in named for uid in held)
        return Missing(len(awaited), here + len(awaited), evidence)

    def complete(self, series_uid: str, held: Collection[str]) -> ListEvidence | None:
        """Which list says that what is held is all there is.

        Every instance that is listed has come, and every one that is held is listed. A list that
        names less than what is held is of a part of the series: it says nothing about the rest,
        neither for nor against. The steps of one series are taken together; of commitments, which
        some scanners ask for image by image, one must name all.
        """
        lists = self._of.get(series_uid, ())
        steps = [one for one in lists if one.evidence == "mpps" and not one.discontinued]
        made = frozenset[str]().union(*(one.named for one in steps))
        if steps and not any(one.awaited for one in steps) and _all_in(held, made):
            return "mpps"
        if any(one.awaited for one in lists):
            return None
        requests = (one.named for one in lists if one.evidence == "commitment")
        return "commitment" if any(_all_in(held, named) for named in requests) else None

    def discontinued(self, series_uid: str) -> bool:
        """Whether a step that made some of the series was broken off."""
        return any(one.discontinued for one in self._of.get(series_uid, ()))

    def drop_parts(self, series_uid: str, held: Collection[str]) -> None:
        """Let go of commitments for less than what is held: they can't come to say anything."""
        for one in list(self._of.get(series_uid, ())):
            if one.evidence == "commitment" and not one.awaited and len(one.named) < len(held):
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
        del self._lists[one.key]
        self._instances -= len(one.named)
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
