"""Reads our own Markdown, so that documents can be compared with the code."""

import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"

_CELL = re.compile(r"(?<!\\)\|")


def read(name: str) -> str:
    """A document by its path from the root."""
    return (ROOT / name).read_text(encoding="utf-8")


def section(text: str, heading: str) -> str:
    """What stands under a heading of any level, up to the next heading of any level."""
    found = re.search(
        rf"^#+ {re.escape(heading)}$\n(.*?)(?=^#+ |\Z)", text, re.MULTILINE | re.DOTALL
    )
    assert found is not None, f"there is no heading {heading!r}"
    return found.group(1)


def rows(text: str) -> Iterator[list[str]]:
    """The cells of all tables' rows, without their heads; ``\\|`` is a bar in a cell."""
    lines = text.splitlines()
    for n, line in enumerate(lines):
        is_head = n + 1 < len(lines) and lines[n + 1].startswith("|--")
        if line.startswith("|") and not line.startswith("|--") and not is_head:
            yield [cell.strip().replace(r"\|", "|") for cell in _CELL.split(line)[1:-1]]


def quoted(cell: str) -> list[str]:
    """What stands in backticks."""
    return re.findall(r"`([^`]+)`", cell)


def replaced(document: str, name: str, content: str) -> str:
    """A document with what stands between the marks of that name written anew."""
    begin, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->"
    before, _, rest = document.partition(begin)
    _, _, after = rest.partition(end)
    assert before, f"{name} is not in the document"
    assert after, f"{name} has no end in the document"
    return f"{before}{begin}{content}{end}{after}"


def write(name: str, text: str) -> None:
    """Write a document by its path from the root."""
    (ROOT / name).write_text(text, encoding="utf-8")
