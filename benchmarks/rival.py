"""The naive pipeline that ours is timed against: every step on the full grid, as textbooks chain
SimpleITK's filters."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk  # noqa: N813  its usual name

SMOOTHING_STEPS = 5
HISTOGRAM_BINS = 50
REGISTRATION_STEPS = 10
"""Few, in the rival's favour: it is rarely done by then."""

ICE_DROP_HU = (-200.0, -40.0)
"""Fall against the baseline that counts as ice."""

NAME = (
    f"naive full-grid SimpleITK (CurvatureFlow, {REGISTRATION_STEPS} steps of Mattes mutual "
    "information on every voxel, ConnectedThreshold, SignedMaurerDistanceMap)"
)


@dataclass(frozen=True)
class Timed:
    """Seconds by step, and the ice that was found, to show that the work was done."""

    seconds: dict[str, float]
    ice_ml: float

    @property
    def total_s(self) -> float:
        """Of all steps."""
        return sum(self.seconds.values())


def read(files: Sequence[Path]) -> Any:
    """A scan as a SimpleITK image; files in order from the feet up. Not part of what is timed."""
    return sitk.ReadImage([str(path) for path in files], sitk.sitkFloat32)


def run(scan: Any, baseline: Any, seed_lps_mm: Sequence[float]) -> Timed:
    """Time every step once; images are in memory before.

    Parameters
    ----------
    seed_lps_mm
        A point in the ice, as a user would click it.
    """
    seconds: dict[str, float] = {}

    def timed(name: str, step: Callable[[], Any]) -> Any:
        began = time.perf_counter()
        result = step()
        seconds[name] = time.perf_counter() - began
        return result

    smooth = timed("CurvatureFlow", lambda: _smooth(scan))
    transform = timed("Mattes registration", lambda: _register(smooth, baseline))
    moved = timed(
        "Resample",
        lambda: sitk.Resample(baseline, smooth, transform, sitk.sitkLinear, -1000.0),
    )
    ice = timed("ConnectedThreshold", lambda: _grow(smooth - moved, seed_lps_mm))
    timed(
        "SignedMaurerDistanceMap",
        lambda: sitk.SignedMaurerDistanceMap(ice, squaredDistance=False, useImageSpacing=True),
    )
    voxel_ml = float(np.prod(scan.GetSpacing())) / 1000
    return Timed(seconds, float(sitk.GetArrayViewFromImage(ice).sum()) * voxel_ml)


def _smooth(scan: Any) -> Any:
    """In the scan's own type: the filter answers in double precision."""
    return sitk.Cast(sitk.CurvatureFlow(scan, 0.125, SMOOTHING_STEPS), scan.GetPixelID())


def _register(fixed: Any, moving: Any) -> Any:
    """Rigid, on every voxel of the fixed image."""
    method = sitk.ImageRegistrationMethod()
    method.SetMetricAsMattesMutualInformation(HISTOGRAM_BINS)
    method.SetMetricSamplingStrategy(method.NONE)
    method.SetInterpolator(sitk.sitkLinear)
    method.SetOptimizerAsRegularStepGradientDescent(
        learningRate=2.0, minStep=0.05, numberOfIterations=REGISTRATION_STEPS
    )
    method.SetOptimizerScalesFromPhysicalShift()
    start = sitk.CenteredTransformInitializer(
        fixed, moving, sitk.Euler3DTransform(), sitk.CenteredTransformInitializerFilter.GEOMETRY
    )
    method.SetInitialTransform(start, inPlace=False)
    return method.Execute(fixed, moving)


def _grow(change: Any, seed_lps_mm: Sequence[float]) -> Any:
    low, high = ICE_DROP_HU
    seed = change.TransformPhysicalPointToIndex([float(v) for v in seed_lps_mm])
    return sitk.ConnectedThreshold(change, seedList=[seed], lower=low, upper=high)
