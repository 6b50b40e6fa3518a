"""How the physics of one procedure differs from the textbook's: what a monitor can't know."""

from dataclasses import dataclass
from typing import Final

import numpy as np

PROBE_C: Final = -140.0
"""Shaft of an argon probe, once cold."""

_GRIP: Final = (0.8, 1.15)
_PERFUSION: Final = (0.6, 1.6)
_FROZEN_CONDUCTIVITY: Final = (0.85, 1.15)
_PROBE_C: Final = (-150.0, -130.0)


@dataclass(frozen=True)
class Variation:
    """One procedure's constants beside the textbook's.

    Attributes
    ----------
    grip
        Strength of each probe; the last one holds for all that follow.
    perfusion, frozen_conductivity
        Factors.
    probe_c
        Temperature of the shafts once cold.
    """

    grip: tuple[float, ...] = (1.0,)
    perfusion: float = 1.0
    frozen_conductivity: float = 1.0
    probe_c: float = PROBE_C

    @staticmethod
    def draw(rng: np.random.Generator, probe_count: int) -> "Variation":
        """Of one procedure, each evenly from its range."""
        return Variation(
            grip=tuple(float(value) for value in rng.uniform(*_GRIP, probe_count)),
            perfusion=float(rng.uniform(*_PERFUSION)),
            frozen_conductivity=float(rng.uniform(*_FROZEN_CONDUCTIVITY)),
            probe_c=float(rng.uniform(*_PROBE_C)),
        )


TEXTBOOK: Final = Variation()
"""No variation."""
