"""The frames of a multi-frame CT object, from its functional groups (PS3.3, C.7.6.16).

An enhanced object tells once what all of its frames share, and for each frame what is its own. Both
are laid together here, frame by frame, into values by the tags that a single-frame object has them
under; from there on a frame is read by the same rules as a slice of its own. Nothing is taken from
the object's top level for a functional group that lacks: a frame without its own place has none.
"""

from collections.abc import Collection, Iterator, Mapping
from typing import Final

from pydicom.tag import Tag

from dicom_listener.encoded import (
    MAXIMUM_VALUE_BYTES,
    PER_FRAME_GROUPS,
    SHARED_GROUPS,
    DatasetError,
    EncodedDataset,
    Span,
    read_items,
)


def _tags(*keywords: str) -> frozenset[int]:
    return frozenset(int(Tag(keyword)) for keyword in keywords)


_LOSSY: Final = _tags("LossyImageCompression")
_UNASSIGNED: Final = (
    "ConvolutionKernel",
    "AcquisitionNumber",
    "TemporalPositionIdentifier",
    "IrradiationEventUID",
    "BodyPartExamined",
)
"""What a slice had and a legacy converted object has no place of its own for."""

_MACROS: Final[Mapping[int, Collection[int]]] = {
    int(Tag(sequence)): _tags(*keywords) | _LOSSY
    for sequence, keywords in {
        "PlanePositionSequence": ("ImagePositionPatient",),
        "PlaneOrientationSequence": ("ImageOrientationPatient",),
        "PixelMeasuresSequence": ("PixelSpacing", "SliceThickness"),
        "PixelValueTransformationSequence": ("RescaleSlope", "RescaleIntercept", "RescaleType"),
        "FrameContentSequence": (
            "FrameAcquisitionDateTime",
            "FrameReferenceDateTime",
            "FrameAcquisitionNumber",
            "TemporalPositionIndex",
            "StackID",
        ),
        "CTImageFrameTypeSequence": ("FrameType",),
        "CTReconstructionSequence": ("ConvolutionKernel",),
        "CTAcquisitionTypeSequence": ("FluoroscopyFlag",),
        "IrradiationEventIdentificationSequence": ("IrradiationEventUID",),
        "UnassignedSharedConvertedAttributesSequence": _UNASSIGNED,
        "UnassignedPerFrameConvertedAttributesSequence": _UNASSIGNED,
    }.items()
}
"""The functional groups that are looked into (PS3.3, C.7.6.16.2 and C.8.15.3), and what for. The
loss mark is none of theirs by the standard; where a converter has put it, it holds all the same."""

_WANTED: Final = frozenset(_MACROS) | _LOSSY

MAXIMUM_FRAMES: Final = 4096
"""The frames of an object with more are counted and not looked at: no scan has so many, and what is
told of each goes into every record of the object."""


def frame_values(encoded: EncodedDataset, count: int) -> list[Mapping[int, bytes]]:
    """For each of ``count`` frames, in the order of the pixel data, tag to bytes.

    Raises
    ------
    DatasetError
        ``garbled`` when the functional groups can't be read, or are not as many as the frames.
    """
    shared = list(_groups(encoded, SHARED_GROUPS, 1))
    common = shared[0] if shared else {}
    frames: list[Mapping[int, bytes]]
    frames = [{**common, **own} for own in _groups(encoded, PER_FRAME_GROUPS, count)]
    if len(frames) != count:
        raise DatasetError("garbled", f"{len(frames)} frames are described where {count} are said.")
    return frames


def _groups(encoded: EncodedDataset, tag: int, count: int) -> Iterator[Mapping[int, bytes]]:
    """The values of each item of a sequence of functional groups, which may hold ``count``."""
    span = encoded.sequences.get(tag)
    if span is None:
        return
    for n, item in enumerate(read_items(encoded, span, _WANTED)):
        if n == count:
            raise DatasetError("garbled", f"More frames are described than the {count} there are.")
        values: dict[int, bytes] = {}
        for macro, inner in item.items():
            if macro in _LOSSY:
                _take(encoded, values, macro, inner)
                continue
            for elements in read_items(encoded, inner, _MACROS[macro]):
                for leaf, value in elements.items():
                    _take(encoded, values, leaf, value)
                break  # each of these sequences has one item
        yield values


def _take(encoded: EncodedDataset, values: dict[int, bytes], tag: int, span: Span) -> None:
    if span.stop - span.start > MAXIMUM_VALUE_BYTES:
        return
    value = bytes(encoded.data[span.start : span.stop])
    if tag not in _LOSSY or value.strip(b" \0") == b"01":  # one mark is not undone by another
        values[tag] = value
