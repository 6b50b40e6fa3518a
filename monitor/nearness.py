"""Ice near the hilum or another structure at risk: the findings, each with its own distance.

Figures in texts are rounded towards danger, downwards.
"""

import math
from collections.abc import Iterable

from monitor.alerts import Finding
from monitor.messages import Condition, Measurement, StructureDistance
from monitor.procedure import Procedure


def rounded_down(value: float) -> str:
    """One decimal, towards danger: 3.19 is "3.1", -0.31 is "-0.4"."""
    return f"{math.floor(value * 10) / 10:.1f}"


def of_distances(
    measurement: Measurement, procedure: Procedure, hilum_near_mm: float, warned: Iterable[str]
) -> list[Finding]:
    """Findings of a measurement that has figures.

    Parameters
    ----------
    hilum_near_mm
        For a hilum without a distance of its own.
    warned
        Structures that have an alert: it ends for those that are not in use any more.
    """
    if procedure.drawings.structures is None:
        return []
    measured = {distance.name: distance for distance in measurement.structures}
    hila: list[tuple[StructureDistance, float]] = []
    found = []
    gone = set(warned)
    for structure in procedure.drawings.structures:
        distance, limit_mm = measured.get(structure.name), procedure.drawings.warning_mm(structure)
        if structure.kind == "hilum" and distance is not None:
            hila.append((distance, hilum_near_mm if limit_mm is None else limit_mm))
        elif structure.kind == "other" and distance is not None and limit_mm is not None:
            gone.discard(structure.name)
            found.append(_other(measurement, distance, limit_mm))
    if hila:
        found.append(_hilum(measurement, *min(hila, key=lambda h: h[0].distance_mm.value - h[1])))
    elif not any(structure.kind == "hilum" for structure in procedure.drawings.structures):
        found.append(Finding(Condition.HILUM_NEAR, present=False, text=""))
    for name in sorted(gone):
        found += [Finding(Condition.STRUCTURE_NEAR, present=False, text="", subject=name)]
    return found


def _hilum(measurement: Measurement, hilum: StructureDistance, limit_mm: float) -> Finding:
    return Finding(
        Condition.HILUM_NEAR,
        hilum.distance_mm.value < limit_mm,
        _text(hilum.distance_mm.value, "the renal hilum"),
        value=hilum.distance_mm.value,
        limit=limit_mm,
        measurement_id=measurement.id,
        worse_is="lower",
    )


def _other(measurement: Measurement, other: StructureDistance, limit_mm: float) -> Finding:
    return Finding(
        Condition.STRUCTURE_NEAR,
        other.distance_mm.value < limit_mm,
        _text(other.distance_mm.value, other.name),
        value=other.distance_mm.value,
        limit=limit_mm,
        measurement_id=measurement.id,
        worse_is="lower",
        subject=other.name,
    )


def _text(value: float, name: str) -> str:
    if value < 0:
        return f"Ice OVERLAPS {name} by {-math.floor(value * 10) / 10:.1f} mm."
    return f"Ice {rounded_down(value)} mm from {name}."
