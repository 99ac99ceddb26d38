"""The parts of a huge picture that can be seen now, drawn over a coarse view of the whole."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, QRectF, Signal
from PySide6.QtGui import QImage, QPainter
from PySide6.QtWidgets import QWidget

from vlmtool_desktop.canvas.transform import ViewTransform

if TYPE_CHECKING:
    from vlmtool_core.media.tiles.base import Level

SIDE = 512
MOST_BYTES = 192_000_000
# Tiles around those in view, so that a short pan finds them there.
_MARGIN = 0.25
_LARGE_PIXELS = 3.0


@dataclass(frozen=True, slots=True)
class Tile:
    """A square of a level, in the level's pixels; smaller at the right and lower edge."""

    level: int
    x: int
    y: int
    width: int
    height: int


class TileLayer(QObject):
    """Drawn under the boxes. Tells which tiles it lacks, and keeps those it is given.

    wanted : tiles that are to be read, the most urgent first
    """

    wanted = Signal(object)

    def __init__(self, canvas: QWidget) -> None:
        super().__init__(canvas)
        self._canvas = canvas
        self._levels: tuple[Level, ...] = ()
        self._tiles: OrderedDict[Tile, QImage] = OrderedDict()
        self._passing: set[Tile] = set()
        self._stale: set[Tile] = set()
        self._bytes = 0
        self._asked: tuple[Tile, ...] = ()

    @property
    def bytes(self) -> int:
        """What the tiles that are kept take."""
        return self._bytes

    @property
    def tiles(self) -> tuple[Tile, ...]:
        return tuple(self._tiles)

    def set_levels(self, levels: Sequence[Level]) -> None:
        """Begin another picture; none where it has no tiles."""
        self._levels = tuple(levels)
        self._tiles.clear()
        self._passing.clear()
        self._stale.clear()
        self._bytes = 0
        self._asked = ()
        self._canvas.update()

    def put(self, tile: Tile, image: QImage, *, passing: bool) -> None:
        """Keep a tile. passing : it is to be read again, since more of it will be known."""
        old = self._tiles.pop(tile, None)
        self._bytes += image.sizeInBytes() - (old.sizeInBytes() if old is not None else 0)
        self._tiles[tile] = image
        self._stale.discard(tile)
        self._passing.discard(tile)
        if passing:
            self._passing.add(tile)
        while len(self._tiles) > 1 and self._bytes > MOST_BYTES:
            dropped, gone = self._tiles.popitem(last=False)
            self._bytes -= gone.sizeInBytes()
            self._passing.discard(dropped)
            self._stale.discard(dropped)
        self._canvas.update()

    def ask_again(self) -> None:
        """More of the picture is known: read again what was not sharp."""
        self._stale |= self._passing
        self._passing.clear()
        self._asked = ()
        self._canvas.update()

    # Drawing ---------------------------------------------------------------------------------

    def draw(self, painter: QPainter, transform: ViewTransform) -> None:
        """See `CanvasLayer`. Coarser tiles are drawn first, and finer ones over them."""
        if not self._levels:
            return
        view = QRectF(painter.viewport())
        scale = transform.scale * self._canvas.devicePixelRatioF()
        best = self.level_for(scale)
        smooth = scale < _LARGE_PIXELS
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform, smooth)
        for level in range(len(self._levels) - 1, best - 1, -1):
            for tile in self.in_view(level, transform, view):
                image = self._tiles.get(tile)
                if image is not None:
                    self._tiles.move_to_end(tile)
                    painter.drawImage(self._target(tile, transform), image, QRectF(image.rect()))
        self._ask(best, transform, view)

    def level_for(self, scale: float) -> int:
        """The coarsest level that has a pixel for each pixel of the screen."""
        for number in range(len(self._levels) - 1, 0, -1):
            if scale * self._levels[number].downsample <= 1.0:
                return number
        return 0

    def in_view(self, level: int, transform: ViewTransform, view: QRectF) -> Iterator[Tile]:
        """Tiles of a level that a rectangle of the view shows."""
        size = self._levels[level]
        left, top = transform.to_image(view.left(), view.top())
        right, bottom = transform.to_image(view.right(), view.bottom())
        step = SIDE * size.downsample
        columns, rows = math.ceil(size.width / SIDE), math.ceil(size.height / SIDE)
        for row in range(max(0, int(top // step)), min(rows, int(bottom // step) + 1)):
            for column in range(max(0, int(left // step)), min(columns, int(right // step) + 1)):
                x, y = column * SIDE, row * SIDE
                yield Tile(level, x, y, min(SIDE, size.width - x), min(SIDE, size.height - y))

    def _target(self, tile: Tile, transform: ViewTransform) -> QRectF:
        """Where a tile lies in the view, on whole pixels of the screen so that no seam shows."""
        factor = self._levels[tile.level].downsample
        ratio = self._canvas.devicePixelRatioF()
        x1, y1 = transform.to_view(tile.x * factor, tile.y * factor)
        x2, y2 = transform.to_view((tile.x + tile.width) * factor, (tile.y + tile.height) * factor)
        x1, y1, x2, y2 = (round(value * ratio) / ratio for value in (x1, y1, x2, y2))
        return QRectF(x1, y1, x2 - x1, y2 - y1)

    def _ask(self, level: int, transform: ViewTransform, view: QRectF) -> None:
        wide, high = view.width() * _MARGIN, view.height() * _MARGIN
        around = view.adjusted(-wide, -high, wide, high)
        seen = set(self.in_view(level, transform, view))
        middle = transform.to_image(view.center().x(), view.center().y())
        factor = self._levels[level].downsample

        def urgency(tile: Tile) -> tuple[bool, float]:
            x, y = (tile.x + SIDE / 2) * factor, (tile.y + SIDE / 2) * factor
            return tile not in seen, math.dist((x, y), middle)

        lacking = (
            tile
            for tile in self.in_view(level, transform, around)
            if tile not in self._tiles or tile in self._stale
        )
        asked = tuple(sorted(lacking, key=urgency))
        if asked != self._asked:
            self._asked = asked
            self.wanted.emit(asked)
