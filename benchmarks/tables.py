"""Markdown tables that are readable on a terminal too."""

from collections.abc import Iterable, Sequence
from typing import Any

ABSENT = "–"
DIGITS = 3
"""Of every number in the JSON: a micrometre, a thousandth of a share."""


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Padded; first column to the left."""
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


def figure(value: float | None, form: str) -> str:
    """A number or a dash."""
    return ABSENT if value is None else format(value, form)


def rounded(value: Any) -> Any:
    """Every number of a JSON document to ``DIGITS``."""
    if isinstance(value, float):
        return round(value, DIGITS) + 0.0  # adding zero turns -0.0 into 0.0
    if isinstance(value, dict):
        return {name: rounded(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(item) for item in value]
    return value
