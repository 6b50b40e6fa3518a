"""Counts that many threads may add to."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from dicom_listener.counters import MAXIMUM_PEERS, OTHERS, Counters, Counts, PeerCounts


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


def test_peers_apart() -> None:
    counters = Counters()
    counters.add_for("CT 1", objects=2)
    counters.add_for("CT 2", objects_refused=1)
    counters.add_for("CT 1", objects=1)
    assert counters.read_peers() == {
        "CT 1": PeerCounts(objects=3),
        "CT 2": PeerCounts(objects_refused=1),
    }
    with pytest.raises(ValueError, match="no such counter: eggs"):
        counters.add_for("CT 1", eggs=1)


def test_made_up_peers_are_counted_together() -> None:
    counters = Counters()
    for n in range(MAXIMUM_PEERS + 10):
        counters.add_for(f"AE{n}", objects=1)
    found = counters.read_peers()
    assert len(found) == MAXIMUM_PEERS + 1
    assert found[OTHERS].objects == 10
