"""The page's types are made from what the service really serves."""

import json
from pathlib import Path

from monitor.openapi import document

PAGE_SOURCES = Path(__file__).parents[2] / "web_ui"


def test_the_pages_description_is_the_services() -> None:
    written = json.loads((PAGE_SOURCES / "openapi.json").read_text())
    assert written == json.loads(json.dumps(document())), "run `make types`"


def test_the_streams_messages_are_described() -> None:
    stream = document()["components"]["schemas"]["ServerMessage"]
    assert set(stream["discriminator"]["mapping"]) == {
        "snapshot",
        "scan_progress",
        "measurement",
        "alert",
        "phase",
        "procedure",
        "heartbeat",
    }
