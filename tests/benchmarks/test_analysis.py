"""Time, memory and repetition of the analysis."""

import subprocess
import sys
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

from benchmarks.analysis import (
    Analysis,
    Timed,
    as_markdown,
    last_scan,
    numbers_digest,
    time_analysis,
)
from benchmarks.machine import peak_bytes
from benchmarks.simulated import Stored
from tests.quick_case import QuickCase

GOOD = Analysis(
    timed=(
        Timed(60, (0.3, 0.4, 0.5), 0.45, {"ice": 0.3}, 1_500_000_000, "a"),
        Timed(300, (0.8, 0.8, 0.8), 0.9, {"ice": 0.7}, 1_000_000_000, "b"),
    ),
    repeated={60: True, 300: True},
    cores=2,
    naive_s={"smooth": 9.0, "register": 1.0},
)
"""At every limit."""


def test_all_targets_are_met_at_their_limits() -> None:
    assert GOOD.ratio == pytest.approx(25)
    assert GOOD.failures == ()
    assert replace(GOOD, naive_s=None).failures == ()
    assert replace(GOOD, naive_s=None).ratio is None


@pytest.mark.parametrize(
    ("changed", "text"),
    [
        ({"timed": (replace(GOOD.timed[0], seconds=(0.401,)), GOOD.timed[1])}, "60 slices: 0.401"),
        ({"timed": (GOOD.timed[0], replace(GOOD.timed[1], seconds=(0.81,)))}, "300 slices: 0.810"),
        ({"timed": (replace(GOOD.timed[0], peak_bytes=1_510_000_000), GOOD.timed[1])}, "1.51 GB"),
        ({"repeated": {60: True, 300: False}}, "different numbers"),
        ({"naive_s": {"smooth": 9.9}}, "25 times the naive"),
    ],
)
def test_each_target_is_missed_beyond_its_limit(changed: dict[str, Any], text: str) -> None:
    failures = replace(GOOD, **{"naive_s": None, **changed}).failures
    assert len(failures) == 1
    assert text in failures[0]


def test_the_table_tells_times_stages_and_the_ratio() -> None:
    text = as_markdown(GOOD)
    row = next(line for line in text.splitlines() if line.startswith("| 60 "))
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells == ["60", "0.300", "0.400", "0.500", "0.4", "0.450", "0.300", "1.50 GB", "yes"]
    assert "**25 times**" in text
    assert "naive" not in as_markdown(replace(GOOD, naive_s=None))


def test_a_quick_scan_is_timed_and_repeats(quick: QuickCase) -> None:
    job = last_scan(Stored(quick.folder, quick.monitoring[0].ice_file.parent))
    assert job.scan == tuple(quick.monitoring[-1].files)
    assert job.baseline == tuple(quick.baseline.files)
    timed = time_analysis(job, 2)
    assert (timed.slices, len(timed.seconds)) == (24, 2)
    assert set(timed.stages_s) >= {"registration", "ice", "margins"}
    assert sum(timed.stages_s.values()) <= max(timed.seconds)
    assert timed.cpu_s > 0
    assert time_analysis(job, 0).digest == timed.digest
    other = last_scan(Stored(quick.folder, quick.monitoring[0].ice_file.parent))
    earlier = replace(other, scan=tuple(quick.monitoring[0].files))
    assert time_analysis(earlier, 0).digest != timed.digest


@dataclass(frozen=True)
class _Inner:
    values: Any


def test_a_digest_tells_every_number_to_the_last_bit() -> None:
    trees = [
        _Inner((1.0, "a", None, {"b": np.arange(3.0)})),
        _Inner((1.0, "a", None, {"b": np.array([0, 1, 2 + 1e-15])})),
        _Inner((np.nextafter(1.0, 2), "a", None, {"b": np.arange(3.0)})),
        _Inner((1.0, "a", None, {"b": np.arange(3)})),
        _Inner((1.0, "a", None, {"c": np.arange(3.0)})),
        _Inner((True, "a", None, {"b": np.arange(3.0)})),
    ]
    assert numbers_digest(trees[0]) == numbers_digest(
        _Inner((1.0, "a", None, {"b": np.arange(3.0)}))
    )
    assert len({numbers_digest(tree) for tree in trees}) == len(trees)
    with pytest.raises(TypeError, match="object"):
        numbers_digest(_Inner(object()))


def test_peak_memory_is_the_processs_own() -> None:
    held = np.ones(30_000_000, dtype=np.uint8)
    assert peak_bytes() > held.nbytes
    program = "from benchmarks.machine import peak_bytes; print(peak_bytes())"
    child = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert int(child.stdout) < 60e6
