"""The conformance statement says what the code does; its generated tables are up to date."""

from types import ModuleType

import pytest
from pydicom.uid import UID
from pynetdicom.pdu import A_ASSOCIATE_AC, A_ASSOCIATE_RQ
from pynetdicom.pdu_primitives import (
    A_ASSOCIATE,
    AsynchronousOperationsWindowNegotiation,
    ImplementationClassUIDNotification,
    ImplementationVersionNameNotification,
    MaximumLengthNotification,
    SCP_SCU_RoleSelectionNegotiation,
    SOPClassExtendedNegotiation,
    UserIdentityNegotiation,
)
from pynetdicom.presentation import build_context

from dicom_listener import (
    attributes,
    client,
    commands,
    fetch,
    hosting,
    mpps,
    negotiation,
    peers,
    storing,
    syntaxes,
    transaction,
    worklist,
)
from dicom_listener.events import RefusalCode
from dicom_listener.syntaxes import is_uid
from monitor import __version__
from tests.docs import conformance
from tests.docs.sources import calls, keywords
from tests.docs.tables import quoted, read, replaced, rows, section
from tests.docs.test_documents import literals

TEXT = read(conformance.CONFORMANCE)
ALL_TABLES = [(page, name) for page, tables in conformance.TABLES.items() for name in tables]


@pytest.mark.parametrize(("page", "name"), ALL_TABLES)
def test_the_table_is_up_to_date(page: str, name: str) -> None:
    text = read(page)
    written = replaced(text, name, conformance.TABLES[page][name]())
    assert text == written, "run `make conformance`"


def test_a_table_that_was_changed_by_hand_is_found() -> None:
    forged = TEXT.replace("`A900`", "`A901`")
    made = conformance.TABLES[conformance.CONFORMANCE]["store statuses"]()
    assert replaced(forged, "store statuses", made) != forged


def test_every_table_between_marks_is_made_by_somebody() -> None:
    for page, tables in conformance.TABLES.items():
        marks = [line for line in read(page).splitlines() if line.startswith("<!-- ")]
        wanted = [mark for n in tables for mark in (f"<!-- {n} -->", f"<!-- end of {n} -->")]
        assert sorted(marks) == sorted(wanted)


def test_it_is_of_this_version_and_says_what_it_is_not() -> None:
    words = " ".join(TEXT.replace("**", "").split())
    assert f"icemargin {__version__}." in words
    assert "not a medical device" in words
    assert "must not be used to guide treatment" in words


def test_it_has_the_sections_of_the_standards_template() -> None:
    wanted = (
        "1 Conformance statement overview",
        "3 Introduction",
        "4 Networking",
        "4.1 Implementation model",
        "4.2 AE specification",
        "4.3 Network interfaces",
        "4.4 Configuration",
        "5 Media interchange",
        "6 Support of character sets",
        "7 Security",
        "8 Annexes",
    )
    found = [line.strip("# ") for line in TEXT.splitlines() if line.startswith("#")]
    assert [heading for heading in found if heading in wanted] == list(wanted)


@pytest.mark.parametrize(
    "module",
    [attributes, client, hosting, mpps, storing, transaction, fetch],
    ids=lambda m: m.__name__,
)
def test_every_status_that_a_module_knows_is_in_it(module: ModuleType) -> None:
    """By value, so that a new one must be written down."""
    numbers = {
        name: value
        for name, value in vars(module).items()
        if name.isupper() and isinstance(value, int) and 0x0100 <= value <= 0xFFFF
    }
    statuses = numbers.keys() - vars(commands).keys() - {"WRITTEN_ADDRESSES"}
    statuses = {name for name in statuses if not name.startswith("MAXIMUM_")}
    for name, value in ((name, numbers[name]) for name in sorted(statuses)):
        assert f"{value:04X}" in TEXT, name


@pytest.mark.parametrize(
    ("heading", "modules", "names"),
    [
        ("4.2.4.4 Modality Performed Procedure Step", (mpps, attributes), ("_answer_step",)),
        ("4.2.4.5 Storage Commitment Push Model", (transaction,), ("_answer_commitment",)),
    ],
)
def test_every_status_that_is_answered_is_in_its_table(
    heading: str, modules: tuple[ModuleType, ...], names: tuple[str, ...]
) -> None:
    known = vars(hosting) | vars(mpps) | vars(attributes) | vars(transaction)
    said = [one for module in modules for one in calls(module, "RefusalError")]
    said += [one for one in calls(hosting, "Answer") if one.function in names]
    answered = {known[name] for one in said for name in one.subjects if name in known}
    if transaction in modules:  # what it can't read is told as an invalid argument
        answered.add(transaction.INVALID_ARGUMENT)
    assert len(answered) > 4
    tabled = {quoted(row[0])[0] for row in rows(section(TEXT, heading))}
    assert {f"{value:04X}" for value in answered} <= tabled


def test_every_refusal_of_an_object_is_there_with_its_sentences() -> None:
    table = {
        quoted(row[1])[0]: row
        for row in rows(section(TEXT, "4.2.4.3 Storage"))
        if len(row) == 3 and quoted(row[1])
    }
    assert set(table) == set(storing.STATUS) <= literals(RefusalCode)
    for code, status in storing.STATUS.items():
        assert quoted(table[code][0]) == [f"{status:04X}"]
        assert table[code][2] != "–" or code == "error", code


def test_every_rejection_is_there_with_its_sentences() -> None:
    codes = {v for v in vars(peers).values() if isinstance(v, tuple) and len(v) == 3}
    table = [
        row for row in rows(section(TEXT, "4.2.4 Association acceptance policy")) if len(row) == 4
    ]
    found = {tuple(int(cell.split(":")[0]) for cell in row[:3]): row[3] for row in table}
    assert set(found) == codes
    assert all(found.values())
    said = {s.text for module in (peers, hosting) for s in calls(module, "Rejection")}
    assert len(said) > 5
    for text in said:
        assert any(text in cell for cell in found.values()), text


def test_every_sop_class_that_the_code_names_is_in_it() -> None:
    named = {
        value
        for module in (negotiation, syntaxes, fetch, worklist)
        for value in vars(module).values()
        if isinstance(value, str) and is_uid(value) and UID(value).type == "SOP Class"
    }
    assert len(named) >= 6
    for uid in named | syntaxes.STORAGE_CLASSES | set(syntaxes.ACCEPTED_SYNTAXES):
        assert f"`{uid}`" in TEXT, uid


def test_transfer_syntaxes_are_in_the_order_that_counts() -> None:
    listed = [
        quoted(row[2])[0]
        for row in rows(section(TEXT, "4.2.4.1 Presentation contexts"))
        if len(row) == 4
    ]
    assert listed == list(syntaxes.ACCEPTED_SYNTAXES)


def test_the_classes_that_are_only_provided_can_be_negotiated_and_no_others() -> None:
    table = rows(section(TEXT, "1 Conformance statement overview"))
    listed = {quoted(row[1])[0]: row[3] for row in table if quoted(row[1])}
    assert len(listed) > 5
    for uid, provided in listed.items():
        taken = bool(negotiation.syntaxes_for(uid, peers.SERVICES))
        assert provided == ("yes" if taken else "no"), uid


def test_the_keys_that_match_are_keys_that_are_asked() -> None:
    asked = {*keywords(fetch), *keywords(worklist, "_question")}
    table = [
        row
        for row in rows(section(TEXT, "4.2.3.3 Activity: find and fetch a study"))
        if len(row) == 3
    ]
    named = {word for row in table for word in row[2].split(", ")}
    assert named
    assert named <= asked


def test_what_it_says_to_be_read_over_is_not_answered() -> None:
    window = AsynchronousOperationsWindowNegotiation()
    window.maximum_number_operations_invoked = window.maximum_number_operations_performed = 5
    role = SCP_SCU_RoleSelectionNegotiation()
    role.sop_class_uid = UID(syntaxes.CT_IMAGE_STORAGE)
    role.scu_role, role.scp_role = True, True
    extended = SOPClassExtendedNegotiation()
    extended.sop_class_uid, extended.service_class_application_information = (
        role.sop_class_uid,
        b"\1",
    )
    user = UserIdentityNegotiation()
    user.user_identity_type, user.primary_field = 1, b"somebody"
    user.positive_response_requested = True
    length = MaximumLengthNotification()
    implementation = ImplementationClassUIDNotification()
    implementation.implementation_class_uid = UID("1.2.3")
    asked = A_ASSOCIATE()
    asked.application_context_name = UID(negotiation.APPLICATION_CONTEXT_NAME)
    asked.calling_ae_title, asked.called_ae_title = "CT1", "ICEMARGIN"
    asked.presentation_context_definition_list = [build_context(syntaxes.VERIFICATION)]
    asked.presentation_context_definition_list[0].context_id = 1
    asked.user_information = [length, implementation, window, role, extended, user]
    request = A_ASSOCIATE_RQ()
    request.from_primitive(asked)
    read_in = negotiation.read_request(memoryview(request.encode())[6:])
    _, answer = negotiation.negotiate(read_in, peers.SERVICES, 131072)
    accepted = A_ASSOCIATE_AC()
    accepted.decode(answer)
    items = accepted.to_primitive().user_information
    assert [type(item) for item in items] == [
        MaximumLengthNotification,
        ImplementationClassUIDNotification,
        ImplementationVersionNameNotification,
    ]
