"""The configuration: what we ship says what is built in, and what is wrong is named."""

import os
import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml

from monitor.config import ConfigError, Settings, load

SHIPPED = Path(__file__).parents[2] / "config.yaml"
SHARED_COMMENT = {"port"}
"""The comment above ``host`` is about both."""


@pytest.fixture(autouse=True)
def _no_overrides(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("ICEMARGIN__"):
            monkeypatch.delenv(name)


def write(folder: Path, text: str) -> Path:
    """A config.yaml."""
    path = folder / "config.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_what_we_ship_is_what_is_built_in() -> None:
    shipped: dict[str, Any] = yaml.safe_load(SHIPPED.read_text(encoding="utf-8"))
    built_in = Settings().model_dump(mode="json")
    assert shipped == built_in
    assert load(SHIPPED).model_dump() == Settings().model_dump()


def test_every_key_has_a_comment_above_it() -> None:
    lines = SHIPPED.read_text(encoding="utf-8").splitlines()
    bare = []
    for before, line in pairwise(lines):
        key = re.match(r"  (\w+):", line)
        if key and not before.strip().startswith("#") and key[1] not in SHARED_COMMENT:
            bare.append(key[1])
    assert bare == []


def test_no_file_is_the_defaults() -> None:
    assert load(None).model_dump() == Settings().model_dump()


def test_an_empty_file_is_the_defaults(tmp_path: Path) -> None:
    assert load(write(tmp_path, "")).model_dump() == Settings().model_dump()


def test_the_environment_goes_before_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ICEMARGIN__DICOM__PORT", "104")
    monkeypatch.setenv("ICEMARGIN__ALERTS__HILUM_NEAR_MM", "7.5")
    settings = load(write(tmp_path, "dicom:\n  port: 2\n  ae_title: ROOM2\n"))
    assert settings.dicom.port == 104
    assert settings.dicom.ae_title == "ROOM2"
    assert settings.alerts.hilum_near_mm == 7.5


def test_the_journal_lies_in_the_directory_unless_told_otherwise(tmp_path: Path) -> None:
    settings = load(write(tmp_path, "storage:\n  directory: /srv/ice\n"))
    assert settings.database_url == "sqlite:////srv/ice/journal.sqlite"
    settings = load(write(tmp_path, "storage:\n  database_url: postgresql://db/ice\n"))
    assert settings.database_url == "postgresql://db/ice"


def test_no_protocol_is_one_too(tmp_path: Path) -> None:
    assert load(write(tmp_path, "procedure:\n  protocol: []\n")).procedure.steps == []
    steps = load(None).procedure.steps
    assert [(step.phase, step.planned_s) for step in steps] == [
        ("freeze", 600),
        ("thaw", 480),
        ("freeze", 600),
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("dicom:\n  ae_title: ''\n", "dicom.ae_title"),
        ("dicom:\n  ae_title: SEVENTEEN-LETTERS\n", "dicom.ae_title"),
        ("dicom:\n  allowed_calling_ae_titles: [CT1, 'A\\B']\n", "allowed_calling_ae_titles.1"),
        ("dicom:\n  series_quiet_s: 0\n", "dicom.series_quiet_s"),
        ("dicom: 104\n", "dicom"),
        ("dicom:\n", "dicom"),
        ("web:\n  host: 192.168.1.4\n", "web.host"),
        ("web:\n  host: example.org\n", "web.host"),
        ("analysis:\n  workers: 0\n", "analysis.workers"),
        ("alerts:\n  hilum_near_mm: -1\n", "alerts.hilum_near_mm"),
        ("alerts:\n  hilum_near_mm: .nan\n", "alerts.hilum_near_mm"),
        ("alerts:\n  scan_overdue_s: .inf\n", "alerts.scan_overdue_s"),
        ("structures:\n  tumour_pattern: '['\n", "structures.tumour_pattern"),
        ("procedure:\n  protocol: [boil 10]\n", "procedure.protocol.0"),
        ("procedure:\n  protocol: [freeze 10, thaw]\n", "procedure.protocol.1"),
        ("procedure:\n  protocol: [freeze 0]\n", "procedure.protocol.0"),
        ("procedure:\n  protocol: [freeze 61]\n", "procedure.protocol.0"),
        ("procedure:\n  protocol: [thaw 8]\n", "protocol: freeze comes first"),
        ("procedure:\n  protocol: [freeze 10, freeze 10]\n", "freeze and thaw take turns"),
        ("procedure:\n  clock_tolerance_s: 1\n", "procedure.clock_tolerance_s"),
    ],
)
def test_a_wrong_value_is_named(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(said)):
        load(write(tmp_path, text))


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "::1", "localhost"])
def test_the_page_may_be_on_this_machine(tmp_path: Path, host: str) -> None:
    assert load(write(tmp_path, f"web:\n  host: '{host}'\n")).web.host == host


def test_an_unknown_name_in_the_environment_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ICEMARGIN__DICOM__PROT", "104")
    with pytest.raises(ConfigError, match=re.escape("dicom.prot: there is no such key")):
        load(None)


def test_an_unknown_section_in_the_environment_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ICEMARGIN__DICMO__PORT", "104")
    with pytest.raises(ConfigError, match="dicmo"):
        load(None)


def test_an_open_address_needs_known_callers(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("dicom: {host: 0.0.0.0}\n")
    with pytest.raises(ConfigError, match=r"dicom: who may send must be named"):
        load(path)
    path.write_text("dicom: {host: 0.0.0.0, allowed_calling_ae_titles: [CT1]}\n")
    assert load(path).dicom.allowed_calling_ae_titles == ["CT1"]


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("ICEMARGIN__DICOM__PORT", "70000", "dicom.port: Input should be less than"),
        ("icemargin__dicom__port", "x", "dicom.port: Input should be a valid integer"),
        ("ICEMARGIN__DICOM__PORT__X", "1", "dicom.port: "),
        ("ICEMARGIN__DICOM__PEERS", "[CT1", "dicom.peers: must be JSON"),
        ("ICEMARGIN__DICOM", "CT1", "dicom: must be JSON"),
        ("ICEMARGIN__DICOM__ALLOWED_CALLING_AE_TITLES", "CT1", "must be JSON"),
        (
            "ICEMARGIN__ARCHIVE__NODES",
            '[{"name": "A", "ae_title": "A", "host": "h", "port": 0}]',
            "archive.nodes.0.port: ",
        ),
    ],
)
def test_a_wrong_variable_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, said: str
) -> None:
    """And not the file, in which nothing is to be mended."""
    monkeypatch.setenv(variable, value)
    with pytest.raises(ConfigError) as raised:
        load(write(tmp_path, "dicom: {ae_title: OURS}\n"))
    assert str(raised.value).startswith(f"{variable}: ")
    assert said in str(raised.value)
    assert "config.yaml" not in str(raised.value)
