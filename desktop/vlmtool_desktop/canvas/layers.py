"""What may be drawn over the picture beside its boxes: letters, shutters, measurements, ..."""

from __future__ import annotations

from typing import Protocol

from PySide6.QtGui import QPainter

from vlmtool_desktop.canvas.transform import ViewTransform


class CanvasLayer(Protocol):
    """Drawn after the boxes, in the order of `CanvasView.layers`, when there is a picture.

    It calls `CanvasView.update` when it has changed.
    """

    def draw(self, painter: QPainter, transform: ViewTransform) -> None:
        """In pixels of the view; `painter.viewport()` is what can be seen of it."""
        ...
