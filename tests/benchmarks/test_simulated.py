"""Simulated files are used again only while they are what would be simulated now."""

from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks import simulated
from benchmarks.simulated import key, sources_digest, stored
from scanner_sim.cases import CASES
from scanner_sim.imaging import Protocol

COARSE = Protocol(64, 4.0, 16, 6.0, 6.0, 9.0)
CASE = replace(
    CASES["quick"], planning=COARSE, monitoring=COARSE, physics_mm=4.0, resolution_mm=3.0
)


def test_digest_follows_the_sources(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("x = 1\n")
    first = sources_digest(tmp_path)
    assert sources_digest(tmp_path) == first
    (tmp_path / "a.py").write_text("x = 2\n")
    changed = sources_digest(tmp_path)
    (tmp_path / "b.py").write_text("x = 2\n")
    both = sources_digest(tmp_path)
    assert len({first, changed, both}) == 3
    (tmp_path / "push.py").write_text("x = 2\n")
    assert sources_digest(tmp_path) == both


def test_key_follows_case_seed_and_anatomy(tmp_path: Path) -> None:
    real = CASES["real-ct-left"]
    (tmp_path / "ct.nii.gz").write_bytes(b"one")
    keys = {key(CASE, 1, None), key(CASE, 2, None), key(real, 1, tmp_path)}
    keys.add(key(replace(CASE, monitoring=Protocol(64, 4.0, 16, 6.0, 6.0, 8.0)), 1, None))
    (tmp_path / "ct.nii.gz").write_bytes(b"two")
    keys.add(key(real, 1, tmp_path))
    assert len(keys) == 5
    assert key(CASE, 1, tmp_path) == key(CASE, 1, None)


def test_files_are_made_once_and_never_by_halves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    half = tmp_path / f"{key(CASE, 1, None)}.unfinished" / "files" / "01-planning"
    half.mkdir(parents=True)
    (half / "left-over.dcm").write_bytes(b"")
    first = stored(CASE, 1, tmp_path)
    assert [t["role"] for t in first.truths()] == [
        "planning",
        "baseline",
        "monitoring",
        "monitoring",
    ]
    assert not list(tmp_path.rglob("left-over.dcm"))
    last = first.truths()[-1]
    ice = first.ice(last["series_instance_uid"])
    voxel_ml = 4 * 4 * 6 / 1000
    assert ice.sum() * voxel_ml == pytest.approx(last["volume_ml"], rel=0.2)

    def never(*_: object, **__: object) -> None:
        raise AssertionError("simulated again")

    monkeypatch.setattr(simulated, "run_procedure", never)
    assert stored(CASE, 1, tmp_path) == first
