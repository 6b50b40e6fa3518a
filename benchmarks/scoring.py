"""One scan's measurement against what is true of it, and the summary of many.

Everything is read as a stranger would: ``measurements.json`` by its published names, the
segmentation by highdicom, the scan's grid from its slices' positions. No code that made the
figures takes part in judging them.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import highdicom as hd
import numpy as np
import pydicom
from numpy.typing import NDArray

ICE_LABEL = "Ice ball"
HILUM = re.compile("(?i)hil")
GRID_TOLERANCE = 0.01
"""Mm or share of a voxel by which two grids may differ and still be one: positions are written to
0.0001 mm, spacings computed from them."""

CONFIDENTLY_WRONG_MM = 5.0
"""A figure shown as measured must never be wrong by more."""


class ScoringError(ValueError):
    """What was found can't be compared with the truth: a fault, not a bad score."""


@dataclass(frozen=True)
class DistanceScore:
    """A measured distance with its interval, and the true one; mm."""

    truth_mm: float
    value_mm: float
    low_mm: float
    high_mm: float

    @property
    def error_mm(self) -> float:
        """Positive where more was measured than is true."""
        return self.value_mm - self.truth_mm

    @property
    def holds(self) -> bool:
        """Whether the interval holds the truth."""
        return self.low_mm <= self.truth_mm <= self.high_mm

    @property
    def width_mm(self) -> float:
        """Of the interval."""
        return self.high_mm - self.low_mm


@dataclass(frozen=True)
class ScanScore:
    """One monitoring scan.

    Attributes
    ----------
    true_volume_ml
        Of the ice.
    refused
        Why there is no figure; None when there is one.
    dice
        Of the ice on the scan's voxels; None when refused.
    margin, hilum
        None when refused, or when there is no true distance since there is no ice.
    """

    label: str
    series_instance_uid: str
    true_volume_ml: float
    refused: str | None
    dice: float | None = None
    margin: DistanceScore | None = None
    hilum: DistanceScore | None = None
    visible_surface_fraction: float | None = None

    @property
    def distances(self) -> tuple[DistanceScore, ...]:
        """Those that were measured."""
        return tuple(d for d in (self.margin, self.hilum) if d is not None)


@dataclass(frozen=True)
class Summary:
    """Many scans in one row. All but the counts are None when nothing was measured.

    Attributes
    ----------
    coverage
        Share of all intervals, of margins and hilum distances together, that hold the truth.
    width_mm
        Mean over the same intervals.
    confidently_wrong
        Distances shown as measured that are wrong by more than ``CONFIDENTLY_WRONG_MM``.
    """

    scans: int
    refused: int
    dice_mean: float | None
    dice_min: float | None
    margin_mae_mm: float | None
    margin_worst_mm: float | None
    hilum_mae_mm: float | None
    hilum_worst_mm: float | None
    coverage: float | None
    width_mm: float | None
    confidently_wrong: int

    @staticmethod
    def of(scans: Sequence[ScanScore]) -> "Summary":
        """Summarize; worst errors keep their sign."""
        dice = [s.dice for s in scans if s.dice is not None]
        margins = [s.margin.error_mm for s in scans if s.margin is not None]
        hila = [s.hilum.error_mm for s in scans if s.hilum is not None]
        distances = [d for s in scans for d in s.distances]
        return Summary(
            scans=len(scans),
            refused=sum(s.refused is not None for s in scans),
            dice_mean=_mean(dice),
            dice_min=min(dice, default=None),
            margin_mae_mm=_mean([abs(error) for error in margins]),
            margin_worst_mm=max(margins, key=abs, default=None),
            hilum_mae_mm=_mean([abs(error) for error in hila]),
            hilum_worst_mm=max(hila, key=abs, default=None),
            coverage=_mean([float(d.holds) for d in distances]),
            width_mm=_mean([d.width_mm for d in distances]),
            confidently_wrong=sum(abs(d.error_mm) > CONFIDENTLY_WRONG_MM for d in distances),
        )


@dataclass(frozen=True)
class CaseScore:
    """One procedure.

    Attributes
    ----------
    scans
        Its monitoring scans in order.
    misread
        Scans that were taken for something else than they are, though nothing hangs on them here.
    """

    name: str
    description: str
    scans: tuple[ScanScore, ...]
    misread: tuple[str, ...] = ()

    @property
    def summary(self) -> Summary:
        """Over its scans."""
        return Summary.of(self.scans)


def dice(found: NDArray[np.bool_], true: NDArray[np.bool_]) -> float:
    """Twice the overlap over the sum of both; 1 when both are empty.

    Raises
    ------
    ScoringError
        The masks differ in shape.
    """
    if found.shape != true.shape:
        raise ScoringError(f"masks of shape {found.shape} and {true.shape} can't be compared")
    total = int(found.sum()) + int(true.sum())
    return 2 * int((found & true).sum()) / total if total else 1.0


def scan_grid(files: Iterable[Path]) -> hd.VolumeGeometry:
    """Grid [k, j, i] of a scan, k ascending along the cross product of row and column directions.

    From ImagePositionPatient alone; the order of the files does not matter.
    """
    slices = [pydicom.dcmread(path, stop_before_pixels=True) for path in files]
    row, column = np.reshape([float(v) for v in slices[0].ImageOrientationPatient], (2, 3))
    normal = np.cross(row, column)
    positions = np.array([[float(v) for v in s.ImagePositionPatient] for s in slices])
    positions = positions[np.argsort(positions @ normal)]
    between_rows, between_columns = (float(v) for v in slices[0].PixelSpacing)
    affine = np.eye(4)
    affine[:3, 0] = (positions[-1] - positions[0]) / (len(slices) - 1)
    affine[:3, 1] = column * between_rows
    affine[:3, 2] = row * between_columns
    affine[:3, 3] = positions[0]
    return hd.VolumeGeometry(
        affine,
        (len(slices), int(slices[0].Rows), int(slices[0].Columns)),
        coordinate_system="PATIENT",
        frame_of_reference_uid=str(slices[0].FrameOfReferenceUID),
    )


def read_mask(
    segmentation: Path, grid: hd.VolumeGeometry, label: str = ICE_LABEL
) -> NDArray[np.bool_]:
    """One segment of a SEG, [k, j, i] on a scan's grid; by its frames' positions, whatever their
    order, and with frames left out taken as empty.

    Raises
    ------
    ScoringError
        There is no such segment, or it lies on another grid.
    """
    content = hd.seg.segread(segmentation)
    numbers = content.get_segment_numbers(segment_label=label)
    if len(numbers) != 1:
        raise ScoringError(f"{segmentation.name} has {len(numbers)} segments {label!r}")
    volume = content.get_volume(segment_numbers=numbers).squeeze_channel()
    try:
        placed = volume.match_geometry(grid, tol=GRID_TOLERANCE)
    except RuntimeError as error:
        raise ScoringError(f"{segmentation.name} is not on its scan's grid: {error}") from error
    return np.asarray(placed.array > 0)


def score_scan(
    truth: dict[str, Any],
    measurement: dict[str, Any] | None,
    found: NDArray[np.bool_] | None,
    true: NDArray[np.bool_],
) -> ScanScore:
    """Judge one monitoring scan.

    Parameters
    ----------
    truth
        Its entry in ``truth.json``.
    measurement
        Its entry in ``measurements.json``; None when it has none.
    found, true
        Ice on the scan's voxels; ``found`` may be None only when nothing was measured.

    Raises
    ------
    ScoringError
        A measurement without a segmentation, or without a distance to the hilum.
    """
    uid = str(truth["series_instance_uid"])
    refused = _refusal(measurement)
    label, volume_ml = str(truth["label"]), float(truth["volume_ml"])
    if measurement is None or refused is not None:
        return ScanScore(label, uid, volume_ml, refused)
    if found is None:
        raise ScoringError(f"{label} was measured, but its ice was not written")
    hila = [s["distance_mm"] for s in measurement["structures"] if HILUM.search(s["name"])]
    if len(hila) != 1:
        raise ScoringError(f"{label} was measured with {len(hila)} distances to the hilum")
    return ScanScore(
        label=label,
        series_instance_uid=uid,
        true_volume_ml=volume_ml,
        refused=None,
        dice=dice(found, true),
        margin=_distance(truth["margin_mm"], measurement["tumour"]["margin_mm"]),
        hilum=_distance(truth["hilum_distance_mm"], hila[0]),
        visible_surface_fraction=float(measurement["ice"]["visible_surface_fraction"]),
    )


def _refusal(measurement: dict[str, Any] | None) -> str | None:
    """Why a scan that holds a freeze was not measured, in one line."""
    if measurement is None:
        return "no measurement at all"
    texts = "; ".join(f"{reason['code']}: {reason['text']}" for reason in measurement["reasons"])
    if measurement["role"] != "monitoring":
        return f"taken as {measurement['role']}: {texts}"
    return texts if measurement["assessment"] == "not_assessable" else None


def _distance(truth_mm: float | None, measured: dict[str, float]) -> DistanceScore | None:
    if truth_mm is None:
        return None
    return DistanceScore(truth_mm, measured["value"], measured["low"], measured["high"])


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if values else None
