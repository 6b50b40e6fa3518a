"""What ``receiving.md`` says of series, steps and commitment is so in the code."""

from typing import get_args

import pytest

from dicom_listener import attributes, commitment, lists, mpps, transaction
from dicom_listener.arrivals import MENDABLE
from dicom_listener.assembled import Evidence
from dicom_listener.series import AssemblerSettings
from dicom_listener.transitions import State
from tests.docs.tables import quoted, read, rows, section

PAGE = read("docs/receiving.md")


def test_evidence() -> None:
    """Strongest first, as the type has it."""
    named = [quoted(row[0])[0] for row in rows(section(PAGE, "When a series is complete"))]
    assert named == [one for one in get_args(Evidence) if one != "none"]


def test_states() -> None:
    named = {row[0] for row in rows(section(PAGE, "What may be said of a series"))}
    assert named == {state.value for state in State}


def test_reasons_that_slices_can_mend() -> None:
    named = {
        code for row in rows(section(PAGE, "Why a series is not final")) for code in quoted(row[0])
    }
    assert named >= MENDABLE


@pytest.mark.parametrize(
    "words",
    [
        f"{AssemblerSettings().maximum_open} series",
        f"{AssemblerSettings().maximum_remembered} judged series",
        f"{AssemblerSettings().maximum_slices} slices in a series",
        f"{lists.MAXIMUM_INSTANCES:,} instances in {lists.MAXIMUM_LISTS} lists".replace(",", " "),
        f"{mpps.MAXIMUM_STEPS} performed procedure steps",
        f"{mpps.MAXIMUM_INSTANCES:,} instances in {mpps.MAXIMUM_SERIES} series".replace(",", " "),
        f"{transaction.MAXIMUM_INSTANCES:,} in one request for commitment".replace(",", " "),
        f"{commitment.CommitmentSettings().maximum_pending} reports on commitment",
    ],
)
def test_bounds(words: str) -> None:
    assert words in section(PAGE, "Bounds")


def test_statuses_of_steps() -> None:
    named = {
        int(code, 16)
        for row in rows(section(PAGE, "Performed procedure steps (MPPS)"))
        for code in quoted(row[0])
    }
    assert named == {
        attributes.SUCCESS,
        attributes.INVALID_VALUE,
        attributes.PROCESSING_FAILURE,
        mpps.DUPLICATE_INSTANCE,
        mpps.NO_SUCH_INSTANCE,
        attributes.MISSING_ATTRIBUTE,
        attributes.MISSING_VALUE,
        attributes.NOT_AUTHORIZED,
        attributes.RESOURCE_LIMITATION,
    }


def test_reasons_of_failed_commitment() -> None:
    named = {int(quoted(row[0])[0], 16) for row in rows(section(PAGE, "Storage commitment"))}
    assert named == {
        transaction.NO_SUCH_OBJECT,
        transaction.CLASS_INSTANCE_CONFLICT,
        transaction.DUPLICATE_TRANSACTION,
    }
