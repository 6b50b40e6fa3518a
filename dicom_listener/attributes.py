"""Attributes of a request's data set, checked as they are read."""

from typing import Final

from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.sequence import Sequence
from pydicom.tag import Tag

from dicom_listener.syntaxes import is_uid

# Statuses of DIMSE-N services (PS3.7, annex C).
SUCCESS: Final = 0x0000
INVALID_VALUE: Final = 0x0106
PROCESSING_FAILURE: Final = 0x0110
MISSING_ATTRIBUTE: Final = 0x0120
MISSING_VALUE: Final = 0x0121
NOT_AUTHORIZED: Final = 0x0124
RESOURCE_LIMITATION: Final = 0x0213


class RefusalError(Exception):
    """Why a request fails.

    Attributes
    ----------
    status
        Of the answer.
    comment
        Error Comment (0000,0902).
    error_id
        Error ID (0000,0903), where the service defines one.
    """

    def __init__(self, status: int, comment: str, error_id: int | None = None) -> None:
        super().__init__(comment)
        self.status = status
        self.comment = comment
        self.error_id = error_id

    def elements(self) -> Dataset:
        """What of it goes into the answer's command set, besides the status."""
        elements = Dataset()
        elements.ErrorComment = self.comment
        if self.error_id is not None:
            elements.ErrorID = self.error_id
        return elements


def text(data: Dataset, keyword: str) -> str:
    """A single value that must be there.

    Raises
    ------
    RefusalError
        Missing attribute, missing value, or invalid value where there are several.
    """
    value = data.get(keyword)
    if keyword not in data:
        raise RefusalError(MISSING_ATTRIBUTE, f"{_name(keyword)} is missing")
    if value is None or value == "":
        raise RefusalError(MISSING_VALUE, f"{_name(keyword)} is empty")
    if isinstance(value, MultiValue | Sequence | bytes):
        raise RefusalError(INVALID_VALUE, f"{_name(keyword)} is no single value")
    return str(value).strip()


def uid(data: Dataset, keyword: str) -> str:
    """A UID that must be there.

    Raises
    ------
    RefusalError
        As ``text``; invalid value when it is no UID.
    """
    value = text(data, keyword)
    if not is_uid(value):
        raise RefusalError(INVALID_VALUE, f"{_name(keyword)} is no UID")
    return value


def items(data: Dataset, keyword: str) -> list[Dataset]:
    """The items of a sequence; none when it is absent or empty.

    Raises
    ------
    RefusalError
        Invalid value when it is no sequence.
    """
    value = data.get(keyword)
    if value is None or value == "":
        return []
    if not isinstance(value, Sequence):
        raise RefusalError(INVALID_VALUE, f"{_name(keyword)} is no sequence")
    return list(value)


def _name(keyword: str) -> str:
    return f"{keyword} {Tag(keyword)}"
