"""Storage commitment's two data sets: what is asked for, and what is answered (PS3.4, J.3)."""

from collections.abc import Mapping
from typing import Final

from pydicom.dataset import Dataset

from dicom_listener.attributes import RESOURCE_LIMITATION, RefusalError, items, uid

INVALID_ARGUMENT: Final = 0x0115
"""Status of a request that can't be understood (PS3.7, annex C)."""

NO_SUCH_OBJECT: Final = 0x0112
CLASS_INSTANCE_CONFLICT: Final = 0x0119
DUPLICATE_TRANSACTION: Final = 0x0131
"""Failure Reason (0008,1197) (PS3.3, C.14.1.1): not held; held as another SOP class; the
transaction UID was used before for other instances."""

ALL_COMMITTED: Final = 1
FAILURES_EXIST: Final = 2
"""Event Type ID (PS3.4, table J.3-2)."""

MAXIMUM_INSTANCES: Final = 50_000
"""In one request; one with more is refused for want of resources."""

Instances = tuple[tuple[str, str], ...]
"""(SOP class UID, SOP instance UID) of each."""


def read_request(information: Dataset) -> tuple[str, Instances]:
    """Transaction UID, and what is asked for, each once (PS3.4, table J.3-1).

    Raises
    ------
    RefusalError
        Invalid argument, or resource limitation.
    """
    try:
        transaction = uid(information, "TransactionUID")
        references = items(information, "ReferencedSOPSequence")
        named = {
            uid(item, "ReferencedSOPInstanceUID"): uid(item, "ReferencedSOPClassUID")
            for item in references[:MAXIMUM_INSTANCES]
        }
    except RefusalError as refusal:
        raise RefusalError(INVALID_ARGUMENT, refusal.comment) from refusal
    if not named:
        raise RefusalError(INVALID_ARGUMENT, "ReferencedSOPSequence must have an item")
    if len(references) > MAXIMUM_INSTANCES:
        raise RefusalError(RESOURCE_LIMITATION, "There are too many instances in one request")
    return transaction, tuple((sop_class, instance) for instance, sop_class in named.items())


def result(
    transaction_uid: str, instances: Instances, failed: Mapping[str, int]
) -> tuple[int, Dataset]:
    """Event Type ID and Event Information (PS3.4, table J.3-2).

    ``failed`` has the Failure Reason of each SOP instance that is not committed.
    """
    information = Dataset()
    information.TransactionUID = transaction_uid
    committed: list[Dataset] = []
    refused: list[Dataset] = []
    for sop_class, instance in instances:
        item = Dataset()
        item.ReferencedSOPClassUID = sop_class
        item.ReferencedSOPInstanceUID = instance
        if instance in failed:
            item.FailureReason = failed[instance]
        (refused if instance in failed else committed).append(item)
    if committed:
        information.ReferencedSOPSequence = committed
    if refused:
        information.FailedSOPSequence = refused
    return (FAILURES_EXIST if refused else ALL_COMMITTED), information
