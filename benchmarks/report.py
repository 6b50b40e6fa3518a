"""The accuracy of all cases as text: Markdown for people, JSON for comparing commits."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from benchmarks.scoring import CONFIDENTLY_WRONG_MM, CaseScore, DistanceScore, ScanScore, Summary

DIGITS = 3
"""Of every number in the JSON: a micrometre, a thousandth of a share."""

ABSENT = "–"

CAVEAT = (
    "All ice here is simulated. The simulator knows the true ice, so these figures prove that the "
    "path from DICOM files to margins finds what was put in: geometry, registration, segmentation, "
    "distances and their intervals, under the noise, streaks, breathing and blur that the "
    "simulator makes. They do not prove accuracy in patients. Ice ball and segmentation rest on "
    "the same textbook physics of freezing, the streaks are simpler than a scanner's, kidneys move "
    "rigidly, contours are drawn almost without error, and nobody has compared either with ice in "
    "a person. The `real-ct` cases have a real anatomy, but their ice is painted as well."
)

_COLUMNS = (
    "Case",
    "Scans",
    "Refused",
    "Dice mean",
    "Dice min",
    "Margin MAE mm",
    "Margin worst mm",
    "Hilum MAE mm",
    "Hilum worst mm",
    "Truth in interval",
    "Interval width mm",
)
_SCAN_COLUMNS = (
    "Scan",
    "Ice ml",
    "Dice",
    "Margin true mm",
    "Margin measured mm",
    "Error mm",
    "Hilum true mm",
    "Hilum measured mm",
    "Error mm",
    "Surface seen",
)


@dataclass(frozen=True)
class Accuracy:
    """What one run found.

    Attributes
    ----------
    version
        Of icemargin.
    simulator
        Digest of the simulator's sources: figures of two commits compare when it is the same.
    skipped
        Cases that were not run, with the reason.
    failures
        Targets that were missed and cases that broke, a sentence each.
    """

    version: str
    seed: int
    simulator: str
    cases: tuple[CaseScore, ...]
    skipped: tuple[tuple[str, str], ...]
    failures: tuple[str, ...]

    @property
    def overall(self) -> Summary:
        """Over the scans of all cases."""
        return Summary.of([scan for case in self.cases for scan in case.scans])


def as_json(accuracy: Accuracy) -> str:
    """The same keys in the same order from run to run; distances in mm."""
    document = {
        "version": accuracy.version,
        "seed": accuracy.seed,
        "simulator": accuracy.simulator,
        "overall": asdict(accuracy.overall),
        "failures": list(accuracy.failures),
        "skipped": dict(accuracy.skipped),
        "cases": {
            case.name: {
                "summary": asdict(case.summary),
                "misread": list(case.misread),
                "scans": [_scan_document(scan) for scan in case.scans],
            }
            for case in accuracy.cases
        },
    }
    return json.dumps(_rounded(document), indent=1, ensure_ascii=False) + "\n"


def as_markdown(accuracy: Accuracy) -> str:
    """The document: summary, what it proves, and every scan."""
    parts = [
        "# Accuracy on simulated procedures",
        "Written by `make bench`; do not edit. The JSON file beside it is for programs.",
        summary_table(accuracy),
        _remarks(accuracy),
        "## What this proves, and what not",
        CAVEAT,
        "## How it is measured",
        _method(accuracy),
        "## Every scan",
        "*Measured* is the value with its interval; an interval that misses the truth is marked †.",
    ]
    for case in accuracy.cases:
        parts += [f"### {case.name}", f"{case.description[:1].upper()}{case.description[1:]}."]
        parts.append(_table(_SCAN_COLUMNS, [_scan_row(scan) for scan in case.scans]))
    return "\n\n".join(parts) + "\n"


def summary_table(accuracy: Accuracy) -> str:
    """A row a case and one over all, as a Markdown table that is readable on a terminal too."""
    rows = [_summary_row(case.name, case.summary) for case in accuracy.cases]
    rows.append(_summary_row("all", accuracy.overall))
    return _table(_COLUMNS, rows)


def changes(before: str, accuracy: Accuracy) -> str:
    """How the figures moved against a JSON text written before; empty when they did not.

    Text that is no such document counts as none.
    """
    try:
        old: dict[str, Any] = json.loads(before)
        rows = {name: dict(case["summary"]) for name, case in old["cases"].items()}
        rows["all"] = dict(old["overall"])
    except (ValueError, KeyError, TypeError, AttributeError):
        return ""
    lines = []
    now = {case.name: case.summary for case in accuracy.cases} | {"all": accuracy.overall}
    for name, summary in now.items():
        new = _rounded(asdict(summary))
        moved = [
            f"{field} {_plain(rows[name].get(field))} -> {_plain(value)}"
            for field, value in new.items()
            if name in rows and rows[name].get(field) != value
        ]
        if moved:
            lines.append(f"  {name}: {', '.join(moved)}")
    if lines and old.get("simulator") != accuracy.simulator:
        lines.append("  (the simulator has changed as well)")
    return "\n".join(lines)


def _remarks(accuracy: Accuracy) -> str:
    wrong = accuracy.overall.confidently_wrong
    lines = [
        f"Figures shown as measured that are wrong by more than {CONFIDENTLY_WRONG_MM:g} mm: "
        f"{wrong}."
    ]
    lines += [f"Missed: {text}" for text in accuracy.failures]
    lines += [f"Not run: `{name}`, {why}." for name, why in accuracy.skipped]
    for case in accuracy.cases:
        lines += [f"`{case.name}`: {text}" for text in case.misread]
    return "\n".join(f"- {line}" for line in lines)


def _method(accuracy: Accuracy) -> str:
    return (
        f"icemargin {accuracy.version}, seed {accuracy.seed}, simulator `{accuracy.simulator}`. "
        "Each case is one whole procedure written as DICOM files and measured by "
        "`icemargin analyse`, planning, baseline and contours found by it as in service. *Dice* "
        "compares the *Ice ball* segment with the true ice on the scan's voxels. *Margin* and "
        "*hilum* are the signed distances of the measurement; their truth comes from the "
        "simulator's continuous shapes and temperature. *MAE* is the mean absolute error, *worst* "
        "the error of largest size, positive where too much was measured. *Truth in interval* is "
        "the share of all 90 % intervals, of margins and hilum distances together, that hold the "
        "truth. *Refused* scans were not assessable; they count in no other column."
    )


def _summary_row(name: str, s: Summary) -> tuple[str, ...]:
    return (
        name,
        str(s.scans),
        str(s.refused),
        _figure(s.dice_mean, ".3f"),
        _figure(s.dice_min, ".3f"),
        _figure(s.margin_mae_mm, ".2f"),
        _figure(s.margin_worst_mm, "+.2f"),
        _figure(s.hilum_mae_mm, ".2f"),
        _figure(s.hilum_worst_mm, "+.2f"),
        _figure(s.coverage, ".0%"),
        _figure(s.width_mm, ".1f"),
    )


def _scan_row(scan: ScanScore) -> tuple[str, ...]:
    volume = f"{scan.true_volume_ml:.1f}"
    if scan.refused is not None:
        refused = f"refused: {scan.refused}".replace("|", "/")
        return (scan.label, volume, ABSENT, refused, *[ABSENT] * 6)
    return (
        scan.label,
        volume,
        _figure(scan.dice, ".3f"),
        *_distance_cells(scan.margin),
        *_distance_cells(scan.hilum),
        _figure(scan.visible_surface_fraction, ".0%"),
    )


def _distance_cells(distance: DistanceScore | None) -> tuple[str, str, str]:
    if distance is None:
        return ABSENT, ABSENT, ABSENT
    mark = "" if distance.holds else " †"
    return (
        f"{distance.truth_mm:.1f}",
        f"{distance.value_mm:.1f} ({distance.low_mm:.1f} to {distance.high_mm:.1f}){mark}",
        f"{distance.error_mm:+.1f}",
    )


def _scan_document(scan: ScanScore) -> dict[str, Any]:
    return {
        "label": scan.label,
        "true_volume_ml": scan.true_volume_ml,
        "refused": scan.refused,
        "dice": scan.dice,
        "margin": asdict(scan.margin) if scan.margin is not None else None,
        "hilum": asdict(scan.hilum) if scan.hilum is not None else None,
        "visible_surface_fraction": scan.visible_surface_fraction,
    }


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table, padded so that it is one on a terminal too; first column to the left."""
    lines = [tuple(columns), *(tuple(row) for row in rows)]
    widths = [max(len(line[n]) for line in lines) for n in range(len(columns))]
    rule = ["-" * width if n == 0 else "-" * (width - 1) + ":" for n, width in enumerate(widths)]

    def text(cells: Sequence[str]) -> str:
        padded = [
            cell.ljust(width) if n == 0 else cell.rjust(width)
            for n, (cell, width) in enumerate(zip(cells, widths, strict=True))
        ]
        return f"| {' | '.join(padded)} |"

    return "\n".join([text(lines[0]), text(rule), *(text(line) for line in lines[1:])])


def _figure(value: float | None, form: str) -> str:
    return ABSENT if value is None else format(value, form)


def _plain(value: object) -> str:
    return ABSENT if value is None else str(value)


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, DIGITS) + 0.0  # adding zero turns -0.0 into 0.0
    if isinstance(value, dict):
        return {name: _rounded(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(item) for item in value]
    return value
