"""How the probes lie: which is which from scan to scan, how far apart, how far from the tumour."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segmentation.probes import Probe
from segmentation.rigid import Rigid
from segmentation.structures import Structure

STEP_MM = 0.5
"""A shaft is looked at in steps of this; found tips are right to about 1 mm."""

USUAL_SPACING_MM = (10.0, 20.0)
"""Advised between neighbouring 17G probes: 1 to 1.5 cm clinically, 1.5 to 2 cm in models, 2 cm at
most (domain facts, 2.1)."""


@dataclass(frozen=True, eq=False)
class Numbered:
    """A probe with the number that it keeps through the procedure, in the planning frame."""

    number: int
    probe: Probe


@dataclass(frozen=True, eq=False)
class Known:
    """What is known of probes beside the scan at hand, in the planning frame but for the last.

    Attributes
    ----------
    numbered
        All that have a number, those that were taken away too: theirs are given to no other.
    removed, removed_here
        Those that a person has taken away as false; those in the frame of the scan at hand.
    """

    numbered: tuple[Numbered, ...] = ()
    removed: tuple[Probe, ...] = ()
    removed_here: tuple[Probe, ...] = ()


NOTHING_KNOWN = Known()


@dataclass(frozen=True, eq=False)
class Placed:
    """A probe and its place.

    Attributes
    ----------
    number
        From 1; the same in every scan.
    probe
        In the frame of the scan that it was found in.
    planned
        In the planning scan's frame.
    tumour_distance_mm
        Least signed distance of the freezing zone's axis to the tumour's surface: negative where it
        passes inside, by as much as its deepest point lies below the surface.
    inside_mm
        Length of the shaft inside the tumour.
    """

    number: int
    probe: Probe
    planned: Probe
    tumour_distance_mm: float
    inside_mm: float


def place(
    probes: Sequence[Probe],
    to_planning: Rigid,
    tumour: Structure,
    known: Sequence[Numbered] = (),
) -> tuple[Placed, ...]:
    """Number the probes of a scan and measure them against the tumour.

    Parameters
    ----------
    probes
        In the scan's frame.
    to_planning
        Takes the scan's frame to the planning frame, in which the tumour and what is ``known`` lie.
    known
        All that have a number already.
    """
    planned = [probe.moved(to_planning) for probe in probes]
    numbers = numbers_of(planned, known)
    return tuple(
        Placed(number, probe, there, *_against(there, tumour))
        for number, probe, there in zip(numbers, probes, planned, strict=True)
    )


def numbers_of(probes: Sequence[Probe], known: Sequence[Numbered]) -> list[int]:
    """Numbers of probes in the planning frame: those of the same ones, else the next free ones."""
    found = matches(probes, [one.probe for one in known])
    free = max((one.number for one in known), default=0) + 1
    numbers = []
    for at in found:
        if at is None:
            numbers.append(free)
            free += 1
        else:
            numbers.append(known[at].number)
    return numbers


def matches(probes: Sequence[Probe], others: Sequence[Probe]) -> list[int | None]:
    """For each probe which of the others it is, in one frame; each is at most one of them.

    The nearest pairs go first, so that a false line beside a probe is not taken for it.
    """
    pairs = sorted(
        (offset_mm(probe, other), n, m)
        for n, probe in enumerate(probes)
        for m, other in enumerate(others)
        if probe.same_as(other)
    )
    found: list[int | None] = [None] * len(probes)
    taken: set[int] = set()
    for _, n, m in pairs:
        if found[n] is None and m not in taken:
            found[n] = m
            taken.add(m)
    return found


def without(probes: Iterable[Probe], removed: Sequence[Probe]) -> tuple[Probe, ...]:
    """Those that are none of the removed ones, in one frame."""
    every = list(probes)
    return tuple(p for p, at in zip(every, matches(every, removed), strict=True) if at is None)


def offset_mm(one: Probe, other: Probe) -> float:
    """From the middle of one's freezing zone to the line of the other's shaft."""
    middle = one.active_ends_lps_mm.mean(axis=0) - other.tip_lps_mm
    return float(np.linalg.norm(middle - (middle @ other.direction) * other.direction))


def zones_gap_mm(one: Probe, other: Probe) -> float:
    """Least distance between the axes of two freezing zones."""
    first, second = one.active_ends_lps_mm, other.active_ends_lps_mm
    return segments_gap_mm(first[0], first[1], second[0], second[1])


def tips_gap_mm(one: Probe, other: Probe) -> float:
    """From tip to tip."""
    return float(np.linalg.norm(one.tip_lps_mm - other.tip_lps_mm))


def segments_gap_mm(
    a: NDArray[np.float64], b: NDArray[np.float64], c: NDArray[np.float64], d: NDArray[np.float64]
) -> float:
    """Least distance between the segments from a to b and from c to d, (3,) each.

    It lies between two inner points, or at one of the four ends.
    """
    along, across, start = b - a, d - c, a - c
    flat = np.column_stack([along, -across])
    inner, *_ = np.linalg.lstsq(flat, -start, rcond=None)
    gaps = [_to_segment(a, c, d), _to_segment(b, c, d), _to_segment(c, a, b), _to_segment(d, a, b)]
    if ((inner >= 0) & (inner <= 1)).all():
        gaps.append(float(np.linalg.norm(start + flat @ inner)))
    return min(gaps)


def _to_segment(
    point: NDArray[np.float64], start: NDArray[np.float64], end: NDArray[np.float64]
) -> float:
    step = end - start
    share = np.clip((point - start) @ step / max(float(step @ step), 1e-12), 0, 1)
    return float(np.linalg.norm(start + share * step - point))


def _against(probe: Probe, tumour: Structure) -> tuple[float, float]:
    """Distance of the freezing zone to the tumour, and the shaft's length inside it, mm."""
    near, far = probe.active_ends_lps_mm
    count = max(2, int(np.linalg.norm(far - near) / STEP_MM) + 1)
    depth, _ = tumour.surface.depth(np.linspace(near, far, count))
    along = np.arange(STEP_MM / 2, probe.length_mm, STEP_MM)
    shaft = probe.tip_lps_mm + along[:, None] * probe.direction
    inside_mm = float(tumour.surface.holds(shaft).sum()) * STEP_MM
    return -float(depth.max()), inside_mm
