"""docs/connecting-a-scanner.md: its commands work, and what it quotes is what the program says."""

import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pydicom.data
import pytest
import yaml
from pydicom.uid import UID

from dicom_listener import ledger
from dicom_listener.counters import Counts, PeerCounts
from monitor.config import load
from monitor.doctor import examine
from monitor.messages import Condition
from monitor.metrics import Metrics
from tests.conftest import needed
from tests.docs.sources import everything_said
from tests.docs.tables import quoted, read, rows, section
from tests.service import RunningService
from tests.waiting import until

TEXT = read("docs/connecting-a-scanner.md")
KNOWN_STATUSES = read("docs/conformance.md")
TLS_PORT = re.compile(r"Listening for DICOM over TLS as \S+ on 127\.0\.0\.1:(\d+)")


FENCED = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$\n", re.MULTILINE | re.DOTALL)
WORDS = quoted(FENCED.sub("", TEXT))
"""All that stands in single backticks."""


def blocks(language: str, text: str = TEXT) -> list[str]:
    """What stands in fences of a language, without what they are indented by."""
    return [
        re.sub(f"^{indent}", "", body, flags=re.MULTILINE)
        for indent, named, body in FENCED.findall(text)
        if named == language
    ]


def here(text: str) -> str:
    """Addresses of this machine in place of the documentation's."""
    return text.replace("192.0.2.5", "127.0.0.1").replace("192.0.2.17", "127.0.0.1")


# What it names


def test_every_log_line_that_it_quotes_is_one_that_is_written() -> None:
    quotes = [quoted(row[1]) for row in rows(section(TEXT, "No association"))]
    sentences = [sentence for found in quotes for sentence in found]
    assert len(sentences) > 10
    assert set(sentences) <= everything_said()


def test_every_status_that_it_names_is_in_the_conformance_statement() -> None:
    statuses = {word for word in WORDS if re.fullmatch("[0-9A-F]{4}", word)}
    assert len(statuses) > 10
    for status in statuses:
        assert f"`{status}`" in KNOWN_STATUSES, status


def test_every_alert_that_it_names_exists() -> None:
    named = {quoted(row[0])[0] for row in rows(section(TEXT, "Alerts"))}
    assert named
    assert named <= set(Condition)
    words = {word for word in WORDS if word in set(Condition)}
    assert words <= named


def test_every_figure_that_it_names_exists() -> None:
    metrics = Metrics().text().decode()
    named = set(re.findall(r"icemargin_\w+", TEXT))
    assert len(named) > 3
    for name in named:
        assert f"# HELP {name} " in metrics, name
    advice = TEXT[TEXT.index("Worth an alarm") :]
    known = {*Counts.__dataclass_fields__, *PeerCounts.__dataclass_fields__}
    known |= {"commitments_pending", "oldest_s"}
    assert {word for word in quoted(advice) if not word.startswith("icemargin_")} <= known


def test_every_key_that_it_names_exists() -> None:
    configuration = read("docs/configuration.md")
    known = {key for row in rows(configuration) for key in quoted(row[0])}
    sections = {key.split(".")[0] for key in known}
    named = {word.split(":")[0] for word in WORDS}
    named = {word for word in named if re.fullmatch(rf"({'|'.join(sections)})\.\w+", word)}
    assert len(named) > 8
    assert named <= known
    for word in ("networks", "certificate_sha256", "tls_required", "services", "idle_s"):
        assert f"`{word}`" in TEXT
        assert f"- `{word}`" in configuration


@pytest.mark.parametrize("example", blocks("yaml"))
def test_every_configuration_that_it_shows_is_taken(example: str, tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(example)
    settings = load(path)
    assert settings.dicom.peers[0].ae_title == "CT1"


def test_the_doctor_says_what_it_shows(tmp_path: Path) -> None:
    (shown,) = (block for block in blocks("") if "BAD  C-ECHO" in block)
    path = tmp_path / "config.yaml"
    # Of a closed port, which is refused.
    path.write_text(here(blocks("yaml")[0]).replace("port: 104", "port: 1"))
    found = list(examine(load(path), []))
    names = [re.sub(r"@.*?:\d+", "", check.name) for check in found]
    lines = re.findall(r"^(?:ok  |BAD |SOON) (.*?): ", shown, re.MULTILINE)
    assert [re.sub(r"@.*", "", line) for line in lines] == [n.removesuffix(")") for n in names]
    assert found[-1].mend in shown
    assert "can't be reached at CT1@" in found[-1].found


def test_the_line_of_the_ledger_is_one(tmp_path: Path) -> None:
    (line,) = (block for block in blocks("") if block.startswith('{"event"'))
    folder = tmp_path / "ledger"
    folder.mkdir()
    (folder / "00000001.jsonl").write_text(line)
    follower = ledger.Follower(tmp_path)
    assert len(follower.read()) == 1
    assert not follower.broken


# What it tells people to type


@pytest.fixture(scope="module")
def programs() -> None:
    for program in ("echoscu", "storescu", "dcmsend"):
        needed(program, "dcmtk")
    needed("openssl", "openssl")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, programs: None) -> Path:
    """Where the page's certificates are made, with a folder of files to send."""
    root = tmp_path_factory.mktemp("laptop")
    for block in blocks("sh", TEXT[TEXT.index("## TLS, step by step") :]):
        if block.startswith(("openssl", "printf")) and "s_client" not in block:
            run(here(block), root)
    (root / "FOLDER").mkdir()
    for name in ("CT_small.dcm", "MR_small_RLE.dcm"):
        source = pydicom.data.get_testdata_file(name)
        assert isinstance(source, str)
        (root / "FOLDER" / name).write_bytes(Path(source).read_bytes())
    return root


@pytest.fixture(scope="module")
def service(folder: Path) -> Iterator[RunningService]:
    """Set up as the page's TLS example says, but for ports; CT1 may also call without TLS."""
    example = yaml.safe_load(here(blocks("yaml")[1]))
    (peer,) = example["dicom"]["peers"]
    assert peer["tls_required"]
    (shown,) = re.findall(r"Fingerprint=(\S+)", run(fingerprint(), folder))
    peer["certificate_sha256"] = [shown]
    plain = peer | {"name": "plain", "tls_required": False, "certificate_sha256": []}
    files = {key: str(folder / name) for key, name in example["tls"].items()}
    sections: dict[str, dict[str, object]] = {
        "dicom": {"port": 0, "peers": [plain, peer]},
        "tls": files | {"port": 0},
    }
    running = RunningService(folder / "service", sections)
    try:
        running.wait_until_up()
        yield running
    finally:
        running.end()


def fingerprint() -> str:
    (block,) = (b for b in blocks("sh") if "-fingerprint" in b)
    return block


def run(command: str, folder: Path) -> str:
    """Run what stands on the page; what it said."""
    done = subprocess.run(
        ["sh", "-e", "-c", command],
        cwd=folder,
        env=os.environ | {"TCP_NODELAY": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}"
    return done.stdout


SUCCESSES = {
    "echoscu": "Received Echo Response (Success)",
    "dcmsend": "with status SUCCESS",
    "storescu": "Received Store Response (Success)",
    "openssl s_client": "Verify return code: 0 (ok)",
}
CALLS = [line for b in blocks("sh") for line in b.splitlines() if line.startswith(tuple(SUCCESSES))]


@pytest.mark.peer
@pytest.mark.parametrize("command", CALLS, ids=lambda c: c.split()[0])
def test_the_call_works(command: str, service: RunningService, folder: Path) -> None:
    tls_port = until(lambda: TLS_PORT.search(service.log), "the port with TLS")[1]
    typed = here(command).replace(" 11112", f" {service.dicom_port}")
    typed = typed.replace(" 2762", f" {tls_port}").replace(":2762", f":{tls_port}")
    assert typed != command
    if typed.startswith("storescu"):  # for uncompressed files, as the page says
        typed = typed.replace("FOLDER", "FOLDER/CT_small.dcm").replace("+sd +r ", "")
    (sentence,) = (ends for start, ends in SUCCESSES.items() if typed.startswith(start))
    assert sentence in run(typed, folder)
    assert typed.startswith("openssl") or sentence in TEXT


@pytest.mark.peer
def test_the_ledger_is_read_as_it_says(service: RunningService, folder: Path) -> None:
    subprocess.run(
        ["echoscu", "-aet", "NOBODY", "-aec", "ICEMARGIN", "127.0.0.1", str(service.dicom_port)],
        capture_output=True,
    )
    run(here("echoscu -aet CT1 -aec ICEMARGIN 192.0.2.5 ") + str(service.dicom_port), folder)
    (block,) = (b for b in blocks("sh") if "data/ledger" in b)
    until(lambda: "AssociationEnded" in run(block, folder / "service"), "the ledger's line")
    said = run(block, folder / "service")
    assert "Nobody called 'NOBODY' may call." in said


@pytest.mark.peer
def test_quarantine_looks_as_it_says(service: RunningService, folder: Path) -> None:
    (shown,) = blocks("json")
    broken = pydicom.dcmread(folder / "FOLDER" / "CT_small.dcm")
    broken.Rows *= 4
    broken.SOPInstanceUID = UID("1.2.3.4.5.6")
    broken.file_meta.MediaStorageSOPInstanceUID = broken.SOPInstanceUID
    broken.save_as(folder / "broken.dcm")
    service_port = str(service.dicom_port)
    subprocess.run(
        ["storescu", "-aet", "CT1", "-aec", "ICEMARGIN", "127.0.0.1", service_port, "broken.dcm"],
        cwd=folder,
        capture_output=True,
    )
    quarantine = folder / "service" / "data" / "quarantine"
    (written,) = until(lambda: list(quarantine.glob("*.json")), "what was refused")
    expected, found = json.loads(shown), json.loads(written.read_text())
    assert list(found) == list(expected)
    for key in ("code", "text", "claims", "calling_ae_title"):
        assert found[key] == expected[key]
    assert written.with_suffix(".dcm").exists()
    assert f"Refused an object from CT1 with status C004: {found['text']}" in service.log
