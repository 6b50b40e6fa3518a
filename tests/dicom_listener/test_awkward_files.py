"""docs/awkward-files.md says what comes of each case and of each file, and it is so."""

import logging
from collections.abc import Iterator, Mapping
from fnmatch import fnmatch
from pathlib import Path
from typing import Final

import data_store  # type: ignore[import-untyped]  # pydicom-data
import pydicom
import pytest

from dicom_listener.headers import HeaderError, read_header
from dicom_listener.images import PixelError
from dicom_listener.pixels import read_slice
from tests.dicom_listener import test_anatomy, test_multi_frame
from tests.dicom_listener.anatomy import refusal
from tests.docs.tables import quoted, read, rows, section

TEXT: Final = read("docs/awkward-files.md")

PACKAGES: Final = (
    Path(pydicom.__file__).parent / "data" / "test_files",
    Path(pydicom.__file__).parent / "data" / "charset_files",
    Path(data_store.__file__).parent / "data",
)

CASES: Final[dict[str, Mapping[str, str]]] = {
    "How slices lie": {
        **dict.fromkeys(test_anatomy.LAYOUTS, "measured"),
        **{name: code for name, (_, code) in test_anatomy.NO_VOLUME.items()},
        **dict.fromkeys(test_anatomy.TWICE, "several_acquisitions"),
    },
    "How pixels are stored": {
        **dict.fromkeys(test_anatomy.WORDS, "measured"),
        **{name: code for name, (_, code) in test_anatomy.REFUSED.items()},
    },
    "Scans in one object": {name: code for name, (_, code) in test_multi_frame.FAULTS.items()},
}
"""By heading: each case of the tests, and what comes of it."""


@pytest.mark.parametrize("heading", CASES)
def test_every_case_is_told(heading: str) -> None:
    told = {name: outcome.strip("`") for name, outcome in rows(section(TEXT, heading))}
    assert told == CASES[heading]


def outcome(path: Path) -> str:
    """What becomes of a file that is sent, or found in a folder."""
    try:
        read_header(path)
        read_slice(path)
    except HeaderError as error:
        return f"refused: `{error.code}`"
    except PixelError as error:
        return f"kept: `{error.code}`"
    return "read"


def shipped() -> Iterator[tuple[str, Path]]:
    """Files of the packages, by their path in them."""
    for root in PACKAGES:
        for path in sorted(root.rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts and path.suffix != ".py":
                yield path.relative_to(root).as_posix(), path


@pytest.mark.filterwarnings("ignore")
def test_what_packages_ship(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL)
    table = [
        (quoted(files), told) for files, _, told in rows(section(TEXT, "Files that packages ship"))
    ]
    used: set[int] = set()
    wrong = []
    for name, path in shipped():
        row = next(
            n for n, (patterns, _) in enumerate(table) if any(fnmatch(name, p) for p in patterns)
        )
        used.add(row)
        if outcome(path) != table[row][1]:
            wrong.append((name, outcome(path)))
    assert wrong == []
    assert used == set(range(len(table)))


@pytest.mark.shared_data
def test_public_collections(awkward: Path) -> None:
    wrong, seen = [], 0
    for pattern, _, told in rows(section(TEXT, "Files of public collections")):
        for place in awkward.glob(quoted(pattern)[0]):
            seen += 1
            found = refusal([place] if place.is_file() else sorted(place.glob("*.dcm")))
            if found != told.strip("`"):
                wrong.append((place.name, found))
    assert wrong == []
    assert seen > 20
