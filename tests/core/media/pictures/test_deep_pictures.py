"""Pictures of more than 8 bits: their values are kept, and shown through a window."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from vlmtool_core.errors import BudgetExceededError, DamagedMediaError, MediaError
from vlmtool_core.media import Window, grey, open_media
from vlmtool_core.media.pictures.coded_headers import read_coded

NOISE = np.random.default_rng(3).integers(0, 65536, (37, 53), np.uint16)
TWELVE = NOISE >> 4


def pgm(values: np.ndarray, white: int = 65535) -> bytes:
    head = f"P5\n# made by a test\n{values.shape[1]} {values.shape[0]}\n{white}\n".encode()
    return head + values.astype(">u2").tobytes()


def grey_png(values: np.ndarray, *chunks: tuple[bytes, bytes]) -> bytes:
    """A 16-bit grey PNG written by hand, with further chunks before its pixels."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        crc = zlib.crc32(kind + body)
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", crc)

    height, width = values.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, 0, 0, 0, 0))
    extra = b"".join(chunk(*one) for one in chunks)
    end = chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + header + extra + end


def tiff(values: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, values)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("name", "values", "written"),
    [
        ("grey.png", NOISE, grey_png(NOISE)),
        ("other.png", NOISE, imagecodecs.png_encode(NOISE)),
        ("grey.pgm", NOISE, pgm(NOISE)),
        ("twelve.pgm", TWELVE, pgm(TWELVE, 4095)),
        ("grey.jp2", NOISE, imagecodecs.jpeg2k_encode(NOISE, reversible=True, level=0)),
        ("twelve.j2k", TWELVE, imagecodecs.jpeg2k_encode(TWELVE, reversible=True, level=0)),
        ("lossless.jpg", NOISE, imagecodecs.jpeg8_encode(NOISE, bitspersample=16, lossless=True)),
        ("grey.tif", NOISE, tiff(NOISE)),
        ("signed.tif", NOISE.astype(np.int16), tiff(NOISE.astype(np.int16))),
        ("float.tif", NOISE / np.float32(7), tiff(NOISE / np.float32(7))),
        ("long.tif", NOISE.astype(np.uint32) * 3, tiff(NOISE.astype(np.uint32) * 3)),
    ],
)
def test_values_are_those_of_the_file(
    tmp_path: Path, name: str, values: np.ndarray, written: bytes
) -> None:
    (tmp_path / name).write_bytes(written)
    with open_media(tmp_path / name) as opened:
        source = grey(opened)
        assert source is not None
        assert np.array_equal(source.stored_values(), values)
        assert np.allclose(source.modality_values().data, values.astype(np.float32))
        assert not source.is_inverted()
        assert source.spacing() is None
        assert source.geometry() is None
        voi = source.frame().provenance["voi"]
        low, high = np.percentile(values, (0.1, 99.9))
        assert voi["center"] == pytest.approx((low + high) / 2)
        assert voi["width"] == pytest.approx(high - low)


def test_a_window_shows_what_it_says(tmp_path: Path) -> None:
    ramp = np.arange(4096, dtype=np.uint16).reshape(64, 64)
    (tmp_path / "a.png").write_bytes(grey_png(ramp))
    with open_media(tmp_path / "a.png") as source:
        shown = source.frame(window=Window(1000, 500, "", "LINEAR_EXACT")).pixels[..., 0]
    expected = np.clip(np.rint((ramp.astype(float) - 750) / 500 * 255), 0, 255)
    # Halves may round either way in single precision.
    assert np.abs(shown.astype(int) - expected).max() <= 1
    assert np.mean(shown == expected) > 0.99


def test_a_12_bit_jpeg(tmp_path: Path) -> None:
    smooth = np.add.outer(np.arange(64), np.arange(48)).astype(np.uint16) * 36
    (tmp_path / "a.jpg").write_bytes(imagecodecs.jpeg8_encode(smooth, bitspersample=12, level=98))
    with open_media(tmp_path / "a.jpg") as opened:
        source = grey(opened)
        assert source is not None
        assert opened.info.facts["bits"] == 12
        assert np.abs(source.stored_values().astype(int) - smooth).max() < 40


def test_a_transparent_value_is_masked_and_black(tmp_path: Path) -> None:
    values = np.array([[100, 40000], [200, 100]], np.uint16)
    clear = (b"tRNS", struct.pack(">H", 100))
    (tmp_path / "a.png").write_bytes(grey_png(values, clear))
    with open_media(tmp_path / "a.png") as opened:
        source = grey(opened)
        assert source is not None
        assert source.modality_values().mask.tolist() == [[True, False], [False, True]]
        assert source.frame().pixels[0, 0].tolist() == [0, 0, 0]


def test_grey_with_alpha_keeps_its_values(tmp_path: Path) -> None:
    both = np.stack([NOISE, np.where(NOISE > 30000, 65535, 0).astype(np.uint16)], axis=-1)
    (tmp_path / "a.png").write_bytes(imagecodecs.png_encode(both))
    with open_media(tmp_path / "a.png") as opened:
        source = grey(opened)
        assert source is not None
        assert np.array_equal(source.stored_values(), NOISE)
        assert np.array_equal(source.modality_values().mask, NOISE <= 30000)


@pytest.mark.parametrize("encode", [imagecodecs.png_encode, imagecodecs.jpeg2k_encode])
def test_16_bit_colour_is_rounded_not_cut(tmp_path: Path, encode: Callable[..., bytes]) -> None:
    colour = np.random.default_rng(0).integers(0, 65536, (20, 30, 3), np.uint16)
    options = {"reversible": True, "level": 0} if encode is imagecodecs.jpeg2k_encode else {}
    (tmp_path / "a.png").write_bytes(encode(colour, **options))
    with open_media(tmp_path / "a.png") as source:
        assert not source.info.has_values
        frame = source.frame()
    assert np.array_equal(frame.pixels, np.rint(colour / 257).astype(np.uint8))
    assert frame.provenance["scaling"] == {"rule": "full range", "bits": 16}


def test_16_bit_alpha_is_shown_over_white(tmp_path: Path) -> None:
    picture = np.zeros((4, 4, 4), np.uint16)
    picture[:, 2:] = (51400, 0, 0, 65535)
    (tmp_path / "a.png").write_bytes(imagecodecs.png_encode(picture))
    pixels = open_media(tmp_path / "a.png").frame().pixels
    assert pixels[0, 0].tolist() == [255, 255, 255]
    assert pixels[0, 3].tolist() == [200, 0, 0]


@pytest.mark.parametrize("container", [True, False])
@pytest.mark.parametrize("size", [(20, 30), (64, 64), (41, 300), (90, 160), (7, 11)])
def test_jpeg_xl(tmp_path: Path, size: tuple[int, int], container: bool) -> None:
    colour = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    coded = imagecodecs.jpegxl_encode(colour, lossless=True, usecontainer=container)
    (tmp_path / "a.jxl").write_bytes(coded)
    with open_media(tmp_path / "a.jxl") as source:
        assert (source.info.height, source.info.width) == size
        assert np.array_equal(source.frame().pixels, colour)


def test_a_jpeg_xl_beyond_the_budget_is_refused_from_its_header(tmp_path: Path) -> None:
    flat = imagecodecs.jpegxl_encode(np.zeros((8, 8, 3), np.uint8), lossless=True)
    header = read_coded(flat)
    assert header is not None
    assert (header.width, header.height) == (8, 8)
    # Signature, not in eighths, height of 30 bits, ratio 1:1.
    bits = 0 | 3 << 1 | (2**30 - 1) << 3 | 1 << 33 | 1 << 36
    (tmp_path / "a.jxl").write_bytes(b"\xff\x0a" + bits.to_bytes(30, "little"))
    with pytest.raises(BudgetExceededError, match="1073741824 x 1073741824"):
        open_media(tmp_path / "a.jxl")


@pytest.mark.parametrize("share", [0.3, 0.7, 0.95])
@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("a.png", imagecodecs.png_encode(NOISE)),
        ("a.pgm", pgm(NOISE)),
        ("a.jxl", imagecodecs.jpegxl_encode(NOISE, lossless=True)),
        ("a.jpg", imagecodecs.jpeg8_encode(NOISE, bitspersample=16, lossless=True)),
        ("a.jp2", imagecodecs.jpeg2k_encode(NOISE, reversible=True)),
    ],
)
def test_truncated_ones_are_damaged(
    tmp_path: Path, name: str, written: bytes, share: float
) -> None:
    (tmp_path / name).write_bytes(written[: int(len(written) * share)])
    with pytest.raises(DamagedMediaError, match=r"decode|header"), open_media(tmp_path / name) as s:
        s.frame()


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from(["png", "pgm", "j2k", "jxl"]),
    st.lists(st.tuples(st.integers(0, 3000), st.integers(0, 255)), min_size=1, max_size=8),
)
def test_flipped_bytes_give_a_picture_or_a_media_error(
    tmp_path_factory: pytest.TempPathFactory, kind: str, flips: list[tuple[int, int]]
) -> None:
    encoders: dict[str, Callable[[np.ndarray], bytes]] = {
        "png": imagecodecs.png_encode,
        "pgm": pgm,
        "j2k": imagecodecs.jpeg2k_encode,
        "jxl": imagecodecs.jpegxl_encode,
    }
    data = bytearray(encoders[kind](NOISE))
    for place, value in flips:
        data[place % len(data)] = value
    path = tmp_path_factory.mktemp("flipped") / f"a.{kind}"
    path.write_bytes(data)
    try:
        with open_media(path) as source:
            assert source.frame().pixels.dtype == np.uint8
    except MediaError as error:
        named = error.path
    else:
        named = str(path)
    assert named == str(path)


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_shallow_grey_png_fills_the_whole_scale(tmp_path: Path, bits: int) -> None:
    top = 2**bits - 1
    values = np.random.default_rng(1).integers(0, top + 1, (16, 24), np.uint8)
    packed = np.packbits(
        np.unpackbits(values[:, :, None], axis=2)[:, :, 8 - bits :].reshape(16, -1), axis=1
    )
    rows = b"".join(b"\0" + row.tobytes() for row in packed)

    def chunk(kind: bytes, body: bytes) -> bytes:
        crc = zlib.crc32(kind + body)
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", crc)

    header = struct.pack(">IIBBBBB", 24, 16, bits, 0, 0, 0, 0)
    data = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + data)
    pixels = open_media(tmp_path / "a.png").frame().pixels[..., 0]
    assert np.array_equal(pixels, values * (255 // top))


def test_an_animation_of_16_bits_is_still_an_animation(tmp_path: Path) -> None:
    frames = [Image.fromarray(np.full((8, 8), 9000 * n, np.uint16)) for n in (1, 2, 3)]
    path = tmp_path / "a.png"
    frames[0].save(path, save_all=True, append_images=frames[1:])
    with open_media(path) as source:
        assert source.info.frame_count == 3
        source.frame(2)
