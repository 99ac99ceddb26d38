"""Letters at the edges of the picture that say which side of the patient lies there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import QColor, QFont, QFontMetricsF, QPainter, QPainterPath, QPen

from vlmtool_desktop.canvas.transform import ViewTransform

if TYPE_CHECKING:
    from vlmtool_core.media.volumes.letters import EdgeLetters

_MARGIN = 6.0
_SIZE = 1.25
_TEXT = QColor("#ffe9a8")
_RIM = QColor(0, 0, 0, 210)


class LettersLayer:
    """A layer of the canvas. The letters stay at the edges of what can be seen of the picture.

    letters : None when the sides are not known; size : (width, height) of the picture
    """

    def __init__(self) -> None:
        self.letters: EdgeLetters | None = None
        self.size = (1, 1)

    def draw(self, painter: QPainter, transform: ViewTransform) -> None:
        """See `CanvasLayer`."""
        if self.letters is not None:
            draw_letters(painter, self.letters, seen(painter, transform, self.size))


def seen(painter: QPainter, transform: ViewTransform, size: tuple[int, int]) -> QRectF:
    """The part of the picture that is in sight, in pixels of the view."""
    width, height = size
    picture = QRectF(transform.x, transform.y, width * transform.scale, height * transform.down)
    return picture.intersected(QRectF(painter.viewport()))


def draw_letters(painter: QPainter, letters: EdgeLetters, room: QRectF) -> None:
    """In the middle of the edges of `room`, light with a dark rim."""
    if room.isEmpty():
        return
    font = QFont(painter.font())
    font.setBold(True)
    font.setPointSizeF(font.pointSizeF() * _SIZE)
    metrics = QFontMetricsF(font)
    middle = room.center()
    rise = (metrics.ascent() - metrics.descent()) / 2
    for text, side in (
        (letters.left, Qt.Edge.LeftEdge),
        (letters.right, Qt.Edge.RightEdge),
        (letters.top, Qt.Edge.TopEdge),
        (letters.bottom, Qt.Edge.BottomEdge),
    ):
        width = metrics.horizontalAdvance(text)
        places = {
            Qt.Edge.LeftEdge: QPointF(room.left() + _MARGIN, middle.y() + rise),
            Qt.Edge.RightEdge: QPointF(room.right() - _MARGIN - width, middle.y() + rise),
            Qt.Edge.TopEdge: QPointF(middle.x() - width / 2, room.top() + _MARGIN + 2 * rise),
            Qt.Edge.BottomEdge: QPointF(middle.x() - width / 2, room.bottom() - _MARGIN),
        }
        path = QPainterPath()
        path.addText(places[side], font, text)
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.setPen(QPen(_RIM, 3.0, j=Qt.PenJoinStyle.RoundJoin))
        painter.drawPath(path)
        painter.fillPath(path, _TEXT)
