"""The outbox: durable, patient, and each node for itself."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

from dicom_listener import outbox_folder
from dicom_listener.nodes import Node
from dicom_listener.outbox import NodeFigures, Outbox, OutboxError, OutboxLimits, verdict
from dicom_listener.outbox_folder import folder_name
from tests.dicom_listener.conftest import until
from tests.dicom_listener.objects import SERIES, ct_slice, part10
from tests.dicom_listener.providers import CALLER, Archive, node, running_archive, scripted
from tests.peers.orthanc import free_port

LIMITS = OutboxLimits(retry_first_s=0.05, retry_longest_s=0.2)

Make = Callable[..., Outbox]


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Make]:
    """Start outboxes in the same folder; they are stopped after the test."""
    monkeypatch.setattr("dicom_listener.outbox.STOP_S", 0.2)
    made: list[Outbox] = []

    def begin(*nodes: Node, limits: OutboxLimits = LIMITS) -> Outbox:
        made.append(Outbox(tmp_path / "outbox", nodes, CALLER, limits))
        made[-1].start()
        return made[-1]

    yield begin
    for one in made:
        one.stop()
    assert not [t for t in threading.enumerate() if t.name.startswith("outbox")]


@pytest.fixture
def slices(tmp_path: Path) -> list[Path]:
    """Five slices."""
    paths = [tmp_path / f"{n}.dcm" for n in range(5)]
    for n, path in enumerate(paths):
        path.write_bytes(part10(ct_slice(n)))
    return paths


def uids(*numbers: int) -> list[str]:
    return [f"{SERIES}.{n + 1}" for n in numbers]


def figures(outbox: Outbox, name: str = "Archive") -> NodeFigures:
    (found,) = [one for one in outbox.figures() if one.node == name]
    return found


def files(tmp_path: Path, pattern: str) -> list[Path]:
    """Files of the node called Archive."""
    return sorted((tmp_path / "outbox" / folder_name("Archive")).glob(pattern))


def test_what_is_put_is_sent_and_then_gone(make: Make, tmp_path: Path, slices: list[Path]) -> None:
    with running_archive() as archive:
        outbox = make(node(archive.port))
        for path in slices:
            outbox.put("Archive", path)
            path.unlink()  # it is ours now
        until(lambda: figures(outbox).sent == 5)
    assert archive.instances == uids(0, 1, 2, 3, 4)
    assert files(tmp_path, "**/*.*") == []
    assert figures(outbox) == NodeFigures("Archive", 0, 5, 0, 0, 0.0, "")


def test_it_is_kept_over_a_restart_and_sent_once_the_archive_is_there(
    make: Make, tmp_path: Path, slices: list[Path]
) -> None:
    port = free_port()
    first = make(node(port))
    for path in slices:
        first.put("Archive", path)
    until(lambda: "can't be reached" in figures(first).problem)
    first.stop()
    assert len(files(tmp_path, "*.dcm")) == 5
    (half := files(tmp_path, "*.dcm")[0].with_suffix(".part")).write_bytes(b"a copy broken off")
    stranger = half.with_name("notes.dcm")
    stranger.write_bytes(b"")
    second = make(node(port))
    waiting = figures(second)
    assert waiting.waiting == 5
    assert 0 < waiting.oldest_s < 60
    with running_archive(port=port) as archive:
        until(lambda: figures(second).sent == 5)
    assert archive.instances == uids(0, 1, 2, 3, 4)
    assert files(tmp_path, "*.*") == [stranger]
    assert figures(second).problem == ""


def test_nothing_is_put_by_halves(
    make: Make, tmp_path: Path, slices: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that fails at any point: who puts is told, and nothing is left."""
    outbox = make(node(free_port()))

    def fail(*_arguments: object) -> None:
        raise OSError(28, "No space left on device")

    for name in ("os.fsync", "pathlib.Path.rename"):
        with monkeypatch.context() as patch:
            patch.setattr(name, fail)
            with pytest.raises(OutboxError, match="No space left"):
                outbox.put("Archive", slices[0])
        assert files(tmp_path, "*.*") == []
    assert figures(outbox).waiting == 0


def test_a_copy_where_no_link_can_be(
    make: Make, tmp_path: Path, slices: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    outbox = make(node(free_port()))
    outbox.put("Archive", slices[0])

    def fail(*_arguments: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr("os.link", fail)
    outbox.put("Archive", slices[0])
    linked, copied = files(tmp_path, "*.dcm")
    assert linked.samefile(slices[0])
    assert not copied.samefile(slices[0])
    assert copied.read_bytes() == slices[0].read_bytes()


def test_a_failure_that_passes_is_tried_again(make: Make, slices: list[Path]) -> None:
    """Others go ahead of the one that failed."""
    with running_archive(Archive(statuses=[0xA700])) as archive:
        outbox = make(node(archive.port), limits=OutboxLimits(0.3, 0.3))
        outbox.put("Archive", slices[0])
        until(lambda: "A700" in figures(outbox).problem)
        outbox.put("Archive", slices[1])
        assert figures(outbox).waiting == 2
        until(lambda: figures(outbox).sent == 2)
    assert archive.instances == uids(1, 0)
    assert figures(outbox).problem == ""


@pytest.mark.parametrize("status", [0xB000, 0xB006, 0xB007])
def test_a_warning_is_a_success(make: Make, slices: list[Path], status: int) -> None:
    with running_archive(Archive(statuses=[status])) as archive:
        outbox = make(node(archive.port))
        outbox.put("Archive", slices[0])
        until(lambda: figures(outbox).sent == 1)
    assert archive.instances == uids(0)


def test_a_definite_failure_is_kept_with_its_reason(
    make: Make, tmp_path: Path, slices: list[Path]
) -> None:
    with running_archive(Archive(statuses=[0xA900])) as archive:
        outbox = make(node(archive.port))
        for path in slices[:2]:
            outbox.put("Archive", path)
        until(lambda: figures(outbox).sent == 1)
    assert archive.instances == uids(1)
    (kept,) = files(tmp_path, "failed/*.dcm")
    assert kept.read_bytes() == slices[0].read_bytes()
    assert kept.with_suffix(".txt").read_text() == "Archive refused it (status 0xA900).\n"
    found = figures(outbox)
    assert (found.waiting, found.failed) == (0, 1)


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (0x0000, "stored"),
        (0x0111, "stored"),
        (0xB000, "stored"),
        (0xBFFF, "stored"),
        (0x0110, "again"),
        (0xA700, "again"),
        (0xA7FF, "again"),
        (0x0122, "failed"),
        (0x0124, "failed"),
        (0xA900, "failed"),
        (0xC000, "failed"),
        (0xFE00, "failed"),
    ],
)
def test_what_a_status_means(status: int, expected: str) -> None:
    assert verdict(status) == expected


def test_an_archive_that_does_not_take_the_class(
    make: Make, tmp_path: Path, slices: list[Path]
) -> None:
    with running_archive(syntaxes=("1.2.840.10008.1.2.4.50",)) as archive:
        outbox = make(node(archive.port))
        for path in slices:
            outbox.put("Archive", path)
        until(lambda: figures(outbox).failed == 5)
    assert len(files(tmp_path, "failed/*.txt")) == 5


def test_a_file_that_breaks_the_association_holds_up_no_other(
    make: Make, tmp_path: Path, slices: list[Path]
) -> None:
    """pynetdicom aborts when its handler does; the first file always meets that."""
    archive = Archive()
    taken = archive.store

    def store(event: object) -> int:
        if event.request.AffectedSOPInstanceUID == uids(0)[0]:  # type: ignore[attr-defined]
            event.assoc.abort(block=False)  # type: ignore[attr-defined]
            return 0xC000
        return taken(event)  # type: ignore[arg-type]

    archive.store = store  # type: ignore[method-assign]
    with running_archive(archive):
        outbox = make(node(archive.port))
        for path in slices:
            outbox.put("Archive", path)
        until(lambda: figures(outbox).sent == 4)
        assert archive.instances == uids(1, 2, 3, 4)
        assert figures(outbox).waiting == 1


def test_a_dead_node_holds_up_no_other(make: Make, slices: list[Path]) -> None:
    """One is silent, one refuses connections; the third has its files before either failed."""

    def silent(connection: object) -> None:
        released.wait(20)

    released = threading.Event()
    with scripted(silent) as stuck, running_archive() as archive:
        nodes = [node(stuck, name="stuck"), node(free_port(), name="gone"), node(archive.port)]
        outbox = make(*nodes)
        for path in slices:
            for one in nodes:
                outbox.put(one.name, path)
        until(lambda: figures(outbox).sent == 5)
        assert figures(outbox, "stuck").waiting == figures(outbox, "gone").waiting == 5
        outbox.stop()
        released.set()


def test_the_bound_is_told_and_nothing_is_dropped(
    make: Make, tmp_path: Path, slices: list[Path]
) -> None:
    outbox = make(node(free_port()), limits=OutboxLimits(files=3))
    for path in slices[:3]:
        outbox.put("Archive", path)
    with pytest.raises(OutboxError, match="3 files wait for Archive, which is the most"):
        outbox.put("Archive", slices[3])
    assert [path.read_bytes() for path in files(tmp_path, "*.dcm")] == [
        path.read_bytes() for path in slices[:3]
    ]


def test_it_is_given_up_after_its_time(make: Make, tmp_path: Path, slices: list[Path]) -> None:
    """But never before it was tried."""
    outbox = make(node(free_port()), limits=OutboxLimits(0.05, 0.05, give_up_s=0.001))
    outbox.put("Archive", slices[0])
    until(lambda: figures(outbox).failed == 1)
    (reason,) = files(tmp_path, "failed/*.txt")
    assert reason.read_text().startswith("Given up after 0 h: Archive can't be reached at PACS@")
    with running_archive() as archive:
        late = make(node(archive.port, name="late"), limits=OutboxLimits(give_up_s=0.0))
        late.put("late", slices[0])
        until(lambda: figures(late, "late").sent == 1)


def test_failures_are_kept_up_to_a_bound(
    make: Make, tmp_path: Path, slices: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox_folder, "KEPT_FAILURES", 2)
    with running_archive(Archive(statuses=[0xC000] * 5)) as archive:
        outbox = make(node(archive.port))
        for path in slices:
            outbox.put("Archive", path)
        until(lambda: figures(outbox).failed == 5)
        outbox.stop()
    kept = [path.read_bytes() for path in files(tmp_path, "failed/*.dcm")]
    assert kept == [path.read_bytes() for path in slices[3:]]
    assert len(files(tmp_path, "failed/*.txt")) == 2


def test_a_file_that_was_spoilt_here(make: Make, tmp_path: Path, slices: list[Path]) -> None:
    port = free_port()
    first = make(node(port))
    for path in slices[:2]:
        first.put("Archive", path)
    first.stop()
    spoilt = files(tmp_path, "*.dcm")[0]
    spoilt.unlink()
    spoilt.write_bytes(b"nothing")
    with running_archive(port=port) as archive:
        second = make(node(port))
        until(lambda: figures(second).sent == 1)
    assert archive.instances == uids(1)
    assert figures(second).failed == 1
    assert "not a DICOM file" in files(tmp_path, "failed/*.txt")[0].read_text()


def test_what_can_not_be_put(make: Make, tmp_path: Path, slices: list[Path]) -> None:
    outbox = make(node(free_port()))
    with pytest.raises(OutboxError, match="no archive node called 'PACS'"):
        outbox.put("PACS", slices[0])
    (tmp_path / "text").write_text("no DICOM")
    with pytest.raises(OutboxError, match="not a DICOM file"):
        outbox.put("Archive", tmp_path / "text")
    with pytest.raises(OutboxError, match="absent can't be kept"):
        outbox.put("Archive", tmp_path / "absent")
    outbox.stop()
    with pytest.raises(OutboxError, match="not started"):
        outbox.put("Archive", slices[0])


def test_it_stops_in_the_middle_of_a_file(make: Make, tmp_path: Path, slices: list[Path]) -> None:
    """An archive that holds its answer: the file waits for the next start."""
    archive = Archive(held=threading.Event())
    assert archive.held is not None
    with running_archive(archive):
        outbox = make(node(archive.port))
        outbox.put("Archive", slices[0])
        until(lambda: outbox._couriers["Archive"]._call is not None)
        outbox.stop()
        assert not [t for t in threading.enumerate() if t.name.startswith("outbox")]
        assert len(files(tmp_path, "*.dcm")) == 1
        archive.held.set()


def test_pauses_double_up_to_the_longest() -> None:
    limits = OutboxLimits(retry_first_s=5, retry_longest_s=300)
    assert [limits.pause_s(n) for n in (1, 2, 3, 6, 7, 1000)] == [5, 10, 20, 160, 300, 300]


@pytest.mark.parametrize("name", ["..", "a/b", "", "Ü" * 64, "x" * 64, "C:\\", "PACS"])
def test_folders_are_safe_and_of_one_node_alone(name: str) -> None:
    folder = folder_name(name)
    assert Path(folder).name == folder
    assert len(folder.encode()) < 64
    assert folder != folder_name(name + "x")
    assert folder_name("a/b") != folder_name("a_b")


def test_different_encodings_on_one_association(make: Make, tmp_path: Path) -> None:
    """Each file gets its own context."""
    for n, syntax in enumerate((ExplicitVRLittleEndian, ImplicitVRLittleEndian)):
        (tmp_path / f"{n}.dcm").write_bytes(part10(ct_slice(n), syntax))
    port = free_port()
    outbox = make(node(port))
    for n in range(2):
        outbox.put("Archive", tmp_path / f"{n}.dcm")
    until(lambda: figures(outbox).problem != "")
    with running_archive(port=port) as archive:
        until(lambda: figures(outbox).sent == 2)
    assert [one.file_meta.TransferSyntaxUID for one in archive.stored] == [
        ExplicitVRLittleEndian,
        ImplicitVRLittleEndian,
    ]
