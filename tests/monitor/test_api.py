"""The API: one shape of errors, nobody from elsewhere, and no path from a caller's text."""

import socket
from typing import Any

import pytest
from pydantic import TypeAdapter

from monitor import messages
from monitor.messages import ErrorAnswer
from tests.monitor.conftest import Web
from tests.waiting import PATIENCE_S

FOREIGN = [
    "http://evil.example",
    "http://127.0.0.1.evil.example",
    "http://127.0.0.1:8081",
    "https://evil.example:80",
    "null",
    "http://localhost",
]
STREAM = "/api/v1/stream"


def error_of(answer: Any) -> messages.ErrorBody:
    """An error's code and message; it must have the one shape."""
    assert answer.headers["content-type"] == "application/json"
    return ErrorAnswer.model_validate(answer.json()).error


def handshake(web: Web, **headers: str) -> int:
    """Status of the stream's websocket handshake (RFC 6455, 4.1), by a client of no library's."""
    host, port = web.client.base_url.host, web.client.base_url.port
    assert port is not None
    given = {
        "Host": f"{host}:{port}",
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    } | headers
    lines = [f"GET {STREAM} HTTP/1.1", *(f"{k}: {v}" for k, v in given.items()), "", ""]
    with socket.create_connection((host, port), timeout=PATIENCE_S) as connection:
        connection.sendall("\r\n".join(lines).encode())
        with connection.makefile("rb") as answer:
            return int(answer.readline().split()[1])


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("procedures/none", "no_such_procedure"),
        ("procedures/none/measurements", "no_such_procedure"),
        ("procedures/none/alerts", "no_such_procedure"),
        (f"measurements/{'0' * 32}/segmentation", "no_such_measurement"),
        (f"measurements/{'0' * 32}/views", "no_pictures"),
        (f"measurements/{'0' * 32}/views/axial.png", "no_pictures"),
        ("nothing", "not_found"),
    ],
)
def test_what_is_not_there(web: Web, path: str, code: str) -> None:
    answer = web.client.get(f"/api/v1/{path}")
    assert answer.status_code == 404
    error = error_of(answer)
    assert error.code == code
    assert error.message


def test_posting_to_what_is_not_there(web: Web) -> None:
    answer = web.client.post("/api/v1/alerts/none/acknowledge")
    assert (answer.status_code, error_of(answer).code) == (404, "no_such_alert")
    answer = web.client.post("/api/v1/procedures/none/phase", json={"phase": "freeze"})
    assert (answer.status_code, error_of(answer).code) == (404, "no_such_procedure")


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"{}", b'{"phase": "boil"}', b'{"phase": "freeze", "at": 1}', b"[1]", b"\xff"],
)
def test_a_phase_that_is_none(web: Web, body: bytes) -> None:
    address = f"/api/v1/procedures/{web.procedure_id}/phase"
    before = web.client.get(f"/api/v1/procedures/{web.procedure_id}").json()["phase"]
    answer = web.client.post(address, content=body, headers={"Content-Type": "application/json"})
    expected = (400, "http_400") if body == b"\xff" else (422, "invalid")  # no text, no phase
    assert (answer.status_code, error_of(answer).code) == expected
    after = web.client.get(f"/api/v1/procedures/{web.procedure_id}").json()["phase"]
    assert after == before


@pytest.mark.parametrize("body", [{"note": 5}, {"note": "x" * 2001}, {"by": "me"}, [1]])
def test_an_acknowledgement_that_is_none(web: Web, body: object) -> None:
    (alert, *_) = web.client.get(f"/api/v1/procedures/{web.procedure_id}/alerts").json()
    answer = web.client.post(f"/api/v1/alerts/{alert['id']}/acknowledge", json=body)
    assert answer.status_code == 422
    assert error_of(answer).code == "invalid"
    (after, *_) = web.client.get(f"/api/v1/procedures/{web.procedure_id}/alerts").json()
    assert after == alert


@pytest.mark.parametrize("method", ["DELETE", "PUT", "PATCH"])
def test_no_other_methods(web: Web, method: str) -> None:
    answer = web.client.request(method, "/api/v1/procedures")
    assert answer.status_code == 405
    assert error_of(answer).code == "http_405"


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "icemargin", ""])
def test_another_name_is_refused(web: Web, host: str) -> None:
    """DNS rebinding: a page of another name whose name now means this machine."""
    for path in ("/", "/healthz", "/api/v1/procedures"):
        assert web.client.get(path, headers={"Host": host}).status_code == 400
    assert handshake(web, Host=host) == 400


@pytest.mark.parametrize("host", ["127.0.0.1:8080", "localhost", "localhost:8080"])
def test_our_own_names_are_not(web: Web, host: str) -> None:
    assert web.client.get("/healthz", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize("origin", FOREIGN)
def test_another_sites_page_is_refused(web: Web, origin: str) -> None:
    """One that is open in the same browser."""
    (alert, *_) = web.client.get(f"/api/v1/procedures/{web.procedure_id}/alerts").json()
    headers = {"Origin": origin}
    for address, body in (
        (f"/api/v1/alerts/{alert['id']}/acknowledge", {}),
        (f"/api/v1/procedures/{web.procedure_id}/phase", {"phase": "freeze"}),
    ):
        answer = web.client.post(address, json=body, headers=headers)
        assert answer.status_code == 403
        assert error_of(answer).code == "http_403"
    (after, *_) = web.client.get(f"/api/v1/procedures/{web.procedure_id}/alerts").json()
    assert after == alert
    assert handshake(web, Origin=origin) == 403


def test_no_other_site_may_read(web: Web) -> None:
    answer = web.client.get("/api/v1/procedures", headers={"Origin": "http://evil.example"})
    assert "access-control-allow-origin" not in answer.headers


def test_our_own_page_and_programs_are_let_in(web: Web) -> None:
    own = str(web.client.base_url).rstrip("/")
    assert handshake(web) == 101
    assert handshake(web, Origin=own) == 101
    answer = web.client.post(
        f"/api/v1/procedures/{web.procedure_id}/phase",
        json={"phase": "idle"},
        headers={"Origin": own},
    )
    assert answer.status_code == 200


@pytest.mark.parametrize(
    "text",
    [
        "..",
        "../derived/x",
        "..%2f..%2fjournal",
        "%2e%2e%2f%2e%2e%2fetc%2fpasswd",
        "....//",
        "%00" * 32,
        "A" * 32,
        "0" * 31,
        "0" * 33,
        "é" * 32,
        "٠" * 32,  # digits, but not ours
        "*" * 32,
    ],
)
def test_no_path_from_a_measurements_id(web: Web, text: str) -> None:
    for ending in ("views", "views/axial.png", "segmentation"):
        answer = web.client.get(f"/api/v1/measurements/{text}/{ending}")
        assert answer.status_code == 404
        assert "passwd" not in answer.text
        assert str(web.service.settings.storage.directory) not in answer.text


@pytest.mark.parametrize("plane", ["oblique", "..", "axial.png.."])
def test_no_path_from_a_plane(web: Web, plane: str) -> None:
    answer = web.client.get(f"/api/v1/measurements/{web.measured.id}/views/{plane}.png")
    assert answer.status_code in {404, 422}


@pytest.mark.parametrize("path", ["/../config.yaml", "/..%2f..%2fpyproject.toml", "/%2e%2e/api.py"])
def test_the_page_serves_its_own_files_only(web: Web, path: str) -> None:
    assert web.client.get(path).status_code == 404


def test_a_measurement_without_ice_has_no_pictures(web: Web) -> None:
    found = web.client.get(f"/api/v1/procedures/{web.procedure_id}/measurements").json()
    planning = next(m for m in found if m["role"] == "planning")
    for ending, code in (("views", "no_pictures"), ("segmentation", "no_pictures")):
        answer = web.client.get(f"/api/v1/measurements/{planning['id']}/{ending}")
        assert (answer.status_code, error_of(answer).code) == (404, code)


def test_pictures_never_change(web: Web) -> None:
    answer = web.client.get(f"/api/v1/measurements/{web.measured.id}/views/axial.png")
    assert answer.status_code == 200
    assert "immutable" in answer.headers["cache-control"]
    again = web.client.get(f"/api/v1/measurements/{web.measured.id}/views/axial.png")
    assert again.content == answer.content


def test_nothing_else_is_kept_by_the_browser(web: Web) -> None:
    for path in ("procedures", f"procedures/{web.procedure_id}/measurements"):
        answer = web.client.get(f"/api/v1/{path}")
        assert "max-age" not in answer.headers.get("cache-control", "")


def test_answers_are_the_wires_types(web: Web) -> None:
    procedures = web.client.get("/api/v1/procedures").json()
    TypeAdapter(list[messages.Procedure]).validate_python(procedures)
    found = web.client.get(f"/api/v1/procedures/{web.procedure_id}/measurements").json()
    measured = TypeAdapter(list[messages.Measurement]).validate_python(found)
    assert [m.role for m in measured] == ["planning", "baseline", "monitoring"]
    views = web.client.get(f"/api/v1/measurements/{web.measured.id}/views").json()
    messages.Views.model_validate(views)


def test_the_schema_knows_the_stream(web: Web) -> None:
    """The page's types are made of it."""
    document = web.client.get("/api/v1/openapi.json").json()
    schemas = document["components"]["schemas"]
    kinds = {entry["$ref"].rsplit("/", 1)[1] for entry in schemas["ServerMessage"]["oneOf"]}
    assert {"SnapshotMessage", "MeasurementMessage", "AlertMessage", "HeartbeatMessage"} <= kinds
    assert kinds <= set(schemas)
    required = set(schemas["Measurement"]["required"])
    assert required == set(messages.Measurement.model_fields)


def test_not_ready_says_why(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    assert web.client.get("/readyz").status_code == 200
    monkeypatch.setattr(web.receiver.spool, "problem", lambda: "The disk is full.")
    answer = web.client.get("/readyz")
    assert (answer.status_code, answer.text) == (503, "The disk is full.\n")
    assert web.client.get("/healthz").status_code == 200


def test_metrics_count_what_was_done(web: Web) -> None:
    text = web.client.get("/metrics").text
    lines = dict(line.rsplit(" ", 1) for line in text.splitlines() if line[:1] != "#")
    measured = {k: v for k, v in lines.items() if "monitoring" in k and "final" in k}
    assert [float(v) for v in measured.values()][:1] == [1.0]
    stored = [v for k, v in lines.items() if "objects_stored" in k]
    assert [float(v) for v in stored] == [3 * 24 + 1]
