"""The versions of a procedure's structures: saved on the page, or come by DICOM."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Literal

from monitor.decisions import CommandError, Decision, StructuresSaved, StructuresUsed
from monitor.marked import FOLDER, Marked, path_of
from monitor.marking_messages import StructuresVersion, VersionStructure
from monitor.structures import Offered
from segmentation.structures import Structure

BY_DICOM = "DICOM"

ToRead = Offered | Marked
"""Structures that are to be read; ``sop_instance_uid`` stands for their content."""


@dataclass(frozen=True)
class Version:
    """One of them.

    Attributes
    ----------
    structures
        Empty while it came by DICOM and was not read yet.
    problem
        Why it can't be used.
    """

    number: int
    at: datetime
    by: str
    source: Literal["page", "dicom"]
    note: str
    to_read: ToRead
    series_uid: str
    structures: tuple[VersionStructure, ...] = ()
    problem: str | None = None

    @property
    def key(self) -> str:
        """What stands for its content."""
        return self.to_read.sop_instance_uid

    def message(self, *, in_use: bool) -> StructuresVersion:
        """As it goes over the wire."""
        return StructuresVersion(
            version=self.number,
            at=self.at,
            by=self.by,
            source=self.source,
            note=self.note,
            series_instance_uid=self.series_uid,
            structures=list(self.structures),
            in_use=in_use,
            problem=self.problem,
        )


class Versions:
    """Bookkeeping of one procedure.

    Numbers are given in the order in which versions come. After a restart the decisions are told
    first, with their numbers; what came by DICOM is told again in its order, and gets those that
    are left.

    Parameters
    ----------
    storage
        The storage directory.
    """

    def __init__(self, storage: Path) -> None:
        self._folder = storage / FOLDER
        self._versions: dict[int, Version] = {}
        self._uses: list[tuple[str, datetime]] = []

    @property
    def next_number(self) -> int:
        """Above all there are."""
        return max(self._versions, default=0) + 1

    def check(self, what: StructuresSaved | StructuresUsed) -> None:
        """Raise CommandError when this can't be decided now."""
        if isinstance(what, StructuresUsed):
            version = self.numbered(what.version)
            if version.problem is not None:
                raise CommandError("bad_structures", version.problem)
            if version.key != what.key:
                raise CommandError("no_such_version", "This version holds something else now.")
        elif what.version in self._versions:
            raise CommandError("version_taken", "Others were saved at the same time; try again.")

    def take(self, decision: Decision, what: StructuresSaved | StructuresUsed) -> list[ToRead]:
        """A decision about them holds; what is to be read now."""
        if isinstance(what, StructuresUsed):
            self._uses.append((what.key, decision.at))
            known = [v for v in self._versions.values() if v.key == what.key]
            return [replace(known[0].to_read, at=decision.at)] if known else []
        path = path_of(self._folder, what.file)
        marked = Marked(path, what.series_instance_uid, what.file, decision.at)
        self._versions[what.version] = Version(
            number=what.version,
            at=decision.at,
            by=decision.by,
            source="page",
            note=what.note,
            to_read=marked,
            series_uid=what.series_instance_uid,
            structures=tuple(what.structures),
        )
        return [marked]

    def came(self, offered: Offered) -> list[ToRead]:
        """A structure set has come by DICOM; what is to be read: it, and where it was gone back to.

        The same one sent again is no other version.
        """
        if not any(version.key == offered.sop_instance_uid for version in self._versions.values()):
            number = next(n for n in range(1, len(self._versions) + 2) if n not in self._versions)
            self._versions[number] = Version(
                number, offered.at, BY_DICOM, "dicom", "", offered, offered.series_uid
            )
        again = [at for key, at in self._uses if key == offered.sop_instance_uid]
        return [offered, *(replace(offered, at=at) for at in again)]

    def read(
        self,
        key: str,
        planning_series_uid: str,
        structures: Sequence[Structure],
    ) -> None:
        """One that came by DICOM was read."""
        for number, version in self._versions.items():
            if version.key == key and version.source == "dicom":
                self._versions[number] = replace(
                    version,
                    series_uid=planning_series_uid,
                    problem=None,
                    structures=tuple(
                        VersionStructure(
                            name=s.name,
                            kind=s.kind,
                            warning_distance_mm=None,
                            volume_ml=s.volume_ml,
                        )
                        for s in structures
                    ),
                )

    def refused(self, key: str, why: str) -> None:
        """One can't be used."""
        for number, version in self._versions.items():
            if version.key == key:
                self._versions[number] = replace(version, problem=why)

    def numbered(self, number: int) -> Version:
        """The version with this number.

        Raises
        ------
        CommandError
            There is none.
        """
        try:
            return self._versions[number]
        except KeyError:
            raise CommandError("no_such_version", f"There is no version {number}.") from None

    def number_of(self, key: str) -> int | None:
        """The latest number of a content; None where there is none."""
        return max((n for n, v in self._versions.items() if v.key == key), default=None)

    def own_warnings_mm(self, key: str) -> dict[str, float]:
        """By name, the distances that were given with the structures."""
        number = self.number_of(key)
        if number is None or self._versions[number].source == "dicom":
            return {}
        return {
            s.name: s.warning_distance_mm
            for s in self._versions[number].structures
            if s.warning_distance_mm is not None
        }

    def messages(self, key_in_use: str) -> list[StructuresVersion]:
        """All, by number."""
        used = self.number_of(key_in_use)
        ordered = sorted(self._versions.values(), key=lambda version: version.number)
        return [version.message(in_use=version.number == used) for version in ordered]
