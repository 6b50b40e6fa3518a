"""One large object: a whole scan as an Enhanced CT image of many frames."""

from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import EnhancedCTImageStorage, ExplicitVRLittleEndian, generate_uid

SIZE = 512
SPACING_MM = 0.75


def write_enhanced(path: Path, frames: int) -> None:
    """``frames`` frames of ``SIZE`` x ``SIZE``, an axial stack (PS3.3, A.38)."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = EnhancedCTImageStorage
    meta.MediaStorageSOPInstanceUID = generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset = FileDataset(path, {}, file_meta=meta, preamble=bytes(128))
    dataset.SOPClassUID = EnhancedCTImageStorage
    dataset.SOPInstanceUID = meta.MediaStorageSOPInstanceUID
    dataset.Modality = "CT"
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"]
    dataset.PatientName, dataset.PatientID = "Large^Object", "LARGE"
    dataset.PatientBirthDate, dataset.PatientSex = "19600101", "O"
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = generate_uid(), generate_uid()
    dataset.FrameOfReferenceUID = generate_uid()
    dataset.SeriesNumber = dataset.InstanceNumber = 1
    dataset.AcquisitionDateTime = "20260302090000.000000+0000"
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.Rows = dataset.Columns = SIZE
    dataset.NumberOfFrames = frames
    dataset.BitsAllocated = dataset.BitsStored = 16
    dataset.HighBit, dataset.PixelRepresentation = 15, 0
    dataset.SharedFunctionalGroupsSequence = [_shared()]
    dataset.PerFrameFunctionalGroupsSequence = [_frame(n) for n in range(frames)]
    picture = np.random.default_rng(1).integers(900, 1200, (SIZE, SIZE), np.uint16)
    dataset.PixelData = b"".join(np.roll(picture, n, axis=0).tobytes() for n in range(frames))
    dataset.save_as(path, enforce_file_format=True)


def _shared() -> Dataset:
    measures, orientation, transformation = Dataset(), Dataset(), Dataset()
    measures.PixelSpacing, measures.SliceThickness = [0.75, 0.75], SPACING_MM
    orientation.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    transformation.RescaleIntercept, transformation.RescaleSlope = -1024, 1
    transformation.RescaleType = "HU"
    shared = Dataset()
    shared.PixelMeasuresSequence = [measures]
    shared.PlaneOrientationSequence = [orientation]
    shared.PixelValueTransformationSequence = [transformation]
    return shared


def _frame(number: int) -> Dataset:
    content, position = Dataset(), Dataset()
    content.InStackPositionNumber, content.StackID = number + 1, "1"
    content.DimensionIndexValues = [1, number + 1]
    position.ImagePositionPatient = [-192.0, -192.0, SPACING_MM * number]
    frame = Dataset()
    frame.FrameContentSequence = [content]
    frame.PlanePositionSequence = [position]
    return frame
