"""Huge pictures in the window: coarse at once, sharp where one looks, boxes in full pixels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image
from PySide6.QtCore import QPointF, QRectF
from PySide6.QtGui import QImage
from PySide6.QtWidgets import QWidget
from skimage import data
from tests.desktop.conftest import Opened

import vlmtool_core.media.tiles.opening as tiles_opening
from vlmtool_core.media.tiles.base import Level
from vlmtool_core.project import Project
from vlmtool_core.records import Box
from vlmtool_desktop.canvas.shapes import Shape, ShapeKind
from vlmtool_desktop.canvas.tiles import SIDE, Tile, TileLayer
from vlmtool_desktop.canvas.transform import ViewTransform

WIDTH, HEIGHT = 4608, 4096


@pytest.fixture(scope="module")
def whole() -> np.ndarray:
    return np.asarray(Image.fromarray(data.astronaut()).resize((WIDTH, HEIGHT)))


@pytest.fixture
def pyramid(tmp_path: Path, whole: np.ndarray) -> Path:
    """A tiled pyramid of three levels."""
    path = tmp_path / "slide.tif"
    with tifffile.TiffWriter(path) as writer:
        writer.write(whole, tile=(256, 256), photometric="rgb", subifds=2)
        for step in (2, 4):
            level = whole[::step, ::step]
            writer.write(level, tile=(256, 256), photometric="rgb", subfiletype=1)
    return path


def show(opened: Opened, tmp_path: Path, path: Path) -> None:
    with Project.create(tmp_path / "project", name="Huge") as project:
        project.add([path])
    opened.open(tmp_path / "project")
    opened.wait(lambda: opened.window.library.model.id_at(0) is not None)
    opened.show_item(0)
    opened.wait(lambda: opened.window.tiles.layer.tiles and opened.window.tiles.is_idle)


def shown_pixels(opened: Opened) -> np.ndarray:
    """uint8 (h, w, 3) of the canvas as it is on the screen."""
    image = opened.window.viewer.canvas.grab().toImage()
    image = image.convertToFormat(QImage.Format.Format_RGB888)
    rows = np.frombuffer(image.constBits(), np.uint8).reshape(image.height(), image.bytesPerLine())
    return rows[:, : 3 * image.width()].reshape(image.height(), image.width(), 3).copy()


def test_full_detail_is_shown_where_one_looks(
    opened: Opened, tmp_path: Path, pyramid: Path, whole: np.ndarray
) -> None:
    show(opened, tmp_path, pyramid)
    canvas, tiles = opened.window.viewer.canvas, opened.window.tiles
    assert canvas.image_size == (WIDTH, HEIGHT), "boxes are in pixels of the file"
    assert max(canvas.picture.levels[0].width(), canvas.picture.levels[0].height()) <= 2048
    fitted = {tile.level for tile in tiles.layer.tiles}
    assert 0 not in fitted, "no more detail is read than can be seen"
    canvas.zoom(1 / canvas.transform.scale, QPointF(300, 200))
    canvas.repaint()
    opened.wait(lambda: tiles.is_idle and any(tile.level == 0 for tile in tiles.layer.tiles))
    x, y = (round(v) for v in canvas.transform.to_image(100, 100))
    shown = shown_pixels(opened)[100:300, 100:400]
    expected = whole[y : y + 200, x : x + 300]
    # The view may lie between two pixels.
    assert np.abs(shown.astype(int) - expected).mean() < 3
    assert not opened.errors


def test_boxes_lie_over_tiles_in_full_pixels(opened: Opened, tmp_path: Path, pyramid: Path) -> None:
    show(opened, tmp_path, pyramid)
    canvas = opened.window.viewer.canvas
    box = Box(1000, 1200, 3000, 2600, label="cell")
    canvas.set_shapes([Shape(1, ShapeKind.ANNOTATION, box, "#ff00ff")], [], "")
    x, y = canvas.transform.to_view(1000, 1900)
    pixel = shown_pixels(opened)[round(y), round(x) - 1 : round(x) + 2]
    assert (np.abs(pixel.astype(int) - [255, 0, 255]).max(axis=1) < 90).any()


def test_another_item_lets_go_of_the_tiles(opened: Opened, tmp_path: Path, pyramid: Path) -> None:
    show(opened, tmp_path, pyramid)
    opened.window.session.set_item(None)
    assert opened.window.tiles.layer.tiles == ()
    assert opened.window.tiles.layer.bytes == 0


def test_a_plain_huge_picture_becomes_sharp_while_one_looks(
    opened: Opened, tmp_path: Path, whole: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VLMTOOL_DECODE", "here")
    monkeypatch.setattr(tiles_opening, "HUGE_PIXELS", 1_000_000)
    path = tmp_path / "plain.png"
    Image.fromarray(whole).save(path, compress_level=1)
    show(opened, tmp_path, path)
    tiles = opened.window.tiles
    assert tiles.share == 1.0
    canvas = opened.window.viewer.canvas
    opened.wait(lambda: tiles.is_idle)
    left, top = canvas.transform.to_view(0, 0)
    side = round(canvas.transform.scale * HEIGHT)
    expected = np.asarray(Image.fromarray(whole[:, :HEIGHT]).resize((side, side)))

    def difference() -> float:
        rows = slice(round(top), round(top) + side)
        shown = shown_pixels(opened)[rows, round(left) : round(left) + side]
        return float(np.abs(shown.astype(int) - expected[: shown.shape[0]]).mean())

    # The tiles that were coarse are read again after the next painting.
    opened.wait(lambda: tiles.is_idle and difference() < 6)
    assert not opened.errors


# The layer by itself -------------------------------------------------------------------------

LEVELS = (Level(8000, 6000, 1.0), Level(4000, 3000, 2.0), Level(2000, 1500, 4.0))


@pytest.fixture
def layer(qtbot: object) -> TileLayer:
    made = TileLayer(QWidget())
    made.set_levels(LEVELS)
    return made


@pytest.mark.parametrize(
    ("scale", "level"), [(0.1, 2), (0.25, 2), (0.26, 1), (0.5, 1), (0.6, 0), (4.0, 0)]
)
def test_the_level_has_a_pixel_for_each_of_the_screen(
    layer: TileLayer, scale: float, level: int
) -> None:
    assert layer.level_for(scale) == level


def test_only_tiles_that_can_be_seen_are_wanted(layer: TileLayer) -> None:
    view = QRectF(0, 0, 1000, 700)
    seen = list(layer.in_view(0, ViewTransform(1.0, -1000.0, -2000.0), view))
    assert {(tile.x, tile.y) for tile in seen} == {
        (x * SIDE, y * SIDE) for x in (1, 2, 3) for y in (3, 4, 5)
    }
    edge = list(layer.in_view(2, ViewTransform(0.25, 0, 0), QRectF(0, 0, 3000, 3000)))
    assert Tile(2, 1536, 1024, 464, 476) in edge
    assert sum(tile.width * tile.height for tile in edge) == 2000 * 1500


def test_memory_is_bounded_and_old_tiles_go_first(
    layer: TileLayer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vlmtool_desktop.canvas.tiles.MOST_BYTES", 5 * 4 * SIDE * SIDE)
    for column in range(9):
        image = QImage(SIDE, SIDE, QImage.Format.Format_RGB32)
        layer.put(Tile(0, column * SIDE, 0, SIDE, SIDE), image, passing=False)
    assert layer.bytes == 5 * 4 * SIDE * SIDE
    assert [tile.x // SIDE for tile in layer.tiles] == [4, 5, 6, 7, 8]
