"""The plug-in point: a program of the site's that finds structures in a scan.

``plugins.structures`` names an entry point of the group ``icemargin.structures``, or a function as
``package.module:function``. It takes a ``segmentation.volume.Volume`` in HU and returns a mapping
of names to masks, [k, j, i] on the same voxels. It runs in a process of its own with a limit of
time. What it finds is proposed to a person, and used only when that person saves it.

Its module may have a function ``problem() -> str`` that says in a sentence why it can't run here;
empty when it can.
"""

import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, Final

import numpy as np

from monitor.config import Settings
from monitor.marking_messages import MAXIMUM_STRUCTURES, ProposedStructure, StructureKind
from monitor.mask_codec import encode
from monitor.planning_scan import read_grid
from segmentation.volume import Volume

GROUP: Final = "icemargin.structures"
MAXIMUM_NAME: Final = 64

Function = Callable[[Volume], Mapping[str, Any]]


class PluginError(RuntimeError):
    """It can't be run, or answers what it must not; the message is a sentence for people."""


@dataclass(frozen=True)
class Plugin:
    """What is configured.

    Attributes
    ----------
    name
        Empty: none.
    """

    name: str = ""
    timeout_s: float = 120.0
    tumour_pattern: str = ""
    hilum_pattern: str = ""

    @staticmethod
    def of(settings: Settings) -> "Plugin":
        """That of the configuration."""
        return Plugin(
            settings.plugins.structures,
            settings.plugins.timeout_s,
            settings.structures.tumour_pattern,
            settings.structures.hilum_pattern,
        )

    def kind_of(self, name: str) -> StructureKind:
        """What a structure is, as for contours that come by DICOM."""
        if re.search(self.tumour_pattern, name):
            return "tumour"
        return "hilum" if re.search(self.hilum_pattern, name) else "other"


def find(name: str) -> Function:
    """The function that is configured.

    Raises
    ------
    PluginError
        It is not installed.
    """
    try:
        if ":" in name:
            module, _, function = name.partition(":")
            found = getattr(import_module(module), function)
        else:
            (entry,) = entry_points(group=GROUP, name=name)
            found = entry.load()
    except Exception as error:  # whatever the import of somebody else's code raises
        raise PluginError(f"The plug-in {name!r} is not installed here.") from error
    if not callable(found):
        raise PluginError(f"The plug-in {name!r} is no function.")
    return found  # type: ignore[no-any-return]


def problem(name: str) -> str:
    """Why it can't run here; empty when it can."""
    try:
        function = find(name)
    except PluginError as error:
        return str(error)
    tell = getattr(sys.modules.get(function.__module__), "problem", None)
    return str(tell()) if callable(tell) else ""


def run(plugin: Plugin, paths: tuple[Path, ...], decoded: Path) -> list[ProposedStructure] | str:
    """What it finds in a scan, or a sentence that says why nothing; for a side process."""
    why = problem(plugin.name)
    if why:
        return why
    grid = read_grid(paths, decoded)
    if isinstance(grid, str):
        return grid
    try:
        found = _checked(find(plugin.name)(grid.volume), grid.volume)
    except PluginError as error:
        return str(error)
    voxel_ml = float(grid.volume.spacing_mm.prod()) / 1000
    return [
        ProposedStructure(
            name=name,
            kind=plugin.kind_of(name),
            mask=encode(mask),
            volume_ml=float(mask.sum()) * voxel_ml,
        )
        for name, mask in found.items()
    ]


def _checked(found: object, volume: Volume) -> dict[str, np.ndarray[Any, np.dtype[np.bool_]]]:
    """Its answer without what is empty.

    Raises
    ------
    PluginError
        It is no mapping of names to masks of the volume's shape.
    """
    if not isinstance(found, Mapping) or len(found) > MAXIMUM_STRUCTURES:
        raise PluginError("The plug-in did not answer with up to 30 named structures.")
    masks = {}
    for name, mask in found.items():
        array = np.asarray(mask)
        good_name = isinstance(name, str) and name.isprintable() and 0 < len(name) <= MAXIMUM_NAME
        if not good_name or array.shape != volume.array.shape or array.dtype.kind not in "bui":
            raise PluginError("The plug-in answered what is no structure of this scan.")
        if array.any():
            masks[name] = array.astype(bool)
    return masks
