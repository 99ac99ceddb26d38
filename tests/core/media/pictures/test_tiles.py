"""Huge pictures: parts and reduced views are those of the whole decoded by another program."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from skimage import data

import vlmtool_core.media.tiles.opening as tiles_opening
import vlmtool_core.media.tiles.source as tiles_source
import vlmtool_core.media.tiles.tiff as tiles_tiff
from vlmtool_core.errors import BudgetExceededError, DamagedMediaError
from vlmtool_core.media import open_media, scan
from vlmtool_core.media.pixels import orient
from vlmtool_core.media.tiles.store import halved, stores_folder
from vlmtool_core.media.verifying import verify

WIDTH, HEIGHT = 1501, 1103
ORIENTATION = 0x0112


@pytest.fixture(autouse=True)
def small_is_huge(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures that a test can write count as huge; in this process, where that is said."""
    monkeypatch.setenv("VLMTOOL_DECODE", "here")
    for module in (tiles_opening, tiles_source, tiles_tiff):
        monkeypatch.setattr(module, "HUGE_PIXELS", 1_000_000)
    monkeypatch.setattr(tiles_opening, "_PYRAMID_PIXELS", 1_000_000)
    monkeypatch.setattr(tiles_source, "COARSEST_PIXELS", 400_000)


def photo(mode: str = "RGB") -> Image.Image:
    image = Image.fromarray(data.astronaut()).resize((WIDTH, HEIGHT))
    return image if mode == "RGB" else image.convert(mode)


def as_rgb(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("RGB"))


def saved(folder: Path, name: str, mode: str = "RGB", **options: Any) -> Path:
    path = folder / name
    photo(mode).save(path, **options)
    return path


STILLS = [
    ("a.jpg", "RGB", {"quality": 90}),
    ("b.jpg", "RGB", {"quality": 90, "subsampling": 0}),
    ("grey.jpg", "L", {"quality": 90}),
    ("a.png", "RGB", {}),
    ("grey.png", "L", {}),
    ("palette.png", "P", {}),
    ("one.png", "1", {}),
    ("a.tif", "RGB", {"compression": "tiff_lzw"}),
    ("raw.tif", "RGB", {}),
    ("grey.tif", "L", {"compression": "tiff_adobe_deflate"}),
]


@pytest.mark.parametrize(("name", "mode", "options"), STILLS)
def test_parts_are_those_of_the_whole(
    tmp_path: Path, name: str, mode: str, options: dict[str, Any]
) -> None:
    path = saved(tmp_path, name, mode, **options)
    whole = as_rgb(path)
    with open_media(path) as source:
        assert source.info.facts["tiled"] is True
        assert (source.info.width, source.info.height) == (WIDTH, HEIGHT)
        assert source.prepare() == 1.0
        levels = source.levels()
        assert [(level.width, level.height) for level in levels] == [(1501, 1103), (751, 552)]
        for x, y, w, h in ((0, 0, 10, 10), (1400, 1000, 101, 103), (700, 300, 256, 256)):
            assert np.array_equal(source.region(0, x, y, w, h), whole[y : y + h, x : x + w])
        assert np.array_equal(source.region(1, 0, 0, 751, 552), halved(whole))


def test_halves_are_means_of_four() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (7, 9, 3), np.uint8)
    padded = np.pad(picture, ((0, 1), (0, 1), (0, 0)), mode="edge").astype(float)
    means = padded.reshape(4, 2, 5, 2, 3).mean(axis=(1, 3))
    assert np.abs(halved(picture) - means).max() <= 0.5


def test_a_first_view_comes_before_all_is_read(tmp_path: Path) -> None:
    path = saved(tmp_path, "a.jpg", quality=90)
    with open_media(path) as source:
        first = source.overview(256)
        assert first.size == (WIDTH, HEIGHT)
        expected = np.asarray(photo().resize((first.pixels.shape[1], first.pixels.shape[0])))
        assert np.abs(first.pixels.astype(int) - expected).mean() < 4
        # Not sharp yet, but of the right place and size.
        part = source.region(1, 300, 200, 128, 128)
        sharp = halved(as_rgb(path))[200:328, 300:428]
        assert np.abs(part.astype(int) - sharp).mean() < 12


def test_preparing_goes_in_steps_and_can_be_left(tmp_path: Path) -> None:
    path = saved(tmp_path, "a.png")
    with open_media(path) as source:
        assert source.region(1, 0, 0, 8, 8).tolist() == np.full((8, 8, 3), 128).tolist()
        share = source.prepare(0)
        assert share == pytest.approx(256 / HEIGHT)
        # What is there is sharp already, what is not is grey.
        assert np.array_equal(source.region(0, 5, 100, 50, 50), as_rgb(path)[100:150, 5:55])
        assert (source.region(0, 0, 900, 9, 9) == 128).all()
    assert list(stores_folder().iterdir()) == []
    with open_media(path) as source:
        shares = [source.prepare(0) for _ in range(5)]
        assert shares[-1] == 1.0
    assert len(list(stores_folder().iterdir())) == 1
    with open_media(path) as source:
        assert source.prepare(0) == 1.0, "what another one made is used"
        assert np.array_equal(source.region(0, 5, 100, 50, 50), as_rgb(path)[100:150, 5:55])


def test_without_room_on_the_disk_full_detail_is_still_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vlmtool_core.media.tiles.store._FREE_SHARE", 0.0)
    path = saved(tmp_path, "a.jpg", quality=90)
    with open_media(path) as source:
        assert source.prepare() == 1.0
        assert "coarse" in source.info.warnings[-1]
        assert np.array_equal(source.region(0, 50, 900, 50, 50), as_rgb(path)[900:950, 50:100])


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.tif"])
def test_models_and_thumbnails_get_the_whole_reduced(tmp_path: Path, name: str) -> None:
    path = saved(tmp_path, name)
    with open_media(path) as source:
        frame = source.frame(max_side=300)
    assert frame.pixels.shape == (220, 300, 3)
    assert frame.size == (WIDTH, HEIGHT)
    expected = np.asarray(photo().resize((300, 220), Image.Resampling.BOX))
    assert np.abs(frame.pixels.astype(int) - expected).mean() < 3
    assert not stores_folder().exists() or not list(stores_folder().iterdir())


@settings(max_examples=25, deadline=None)
@given(
    st.integers(1, 8),
    st.integers(0, 1),
    st.tuples(st.floats(0, 1), st.floats(0, 1), st.floats(0, 1), st.floats(0, 1)),
)
def test_orientation_turns_parts_as_it_turns_the_whole(
    turned: dict[int, Path], orientation: int, level: int, shares: tuple[float, ...]
) -> None:
    path = turned[orientation]
    whole = orient(as_rgb(path), orientation)
    whole = whole if level == 0 else orient(halved(as_rgb(path)), orientation)
    height, width = whole.shape[:2]
    x, y = int(shares[0] * (width - 1)), int(shares[1] * (height - 1))
    w = 1 + int(shares[2] * min(200, width - x - 1))
    h = 1 + int(shares[3] * min(200, height - y - 1))
    with open_media(path) as source:
        source.prepare()
        assert (source.info.width, source.info.height) == (
            (HEIGHT, WIDTH) if orientation > 4 else (WIDTH, HEIGHT)
        )
        assert np.array_equal(source.region(level, x, y, w, h), whole[y : y + h, x : x + w])
        small = source.frame(max_side=64).pixels
    expected = Image.fromarray(whole).resize((small.shape[1], small.shape[0]))
    assert np.abs(small.astype(int) - np.asarray(expected)).mean() < 8


@pytest.fixture(scope="module")
def turned(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    """The same stored picture under each orientation."""
    folder = tmp_path_factory.mktemp("turned")
    paths = {}
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[ORIENTATION] = orientation
        paths[orientation] = saved(folder, f"{orientation}.jpg", quality=90, exif=exif)
    return paths


def pyramid(path: Path, values: np.ndarray, **options: Any) -> list[np.ndarray]:
    """A tiled pyramid in sub-directories of its first page; gives the levels back."""
    levels = [values, values[::2, ::2], values[::4, ::4]]
    with tifffile.TiffWriter(path, bigtiff=True) as writer:
        writer.write(values, subifds=2, tile=(128, 256), **options)
        for level in levels[1:]:
            writer.write(level, subfiletype=1, tile=(128, 256), **options)
    return levels


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"compression": "zlib", "predictor": True},
        {"compression": "jpeg2000", "compressionargs": {"reversible": True, "level": 0}},
        {"compression": "zstd"},
        {"compression": "lzw", "planarconfig": "separate"},
    ],
)
def test_a_pyramid_is_read_by_tiles(tmp_path: Path, options: dict[str, Any]) -> None:
    values = np.asarray(photo())
    planar = options.get("planarconfig") == "separate"
    path = tmp_path / "p.tif"
    if planar:
        with tifffile.TiffWriter(path) as writer:
            planes = np.moveaxis(values, -1, 0)
            writer.write(planes, subifds=1, tile=(128, 256), photometric="rgb", **options)
            half = planes[:, ::2, ::2]
            writer.write(half, subfiletype=1, tile=(128, 256), photometric="rgb", **options)
        levels = [values, values[::2, ::2]]
    else:
        levels = pyramid(path, values, photometric="rgb", **options)
    with open_media(path) as source:
        assert source.info.facts["levels_in_file"] == len(levels)
        sizes = [(level.width, level.height) for level in source.levels()][: len(levels)]
        assert sizes == [(level.shape[1], level.shape[0]) for level in levels]
        for number, level in enumerate(levels):
            height, width = level.shape[:2]
            part = source.region(number, 100, 90, width - 100, height - 90)
            assert np.array_equal(part, level[90:, 100:])
        whole = source.frame(max_side=200).pixels
    expected = np.asarray(photo().resize((whole.shape[1], whole.shape[0])))
    assert np.abs(whole.astype(int) - expected).mean() < 12


def test_jpeg_tiles_in_ycbcr(tmp_path: Path) -> None:
    path = tmp_path / "slide.tif"
    pyramid(path, np.asarray(photo()), photometric="ycbcr", compression="jpeg")
    whole = tifffile.imread(path)
    with open_media(path) as source:
        assert np.array_equal(source.region(0, 130, 250, 300, 300), whole[250:550, 130:430])


def test_a_deep_pyramid_is_shown_through_one_window(tmp_path: Path) -> None:
    values = np.asarray(photo("L")).astype(np.uint16) * 16
    path = tmp_path / "deep.ome.tif"
    levels = pyramid(path, values, photometric="minisblack")
    low, high = np.percentile(levels[-1], (0.1, 99.9))
    with open_media(path) as source:
        part = source.region(0, 200, 200, 300, 300)[..., 0]
    expected = np.clip((values[200:500, 200:500] - low) / (high - low) * 255, 0, 255)
    assert np.abs(part - expected).max() <= 1


def test_parts_outside_and_too_large_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = saved(tmp_path, "a.tif", compression="tiff_lzw")
    with open_media(path) as source:
        for part in ((0, -1, 0, 5, 5), (0, 0, 0, 0, 5), (0, 1500, 0, 2, 5), (7, 0, 0, 1, 1)):
            with pytest.raises(IndexError):
                source.region(*part)
        monkeypatch.setattr(tiles_source, "MOST_PIXELS", 10_000)
        with pytest.raises(BudgetExceededError, match="are allowed"):
            source.region(0, 0, 0, 200, 200)


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_a_truncated_one_is_damaged_where_it_ends(tmp_path: Path, name: str) -> None:
    path = saved(tmp_path, name, **({"compression": "tiff_lzw"} if name == "a.tif" else {}))
    written = path.read_bytes()
    if name == "a.tif":  # its directory lies at the end
        tifffile.imwrite(path, np.asarray(photo()), rowsperstrip=16, compression="zlib")
        written = path.read_bytes()
    path.write_bytes(written[: len(written) // 2])
    with open_media(path) as source:
        assert source.region(0, 0, 0, 64, 64).shape == (64, 64, 3)
        with pytest.raises(DamagedMediaError, match="truncated"):
            source.prepare()
    (found,) = [verify(item) for item in scan([path])]
    assert found.verdict == "damaged"
    assert "truncated" in found.problems[0].message


def test_a_whole_one_is_verified_part_by_part(tmp_path: Path) -> None:
    pyramid(tmp_path / "a.tif", np.asarray(photo()), photometric="rgb", compression="zlib")
    saved(tmp_path, "b.jpg")
    assert [verify(item).verdict for item in scan([tmp_path])] == ["whole", "whole"]
