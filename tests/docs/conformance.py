"""The tables of docs/conformance.md and docs/connecting-a-scanner.md that the code holds.

``make conformance`` writes them anew, between their marks.
"""

import io
import json
import re
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import MISSING
from itertools import groupby
from pathlib import Path
from types import ModuleType
from typing import Final, get_args

import pydicom
from pydicom.datadict import dictionary_keyword, tag_for_keyword
from pydicom.sr.coding import Code
from pydicom.tag import Tag
from pydicom.uid import UID, SegmentationStorage
from pynetdicom import sop_class
from pynetdicom.pdu import A_ASSOCIATE_RJ

import dicom_listener.commands
from dicom_listener import (
    acceptor,
    arrivals,
    association,
    attributes,
    commitment,
    connection,
    counters,
    encoded,
    extents,
    fetch,
    file_meta,
    frames,
    headers,
    hosting,
    images,
    listener,
    lists,
    messages,
    mpps,
    negotiation,
    nodes,
    outbox,
    pace,
    peers,
    pixels,
    reception,
    reports,
    series,
    server,
    spool,
    storing,
    syntaxes,
    transaction,
    transitions,
    wire,
    worklist,
)
from dicom_listener.assembled import CT_CLASSES
from dicom_listener.events import ListenerEvent
from monitor import rtstruct, segmentation_object, segmentations
from monitor.config import Peer
from segmentation import volume
from tests.docs.sources import PLACE, Said, calls, constants, described, keywords
from tests.docs.tables import quoted, read, replaced, rows, write

Rows = Iterable[Iterable[object]]

CONFORMANCE: Final = "docs/conformance.md"
CONNECTING: Final = "docs/connecting-a-scanner.md"

USED: Final = (
    syntaxes.VERIFICATION,
    SegmentationStorage,
    worklist.MODALITY_WORKLIST_FIND,
    fetch.STUDY_ROOT_FIND,
    fetch.STUDY_ROOT_MOVE,
)
"""SOP classes that we are the user of."""

BOUNDS: Final[tuple[tuple[ModuleType, str], ...]] = (
    (acceptor, "A peer's message"),
    (messages, "A peer's message"),
    (dicom_listener.commands, "A peer's message"),
    (pace, "A peer's message"),
    (wire, "A peer's connection"),
    (server, "A peer's connection"),
    (hosting, "A peer's connection"),
    (counters, "A peer's connection"),
    (reception, "An object"),
    (encoded, "An object"),
    (frames, "An object"),
    (images, "An object"),
    (pixels, "An object"),
    (series, "A series"),
    (extents, "A series"),
    (lists, "A series"),
    (mpps, "Performed steps"),
    (transaction, "Storage commitment"),
    (commitment, "Storage commitment"),
    (reports, "Storage commitment"),
    (association, "Our own calls"),
    (connection, "Our own calls"),
    (outbox, "Our own calls"),
    (worklist, "Our own calls"),
    (fetch, "Our own calls"),
)
"""Modules with bounds, and what these are of."""

SETTINGS: Final[tuple[tuple[type, str, tuple[str, ...]], ...]] = (
    (
        listener.ListenerSettings,
        "A peer's connection",
        ("maximum_pdu_bytes", "request_s", "message_s", "idle_s", "stop_s"),
    ),
    (
        series.AssemblerSettings,
        "A series",
        ("patience_s", "maximum_open", "maximum_remembered", "maximum_slices"),
    ),
    (
        commitment.CommitmentSettings,
        "Storage commitment",
        (
            "grace_s",
            "look_s",
            "retry_first_s",
            "retry_longest_s",
            "give_up_s",
            "maximum_pending",
        ),
    ),
    (nodes.Ourselves, "Our own calls", ("connect_s", "answer_s", "move_s")),
    (outbox.OutboxLimits, "Our own calls", ("files",)),
)
"""The same for settings that no key changes; one without a peer of its own has the first ones."""

UNSAID: Final[Mapping[str, str]] = {
    "SUCCESS": "(it is durable)",
    "NO_SUCH_INSTANCE": "(the SOP instance is not that of the service)",
    "NO_SUCH_CLASS": "(the SOP class is not that of the presentation context)",
    "INVALID_INSTANCE": "(the SOP instance UID is missing, or none)",
    "NO_SUCH_ACTION": "(the Action Type ID is not 1)",
    "UNRECOGNIZED_OPERATION": "(no request of this service)",
}
"""Why, for statuses that go without a sentence."""

OUR_FAULT: Final = ("A defect of the service.",)
UNHEARD: Final = ("TLS", "The peer has", "The connection", "released in the middle")
"""Ends of an association that no A-ABORT tells of: nobody hears it any more, or it is released."""

_BOUND = re.compile(
    "MAXIMUM|MINIMUM|LINGER|SLACK|SPILL|ANSWERS|WRITTEN|BACKLOG|BATCH|CALLS|TIMES$|TRIES$|_S$"
)
_READING = {"read_part10", "read_header", "read_items", "items", "split_part10", "split_syntax"}
"""Functions that look at files, or into sequences: what they say is not said to a peer."""


def table(head: Iterable[str], body: Rows) -> str:
    """A Markdown table."""
    first, *rest = ([str(cell).replace("|", r"\|") or "–" for cell in row] for row in (head, *body))
    lines = (f"| {' | '.join(line)} |\n" for line in (first, *rest))
    return next(lines) + "|---" * len(first) + "|\n" + "".join(lines)


def name_of(uid: str) -> str:
    """A UID's name in the standard; of what is newer than pydicom, made from its keyword."""
    newer = {str(v): k for k, v in vars(sop_class).items() if isinstance(v, UID)}
    name = UID(uid).name
    return name if name != uid else re.sub(r"(?<=[a-z])(?=[A-Z])", " ", newer[uid])


def yes(truth: object) -> str:
    """For a table."""
    return "yes" if truth else "no"


def tagged(keyword: str) -> str:
    """A keyword with its tag."""
    tag = tag_for_keyword(keyword)
    assert tag is not None, keyword
    return f"{keyword} {Tag(tag)}"


# What is offered


def services() -> str:
    taken = (negotiation.PERFORMED_STEP, negotiation.COMMITMENT)
    offered = {uid: bool(negotiation.syntaxes_for(uid, peers.SERVICES)) for uid in (*USED, *taken)}
    body = [(name_of(u), f"`{u}`", yes(u in USED), yes(p)) for u, p in offered.items()]
    body.append(("All storage SOP classes (see 8.1)", "", "no", "yes"))
    return table(("SOP class", "UID", "User (SCU)", "Provider (SCP)"), body)


def storage_classes() -> str:
    use = dict.fromkeys(CT_CLASSES, "measured") | {rtstruct.RTSTRUCT: "contours are read"}
    use |= {
        segmentations.SEGMENTATION: "segments are read; also sent",
        segmentations.LABEL_MAP: "segments are read",
    }
    body = sorted((name_of(u), f"`{u}`", use.get(u, "stored")) for u in syntaxes.STORAGE_CLASSES)
    return table(("SOP class", "UID", "Use"), body)


def transfer_syntaxes() -> str:
    measured = dict.fromkeys(syntaxes.ACCEPTED_SYNTAXES, "yes")
    measured |= dict.fromkeys(syntaxes.LOSSY, "never")
    measured |= dict.fromkeys(syntaxes.MAYBE_LOSSY, "where nothing says that it is lossy")
    body = (
        (n, name_of(uid), f"`{uid}`", measured[uid])
        for n, uid in enumerate(syntaxes.ACCEPTED_SYNTAXES, 1)
    )
    return table(("Order", "Transfer syntax", "UID", "CT in it is measured"), body)


def plain_syntaxes() -> str:
    body = ((n, name_of(uid), f"`{uid}`") for n, uid in enumerate(syntaxes.UNCOMPRESSED, 1))
    return table(("Order", "Transfer syntax", "UID"), body)


def identification() -> str:
    body = (
        ("Application context name", f"`{negotiation.APPLICATION_CONTEXT_NAME}`"),
        ("Implementation class UID", f"`{file_meta.IMPLEMENTATION_CLASS_UID}`"),
        (
            "Implementation version name",
            f"`{negotiation.IMPLEMENTATION_VERSION_NAME}` as acceptor; none as requestor",
        ),
        ("Longest PDU received, as acceptor", "`maximum_pdu_kb` of the peer"),
        ("Longest PDU received, as requestor", f"{association.MAXIMUM_SENT_PDU_BYTES} bytes"),
        ("Longest PDU sent, as requestor", f"{association.MAXIMUM_SENT_PDU_BYTES} bytes"),
    )
    return table(("What", "Value"), body)


# What is answered


def rejections() -> str:
    said = sentences((*calls(peers, "Rejection"), *calls(hosting, "Rejection")))
    body = []
    for name, (value, _) in constants(peers).items():
        if isinstance(value, tuple):
            pdu = A_ASSOCIATE_RJ()
            pdu.result, pdu.source, pdu.reason_diagnostic = value
            words = pdu.result_str, pdu.source_str, pdu.reason_str
            shown = (f"{n}: {word}" for n, word in zip(value, words, strict=True))
            body.append((*shown, " ".join(said.get(name, ()))))
    return table(("Result", "Source", "Reason", "In our log"), body)


def aborts() -> str:
    provider = sentences(
        said
        for module in (messages, negotiation, acceptor)
        for said in calls(module, "ProtocolError")
    )
    invalid = "INVALID_PARAMETER"
    provider[invalid] += sentences(calls(dicom_listener.commands, "CommandError"), "text")["text"]
    user = sentences((*calls(acceptor, "_End"), *calls(wire, "WireError")), "text")["text"]
    provider["0"] += [text for text in user if text in OUR_FAULT]
    heard = [text for text in user if text not in OUR_FAULT and not any(u in text for u in UNHEARD)]
    words = {"0": "0: not specified", "_UNKNOWN_PDU": "1: unrecognized PDU"}
    words |= {"UNEXPECTED_PDU": "2: unexpected PDU", invalid: "6: invalid PDU parameter value"}
    words["UNEXPECTED_PARAMETER"] = "5: unexpected PDU parameter"
    body = [("0: service user", "0", text) for text in heard]
    for name, texts in provider.items():
        body += [("2: service provider", words[name], text) for text in texts]
    return table(("Source", "Reason", "In our log"), sorted(body))


def store_statuses() -> str:
    said = sentences(
        one
        for module in (storing, messages, headers, encoded)
        for one in calls(module, "_RefusalError", "_drop", "HeaderError", "DatasetError")
        if one.function not in _READING
    )
    said["spool_full"] = sentences(calls(spool, "SpoolFullError"), "text")["text"]
    said["spool_failed"] += sentences(calls(spool, "SpoolError"), "text")["text"]
    body = [(f"`{storing.SUCCESS:04X}`", "", "")]
    for code, status in storing.STATUS.items():
        body.append((f"`{status:04X}`", f"`{code}`", " ".join(said.get(code, ()))))
    return table(("Status", "Code", "Error comment, and in our log"), body)


def step_statuses() -> str:
    refusals = (*calls(mpps, "RefusalError"), *calls(attributes, "RefusalError"))
    return statuses(("_answer_step", "answer"), refusals, "Error comment, and in our log")


def commitment_statuses() -> str:
    refusals = (*calls(transaction, "RefusalError"), *calls(commitment, "RefusalError"))
    return statuses(("_answer_commitment", "answer"), refusals, "In our log")


def statuses(functions: tuple[str, ...], refusals: Iterable[Said], last: str) -> str:
    """Statuses of DIMSE-N, by their constants' names, and the sentences that go with them."""
    values = {
        name: value
        for module in (attributes, mpps, transaction, hosting)
        for name, value in vars(module).items()
        if isinstance(value, int)
    }
    answers = [one for one in calls(hosting, "Answer") if one.function in functions]
    said = sentences((*answers, *refusals))
    said.setdefault("SUCCESS", [])
    said = {name: texts or [UNSAID[name]] for name, texts in said.items() if name in values}
    found = sorted((values[name], name, texts) for name, texts in said.items())
    body = (
        (f"`{value:04X}`", name.replace("_", " ").capitalize(), "; ".join(texts))
        for value, name, texts in found
    )
    return table(("Status", "Meaning", last), body)


def failure_reasons() -> str:
    texts = {
        "NO_SUCH_OBJECT": "Nothing durable has this SOP Instance UID, after the time of grace.",
        "CLASS_INSTANCE_CONFLICT": "It is held as another SOP class.",
        "DUPLICATE_TRANSACTION": "The transaction UID was used before, for other instances.",
    }
    body = (
        (f"`{getattr(transaction, name):04X}`", name.replace("_", " ").capitalize(), text)
        for name, text in texts.items()
    )
    return table(("Failure reason", "Meaning", "When"), body)


def sentences(said: Iterable[Said], by: str = "") -> dict[str, list[str]]:
    """What is said of each subject, each sentence once; or of all together as ``by``."""
    found: dict[str, list[str]] = {}
    for one in said:
        for subject in (by,) if by else one.subjects:
            texts = found.setdefault(subject, [])
            if one.text.strip(f"{PLACE}. ") and one.text not in texts:
                texts.append(one.text)
    return found


# What we ask for


def outgoing() -> str:
    words = {
        "stored": "It is there; the file is done.",
        "again": "It is tried again, later.",
        "failed": "It is given up, and kept in `failed`.",
    }
    body = []
    for verdict, group in groupby(range(0x10000), outbox.verdict):
        codes = list(group)
        shown = f"`{codes[0]:04X}`" + (f" to `{codes[-1]:04X}`" if len(codes) > 1 else "")
        body.append((shown, words[verdict]))
    return table(("Status", "What follows"), body)


def move_statuses() -> str:
    body = ((f"`{status:04X}`", f"The archive {text}.") for status, text in fetch._REFUSALS.items())
    return table(
        ("Status", "What we say"), [*body, ("any other", f"The archive {fetch._REFUSED}.")]
    )


def query_keys() -> str:
    body = [
        ("Worklist", "matching", "ScheduledProcedureStepStartDate, ScheduledStationAETitle"),
        ("Study", "matching", "PatientID, StudyInstanceUID, StudyDate"),
        ("Series", "matching", "StudyInstanceUID"),
    ]
    asked = {
        "Worklist": keywords(worklist, "_question"),
        "Study": keywords(fetch, "find_studies"),
        "Series": keywords(fetch, "find_series"),
    }
    for what, _, names in list(body):
        rest = (word for word in asked[what] if word not in names.split(", "))
        body.append((what, "returned", ", ".join(rest)))
    return table(("Query", "Keys", "Attributes"), sorted(body))


# Bounds


def keys() -> str:
    known = {quoted(row[0])[0]: (row[1], row[2]) for row in rows(read("docs/configuration.md"))}
    wanted = ("dicom.", "tls.", "archive.", "worklist.", "storage.minimum_free_mb")
    body = ((f"`{k}`", *v) for k, v in known.items() if k.startswith(wanted))
    return table(("Key", "Default", "Meaning"), body)


def peer_keys() -> str:
    text = read("docs/configuration.md")
    bullets = re.findall(r"^- ((?:`.+\n)(?:  .+\n)*)", text, re.MULTILINE)
    body = []
    for bullet in bullets:
        names, _, meaning = " ".join(bullet.split()).partition(": ")
        for name in re.findall(r"`(\w+)`(?: \([^)]*\))?", names):
            if name in Peer.model_fields:
                field = Peer.model_fields[name]
                shown = "must be given"
                if not field.is_required():
                    shown = f"`{json.dumps(field.get_default())}`"
                body.append((f"`{name}`", shown, meaning[0].upper() + meaning[1:]))
    return table(("Key of a peer", "Default", "Meaning"), body)


def bounds() -> str:
    body = []
    for module, of in BOUNDS:
        for name, (value, text) in constants(module).items():
            if _BOUND.search(name) and isinstance(value, int | float):
                body.append((of, f"`{name}`", value, text))
    for cls, of, names in SETTINGS:
        for name, (value, text) in described(cls).items():
            if name in names:
                body.append((of, f"`{name}`", value, text))
    order = list(dict.fromkeys(of for _, of in BOUNDS))
    body.sort(key=lambda row: order.index(row[0]))
    return table(("Of", "Name", "Value", "Meaning"), body)


# What is read and written


def received() -> str:
    of_object = [dictionary_keyword(tag) for tag in sorted(headers.HEADER_TAGS)]
    of_pixels = [dictionary_keyword(t) for t in sorted(images.PIXEL_TAGS - headers.HEADER_TAGS)]
    body = [
        ("Every object", ", ".join(map(tagged, of_object))),
        ("CT, to be measured", ", ".join(map(tagged, of_pixels))),
    ]
    for macro, leaves in frames._MACROS.items():
        own = sorted(set(leaves) - frames._LOSSY)
        names = ", ".join(tagged(dictionary_keyword(tag)) for tag in own)
        body.append((f"Frames, {dictionary_keyword(macro)}", names))
    for what, module in (
        ("RT Structure Set", rtstruct),
        ("Segmentation", segmentations),
        ("Performed procedure step", mpps),
        ("Storage commitment", transaction),
    ):
        body.append((what, ", ".join(map(tagged, sorted(keywords(module))))))
    return table(("Of", "Attributes"), body)


def evidence() -> str:
    judged = [
        e for e in transitions.Event if (transitions.State.OPEN, e) in transitions.TRANSITIONS
    ]
    judged.remove(transitions.Event.SLICE)
    head = ["What has happened", *(verdict.value for verdict in transitions.Verdict)]
    body = []
    for event in judged:
        row = transitions.TRANSITIONS[transitions.State.OPEN, event]
        states = (row[verdict] for verdict in transitions.Verdict)
        words = ("waits" if s is transitions.State.OPEN else s.value for s in states)
        body.append((event.value, *words))
    return table(head, body)


def codes() -> str:
    body = [
        (code.value, code.scheme_designator, code.meaning)
        for code in vars(segmentation_object).values()
        if isinstance(code, Code)
    ]
    return table(("Code value", "Scheme", "Meaning"), body)


def created() -> str:
    """The attributes of a segmentation that was made of altered slices."""
    from tests.monitor.artefacts import make_scan

    with tempfile.TemporaryDirectory() as folder:
        scan = make_scan(Path(folder), "HFS")
        for path in scan.paths:
            source = pydicom.dcmread(path)
            source.Manufacturer = "Scanner"
            source.InstanceNumber += 1000
            source.save_as(path)
        content = segmentation_object.segmentation_object(scan.artefact, scan.paths, "icemargin")
    made = pydicom.dcmread(io.BytesIO(content))
    always = {"SpecificCharacterSet", "SamplesPerPixel", "PhotometricInterpretation"}
    new = {"UI": "new", "DA": "now", "TM": "now", "SQ": "sequence", "OB": "one bit a voxel"}
    body = []
    for element in made:
        same = element.tag in source and source[element.tag].value == element.value
        copied = same and element.keyword not in always
        value = "\\".join(element.value) if element.VM > 1 and element.VR != "SQ" else element.value
        word = "of the images" if copied else new.get(element.VR, f"`{value}`")
        if element.keyword in ("SOPClassUID", "NumberOfFrames", "SoftwareVersions"):
            word = {
                "SOPClassUID": f"`{element.value}`",
                "NumberOfFrames": "slices times segments",
                "SoftwareVersions": "of icemargin",
            }[element.keyword]
        body.append((element.keyword, element.tag, element.VR, word.replace("``", "empty")))
    return table(("Attribute", "Tag", "VR", "Value"), body)


# For the person who connects a scanner


def events() -> str:
    body = []
    for kind in get_args(ListenerEvent):
        doc = (kind.__doc__ or "").partition("\n\n")[0].replace("``", "`")
        body.append(
            (
                f"`{kind.__name__}`",
                " ".join(doc.split()),
                ", ".join(f"`{n}`" for n in described(kind)),
            )
        )
    return table(("Event", "When", "Data"), body)


def figures() -> str:
    body = [("`icemargin_listener`", *row) for row in counted(counters.Counts)]
    last = "Reports on storage commitment that are not delivered yet."
    body.append(("`icemargin_listener`", "`commitments_pending`", last))
    body += [("`icemargin_peer`", *row) for row in counted(counters.PeerCounts)]
    wanted = {"waiting", "sent", "failed", "errors", "oldest_s"}
    shown = [(name, text) for name, (_, text) in described(outbox.NodeFigures).items()]
    for text, group in groupby((one for one in shown if one[0] in wanted), lambda one: one[1]):
        body.append(("`icemargin_archive`", ", ".join(f"`{name}`" for name, _ in group), text))
    return table(("Figure", "`what`", "Meaning"), body)


def counted(cls: type) -> Iterator[tuple[str, str]]:
    """Names and meanings of counters."""
    for name, (default, text) in described(cls).items():
        assert default is not MISSING
        yield f"`{name}`", text


def reasons() -> str:
    said = sentences(
        (
            *calls(arrivals, "Reason"),
            *calls(volume, "GeometryError"),
            *calls(images, "PixelError"),
            *calls(pixels, "PixelError"),
        )
    )
    body = ((f"`{code}`", " ".join(texts)) for code, texts in sorted(said.items()) if texts)
    return table(("Code", "What the page says"), body)


TABLES: Final[Mapping[str, Mapping[str, Callable[[], str]]]] = {
    CONFORMANCE: {
        "services": services,
        "identification": identification,
        "rejections": rejections,
        "aborts": aborts,
        "plain syntaxes": plain_syntaxes,
        "transfer syntaxes": transfer_syntaxes,
        "store statuses": store_statuses,
        "evidence": evidence,
        "step statuses": step_statuses,
        "commitment statuses": commitment_statuses,
        "failure reasons": failure_reasons,
        "outgoing": outgoing,
        "query keys": query_keys,
        "move statuses": move_statuses,
        "keys": keys,
        "peer keys": peer_keys,
        "bounds": bounds,
        "storage classes": storage_classes,
        "created": created,
        "received": received,
        "codes": codes,
    },
    CONNECTING: {"reasons": reasons, "figures": figures, "events": events},
}
"""The tables of each document, by the names of their marks."""


def main() -> None:
    """Write all tables anew."""
    for document, tables in TABLES.items():
        text = read(document)
        for name, make in tables.items():
            text = replaced(text, name, make())
        write(document, text)


if __name__ == "__main__":
    main()
