"""What is kept of a measured scan for its pictures and its segmentation object.

One NumPy archive a measurement, in the derived folder. It can be made anew from the received
objects, so it is written without fsync, but never half: a temporary name, then a rename.
"""

import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segmentation.assessment import Assessed
from segmentation.layout import Numbered
from segmentation.probes import Probe
from segmentation.rigid import Rigid
from segmentation.structures import Kind, Structure
from segmentation.volume import Volume

PICTURE_REACH_MM = 45.0
"""How much of the scan is kept round structures and ice."""


class ArtefactError(ValueError):
    """The artefact is absent or can't be read."""


@dataclass(frozen=True, eq=False)
class Artefact:
    """Scan, ice and structures of one measurement.

    Attributes
    ----------
    scan
        HU, cropped.
    scan_shape, scan_origin_lps_mm
        (k, j, i) and first voxel of the whole scan, for objects in its own frame.
    ice
        Level set, positive inside, in the scan's frame.
    lethal
        Level set of the modelled -20 C surface, in the scan's frame on its own grid; None where
        there is none.
    structures
        In the planning frame; ``planning_to_scan`` takes them to the scan's.
    worst_point_lps_mm
        (3,), in the scan's frame.
    probes
        With their numbers, in the scan's frame.
    """

    scan: Volume
    scan_shape: tuple[int, int, int]
    scan_origin_lps_mm: NDArray[np.float64]
    ice: Volume
    lethal: Volume | None
    structures: tuple[Structure, ...]
    planning_to_scan: Rigid
    worst_point_lps_mm: NDArray[np.float64]
    probes: tuple[Numbered, ...] = ()

    @property
    def whole_grid(self) -> Volume:
        """The whole scan's grid, without its values (a read-only view of one zero)."""
        return Volume(
            np.broadcast_to(np.zeros((), dtype=np.int16), self.scan_shape),
            self.scan_origin_lps_mm,
            self.scan.direction,
            self.scan.spacing_mm,
        )


def save(
    path: Path,
    shown: Volume,
    whole: Volume,
    structures: Sequence[Structure],
    assessed: Assessed,
) -> None:
    """Write an artefact; ``shown`` is the part of the ``whole`` scan that is kept."""
    content: dict[str, Any] = {
        "scan_shape": np.array(whole.array.shape),
        "scan_origin": whole.origin_lps_mm,
        "rotation": assessed.planning_to_scan.rotation,
        "shift": assessed.planning_to_scan.shift_mm,
        "worst": assessed.margin.worst_point_lps_mm,
        "names": np.array([s.name for s in structures]),
        "kinds": np.array([s.kind for s in structures]),
        "probes": np.array([_row(one) for one in assessed.probes]).reshape(-1, 8),
    }
    volumes = {"scan": shown, "ice": assessed.ice.surface.field}
    if assessed.lethal is not None:
        volumes["lethal"] = assessed.lethal.surface
    volumes |= {f"structure{n}": s.field for n, s in enumerate(structures)}
    for name, volume in volumes.items():
        content[f"{name}_array"] = volume.array
        content[f"{name}_place"] = np.column_stack(
            [volume.origin_lps_mm, volume.spacing_mm, volume.direction]
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".part")
    with partial.open("wb") as file:
        np.savez(file, **content)
    partial.replace(path)


def load(path: Path) -> Artefact:
    """Read an artefact.

    Raises
    ------
    ArtefactError
        It is absent or damaged.
    """
    try:
        # Opened here: NumPy leaves a file open that turns out to be no archive.
        with path.open("rb") as file, np.load(file, allow_pickle=False) as content:
            names, kinds = content["names"].tolist(), content["kinds"].tolist()
            shape = content["scan_shape"].tolist()
            return Artefact(
                scan=_volume(content, "scan"),
                scan_shape=(shape[0], shape[1], shape[2]),
                scan_origin_lps_mm=content["scan_origin"],
                ice=_volume(content, "ice"),
                lethal=_volume(content, "lethal") if "lethal_array" in content else None,
                structures=tuple(
                    Structure(name, _kind(kind), _volume(content, f"structure{n}"))
                    for n, (name, kind) in enumerate(zip(names, kinds, strict=True))
                ),
                planning_to_scan=Rigid(content["rotation"], content["shift"]),
                worst_point_lps_mm=content["worst"],
                probes=tuple(
                    Numbered(int(row[0]), Probe(row[1:4], row[4:7], float(row[7])))
                    for row in content.get("probes", ())
                ),
            )
    except (OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise ArtefactError(f"{path.name}: {error}") from error


def _row(one: Numbered) -> list[float]:
    """Number, tip, direction, length."""
    probe = one.probe
    return [one.number, *probe.tip_lps_mm, *probe.direction, probe.length_mm]


def _volume(content: Any, name: str) -> Volume:
    place = content[f"{name}_place"]
    return Volume(content[f"{name}_array"], place[:, 0], place[:, 2:], place[:, 1])


def _kind(text: str) -> Kind:
    if text == "tumour":
        return "tumour"
    return "hilum" if text == "hilum" else "other"
