"""Reads the tiles of a huge picture that are in view, and has the levels made that it lacks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QObject
from PySide6.QtGui import QImage

from vlmtool_core.records import ErrorInfo, ItemRef
from vlmtool_desktop.canvas.picture import Picture, to_image
from vlmtool_desktop.canvas.tiles import Tile, TileLayer

if TYPE_CHECKING:
    from vlmtool_core.media.tiles.base import Level
    from vlmtool_desktop.main_window import MainWindow
    from vlmtool_desktop.models.frame_reader import FrameReader, Loaded

# Levels are made for so long at a time; then the tiles in view come first again.
STEP_S = 0.4


class TileController(QObject):
    """One tile at a time in the viewer's thread, so that nothing else waits for long."""

    def __init__(self, window: MainWindow) -> None:
        super().__init__(window)
        self._main = window
        self._bridge = window.bridge
        self._reader: FrameReader = window.viewing.reader
        canvas = window.viewer.canvas
        self.layer = TileLayer(canvas)
        canvas.underlays.append(self.layer)
        self._ref: ItemRef | None = None
        self._queue: list[Tile] = []
        self._busy = False
        self._share = 1.0
        self.layer.wanted.connect(self._take_wanted)
        window.viewing.frame_shown.connect(self._frame_shown)
        window.session.item_changed.connect(self._leave)

    @property
    def share(self) -> float:
        """How much of the levels that the file lacks is made; 1 when nothing is missing."""
        return self._share

    @property
    def is_idle(self) -> bool:
        """Whether everything in view is sharp."""
        return not self._busy and not self._queue and self._share >= 1.0

    # Which picture ---------------------------------------------------------------------------

    def _frame_shown(self, loaded: Loaded) -> None:
        if not loaded.info.facts.get("tiled"):
            self._leave()
            return
        if loaded.ref == self._ref:
            return
        self._leave()
        ref = self._ref = loaded.ref
        self._busy = True
        self._bridge.view(
            lambda: _begin(self._reader, ref),
            lambda found: self._begun(ref, *found),
            lambda error: self._failed(ref, error),
        )

    def _leave(self) -> None:
        """Another item: what is being made for this one is given up."""
        self._ref = None
        self._queue = []
        self._busy = False
        if self._share < 1.0:
            self._main.status.say("")
        self._share = 1.0
        self.layer.set_levels(())

    def _begun(self, ref: ItemRef, levels: tuple[Level, ...], share: float) -> None:
        if ref is not self._ref:
            return
        self._busy = False
        self._share = share
        self.layer.set_levels(levels)
        self._next()

    # Tiles -----------------------------------------------------------------------------------

    def _take_wanted(self, tiles: tuple[Tile, ...]) -> None:
        self._queue = list(tiles)
        self._next()

    def _next(self) -> None:
        """Read the most urgent tile; with none left, make some more of the levels."""
        ref = self._ref
        if ref is None or self._busy:
            return
        if self._queue:
            tile, passing = self._queue.pop(0), self._share < 1.0
            self._busy = True
            self._bridge.view(
                lambda: _read(self._reader, ref, tile),
                lambda image: self._take_tile(ref, tile, image, passing=passing),
                lambda error: self._failed(ref, error),
            )
        elif self._share < 1.0:
            self._make(ref)

    def _take_tile(self, ref: ItemRef, tile: Tile, image: QImage, *, passing: bool) -> None:
        if ref is self._ref:
            self._busy = False
            self.layer.put(tile, image, passing=passing)
            self._next()

    # Levels that the file lacks --------------------------------------------------------------

    def _make(self, ref: ItemRef) -> None:
        text = self.tr("Preparing the picture for zooming: {percent} %")
        self._main.status.say(text.format(percent=round(100 * self._share)))
        self._busy = True
        self._bridge.view(
            lambda: _prepare(self._reader, ref),
            lambda share: self._made(ref, share),
            lambda error: self._failed(ref, error),
        )

    def _made(self, ref: ItemRef, share: float) -> None:
        if ref is not self._ref:
            return
        self._busy = False
        self._share = share
        if share >= 1.0:
            self._main.status.say("")
            self._renew(ref)
        self.layer.ask_again()
        self._next()

    def _renew(self, ref: ItemRef) -> None:
        self._bridge.view(lambda: self._reader.renew(ref), lambda picture: self._show(ref, picture))

    def _show(self, ref: ItemRef, picture: Picture) -> None:
        if ref is self._ref:
            self._main.viewer.canvas.set_picture(picture, keep_view=True)

    def _failed(self, ref: ItemRef, error: ErrorInfo) -> None:
        """Say it once; the coarse view stays."""
        if ref is not self._ref:
            return
        self._busy = False
        self._queue = []
        self._share = 1.0
        self._bridge.failed.emit(error)


# In the viewer's thread ----------------------------------------------------------------------


def _begin(reader: FrameReader, ref: ItemRef) -> tuple[tuple[Level, ...], float]:
    source: Any = reader.opened(ref)
    return source.levels(), float(source.prepare(0))


def _read(reader: FrameReader, ref: ItemRef, tile: Tile) -> QImage:
    source: Any = reader.opened(ref)
    pixels = source.region(tile.level, tile.x, tile.y, tile.width, tile.height)
    return to_image(pixels)


def _prepare(reader: FrameReader, ref: ItemRef) -> float:
    source: Any = reader.opened(ref)
    return float(source.prepare(STEP_S))
