"""One scan against its procedure's reference: the science from end to end.

``prepare`` once per baseline, ``assess`` for each scan after it. A scan that cannot be measured
raises ``NotAssessable`` with a code for programs and a sentence for people; there is no number in
its place.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segmentation.correction import NONE, Correction
from segmentation.early_ice import iced_probes
from segmentation.estimate import Estimate
from segmentation.forecast import Forecast, Lethal, forecast, lethal
from segmentation.ground import Ground, survey
from segmentation.ice import HiddenError, Ice, UncertainError, find_ice
from segmentation.kidney import kidney_region
from segmentation.layout import NOTHING_KNOWN, Known, Numbered, Placed, place, without
from segmentation.margins import Clearance, TumourMargin, clearance, tumour_margin
from segmentation.moment import Moment
from segmentation.probes import Probe, find_probes
from segmentation.registration import (
    KidneyPatch,
    Registered,
    RegistrationError,
    kidney_patch,
    register,
)
from segmentation.rigid import Rigid
from segmentation.structures import Structure
from segmentation.volume import Volume
from segmentation.watching import Step, unwatched

MAX_RESIDUAL_MM = 3.0
"""Above this a registration says nothing about a 5 mm margin."""

MAX_ROTATION_DEG = 20.0
"""Kidneys turn by a few degrees with breathing; more is another patient position or a failure."""

BASELINE_REACH_MM = 60.0
"""How much of the baseline is kept round tumour and hilum."""

BORDER_MM = 1.5
"""Ice this near to the scan's first or last slice may go on beyond it."""


MAX_LEVEL_HU = 160.0
MAX_LEVEL_SPREAD_HU = 25.0
"""Enhancement of kidney is 40 to 150 HU (domain facts, 1.1); smoothed noise is 5 HU."""

MAX_HALF_WIDTH_MM = 5.0
"""An interval wider than this to either side says nothing about a margin of 5 mm."""

NEAR_MM = 10.0
"""Structures that are surely further away than this may be as uncertain as they like."""


class NotAssessable(Exception):  # noqa: N818  it is an answer, not a fault
    """Why a scan has no measurement.

    Attributes
    ----------
    code, text
        For programs; for people.
    """

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.text = text


@dataclass(frozen=True, eq=False)
class Reference:
    """What later scans of a procedure are compared with.

    Attributes
    ----------
    baseline
        The last scan before ice, cropped to the treated region, HU.
    patch
        Its kidney, for registration.
    ground
        What it shows round the probes; None when the probes were not in yet.
    planning_to_baseline
        How the contours' frame lies in the baseline's.
    structures
        In the planning scan's frame; exactly one is the tumour.
    placed
        The ground's probes with their numbers, in its order.
    known
        Numbers that are given already.
    removed
        Probes that a person has taken away, in the planning frame.
    """

    baseline: Volume
    patch: KidneyPatch
    planning_to_baseline: Registered
    structures: tuple[Structure, ...]
    ground: Ground | None
    placed: tuple[Placed, ...] = ()
    known: Known = NOTHING_KNOWN
    removed: tuple[Probe, ...] = ()

    @property
    def tumour(self) -> Structure:
        """The tumour."""
        return next(s for s in self.structures if s.kind == "tumour")

    @property
    def probes(self) -> tuple[Probe, ...]:
        """In the baseline's frame; none when they were not in yet."""
        return self.ground.probes if self.ground is not None else ()

    @property
    def hilum_lps_mm(self) -> NDArray[np.float64]:
        """(N, 3): points that fill the hilum, in the planning frame; may be none."""
        hila = [s.inside_lps_mm for s in self.structures if s.kind == "hilum"]
        return np.concatenate([np.empty((0, 3)), *hila])


@dataclass(frozen=True, eq=False)
class Assessed:
    """A measured scan; all points in the scan's frame.

    Attributes
    ----------
    planning_to_scan
        Takes the contours' frame to the scan's.
    residual_mm, shift_mm
        Estimated registration error (planning to scan) and the (3,) shift of the tumour's centre
        against the baseline.
    probes
        The baseline's, where they are in this scan, and those of this scan.
    late, ground
        Probes that this scan shows beyond the reference's; the ground with them.
    forecast, lethal
        What freezing on would do, and where -20 C is by the model; None where it is not freezing.
    """

    ice: Ice
    margin: TumourMargin
    clearances: tuple[Clearance, ...]
    planning_to_scan: Rigid
    residual_mm: float
    shift_mm: NDArray[np.float64]
    probes: tuple[Numbered, ...]
    late: tuple[Placed, ...]
    ground: Ground
    forecast: Forecast | None
    lethal: Lethal | None


UNKNOWN = Moment()
"""No phase was pressed and nothing was measured before."""

Stage = Callable[[str], None]
"""Told the name of each stage as it ends, so that a caller may time it."""


def _untimed(_: str) -> None:
    """Nobody asked for times."""


def targets_of(
    structures: Sequence[Structure],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(N, 3) and (M, 3): points that fill tumour and hilum, what registration is centred on.

    Raises
    ------
    NotAssessable
        There is no tumour among the structures, or more than one.
    """
    tumours = [s for s in structures if s.kind == "tumour"]
    if len(tumours) != 1:
        count = "No" if not tumours else "More than one"
        raise NotAssessable("no_tumour", f"{count} tumour is contoured.")
    hila = [s.inside_lps_mm for s in structures if s.kind == "hilum"]
    return tumours[0].inside_lps_mm, np.concatenate([np.empty((0, 3)), *hila])


def prepare(
    planning: Volume,
    baseline: Volume,
    structures: Sequence[Structure],
    *,
    same_scan: bool = False,
    known: Known = NOTHING_KNOWN,
    ice_allowed: bool = False,
    step: Step = unwatched,
) -> Reference:
    """Register the planning scan to the baseline and find the probes.

    Parameters
    ----------
    same_scan
        The contours were drawn on the baseline itself.
    known
        Numbers that probes have already, and those that a person has taken away.
    ice_allowed
        A person has said that this is the baseline, whatever it shows.

    Raises
    ------
    NotAssessable
        No tumour, the baseline does not show the planned kidney, or it shows ice
        (``baseline_frozen``).
    """
    tumour, hilum = targets_of(structures)
    try:
        kidney = kidney_region(planning, tumour, hilum)
        step()
        registered = Registered(Rigid.identity(), 0.0, 1.0)
        if not same_scan:
            patch = kidney_patch(planning, kidney, Rigid.identity(), tumour, hilum)
            step()
            registered = register(patch, baseline)
            step()
            _check(registered, "planning scan")
            tumour, hilum = (registered.transform.apply(points) for points in (tumour, hilum))
            _check_shown(baseline, tumour)
        patch = kidney_patch(baseline, kidney, registered.transform, tumour, hilum)
    except RegistrationError as error:
        raise NotAssessable("registration_failed", str(error)) from error
    cropped = baseline.crop_around(np.concatenate([tumour, hilum]), BASELINE_REACH_MM)
    step()
    back = registered.transform.inverse()
    removed = (*known.removed, *(probe.moved(back) for probe in known.removed_here))
    probes = _wanted(find_probes(baseline, tumour), back, removed)
    step()
    if not same_scan and not ice_allowed:
        _check_unfrozen(iced_probes(planning, baseline, registered.transform, kidney, probes))
    placed = place(probes, back, next(s for s in structures if s.kind == "tumour"), known.numbered)
    return Reference(
        baseline=cropped,
        patch=patch,
        planning_to_baseline=registered,
        structures=tuple(structures),
        ground=survey(cropped, patch.kidney, probes, tumour, hilum, step) if probes else None,
        placed=placed,
        known=known,
        removed=removed,
    )


def assess(
    scan: Volume,
    reference: Reference,
    moment: Moment = UNKNOWN,
    correction: Correction = NONE,
    *,
    stage: Stage = _untimed,
    step: Step = unwatched,
) -> Assessed:
    """Measure one scan.

    Parameters
    ----------
    moment
        When it was taken, and what was measured before.
    correction
        What a person has put right.

    Raises
    ------
    NotAssessable
        ``registration_failed``, ``tumour_outside_scan``, ``no_probes``, ``metal_near``, ``no_ice``,
        ``ice_uncertain``, ``ice_leak``, ``contrast_changed``, ``ice_jump``, ``ice_leaves_scan`` or
        ``too_uncertain``.
    """
    registered = _registered(reference, scan, correction)
    _check(registered, "baseline")
    stage("registration")
    to_scan = registered.transform.after(reference.planning_to_baseline.transform)
    tumour = to_scan.apply(reference.tumour.surface.points_lps_mm)
    _check_shown(scan, tumour)
    late = _late(reference, to_scan, scan, tumour)
    ground = _ground(reference, registered.transform, late, step)
    try:
        seed = correction.seed_before(registered.transform)
        ice = find_ice(scan, ground, registered.transform, moment, seed)
    except HiddenError as error:
        raise NotAssessable("metal_near", str(error)) from error
    except UncertainError as error:
        raise NotAssessable("ice_uncertain", str(error)) from error
    if ice is None:
        raise NotAssessable("no_ice", "No ice was found at the probes.")
    _check_ice(scan, ice, moment)
    stage("ice")
    residual = float(np.hypot(registered.residual_mm, reference.planning_to_baseline.residual_mm))
    margin = tumour_margin(ice, reference.tumour, to_scan, registration_mm=residual)
    others = [s for s in reference.structures if s.kind != "tumour"]
    clearances = tuple(clearance(ice, s, to_scan, registration_mm=residual) for s in others)
    near = [c.distance_mm for c in clearances if c.distance_mm.low < NEAR_MM]
    _check_certain(margin.margin_mm, *near)
    stage("margins")
    tumour_found = reference.tumour, margin.margin_mm
    ahead = forecast(
        ice,
        ground,
        moment,
        registered.transform,
        tumour_found,
        [(c.structure, c.distance_mm) for c in clearances],
        to_scan,
    )
    cold = lethal(ice, ground, moment, registered.transform, reference.tumour, to_scan, residual)
    stage("forecast")
    centre = reference.planning_to_baseline.transform.apply(reference.tumour.centre_lps_mm)
    return Assessed(
        ice=ice,
        margin=margin,
        clearances=clearances,
        planning_to_scan=to_scan,
        residual_mm=residual,
        shift_mm=registered.transform.shift_at(centre),
        probes=tuple(
            Numbered(placed.number, probe.moved(registered.transform))
            for placed, probe in zip((*reference.placed, *late), ground.probes, strict=True)
        ),
        late=late,
        ground=ground,
        forecast=ahead,
        lethal=cold,
    )


def _registered(reference: Reference, scan: Volume, correction: Correction) -> Registered:
    registered = None
    try:
        registered = register(reference.patch, scan)
    except RegistrationError as error:
        if correction.nudge_lps_mm is None:
            raise NotAssessable("registration_failed", str(error)) from error
    if correction.nudge_lps_mm is not None:
        return correction.nudged(registered)
    assert registered is not None
    return registered


def _check(registered: Registered, against: str) -> None:
    if not registered.residual_mm <= MAX_RESIDUAL_MM:
        raise NotAssessable(
            "registration_failed",
            f"Alignment with the {against} is uncertain by {registered.residual_mm:.1f} mm.",
        )
    if registered.transform.angle_deg > MAX_ROTATION_DEG:
        raise NotAssessable(
            "registration_failed",
            f"Alignment with the {against} would turn the kidney by "
            f"{registered.transform.angle_deg:.0f} degrees.",
        )


def _check_shown(scan: Volume, tumour: NDArray[np.float64]) -> None:
    index = scan.to_index(tumour)
    size = np.array(scan.array.shape[::-1])
    if (index < 0).any() or (index > size - 1).any():
        raise NotAssessable("tumour_outside_scan", "The scan does not cover the whole tumour.")


def _check_unfrozen(iced: Sequence[int]) -> None:
    if iced:
        which = "a probe" if len(iced) == 1 else f"{len(iced)} probes"
        raise NotAssessable(
            "baseline_frozen",
            f"Ice is seen round {which} already: this scan can't be the baseline. "
            "A person may choose it as the baseline all the same.",
        )


def _wanted(
    probes: Sequence[Probe], to_planning: Rigid, removed: Sequence[Probe]
) -> tuple[Probe, ...]:
    """Of probes in a scan's frame those that no person has taken away."""
    to_scan = to_planning.inverse()
    return without(probes, [probe.moved(to_scan) for probe in removed])


def _late(
    reference: Reference, to_scan: Rigid, scan: Volume, tumour: NDArray[np.float64]
) -> tuple[Placed, ...]:
    """Probes that the scan shows and the reference does not have."""
    to_planning = to_scan.inverse()
    shown = _wanted(find_probes(scan, tumour), to_planning, reference.removed)
    # Not each to one of the others: two finds on one shaft are no late probe.
    planned = [(probe, probe.moved(to_planning)) for probe in shown]
    known = [placed.planned for placed in reference.placed]
    late = [p for p, there in planned if not any(there.same_as(one) for one in known)]
    numbered = [Numbered(placed.number, placed.planned) for placed in reference.placed]
    return place(late, to_planning, reference.tumour, (*reference.known.numbered, *numbered))


def _ground(
    reference: Reference, baseline_to_scan: Rigid, late: Sequence[Placed], step: Step
) -> Ground:
    """The reference's; made anew where the scan shows probes that the reference does not have."""
    back = baseline_to_scan.inverse()
    probes = (*reference.probes, *(placed.probe.moved(back) for placed in late))
    if not probes:
        raise NotAssessable("no_probes", "No cryoprobe was found near the tumour.")
    if reference.ground is not None and not late:
        return reference.ground
    to_baseline = reference.planning_to_baseline.transform
    return survey(
        reference.baseline,
        reference.patch.kidney,
        probes,
        to_baseline.apply(reference.tumour.inside_lps_mm),
        to_baseline.apply(reference.hilum_lps_mm),
        step,
    )


def _check_ice(scan: Volume, ice: Ice, moment: Moment) -> None:
    if ice.leaked:
        raise NotAssessable(
            "ice_leak", "The ice could not be told from its surroundings; growth had to be cut off."
        )
    level = ice.level
    if abs(level.overall_hu) > MAX_LEVEL_HU or level.spread_hu > MAX_LEVEL_SPREAD_HU:
        raise NotAssessable(
            "contrast_changed",
            f"Unfrozen kidney has changed by {level.overall_hu:+.0f} HU since the baseline, "
            "unevenly or too much to allow for. A new baseline is needed.",
        )
    if moment.jumps(ice.volume_ml):
        raise NotAssessable(
            "ice_jump",
            f"The ice would be {ice.volume_ml:.0f} ml after {moment.last_ml:.0f} ml in the scan "
            "before: faster than ice can change.",
        )
    index = scan.to_index(ice.surface.points_lps_mm)
    rim = BORDER_MM / scan.spacing_mm
    size = np.array(scan.array.shape[::-1])
    if (index < rim).any() or (index > size - 1 - rim).any():
        raise NotAssessable("ice_leaves_scan", "The ice reaches the border of the scan.")


def _check_certain(*distances: Estimate) -> None:
    widest = max((d.high - d.low) / 2 for d in distances)
    if not widest <= MAX_HALF_WIDTH_MM:
        raise NotAssessable(
            "too_uncertain", f"The edge of the ice is uncertain by {widest:.0f} mm where it counts."
        )
