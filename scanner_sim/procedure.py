"""One simulated procedure from planning to the second freeze, as a stream of events."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal

import numpy as np
from pydicom.dataset import Dataset

from scanner_sim.breathing import Pose, draw_poses
from scanner_sim.case import Case
from scanner_sim.course import Ahead, course
from scanner_sim.dicom_ct import Identity, ct_localizer, ct_series
from scanner_sim.features import Damage
from scanner_sim.freezing import Cold, FreezeSolver, box_around
from scanner_sim.grid import F64, Grid
from scanner_sim.imaging import Imager, Protocol
from scanner_sim.phantom import Anatomy, Phantom
from scanner_sim.probes import Probe, place
from scanner_sim.scene import Scene
from scanner_sim.schedule import PhaseEvent, PhaseWord, schedule
from scanner_sim.structures import structure_set
from scanner_sim.truth import Ruler, ScanTruth
from scanner_sim.variation import TEXTBOOK, Variation

__all__ = [
    "Event",
    "PhaseEvent",
    "PhaseWord",
    "RoleWord",
    "ScanEvent",
    "StructuresEvent",
    "run_procedure",
    "schedule",
]

RoleWord = Literal["planning", "baseline", "monitoring", "ignored"]

_PLANNING_SHIFT_MM = np.array([3.0, -4.0, 3.7])
"""The planning scan's field of view is not the monitoring scans'."""

_LOCALIZER_STEP_MM = 3.0


@dataclass(frozen=True, eq=False)
class ScanEvent:
    """A series has been taken. ``at_s`` is when, seconds from the start of the procedure."""

    at_s: float
    label: str
    role: RoleWord
    datasets: list[Dataset]
    truth: ScanTruth | None


@dataclass(frozen=True, eq=False)
class StructuresEvent:
    """The planning contours have been drawn: one RT Structure Set."""

    at_s: float
    dataset: Dataset


Event = ScanEvent | StructuresEvent | PhaseEvent


def run_procedure(
    case: Case,
    *,
    seed: int,
    start: datetime,
    salt: str = "",
    anatomy_dir: Path | None = None,
    with_truth: bool = True,
) -> Iterator[Event]:
    """The events of one procedure in order, each computed only when it is asked for.

    Parameters
    ----------
    seed
        The same seed, case, start and salt give the same bytes.
    start
        When the procedure starts; must have an offset.
    salt
        Changes every UID and nothing else.
    anatomy_dir
        Folder of the real CT that cases with ``source == "ct"`` are painted into.

    Raises
    ------
    ValueError
        ``start`` without offset, or no folder for a case that needs one.
    """
    if start.tzinfo is None:
        raise ValueError(f"start has no offset from UTC: {start.isoformat()}")
    if case.source == "ct" and anatomy_dir is None:
        raise ValueError(f"case {case.name} needs the folder of a real CT")
    return _Procedure(case, seed, start, salt, anatomy_dir, with_truth=with_truth).events()


class _Procedure:
    """Anatomy, physics and scanner of one procedure."""

    def __init__(
        self,
        case: Case,
        seed: int,
        start: datetime,
        salt: str,
        anatomy_dir: Path | None,
        *,
        with_truth: bool,
    ) -> None:
        self._case = case
        self._seed = seed
        self._anatomy_dir = anatomy_dir
        self._with_truth = with_truth
        self._identity = Identity(
            case=case.name,
            seed=seed,
            salt=salt,
            start=start,
            position=case.position,
            kernel=case.kernel,
            signed=case.signed,
        )

    def events(self) -> Iterator[Event]:
        """See ``run_procedure``."""
        case = self._case
        anatomy = self._anatomy()
        at_s = 0.0
        if case.localizer:
            yield self._localizer(anatomy)
            at_s = 20.0
        tumour = anatomy.tumour.box
        target = (tumour.lower + tumour.upper) / 2
        probes = self._probes(anatomy, target)
        scene = Scene(
            anatomy,
            probes,
            case.drop_hu,
            case.resolution_mm,
            features=case.features,
            damage=Damage.draw(case.features, probes, self._rng("damage")),
            freeze_from_s=case.timeline.freeze_from_s,
        )
        ruler = Ruler(anatomy.tumour, anatomy.hilum) if self._with_truth else None
        scans, phases = schedule(case.timeline)
        poses = draw_poses(
            self._rng("breathing"), anatomy.kidney_centre, len(scans) + 2, case.breathing_mm
        )

        view = self._view(anatomy, target, case.planning)
        imager = Imager(scene, case.planning, view + _PLANNING_SHIFT_MM)
        planning = self._scan(imager, ruler, poses[0], None, 1, "planning", "planning", at_s)
        yield planning
        yield self._structures(anatomy, planning)
        imager = Imager(scene, case.monitoring, self._view(anatomy, target, case.monitoring))
        yield self._scan(
            imager, ruler, poses[1], None, 2, "needles in", "baseline", case.timeline.needles_s
        )
        measure = ruler.reach if ruler is not None else None
        number = 2
        for item, cold, ahead in course(self._solver(scene), scans, phases, measure):
            if isinstance(item, PhaseEvent):
                yield item
                continue
            number += 1
            yield self._scan(
                imager,
                ruler,
                poses[number - 1],
                cold,
                number,
                item.label,
                "monitoring",
                item.at_s,
                phase=item.phase,
                ahead=ahead,
            )

    def _rng(self, purpose: str) -> np.random.Generator:
        """Its own stream of chance for each purpose."""
        if self._case.own_chance:
            purpose = f"{self._case.name} {purpose}"
        return np.random.default_rng([self._seed, *purpose.encode()])

    def _anatomy(self) -> Anatomy:
        case = self._case
        if self._anatomy_dir is not None and case.source == "ct":
            from scanner_sim.real_ct import RealAnatomy

            return RealAnatomy(
                self._anatomy_dir, side=case.side, site=case.site, rng=self._rng("anatomy")
            )
        return Phantom(
            case.build,
            case.site,
            side=case.side,
            prone=case.position == "HFP",
            rng=self._rng("anatomy"),
            clear=case.features.clear,
        )

    def _probes(self, anatomy: Anatomy, target: F64) -> tuple[Probe, ...]:
        placement = self._case.placement
        return place(
            target - placement.depth_mm * anatomy.outwards,
            anatomy.outwards,
            placement.count,
            placement.ring_mm,
            turn_deg=placement.turn_deg,
            splay_deg=placement.splay_deg,
            active_mm=placement.active_mm,
        )

    def _view(self, anatomy: Anatomy, target: F64, protocol: Protocol) -> F64:
        """The middle of the field of view: the body's, or the kidney's where it is narrow; in
        height between tumour and kidney, as far as there is anatomy."""
        reach = anatomy.reach
        middle = (reach.lower + reach.upper) / 2
        half = protocol.slice_count * protocol.spacing_mm / 2 + abs(_PLANNING_SHIFT_MM[2])
        z = target[2] + 0.35 * (anatomy.kidney_centre[2] - target[2])
        z = float(np.clip(z, reach.lower[2] + half, reach.upper[2] - half))
        x, y = (anatomy.kidney_centre if self._case.narrow_view else middle)[:2]
        return np.array([x, y, z])

    def _localizer(self, anatomy: Anatomy) -> ScanEvent:
        grid = Grid.covering(anatomy.reach, _LOCALIZER_STEP_MM)
        images = ct_localizer(self._identity, grid, anatomy.hu(grid), number=0, at_s=0.0)
        return ScanEvent(0.0, "localizer", "ignored", images, None)

    def _structures(self, anatomy: Anatomy, planning: ScanEvent) -> StructuresEvent:
        at_s = self._case.timeline.structures_s
        dataset = structure_set(
            self._identity,
            planning.datasets,
            [("Tumour", anatomy.tumour), ("Renal hilum", anatomy.hilum)],
            at_s=at_s,
            rng=self._rng("contours"),
            error_mm=self._case.contour_error_mm,
        )
        return StructuresEvent(at_s, dataset)

    def _solver(self, scene: Scene) -> FreezeSolver:
        grid = Grid.covering(box_around(scene.probes), self._case.physics_mm)
        variation = TEXTBOOK
        if self._case.physics_varies:
            variation = Variation.draw(self._rng(f"physics {self._case.name}"), len(scene.probes))
        return FreezeSolver(scene.tissue(grid), scene.probes, variation)

    def _scan(
        self,
        imager: Imager,
        ruler: Ruler | None,
        pose: Pose,
        cold: Cold | None,
        number: int,
        label: str,
        role: RoleWord,
        at_s: float,
        *,
        phase: PhaseWord = "idle",
        ahead: Ahead | None = None,
    ) -> ScanEvent:
        image = imager.take(
            pose,
            cold,
            at_s=at_s,
            probes_in=role != "planning",
            rng=self._rng(f"scan {self._case.name} {number}"),
        )
        datasets = ct_series(
            self._identity,
            image.grid,
            image.hu,
            number=number,
            label=label,
            at_s=at_s,
            thickness_mm=imager.protocol.thickness_mm,
        )
        truth = None
        if ruler is not None:
            prone = self._case.position == "HFP"
            truth = ruler.measure(
                cold.temperature if cold is not None else None,
                pose,
                series_instance_uid=str(datasets[0].SeriesInstanceUID),
                role=role,
                at_s=at_s,
                phase=phase,
                ice=image.ice[:, ::-1, ::-1] if prone else image.ice,
                ahead=ahead,
            )
        return ScanEvent(at_s, label, role, datasets, truth)
