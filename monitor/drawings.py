"""What was drawn for a procedure: planning objects that came or were dropped, and what was marked.

Each is read by an analysis process, one after the other; ``Plan`` says which of those that were
read hold, together, for the scans that have come.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from monitor import messages
from monitor.analysis import Planned, Refused
from monitor.config import StructuresSection
from monitor.decisions import Decision, StructuresDropped, StructuresSaved, StructuresUsed
from monitor.dropped import FOLDER, path_of
from monitor.marking_messages import StructuresVersion
from monitor.nephrometry_messages import Nephrometry
from monitor.nephrometry_messages import message_of as nephrometry_message
from monitor.plan import InUse, Plan
from monitor.series_record import SeriesRecord
from monitor.structure_sets import Patterns
from monitor.structures import Offered
from monitor.versions import ToRead, Versions
from segmentation.nephrometry import USUAL, Anatomy
from segmentation.nephrometry import Nephrometry as Computed
from segmentation.structures import Structure


def _usual_patterns() -> Patterns:
    usual = StructuresSection()
    return Patterns(usual.tumour_pattern, usual.hilum_pattern)


@dataclass(frozen=True)
class Naming:
    """What a site says of structures by their names.

    Attributes
    ----------
    patterns
        Which is the tumour, which the hilum.
    warning_mm
        How near ice may come before an alert, where the site has said so.
    anatomy
        What the nephrometry scores are computed from.
    """

    patterns: Patterns
    warning_mm: Callable[[str], float | None]
    anatomy: Anatomy


USUAL_NAMING = Naming(_usual_patterns(), lambda _name: None, USUAL)


class Drawings:
    """See the module's docstring.

    Attributes
    ----------
    waiting
        What has come and is to be read, one after the other.
    plan
        What was read.
    in_use
        What holds of it.
    scan_uid
        Series that the structures in use were drawn on; empty where there is none.
    structures
        Those that scans are measured against; None where there is no tumour.
    versions
        The numbered versions of them, with their authors.
    nephrometry
        Items of the scores, computed from the structures in use.
    """

    def __init__(self, storage: Path, naming: Naming = USUAL_NAMING) -> None:
        self._storage = storage
        self.naming = naming
        self.waiting: list[ToRead] = []
        self.plan = Plan()
        self.in_use = InUse()
        self.scan_uid = ""
        self.structures: tuple[Structure, ...] | None = None
        self.versions = Versions(storage)
        self.nephrometry: Nephrometry | None = None
        self._scored = ""
        self._told: list[messages.PlannedStructure] = []

    # What comes

    def came(self, offered: Offered) -> None:
        """A planning object has come."""
        self._offer(self.versions.came(offered))

    def decided(self, decision: Decision, what: StructuresSaved | StructuresUsed) -> None:
        """A person has saved a version, or gone back to one."""
        self._offer(self.versions.take(decision, what))

    def dropped(self, at: datetime, what: StructuresDropped) -> None:
        """A person has dropped a file on the page; what is in it was looked at before."""
        self.came(
            Offered(
                path_of(self._storage / FOLDER, what.file),
                what.series_instance_uid,
                what.sop_instance_uid,
                self.naming.patterns.tumour,
                self.naming.patterns.hilum,
                at,
            )
        )

    def _offer(self, to_read: Iterable[ToRead]) -> None:
        for one in to_read:
            self.plan.coming(one.sop_instance_uid)
            self.waiting.append(one)
        self.waiting.sort(key=lambda one: one.at)

    # What is read

    def next(self) -> ToRead | None:
        """What is to be read; of one that was read, it counts when it came last."""
        while self.waiting and self.plan.knows(self.waiting[0].sop_instance_uid):
            self.plan.came_again(self.waiting.pop(0))
        return self.waiting[0] if self.waiting else None

    def read(self, offered: ToRead, answer: Planned | Refused) -> None:
        """One was read. One that can't be used is told why; what is in use stays in use."""
        self.waiting.remove(offered)
        self.plan.take(offered, answer)
        key = offered.sop_instance_uid
        if isinstance(answer, Refused):
            self.versions.refused(key, answer.text)
        else:
            self.versions.read(key, next(iter(answer.drawn.series_uids), ""), answer.structures)

    def fit(self, series: Mapping[str, SeriesRecord]) -> bool:
        """See what fits the series that have come; whether something else holds now."""
        found = self.plan.in_use(series)
        for uid, reason in self.plan.reasons():
            if uid in series:
                series[uid].reason = reason
        if found.key == self.in_use.key:
            return False
        self.in_use, self.scan_uid = found, found.scan_uid
        self.structures = found.structures or None
        self.nephrometry, self._scored = None, ""
        return True

    @property
    def to_score(self) -> bool:
        """Whether the nephrometry scores of the structures in use are not computed yet."""
        return self._scored != self.in_use.key

    def scored(self, answer: Computed | Refused) -> None:
        """The scores were computed, or can't be."""
        self._scored = self.in_use.key
        self.nephrometry = None if isinstance(answer, Refused) else nephrometry_message(answer)

    # When a procedure is over

    def let_go(self) -> None:
        """Nothing is measured any more: what is told of the structures stays."""
        self.waiting = []
        self._told = self.messages()
        self.plan.let_go()
        self.structures = None

    def take_up(self) -> None:
        """All is read again."""
        again, self.plan, self.in_use = self.plan.offered(), Plan(), InUse()
        self._offer(again)

    # What is told

    @property
    def main(self) -> ToRead | None:
        """What the tumour in use comes from."""
        return self.in_use.main

    @property
    def version(self) -> int | None:
        """Number of the structures in use."""
        main = self.main
        return self.versions.number_of(main.sop_instance_uid) if main is not None else None

    def version_messages(self) -> list[StructuresVersion]:
        """All versions."""
        return self.versions.messages(self.main.sop_instance_uid if self.main is not None else "")

    def files(self) -> dict[str, Path]:
        """The planning objects that have come by DICOM or were dropped, by SOPInstanceUID."""
        known = [*self.plan.offered(), *self.waiting]
        return {one.sop_instance_uid: one.path for one in known if isinstance(one, Offered)}

    def warning_mm(self, structure: Structure) -> float | None:
        """How near ice may come to it before an alert: its own distance, else the site's."""
        own: dict[str, float] = {}
        for key in self.in_use.sources:
            own |= self.versions.own_warnings_mm(key)
        usual_mm = self.naming.warning_mm(structure.name) if structure.kind == "other" else None
        return own.get(structure.name, usual_mm)

    def messages(self) -> list[messages.PlannedStructure]:
        """The structures in use, as they go over the wire."""
        if self.structures is None:
            return self._told
        return [
            messages.PlannedStructure(
                name=s.name,
                kind=s.kind,
                volume_ml=s.volume_ml,
                warning_distance_mm=self.warning_mm(s),
            )
            for s in self.structures
        ]
