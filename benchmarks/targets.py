"""What the figures must come to, and whether they do."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from benchmarks.interval import CONFIDENTLY_WRONG_MM
from benchmarks.scoring import CaseScore
from benchmarks.summary import BIG_ICE_ML, REGISTRATION_GOAL_MM, Summary

COLUMNS: Final = ("all", "tuning", "test", "fresh")


@dataclass(frozen=True)
class Columns:
    """The same figures over all cases and over each part.

    Attributes
    ----------
    tuning
        What constants were set on.
    test
        What was held out.
    fresh
        The cases of ``test`` with another seed, looked at after everything was mended.
    """

    all: Summary
    tuning: Summary
    test: Summary
    fresh: Summary

    @staticmethod
    def of(cases: Sequence[CaseScore]) -> "Columns":
        """By the cases' parts."""
        return Columns(
            all=Summary.of([s for c in cases for s in c.scans]),
            tuning=Summary.of([s for c in cases if c.part == "tuning" for s in c.scans]),
            test=Summary.of([s for c in cases if c.part == "test" for s in c.scans]),
            fresh=Summary.of([s for c in cases if c.part == "fresh" for s in c.scans]),
        )


@dataclass(frozen=True)
class Target:
    """One limit.

    Attributes
    ----------
    value
        Takes it from a summary; None where nothing was measured.
    least
        Whether the limit is the least value rather than the greatest.
    form
        Of the value in a table.
    """

    name: str
    value: Callable[[Summary], float | None]
    limit: float
    form: str
    least: bool = False

    def met(self, summary: Summary) -> bool | None:
        """None where nothing was measured."""
        value = self.value(summary)
        if value is None:
            return None
        return value >= self.limit if self.least else value <= self.limit

    @property
    def limit_text(self) -> str:
        """As it stands in the table."""
        return f"{'≥' if self.least else '≤'} {self.limit:{self.form}}"


TARGETS: Final = (
    Target(
        f"Dice, mean (ice over {BIG_ICE_ML:g} ml)",
        lambda s: s.big_dice_mean,
        0.93,
        ".3f",
        least=True,
    ),
    Target(
        f"Dice, worst (ice over {BIG_ICE_ML:g} ml)",
        lambda s: s.big_dice_min,
        0.85,
        ".3f",
        least=True,
    ),
    Target("Mean surface distance, mm", lambda s: s.surface_mm, 1.0, ".2f"),
    Target("Margin, mean absolute error, mm", lambda s: s.margin_mae_mm, 1.0, ".2f"),
    Target("Margin, 95th percentile, mm", lambda s: s.margin_p95_mm, 2.5, ".2f"),
    Target("Hilum, mean absolute error, mm", lambda s: s.hilum_mae_mm, 1.0, ".2f"),
    Target("Hilum, 95th percentile, mm", lambda s: s.hilum_p95_mm, 2.5, ".2f"),
    Target("Intervals that hold the truth", lambda s: s.coverage, 0.9, ".1%", least=True),
    Target("Width of the intervals, mean, mm", lambda s: s.width_mm, 5.0, ".2f"),
    Target("Scans refused", lambda s: s.refused / s.scans if s.scans else None, 0.1, ".1%"),
    Target(
        f"Registration right to {REGISTRATION_GOAL_MM:g} mm at the tumour",
        lambda s: s.registered,
        0.95,
        ".1%",
        least=True,
    ),
    Target("Margin forecast 3 min ahead, mean error, mm", lambda s: s.forecast_mae_mm, 1.5, ".2f"),
    Target(
        f"Figures wrong by over {CONFIDENTLY_WRONG_MM:g} mm",
        lambda s: s.confidently_wrong if s.scans else None,
        0,
        ".0f",
    ),
)

LEAST_CASES, LEAST_SCANS, LEAST_REAL = 12, 60, 3
"""Cases, scans, and cases whose anatomy is a real CT, that the targets speak of."""


def missed(cases: Sequence[CaseScore]) -> list[str]:
    """A sentence for each target that is missed, and where; and for each case with no figure."""
    columns = Columns.of(cases)
    texts = []
    for target in TARGETS:
        for name in COLUMNS:
            summary: Summary = getattr(columns, name)
            if target.met(summary) is False:
                value = target.value(summary)
                texts.append(f"{target.name}: {value:{target.form}} ({name}), {target.limit_text}.")
    texts += [
        f"{case.name}: not one of {case.summary.scans} scans was measured."
        for case in cases
        if case.scans and case.summary.dice_mean is None
    ]
    return texts


def short_of(cases: Sequence[CaseScore]) -> list[str]:
    """What is lacking for the targets to be spoken of at all: cases, scans, real anatomies."""
    real = sum(case.source == "ct" for case in cases)
    scans = sum(len(case.scans) for case in cases)
    counted = (
        ("cases", len(cases), LEAST_CASES),
        ("scans", scans, LEAST_SCANS),
        ("cases with a real CT as anatomy", real, LEAST_REAL),
    )
    return [f"{have} {what}, at least {least}." for what, have, least in counted if have < least]
