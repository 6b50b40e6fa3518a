"""Awkward files, sent by real senders: what each of them got, as a table.

``python -m tests.peers.awkward`` writes the tables of docs/real-peers.md anew.
"""

import os
import re
import subprocess
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pydicom
from pydicom.data import get_testdata_file
from pydicom.errors import InvalidDicomError

from dicom_listener.client import Call
from dicom_listener.events import ObjectRefused, ObjectStored
from dicom_listener.listener import Listener, ListenerSettings
from dicom_listener.nodes import CallError, Node, Ourselves
from dicom_listener.outgoing import Outgoing, OutgoingError
from dicom_listener.spool import Spool
from tests.conftest import needed
from tests.dicom_listener.conftest import Sink, until
from tests.docs.tables import replaced
from tests.peers.orthanc import Orthanc, orthanc_program, running_orthanc

DOCUMENT: Final = Path(__file__).parents[2] / "docs" / "real-peers.md"
COLLECTIONS: Final = Path(__file__).parents[2].parent / "shared" / "data" / "awkward"

SHIPPED: Final[Mapping[str, str]] = {
    "CT_small.dcm": "CT slice, padding behind the data set",
    "explicit_VR-UN.dcm": "CT slice, JPEG 2000 lossless, elements of unknown VR",
    "693_J2KR.dcm": "CT slice, JPEG 2000 lossless",
    "693_J2KI.dcm": "CT slice, JPEG 2000 lossy",
    "JPEG2000-embedded-sequence-delimiter.dcm": "JPEG 2000 that contains a sequence delimiter",
    "J2K_pixelrep_mismatch.dcm": "a sign that disagrees with its JPEG 2000 data",
    "eCT_Supplemental.dcm": "enhanced CT",
    "emri_small.dcm": "enhanced MR",
    "emri_small_jpeg_2k_lossless_too_short.dcm": "enhanced MR, cut off in a frame",
    "MR_small_bigendian.dcm": "big endian",
    "MR_small_implicit.dcm": "implicit VR",
    "MR_small_RLE.dcm": "RLE",
    "MR_small_jpeg_ls_lossless.dcm": "JPEG-LS lossless",
    "MR_small_padded.dcm": "padding behind the data set",
    "MR_truncated.dcm": "cut off in its pixel data",
    "JPEGLSNearLossless_16.dcm": "JPEG-LS lossy, no study UID",
    "JPGExtended.dcm": "JPEG extended, lossy",
    "JPEG-lossy.dcm": "JPEG extended, lossy",
    "JPGLosslessP14SV1_1s_1f_8b.dcm": "JPEG lossless",
    "image_dfl.dcm": "deflated",
    "badVR.dcm": "values that their VR does not allow; file meta of another object",
    "UN_sequence.dcm": "a sequence of unknown VR, and little else",
    "bad_sequence.dcm": "a SOP instance UID that is none",
    "rtplan_truncated.dcm": "plan, cut off in a sequence",
    "nested_priv_SQ.dcm": "private sequences, and little else",
    "no_meta_group_length.dcm": "file meta without its length; no SOP class",
    "meta_missing_tsyntax.dcm": "file meta without transfer syntax",
    "no_meta.dcm": "no file meta",
    "ExplVR_BigEndNoMeta.dcm": "big endian, no preamble, no file meta",
    "rtplan.dcm": "plan; file meta of another object",
    "rtstruct.dcm": "contours, no file meta",
    "rtdose.dcm": "dose of several frames; file meta of another object",
    "liver.dcm": "segmentation of one bit a pixel",
    "reportsi.dcm": "structured report",
    "waveform_ecg.dcm": "electrocardiogram",
    "SC_rgb_rle_32bit_2frame.dcm": "32 bits a sample, two frames, RLE",
    "gdcm-US-ALOKA-16.dcm": "ultrasound, a palette of 16 bits",
    "OT-PAL-8-face.dcm": "a palette, no file meta",
}
"""Files in pydicom and pydicom-data, and what is awkward about them."""

_STORESCU: Final = {
    "1.2.840.10008.1.2": "-xi",
    "1.2.840.10008.1.2.1": "-xe",
    "1.2.840.10008.1.2.1.99": "-xd",
    "1.2.840.10008.1.2.2": "-xb",
    "1.2.840.10008.1.2.4.50": "-xy",
    "1.2.840.10008.1.2.4.51": "-xx",
    "1.2.840.10008.1.2.4.70": "-xs",
    "1.2.840.10008.1.2.4.80": "-xt",
    "1.2.840.10008.1.2.4.81": "-xu",
    "1.2.840.10008.1.2.4.90": "-xv",
    "1.2.840.10008.1.2.4.91": "-xw",
    "1.2.840.10008.1.2.5": "-xr",
}
"""storescu has to be told what to propose."""

NOT_SENT: Final = "not sent"

Send = Callable[[Path], None]


@dataclass(frozen=True)
class Receiving:
    """A listener that files are sent to, one by one."""

    listener: Listener
    sink: Sink

    def outcome(self, path: Path, send: Send) -> str:
        """What a sender got for a file, in a few words."""
        before = len(self.sink.events)
        send(path)
        until(self._is_quiet)
        events = self.sink.events[before:]
        refused = [event for event in events if isinstance(event, ObjectRefused)]
        stored = [event for event in events if isinstance(event, ObjectStored)]
        assert len(refused) + len(stored) <= 1
        if refused:
            return f"{refused[0].status:04X} {refused[0].code}"
        return _kept(path, stored[0]) if stored else NOT_SENT

    def _is_quiet(self) -> bool:
        counts = self.listener.counters.read()
        return counts.associations == counts.associations_released + counts.associations_aborted


def _kept(path: Path, stored: ObjectStored) -> str:
    """Stored: as it was, or as the sender has changed it."""
    words = ["stored"]
    kept = pydicom.dcmread(stored.path)
    original = pydicom.dcmread(path, force=True)
    syntax = original.file_meta.get("TransferSyntaxUID", "")
    if kept.file_meta.TransferSyntaxUID != syntax:
        words.append("sent re-encoded")
    elif kept.get("PixelData") != original.get("PixelData"):
        words.append("sent with other pixel data")
    if stored.header.lossy:
        words.append("lossy")
    return ", ".join(words)


@contextmanager
def receiving(folder: Path) -> Iterator[Receiving]:
    """A listener in a folder of its own."""
    sink = Sink()
    with Spool(folder, free_floor_bytes=0) as spool:
        listener = Listener(ListenerSettings(port=0, stop_s=0.2), spool, sink)
        listener.start()
        try:
            yield Receiving(listener, sink)
        finally:
            listener.stop()


def _run(*command: str | Path | int) -> None:
    """A sender's program, to its end; what it got is asked of the listener."""
    subprocess.run(
        [str(one) for one in command],
        env=os.environ | {"TCP_NODELAY": "1"},
        capture_output=True,
        timeout=60,
    )


def storescu(port: int) -> Send:
    """dcmtk's older sender."""
    program = needed("storescu", "dcmtk")

    def send(path: Path) -> None:
        option = _STORESCU.get(_syntax(path), "-xe")
        _run(program, "-R", option, "-aec", "ICEMARGIN", "127.0.0.1", port, path)

    return send


def dcmsend(port: int) -> Send:
    """dcmtk's newer one; it finds out by itself what to propose."""
    program = needed("dcmsend", "dcmtk")
    return lambda path: _run(program, "-aec", "ICEMARGIN", "127.0.0.1", port, path)


def gdcmscu(port: int) -> Send:
    """GDCM's sender."""
    program = needed("gdcmscu", "libgdcm-tools")
    return lambda path: _run(
        program, "--store", "--call", "ICEMARGIN", "127.0.0.1", port, "-i", path
    )


def orthanc_sends(orthanc: Orthanc, port: int) -> Send:
    """Orthanc, which has to take the file in first."""
    orthanc.add_modality("icemargin", "ICEMARGIN", port)

    def send(path: Path) -> None:
        try:
            identifier = orthanc.upload(path)
        except AssertionError:
            return
        orthanc.store("icemargin", [identifier])
        orthanc.call("DELETE", f"/instances/{identifier}")

    return send


def we_send(port: int) -> Send:
    """Our own client, as the outbox does it."""
    node, caller = Node("ourselves", "ICEMARGIN", "127.0.0.1", port), Ourselves("OURS")

    def send(path: Path) -> None:
        try:
            outgoing = Outgoing.read(path)
            with Call(node, caller, outgoing.proposals()) as call:
                context = outgoing.context(call)
                data = outgoing.data(context.transfer_syntax)
                call.store(context, outgoing.sop_instance_uid, data)
        except (CallError, OutgoingError):
            return

    return send


def _syntax(path: Path) -> str:
    try:
        meta = pydicom.dcmread(path, stop_before_pixels=True).file_meta
    except InvalidDicomError:
        return ""
    return str(meta.get("TransferSyntaxUID", ""))


def shipped(name: str) -> Path:
    """One of the packages' files."""
    path = get_testdata_file(name, download=False)
    assert isinstance(path, str), f"{name} is not in pydicom, nor in pydicom-data"
    return Path(path)


def measure(files: Mapping[str, Path]) -> list[list[str]]:
    """Each file, and what each sender got for it: a header and rows."""
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        orthanc = stack.enter_context(running_orthanc(scratch / "orthanc"))
        senders: dict[str, Callable[[int], Send]] = {
            "storescu": storescu,
            "dcmsend": dcmsend,
            "gdcmscu": gdcmscu,
            "Orthanc": lambda port: orthanc_sends(orthanc, port),
            "icemargin": we_send,
        }
        columns = []
        for name, sender in senders.items():
            # A spool of each one's own: what another has sent must not be there already.
            with receiving(scratch / name) as one:
                send = sender(one.listener.port)
                columns.append([one.outcome(path, send) for path in files.values()])
    return [["File", *senders], *map(list, zip(files, *columns, strict=True))]


def packages_table() -> list[list[str]]:
    """The packages' files; each with what is awkward about it."""
    header, *rows = measure({name: shipped(name) for name in SHIPPED})
    described = [[f"`{row[0]}`", SHIPPED[row[0]], *row[1:]] for row in rows]
    return [[header[0], "What it is", *header[1:]], *described]


def collections_table() -> list[list[str]]:
    """Files of public collections, one by one where each is another syntax, else by folder."""
    paths = sorted(COLLECTIONS.glob("**/*.dcm"))
    header, *rows = measure({str(path.relative_to(COLLECTIONS)): path for path in paths})
    grouped: dict[str, list[list[str]]] = {}
    for name, *cells in rows:
        folder = str(Path(name).parent)
        grouped.setdefault(name if folder == "transfer-syntaxes" else folder, []).append(cells)
    table = [header]
    for name, group in grouped.items():
        # Of CTImage.dcm_DeflatedExplicitVR..., only what tells it from the others.
        short = Path(name).name.partition("dcm_")[2] or name
        counted = [Counter(column) for column in zip(*group, strict=True)]
        table.append(
            [
                f"`{short}`",
                *(
                    "; ".join(f"{n} {cell}" if len(group) > 1 else cell for cell, n in one.items())
                    for one in counted
                ),
            ]
        )
    return table


def markdown(rows: Sequence[Sequence[str]]) -> str:
    """A table."""
    header, *others = rows
    lines = [header, ["---"] * len(header), *others]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def versions() -> str:
    """Of the programs that the tables depend on."""
    said = [
        _said(needed("storescu", "dcmtk"), r"storescu (v\S+)", "dcmtk"),
        _said(needed("gdcmscu", "libgdcm-tools"), r"gdcm (\S+)", "GDCM"),
        _said(orthanc_program(), r"Orthanc (\S+)", "Orthanc"),
    ]
    return ", ".join(said)


def _said(program: str, pattern: str, name: str) -> str:
    said = subprocess.run([program, "--version"], capture_output=True, text=True).stdout
    found = re.search(pattern, said)
    return f"{name} {found[1] if found else '?'}"


def main() -> None:
    """Write the tables of the document anew."""
    text = DOCUMENT.read_text()
    text = replaced(text, "versions", f"{versions()}\n")
    text = replaced(text, "packages", markdown(packages_table()))
    if COLLECTIONS.is_dir():
        text = replaced(text, "collections", markdown(collections_table()))
    DOCUMENT.write_text(text)


if __name__ == "__main__":
    main()
