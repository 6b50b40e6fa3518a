"""docs/api.md names every call, message, field, error and reason, and no other."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import cast, get_args

import pytest
from fastapi.routing import APIRoute, APIWebSocketRoute
from pydantic import TypeAdapter

from dicom_listener.headers import HeaderCode
from dicom_listener.pixels import PixelCode
from monitor import (
    api,
    forecast_messages,
    marking_messages,
    messages,
    nephrometry_messages,
    probe_messages,
    worklist_messages,
)
from monitor.web_backend import WebBackend
from monitor.wire import Wire
from segmentation.volume import GeometryCode
from tests.docs.tables import ROOT, quoted, read, rows, section

TEXT = read("docs/api.md")
ENVELOPE = {"seq", "run", "type", "at", "data"}
INTERNAL = {"Wire", "_Message"}


def calls() -> set[str]:
    """Method and path of each route of ours. No backend is needed to ask which there are."""
    app = api.make_app(cast("WebBackend", None), None)
    found = set()
    for route in app.routes:
        if isinstance(route, APIWebSocketRoute):
            found.add(f"WS {route.path}")
        elif isinstance(route, APIRoute):
            found |= {f"{method} {route.path}" for method in route.methods or ()}
    return found


def message_types() -> dict[str, type[Wire]]:
    """Name on the wire, and the type of its data."""
    union = get_args(get_args(messages.ServerMessage)[0])
    return {m.model_fields["type"].default: m.model_fields["data"].annotation for m in union}


def types() -> dict[str, type[Wire]]:
    """Every type that is sent, but for the messages themselves."""
    found = {
        name: value
        for name, value in (
            vars(messages)
            | vars(forecast_messages)
            | vars(marking_messages)
            | vars(nephrometry_messages)
            | vars(probe_messages)
            | vars(worklist_messages)
        ).items()
        if isinstance(value, type) and issubclass(value, Wire)
    }
    return {n: t for n, t in found.items() if n not in INTERNAL and "seq" not in t.model_fields}


def first_column(text: str) -> list[str]:
    return [name for cell, *_ in rows(text) for name in quoted(cell)]


def test_every_call_is_documented() -> None:
    documented = first_column(section(TEXT, "Calls"))
    assert sorted(documented) == sorted(calls())


def test_every_message_is_documented_with_its_data() -> None:
    documented = {
        quoted(first)[0]: re.findall(r"\[(\w+)\]", second)
        for first, second, *rest in rows(section(TEXT, "The stream"))
        if rest
    }
    assert documented == {name: [data.__name__] for name, data in message_types().items()}


def test_the_envelope_is_documented() -> None:
    names = [quoted(row[0])[0] for row in rows(section(TEXT, "The stream")) if len(row) == 2]
    assert set(names) == ENVELOPE
    schema = TypeAdapter(messages.ServerMessage).json_schema(mode="serialization")
    for name, definition in schema["$defs"].items():
        if name.endswith("Message"):
            assert set(definition["properties"]) == ENVELOPE


@pytest.mark.parametrize("name", sorted(types()))
def test_every_field_is_documented(name: str) -> None:
    assert first_column(section(TEXT, name)) == list(types()[name].model_fields)


@pytest.mark.parametrize("name", sorted(types()))
def test_what_may_be_null_is_said(name: str) -> None:
    described = {quoted(row[0])[0]: row[1] for row in rows(section(TEXT, name))}
    for field, info in types()[name].model_fields.items():
        may_be_null = type(None) in get_args(info.annotation)
        says_so = re.search(r"\bnull\b", described[field]) is not None
        assert says_so or not may_be_null, f"{name}.{field} may be null"


def test_every_value_of_an_enumeration_is_documented() -> None:
    fields = {
        ("Measurement", "role"): messages.Role,
        ("Measurement", "assessment"): messages.Assessment,
        ("Measurement", "phase"): messages.PhaseName,
        ("Phase", "phase"): messages.PhaseName,
        ("Alert", "condition"): messages.Condition,
        ("Alert", "priority"): messages.Priority,
        ("Alert", "state"): messages.AlertState,
    }
    for (name, field), values in fields.items():
        described = {quoted(row[0])[0]: row[1] for row in rows(section(TEXT, name))}
        assert {str(value) for value in values} <= set(quoted(described[field])), (name, field)


def test_every_error_of_a_command_is_documented_with_its_status() -> None:
    documented = {quoted(code)[0]: status for code, status, *_ in rows(section(TEXT, "Errors"))}
    for code, status in api.STATUS.items():
        assert documented[code] == str(status)
    said = set(re.findall(r'answer\(\s*(\d+), "(\w+)"', Path(api.__file__).read_text()))
    assert said
    for number, code in said:
        assert documented[code] == number


def reason_codes() -> Iterator[str]:
    """Every code that the code gives as a reason: declared, or the first word of a constructor."""
    for declared in (GeometryCode, PixelCode, HeaderCode):
        yield from _literals(declared)
    wanted = {"Reason", "Refused", "NotAssessable", "GeometryError", "PixelError"}
    for room in ("monitor", "segmentation", "dicom_listener"):
        for path in sorted((ROOT / room).glob("*.py")):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
                    continue
                given = [*node.args[:1], *(k.value for k in node.keywords if k.arg == "code")]
                if node.func.id in wanted and given and isinstance(given[0], ast.Constant):
                    yield str(given[0].value)


def _literals(declared: object) -> Iterator[str]:
    for argument in get_args(declared):
        if isinstance(argument, str):
            yield argument
        else:
            yield from _literals(argument)


def test_every_reason_is_documented_once() -> None:
    documented = first_column(section(TEXT, "Reason codes"))
    assert len(documented) == len(set(documented))
    assert set(reason_codes()) <= set(documented)
