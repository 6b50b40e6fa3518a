"""What is large is handed to an analysis process once, by a file."""

import gc
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from monitor.lending import Lending, Lent, taken
from monitor.workers import Workers, process_pool
from segmentation.assessment import Reference
from segmentation.volume import Volume
from tests.waiting import PATIENCE_S

NOTHING = cast("Any", None)


def reference(value: int) -> Reference:
    """Of which only the baseline is anything."""
    array = np.full((2, 3, 4), value, dtype=np.int16)
    volume = Volume(array, np.zeros(3), np.eye(3), np.ones(3))
    return Reference(volume, NOTHING, NOTHING, (), None)


@pytest.fixture
def lending(tmp_path: Path) -> Iterator[Lending]:
    lending = Lending(tmp_path / "lent")
    yield lending
    lending.close()
    assert not (tmp_path / "lent").exists()


def files(tmp_path: Path) -> list[Path]:
    return list((tmp_path / "lent").glob("*"))


def test_it_is_written_once_and_read_once(lending: Lending, tmp_path: Path) -> None:
    what = reference(7)
    lent, number = lending.lend((what, 3))
    assert (type(lent), number) == (Lent, 3)
    assert lending.lend((what,)) == [lent]
    assert len(files(tmp_path)) == 1
    found = taken(lent)
    assert taken(lent) is found
    assert np.array_equal(found.baseline.array, what.baseline.array)
    assert taken(3) == 3


def test_jobs_that_share_it_cant_change_it(lending: Lending) -> None:
    what = reference(7)
    (lent,) = lending.lend((what,))
    with pytest.raises(ValueError, match="read-only"):
        taken(lent).baseline.array[0] = 1


def test_the_file_goes_with_the_reference(lending: Lending, tmp_path: Path) -> None:
    kept, gone = reference(1), reference(2)
    lent, _ = lending.lend((kept, gone))
    del gone
    gc.collect()
    assert files(tmp_path) == [lent.path]


def test_what_a_killed_service_has_left_goes(tmp_path: Path) -> None:
    left = tmp_path / "lent" / "left"
    left.parent.mkdir()
    left.touch()
    Lending(tmp_path / "lent")
    assert not left.exists()


def test_where_no_file_can_be_written_it_is_sent(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    what = reference(7)
    assert Lending(tmp_path / "file" / "lent").lend((what,)) == [what]
    assert "sent with each job" in caplog.text


def total(of: Reference) -> int:
    """A job."""
    return int(of.baseline.array.sum())


def test_a_job_gets_the_reference_itself(tmp_path: Path) -> None:
    workers = Workers(lambda: process_pool(1), tmp_path / "lent")
    try:
        what = reference(7)
        assert workers.submit(0, total, what).result(PATIENCE_S) == 7 * 24
        assert len(files(tmp_path)) == 1
    finally:
        workers.close()
    assert not (tmp_path / "lent").exists()
