"""What is told of the objects that come in: of single ones, and of the series that they make."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final, Literal

from pydicom.uid import EnhancedCTImageStorage, LegacyConvertedEnhancedCTImageStorage

from dicom_listener.headers import ObjectHeader
from dicom_listener.syntaxes import CT_IMAGE_STORAGE
from segmentation.volume import Stack

CT_CLASSES: Final = frozenset(
    (CT_IMAGE_STORAGE, EnhancedCTImageStorage, LegacyConvertedEnhancedCTImageStorage)
)
"""SOP classes that scans come as."""

ObjectKind = Literal[
    "slice", "stored", "localizer", "lossy", "no_plane", "multi_frame", "conflict", "foreign"
]
"""What an object is to the assembler. Only slices make volumes, one with several frames as many;
``stored`` is all that is no CT, ``multi_frame`` tells no plane for each of its frames, ``conflict``
has the UID of another object, ``foreign`` the series UID of another patient's, study's or frame of
reference's series."""

Completeness = Literal["final", "provisional", "refused"]
Evidence = Literal["mpps", "commitment", "release", "extent", "quiet", "none"]
"""What the judgement came by. ``none``: its end was not waited for."""


@dataclass(frozen=True)
class SeriesObject:
    """An object of a series, and where it is."""

    header: ObjectHeader
    path: Path


@dataclass(frozen=True)
class Reason:
    """Why a series is not final: a code for programs, a sentence for people."""

    code: str
    text: str


@dataclass(frozen=True)
class SeriesProgress:
    """A slice came.

    Attributes
    ----------
    expected
        How many the scanner lists, or else how many its predecessor had, if that is known.
    reopened
        The series was judged before: what was said of it does not hold until it is judged again.
    """

    series_uid: str
    received: int
    expected: int | None
    reopened: bool = False


@dataclass(frozen=True, eq=False)
class SeriesReady:
    """A series can be worked on. Comes again, with a higher ``revision``, when it is judged anew.

    Attributes
    ----------
    objects
        The slices, in the order received.
    stack
        How they make a volume; its ``order`` counts the planes of ``objects``, frame by frame as
        they are stored. None when they make none.
    reason
        Why it is provisional or refused; None when it is final.
    """

    series_uid: str
    objects: tuple[SeriesObject, ...]
    stack: Stack | None
    completeness: Completeness
    evidence: Evidence
    reason: Reason | None
    last_received_at: datetime
    revision: int

    @property
    def slices(self) -> int:
        """How many slices there are, frames counted."""
        return sum(len(item.header.planes) for item in self.objects)


@dataclass(frozen=True)
class ObjectReady:
    """An object that is no slice of a volume came: a structure set, a localizer, a dose page."""

    kind: ObjectKind
    object: SeriesObject
    received_at: datetime


AssemblerOutput = SeriesProgress | SeriesReady | ObjectReady


def image_of(header: ObjectHeader) -> str:
    """UID of the series that an object is an image of a scan of; empty for what is none."""
    is_image = header.sop_class_uid in CT_CLASSES and not header.is_localizer
    return header.series_instance_uid if is_image else ""


def kind_of(header: ObjectHeader) -> ObjectKind:
    """What an object is to the assembler."""
    if header.sop_class_uid not in CT_CLASSES and header.modality != "CT":
        return "stored"
    if header.is_localizer:
        return "localizer"
    if header.sop_class_uid not in CT_CLASSES:
        return "multi_frame" if header.number_of_frames > 1 else "stored"
    if not header.planes:
        return "multi_frame" if header.number_of_frames > 1 else "no_plane"
    return "lossy" if header.lossy else "slice"
