"""Pictures: orientation once, every mode to RGB, scaled decoding, budgets, broken files."""

from __future__ import annotations

import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from vlmtool_core.errors import (
    BudgetExceededError,
    DamagedMediaError,
    MediaError,
    MediaNotFoundError,
    UnsupportedMediaError,
)
from vlmtool_core.media import open_media
from vlmtool_core.media.pictures.coded_headers import exif_of_png
from vlmtool_core.media.pixels import full_range, orient, percentile_window
from vlmtool_core.records import MediaKind
from vlmtool_core.settings import Settings, save_settings

ORIENTATION = 0x0112


def upright(width: int = 48, height: int = 32) -> np.ndarray:
    """Four coloured quarters: any turn or flip shows."""
    picture = np.zeros((height, width, 3), np.uint8)
    picture[: height // 2, : width // 2] = (220, 30, 30)
    picture[: height // 2, width // 2 :] = (30, 220, 30)
    picture[height // 2 :, : width // 2] = (30, 30, 220)
    picture[height // 2 :, width // 2 :] = (220, 220, 30)
    return picture


def as_stored(picture: np.ndarray, orientation: int) -> np.ndarray:
    """What a camera stores so that `orientation` brings it upright (EXIF 2.3, table 6)."""
    inverse = {1: 1, 2: 2, 3: 3, 4: 4, 5: 5, 6: 8, 7: 7, 8: 6}[orientation]
    turned = {
        1: picture,
        2: picture[:, ::-1],
        3: picture[::-1, ::-1],
        4: picture[::-1],
        5: np.swapaxes(picture, 0, 1),
        6: np.rot90(picture, -1),
        7: np.rot90(np.swapaxes(picture, 0, 1), 2),
        8: np.rot90(picture, 1),
    }
    return np.ascontiguousarray(turned[inverse])


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif"])
def test_orientation_is_applied_once(tmp_path: Path, orientation: int, suffix: str) -> None:
    path = tmp_path / f"photo{suffix}"
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    options = {"quality": 95, "subsampling": 0} if suffix == ".jpg" else {}
    if suffix == ".webp":
        options = {"lossless": True}
    if suffix == ".tif":
        import tifffile

        tag = (ORIENTATION, "H", 1, orientation, True)
        tifffile.imwrite(path, as_stored(upright(), orientation), extratags=[tag])
    else:
        Image.fromarray(as_stored(upright(), orientation)).save(path, exif=exif, **options)
    with open_media(path) as source:
        frame = source.frame()
        small = source.frame(max_side=24)
        assert (source.info.width, source.info.height) == (48, 32)
    difference = np.abs(frame.pixels.astype(int) - upright())[4:12, 4:20]
    assert frame.pixels.shape == (32, 48, 3)
    assert difference.max() < 12
    assert small.pixels.shape == (16, 24, 3)
    assert small.size == (48, 32)
    assert np.abs(small.pixels[3, 5].astype(int) - (220, 30, 30)).max() < 20


@given(st.integers(1, 8), st.integers(1, 6), st.integers(1, 6))
def test_orienting_undoes_what_the_camera_did(orientation: int, width: int, height: int) -> None:
    picture = np.arange(width * height * 3, dtype=np.uint8).reshape(height, width, 3)
    assert np.array_equal(orient(as_stored(picture, orientation), orientation), picture)


@pytest.mark.parametrize(
    ("name", "mode"),
    [
        ("grey.png", "L"),
        ("bilevel.png", "1"),
        ("palette.png", "P"),
        ("alpha.png", "RGBA"),
        ("greyalpha.png", "LA"),
        ("deep.png", "I;16"),
        ("photo.jpg", "RGB"),
        ("print.jpg", "CMYK"),
        ("grey.jpg", "L"),
        ("picture.webp", "RGB"),
        ("picture.bmp", "RGB"),
        ("palette.bmp", "P"),
        ("picture.gif", "P"),
        ("picture.jp2", "RGB"),
        ("picture.ppm", "RGB"),
        ("float.tif", "F"),
    ],
)
def test_every_mode_becomes_rgb(tmp_path: Path, name: str, mode: str) -> None:
    path = tmp_path / name
    ramp = np.tile(np.linspace(0, 255, 64, dtype=np.uint8), (40, 1))
    if mode == "I;16":
        image = Image.fromarray(ramp.astype(np.uint16) * 16)
    elif mode == "F":
        image = Image.fromarray(ramp.astype(np.float32) / 3)
    else:
        image = Image.fromarray(ramp).convert("RGB").convert(mode)
    image.save(path)
    with open_media(path) as source:
        frame = source.frame()
        assert source.info.kind is MediaKind.IMAGE
        assert (source.info.width, source.info.height) == (64, 40)
    assert frame.pixels.dtype == np.uint8
    assert frame.pixels.shape == (40, 64, 3)
    assert frame.pixels.flags.c_contiguous
    # Dark left, light right, in every mode.
    assert frame.pixels[:, :8].mean() < 60
    assert frame.pixels[:, -8:].mean() > 190


@pytest.mark.parametrize("behind", [False, True])
def test_exif_of_a_png_may_stand_behind_its_pixels(tmp_path: Path, behind: bool) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    path = tmp_path / "a.png"
    Image.fromarray(as_stored(upright(), 6)).save(path, exif=exif)
    written = path.read_bytes()
    if behind:
        begin = written.index(b"eXIf") - 4
        end = begin + 12 + struct.unpack_from(">I", written, begin)[0]
        last = written.index(b"IEND") - 4
        written = written[:begin] + written[end:last] + written[begin:end] + written[last:]
        path.write_bytes(written)
    with open_media(path) as source:
        assert np.array_equal(source.frame().pixels, upright())


def test_transparency_is_shown_over_white(tmp_path: Path) -> None:
    path = tmp_path / "logo.png"
    picture = np.zeros((10, 10, 4), np.uint8)
    picture[:, 5:] = (200, 0, 0, 255)
    Image.fromarray(picture).save(path)
    frame = open_media(path).frame()
    assert frame.pixels[0, 0].tolist() == [255, 255, 255]
    assert frame.pixels[0, 9].tolist() == [200, 0, 0]
    assert frame.provenance["alpha"] == "over white"


@given(
    st.lists(st.floats(allow_nan=True, allow_infinity=True, width=32), min_size=1, max_size=50),
)
def test_scaling_to_8_bits_survives_any_values(values: list[float]) -> None:
    array = np.array(values, np.float32)
    pixels = full_range(array, 8)
    assert pixels.dtype == np.uint8
    assert pixels.shape == array.shape
    window = percentile_window(array)
    assert window.width > 0
    assert np.isfinite(window.center)


def test_jpeg_is_decoded_at_reduced_size(tmp_path: Path) -> None:
    path = tmp_path / "large.jpg"
    Image.fromarray(upright(1600, 1200)).save(path, quality=90)
    frame = open_media(path).frame(max_side=200)
    assert frame.provenance["dct_scale"] == "1/8"
    assert frame.pixels.shape == (150, 200, 3)
    assert frame.size == (1600, 1200)


def test_a_small_picture_is_never_enlarged(tmp_path: Path) -> None:
    path = tmp_path / "small.png"
    Image.fromarray(upright()).save(path)
    frame = open_media(path).frame(max_side=4000)
    assert np.array_equal(frame.pixels, upright())
    assert frame.source_size is None


@pytest.mark.parametrize("suffix", [".gif", ".webp", ".png"])
def test_animations_have_frames(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"moving{suffix}"
    shades = [20, 120, 220]
    images = [Image.new("RGB", (32, 16), (s, s, s)) for s in shades]
    options = {"lossless": True} if suffix == ".webp" else {}
    images[0].save(path, save_all=True, append_images=images[1:], duration=100, **options)
    with open_media(path) as source:
        assert source.info.frame_count == 3
        means = [frame.pixels.mean() for frame in source.frames()]
        assert np.allclose(means, shades, atol=3)
        assert source.frame(0).pixels.mean() == pytest.approx(20, abs=3)
        with pytest.raises(IndexError):
            source.frame(3)


def test_the_extension_does_not_decide(tmp_path: Path) -> None:
    path = tmp_path / "really-a.png.jpg"
    Image.fromarray(upright()).save(tmp_path / "a.png")
    path.write_bytes((tmp_path / "a.png").read_bytes())
    with open_media(path) as source:
        assert source.info.facts["format"] == "PNG"
        assert np.array_equal(source.frame().pixels, upright())


@pytest.mark.parametrize("name", ["with space.png", "胸片 图像.png", "🩻 scan.png", "a'b\"c.png"])
def test_any_file_name(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "目录 with spaces 🙂"
    folder.mkdir()
    Image.fromarray(upright()).save(folder / name)
    assert open_media(folder / name).frame().pixels.shape == (32, 48, 3)


def test_text_called_jpg_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "notes.jpg"
    path.write_text("this is not a picture\n" * 20)
    with pytest.raises(UnsupportedMediaError, match="neither a picture"):
        open_media(path)


def test_empty_and_missing_files(tmp_path: Path) -> None:
    (tmp_path / "empty.png").touch()
    with pytest.raises(DamagedMediaError, match="empty"):
        open_media(tmp_path / "empty.png")
    with pytest.raises(MediaNotFoundError):
        open_media(tmp_path / "missing.png")


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".bmp", ".gif", ".tif"])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_truncated_pictures_are_damaged(tmp_path: Path, suffix: str, share: float) -> None:
    path = tmp_path / f"whole{suffix}"
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path)
    data = path.read_bytes()
    cut = tmp_path / f"cut{suffix}"
    cut.write_bytes(data[: int(len(data) * share)])
    with pytest.raises((DamagedMediaError, UnsupportedMediaError)), open_media(cut) as source:
        source.frame()


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from([".png", ".jpg", ".webp", ".bmp", ".gif", ".tif"]),
    st.lists(st.tuples(st.integers(0, 4000), st.integers(0, 255)), min_size=1, max_size=12),
)
def test_flipped_bytes_give_a_picture_or_a_media_error(
    tmp_path_factory: pytest.TempPathFactory, suffix: str, flips: list[tuple[int, int]]
) -> None:
    path = tmp_path_factory.mktemp("flipped") / f"a{suffix}"
    Image.fromarray(upright()).save(path)
    data = bytearray(path.read_bytes())
    for place, value in flips:
        data[place % len(data)] = value
    path.write_bytes(data)
    error = decode(path)
    assert error is None or (error.path is not None and error.remedy)


def decode(path: Path) -> MediaError | None:
    try:
        with open_media(path) as source:
            source.frame()
    except MediaError as error:
        return error
    return None


def huge_png(path: Path, side: int) -> Path:
    """A valid grey PNG of side x side zeros that is small as a file."""
    compressor = zlib.compressobj(9)
    row = bytes(side + 1)
    data = b"".join(compressor.compress(row) for _ in range(side)) + compressor.flush()

    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    )
    return path


def test_a_picture_beyond_the_budget_is_refused_from_its_header(tmp_path: Path) -> None:
    save_settings(Settings(max_megapixels=100))
    path = huge_png(tmp_path / "huge.png", 11_000)
    with pytest.raises(BudgetExceededError, match="max_megapixels is 100") as caught:
        open_media(path)
    assert caught.value.field == "max_megapixels"
    assert "settings" in caught.value.remedy
    save_settings(Settings(max_megapixels=200))
    with open_media(path) as source:
        assert source.info.width == 11_000


def test_a_picture_far_beyond_the_budget_is_refused_too(tmp_path: Path) -> None:
    save_settings(Settings(max_megapixels=10))
    with pytest.raises(BudgetExceededError):
        open_media(huge_png(tmp_path / "huge.png", 11_000))


def test_a_file_beyond_the_size_limit_is_refused(tmp_path: Path) -> None:
    save_settings(Settings(max_file_mb=1))
    path = tmp_path / "big.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(1_100_000))
    with pytest.raises(BudgetExceededError, match="max_file_mb"):
        open_media(path)


@pytest.mark.slow
def test_30000_by_30000_is_shown_small_without_holding_its_pixels(
    tmp_path: Path,
) -> None:
    import subprocess
    import sys

    path = huge_png(tmp_path / "huge.png", 30_000)
    code = (
        "import re, sys\n"
        "from pathlib import Path\n"
        "from vlmtool_core.media import open_media\n"
        "frame = open_media(sys.argv[1]).frame(max_side=256)\n"
        "print(frame.pixels.shape, frame.size)\n"
        # ru_maxrss would count what the test's own process held when it forked.
        "status = Path('/proc/self/status').read_text()\n"
        "print(re.search(r'VmHWM:\\s+(\\d+)', status).group(1))\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", code, str(path)],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "VLMTOOL_DECODE": "here"},
    )
    shape, peak_kb = run.stdout.splitlines()
    assert shape == "(256, 256, 3) (30000, 30000)"
    assert int(peak_kb) < 512_000


def test_what_follows_the_last_chunk_is_not_searched(tmp_path: Path) -> None:
    path = tmp_path / "sparse.png"
    Image.new("RGB", (64, 48), (1, 2, 3)).save(path)
    os.truncate(path, 4_000_000_000)
    assert exif_of_png(path) == b""
    with open_media(path) as source:
        assert source.frame().pixels[0, 0].tolist() == [1, 2, 3]
