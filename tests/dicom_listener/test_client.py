"""Calls to peers: those that do as they should, and those that do not."""

import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from pydicom.dataset import Dataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import evt

from dicom_listener.association import MINIMUM_PDU_BYTES
from dicom_listener.client import ECHO, Call, MoveProgress, echo
from dicom_listener.nodes import CallError, Ourselves
from tests.dicom_listener.conftest import Running
from tests.dicom_listener.objects import ct_slice, encode
from tests.dicom_listener.providers import (
    CALLER,
    NATIVE,
    Archive,
    node,
    provider,
    read_pdu,
    running_archive,
    scripted,
)
from tests.dicom_listener.raw_peer import item, p_data, pdu

FIND = "1.2.840.10008.5.1.4.1.2.2.1"
MOVE = "1.2.840.10008.5.1.4.1.2.2.2"
QUICK = Ourselves("ICEMARGIN", connect_s=0.3, answer_s=0.3, move_s=0.3)
CT = (CTImageStorage, NATIVE)

Script = Callable[[socket.socket], None]


def acceptance(
    syntax: str = ImplicitVRLittleEndian, *, length: int = 16384, result: int = 0
) -> bytes:
    """A-ASSOCIATE-AC for the first context."""
    body = struct.pack(">HH", 1, 0) + b"PACS".ljust(16) + b"ICEMARGIN".ljust(16) + bytes(32)
    body += item(0x10, b"1.2.840.10008.3.1.1.1")
    body += item(0x21, bytes([1, 0, result, 0]) + item(0x40, syntax.encode()))
    user = item(0x51, struct.pack(">L", length)) + item(0x52, b"1.2.3.4")
    return pdu(2, body + item(0x50, user))


def then(*answers: bytes, stay: bool = True) -> Script:
    """A peer that answers each PDU it is sent, whatever that is, and then is silent or gone."""

    def script(connection: socket.socket) -> None:
        for answer in answers:
            read_pdu(connection)
            connection.sendall(answer)
        while stay and connection.recv(1 << 16):
            pass

    return script


def response(field: int = 0x8030, message: int = 1, status: int = 0) -> bytes:
    """The command set of a response."""
    words = {0x0100: field, 0x0120: message, 0x0800: 0x0101, 0x0900: status}
    body = b"".join(struct.pack("<HHLH", 0, tag, 2, value) for tag, value in words.items())
    return struct.pack("<HHLL", 0, 0, 4, len(body)) + body


def failure(script: Script, caller: Ourselves = QUICK) -> CallError:
    """How C-ECHO to such a peer fails."""
    with scripted(script) as port, pytest.raises(CallError) as raised:
        echo(node(port), caller)
    assert raised.value.text.startswith("Archive ")
    assert "\n" not in raised.value.text
    return raised.value


def test_echo(running: Running) -> None:
    seconds = echo(node(running.port, ae_title="ICEMARGIN"), CALLER)
    assert 0 < seconds < CALLER.answer_s
    assert running.listener.counters.read().echoes == 1


def test_a_wrong_title_is_rejected(running: Running) -> None:
    with pytest.raises(CallError) as raised:
        echo(node(running.port, ae_title="OTHER"), CALLER)
    assert raised.value.code == "rejected"
    assert raised.value.text == (
        "Archive rejected the association (called ae title not recognised)."
    )


def test_nobody_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        gone = server.getsockname()[1]
    with pytest.raises(CallError) as raised:
        echo(node(gone), CALLER)
    assert raised.value.code == "unreachable"
    assert f"PACS@127.0.0.1:{gone}" in raised.value.text


@pytest.mark.parametrize("host", ["no such host", "x" * 300, "nowhere.invalid", ""])
def test_a_host_that_is_none(host: str) -> None:
    with pytest.raises(CallError) as raised:
        echo(node(1, host=host), CALLER)
    assert raised.value.code == "unreachable"


@pytest.mark.parametrize(
    ("script", "code"),
    [
        pytest.param(then(), "timed_out", id="silent from the start"),
        pytest.param(then(acceptance()), "timed_out", id="silent when asked"),
        pytest.param(then(acceptance()[:30]), "timed_out", id="stalled in a PDU"),
        pytest.param(then(stay=False), "aborted", id="closes at once"),
        pytest.param(then(acceptance(), b"", stay=False), "aborted", id="closes when asked"),
        pytest.param(then(b"HTTP/1.1 400 Bad\r\n\r\n"), "aborted", id="HTTP"),
        pytest.param(then(pdu(2, bytes(68) + b"\x99\0\0\4abcd")), "aborted", id="garbled"),
        pytest.param(then(pdu(2, bytes(68))), "no_context", id="accepts without contexts"),
        pytest.param(then(struct.pack(">BBL", 2, 0, 1 << 30)), "aborted", id="a PDU of 1 GB"),
        pytest.param(then(pdu(7, bytes(4))), "aborted", id="aborts"),
        pytest.param(then(pdu(6, bytes(4))), "aborted", id="released without being asked"),
        pytest.param(then(pdu(3, bytes([0, 1, 1, 3]))), "rejected", id="rejects"),
        pytest.param(then(pdu(3, bytes([0, 9, 9, 9]))), "aborted", id="rejects as nobody may"),
        pytest.param(then(acceptance(result=3)), "no_context", id="accepts nothing"),
        pytest.param(then(acceptance("1.2.840.10008.1.2.4.50")), "no_context", id="another syntax"),
        pytest.param(then(acceptance(length=MINIMUM_PDU_BYTES - 1)), "aborted", id="tiny PDUs"),
        pytest.param(then(acceptance(), pdu(7, bytes(4))), "aborted", id="aborts when asked"),
        pytest.param(
            then(acceptance(), p_data(response(message=2), command=True)),
            "aborted",
            id="wrong number",
        ),
        pytest.param(
            then(acceptance(), p_data(response(0x8001), command=True)), "aborted", id="wrong answer"
        ),
        pytest.param(
            then(acceptance(), p_data(b"garbage!" * 3, command=True)), "aborted", id="no command"
        ),
        pytest.param(
            then(acceptance(), pdu(4, struct.pack(">LBB", 99, 1, 3) + b"x")), "aborted", id="length"
        ),
        pytest.param(
            then(acceptance(), p_data(response(status=0x0110), command=True)),
            "refused",
            id="failure",
        ),
    ],
)
def test_peers_that_do_not_as_they_should(script: Script, code: str) -> None:
    assert failure(script).code == code


def test_a_peer_that_answers_without_end() -> None:
    def script(connection: socket.socket) -> None:
        connection.recv(1 << 16)
        connection.sendall(acceptance())
        while True:
            connection.sendall(p_data(bytes(60000), command=True, last=False))

    error = failure(script, CALLER)
    assert (error.code, "great length" in error.text) == ("aborted", True)


def test_a_call_is_broken_off_from_another_thread() -> None:
    asked = threading.Event()

    def script(connection: socket.socket) -> None:
        connection.recv(1 << 16)
        connection.sendall(acceptance())
        connection.recv(1 << 16)
        asked.set()
        while connection.recv(1 << 16):
            pass

    with scripted(script) as port:
        call = Call(node(port), CALLER, [ECHO])

        def break_off() -> None:
            asked.wait(5)
            call.break_off()

        breaker = threading.Thread(target=break_off)
        breaker.start()
        with pytest.raises(CallError, match="was not waited for"), call:
            call.echo()
        breaker.join()


def test_one_that_is_broken_off_before_it_began(running: Running) -> None:
    call = Call(node(running.port, ae_title="ICEMARGIN"), CALLER, [ECHO])
    call.break_off()
    with pytest.raises(CallError, match="was not waited for"):
        call.__enter__()


def test_store_in_parts_of_any_length() -> None:
    """Fragments as the peer wants them, whatever the parts."""
    dataset = ct_slice(3, size=256)
    data = encode(dataset)
    with running_archive() as archive, Call(node(archive.port), CALLER, [CT]) as call:
        (context,) = call.contexts
        assert context.transfer_syntax == ExplicitVRLittleEndian
        for number, size in enumerate((len(data), 1000, 100_000), 1):
            uid = f"{dataset.SOPInstanceUID}.{number}"
            parts = [data[at : at + size] for at in range(0, len(data), size)]
            assert call.store(context, uid, parts).status == 0
        with pytest.raises(CallError, match="does not take"):
            call.context(CTImageStorage, ImplicitVRLittleEndian)
    assert [one.PixelData for one in archive.stored] == [dataset.PixelData] * 3


def test_a_status_is_handed_over() -> None:
    archive = Archive(statuses=[0xA700, 0xB000, 0xC123])
    with running_archive(archive), Call(node(archive.port), CALLER, [CT]) as call:
        data = encode(ct_slice())
        found = [call.store(call.contexts[0], "1.2.3", [data]) for _ in range(3)]
    assert [answer.status for answer in found] == [0xA700, 0xB000, 0xC123]
    assert found[0].comment == "status 0xA700"


# Queries


def study(number: int) -> Dataset:
    answer = Dataset()
    answer.StudyInstanceUID = f"1.2.{number}"
    return answer


def find_handler(event: evt.Event) -> Iterator[tuple[int, Dataset | None]]:
    """Studies for as long as nobody calls it off, unless there are to be only three."""
    wanted = 3 if event.identifier.PatientID == "three" else 10_000
    if event.identifier.PatientID == "wrong":
        yield 0xA900, None
        return
    for number in range(wanted):
        if event.is_cancelled:
            yield 0xFE00, None
            return
        yield 0xFF00, study(number)
        if number > 10:
            time.sleep(0.005)


def find(patient_id: str) -> Any:
    question = Dataset()
    question.PatientID = patient_id
    with (
        provider({FIND: NATIVE}, [(evt.EVT_C_FIND, find_handler)]) as port,
        Call(node(port), CALLER, [(FIND, NATIVE)]) as call,
    ):
        return call.find(FIND, question, at_most=5)


def test_find() -> None:
    found = find("three")
    assert [one.StudyInstanceUID for one in found.answers] == ["1.2.0", "1.2.1", "1.2.2"]
    assert not found.more


def test_a_query_with_too_many_answers_is_called_off() -> None:
    found = find("all")
    assert len(found.answers) == 5
    assert found.more


def test_a_query_that_fails() -> None:
    with pytest.raises(CallError) as raised:
        find("wrong")
    assert (raised.value.code, raised.value.status) == ("refused", 0xA900)


# Moves


def move_handler(_event: evt.Event) -> Iterator[Any]:
    """The destination is not known."""
    yield None, None


def test_a_move_to_nobody() -> None:
    with (
        provider({MOVE: NATIVE}, [(evt.EVT_C_MOVE, move_handler)]) as port,
        Call(node(port), CALLER, [(MOVE, NATIVE)]) as call,
    ):
        (last,) = call.move(MOVE, study(1), "OTHER")
    assert last == MoveProgress(0xA801, comment="status 0xA801")


def moved(status: int, *counts: int) -> bytes:
    """A C-MOVE response."""
    words = dict(zip((0x1020, 0x1021, 0x1022, 0x1023), counts, strict=True))
    tail = b"".join(struct.pack("<HHLH", 0, tag, 2, value) for tag, value in words.items())
    body = response(0x8021, 1, status)[12:] + tail
    return p_data(struct.pack("<HHLL", 0, 0, 4, len(body)) + body, command=True)


def test_a_move_tells_how_far_it_is() -> None:
    answers = (moved(0xFF00, 2, 1, 0, 0), moved(0xFF00, 1, 1, 1, 0), moved(0xB000, 0, 1, 1, 1))

    def script(connection: socket.socket) -> None:
        for answer in (acceptance(), b"", b"".join(answers)):
            read_pdu(connection)
            connection.sendall(answer)
        read_pdu(connection)

    with scripted(script) as port, Call(node(port), CALLER, [(MOVE, NATIVE)]) as call:
        seen = list(call.move(MOVE, study(1), "ICEMARGIN"))
    assert [(one.remaining, one.completed, one.failed, one.warned) for one in seen] == [
        (2, 1, 0, 0),
        (1, 1, 1, 0),
        (0, 1, 1, 1),
    ]
    assert [one.is_over for one in seen] == [False, False, True]


def test_a_move_is_called_off() -> None:
    cancel = threading.Event()

    def script(connection: socket.socket) -> None:
        read_pdu(connection)
        connection.sendall(acceptance())
        read_pdu(connection)  # the command,
        read_pdu(connection)  # and what to move
        connection.sendall(moved(0xFF00, 9, 1, 0, 0))
        asked = read_pdu(connection)
        assert struct.pack("<HHLH", 0, 0x0100, 2, 0x0FFF) in asked
        connection.sendall(moved(0xFE00, 8, 2, 0, 0))
        read_pdu(connection)

    with scripted(script) as port, Call(node(port), CALLER, [(MOVE, NATIVE)]) as call:
        seen = []
        for progress in call.move(MOVE, study(1), "ICEMARGIN", cancelled=cancel.is_set):
            seen.append((progress.status, progress.completed))
            cancel.set()
    assert seen == [(0xFF00, 1), (0xFE00, 2)]


def test_a_move_that_is_silent() -> None:
    script = then(acceptance())
    with (
        scripted(script) as port,
        pytest.raises(CallError, match="how the transfer gets on"),
        Call(node(port), QUICK, [(MOVE, NATIVE)]) as call,
    ):
        list(call.move(MOVE, study(1), "ICEMARGIN"))
