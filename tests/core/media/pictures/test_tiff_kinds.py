"""What TIFF pages can be: codings, colours, samples and orientations, against arithmetic."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image
from skimage import data

from vlmtool_core.errors import DamagedMediaError, UnsupportedMediaError
from vlmtool_core.media import grey, open_media
from vlmtool_core.media.pixels import orient

PHOTO = np.ascontiguousarray(data.astronaut()[::5, ::4])


@pytest.mark.parametrize(
    "compression", ["lzw", "zlib", "zstd", "lzma", "packbits", "png", "jpegxl", "lerc", "webp"]
)
def test_lossless_codings(tmp_path: Path, compression: str) -> None:
    path = tmp_path / "a.tif"
    arguments: dict[str, Any] = {"lossless": True} if compression in ("webp", "jpegxl") else {}
    tifffile.imwrite(path, PHOTO, compression=compression, compressionargs=arguments)
    assert np.array_equal(open_media(path).frame().pixels, PHOTO)


def test_palette(tmp_path: Path) -> None:
    palette = np.random.default_rng(0).integers(0, 256, (3, 256)).astype(np.uint16)
    index = PHOTO[..., 0]
    tifffile.imwrite(
        tmp_path / "a.tif", index, photometric="palette", colormap=palette * np.uint16(257)
    )
    shown = open_media(tmp_path / "a.tif").frame().pixels
    assert np.array_equal(shown, palette.T[index])


@pytest.mark.parametrize("kind", ["unassalpha", "assocalpha"])
def test_alpha_is_shown_over_white(tmp_path: Path, kind: str) -> None:
    alpha = np.full(PHOTO.shape[:2], 128, np.uint8)
    share = alpha[..., None] / 255
    colours = PHOTO if kind == "unassalpha" else np.rint(PHOTO * share).astype(np.uint8)
    both = np.dstack([colours, alpha])
    tifffile.imwrite(tmp_path / "a.tif", both, photometric="rgb", extrasamples=[kind])
    shown = open_media(tmp_path / "a.tif").frame().pixels
    assert np.abs(shown - (PHOTO * share + 255 * (1 - share))).max() <= 1.5


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_of_deep_pages(tmp_path: Path, orientation: int) -> None:
    values = PHOTO[..., 0].astype(np.uint16) * 200
    tags = [(274, "H", 1, orientation, True)]
    tifffile.imwrite(tmp_path / "a.tif", values, extratags=tags)
    with open_media(tmp_path / "a.tif") as opened:
        source = grey(opened)
        assert source is not None
        expected = orient(values, orientation)
        assert np.array_equal(source.stored_values(), expected)
        assert source.frame().pixels.shape[:2] == expected.shape


def test_float_colours_from_0_to_1(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", PHOTO / np.float32(255), photometric="rgb")
    assert np.array_equal(open_media(tmp_path / "a.tif").frame().pixels, PHOTO)


def test_what_is_no_number_and_no_data_is_masked(tmp_path: Path) -> None:
    values = np.array([[1.5, np.nan], [-9999, 3.5]], np.float32)
    tags = [(42113, "s", 0, "-9999", True)]
    tifffile.imwrite(tmp_path / "a.tif", values, extratags=tags)
    with open_media(tmp_path / "a.tif") as opened:
        source = grey(opened)
        assert source is not None
        assert source.modality_values().mask.tolist() == [[False, True], [True, False]]


def test_white_is_zero_in_deep_pages_and_is_said(tmp_path: Path) -> None:
    values = PHOTO[..., 0].astype(np.uint16) * 200
    tifffile.imwrite(tmp_path / "a.tif", values, photometric="miniswhite")
    with open_media(tmp_path / "a.tif") as opened:
        source = grey(opened)
        assert source is not None
        assert source.is_inverted()
        assert np.array_equal(source.stored_values(), values)
        shown = source.frame().pixels[..., 0]
    assert np.corrcoef(shown.ravel(), values.ravel())[0, 1] < -0.99


def test_chroma_stored_coarser_without_jpeg(tmp_path: Path) -> None:
    """Written by hand as TIFF 6.0, section 21 says: blocks of 2 x 2 luma and one Cb, one Cr."""
    ycc = np.asarray(Image.fromarray(PHOTO[:100, :128]).convert("YCbCr"))
    blocks = ycc.reshape(50, 2, 64, 2, 3)
    units = np.empty((50, 64, 6), np.uint8)
    units[..., :4] = blocks[..., 0].transpose(0, 2, 1, 3).reshape(50, 64, 4)
    units[..., 4:] = np.rint(blocks[..., 1:].mean(axis=(1, 3)))
    body = units.tobytes()
    entries = [
        (256, 4, 1, 128),
        (257, 4, 1, 100),
        (258, 3, 3, 8 + len(body)),
        (259, 3, 1, 1),
        (262, 3, 1, 6),
        (273, 4, 1, 8),
        (277, 3, 1, 3),
        (278, 4, 1, 100),
        (279, 4, 1, len(body)),
        (530, 3, 2, 2 | 2 << 16),
    ]
    directory = len(entries).to_bytes(2, "little")
    for tag, kind, count, value in entries:
        directory += tag.to_bytes(2, "little") + kind.to_bytes(2, "little")
        directory += count.to_bytes(4, "little") + value.to_bytes(4, "little")
    depth = b"\x08\0\x08\0\x08\0"
    head = b"II*\0" + (8 + len(body) + len(depth)).to_bytes(4, "little")
    (tmp_path / "a.tif").write_bytes(head + body + depth + directory + bytes(4))
    shown = open_media(tmp_path / "a.tif").frame().pixels
    assert np.abs(shown.astype(int) - PHOTO[:100, :128]).mean() < 8


def test_old_style_jpeg_is_refused_with_its_reason(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, PHOTO, photometric="rgb")
    written = bytearray(path.read_bytes())
    entry = written.index(b"\x03\x01\x03\x00\x01\x00\x00\x00")  # compression, a short
    written[entry + 8 : entry + 10] = (6).to_bytes(2, "little")
    path.write_bytes(written)
    with pytest.raises(UnsupportedMediaError, match="old-style JPEG"), open_media(path) as source:
        source.frame()


def test_a_truncated_page_says_by_how_much(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, PHOTO, photometric="rgb")
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(DamagedMediaError, match="ends 1000 bytes before"), open_media(path) as s:
        s.frame()
