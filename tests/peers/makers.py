"""Programs of others that turn masks into planning objects, as their packages ship them.

Each takes the folder of a planning scan and masks on its voxels, [k, j, i] by name.
"""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import SimpleITK as sitk  # noqa: N813  its usual name
from numpy.typing import NDArray

Masks = Mapping[str, NDArray[np.bool_]]
Maker = Callable[[Path, Masks, Path], Path]

TIMEOUT_S = 120.0


def dcmqi(planning: Path, masks: Masks, out: Path) -> Path:
    """Binary SEG by itkimage2segimage (dcmqi, over DCMTK)."""
    return _dcmqi(planning, masks, out, "binary")


def dcmqi_label_map(planning: Path, masks: Masks, out: Path) -> Path:
    """Label map SEG by the same."""
    return _dcmqi(planning, masks, out, "labelmap")


def plastimatch(planning: Path, masks: Masks, out: Path) -> Path:
    """RTSTRUCT by plastimatch, over GDCM or DCMTK."""
    program = _program("plastimatch")
    folder = out / "masks"
    for name, image in _images(planning, masks).items():
        folder.mkdir(exist_ok=True)
        sitk.WriteImage(image, str(folder / f"{name}.nrrd"))
    written = out / "written"
    _run(
        program,
        "convert",
        *("--input-prefix", folder),
        *("--referenced-ct", planning),
        *("--output-dicom", written),
    )
    (found,) = [path for path in written.rglob("*") if path.name.startswith("rtss")]
    return found


MAKERS: tuple[Maker, ...] = (dcmqi, dcmqi_label_map, plastimatch)


def _dcmqi(planning: Path, masks: Masks, out: Path, kind: str) -> Path:
    program = _program("itkimage2segimage")
    paths = []
    for name, image in _images(planning, masks).items():
        paths.append(out / f"{name}.nrrd")
        sitk.WriteImage(image, str(paths[-1]))
    described = {
        "ContentCreatorName": "Reader1",
        "ClinicalTrialSeriesID": "Session1",
        "ClinicalTrialTimePointID": "1",
        "SeriesDescription": "Segmentation",
        "SeriesNumber": "300",
        "InstanceNumber": "1",
        "segmentAttributes": [[_segment(name)] for name in masks],
    }
    (out / "meta.json").write_text(json.dumps(described))
    made = out / "made.dcm"
    _run(
        program,
        *("--inputImageList", ",".join(map(str, paths))),
        *("--inputDICOMDirectory", planning),
        *("--inputMetadata", out / "meta.json"),
        *("--segmentationType", kind),
        *("--outputDICOM", made),
    )
    return made


def _segment(name: str) -> dict[str, object]:
    anatomy = {
        "CodeValue": "91723000",
        "CodingSchemeDesignator": "SCT",
        "CodeMeaning": "Anatomical Structure",
    }
    kidney = {"CodeValue": "64033007", "CodingSchemeDesignator": "SCT", "CodeMeaning": "Kidney"}
    return {
        "labelID": 1,
        "SegmentDescription": name,
        "SegmentLabel": name,
        "SegmentAlgorithmType": "MANUAL",
        "SegmentedPropertyCategoryCodeSequence": anatomy,
        "SegmentedPropertyTypeCodeSequence": kidney,
        "recommendedDisplayRGBValue": [200, 100, 50],
    }


def _images(planning: Path, masks: Masks) -> dict[str, sitk.Image]:
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(planning)))
    scan = reader.Execute()
    found = {}
    for name, mask in masks.items():
        image = sitk.GetImageFromArray(mask.astype(np.uint8))
        image.CopyInformation(scan)
        found[name] = image
    return found


def _program(name: str) -> str:
    """Beside our Python: it came with the development packages."""
    found = shutil.which(name, path=str(Path(sys.executable).parent))
    assert found is not None, name
    return found


def _run(*command: object) -> None:
    done = subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, timeout=TIMEOUT_S
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
