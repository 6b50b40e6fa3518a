"""Each hard neighbour on a small scan: measured well, or not at all and why.

The same features as the named cases, with coarser voxels, other chance and few scans: what is
tested is that none of them fools the measurement, not how good it is at its best. That is for the
benchmarks.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest

from dicom_listener.pixels import read_volume
from monitor.structures import read_structure_set
from scanner_sim.cases import CASES, Case
from scanner_sim.imaging import Protocol
from scanner_sim.procedure import ScanEvent, run_procedure
from scanner_sim.truth import ScanTruth
from scanner_sim.write import ProcedureWriter
from segmentation.assessment import Assessed, NotAssessable, assess, prepare
from segmentation.moment import Earlier, Moment
from segmentation.sampling import resample

SEED = 5
START = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)

HARD = tuple(name for name, case in CASES.items() if case.features != CASES["standard"].features)

WRONG_MM = 5.0
"""No number may be wrong by more."""


def small(case: Case) -> Case:
    """The case on 1.6 mm pixels and 5 mm slices: one scan late in the freeze, one in the thaw."""

    def coarse(protocol: Protocol) -> Protocol:
        count = round(protocol.slice_count * protocol.spacing_mm / 5.0)
        return Protocol(128, 1.6, count, 5.0, 5.0, protocol.noise_hu)

    return replace(
        case,
        planning=coarse(case.planning),
        monitoring=coarse(case.monitoring),
        physics_mm=2.5,
        resolution_mm=1.7,
        narrow_view=True,
        timeline=replace(
            case.timeline, interval_s=600.0, thaw_s=240.0, refreeze_s=0.0, thaw_interval_s=240.0
        ),
    )


@dataclass(frozen=True, eq=False)
class Outcome:
    """One scan: the truth, and what was found or why nothing."""

    label: str
    truth: ScanTruth
    found: Assessed | NotAssessable
    dice: float


@contextmanager
def folders(case: Case) -> Iterator[tuple[list[tuple[ScanEvent, Path]], Path]]:
    """The case's scans and its contours as files."""
    with TemporaryDirectory(prefix="icemargin-hard-") as scratch:
        root = Path(scratch)
        writer = ProcedureWriter(root / "files", root / "truth")
        scans, structures = [], root
        for event in run_procedure(case, seed=SEED, start=START):
            folder = writer.write(event)
            if isinstance(event, ScanEvent):
                assert folder is not None
                scans.append((event, folder))
            elif folder is not None:
                structures = folder
        yield scans, structures


def procedure(case: Case) -> list[Outcome]:
    """Everything measured in the order in which it was taken."""
    with folders(case) as (scans, contours):
        contoured = read_structure_set(
            next(contours.glob("*.dcm")), tumour_pattern="(?i)tumou?r", hilum_pattern="(?i)hil"
        ).structures
        structures = tuple(one.solid() for one in contoured)
        volumes = [(e, read_volume(sorted(f.glob("*.dcm")))) for e, f in scans]
    planning = next(v for e, v in volumes if e.role == "planning")
    before, baseline = next((e, v) for e, v in volumes if e.role == "baseline")
    reference = prepare(planning, baseline, structures)
    earlier: list[tuple[float, float]] = []
    outcomes = []
    for event, volume in volumes:
        if event.role != "monitoring":
            continue
        assert event.truth is not None
        past = tuple(Earlier(event.at_s - at_s, ml) for at_s, ml in earlier)
        moment = Moment(baseline_s=event.at_s - before.at_s, earlier=past)
        found: Any
        dice = 0.0
        try:
            found = assess(volume, reference, moment)
        except NotAssessable as reason:
            found = reason
        else:
            earlier.append((event.at_s, found.ice.volume_ml))
            mask = resample(found.ice.surface.field, volume, outside=-3.0).array > 0
            truth = event.truth.ice
            dice = float(2 * np.sum(mask & truth) / (mask.sum() + truth.sum()))
        outcomes.append(Outcome(event.label, event.truth, found, dice))
    return outcomes


def test_every_hard_neighbour_is_here() -> None:
    assert len(HARD) == 11


@pytest.mark.parametrize("name", HARD)
def test_it_is_measured_or_refused(name: str) -> None:
    outcomes = procedure(small(CASES[name]))
    assert len(outcomes) == 2
    measured = [o for o in outcomes if isinstance(o.found, Assessed)]
    assert measured, [str(o.found) for o in outcomes]
    for outcome in measured:
        found, truth = outcome.found, outcome.truth
        assert isinstance(found, Assessed)
        assert truth.margin_mm is not None
        assert truth.hilum_distance_mm is not None
        hilum = next(c for c in found.clearances if c.structure.kind == "hilum").distance_mm
        errors = (
            found.margin.margin_mm.value - truth.margin_mm,
            hilum.value - truth.hilum_distance_mm,
        )
        assert max(map(abs, errors)) < WRONG_MM, (outcome.label, errors)
        assert np.mean(np.abs(errors)) < WRONG_MM / 2, (outcome.label, errors)
        if truth.volume_ml > 8:
            assert outcome.dice > 0.85, (outcome.label, outcome.dice)
