"""Analysis functions: what is an answer about the scan, and what is not."""

import errno
from pathlib import Path
from typing import cast

import pytest

from dicom_listener.pixels import PixelError
from monitor import analysis
from monitor.analysis import Refused
from segmentation.assessment import Reference
from segmentation.moment import Moment


def measured(monkeypatch: pytest.MonkeyPatch, fault: Exception) -> object:
    """The answer where a scan can't be read."""

    def read_volume(*_: object) -> None:
        raise PixelError("unreadable", "A slice can't be read.") from fault

    monkeypatch.setattr(analysis, "read_volume", read_volume)
    return analysis.measure([], cast("Reference", None), Path("none"), Moment())


def test_a_damaged_scan_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    fault = OSError(errno.EIO, "Input/output error")
    assert measured(monkeypatch, fault) == Refused("unreadable", "A slice can't be read.")


def test_a_process_without_memory_says_nothing_about_the_scan(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(MemoryError):
        measured(monkeypatch, OSError(errno.ENOMEM, "Cannot allocate memory"))
