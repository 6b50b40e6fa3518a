"""An answer to a query, read at the border: a wrong value is absent, and never an exception."""

from datetime import datetime, tzinfo

from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import Tag

from dicom_listener.syntaxes import is_uid
from dicom_listener.values import CHARACTER_SET, Values, moment


class Record:
    """Values of one answer, or of an item in it, by their DICOM keywords.

    ``character_set`` is that of what an item lies in; its own comes first.
    """

    def __init__(self, dataset: Dataset, character_set: bytes = b"") -> None:
        self._dataset = dataset
        raw: dict[int, bytes] = {CHARACTER_SET: character_set} if character_set else {}
        for tag in dataset.keys():  # noqa: SIM118  a data set gives elements, not tags
            element: object = dataset.get_item(tag)
            if isinstance(element, RawDataElement) and isinstance(element.value, bytes):
                raw[int(tag)] = element.value
        self._character_set = raw.get(CHARACTER_SET, b"")
        self._values = Values(raw, little_endian=True)

    def text(self, keyword: str) -> str:
        """Text in the answer's own character set."""
        return self._values.text(int(Tag(keyword)))

    def code(self, keyword: str) -> str:
        """A value of the default repertoire; several are joined by a comma."""
        return ", ".join(self._values.codes(int(Tag(keyword))))

    def uid(self, keyword: str) -> str:
        """A UID; empty when it is none."""
        uid = self._values.code(int(Tag(keyword)))
        return uid if is_uid(uid) else ""

    def whole_number(self, keyword: str) -> int | None:
        """A number written as text."""
        return self._values.whole_number(int(Tag(keyword)))

    def moment(self, date: str, time: str, zone: tzinfo | None = None) -> datetime | None:
        """A date with its time, aware; None when there is no date.

        ``zone`` is that of the peer's clock; None is that of this machine.
        """
        return moment(self.code(date), self.code(time) or "00", zone)

    def items(self, keyword: str) -> list["Record"]:
        """The items of a sequence."""
        try:
            element = self._dataset[keyword]
            items = list(element.value or ()) if element.VR == "SQ" else []
        except (KeyError, ValueError, TypeError, NotImplementedError, EOFError):
            return []
        return [Record(item, self._character_set) for item in items]
