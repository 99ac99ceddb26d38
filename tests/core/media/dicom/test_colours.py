"""Colour: YBR kinds by the standard's equations, planes, depths, wrong tags, ICC profiles."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from media_dicoms import sequence_item, write_dicom
from PIL import Image, ImageCms
from pydicom.data import get_testdata_file
from pydicom.encaps import encapsulate
from pydicom.uid import JPEGBaseline8Bit

from vlmtool_core.errors import DamagedMediaError, UnsupportedMediaError
from vlmtool_core.media.dicom.source import DicomSource

# Bars of full colours, as the first row of a picture has them.
BARS = np.array(
    [[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255], [0, 0, 0], [128, 64, 200]], np.uint8
)
PICTURE = np.ascontiguousarray(np.repeat(np.repeat(BARS[None], 8, axis=0), 16, axis=1))


def ybr_full(rgb: np.ndarray) -> np.ndarray:
    """PS3.3 C.7.6.3.1.2, YBR_FULL."""
    r, g, b = (rgb[..., n].astype(float) for n in range(3))
    y = 0.2990 * r + 0.5870 * g + 0.1140 * b
    cb = -0.1687 * r - 0.3313 * g + 0.5000 * b + 128
    cr = 0.5000 * r - 0.4187 * g - 0.0813 * b + 128
    return np.clip(np.rint(np.stack([y, cb, cr], axis=-1)), 0, 255).astype(np.uint8)


def ybr_partial(rgb: np.ndarray) -> np.ndarray:
    """PS3.3 C.7.6.3.1.2, YBR_PARTIAL_422."""
    r, g, b = (rgb[..., n].astype(float) for n in range(3))
    y = 0.2568 * r + 0.5041 * g + 0.0979 * b + 16
    cb = -0.1482 * r - 0.2910 * g + 0.4392 * b + 128
    cr = 0.4392 * r - 0.3678 * g - 0.0714 * b + 128
    return np.clip(np.rint(np.stack([y, cb, cr], axis=-1)), 0, 255).astype(np.uint8)


def halved(ybr: np.ndarray) -> bytes:
    """Two luminances, then the chrominance that both share: the layout of _422."""
    pairs = ybr.reshape(-1, 2, 3)
    return np.stack([pairs[:, 0, 0], pairs[:, 1, 0], pairs[:, 0, 1], pairs[:, 0, 2]], 1).tobytes()


@pytest.mark.parametrize("planar", [0, 1])
@pytest.mark.parametrize(("kind", "to"), [("RGB", None), ("YBR_FULL", ybr_full)])
def test_planes_and_full_ybr(tmp_path: Path, planar: int, kind: str, to: Any) -> None:
    samples = PICTURE if to is None else to(PICTURE)
    data = samples.transpose(2, 0, 1) if planar else samples
    path = write_dicom(
        tmp_path / "a.dcm",
        PICTURE,
        PhotometricInterpretation=kind,
        PlanarConfiguration=planar,
        PixelData=data.tobytes(),
    )
    with DicomSource(path) as source:
        shown = source.frame()
    assert np.abs(shown.pixels.astype(int) - PICTURE).max() <= 1
    assert shown.provenance["photometric"] == kind


@pytest.mark.parametrize(
    ("kind", "to"), [("YBR_FULL_422", ybr_full), ("YBR_PARTIAL_422", ybr_partial)]
)
def test_halved_chrominance(tmp_path: Path, kind: str, to: Any) -> None:
    frames = np.stack([PICTURE, 255 - PICTURE])
    data = b"".join(halved(to(frame)) for frame in frames)
    path = write_dicom(tmp_path / "a.dcm", frames, PhotometricInterpretation=kind, PixelData=data)
    with DicomSource(path) as source:
        for index, frame in enumerate(frames):
            shown = source.frame(index).pixels.astype(int)
            assert np.abs(shown - frame).max() <= (1 if kind == "YBR_FULL_422" else 2)


@pytest.mark.parametrize(("bits", "stored"), [(16, 16), (16, 12), (32, 32), (16, 10)])
def test_deep_colours_are_scaled_by_the_stored_bits(tmp_path: Path, bits: int, stored: int) -> None:
    top = 2**stored - 1
    pixels = np.rint(PICTURE / 255 * top).astype(f"u{bits // 8}")
    path = write_dicom(tmp_path / "a.dcm", pixels, BitsStored=stored, HighBit=stored - 1)
    with DicomSource(path) as source:
        assert np.abs(source.frame().pixels.astype(int) - PICTURE).max() == 0


# Wrong tags ---------------------------------------------------------------------------------------


def jpeg(tmp_path: Path, photometric: str, *, rgb: bool, planar: int = 0, **save: Any) -> Path:
    """A JPEG in DICOM; rgb : without the transform to YCbCr, which Adobe's marker then tells."""
    buffer = io.BytesIO()
    more = {"keep_rgb": True} if rgb else {}
    Image.fromarray(PICTURE).save(buffer, "JPEG", quality=95, subsampling=0, **more, **save)
    return coded_as(tmp_path, buffer.getvalue(), photometric, planar)


def coded_as(tmp_path: Path, data: bytes, photometric: str, planar: int = 0) -> Path:
    path = write_dicom(
        tmp_path / "plain.dcm",
        PICTURE,
        PhotometricInterpretation=photometric,
        PlanarConfiguration=planar,
    )
    dataset = pydicom.dcmread(path)
    dataset.PixelData = encapsulate([data + b"\0" * (len(data) % 2)])
    dataset["PixelData"].is_undefined_length = True
    dataset.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    dataset.save_as(tmp_path / "coded.dcm")
    return tmp_path / "coded.dcm"


@pytest.mark.parametrize(
    "photometric", ["RGB", "YBR_FULL", "YBR_FULL_422", "YBR_PARTIAL_422", "YBR_ICT", ""]
)
@pytest.mark.parametrize("rgb", [False, True])
@pytest.mark.parametrize("planar", [0, 1])
def test_a_jpeg_has_its_own_colours_whatever_the_tag(
    tmp_path: Path, photometric: str, rgb: bool, planar: int
) -> None:
    with DicomSource(jpeg(tmp_path, photometric, rgb=rgb, planar=planar)) as source:
        assert np.abs(source.frame().pixels.astype(int) - PICTURE).max() <= 12


def without_jfif(data: bytes) -> bytes:
    """A JPEG whose first segment, JFIF's, is left out."""
    assert data[2:4] == b"\xff\xe0"
    return data[:2] + data[4 + int.from_bytes(data[4:6], "big") :]


def adobe(transform: int) -> bytes:
    """Adobe's marker: 1 says YCbCr, 0 says that the samples are as they are."""
    return b"\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00" + bytes([transform])


@pytest.mark.parametrize("photometric", ["RGB", "YBR_FULL", "YBR_FULL_422", "YBR_PARTIAL_420"])
@pytest.mark.parametrize("marker", [b"", adobe(1)], ids=["bare", "adobe"])
def test_halved_chrominance_or_adobe_tell_that_a_jpeg_is_ycbcr(
    tmp_path: Path, photometric: str, marker: bytes
) -> None:
    buffer = io.BytesIO()
    Image.fromarray(PICTURE).save(buffer, "JPEG", quality=95, subsampling="4:2:2")
    data = without_jfif(buffer.getvalue())
    coded = coded_as(tmp_path, data[:2] + marker + data[2:], photometric)
    with DicomSource(coded) as source:
        shown = source.frame().pixels.astype(int)
    assert np.abs(shown[:, 4::16] - PICTURE[:, 4::16]).max() <= 12


def test_a_jpeg_without_any_mark_is_what_the_header_says(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    # Samples of RGB that are called YCbCr pass through the encoder as they are.
    as_is = Image.frombytes("YCbCr", (PICTURE.shape[1], PICTURE.shape[0]), PICTURE.tobytes())
    as_is.save(buffer, "JPEG", quality=95, subsampling=0)
    with DicomSource(coded_as(tmp_path, without_jfif(buffer.getvalue()), "RGB")) as source:
        assert np.abs(source.frame().pixels.astype(int) - PICTURE).max() <= 12


@pytest.mark.parametrize(
    ("pixels", "stated", "used"),
    [
        (PICTURE, "MONOCHROME2", "RGB"),
        (PICTURE, "PALETTE COLOR", "RGB"),
        (PICTURE, "", "RGB"),
        (PICTURE[..., 0], "RGB", "MONOCHROME2"),
        (PICTURE[..., 0], "YBR_FULL_422", "MONOCHROME2"),
        (PICTURE[..., 0], "", "MONOCHROME2"),
    ],
)
def test_the_number_of_samples_decides_and_it_is_told(
    tmp_path: Path, pixels: np.ndarray, stated: str, used: str
) -> None:
    path = write_dicom(
        tmp_path / "a.dcm",
        np.ascontiguousarray(pixels),
        PhotometricInterpretation=stated,
        WindowCenter=128,
        WindowWidth=256,
    )
    with DicomSource(path) as source:
        assert source.info.has_values is (used == "MONOCHROME2")
        shown = source.frame().pixels
        assert np.array_equal(shown if used == "RGB" else shown[..., 0], pixels)
        assert any(f"shown as {used}" in note for note in source.info.warnings)


@pytest.mark.parametrize("stated", ["HSV", "ARGB", "CMYK", "Jane Doe"])
def test_what_no_one_shows_any_more_is_named(tmp_path: Path, stated: str) -> None:
    path = write_dicom(tmp_path / "a.dcm", PICTURE, PhotometricInterpretation=stated)
    with pytest.raises(UnsupportedMediaError, match="cannot be shown") as caught:
        DicomSource(path)
    assert caught.value.field == "PhotometricInterpretation"


@pytest.mark.parametrize(
    "name",
    ["SC_rgb_dcmtk_+eb+cr.dcm", "SC_rgb_dcmtk_+eb+cy+n1.dcm", "SC_rgb_dcmtk_+eb+cy+np.dcm",
     "SC_rgb_dcmtk_+eb+cy+s4.dcm", "SC_rgb_jpeg_lossy_gdcm.dcm", "SC_rgb_gdcm_KY.dcm"],
)  # fmt: skip
def test_the_same_bars_coded_in_many_ways(name: str) -> None:
    with DicomSource(Path(str(get_testdata_file(name)))) as source:
        pixels = source.frame().pixels.astype(int)
    assert np.abs(pixels[5, 50] - (255, 0, 0)).max() < 6
    assert np.abs(pixels[25, 50] - (0, 255, 0)).max() < 6
    assert np.abs(pixels[95, 50] - (255, 255, 255)).max() < 6


# ICC ----------------------------------------------------------------------------------------------


def wide_profile() -> bytes:
    """A profile that is far from sRGB: its red is sRGB's blue, and the reverse."""
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return srgb.replace(b"rXYZ", b"oXYZ").replace(b"bXYZ", b"rXYZ").replace(b"oXYZ", b"bXYZ")


def converted(rgb: np.ndarray, icc: bytes) -> np.ndarray:
    profile = ImageCms.ImageCmsProfile(io.BytesIO(icc))
    intent = ImageCms.Intent(ImageCms.getDefaultIntent(profile))
    srgb = ImageCms.createProfile("sRGB")
    shown = ImageCms.profileToProfile(Image.fromarray(rgb), profile, srgb, intent)
    return np.asarray(shown)


def test_a_profile_is_applied(tmp_path: Path) -> None:
    icc = wide_profile()
    expected = converted(PICTURE, icc)
    assert np.abs(expected[0, 0].astype(int) - (0, 0, 255)).max() < 3
    path = write_dicom(tmp_path / "a.dcm", PICTURE, ICCProfile=icc)
    with DicomSource(path) as source:
        frame = source.frame()
    assert np.array_equal(frame.pixels, expected)
    assert frame.provenance["icc"]["applied"] is True


def test_a_palette_goes_before_its_profile(tmp_path: Path) -> None:
    icc = wide_profile()
    table = bytes(range(256))
    elements: dict[str, Any] = {"PhotometricInterpretation": "PALETTE COLOR", "ICCProfile": icc}
    for colour in ("Red", "Green", "Blue"):
        elements[f"{colour}PaletteColorLookupTableDescriptor"] = [256, 0, 8]
        elements[f"{colour}PaletteColorLookupTableData"] = table
    grey = np.arange(256, dtype=np.uint8).reshape(16, 16)
    path = write_dicom(tmp_path / "a.dcm", grey, **elements)
    with DicomSource(path) as source:
        assert np.array_equal(
            source.frame().pixels, converted(np.repeat(grey[..., None], 3, axis=2), icc)
        )


def test_every_frame_has_the_profile_of_its_optical_path(tmp_path: Path) -> None:
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    icc = wide_profile()
    paths = [
        sequence_item(OpticalPathIdentifier="1", ICCProfile=srgb),
        sequence_item(OpticalPathIdentifier="2", ICCProfile=icc),
    ]
    groups = [
        sequence_item(
            OpticalPathIdentificationSequence=[sequence_item(OpticalPathIdentifier=str(n))]
        )
        for n in (2, 1)
    ]
    path = write_dicom(
        tmp_path / "a.dcm",
        np.stack([PICTURE] * 2),
        OpticalPathSequence=paths,
        PerFrameFunctionalGroupsSequence=groups,
    )
    with DicomSource(path) as source:
        assert np.array_equal(source.frame(0).pixels, converted(PICTURE, icc))
        assert np.abs(source.frame(1).pixels.astype(int) - PICTURE).max() <= 1


@pytest.mark.parametrize("kind", ["noise", "torn", "grey"])
def test_a_profile_that_cannot_be_used_is_told(tmp_path: Path, kind: str) -> None:
    if kind == "grey":
        icc = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    else:
        icc = b"\x07" * 600 if kind == "noise" else wide_profile()[:200]
    path = write_dicom(tmp_path / "a.dcm", PICTURE, ICCProfile=icc)
    with DicomSource(path) as source:
        frame = source.frame()
        assert np.array_equal(frame.pixels, PICTURE)
        assert frame.provenance["icc"]["applied"] is False
        assert any("colour profile" in note for note in source.info.warnings)


def test_two_samples_for_a_pixel_are_no_colours(tmp_path: Path) -> None:
    path = write_dicom(tmp_path / "a.dcm", PICTURE, SamplesPerPixel=2)
    with pytest.raises((DamagedMediaError, UnsupportedMediaError), match="2 samples"):
        DicomSource(path)


@pytest.mark.parametrize("stated", ["RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT"])
def test_jpeg_2000_tells_its_colours_itself(tmp_path: Path, stated: str) -> None:
    dataset = pydicom.dcmread(str(get_testdata_file("US1_J2KR.dcm")))
    dataset.PhotometricInterpretation = stated
    dataset.save_as(tmp_path / "a.dcm")
    plain = Path(str(get_testdata_file("US1_UNCR.dcm")))
    with DicomSource(tmp_path / "a.dcm") as source, DicomSource(plain) as reference:
        assert np.array_equal(source.frame().pixels, reference.frame().pixels)
