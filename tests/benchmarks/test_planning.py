"""The time from the last planning object to the structures is that of the real service."""

import pytest

from benchmarks import planning
from benchmarks.__main__ import parser
from benchmarks.latency import read_series
from tests.quick_case import QuickCase


@pytest.mark.parametrize("last", planning.ORDERS)
def test_it_is_measured_whichever_comes_last(quick: QuickCase, last: str) -> None:
    objects = [read_series(quick.planning.folder), read_series(quick.structures)]
    if last == planning.ORDERS[1]:
        objects.reverse()
    assert 0 < planning._one(objects) < planning.PATIENCE_S


def test_the_number_of_runs_can_be_said() -> None:
    assert parser().parse_args(["planning", "--runs", "2"]).runs == 2
