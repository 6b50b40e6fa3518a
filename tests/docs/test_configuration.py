"""docs/configuration.md names every key with its default, and no other."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from monitor.config import ConfigError, Settings, load
from tests.docs.tables import quoted, read, rows


def keys() -> Iterator[tuple[str, object]]:
    """Every key's path with its default."""
    defaults = Settings.model_construct()
    for section in Settings.model_fields:
        for key, value in getattr(defaults, section).model_dump(mode="json").items():
            yield f"{section}.{key}", value


def documented() -> dict[str, str]:
    found = {}
    for first, default, *_ in rows(read("docs/configuration.md")):
        (key,) = quoted(first)
        assert key not in found, f"{key} is there twice"
        found[key] = "" if default == "*(empty)*" else quoted(default)[0]
    return found


def test_every_key_is_documented_and_every_documented_key_exists() -> None:
    assert set(documented()) == {key for key, _ in keys()}


@pytest.mark.parametrize(("key", "value"), list(keys()))
def test_the_documented_default_is_the_real_one(key: str, value: object) -> None:
    text = documented()[key]
    assert text == value if isinstance(value, str) else json.loads(text) == value


def test_the_documented_variables_override(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ICEMARGIN__DICOM__PORT", "11113")
    monkeypatch.setenv("ICEMARGIN__DICOM__ALLOWED_CALLING_AE_TITLES", '["CT1"]')
    settings = load(Path(__file__).parents[2] / "config.yaml")
    assert settings.dicom.port == 11113
    assert settings.dicom.allowed_calling_ae_titles == ["CT1"]


def test_the_quoted_message_is_what_is_said(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("dicom:\n  prot: 11112\n")
    with pytest.raises(ConfigError) as caught:
        load(path)
    said = str(caught.value).replace(str(tmp_path) + "/", "")
    assert said in read("docs/configuration.md")
