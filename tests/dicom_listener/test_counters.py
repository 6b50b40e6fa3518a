"""Counts that many threads may add to."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from dicom_listener.counters import Counters, Counts


def test_adding() -> None:
    counters = Counters()
    counters.add(echoes=2, bytes_received=10)
    counters.add(bytes_received=5)
    assert counters.read() == Counts(echoes=2, bytes_received=15)


def test_an_unknown_one_raises() -> None:
    with pytest.raises(ValueError, match="no such counter: eggs"):
        Counters().add(eggs=1)


def test_many_threads() -> None:
    counters = Counters()
    with ThreadPoolExecutor(8) as pool:
        for _ in range(2000):
            pool.submit(counters.add, objects_stored=1)
    assert counters.read().objects_stored == 2000
