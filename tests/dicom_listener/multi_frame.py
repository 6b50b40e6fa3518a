"""Slices packed into one enhanced object (PS3.3, A.38 and A.70), by the letter of the standard."""

from collections.abc import Callable, Sequence

from pydicom.dataset import Dataset
from pydicom.uid import EnhancedCTImageStorage

from tests.dicom_listener.anatomy import new_uid

TOP_LEVEL = (
    "StudyDate",
    "StudyTime",
    "AccessionNumber",
    "Modality",
    "Manufacturer",
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "SeriesNumber",
    "FrameOfReferenceUID",
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "Rows",
    "Columns",
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "PixelRepresentation",
)
"""What an enhanced object has as its slices have it."""

Change = Callable[[Dataset], object]


def macro(**elements: object) -> list[Dataset]:
    """A sequence of one item."""
    item = Dataset()
    for keyword, value in elements.items():
        setattr(item, keyword, value)
    return [item]


def groups(one: Dataset, n: int) -> Dataset:
    """All functional groups of one frame."""
    item = Dataset()
    item.FrameContentSequence = macro(
        FrameAcquisitionNumber=int(one.get("AcquisitionNumber") or 1),
        FrameAcquisitionDateTime=f"{one.AcquisitionDate}{one.AcquisitionTime}",
        StackID="1",
        InStackPositionNumber=n + 1,
        DimensionIndexValues=[1, n + 1],
    )
    item.PlanePositionSequence = macro(ImagePositionPatient=one.ImagePositionPatient)
    item.PlaneOrientationSequence = macro(ImageOrientationPatient=one.ImageOrientationPatient)
    item.PixelMeasuresSequence = macro(
        PixelSpacing=one.PixelSpacing, SliceThickness=one.SliceThickness
    )
    item.PixelValueTransformationSequence = macro(
        RescaleIntercept=one.RescaleIntercept,
        RescaleSlope=one.RescaleSlope,
        RescaleType=one.get("RescaleType", "HU"),
    )
    item.CTImageFrameTypeSequence = macro(FrameType=one.ImageType)
    item.CTReconstructionSequence = macro(ConvolutionKernel=one.ConvolutionKernel)
    return item


SHARED = (
    "PlaneOrientationSequence",
    "PixelMeasuresSequence",
    "CTImageFrameTypeSequence",
    "CTReconstructionSequence",
)
"""Groups that are written once."""


def enhanced(
    slices: Sequence[Dataset],
    *,
    shared: Sequence[str] = SHARED,
    sop_class: str = EnhancedCTImageStorage,
    change: Change | None = None,
) -> Dataset:
    """One object of all slices, in their order.

    ``shared`` are groups to take from the first slice for all; ``change`` alters the object.
    """
    ds = Dataset()
    for keyword in TOP_LEVEL:
        if keyword in slices[0]:
            setattr(ds, keyword, slices[0][keyword].value)
    ds.SOPClassUID = sop_class
    ds.SOPInstanceUID = new_uid()
    ds.ImageType = ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"]
    ds.InstanceNumber = 1
    ds.ContentDate, ds.ContentTime = "20260302", "110000"
    ds.NumberOfFrames = len(slices)
    ds.LossyImageCompression = "00"
    frames = [groups(one, n) for n, one in enumerate(slices)]
    common = Dataset()
    for keyword in shared:
        setattr(common, keyword, frames[0][keyword].value)
        for frame in frames:
            delattr(frame, keyword)
    ds.SharedFunctionalGroupsSequence = [common]
    ds.PerFrameFunctionalGroupsSequence = frames
    ds.PixelData = b"".join(one.PixelData for one in slices)
    ds["PixelData"].VR = "OW"
    if change:
        change(ds)
    return ds
