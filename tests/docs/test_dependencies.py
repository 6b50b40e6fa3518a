"""docs/dependencies.md has a line for each dependency, with the licence that it has."""

import json
import re
import tomllib
from importlib.metadata import metadata

import pytest

from tests.docs.tables import ROOT, quoted, read, rows, section

TEXT = read("docs/dependencies.md")
PROJECT = tomllib.loads(read("pyproject.toml"))["project"]
PAGE = json.loads(read("web_ui/package.json"))


def names(requirements: list[str]) -> list[str]:
    return [re.split(r"[\[<>=!~ ]", text, maxsplit=1)[0] for text in requirements]


WANTED = {
    "Runtime": names(PROJECT["dependencies"]),
    "Development": names(PROJECT["optional-dependencies"]["dev"]),
    "The page": [*PAGE["dependencies"], *PAGE["devDependencies"]],
}


@pytest.mark.parametrize("heading", list(WANTED))
def test_each_is_there_with_why_and_licence(heading: str) -> None:
    documented = {quoted(row[0])[0]: row for row in rows(section(TEXT, heading))}
    assert set(documented) == set(WANTED[heading])
    for _, why, considered, licence in documented.values():
        assert why
        assert considered
        assert licence


@pytest.mark.parametrize("name", WANTED["Runtime"] + WANTED["Development"])
def test_the_licence_is_the_one_of_the_package(name: str) -> None:
    (licence,) = [row[3] for row in rows(TEXT) if quoted(row[0]) == [name]]
    about = metadata(name).json
    classifiers = [c for c in about.get("classifier", []) if c.startswith("License")]
    stated = [about.get("license_expression", ""), about.get("license", ""), *classifiers]
    said = " ".join(str(part) for part in stated)
    family = re.match(r"[A-Za-z]+", licence)
    assert family is not None
    aliases = {"BSD": "BSD|Redistribution and use"}
    assert re.search(aliases.get(family.group(), family.group()), said), said[:200]


def test_the_lock_files_hold_no_registry() -> None:
    for path in sorted((ROOT / "requirements").glob("*.txt")):
        assert "://" not in path.read_text(encoding="utf-8"), path.name
    assert '"resolved": "http' not in read("web_ui/package-lock.json")
