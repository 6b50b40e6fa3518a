"""Marking structures on the planning scan: what the page's routes ask for.

All methods block and belong into a thread; none is on the pipeline's.
"""

from pathlib import Path
from typing import Final

from monitor.decisions import CommandError, StructuresSaved
from monitor.marked import FOLDER, MarkedFile, geometry_of, load, save, tidy
from monitor.marking_messages import (
    MarkedStructure,
    PlanningScan,
    ProposalBody,
    ProposedStructure,
    StructureProposal,
    StructuresBody,
    StructuresContent,
    VersionStructure,
)
from monitor.mask_codec import MaskError, decode, encode
from monitor.planning_scan import PlanningGrid, PlanningScans, Source
from monitor.plugin import Plugin, run
from monitor.rasterising import GridShape, rasterise
from monitor.side_process import SideError, SideProcess
from monitor.versions import ToRead, Version
from segmentation.proposal import USUAL_RADIUS_MM, ProposalError, ellipsoid, grow

RASTERISE_S: Final = 20.0

LEAST_ML: Final = {"tumour": 0.05, "hilum": 0.005, "other": 0.005}
"""Of a structure; less is a slip of the hand."""

LARGEST_ML: Final = {"tumour": 1500.0, "hilum": 500.0, "other": 3000.0}


NAMES: Final = {"tumour": "Tumour", "hilum": "Renal hilum", "other": "Structure"}
"""Of what is proposed."""


class Marking:
    """Scans to mark on, proposals, and versions as files.

    Parameters
    ----------
    storage
        The storage directory.
    plugin
        The site's own program; none by default.
    """

    def __init__(self, storage: Path, plugin: Plugin | None = None) -> None:
        self._folder = storage / FOLDER
        tidy(self._folder)
        self._plugin = plugin or Plugin()
        self._beside = SideProcess("the plug-in")
        self._process = SideProcess("marking")
        self._scans = PlanningScans(self._process)

    def close(self) -> None:
        """End what runs beside."""
        self._process.close()
        self._beside.close()

    def scan(self, source: Source) -> PlanningScan:
        """The grid of a scan."""
        grid = self._scans.grid(source)
        return PlanningScan.model_validate(
            {
                "series_instance_uid": source.series_uid,
                "revision": source.revision,
                "description": source.description,
                "reduction": grid.reduction,
                "candidates": list(source.candidates),
                "in_use": source.in_use,
                "plugin": self._plugin.name or None,
                **geometry_of(grid),
            }
        )

    def voxels(self, source: Source) -> bytes:
        """Int16 little-endian HU, [z, y, x], gzip."""
        return self._scans.grid(source).compressed

    def propose(self, source: Source, body: ProposalBody) -> StructureProposal:
        """A structure round a point.

        Raises
        ------
        CommandError
            There is nothing to propose.
        """
        if body.method == "plug-in":
            return self._by_plugin(source)
        grid = self._scans.grid(source)
        if body.seed_lps_mm is None:
            raise CommandError("no_proposal", "Click into the structure first.")
        try:
            if body.method == "grow":
                found = grow(grid.volume, body.seed_lps_mm, body.radii_mm)
            else:
                radii = body.radii_mm or (USUAL_RADIUS_MM,) * 3
                found = ellipsoid(grid.volume, body.seed_lps_mm, radii)
        except ProposalError as error:
            raise CommandError("no_proposal", str(error)) from error
        mask = encode(found.mask)
        name = NAMES[body.kind]
        one = ProposedStructure(name=name, kind=body.kind, mask=mask, volume_ml=found.volume_ml)
        return StructureProposal(
            mask=mask, volume_ml=found.volume_ml, text=found.text, structures=[one]
        )

    def _by_plugin(self, source: Source) -> StructureProposal:
        plugin = self._plugin
        if not plugin.name:
            raise CommandError("no_proposal", "No program that finds structures is set up.")
        paths = source.paths, source.decoded
        try:
            found = self._beside.run(plugin.timeout_s, run, plugin, *paths)
        except SideError as error:
            raise CommandError("no_proposal", f"The plug-in failed: {error}") from error
        if isinstance(found, str):
            raise CommandError("no_proposal", found)
        if not found:
            raise CommandError("no_proposal", "The plug-in found nothing in this scan.")
        text = f"Found by {plugin.name}. Check each outline on every slice before it is saved."
        first = found[0]
        return StructureProposal(
            mask=first.mask, volume_ml=first.volume_ml, text=text, structures=found
        )

    def keep(self, source: Source, body: StructuresBody) -> StructuresSaved:
        """Check structures and make them durable; what is then to be decided.

        Raises
        ------
        CommandError
            They can't be used as they are, or not be written.
        """
        if body.revision != source.revision:
            text = "The scan has grown since it was opened; open it again."
            raise CommandError("scan_changed", text)
        grid = self._scans.grid(source)
        summary = _checked(body, grid)
        content = MarkedFile.model_validate(
            {
                "series_instance_uid": source.series_uid,
                "revision": source.revision,
                "structures": [
                    s.model_copy(update={"name": s.name.strip()}) for s in body.structures
                ],
                **geometry_of(grid),
            }
        )
        try:
            digest = save(self._folder, content)
        except OSError as error:
            raise CommandError("not_written", f"It has not happened: {error.strerror}.") from error
        return StructuresSaved(
            version=source.next_version,
            series_instance_uid=source.series_uid,
            file=digest,
            note=body.note,
            structures=summary,
        )

    def content(self, version: Version, source: Source) -> StructuresContent:
        """A version's structures in the present grid of its scan.

        Raises
        ------
        CommandError
            They can't be read.
        """
        grid = self._scans.grid(source)
        structures = self._as_marked(version.to_read, grid)
        if structures is None:
            found = self._rasterised(version.to_read, grid)
            own = {s.name: s.warning_distance_mm for s in version.structures}
            structures = [
                s.model_copy(update={"warning_distance_mm": own.get(s.name)}) for s in found
            ]
        return StructuresContent(
            version=version.number,
            series_instance_uid=source.series_uid,
            revision=source.revision,
            note=version.note,
            structures=structures,
        )

    def _as_marked(self, to_read: ToRead, grid: PlanningGrid) -> list[MarkedStructure] | None:
        """The masks as they were saved, where the grid is still the same."""
        if to_read.path.parent != self._folder:
            return None
        try:
            content = load(to_read.path)
        except (OSError, ValueError) as error:
            raise CommandError("unreadable_structures", f"They can't be read: {error}.") from error
        return list(content.structures) if content.is_in(grid) else None

    def _rasterised(self, to_read: ToRead, grid: PlanningGrid) -> list[MarkedStructure]:
        try:
            answer = self._process.run(RASTERISE_S, rasterise, to_read, GridShape.of(grid))
        except SideError as error:
            raise CommandError("unreadable_structures", f"They can't be read: {error}.") from error
        if isinstance(answer, str):
            raise CommandError("unreadable_structures", answer)
        return list(answer)


def _checked(body: StructuresBody, grid: PlanningGrid) -> list[VersionStructure]:
    """What the structures are, in short.

    Raises
    ------
    CommandError
        They can't be used.
    """
    names = [structure.name.strip() for structure in body.structures]
    for name in names:
        if not name or not name.isprintable():
            raise CommandError("bad_structures", "Every structure needs a name.")
        if [n.casefold() for n in names].count(name.casefold()) > 1:
            raise CommandError("bad_structures", f"Two structures are called {name!r}.")
    if sum(structure.kind == "tumour" for structure in body.structures) != 1:
        raise CommandError("bad_structures", "Mark exactly one structure as the tumour.")
    voxel_ml = float(grid.volume.spacing_mm.prod()) / 1000
    found = []
    for structure, name in zip(body.structures, names, strict=True):
        try:
            volume_ml = float(decode(structure.mask, grid.shape).array.sum()) * voxel_ml
        except MaskError as error:
            raise CommandError("bad_structures", f"{name}: {error}") from error
        if volume_ml < LEAST_ML[structure.kind]:
            text = f"{name} is too small ({volume_ml:.3f} ml) to be what it is called."
            raise CommandError("bad_structures", text)
        if volume_ml > LARGEST_ML[structure.kind]:
            text = f"{name} is too large ({volume_ml:.0f} ml) to be what it is called."
            raise CommandError("bad_structures", text)
        found.append(
            VersionStructure(
                name=name,
                kind=structure.kind,
                warning_distance_mm=structure.warning_distance_mm,
                volume_ml=volume_ml,
            )
        )
    return found
