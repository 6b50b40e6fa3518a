"""DICOM objects made up for the tests."""

import io
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
from pydicom.dataset import Dataset
from pydicom.filewriter import write_dataset
from pydicom.uid import (
    UID,
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    RTStructureSetStorage,
)

from dicom_listener.headers import ObjectHeader
from segmentation.volume import SlicePlane

ROOT = "1.2.826.0.1.3680043.10.999"
STUDY = f"{ROOT}.1"
SERIES = f"{ROOT}.1.1"
FRAME = f"{ROOT}.1.0"
START = datetime(2026, 3, 1, 9, 0, tzinfo=UTC)


def at(seconds: float) -> datetime:
    """So many seconds after the start of the test's story."""
    return START + timedelta(seconds=seconds)


def ct_slice(n: int = 0, *, size: int = 16, **elements: Any) -> Dataset:
    """Axial slice ``n`` of a series, 3 mm apart, ``size`` x ``size`` pixels of stored value n."""
    ds = Dataset()
    ds.SpecificCharacterSet = "ISO_IR 100"
    ds.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    ds.SOPClassUID = CTImageStorage
    ds.SOPInstanceUID = f"{SERIES}.{n + 1}"
    ds.AcquisitionDate = "20260301"
    ds.AcquisitionTime = "090000.5"
    ds.Modality = "CT"
    ds.TimezoneOffsetFromUTC = "+0100"
    ds.SeriesDescription = "Monitoring"
    ds.PatientName = "Müller^Åse"
    ds.PatientID = "4711"
    ds.ConvolutionKernel = "B30f"
    ds.StudyInstanceUID = STUDY
    ds.SeriesInstanceUID = SERIES
    ds.InstanceNumber = n + 1
    ds.ImagePositionPatient = [-8, -8, 3 * n]
    ds.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    ds.FrameOfReferenceUID = FRAME
    ds.SamplesPerPixel = 1
    ds.PhotometricInterpretation = "MONOCHROME2"
    ds.Rows = ds.Columns = size
    ds.PixelSpacing = [1, 1]
    ds.BitsAllocated = 16
    ds.BitsStored = 16
    ds.HighBit = 15
    ds.PixelRepresentation = 1
    ds.RescaleIntercept = -1024
    ds.RescaleSlope = 1
    ds.PixelData = np.full((size, size), n, "<i2").tobytes()
    ds["PixelData"].VR = "OW"
    for keyword, value in elements.items():
        if value is None:
            delattr(ds, keyword)
        else:
            setattr(ds, keyword, value)
    return ds


def structure_set() -> Dataset:
    """An RTSTRUCT with next to nothing in it."""
    ds = Dataset()
    ds.SOPClassUID = RTStructureSetStorage
    ds.SOPInstanceUID = f"{ROOT}.1.2.1"
    ds.Modality = "RTSTRUCT"
    ds.PatientID = "4711"
    ds.PatientName = "Müller"
    ds.StudyInstanceUID = STUDY
    ds.SeriesInstanceUID = f"{ROOT}.1.2"
    item = Dataset()
    item.ROINumber = 1
    item.ROIName = "Tumour"
    ds.StructureSetROISequence = [item]
    return ds


def encode(ds: Dataset, syntax: str = ExplicitVRLittleEndian) -> bytes:
    """The data set's bytes, as they come over the network."""
    if syntax == DeflatedExplicitVRLittleEndian:
        import zlib

        deflater = zlib.compressobj(wbits=-zlib.MAX_WBITS)
        return deflater.compress(encode(ds)) + deflater.flush()
    from pydicom.filebase import DicomBytesIO

    buffer = DicomBytesIO()
    buffer.is_implicit_VR = syntax == ImplicitVRLittleEndian
    buffer.is_little_endian = syntax != ExplicitVRBigEndian
    write_dataset(buffer, ds)
    return buffer.getvalue()


def part10(ds: Dataset, syntax: str = ExplicitVRLittleEndian) -> bytes:
    """The data set as a DICOM file."""
    from pydicom.dataset import FileMetaDataset

    copy = Dataset(ds)
    copy.file_meta = FileMetaDataset()
    copy.file_meta.TransferSyntaxUID = UID(syntax)
    buffer = io.BytesIO()
    copy.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


_HEADER = ObjectHeader(
    sop_class_uid=CTImageStorage,
    sop_instance_uid=f"{SERIES}.1",
    transfer_syntax_uid=ExplicitVRLittleEndian,
    modality="CT",
    patient_id="4711",
    patient_name="Müller^Åse",
    patient_birth_date="19700101",
    study_instance_uid=STUDY,
    series_instance_uid=SERIES,
    series_number=1,
    series_description="Monitoring",
    frame_of_reference_uid=FRAME,
    image_type=("ORIGINAL", "PRIMARY", "AXIAL"),
    convolution_kernel="B30f",
    acquired_at=START,
    instance_number=1,
    acquisition_number=1,
    lossy=False,
    rescale_slope=1.0,
    rescale_intercept=-1024.0,
    rescale_type="HU",
    planes=(),
    number_of_frames=1,
)


def header(z_mm: float, series: int = 1, name: str = "", **changes: Any) -> ObjectHeader:
    """Header of an axial slice at ``z_mm`` of series number ``series``."""
    plane = SlicePlane((0.0, 0.0, float(z_mm)), (1, 0, 0, 0, 1, 0), (1.0, 1.0), 16, 16)
    uid = f"{ROOT}.5.{series}"
    sop = f"{uid}.{name or int(z_mm * 100) + 100_000}"
    changed = replace(_HEADER, planes=(plane,), series_instance_uid=uid, sop_instance_uid=sop)
    return replace(changed, **changes)


def heights(count: int, spacing_mm: float = 3.0, start_mm: float = 0.0) -> Sequence[float]:
    """Evenly spaced positions along z."""
    return [start_mm + spacing_mm * n for n in range(count)]
