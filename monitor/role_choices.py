"""What people have said of series, and what each series of a procedure is for by that."""

from collections.abc import Iterable, Mapping

from monitor.decisions import CommandError, Decision, RoleChosen
from monitor.messages import Role
from monitor.roles import Chosen, Plan, Purpose, TwinRule, purposes, unusable
from monitor.series_record import SeriesRecord
from segmentation.structures import Structure

Series = Mapping[str, SeriesRecord]


class RoleChoices:
    """Of one procedure. What is said of a series is kept until the series comes."""

    def __init__(self, rule: TwinRule = "thin") -> None:
        self._rule: TwinRule = rule
        self._chosen: dict[str, Chosen] = {}
        self._taken = 0

    def take(self, decision: Decision, what: RoleChosen) -> None:
        """A person has chosen a role, or goes back to the rules."""
        self._taken += 1
        if what.role is None:
            self._chosen.pop(what.series_instance_uid, None)
            return
        role = Role(what.role)
        if role in (Role.PLANNING, Role.BASELINE):  # of each there is one
            self._chosen = {u: c for u, c in self._chosen.items() if c.role is not role}
        self._chosen[what.series_instance_uid] = Chosen(role, decision.by, self._taken)

    def check(self, what: RoleChosen, series: Series, contoured_uid: str) -> None:
        """Whether a series can have a role.

        Raises
        ------
        CommandError
            It can't.
        """
        record = series.get(what.series_instance_uid)
        if record is None:
            raise CommandError("no_such_series", "The procedure has no such series.")
        if what.role is None or what.role == "ignored":
            return
        why = unusable(record.facts)
        if why is not None:
            raise CommandError("not_a_volume", f"It can't be the {what.role} scan. {why}")
        if what.role == "planning":
            if not _in_one_frame(record, series.get(contoured_uid)):
                text = "The contours lie in another frame of reference than this series."
                raise CommandError("other_frame", text)
        elif record.uid == self.planning_uid(series, contoured_uid):
            text = "It is the planning scan; another series must be that first."
            raise CommandError("is_planning", text)

    def planning_uid(self, series: Series, contoured_uid: str) -> str:
        """The planning scan: that which was chosen and can be, or else the contours' own."""
        for uid, choice in self._chosen.items():
            if choice.role is Role.PLANNING and uid in series:
                record = series[uid]
                if unusable(record.facts) is None and _in_one_frame(
                    record, series.get(contoured_uid)
                ):
                    return uid
        return contoured_uid

    def assign(
        self, series: Series, contoured_uid: str, structures: Iterable[Structure]
    ) -> list[tuple[SeriesRecord, Purpose]]:
        """Say of each series what it is for; those whose purpose has changed, with the old one."""
        uid = self.planning_uid(series, contoured_uid)
        planning = series.get(uid)
        frame = planning.facts.frame_of_reference_uid if planning is not None else None
        tumour = next((s for s in structures if s.kind == "tumour"), None)
        plan = Plan(uid, frame, tumour.box_lps_mm if tumour is not None else None)
        facts = [record.facts for record in series.values()]
        changed = []
        for uid, purpose in purposes(facts, plan, self._rule, self._chosen).items():
            record = series[uid]
            if record.purpose != purpose:
                changed.append((record, record.purpose))
                record.purpose = purpose
        return changed


def _in_one_frame(record: SeriesRecord, contoured: SeriesRecord | None) -> bool:
    if contoured is None or contoured.facts.kind is None:
        return True
    return record.facts.frame_of_reference_uid == contoured.facts.frame_of_reference_uid
