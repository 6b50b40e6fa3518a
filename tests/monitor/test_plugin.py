"""The plug-in point, with a small stand-in for the model and the real process."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from monitor.config import PluginsSection, Settings, StorageSection
from monitor.decisions import CommandError
from monitor.doctor import examine
from monitor.marking import Marking
from monitor.marking_messages import ProposalBody
from monitor.mask_codec import decode
from monitor.planning_scan import Source
from monitor.plugin import Plugin, problem
from tests.quick_case import QuickCase

WHAT = ProposalBody(series_instance_uid="1.2", method="plug-in")


@pytest.fixture(scope="module")
def source(quick: QuickCase) -> Source:
    return Source("p", "1.2", 1, "", tuple(quick.planning.files), Path("none"), (), False, 1)


@pytest.fixture(scope="module")
def marking(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Marking]:
    plugin = Plugin("tests.monitor.stand_in:bright", 60, "(?i)tumour", "(?i)hil")
    made = Marking(tmp_path_factory.mktemp("plugin"), plugin)
    yield made
    made.close()


def use(marking: Marking, name: str, timeout_s: float = 60) -> None:
    marking._plugin = replace(marking._plugin, name=name, timeout_s=timeout_s)


def test_what_it_finds_is_proposed(marking: Marking, source: Source) -> None:
    use(marking, "tests.monitor.stand_in:bright")
    found = marking.propose(source, WHAT)
    assert [(s.name, s.kind) for s in found.structures] == [
        ("Kidney left", "other"),
        ("Tumour", "tumour"),
    ]
    scan = marking.scan(source)
    array = decode(found.structures[0].mask, scan.shape).array
    voxel_ml = float(np.prod(scan.spacing_mm)) / 1000
    assert found.volume_ml == pytest.approx(array.sum() * voxel_ml)


@pytest.mark.parametrize(
    ("name", "word"),
    [
        ("", "set up"),
        ("tests.monitor.stand_in:crash", "died"),
        ("tests.monitor.stand_in:fail", "no memory on the device"),
        ("tests.monitor.stand_in:wrong", "no structure of this scan"),
        ("tests.monitor.stand_in:many", "up to 30"),
        ("tests.monitor.stand_in:absent", "not installed"),
        ("no.such.module:segment", "not installed"),
        ("no such entry point", "not installed"),
        ("monitor.totalsegmentator:segment", "TotalSegmentator is not installed"),
    ],
)
def test_what_goes_wrong_is_a_sentence(
    marking: Marking, source: Source, name: str, word: str
) -> None:
    use(marking, name)
    with pytest.raises(CommandError, match=word) as caught:
        marking.propose(source, WHAT)
    assert caught.value.code == "no_proposal"


def test_one_that_hangs_is_ended(marking: Marking, source: Source) -> None:
    use(marking, "tests.monitor.stand_in:hang", timeout_s=1.0)
    with pytest.raises(CommandError, match="longer than 1 s"):
        marking.propose(source, WHAT)
    assert marking._beside._process is None


def test_the_doctor_tells_of_it(tmp_path: Path) -> None:
    settings = Settings(
        storage=StorageSection(directory=tmp_path),
        plugins=PluginsSection(structures="monitor.totalsegmentator:segment"),
    )
    (check,) = [c for c in examine(settings, []) if c.name == "Plug-in for structures"]
    assert (check.well, check.found) == (False, "TotalSegmentator is not installed.")
    assert problem("tests.monitor.stand_in:bright") == ""
