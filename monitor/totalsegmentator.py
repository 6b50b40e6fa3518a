"""TotalSegmentator as a plug-in: kidneys and what lies near them, where a site has installed it.

Neither the package nor its weights come with this software. Two things that it does by itself are
not wanted in a treatment room and are kept from happening: it is not run where its weights would
first have to be fetched, nor while it would report its use over the network.

Weights: dataset 297, the 3 mm model of the task ``total`` (Wasserthal et al., Radiology: Artificial
Intelligence 2023). https://github.com/wasserth/TotalSegmentator
"""

import os
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from segmentation.volume import Volume

WANTED: Final = {
    "kidney_left": "Kidney left",
    "kidney_right": "Kidney right",
    "adrenal_gland_left": "Adrenal left",
    "adrenal_gland_right": "Adrenal right",
    "colon": "Colon",
    "small_bowel": "Small bowel",
    "duodenum": "Duodenum",
    "pancreas": "Pancreas",
    "spleen": "Spleen",
    "liver": "Liver",
}
"""Its names of classes, and ours."""

WEIGHTS: Final = "Dataset297_*"
LPS_TO_RAS: Final = np.diag([-1.0, -1.0, 1.0, 1.0])


def problem() -> str:
    """Why it can't run here; empty when it can."""
    if find_spec("totalsegmentator") is None:
        return "TotalSegmentator is not installed."
    if not any(path.is_dir() for path in _weights_folder().glob(WEIGHTS)):
        return f"TotalSegmentator has no weights in {_weights_folder()}."
    from totalsegmentator.config import get_config_key

    if get_config_key("send_usage_stats") is not False:
        place = _home() / "config.json"
        return f"TotalSegmentator reports its use: set send_usage_stats to false in {place}."
    return ""


def segment(volume: Volume) -> dict[str, NDArray[np.bool_]]:
    """Kidneys and neighbours, [k, j, i] each."""
    import nibabel
    from totalsegmentator.map_to_binary import class_map
    from totalsegmentator.python_api import totalsegmentator

    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = volume.matrix, volume.origin_lps_mm
    make: Any = nibabel.Nifti1Image  # it ships no types
    image = make(volume.array.transpose(2, 1, 0), LPS_TO_RAS @ affine)
    answer: Any = totalsegmentator(image, None, ml=True, fast=True, quiet=True, device="gpu")
    labels = np.asarray(answer.dataobj).transpose(2, 1, 0)
    return {
        WANTED[name]: labels == number
        for number, name in class_map["total"].items()
        if name in WANTED
    }


def _home() -> Path:
    return Path(os.environ.get("TOTALSEG_HOME_DIR", Path.home() / ".totalsegmentator"))


def _weights_folder() -> Path:
    given = os.environ.get("TOTALSEG_WEIGHTS_PATH")
    return Path(given) if given else _home() / "nnunet" / "results"
