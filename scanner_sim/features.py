"""What makes a procedure hard to read, gathered for the scene: all absent by default."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from scanner_sim.contrast import Enhancement
from scanner_sim.cracks import Cracks, OpenCracks
from scanner_sim.freezing import box_around
from scanner_sim.metal_reduction import MetalReduction
from scanner_sim.neighbours import BowelLoop, Neighbour
from scanner_sim.probes import Probe
from scanner_sim.thawed import Injury, ThawedRim


@dataclass(frozen=True)
class Features:
    """As a case describes them.

    Attributes
    ----------
    neighbours
        Painted in order over the anatomy.
    contrast
        Givings of contrast medium, which add up.
    cracks, thawed_rim
        What freezing does to the tissue besides cooling it.
    metal_reduction
        Method that the scans with needles are reconstructed with.
    """

    neighbours: tuple[Neighbour, ...] = ()
    contrast: tuple[Enhancement, ...] = ()
    cracks: Cracks | None = None
    thawed_rim: ThawedRim | None = None
    metal_reduction: MetalReduction | None = None

    @property
    def clear(self) -> tuple[tuple[tuple[float, float, float], float], ...]:
        """Where bowel of the anatomy's own must make room: see ``Phantom``."""
        loops = (n for n in self.neighbours if isinstance(n, BowelLoop))
        return tuple((loop.offset_mm, max(loop.radii_mm)) for loop in loops)


PLAIN = Features()
"""None of them."""


@dataclass(frozen=True, eq=False)
class Damage:
    """Cracks and thawed tissue of one procedure, drawn."""

    cracks: OpenCracks | None = None
    injury: Injury | None = None

    @staticmethod
    def draw(features: Features, probes: Sequence[Probe], rng: np.random.Generator) -> "Damage":
        """What a case's features come to with these probes."""
        cracks, rim = features.cracks, features.thawed_rim
        return Damage(
            OpenCracks(cracks, probes, rng) if cracks is not None else None,
            Injury(rim, box_around(probes), rng) if rim is not None else None,
        )
