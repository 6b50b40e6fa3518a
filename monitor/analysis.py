"""What runs in the analysis processes: files in, findings out.

Its functions are handed to a ``concurrent.futures.Executor`` with picklable arguments and answers,
so that a process pool and a cluster's executor serve alike. Nothing here knows of procedures,
roles or the network.
"""

import errno
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk  # noqa: N813  its usual name
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from dicom_listener.pixels import PixelError, read_volume
from monitor import artefact, progress
from monitor.structure_sets import Drawn, Form, StructureSetError, listed
from monitor.structures import Offered, read_structure_set
from segmentation.assessment import Assessed, NotAssessable, Reference, assess, prepare
from segmentation.correction import NONE, Correction
from segmentation.estimate import Estimate
from segmentation.forecast import Forecast
from segmentation.ground import Ground
from segmentation.layout import NOTHING_KNOWN, Known, Placed
from segmentation.moment import Moment
from segmentation.nephrometry import Anatomy, Nephrometry, nephrometry
from segmentation.structures import Kind, Structure, StructureError
from segmentation.volume import GeometryError, Volume

Point = tuple[float, float, float]


@dataclass(frozen=True)
class Refused:
    """No answer, and why: a code for programs and a sentence for people."""

    code: str
    text: str


@dataclass(frozen=True, eq=False)
class Planned:
    """A planning object that can be used: what it was drawn on, and its solids.

    Attributes
    ----------
    form, label, drawn, remarks
        As in ``structure_sets.StructureSet``; there are more remarks where solids were left out.
    structures
        At least one, among them at most one tumour.
    """

    form: Form
    label: str
    drawn: Drawn
    structures: tuple[Structure, ...]
    remarks: tuple[str, ...]

    @property
    def has_tumour(self) -> bool:
        """Whether it is enough to measure by."""
        return any(structure.kind == "tumour" for structure in self.structures)


@dataclass(frozen=True)
class Distance:
    """One structure's clearance; see ``segmentation.margins.Clearance``."""

    name: str
    kind: Kind
    distance_mm: Estimate
    nearest_point_lps_mm: Point


@dataclass(frozen=True)
class Lethal:
    """The modelled -20 C surface in numbers; see ``segmentation.forecast.Lethal``."""

    volume_ml: Estimate
    margin_mm: Estimate
    covered_fraction: float


@dataclass(frozen=True)
class Found:
    """A measured scan, in numbers; the geometry behind them is in the artefact.

    Attributes
    ----------
    planning_to_scan
        Row-major 4 x 4 matrix that takes the contours' points to the scan's, LPS mm.
    late, ground
        Probes that were not known before, and the ground with them; None where there are none.
    forecast
        Its contacts and distances are in the order of ``distances``.
    seconds
        Wall time of each stage, by name.
    """

    residual_mm: float
    shift_mm: Point
    planning_to_scan: tuple[float, ...]
    volume_ml: float
    visible_surface_fraction: float
    longest_axis_mm: float
    margin_mm: Estimate
    worst_point_lps_mm: Point
    covered_fraction: dict[int, float]
    distances: tuple[Distance, ...]
    forecast: Forecast | None
    lethal: Lethal | None
    probes: int
    late: tuple[Placed, ...]
    ground: Ground | None
    seconds: dict[str, float]


def warm_up() -> None:
    """First thing in each process: thread counts that are always the same.

    Results then repeat to the bit. On scans of this size the second thread of a matrix product
    costs more than it saves as soon as anything else wants the processor.
    """
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    threadpool_limits(1)  # type: ignore[no-untyped-call]


def ready() -> bool:
    """Answered by a process once it is up; imports are then done."""
    return True


def read_structures(offered: Offered) -> Planned | Refused:
    """Solids from a planning object.

    Refused as a whole with more than one tumour, or where tumour or hilum is no solid: another
    structure that is none is left out. Without a tumour it adds to another one.
    """
    step = progress.step()
    try:
        found = read_structure_set(
            offered.path,
            tumour_pattern=offered.tumour_pattern,
            hilum_pattern=offered.hilum_pattern,
            step=step,
        )
    except StructureSetError as error:
        return Refused("bad_contours", str(error))
    tumours = [one.name for one in found.structures if one.kind == "tumour"]
    if len(tumours) > 1:
        text = (
            f"The structure set holds {len(tumours)} structures named as the tumour, "
            f"{listed(tumours)}; it must be one."
        )
        return Refused("several_tumours", text)
    solids, remarks = [], list(found.remarks)
    for one in found.structures:
        step()
        try:
            solids.append(one.solid())
        except StructureError as error:
            if one.kind != "other":
                return Refused("bad_contours", str(error))
            remarks.append(f"{str(error).removesuffix('.')}; it was left out.")
    if not solids:
        return Refused("bad_contours", " ".join(["No structure is left.", *remarks]))
    return Planned(found.form, found.label, found.drawn, tuple(solids), tuple(remarks))


def nephrometry_of(structures: tuple[Structure, ...], anatomy: Anatomy) -> Nephrometry:
    """Items of the nephrometry scores; exactly one of the structures is the tumour."""
    return nephrometry(structures, anatomy)


def prepare_reference(
    planning: Sequence[Path],
    baseline: Sequence[Path],
    structures: tuple[Structure, ...],
    decoded: Path | None = None,
    known: Known = NOTHING_KNOWN,
    *,
    ice_allowed: bool = False,
) -> Reference | Refused:
    """Read both scans and make what later scans are compared with.

    ``decoded`` is a folder of frames that were decoded ahead of time; for ``known`` and
    ``ice_allowed`` see ``segmentation.assessment.prepare``.
    """
    step = progress.step()
    try:
        before = read_volume(planning, step, decoded)
        after = before if baseline == planning else read_volume(baseline, step, decoded)
        return prepare(
            before,
            after,
            structures,
            same_scan=before is after,
            known=known,
            ice_allowed=ice_allowed,
            step=step,
        )
    except (NotAssessable, GeometryError, PixelError, OSError) as error:
        return _refused(error)


def measure(
    scan: Sequence[Path],
    reference: Reference,
    output: Path,
    moment: Moment,
    decoded: Path | None = None,
    correction: Correction = NONE,
) -> Found | Refused:
    """Read a scan, measure it, and keep what pictures and segmentation are later made of.

    Parameters
    ----------
    output
        File that the artefact is written to when the scan is measured.
    moment
        When the scan was taken, and what was measured before it.
    decoded
        Folder of frames that were decoded ahead of time.
    correction
        What a person has put right.
    """
    step = progress.step()
    seconds: dict[str, float] = {}
    last = time.perf_counter()

    def stage(name: str) -> None:
        nonlocal last
        step()
        now = time.perf_counter()
        seconds[name] = now - last
        last = now

    try:
        volume = read_volume(scan, step, decoded)
        stage("reading")
        assessed = assess(volume, reference, moment, correction, stage=stage, step=step)
    except (NotAssessable, GeometryError, PixelError, OSError) as error:
        return _refused(error)
    shown = _shown(volume, reference, assessed)
    artefact.save(output, shown, volume, reference.structures, assessed)
    stage("keeping")
    return _numbers(assessed, seconds)


def _refused(error: NotAssessable | GeometryError | PixelError | OSError) -> Refused:
    """What it means for the scan.

    Raises
    ------
    MemoryError
        Nothing: it lies in the process.
    """
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.errno == errno.ENOMEM:
            raise MemoryError from error
        cause = cause.__cause__
    if isinstance(error, OSError):
        return Refused("unreadable", f"A stored file can't be read ({error.strerror}).")
    return Refused(error.code, error.text)


def _shown(volume: Volume, reference: Reference, assessed: Assessed) -> Volume:
    """The part of the scan that pictures are made of."""
    moved = [assessed.planning_to_scan.apply(s.surface.points_lps_mm) for s in reference.structures]
    points = np.concatenate([*moved, assessed.ice.surface.points_lps_mm])
    return volume.crop_around(points, artefact.PICTURE_REACH_MM)


def _numbers(assessed: Assessed, seconds: dict[str, float]) -> Found:
    to_scan, cold = assessed.planning_to_scan, assessed.lethal
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = to_scan.rotation, to_scan.shift_mm
    return Found(
        residual_mm=assessed.residual_mm,
        shift_mm=_point(assessed.shift_mm),
        planning_to_scan=tuple(float(v) for v in matrix.ravel()),
        volume_ml=assessed.ice.volume_ml,
        visible_surface_fraction=assessed.ice.visible_surface_fraction,
        longest_axis_mm=assessed.ice.longest_axis_mm,
        margin_mm=assessed.margin.margin_mm,
        worst_point_lps_mm=_point(assessed.margin.worst_point_lps_mm),
        covered_fraction=assessed.margin.covered_fraction,
        distances=tuple(
            Distance(
                c.structure.name, c.structure.kind, c.distance_mm, _point(c.nearest_point_lps_mm)
            )
            for c in assessed.clearances
        ),
        forecast=assessed.forecast,
        lethal=(
            Lethal(cold.volume_ml, cold.margin_mm, cold.covered_fraction)
            if cold is not None
            else None
        ),
        probes=len(assessed.probes),
        late=assessed.late,
        ground=assessed.ground if assessed.late else None,
        seconds=seconds,
    )


def _point(vector: NDArray[np.float64]) -> Point:
    x, y, z = (float(v) for v in vector)
    return x, y, z
