"""The time from the last planning object to the structures is that of the real service."""

from benchmarks import planning
from benchmarks.__main__ import parser
from benchmarks.latency import read_series
from tests.quick_case import QuickCase


def test_it_is_measured(quick: QuickCase) -> None:
    objects = [read_series(quick.planning.folder), read_series(quick.structures)]
    assert 0 < planning._one(objects) < planning.PATIENCE_S


def test_the_number_of_runs_can_be_said() -> None:
    assert parser().parse_args(["planning", "--runs", "2"]).runs == 2
