"""What was made of an acquisition: what a header tells of kernel, metal artefacts, reformatting.

Vendors have no common words for these. What is looked for is listed here with its makers; a word
that nobody has listed says nothing, and the series is taken for a plain one.
"""

import re
from typing import Final, Literal

from dicom_listener.headers import ObjectHeader

Sharpness = Literal["soft", "unknown", "sharp"]

SHARP_FROM: Final = 50
"""Siemens' kernels are a letter or two and a number (B30f, Br40d, I31f, J45s). The higher, the
sharper; from 50 on they are for lung and bone."""

SHARP_FROM_CANON: Final = 30
"""Canon's FC01 to FC29 are for body and head, FC30 on for bone, lung and high contrast."""

_SIEMENS: Final = re.compile(r"[BDHIJQTU][CFLNRVXZ]?(\d\d)[A-Z]?(?:[\\/ ]\d)?")
_CANON: Final = re.compile(r"FC(\d\d)\b.*")
_SOFT_NAMES: Final = re.compile(
    r"SOFT|STANDARD|STND|CHST|DETAIL|ABDOMEN|BODY|BRAIN|[ABC]|SMOOTH|UB|XCA"
)
"""GE's and Philips' kernels for soft tissue."""
_SHARP_NAMES: Final = re.compile(r"LUNG|BONE|BONE ?PLUS|EDGE|ULTRA|HD ?\w+|[DEL]|Y[A-D]|SHARP")
"""GE's and Philips' kernels for lung and bone."""

_METAL: Final = re.compile(
    r"\bI-?MAR\w*|\bO-?MAR\b|\bSE-?MAR\b|SMART[ _-]?MAR|METAL[ _-]?ARTE?I?FACT"
    r"|(?<![\w.-])(?<!\d )MAR(?![\w.]|[ -]?\d{1,4}\b)"
)
"""iMAR (Siemens), O-MAR (Philips), SEMAR (Canon), Smart MAR (GE), or MAR alone, but not the month
of a date (12-MAR, MAR 2026)."""

_PROJECTIONS: Final = frozenset(
    (
        "MIP",
        "MINIP",
        "MAX_IP",
        "MIN_IP",
        "PROJECTION IMAGE",
        "VRT",
        "VOLREN",
        "SSD",
        "CPR",
        "RAYSUM",
    )
)
"""Image types that hold no attenuation at a place."""
_REFORMATTED: Final = frozenset(
    ("MPR", "REFORMATTED", "CSA MPR", "CSAMPR", "CSAPARALLEL", "RESAMPLED", "CT_SOM5 MPR")
)
_MAPS: Final = re.compile(
    r"IODINE|VNC\w*|VUE|WATER|CALCIUM|URIC|EFF\w*_?(ATOMIC|Z)\w*|Z_?EFF\w*|ELECTRON_DENSITY"
    r"|MATERIAL\w*|FAT_?MAP|PERFUSION\w*|SUBTRACTION"
)
"""Maps of a material or a function: not the attenuation of plain CT (PS3.3, C.8.15.3.1 and the
makers' own words)."""
_FLUOROSCOPY: Final = re.compile(
    r"FLUORO|\bI-FLUORO|CARE ?VISION|SMART ?(STEP|VIEW)|\bCCT\b|\bBIOPSY\b|\bINTERVENTION SEQ"
)

Made = Literal["plain", "reformatted", "projection", "map"]


def sharpness_of(kernel: str) -> Sharpness:
    """What a Convolution Kernel (0018,1210) is for: soft tissue, or lung and bone."""
    name = kernel.strip().upper()
    siemens, canon = _SIEMENS.fullmatch(name), _CANON.fullmatch(name)
    if siemens is not None:
        return "sharp" if int(siemens[1]) >= SHARP_FROM else "soft"
    if canon is not None:
        return "sharp" if int(canon[1]) >= SHARP_FROM_CANON else "soft"
    if _SOFT_NAMES.fullmatch(name):
        return "soft"
    return "sharp" if _SHARP_NAMES.fullmatch(name) else "unknown"


def is_metal_reduced(header: ObjectHeader) -> bool:
    """Whether metal artefacts were reduced in it, as far as that is written."""
    texts = (header.series_description, header.convolution_kernel, *header.image_type)
    return any(_METAL.search(text.upper().replace("_", " ")) for text in texts)


def made_as(header: ObjectHeader) -> Made:
    """What its pixels are, by Image Type (0008,0008)."""
    # The first two are ORIGINAL or DERIVED, and PRIMARY or SECONDARY.
    parts = header.image_type[2:]
    if any(part in _PROJECTIONS for part in parts):
        return "projection"
    if any(_MAPS.fullmatch(part) for part in parts):
        return "map"
    words = {word for part in parts for word in (part, *part.split())}
    return "reformatted" if words & _REFORMATTED else "plain"


def is_fluoroscopy(header: ObjectHeader) -> bool:
    """Whether it says to be CT fluoroscopy, or a few slices to see the needle by."""
    texts = (header.series_description, *header.image_type, *header.scan_options)
    return header.fluoroscopy or any(_FLUOROSCOPY.search(text.upper()) for text in texts)
