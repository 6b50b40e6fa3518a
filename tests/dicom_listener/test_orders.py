"""What is said in the end does not depend on the order in which things came."""

import random
from collections.abc import Callable

import pytest

from dicom_listener.series import SeriesProgress
from tests.dicom_listener.objects import header, heights
from tests.dicom_listener.story import Story

COUNT = 12
Z_MM = list(heights(COUNT))
NEVER = [Z_MM[-1] + 3.0, Z_MM[-1] + 6.0]
"""Slices that are listed sometimes, and never come."""

Act = Callable[[Story], None]


class Plan:
    """What will happen, in several strands; each strand's acts stay in order."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self.dropped = chance.choice([*Z_MM[1:-1], None, None, None])
        self.coming = [z for z in Z_MM if z != self.dropped]
        self.steps: list[list[float]] = []
        self.requests: list[list[float]] = []
        self.discontinued = False
        self.strands: list[list[Act]] = [*self._transfers(), *self._lists()]

    def _transfers(self) -> list[list[Act]]:
        """Up to three associations; what is aborted is sent again later, as a whole or the rest."""
        z_mm = self.coming * self._chance.choice([1, 1, 2])  # some scanners send twice
        self._chance.shuffle(z_mm)
        count = self._chance.randint(1, 3)
        strands: list[list[Act]] = []
        for n in range(count):
            part = z_mm[n::count]
            name = f"a{n}"
            if self._chance.random() < 0.3:
                cut = self._chance.randrange(len(part))
                strand = [_slice(z, name) for z in part[:cut]] + [_aborted(name)]
                again = part if self._chance.random() < 0.5 else part[cut:]
                strand += [_slice(z, f"{name}r") for z in again] + [_released(f"{name}r")]
            else:
                strand = [_slice(z, name) for z in part]
                strand.append(_released(name))
            strands.append(strand)
        return strands

    def _lists(self) -> list[list[Act]]:
        strands: list[list[Act]] = []
        for _ in range(self._chance.randint(0, 3)):
            named = list(self._chance.choice([Z_MM, self.coming, Z_MM[:5], [*Z_MM, *NEVER]]))
            self._chance.shuffle(named)
            kind = self._chance.choice(["step", "request", "discontinued"])
            if kind == "request":
                self.requests.append(named)
                strands.append([_asked(named)])
            else:
                self.steps += [named] if kind == "step" else []
                self.discontinued |= kind == "discontinued"
                self.requests += [named] if kind == "discontinued" else []  # awaited all the same
                strands.append([_listed(named, discontinued=kind == "discontinued")])
        return strands

    @property
    def expected(self) -> tuple[str, str | None]:
        """Completeness and reason, told from what came, not from its order."""
        made = {z for named in self.steps for z in named}
        here = set(self.coming)
        if self.steps and made == here:
            return ("provisional", "missing_slices") if self.dropped else ("final", None)
        asked = {z for named in self.requests for z in named}
        if (made | asked) - here:
            return "provisional", "listed_images_missing"
        if self.dropped:
            return "provisional", "missing_slices"
        if self.discontinued:
            return "provisional", "discontinued"
        return "final", None

    def tell(self) -> Story:
        """Let it happen, in an order of chance, with pauses."""
        story = Story()
        strands = [list(strand) for strand in self.strands if strand]
        while strands:
            strand = self._chance.choice(strands)
            strand.pop(0)(story)
            strands = [left for left in strands if left]
            if self._chance.random() < 0.1:
                story.pause(self._chance.choice([0.5, 3.5]))
        story.pause(100)
        return story


def _slice(z: float, association: str) -> Act:
    return lambda story: story.slices([z], association=association)


def _released(association: str) -> Act:
    return lambda story: story.released(association)


def _aborted(association: str) -> Act:
    return lambda story: story.aborted(association)


def _listed(named: list[float], *, discontinued: bool) -> Act:
    return lambda story: story.listed(named, discontinued=discontinued)


def _asked(named: list[float]) -> Act:
    return lambda story: story.asked(*(header(z) for z in named))


@pytest.mark.parametrize("seed", range(200))
def test_the_last_word_does_not_depend_on_the_order(seed: int) -> None:
    chance = random.Random(seed)
    plan = Plan(chance)
    for _ in range(5):
        story = plan.tell()
        last = story.ready[-1]
        said = (last.completeness, last.reason.code if last.reason else None)
        assert said == plan.expected, (seed, story.said)
        assert len(last.objects) == len(plan.coming)
        assert [ready.revision for ready in story.ready] == list(range(1, len(story.ready) + 1))
        assert story.assembler.next_deadline() is None
        after = story.outputs[story.outputs.index(last) :]
        assert not any(isinstance(one, SeriesProgress) for one in after)
