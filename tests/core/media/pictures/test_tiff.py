"""TIFF: pages, depths, byte orders, codings."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from vlmtool_core.errors import DamagedMediaError, MediaError, UnsupportedMediaError
from vlmtool_core.media import open_media


def ramp(dtype: type, height: int = 20, width: int = 30) -> np.ndarray:
    top = 1.0 if np.dtype(dtype).kind == "f" else min(np.iinfo(dtype).max, 4000)
    return np.tile(np.linspace(0, top, width), (height, 1)).astype(dtype)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16, np.uint32, np.float32])
@pytest.mark.parametrize("compression", [None, "zlib", "packbits"])
@pytest.mark.parametrize("order", ["<", ">"])
def test_depths_codings_and_byte_orders(
    tmp_path: Path, dtype: type, compression: str | None, order: str
) -> None:
    if compression == "packbits":
        path = tmp_path / "a.tif"
        Image.fromarray(ramp(np.uint8)).save(path, compression="packbits")
    else:
        path = tmp_path / "a.tif"
        tifffile.imwrite(path, ramp(dtype), byteorder=order, compression=compression)
    with open_media(path) as source:
        frame = source.frame()
    assert frame.pixels.shape == (20, 30, 3)
    assert frame.pixels[:, 0].max() <= 2
    assert frame.pixels[:, -1].min() >= 253
    assert np.all(np.diff(frame.pixels[0, :, 0].astype(int)) >= 0)


@pytest.mark.parametrize("compression", ["tiff_lzw", "jpeg", "tiff_adobe_deflate", "group4"])
def test_codings_of_8_bit_pages(tmp_path: Path, compression: str) -> None:
    path = tmp_path / "a.tif"
    image = Image.fromarray(ramp(np.uint8, 32, 32))
    image = image.convert("1") if compression == "group4" else image
    image.save(path, compression=compression)
    pixels = open_media(path).frame().pixels
    assert pixels[:, :4].mean() < 60
    assert pixels[:, -4:].mean() > 195


def test_16_bit_lzw(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    Image.fromarray(ramp(np.uint16)).save(path, compression="tiff_lzw")
    frame = open_media(path).frame()
    assert frame.pixels[:, -1].min() >= 253
    assert frame.provenance["voi"]["explanation"] == "0.1-99.9 percentile"


def test_16_bit_colour_and_planes(tmp_path: Path) -> None:
    colour = np.stack([ramp(np.uint16), ramp(np.uint16) // 2, ramp(np.uint16) * 0], axis=-1)
    for planar in ("contig", "separate"):
        path = tmp_path / f"{planar}.tif"
        data = colour if planar == "contig" else np.moveaxis(colour, -1, 0)
        tifffile.imwrite(path, data, photometric="rgb", planarconfig=planar)
        pixels = open_media(path).frame().pixels
        assert pixels.shape == (20, 30, 3)
        # 4000 of the 4095 that 12 bits hold
        assert pixels[0, -1, 0] == 249
        assert int(pixels[0, -1, 1]) == pytest.approx(124, abs=1)
        assert pixels[..., 2].max() == 0


def test_white_is_zero(tmp_path: Path) -> None:
    for dtype in (np.uint8, np.uint16):
        path = tmp_path / "white.tif"
        tifffile.imwrite(path, ramp(dtype), photometric="miniswhite")
        pixels = open_media(path).frame().pixels
        assert pixels[:, 0].min() >= 253
        assert pixels[:, -1].max() <= 2


def test_pages_are_frames(tmp_path: Path) -> None:
    path = tmp_path / "stack.tif"
    with tifffile.TiffWriter(path) as writer:
        for shade in (10, 100, 200):
            writer.write(np.full((8, 12), shade, np.uint8))
    with open_media(path) as source:
        assert source.info.frame_count == 3
        assert [int(f.pixels.mean()) for f in source.frames()] == [10, 100, 200]
        assert [f.index for f in source.frames([2, 0])] == [0, 2]
        with pytest.raises(IndexError):
            source.frame(3)


def test_pages_of_different_size_are_said_to_differ(tmp_path: Path) -> None:
    path = tmp_path / "mixed.tif"
    with tifffile.TiffWriter(path) as writer:
        writer.write(np.zeros((8, 12), np.uint8))
        writer.write(np.zeros((20, 10), np.uint8))
    with open_media(path) as source:
        assert source.info.warnings == ("the pages differ in size",)
        assert source.frame(1).size == (10, 20)


def test_bigtiff_and_tiles(tmp_path: Path) -> None:
    path = tmp_path / "big.tif"
    tifffile.imwrite(path, ramp(np.uint16, 64, 96), bigtiff=True, tile=(16, 16))
    frame = open_media(path).frame(max_side=48)
    assert frame.pixels.shape == (32, 48, 3)
    assert frame.size == (96, 64)


def test_a_lying_directory_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "lying.tif"
    tifffile.imwrite(path, ramp(np.uint16))
    data = bytearray(path.read_bytes())
    width = data.find(b"\x00\x01\x04\x00") if b"\x00\x01\x04\x00" in data else -1
    width = width if width >= 0 else data.find(b"\x00\x01\x03\x00")
    assert width > 0
    data[width + 8 : width + 12] = (60000).to_bytes(4, "little")
    path.write_bytes(data)
    with pytest.raises((DamagedMediaError, UnsupportedMediaError)), open_media(path) as source:
        source.frame()


def test_nothing_but_a_signature(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    path.write_bytes(b"II*\x00\x08\x00\x00\x00")
    with pytest.raises(MediaError):
        open_media(path)
