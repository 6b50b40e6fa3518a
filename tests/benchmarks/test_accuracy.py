"""What ``analyse`` writes for a whole procedure, judged."""

import json
from pathlib import Path
from typing import Literal

import pytest

from benchmarks.accuracy import Options, run, worst_pictures
from benchmarks.interval import IntervalScore
from benchmarks.pictures import LARGEST_BYTES
from benchmarks.procedures import Outcome, figures_digest, score_case
from benchmarks.scoring import CaseScore, ScanScore
from benchmarks.simulated import Stored
from monitor.analyse import analyse
from monitor.config import Settings
from scanner_sim.cases import CASES
from tests.quick_case import QuickCase


def test_a_procedure_is_scored_as_it_was_measured(quick: QuickCase, tmp_path: Path) -> None:
    procedure = Stored(quick.folder, quick.monitoring[0].ice_file.parent)
    analyse([procedure.files], tmp_path, Settings())
    outcome = score_case(CASES["quick"], procedure, tmp_path)
    score = outcome.score

    assert score.misread == ()
    assert [scan.series_instance_uid for scan in score.scans] == [s.uid for s in quick.monitoring]
    written = {
        m["series_instance_uid"]: m
        for m in json.loads((tmp_path / "measurements.json").read_text())
    }
    for scan, true in zip(score.scans, quick.monitoring, strict=True):
        assert scan.refused is None
        assert scan.margin is not None
        assert scan.margin.truth == true.margin_mm
        assert scan.margin.value == written[true.uid]["tumour"]["margin_mm"]["value"]
        assert scan.hilum is not None
        assert scan.hilum.truth == true.hilum_distance_mm
        # A mask with slices or rows in another order overlaps by less than a half.
        assert scan.dice is not None
        assert scan.dice > 0.7
        assert scan.surfaces is not None
        assert scan.surfaces.mean_mm < 3
    assert set(outcome.pictures) == {"margin", "hilum", "dice", "surface"}
    assert all(len(png) <= LARGEST_BYTES for png in outcome.pictures.values())
    assert outcome.digest == figures_digest(list(written.values()))

    (tmp_path / f"{quick.baseline.uid}.seg.dcm").write_bytes(b"not looked at")
    (tmp_path / "measurements.json").write_text("[]")
    lost = score_case(CASES["quick"], procedure, tmp_path).score
    assert {scan.refused for scan in lost.scans} == {"no measurement at all"}
    assert lost.misread == (
        "The planning scan was taken as nothing.",
        "The baseline scan was taken as nothing.",
    )
    assert lost.summary.dice_mean is None


def test_another_procedures_folder_is_not_scored(quick: QuickCase, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        score_case(CASES["quick"], Stored(quick.folder, tmp_path), tmp_path)


def test_a_digest_tells_the_last_bit_and_passes_over_the_clock() -> None:
    one = {"id": "a", "published_at": "now", "tumour": {"margin_mm": {"value": 0.1 + 0.2}}}
    later = {**one, "id": "b", "published_at": "then"}
    other = {**one, "tumour": {"margin_mm": {"value": 0.3}}}
    assert figures_digest([one]) == figures_digest([later])
    assert figures_digest([one]) != figures_digest([other])


def test_pictures_show_four_scans_and_no_real_ct() -> None:
    def case(name: str, source: Literal["phantom", "ct"], *margins: float) -> Outcome:
        scans = [
            ScanScore(
                f"scan {n}",
                f"{name}.{n}",
                9.0,
                None,
                0.9 - n / 100,
                None,
                IntervalScore(0, error, -9, 9),
                IntervalScore(0, error / 2, -9, 9),
            )
            for n, error in enumerate(margins)
        ]
        drawn = {"margin": b"m", "hilum": b"h", "dice": b"d"} if source == "phantom" else {}
        score = CaseScore(name, "", tuple(scans), (), "tuning", source)
        return Outcome(score, "", {k: v + name.encode() for k, v in drawn.items()})

    outcomes = [case("a", "phantom", 1, -4, 2), case("b", "phantom", 3), case("c", "ct", 9)]
    pictured, files = worst_pictures(outcomes, "accuracy")
    assert [(p.case, p.label, p.why, p.file) for p in pictured] == [
        ("a", "scan 1", "margin wrong by -4.0 mm", "accuracy/worst-margin.png"),
        ("b", "scan 0", "distance to hilum wrong by +1.5 mm", "accuracy/worst-hilum.png"),
        ("a", "scan 2", "Dice 0.880", "accuracy/worst-dice.png"),
    ]
    assert files == {"worst-margin.png": b"ma", "worst-hilum.png": b"hb", "worst-dice.png": b"da"}


def test_a_whole_run_writes_the_document_and_its_pictures(tmp_path: Path) -> None:
    document = tmp_path / "docs" / "accuracy.md"
    found = run(Options(cases=("quick",), keep=tmp_path / "keep", output=document))
    assert [case.name for case in found.cases] == ["quick"]
    assert [(r.case, r.same) for r in found.repeated] == [("quick", True)]
    text = document.read_text()
    pictures = sorted((tmp_path / "docs" / "accuracy").iterdir())
    assert 1 <= len(pictures) == len(found.pictured) <= 4
    for picture in pictures:
        assert f"](accuracy/{picture.name})" in text
        assert picture.read_bytes().startswith(b"\x89PNG")
    figures = json.loads(document.with_suffix(".json").read_text())
    assert figures["overall"]["scans"] == len(found.cases[0].scans)
    assert len(list((tmp_path / "keep").iterdir())) == 1
