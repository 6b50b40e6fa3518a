"""Which transfer syntaxes and storage classes are taken in, and how they are preferred."""

import re
from typing import Final

from pydicom.uid import (
    HTJ2K,
    JPEG2000,
    UID,
    DeflatedExplicitVRLittleEndian,
    EnhancedCTImageStorage,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    HTJ2KLossless,
    HTJ2KLosslessRPCL,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    LegacyConvertedEnhancedCTImageStorage,
    RLELossless,
)
from pynetdicom.presentation import AllStoragePresentationContexts

LOSSLESS_COMPRESSED: Final = (
    JPEGLosslessSV1,
    JPEGLossless,
    JPEGLSLossless,
    JPEG2000Lossless,
    HTJ2KLossless,
    HTJ2KLosslessRPCL,
    RLELossless,
)
"""Encapsulated pixel data that gives back every bit."""

UNCOMPRESSED: Final = (ExplicitVRLittleEndian, ImplicitVRLittleEndian)
"""Native pixel data, little endian."""

LOSSY: Final = (
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLSNearLossless,
    UID("1.2.840.10008.1.2.4.53"),  # JPEG spectral selection, processes 6 and 8; retired
    UID("1.2.840.10008.1.2.4.55"),  # JPEG full progression, processes 10 and 12; retired
)
"""Always lossy: such objects are stored, marked and never measured."""

MAYBE_LOSSY: Final = (JPEG2000, HTJ2K)
"""Lossy or not: Lossy Image Compression (0028,2110) says which (PS3.5, 8.2.4 and 8.2.14), and the
codestream's wavelet, which alone can't tell one that was cut short."""

ENCAPSULATED: Final = frozenset((*LOSSLESS_COMPRESSED, *MAYBE_LOSSY, *LOSSY))
"""Pixel data as a sequence of fragments (PS3.5, A.4)."""

ACCEPTED_SYNTAXES: Final = (
    *LOSSLESS_COMPRESSED,
    *UNCOMPRESSED,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    *MAYBE_LOSSY,
    *LOSSY,
)
"""In order of preference, for the acceptor's order is the one that counts in pynetdicom.

A sender that proposes a lossless compressed syntax holds its object in it and may be unable to
undo it, so these come first; Explicit goes before Implicit, whose types have to be guessed; lossy
ones are taken only when nothing else is offered.
"""

STORAGE_CLASSES: Final = frozenset(
    str(context.abstract_syntax) for context in AllStoragePresentationContexts
)
"""The standard's storage SOP classes that pynetdicom knows."""

CT_IMAGE_STORAGE: Final = "1.2.840.10008.5.1.4.1.1.2"

MULTI_FRAME_CT: Final = frozenset((EnhancedCTImageStorage, LegacyConvertedEnhancedCTImageStorage))
"""Whole scans in one object, their frames described by functional groups."""

VERIFICATION: Final = "1.2.840.10008.1.1"

UID_PATTERN: Final = re.compile(r"(0|[1-9][0-9]*)(\.(0|[1-9][0-9]*))+")
"""PS3.5, 9.1: numbers without leading zeros, joined by dots."""

UID_LENGTH: Final = 64
"""PS3.5, 9.1."""

_STANDARD_ROOT = "1.2.840.10008."
_STANDARD_STORAGE_ARC = "1.2.840.10008.5.1.4.1.1."


def is_uid(text: str) -> bool:
    """Whether ``text`` is a UID by the standard, and so safe as the name of a file."""
    return len(text) <= UID_LENGTH and UID_PATTERN.fullmatch(text) is not None


def is_storage_class(uid: str) -> bool:
    """Whether objects of this SOP class are taken in.

    All of the standard's storage classes, any other under their arc (newer than this software),
    and any private class: a scanner sends its raw data and protocols along, and refusing them makes
    some scanners give up the whole job.
    """
    if uid in STORAGE_CLASSES:
        return True
    if not is_uid(uid):
        return False
    return not uid.startswith(_STANDARD_ROOT) or (
        uid.startswith(_STANDARD_STORAGE_ARC) and UID(uid).name == uid
    )
