"""What ``analyse`` writes for a whole procedure, judged."""

import json
from pathlib import Path

import pytest

from benchmarks.accuracy import score_case
from benchmarks.simulated import Stored
from monitor.analyse import analyse
from monitor.config import Settings
from scanner_sim.cases import CASES
from tests.quick_case import QuickCase


def test_a_procedure_is_scored_as_it_was_measured(quick: QuickCase, tmp_path: Path) -> None:
    procedure = Stored(quick.folder, quick.monitoring[0].ice_file.parent)
    analyse([procedure.files], tmp_path, Settings())
    score = score_case(CASES["quick"], procedure, tmp_path)

    assert score.misread == ()
    assert [scan.series_instance_uid for scan in score.scans] == [s.uid for s in quick.monitoring]
    written = {
        m["series_instance_uid"]: m
        for m in json.loads((tmp_path / "measurements.json").read_text())
    }
    for scan, true in zip(score.scans, quick.monitoring, strict=True):
        assert scan.refused is None
        assert scan.margin is not None
        assert scan.margin.truth_mm == true.margin_mm
        assert scan.margin.value_mm == written[true.uid]["tumour"]["margin_mm"]["value"]
        assert scan.hilum is not None
        assert scan.hilum.truth_mm == true.hilum_distance_mm
        # A mask with slices or rows in another order overlaps by less than a half.
        assert scan.dice is not None
        assert scan.dice > 0.7

    (tmp_path / f"{quick.baseline.uid}.seg.dcm").write_bytes(b"not looked at")
    (tmp_path / "measurements.json").write_text("[]")
    lost = score_case(CASES["quick"], procedure, tmp_path)
    assert {scan.refused for scan in lost.scans} == {"no measurement at all"}
    assert lost.misread == (
        "The planning scan was taken as nothing.",
        "The baseline scan was taken as nothing.",
    )
    assert lost.summary.dice_mean is None


def test_another_procedures_folder_is_not_scored(quick: QuickCase, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        score_case(CASES["quick"], Stored(quick.folder, tmp_path), tmp_path)
