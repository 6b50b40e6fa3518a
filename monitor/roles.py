"""What each series of a procedure is for, and why: a pure function of what the series tell.

First each series by itself: what is no scan of the planned region is ignored. Then those of one
acquisition together: one acquisition, one measurement. Last, what a person has said, which goes
before all of it. Which of the scans to be measured is the baseline is not told here: that hangs on
where ice begins (``monitor/procedure.py``). The table for people is ``docs/roles.md``.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, Literal

from monitor.messages import Reason, Role
from monitor.series_facts import Box, SeriesFacts

TwinRule = Literal["thin", "thick", "first"]
"""Which of several reconstructions of one acquisition is measured, when all are soft."""

Use = Literal["planning", "baseline", "monitoring", "measured", "unmeasurable", "ignored", "none"]
"""``measured``: baseline or monitoring, by the course of the procedure. ``baseline`` and
``monitoring``: a person has said so. ``unmeasurable``: it should be measured and can't be.
``none``: it is no scan and is judged elsewhere, or nothing is known of it yet."""

TOGETHER_S: Final = 1.0
"""Different reconstructions that were acquired no further apart are of one acquisition: times are
written in different precision, and per slice. Alike ones must overlap: they may be repeats."""

OVERLAP: Final = 0.5
"""Of the shorter one's range: less is another part of the patient, from one acquisition or not."""

LONGEST_PAUSE_S: Final = 20.0
"""Between slices of one acquisition. In steps over the table, with breath-holds, pauses reach some
10 s; the shortest repeat of a monitoring scan in use is 2 min."""

FLUOROSCOPY_PLACES: Final = 16
"""CT fluoroscopy covers no more places at once; a detector's width of thin slices."""

FLUOROSCOPY_REPEATS: Final = 2
"""Times that each place is seen, on average, from which it is no scan cut in two."""

STEEP: Final = 0.7
"""Cosine of 45 degrees: slices steeper than this are reformatted, no gantry tilts as far (30)."""

ELSEWHERE_MM: Final = 60.0
"""A scan that ends so far from the tumour's place in the planning scan shows another part of the
patient; a deep breath moves a kidney by 43 mm at most."""

FAR_PARTS: Final = re.compile(
    r"HEAD|SKULL|BRAIN|FACE|ORBIT|SINUS|NECK|[CT]SPINE|SHOULDER|CLAVICLE|ARM|ELBOW|HAND|WRIST"
    r"|FINGER|HIP|LEG|THIGH|KNEE|ANKLE|FOOT|HEEL|TOE|EXTREMITY|HUMERUS|FEMUR|JAW|TMJ|IAC|EAR"
)
"""Body Part Examined (0018,0015) that can't hold a kidney. Chest, pelvis and spine scans may: where
they lie is asked instead."""

RTSTRUCT: Final = "1.2.840.10008.5.1.4.1.1.481.3"
SEGMENTATIONS: Final = (
    "1.2.840.10008.5.1.4.1.1.66.4",
    "1.2.840.10008.5.1.4.1.1.66.7",
)
DOSE_REPORTS: Final = ("1.2.840.10008.5.1.4.1.1.88.67", "1.2.840.10008.5.1.4.1.1.88.76")
SECONDARY_CAPTURE: Final = "1.2.840.10008.5.1.4.1.1.7"
"""And those that begin with it, of several frames."""


@dataclass(frozen=True)
class Chosen:
    """The role that a person has given a series; ``place`` is the decision's, the last wins."""

    role: Role
    by: str
    place: int


@dataclass(frozen=True)
class Plan:
    """What is planned, and where.

    Attributes
    ----------
    series_uid
        The planning scan; empty while there is none.
    box
        The tumour's, in the planning scan's frame.
    """

    series_uid: str = ""
    frame_of_reference_uid: str | None = None
    box: Box | None = None


@dataclass(frozen=True)
class Purpose:
    """What one series is for.

    Attributes
    ----------
    reason
        Why, of what is ignored or can't be measured; of what a person has given a role in spite of
        it, why the rules would ignore it.
    by
        Who has said so; empty when it follows from the rules.
    same_acquisition_as
        The series that is used of this one's acquisition, where that is another one.
    """

    use: Use
    reason: Reason | None = None
    by: str = ""
    same_acquisition_as: str = ""


NO_PURPOSE: Final = Purpose("none")

_OTHERS: Final[Mapping[str, str]] = {
    "localizer": "A localizer; not measured.",
    "no_plane": "Without position in the patient; stored, not measured.",
    "lossy": "Compressed with loss; stored, not measured.",
    "multi_frame": "A multi-frame image; stored, not measured.",
    "foreign": "Its series UID belongs to another patient or study; stored, not measured.",
    "conflict": "Sent before with another content; kept aside, not measured.",
}


def purposes(
    series: Sequence[SeriesFacts],
    plan: Plan,
    rule: TwinRule,
    chosen: Mapping[str, Chosen],
) -> dict[str, Purpose]:
    """What each series is for, by its UID.

    ``series`` are in the order in which they came.
    """
    found: dict[str, Purpose] = {}
    for group in acquisitions(series):
        found |= _within(group, plan, rule, chosen)
    return found


def acquisitions(series: Sequence[SeriesFacts]) -> list[list[SeriesFacts]]:
    """The series by acquisition; one of which nothing tells that it is another's stands alone."""
    groups: list[list[SeriesFacts]] = []
    for one in series:
        for group in groups:
            if any(same_acquisition(one, other) for other in group):
                group.append(one)
                break
        else:
            groups.append([one])
    return groups


def same_acquisition(a: SeriesFacts, b: SeriesFacts) -> bool:
    """Whether two series of slices were made of one exposure of the patient.

    They must lie in one frame of reference and over one range. Then their times decide: a scanner
    does one thing at a time. Without times only the event's UID does.
    """
    if a.box is None or b.box is None or not _overlap(a.box, b.box):
        return False
    if a.frame_of_reference_uid != b.frame_of_reference_uid:
        return False
    same_event = bool(a.event_uids & b.event_uids)
    if a.acquired is None or b.acquired is None:
        return same_event
    if a.event_uids and b.event_uids and not same_event:
        return False
    apart = max(a.acquired[0], b.acquired[0]) - min(a.acquired[1], b.acquired[1])
    return apart <= timedelta(seconds=0 if _made_alike(a, b) else TOGETHER_S)


def _made_alike(a: SeriesFacts, b: SeriesFacts) -> bool:
    return (a.kernel, a.made, a.metal_reduced, a.fineness_mm) == (
        b.kernel,
        b.made,
        b.metal_reduced,
        b.fineness_mm,
    )


def doubts_of(purpose: Purpose, scan: SeriesFacts, baseline: SeriesFacts) -> list[Reason]:
    """Why a scan's figures, compared with a baseline, are less sure than they look."""
    found = []
    if purpose.reason is not None:
        text = f"Measured because a person wants it. By the rules: {purpose.reason.text}"
        found.append(Reason(code=purpose.reason.code, text=text))
    if scan.metal_reduced:
        text = "Metal artefact reduction can distort the image up to 5 mm round the probes."
        found.append(Reason(code="metal_artefact_reduction", text=text))
    if scan.made == "reformatted":
        text = "A reformatted series; the scanner's own slices have not come."
        found.append(Reason(code="reformatted", text=text))
    sharpness = {scan.sharpness, baseline.sharpness}
    if scan.kernel != baseline.kernel and sharpness != {"soft"}:
        text = f"Kernel {_known(scan.kernel)}; the baseline has {_known(baseline.kernel)}."
        found.append(Reason(code="other_kernel", text=text))
    if scan.frame_of_reference_uid != baseline.frame_of_reference_uid:
        text = "Another frame of reference than the baseline's: placed by the images alone."
        found.append(Reason(code="other_frame", text=text))
    return found


def unusable(one: SeriesFacts) -> str | None:
    """Why nobody can have a series measured, or planned on; None where that can be."""
    if one.kind is None:
        return "It is still being received."
    if one.kind != "slice":
        reason = _other(one).reason
        return reason.text if reason is not None else "It holds no images."
    fault = one.fault or _several(one)
    return fault.text if fault is not None else None


# One acquisition


def _within(
    group: Sequence[SeriesFacts], plan: Plan, rule: TwinRule, chosen: Mapping[str, Chosen]
) -> dict[str, Purpose]:
    by_itself = {one.uid: _purpose(one, plan, chosen.get(one.uid)) for one in group}
    # A series that came as the planning scan is never measured; nor is its acquisition.
    planning = [one for one in group if by_itself[one.uid].use == "planning"]
    usable = [one for one in group if by_itself[one.uid].use in _USABLE]
    if not planning and len(usable) < 2:
        return by_itself
    used = planning[0] if planning else min(usable, key=lambda one: _rank(one, rule, chosen))
    found = dict(by_itself)
    for one in usable:
        # A person who wants a second reconstruction of the planning scan measured gets it.
        wanted = bool(planning) and by_itself[one.uid].by
        if one is not used and not wanted:
            found[one.uid] = Purpose("ignored", _twin(one, used), same_acquisition_as=used.uid)
    return found


_USABLE: Final = ("baseline", "monitoring", "measured", "unmeasurable")


def _rank(
    one: SeriesFacts, rule: TwinRule, chosen: Mapping[str, Chosen]
) -> tuple[int, bool, bool, bool, int, float]:
    """The least is used: chosen, a volume, as scanned, no metal reduction, soft, by the rule.

    Where all is equal it is the one that came first.
    """
    choice = chosen.get(one.uid)
    fineness = round(one.fineness_mm, 2)
    return (
        -1 - choice.place if choice is not None else 0,
        one.fault is not None or _several(one) is not None,
        one.made != "plain",
        one.metal_reduced,
        ("soft", "unknown", "sharp").index(one.sharpness),
        {"thin": fineness, "thick": -fineness, "first": 0.0}[rule],
    )


def _twin(one: SeriesFacts, used: SeriesFacts) -> Reason:
    """Why another series of its acquisition is used; the same whichever of both came first."""
    same = f"The same acquisition as {used.name}, which is used."
    if one.made != used.made:
        return Reason(code="reformatted", text=f"Reformatted. {same}")
    if one.metal_reduced and not used.metal_reduced:
        return Reason(code="metal_artefact_reduction", text=f"Metal artefact reduction. {same}")
    if one.sharpness == "sharp" and used.sharpness != "sharp":
        return Reason(code="sharp_kernel", text=f"Sharp kernel {one.kernel}. {same}")
    if round(one.fineness_mm, 2) != round(used.fineness_mm, 2):
        return Reason(code="other_thickness", text=f"Slices of {one.fineness_mm:g} mm. {same}")
    return Reason(code="same_acquisition", text=same)


# One series


def _purpose(one: SeriesFacts, plan: Plan, choice: Chosen | None) -> Purpose:
    rule = _by_rule(one, plan)
    if choice is None:
        return rule
    if choice.role is Role.IGNORED:
        return Purpose("ignored", Reason(code="chosen", text="Set aside by a person."), choice.by)
    if choice.role is Role.PLANNING:
        return Purpose("planning", by=choice.by) if rule.use == "planning" else rule
    if rule.use == "planning" or unusable(one) is not None:
        return rule  # it has come to be so only since the role was chosen
    use: Use = "baseline" if choice.role is Role.BASELINE else "monitoring"
    return Purpose(use, rule.reason, by=choice.by)


def _by_rule(one: SeriesFacts, plan: Plan) -> Purpose:
    if one.kind is None:
        return NO_PURPOSE
    if one.kind != "slice":
        return _other(one)
    if one.uid == plan.series_uid and one.fault is None:
        return Purpose("planning")
    ignored = _ignored(one, plan)
    if ignored is not None:
        return Purpose("ignored", ignored)
    fault = one.fault or _several(one)
    return Purpose("unmeasurable", fault) if fault is not None else Purpose("measured")


def _other(one: SeriesFacts) -> Purpose:
    """What is no slice of a volume."""
    assert one.kind is not None
    if one.kind != "stored":
        return Purpose("ignored", Reason(code=one.kind, text=_OTHERS[one.kind]))
    if one.sop_class_uid == RTSTRUCT or one.sop_class_uid in SEGMENTATIONS:
        return NO_PURPOSE
    if one.sop_class_uid in DOSE_REPORTS:
        return Purpose("ignored", Reason(code="dose_report", text="A dose report; not measured."))
    if one.sop_class_uid.startswith(SECONDARY_CAPTURE):
        text = "A secondary capture (a picture of a screen or a dose page); not measured."
        return Purpose("ignored", Reason(code="secondary_capture", text=text))
    if one.modality == "CT":
        return Purpose("ignored", Reason(code="no_plane", text=_OTHERS["no_plane"]))
    text = f"No CT images ({one.modality or 'no modality is written'}); stored, not measured."
    return Purpose("ignored", Reason(code="no_ct", text=text))


def _ignored(one: SeriesFacts, plan: Plan) -> Reason | None:
    """Why slices are not to be measured, by themselves."""
    repeated = one.slices >= FLUOROSCOPY_REPEATS * one.places
    if one.places <= FLUOROSCOPY_PLACES and (one.fluoroscopy or repeated):
        text = f"CT fluoroscopy: {one.slices} images at {_places(one.places)}; not measured."
        return Reason(code="fluoroscopy", text=text)
    if one.fault is not None and one.fault.code == "too_few_slices":
        return one.fault
    if one.made == "projection":
        text = "A projection (such as MIP), not a scan; not measured."
        return Reason(code="projection", text=text)
    if one.made == "map":
        text = "A map of a material or a function, not plain CT; not measured."
        return Reason(code="material_map", text=text)
    if one.steepness < STEEP:
        return Reason(code="reformatted", text="Reformatted in another plane; not measured.")
    if one.body_part and FAR_PARTS.fullmatch(one.body_part):
        text = f"Another part of the body ({one.body_part}); not measured."
        return Reason(code="other_body_part", text=text)
    return _elsewhere(one, plan)


def _elsewhere(one: SeriesFacts, plan: Plan) -> Reason | None:
    if plan.box is None or one.box is None or plan.frame_of_reference_uid is None:
        return None
    if one.frame_of_reference_uid != plan.frame_of_reference_uid:
        return None  # its places can't be compared; the registration finds out
    apart = _apart(one.box, plan.box)
    if apart <= ELSEWHERE_MM:
        return None
    text = f"Another part of the body, {apart:.0f} mm from the tumour; not measured."
    return Reason(code="other_body_part", text=text)


def _several(one: SeriesFacts) -> Reason | None:
    """Whether its slices, though they make a volume, were scanned at different times."""
    if one.longest_pause_s <= LONGEST_PAUSE_S:
        return None
    text = (
        f"Its slices were scanned {one.longest_pause_s / 60:.1f} min apart: several scans in one "
        "series. Send each as a series of its own."
    )
    return Reason(code="several_acquisitions", text=text)


def _overlap(a: Box, b: Box) -> bool:
    """Whether two boxes share enough of the patient's length."""
    shared = min(a[1][2], b[1][2]) - max(a[0][2], b[0][2])
    shorter = min(a[1][2] - a[0][2], b[1][2] - b[0][2])
    return shared >= OVERLAP * shorter and shared >= 0


def _apart(a: Box, b: Box) -> float:
    """Along the patient, mm; 0 or less where they meet."""
    return max(a[0][2], b[0][2]) - min(a[1][2], b[1][2])


def _places(count: int) -> str:
    return "1 place" if count == 1 else f"{count} places"


def _known(kernel: str) -> str:
    return kernel or "none written"
