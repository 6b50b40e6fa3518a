"""CT images as DICOM: complete CT Image Storage datasets (PS3.3 A.3)."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import (
    UID,
    CTImageStorage,
    ExplicitVRLittleEndian,
    generate_uid,
)

from scanner_sim.grid import Grid

IMPLEMENTATION_UID = generate_uid(entropy_srcs=["icemargin", "scanner_sim"])
_INTERCEPT = -1024
_SLICE_S = 0.1
"""Between the acquisition of one slice and the next."""
_RECONSTRUCTION_S = 2.0


@dataclass(frozen=True)
class Identity:
    """Who and what all objects of a procedure share; UIDs follow from the seed alone.

    ``salt`` makes the same case another procedure, so that two runs do not collide.
    """

    case: str
    seed: int
    salt: str
    start: datetime
    position: Literal["HFS", "HFP"]
    kernel: str
    signed: bool

    def uid(self, *parts: object) -> str:
        """A UID that is the same for the same seed, salt and parts."""
        sources = ["icemargin-sim", self.case, str(self.seed), self.salt, *map(str, parts)]
        # Joined by a separator, or image 12 of series 1 would be image 2 of series 11.
        return str(generate_uid(entropy_srcs=["/".join(sources)]))

    @property
    def patient_id(self) -> str:
        """Short and plainly not a person's."""
        return f"SIM-{self.uid('patient')[-8:]}"

    def base(self, sop_class_uid: str, sop_instance_uid: str, at: datetime) -> FileDataset:
        """File meta, patient, study and equipment of an object made at a time."""
        meta = FileMetaDataset()
        meta.FileMetaInformationVersion = b"\x00\x01"
        meta.MediaStorageSOPClassUID = UID(sop_class_uid)
        meta.MediaStorageSOPInstanceUID = UID(sop_instance_uid)
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        meta.ImplementationClassUID = IMPLEMENTATION_UID
        meta.ImplementationVersionName = "ICEMARGIN_SIM"
        dataset = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128, is_implicit_VR=False)
        dataset.SpecificCharacterSet = "ISO_IR 192"
        dataset.SOPClassUID = UID(sop_class_uid)
        dataset.SOPInstanceUID = UID(sop_instance_uid)
        dataset.InstanceCreationDate, dataset.InstanceCreationTime = _date(at), _time(at)
        dataset.TimezoneOffsetFromUTC = at.strftime("%z") or "+0000"
        dataset.PatientName = f"Simulated^{self.case.title()}"
        dataset.PatientID = self.patient_id
        dataset.PatientBirthDate = "19600101"
        dataset.PatientSex = "O"
        dataset.StudyInstanceUID = self.uid("study")
        dataset.StudyDate, dataset.StudyTime = _date(self.start), _time(self.start)
        dataset.StudyID = "1"
        dataset.AccessionNumber = f"A{self.uid('accession')[-10:]}"
        dataset.ReferringPhysicianName = ""
        dataset.StudyDescription = "CT renal cryoablation (simulated)"
        dataset.FrameOfReferenceUID = self.uid("frame")
        dataset.PositionReferenceIndicator = ""
        dataset.Manufacturer = "icemargin"
        dataset.ManufacturerModelName = "Simulated scanner"
        dataset.InstitutionName = "Simulation"
        dataset.StationName = "SIMCT"
        dataset.DeviceSerialNumber = "0"
        dataset.SoftwareVersions = "1"
        return dataset


def ct_series(
    identity: Identity,
    grid: Grid,
    hu: NDArray[np.int16],
    *,
    number: int,
    label: str,
    at_s: float,
    thickness_mm: float,
) -> list[Dataset]:
    """One dataset a slice, from the feet up.

    Parameters
    ----------
    grid, hu
        [k, j, i] along the patient's axes. A prone scan's pictures are turned by 180 degrees, as
        the scanner sees them, with the orientation that says so.
    number
        SeriesNumber; part of the UIDs.
    """
    begin = identity.start + timedelta(seconds=at_s)
    prone = identity.position == "HFP"
    stored = hu - np.int16(_INTERCEPT)
    if prone:
        stored = stored[:, ::-1, ::-1]
    corner = (grid.x[-1], grid.y[-1]) if prone else (grid.x[0], grid.y[0])
    series_uid = identity.uid("series", number)
    datasets: list[Dataset] = []
    for k, z in enumerate(grid.z):
        moment = begin + timedelta(seconds=_SLICE_S * k)
        made = begin + timedelta(seconds=_SLICE_S * (k + 1) + _RECONSTRUCTION_S)
        dataset = identity.base(CTImageStorage, identity.uid("image", number, k), made)
        _describe_series(dataset, identity, series_uid, number, label, begin)
        dataset.InstanceNumber = k + 1
        dataset.AcquisitionNumber = 1
        dataset.AcquisitionDate, dataset.AcquisitionTime = _date(moment), _time(moment)
        dataset.AcquisitionDateTime = moment.strftime("%Y%m%d%H%M%S.%f%z")
        dataset.ContentDate, dataset.ContentTime = _date(made), _time(made)
        dataset.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
        _describe_plane(dataset, grid, (*corner, z), thickness_mm, prone=prone)
        _store(dataset, stored[k], signed=identity.signed)
        datasets.append(dataset)
    return datasets


def ct_localizer(
    identity: Identity, grid: Grid, hu: NDArray[np.float32], *, number: int, at_s: float
) -> list[Dataset]:
    """One projection from front to back of a coarse volume, as scanners take it first."""
    begin = identity.start + timedelta(seconds=at_s)
    made = begin + timedelta(seconds=_RECONSTRUCTION_S)
    depth = np.clip(hu + 1000, 0, None).mean(axis=1)[::-1]
    picture = np.rint(depth - 700).astype(np.int16) - np.int16(_INTERCEPT)
    sign = 1
    left = grid.x[0]
    if identity.position == "HFP":
        picture, sign, left = picture[:, ::-1], -1, grid.x[-1]
    dataset = identity.base(CTImageStorage, identity.uid("image", number, 0), made)
    uid = identity.uid("series", number)
    _describe_series(dataset, identity, uid, number, "localizer", begin)
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
    dataset.InstanceNumber = 1
    dataset.AcquisitionNumber = 1
    dataset.AcquisitionDate, dataset.AcquisitionTime = _date(begin), _time(begin)
    dataset.AcquisitionDateTime = begin.strftime("%Y%m%d%H%M%S.%f%z")
    dataset.ContentDate, dataset.ContentTime = _date(made), _time(made)
    corner = (left, float(grid.y.mean()), grid.z[-1])
    dataset.ImagePositionPatient = [round(float(value), 4) for value in corner]
    dataset.ImageOrientationPatient = [sign, 0, 0, 0, 0, -1]
    dataset.PixelSpacing = [float(grid.spacing[2]), float(grid.spacing[0])]
    dataset.SliceThickness = round(float(grid.y[-1] - grid.y[0]), 3)
    _store(dataset, np.clip(picture, 0, 4095), signed=identity.signed)
    del dataset.RescaleType  # a localizer's numbers are not Hounsfield units
    return [dataset]


def _describe_series(
    dataset: Dataset, identity: Identity, uid: str, number: int, label: str, begin: datetime
) -> None:
    """General Series and the scanner's settings."""
    dataset.Modality = "CT"
    dataset.SeriesInstanceUID = uid
    dataset.SeriesNumber = number
    dataset.SeriesDate, dataset.SeriesTime = _date(begin), _time(begin)
    dataset.SeriesDescription = label
    dataset.ProtocolName = "Renal cryoablation"
    dataset.BodyPartExamined = "ABDOMEN"
    dataset.PatientPosition = identity.position
    dataset.ScanOptions = "HELICAL"
    dataset.KVP = "120"
    dataset.XRayTubeCurrent = 180
    dataset.ExposureTime = 500
    dataset.Exposure = 90
    dataset.ConvolutionKernel = identity.kernel
    dataset.GantryDetectorTilt = "0"
    dataset.RotationDirection = "CW"


def _describe_plane(
    dataset: Dataset,
    grid: Grid,
    position: tuple[float, float, float],
    thickness_mm: float,
    *,
    prone: bool,
) -> None:
    """Image Plane: rows run to the patient's left supine, to the right prone."""
    sign = -1 if prone else 1
    dataset.ImagePositionPatient = [round(float(value), 4) for value in position]
    dataset.ImageOrientationPatient = [sign, 0, 0, 0, sign, 0]
    dataset.PixelSpacing = [round(float(grid.spacing[1]), 6), round(float(grid.spacing[0]), 6)]
    dataset.SliceThickness = thickness_mm
    dataset.SpacingBetweenSlices = round(float(grid.spacing[2]), 6)
    dataset.SliceLocation = round(float(position[2]), 4)
    dataset.TableHeight = "150"
    dataset.ReconstructionDiameter = round(float(grid.x.size * grid.spacing[0]), 3)
    dataset.DataCollectionDiameter = "500"


def _store(dataset: Dataset, stored: NDArray[np.int16], *, signed: bool) -> None:
    """Image Pixel and CT Image: 0 to 4095 with an intercept of -1024."""
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.Rows, dataset.Columns = stored.shape
    dataset.BitsAllocated = 16
    dataset.BitsStored = 16 if signed else 12
    dataset.HighBit = dataset.BitsStored - 1
    dataset.PixelRepresentation = 1 if signed else 0
    dataset.RescaleIntercept = str(_INTERCEPT)
    dataset.RescaleSlope = "1"
    dataset.RescaleType = "HU"
    dataset.WindowCenter, dataset.WindowWidth = "50", "350"
    dataset.PixelData = np.ascontiguousarray(stored, dtype="<i2").tobytes()


def _date(at: datetime) -> str:
    return at.strftime("%Y%m%d")


def _time(at: datetime) -> str:
    return at.strftime("%H%M%S.%f")
