"""What the documents say in passing: links, commands, targets, statuses, constants."""

import importlib
import re
import subprocess
from pathlib import Path

import pytest

from dicom_listener.events import RefusalCode
from dicom_listener.storing import STATUS
from monitor.cli import parser
from scanner_sim.cases import CASES
from tests.docs.tables import DOCS, ROOT, quoted, read, rows, section

PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted(DOCS.rglob("*.md"))]
NOTICE = "It must not be used to guide treatment."


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def anchors(page: Path) -> set[str]:
    """As a forge makes them from headings."""
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in headings}


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        path, _, anchor = target.partition("#")
        linked = (page.parent / path).resolve() if path else page
        assert linked.exists(), target
        if anchor:
            assert anchor in anchors(linked), target


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_no_page_names_a_place_of_ours(page: Path) -> None:
    """No folder of one machine, and no address but this machine's and the documentation range."""
    text = page.read_text(encoding="utf-8")
    assert not re.search(r"(?<![\w.])/(home|root|work|mnt|Users)/", text)
    for host in re.findall(r"https?://([^/\s:`)]+)", text):
        assert host == "127.0.0.1", host


def test_every_page_is_reached_from_the_readme() -> None:
    seen, waiting = set(), [ROOT / "README.md"]
    while waiting:
        page = waiting.pop()
        seen.add(page)
        for target in re.findall(r"\]\(([^)#\s]+\.md)", page.read_text(encoding="utf-8")):
            linked = (page.parent / target).resolve()
            if linked not in seen:
                waiting.append(linked)
    # accuracy.md is written by the benchmarks.
    assert {p for p in PAGES if p.name != "accuracy.md"} <= seen


def test_pictures_are_small() -> None:
    for picture in DOCS.rglob("*.png"):
        assert picture.stat().st_size <= 300_000, picture.name


def test_the_readme_says_what_this_is_not() -> None:
    words = " ".join(read("README.md").replace("**", "").split())
    for phrase in ("not a medical device", "not CE marked", "not FDA cleared", NOTICE):
        assert phrase in words


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_commands_are_ones_that_the_program_takes(page: Path) -> None:
    blocks = re.findall(r"```sh\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines()]
    lines += [q for q in quoted(page.read_text(encoding="utf-8")) if q.startswith("icemargin ")]
    for line in lines:
        words = re.sub(r"^(\w+=\S+ )*", "", line).replace("…", "").split()
        if words and words[0] == "icemargin" and words[1:2] != ["0.1.0"]:
            taken(words[1:])


def taken(words: list[str]) -> None:
    """Fail unless the command line is understood; a command alone is a mention of it."""
    needed = {"analyse": ["DIR", "--out", "OUT"], "simulate": ["--list"]}
    if len(words) == 1:
        words = [*words, *needed.get(words[0], [])]
    parser().parse_args(words)  # raises SystemExit on an unknown one


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_make_targets_exist(page: Path) -> None:
    makefile = read("Makefile")
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"(?:^|`)make ([a-z]+)", text, re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def test_cases_that_are_named_exist() -> None:
    for page in PAGES:
        for case in re.findall(r"--case ([\w-]+)", page.read_text(encoding="utf-8")):
            assert case in CASES


def test_every_refusal_is_explained_with_its_status() -> None:
    text = section(read("docs/connecting-a-scanner.md"), "C-STORE status")
    documented = {quoted(row[1])[0]: quoted(row[0])[0] for row in rows(text) if quoted(row[1])}
    assert documented == {code: f"{status:04X}" for code, status in STATUS.items()}
    assert set(documented) <= literals(RefusalCode)


def literals(declared: object) -> set[str]:
    arguments = getattr(declared, "__args__", ())
    return {a for a in arguments if isinstance(a, str)}.union(
        *(literals(a) for a in arguments if not isinstance(a, str))
    )


def test_the_constants_of_the_science_are_those_of_the_code() -> None:
    table = list(rows(section(read("docs/science.md"), "Constants")))
    assert len(table) > 10
    for file, constant, value, source in table:
        module = importlib.import_module(f"segmentation.{quoted(file)[0].removesuffix('.py')}")
        found = getattr(module, quoted(constant)[0])
        numbers = [float(part) for part in value.split(",")]
        assert list(found if isinstance(found, tuple) else (found,)) == numbers, constant
        assert source


def test_the_rooms_of_the_readme_are_those_that_exist() -> None:
    table = rows(section(read("README.md"), "How the code is laid out"))
    rooms = {quoted(row[0])[0].rstrip("/") for row in table}
    listed = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, check=True, text=True
    ).stdout
    folders = {line.split("/")[0] for line in listed.splitlines() if "/" in line}
    assert {f for f in folders if not f.startswith(".")} - {"requirements"} <= rooms
