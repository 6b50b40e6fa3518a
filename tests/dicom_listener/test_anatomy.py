"""The same anatomy, sent in every way: the same Hounsfield units in the same places, or a reason.

Equal to the bit wherever nothing is resampled, and nothing is: what does not lie on a regular grid
is refused.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from dicom_listener.pixels import PADDING_HU, PixelError, read_volume
from segmentation.volume import GeometryError
from tests.dicom_listener.anatomy import (
    HU,
    Slice,
    assert_same,
    dataset,
    datasets,
    refusal,
    slices,
    stored,
    turned,
    write,
)


def rotation(*degrees: float) -> NDArray[np.float64]:
    """About x, y and z."""
    return np.asarray(Rotation.from_euler("xyz", degrees, degrees=True).as_matrix())


LAYOUTS = {
    "plain": ("+x", "+y", "+z"),
    "descending": ("+x", "+y", "-z"),
    "feet first, supine": ("-x", "+y", "+z"),
    "head first, prone": ("-x", "-y", "+z"),
    "feet first, prone": ("+x", "-y", "-z"),
    "decubitus, left side down": ("+y", "-x", "+z"),
    "decubitus, right side down": ("-y", "+x", "+z"),
    "feet first, decubitus": ("-y", "-x", "-z"),
    "coronal": ("+x", "-z", "+y"),
    "sagittal": ("+y", "-z", "-x"),
}


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_laid_out_in_any_way(tmp_path: Path, layout: tuple[str, str, str]) -> None:
    assert_same(read_volume(write(tmp_path, datasets(slices(*layout)))))


def test_order_is_told_by_positions_alone(tmp_path: Path) -> None:
    """Neither file names nor instance numbers nor slice locations tell it."""
    objects = datasets(slices())
    for n, ds in enumerate(objects):
        ds.InstanceNumber = (7 * n) % len(objects)
        ds.SliceLocation = -n
    order = np.random.default_rng(0).permutation(len(objects))
    assert_same(read_volume(write(tmp_path, [objects[n] for n in order])))


def test_oblique(tmp_path: Path) -> None:
    turn = rotation(17.0, -9.0, 31.0)
    found = turned(slices(), turn)
    assert_same(read_volume(write(tmp_path, datasets(found))), back=turn.T)


def test_cosines_with_few_digits(tmp_path: Path) -> None:
    """Slightly off the right angle: within 0.02 mm over this anatomy's 22 mm."""
    turn = rotation(17.0, -9.0, 31.0)
    found = turned(slices(), turn)
    for each in found:
        each.orientation = np.round(each.orientation, 3)
    volume = read_volume(write(tmp_path, datasets(found)))
    assert np.allclose(volume.direction.T @ volume.direction, np.eye(3), atol=1e-12)
    assert_same(volume, back=turn.T, tolerance_mm=0.02)


def test_positions_in_exponent_form(tmp_path: Path) -> None:
    objects = datasets(slices())
    for ds, one in zip(objects, slices(), strict=True):
        ds.ImagePositionPatient = [f"{value:+.9e}"[:16] for value in one.position]
        assert len(str(ds.ImagePositionPatient[0].original_string)) == 16
    assert_same(read_volume(write(tmp_path, objects)))


def test_jitter(tmp_path: Path) -> None:
    found = slices()
    for n, each in enumerate(found):
        each.move(1e-3 * (n % 2), -1e-3 * (n % 2), 1e-3 * (n % 3 - 1))
    assert_same(read_volume(write(tmp_path, datasets(found))), tolerance_mm=3e-3)


Stored = Callable[[NDArray[np.int32]], NDArray[Any]]
WORDS: dict[str, tuple[Stored, dict[str, Any]]] = {
    "unsigned": (
        lambda hu: (hu + 1024).astype("<u2"),
        {"PixelRepresentation": 0, "RescaleIntercept": -1024},
    ),
    "unsigned, 12 bit, overlays above": (
        lambda hu: ((hu + 1024) | 0xA000).astype("<u2"),
        {"PixelRepresentation": 0, "RescaleIntercept": -1024, "BitsStored": 12, "HighBit": 11},
    ),
    "signed, 12 bit, rubbish above": (
        lambda hu: ((hu - 1024) & 0x0FFF | 0x5000).astype("<u2"),
        {"RescaleIntercept": 1024, "BitsStored": 12, "HighBit": 11},
    ),
    "12 bit at the top of the word": (
        lambda hu: ((hu + 1024 << 4) | 0x5).astype("<u2"),
        {"PixelRepresentation": 0, "RescaleIntercept": -1024, "BitsStored": 12, "HighBit": 15},
    ),
    "12 bit in the middle of the word": (
        lambda hu: ((hu + 1024 << 2) | 0xC003).astype("<u2"),
        {"PixelRepresentation": 0, "RescaleIntercept": -1024, "BitsStored": 12, "HighBit": 13},
    ),
    "32 bit, extended scale": (
        lambda hu: (hu + 8192).astype("<i4"),
        {
            "RescaleIntercept": -8192,
            "BitsAllocated": 32,
            "BitsStored": 32,
            "HighBit": 31,
        },
    ),
    "16 bit, extended scale": (
        lambda hu: (hu + 8192).astype("<u2"),
        {"PixelRepresentation": 0, "RescaleIntercept": "-8192.0"},
    ),
    "slope that is no whole number": (
        lambda hu: np.rint((hu + 1024) / 0.3).astype("<u2"),
        {"PixelRepresentation": 0, "RescaleIntercept": "-1024", "RescaleSlope": "0.3"},
    ),
    "slope below zero": (lambda hu: (-hu).astype("<i2"), {"RescaleSlope": "-1"}),
    "no rescale type": (lambda hu: hu.astype("<i2"), {"RescaleType": None}),
}


@pytest.mark.parametrize("words", WORDS.values(), ids=WORDS)
def test_stored_in_any_way(tmp_path: Path, words: tuple[Stored, dict[str, Any]]) -> None:
    change, elements = words
    objects = [stored(one, n, change, **elements) for n, one in enumerate(slices())]
    assert_same(read_volume(write(tmp_path, objects)))


def test_each_slice_with_its_own_scale(tmp_path: Path) -> None:
    objects = []
    for n, one in enumerate(slices()):
        slope, intercept = 0.2 + 0.05 * n, -1100.5 + n

        def change(hu: NDArray[np.int32], m: float = slope, b: float = intercept) -> NDArray[Any]:
            return np.asarray(np.rint((hu - b) / m), dtype="<u2")

        scale = {"RescaleSlope": f"{slope:.6g}", "RescaleIntercept": f"{intercept:.6g}"}
        objects.append(stored(one, n, change, PixelRepresentation=0, **scale))
    assert_same(read_volume(write(tmp_path, objects)))


PADDINGS: dict[str, tuple[str, int, int, dict[str, Any]]] = {
    # dtype, stored padding, padding's other end or itself, elements
    "signed": ("<i2", -2000, -2000, {}),
    "a range": ("<i2", -2000, -1900, {}),
    "a range from above": ("<i2", -1900, -2000, {}),
    "outside of 12 stored bits": ("<i2", -3000, -3000, {"BitsStored": 12, "HighBit": 11}),
    "unsigned": ("<u2", 63536, 63536, {"PixelRepresentation": 0}),
}


@pytest.mark.parametrize("padding", PADDINGS.values(), ids=PADDINGS)
@pytest.mark.parametrize("vr", ["US", "SS"])
def test_padding_is_air(
    tmp_path: Path, padding: tuple[str, int, int, dict[str, Any]], vr: str
) -> None:
    """Whatever it is written as: its sign is that of the pixels, its VR is often wrong."""
    dtype, first, last, elements = padding
    hu = np.where(HU < -900, PADDING_HU, HU).clip(-1024, 1000).astype(np.int16)
    expected = hu.copy()
    objects = []
    for n, one in enumerate(slices()):
        words = hu[n].astype(np.int64)
        if elements.get("BitsStored") == 12:
            words &= 0x0FFF
        if dtype == "<u2":
            words = words + 1024
        words[hu[n] == PADDING_HU] = first
        words[0, :3] = last
        expected[n, 0, :3] = PADDING_HU
        ds = dataset(one, n, PixelData=words.astype("<i8").astype(np.uint16).tobytes(), **elements)
        if dtype == "<u2":
            ds.RescaleIntercept = -1024
        bits = [value & 0xFFFF for value in (first, last)]
        signed = [b - 0x10000 if b & 0x8000 and vr == "SS" else b for b in bits]
        ds.add_new("PixelPaddingValue", vr, signed[0])
        if first != last:
            ds.add_new("PixelPaddingRangeLimit", vr, signed[1])
        objects.append(ds)
    assert_same(read_volume(write(tmp_path, objects)), hu=expected)


def tilted(found: list[Slice]) -> list[Slice]:
    for n, each in enumerate(found):
        each.move(0, 0.66 * n, 0)
    return found


def bent(found: list[Slice]) -> list[Slice]:
    found[5].move(0.3, 0, 0)
    return found


def drifting(found: list[Slice]) -> list[Slice]:
    """Each gap within 5 % of the usual one, half of them longer."""
    for n, each in enumerate(found):
        each.move(0, 0, 0.1 * max(n - 5, 0))
    return found


def spread(found: list[Slice]) -> list[Slice]:
    for n, each in enumerate(found):
        each.move(0, 0, 0.04 * n * n)
    return found


def far_away(found: list[Slice]) -> list[Slice]:
    for each in found:
        each.position = each.position * 1e300
    return found


def apart(found: list[Slice]) -> list[Slice]:
    for n, each in enumerate(found):
        each.move(0, 0, 100 * n)
    return found


def skewed(found: list[Slice]) -> list[Slice]:
    for each in found:
        each.orientation = np.array([1, 0, 0, 0.01, 1, 0])
    return found


NO_VOLUME: dict[str, tuple[Callable[[list[Slice]], list[Slice]], str]] = {
    "gantry tilt": (tilted, "gantry_tilt"),
    "one slice shifted sideways": (bent, "shifted_slices"),
    "uneven": (spread, "uneven_spacing"),
    "unevenness that adds up": (drifting, "uneven_spacing"),
    "a slice missing": (lambda found: found[:4] + found[5:], "missing_slices"),
    "a slice twice": (lambda found: [*found, found[4]], "duplicate_position"),
    "too few": (lambda found: found[:3], "too_few_slices"),
    "positions beyond all measure": (far_away, "bad_orientation"),
    "slices 100 mm apart": (apart, "uneven_spacing"),
    "cosines at no right angle": (skewed, "bad_orientation"),
    "an oblique slice among axial ones": (
        lambda found: [*found[:-1], *turned(found[-1:], rotation(0.0, 1.0, 0.0))],
        "mixed_orientation",
    ),
    "a coronal reformat among axial slices": (
        lambda found: [*found, *slices("+x", "-z", "+y")],
        "mixed_orientation",
    ),
}


@pytest.mark.parametrize("case", NO_VOLUME.values(), ids=NO_VOLUME)
def test_what_is_no_volume(
    tmp_path: Path, case: tuple[Callable[[list[Slice]], list[Slice]], str]
) -> None:
    change, code = case
    with pytest.raises(GeometryError) as caught:
        read_volume(write(tmp_path, datasets(change(slices()))))
    assert caught.value.code == code


TWICE: dict[str, dict[str, Any]] = {
    "the same places in another acquisition": {"AcquisitionNumber": 2},
    "the same places at another time": {"AcquisitionTime": "090130"},
    "the same places in another phase": {"TemporalPositionIdentifier": 2},
}


@pytest.mark.parametrize("elements", TWICE.values(), ids=TWICE)
@pytest.mark.parametrize("offset_mm", [0.0, 0.001])
def test_two_scans_of_one_place(tmp_path: Path, elements: dict[str, Any], offset_mm: float) -> None:
    again = slices()
    for each in again:
        each.move(0, 0, offset_mm)
    objects = [*datasets(slices()), *datasets(again, **elements)]
    with pytest.raises(GeometryError) as caught:
        read_volume(write(tmp_path, objects))
    assert caught.value.code == "several_acquisitions"


def test_two_scans_between_one_another(tmp_path: Path) -> None:
    """Together they look like one scan of twice as many slices."""
    objects = datasets(slices())
    for ds in objects[1::2]:
        ds.AcquisitionNumber = 2
    with pytest.raises(GeometryError) as caught:
        read_volume(write(tmp_path, objects))
    assert caught.value.code == "several_acquisitions"


def test_one_scan_in_two_steps(tmp_path: Path) -> None:
    """Step and shoot: the number rises with the table, and nothing is scanned twice."""
    objects = datasets(slices())
    for n, ds in enumerate(objects):
        ds.AcquisitionNumber = 1 + n // 4
        ds.AcquisitionTime = f"0900{n // 4:02d}"
    assert_same(read_volume(write(tmp_path, objects)))


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "spacing zero": ({"PixelSpacing": ["0", "0.75"]}, "bad_orientation"),
    "spacing below zero": ({"PixelSpacing": ["-1.25", "0.75"]}, "bad_orientation"),
    "spacing next to nothing": ({"PixelSpacing": ["1e-300", "0.75"]}, "bad_orientation"),
    "no rescale": ({"RescaleSlope": None}, "not_hu"),
    "other units": ({"RescaleType": "US"}, "not_hu"),
    "modified Hounsfield units": ({"RescaleType": "HU_MOD"}, "not_hu"),
    "slope zero": ({"RescaleSlope": "0"}, "not_hu"),
    "slope beyond all measure": ({"RescaleSlope": "1e300"}, "not_hu"),
    "white for low values": ({"PhotometricInterpretation": "MONOCHROME1"}, "not_grey"),
    "several samples": ({"SamplesPerPixel": 3, "Rows": 6}, "not_grey"),
    "fewer rows than pixels": ({"Rows": 17}, "bad_pixels"),
    "more rows than pixels": ({"Rows": 19}, "pixel_data_length"),
    "another class": ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.4"}, "not_hu"),
}


@pytest.mark.parametrize("case", REFUSED.values(), ids=REFUSED)
def test_what_is_refused(tmp_path: Path, case: tuple[dict[str, Any], str]) -> None:
    elements, code = case
    assert refusal(write(tmp_path, datasets(slices(), **elements))) == code


@pytest.mark.parametrize("text", [b"NaN ", b"inf ", b"1_0 ", b"1,25", b"\xc2\xb2  "])
def test_numbers_that_are_none(tmp_path: Path, text: bytes) -> None:
    paths = write(tmp_path, datasets(slices(), PixelSpacing=["9.25", "0.75"]))
    for path in paths:
        path.write_bytes(path.read_bytes().replace(b"9.25\\0.75", text + b"\\0.75"))
    with pytest.raises(PixelError) as caught:
        read_volume(paths)
    assert caught.value.code == "no_plane"


def test_floating_point_pixels(tmp_path: Path) -> None:
    objects = []
    for n, one in enumerate(slices()):
        ds = dataset(one, n, PixelData=None, BitsAllocated=32, BitsStored=None, HighBit=None)
        ds.FloatPixelData = one.hu.astype("<f4").tobytes()
        objects.append(ds)
    with pytest.raises(PixelError) as caught:
        read_volume(write(tmp_path, objects))
    assert caught.value.code == "bad_pixels"
