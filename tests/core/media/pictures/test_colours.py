"""Colours: profiles, inks, gamma; each against arithmetic or littlecms called by hand."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms, PngImagePlugin
from skimage import color, data

from vlmtool_core.media import open_media

ICC_TAG = 34675


def matrix_profile(gamma: float = 1.0, swap: bool = False) -> bytes:
    """A display profile with sRGB's primaries (swap: red and blue exchanged) and a power curve."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    count = int.from_bytes(profile[128:132], "big")
    entries = {}
    for n in range(count):
        at = 132 + 12 * n
        entries[bytes(profile[at : at + 4])] = at
    curve = b"curv" + bytes(4) + (1).to_bytes(4, "big") + round(gamma * 256).to_bytes(2, "big")
    where = len(profile)
    profile += curve + bytes(2)
    for name in (b"rTRC", b"gTRC", b"bTRC"):
        at = entries[name]
        profile[at + 4 : at + 12] = where.to_bytes(4, "big") + len(curve).to_bytes(4, "big")
    if swap:
        red, blue = entries[b"rXYZ"], entries[b"bXYZ"]
        kept = bytes(profile[red + 4 : red + 12])
        profile[red + 4 : red + 12] = profile[blue + 4 : blue + 12]
        profile[blue + 4 : blue + 12] = kept
    profile[0:4] = len(profile).to_bytes(4, "big")
    profile[84:100] = bytes(16)  # the checksum is that of the profile before
    return bytes(profile)


def srgb_encoded(linear: np.ndarray) -> np.ndarray:
    """IEC 61966-2-1, 5.2: linear light in [0, 1] to 8 bits."""
    curved = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return np.rint(255 * curved)


def write(path: Path, pixels: np.ndarray, mode: str, icc: bytes | None) -> Path:
    if path.suffix == ".tif":
        photometric = {"L": "minisblack", "RGB": "rgb", "CMYK": "separated"}[mode]
        tags = [] if icc is None else [(ICC_TAG, "B", len(icc), icc, True)]
        tifffile.imwrite(path, pixels, photometric=photometric, extratags=tags)
        return path
    options: dict[str, Any] = {} if icc is None else {"icc_profile": icc}
    if path.suffix == ".webp":
        options["lossless"] = True
    if path.suffix == ".jpg":
        options |= {"quality": 100, "subsampling": 0}
    Image.fromarray(pixels, mode).save(path, **options)
    return path


PHOTO = np.ascontiguousarray(data.astronaut()[::4, ::4])


@pytest.mark.parametrize("suffix", [".png", ".tif", ".webp", ".jpg"])
def test_a_linear_profile_is_undone(tmp_path: Path, suffix: str) -> None:
    path = write(tmp_path / f"a{suffix}", PHOTO, "RGB", matrix_profile(1.0))
    with open_media(path) as source:
        assert source.info.warnings == ()
        shown = source.frame()
    expected = srgb_encoded(PHOTO / 255)
    difference = np.abs(shown.pixels.astype(int) - expected)
    # littlecms rounds its curves; JPEG adds its own error, which dark colours enlarge.
    assert difference.mean() < (4 if suffix == ".jpg" else 0.7)
    if suffix != ".jpg":
        assert difference.max() <= 3
    assert shown.provenance["profile"]


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_exchanged_primaries_exchange_the_channels(tmp_path: Path, suffix: str) -> None:
    path = write(tmp_path / f"a{suffix}", PHOTO, "RGB", matrix_profile(2.2, swap=True))
    shown = open_media(path).frame().pixels.astype(int)
    plain = open_media(write(tmp_path / f"b{suffix}", PHOTO, "RGB", matrix_profile(2.2)))
    assert np.abs(shown[..., ::-1] - plain.frame().pixels).max() <= 2


def test_an_srgb_profile_changes_no_number(tmp_path: Path) -> None:
    icc = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    path = write(tmp_path / "a.png", PHOTO, "RGB", icc)
    assert np.array_equal(open_media(path).frame().pixels, PHOTO)


def test_thumbnails_have_the_colours_of_the_picture(tmp_path: Path) -> None:
    path = write(tmp_path / "a.png", PHOTO, "RGB", matrix_profile(1.0))
    whole = open_media(path).frame().pixels
    small = open_media(path).frame(max_side=16).pixels
    expected = np.asarray(Image.fromarray(whole).resize((16, 16), Image.Resampling.BOX))
    # One is averaged in linear light, the other as encoded.
    assert np.abs(small.astype(int) - expected).mean() < 12


@pytest.mark.parametrize("suffix", [".png", ".tif", ".jpg"])
def test_a_broken_profile_is_a_warning(tmp_path: Path, suffix: str) -> None:
    path = write(tmp_path / f"a{suffix}", PHOTO, "RGB", b"no profile at all" * 20)
    with open_media(path) as source:
        assert "profile is damaged" in source.info.warnings[0]
        assert np.abs(source.frame().pixels.astype(int) - PHOTO).mean() < 2


def test_a_profile_of_another_kind_is_a_warning(tmp_path: Path) -> None:
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    path = write(tmp_path / "a.png", PHOTO, "RGB", lab)
    with open_media(path) as source:
        assert "not for such a picture" in source.info.warnings[0]
        assert np.array_equal(source.frame().pixels, PHOTO)


def test_alpha_is_kept_out_of_the_profile(tmp_path: Path) -> None:
    with_alpha = np.dstack([PHOTO, np.full(PHOTO.shape[:2], 255, np.uint8)])
    with_alpha[:10, :, 3] = 0
    Image.fromarray(with_alpha).save(tmp_path / "a.png", icc_profile=matrix_profile(1.0))
    pixels = open_media(tmp_path / "a.png").frame().pixels
    assert (pixels[:10] == 255).all()
    assert np.abs(pixels[10:] - srgb_encoded(PHOTO[10:] / 255)).max() <= 3


def test_gamma_of_a_png_counts_where_nothing_better_is_there(tmp_path: Path) -> None:
    for name, gamma, profile in (("linear", 100000, None), ("usual", 45455, None)):
        info = PngImagePlugin.PngInfo()
        info.add(b"gAMA", gamma.to_bytes(4, "big"))
        Image.fromarray(PHOTO).save(tmp_path / f"{name}.png", pnginfo=info, icc_profile=profile)
    linear = open_media(tmp_path / "linear.png").frame()
    expected = np.rint(255 * (PHOTO / 255) ** (1 / 2.2))
    assert np.abs(linear.pixels - expected).max() <= 1
    assert linear.provenance["gamma"] == pytest.approx(1)
    assert np.array_equal(open_media(tmp_path / "usual.png").frame().pixels, PHOTO)


INKS = np.asarray(Image.fromarray(PHOTO).convert("CMYK"))


@pytest.mark.parametrize("suffix", [".tif", ".jpg"])
def test_inks_without_a_profile(tmp_path: Path, suffix: str) -> None:
    """Pillow writes inverted inks with Adobe's mark into a JPEG, as Adobe's programs do."""
    path = tmp_path / f"a{suffix}"
    if suffix == ".tif":
        tifffile.imwrite(path, INKS, photometric="separated")
    else:
        Image.fromarray(INKS, "CMYK").save(path, quality=100, subsampling=0)
        assert b"Adobe" in path.read_bytes()[:200]
    shown = open_media(path).frame().pixels.astype(int)
    light = (255 - INKS[..., :3].astype(int)) * (255 - INKS[..., 3:].astype(int)) / 255
    assert np.abs(shown - light).mean() < (1 if suffix == ".tif" else 3)


def test_cielab(tmp_path: Path) -> None:
    lab = color.rgb2lab(PHOTO)  # its white is that of sRGB
    stored = np.empty(PHOTO.shape, np.uint8)
    stored[..., 0] = np.rint(lab[..., 0] * 2.55)
    stored[..., 1:] = np.rint(lab[..., 1:]).astype(np.int8).view(np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", stored, photometric="cielab")
    shown = open_media(tmp_path / "a.tif").frame().pixels.astype(int)
    # littlecms adapts whites in another space, which moves colours a little.
    assert np.abs(shown - PHOTO).mean() < 4


@pytest.mark.parametrize("subsampling", ["4:4:4", "4:2:0"])
def test_a_progressive_jpeg_is_that_of_littler_steps(tmp_path: Path, subsampling: str) -> None:
    Image.fromarray(PHOTO).save(
        tmp_path / "a.jpg", quality=95, progressive=True, subsampling=subsampling
    )
    import imagecodecs

    expected = imagecodecs.jpeg8_decode((tmp_path / "a.jpg").read_bytes())
    assert np.abs(open_media(tmp_path / "a.jpg").frame().pixels.astype(int) - expected).max() <= 2


def test_a_grey_profile(tmp_path: Path) -> None:
    """A grey curve of power 1: values are linear light."""
    head = bytearray(matrix_profile(1.0))
    head[16:20] = b"GRAY"
    white = b"XYZ " + bytes(4) + bytes.fromhex("0000f6d6000100000000d32d")
    curve = b"curv" + bytes(4) + (1).to_bytes(4, "big") + (256).to_bytes(2, "big") + bytes(2)
    table = (2).to_bytes(4, "big")
    begin = 128 + 4 + 24
    table += b"wtpt" + begin.to_bytes(4, "big") + len(white).to_bytes(4, "big")
    table += b"kTRC" + (begin + len(white)).to_bytes(4, "big") + (14).to_bytes(4, "big")
    profile = bytes(head[:128]) + table + white + curve
    profile = len(profile).to_bytes(4, "big") + profile[4:]
    ramp = np.tile(np.arange(256, dtype=np.uint8), (8, 1))
    Image.fromarray(ramp).save(tmp_path / "a.png", icc_profile=profile)
    with open_media(tmp_path / "a.png") as source:
        assert source.info.warnings == ()
        shown = source.frame().pixels
    assert np.abs(shown[..., 1] - srgb_encoded(ramp / 255)).max() <= 3


def test_the_profile_reader_takes_what_littlecms_takes() -> None:
    profile = ImageCms.ImageCmsProfile(io.BytesIO(matrix_profile(1.8)))
    assert profile.profile.xcolor_space.strip() == "RGB"
