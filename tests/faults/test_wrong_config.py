"""A wrong configuration stops the start: exit code 2, the key, the mend, and no traceback."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.service import environment

WRONG = [
    pytest.param(
        "dicom:\n  prot: 104\n", {}, ["dicom.prot", "did you mean dicom.port?"], id="a typing error"
    ),
    pytest.param(
        "dicmo:\n  port: 104\n", {}, ["dicmo", "did you mean dicom?"], id="an unknown section"
    ),
    pytest.param(
        "alerts:\n  colour: red\n",
        {},
        ["alerts.colour", "hilum_near_mm", "margin_target_mm"],
        id="a key like none",
    ),
    pytest.param("dicom:\n  port: high\n", {}, ["dicom.port", "integer", "'high'"], id="a word"),
    pytest.param("dicom:\n  port: 70000\n", {}, ["dicom.port", "65535"], id="out of range"),
    pytest.param(
        "web:\n  host: 0.0.0.0\n", {}, ["web.host", "127.0.0.1"], id="the page on the network"
    ),
    pytest.param(
        'structures:\n  hilum_pattern: "(hil"\n',
        {},
        ["structures.hilum_pattern", "regular expression"],
        id="no pattern",
    ),
    pytest.param("dicom: [\n", {}, ["YAML"], id="no YAML"),
    pytest.param("- dicom\n", {}, ["keys and values"], id="a list"),
    pytest.param(
        "",
        {"ICEMARGIN__DICOM__PORT": "x"},
        ["ICEMARGIN__DICOM__PORT: dicom.port", "integer", "'x'"],
        id="the environment",
    ),
]


def serve(config: Path, **overrides: str) -> subprocess.CompletedProcess[str]:
    """``icemargin serve``, which is to end by itself."""
    return subprocess.run(
        [sys.executable, "-m", "monitor.cli", "serve", "--config", str(config)],
        cwd=Path(__file__).parents[2],
        env=environment(**overrides),
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.mark.parametrize(("content", "overrides", "said"), WRONG)
def test_a_wrong_key_stops_the_start(
    tmp_path: Path, content: str, overrides: dict[str, str], said: list[str]
) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(content)
    ended = serve(config, **overrides)
    assert ended.returncode == 2
    assert (str(config) in ended.stderr) == (not overrides)
    for words in said:
        assert words in ended.stderr
    assert "Traceback" not in ended.stderr
    assert list(tmp_path.iterdir()) == [config]


def test_every_wrong_key_is_named(tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text("dicom:\n  prot: 104\nweb:\n  port: -1\n")
    ended = serve(config)
    assert ended.returncode == 2
    assert "dicom.prot" in ended.stderr
    assert "web.port" in ended.stderr


def test_an_absent_file(tmp_path: Path) -> None:
    ended = serve(tmp_path / "none.yaml")
    assert ended.returncode == 2
    assert "none.yaml" in ended.stderr
    assert "Traceback" not in ended.stderr
