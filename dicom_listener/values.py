"""Typed reading of the raw values of a data set; what can't be read is absent."""

import math
import re
from collections.abc import Mapping
from datetime import datetime, timedelta, timezone, tzinfo
from functools import cached_property
from typing import Final

from pydicom.charset import convert_encodings, decode_bytes, python_encoding
from pydicom.tag import Tag

CHARACTER_SET: Final = int(Tag("SpecificCharacterSet"))

_WHOLE_NUMBER = re.compile(r"[+-]?\d{1,12}")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_OFFSET = re.compile(r"([+-])(\d\d)(\d\d)")
_TIME = re.compile(r"(\d\d)(?::?(\d\d)(?::?(\d\d)(?:\.(\d{1,6})\d*)?)?)?")
_DATE_TIME = re.compile(r"(\d{8})([\d.]+)([+-]\d{4})?")
_DATE = re.compile(r"(\d{4})[.]?(\d\d)[.]?(\d\d)")


class Values:
    """The values of one data set, or of one frame (PS3.5, 6.2), by tag."""

    def __init__(self, values: Mapping[int, bytes], *, little_endian: bool) -> None:
        self.raw = values
        self.little_endian = little_endian

    def code(self, tag: int, *, separated: bool = True) -> str:
        """A value of the default repertoire; the first one of several when ``separated``."""
        text = self.raw.get(tag, b"").decode("ascii", "replace")
        return (text.split("\\")[0] if separated else text).strip(" \0")

    def codes(self, tag: int) -> tuple[str, ...]:
        """All values of the default repertoire."""
        text = self.raw.get(tag, b"").decode("ascii", "replace").strip(" \0")
        return tuple(part.strip(" \0") for part in text.split("\\")) if text else ()

    def text(self, tag: int) -> str:
        """A value in the object's own character set; what is wrong in it is replaced, not lost."""
        return _decode(self.raw.get(tag, b""), self._encodings).strip(" \0")

    def whole_number(self, tag: int) -> int | None:
        """IS."""
        text = self.code(tag)
        return int(text) if _WHOLE_NUMBER.fullmatch(text) else None

    def numbers(self, tag: int, count: int) -> tuple[float, ...] | None:
        """DS with exactly ``count`` finite values."""
        parts = self.codes(tag)
        if len(parts) != count or not all(_NUMBER.fullmatch(part) for part in parts):
            return None
        numbers = tuple(float(part) for part in parts)
        return numbers if all(math.isfinite(number) for number in numbers) else None

    def number(self, tag: int) -> float | None:
        """DS with one finite value."""
        numbers = self.numbers(tag, 1)
        return numbers[0] if numbers else None

    def integer(self, tag: int, *, signed: bool = False) -> int | None:
        """US or UL; SS or SL when ``signed``, whatever VR is written."""
        value = self.raw.get(tag, b"")
        if len(value) not in (2, 4):
            return None
        return int.from_bytes(value, "little" if self.little_endian else "big", signed=signed)

    def date_time(self, tag: int, zone: tzinfo | None) -> datetime | None:
        """DT of at least a day and an hour; ``zone`` where it names none."""
        found = _DATE_TIME.fullmatch(self.code(tag))
        return moment(found[1], found[2], offset(found[3] or "") or zone) if found else None

    @cached_property
    def _encodings(self) -> list[str]:
        """Python's codecs for Specific Character Set; unknown terms are left out."""
        known = [term.strip() for term in self.code(CHARACTER_SET, separated=False).split("\\")]
        known = [term for term in known if term in python_encoding]
        return list(convert_encodings(known)) if known else ["iso8859"]


def _decode(value: bytes, encodings: list[str]) -> str:
    if len(encodings) == 1 and b"\x1b" not in value:
        return value.decode(encodings[0], "replace")
    try:
        return decode_bytes(value, encodings, {0x5C, 0x5E, 0x3D})  # backslash, caret, equals sign
    except (LookupError, ValueError, UserWarning):
        return value.decode("latin-1")


def offset(text: str) -> tzinfo | None:
    """``+HHMM`` or ``-HHMM`` from UTC."""
    found = _OFFSET.fullmatch(text)
    if not found:
        return None
    delta = timedelta(hours=int(found[2]), minutes=int(found[3]))
    try:
        return timezone(delta if found[1] == "+" else -delta)
    except ValueError:
        return None


def moment(date: str, time: str, zone: tzinfo | None) -> datetime | None:
    """DA and TM (also their ACR-NEMA forms with dots and colons) as an aware time.

    ``zone`` None is the zone of this machine.
    """
    day, hour = _DATE.fullmatch(date), _TIME.fullmatch(time)
    if not day or not hour:
        return None
    microsecond = int((hour[4] or "0").ljust(6, "0"))
    try:
        naive = datetime(  # noqa: DTZ001 - made aware on the next line
            int(day[1]),
            int(day[2]),
            int(day[3]),
            int(hour[1]),
            int(hour[2] or 0),
            min(int(hour[3] or 0), 59),  # 60 is a leap second
            microsecond,
        )
        return naive.replace(tzinfo=zone) if zone else naive.astimezone()
    except (ValueError, OverflowError):
        return None
