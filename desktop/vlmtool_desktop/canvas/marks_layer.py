"""What a presentation state draws and writes over the picture."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QPointF, Qt
from PySide6.QtGui import QColor, QFontMetricsF, QPainter, QPainterPath, QPen, QPolygonF

from vlmtool_desktop.canvas.transform import ViewTransform

if TYPE_CHECKING:
    from vlmtool_core.media.dicom.presentation_graphics import Drawn, Stroke, Writing

_CROSS = 5.0
_LINE = 1.6
_RIM = QColor(0, 0, 0, 190)


class MarksLayer:
    """A layer of the canvas, drawn at the size of the view: lines stay thin when zoomed.

    marks : empty where there is nothing to draw; texts : whether what is written may be seen
    """

    def __init__(self) -> None:
        self.marks: tuple[Drawn, ...] = ()
        self.texts = True

    def draw(self, painter: QPainter, transform: ViewTransform) -> None:
        """See `CanvasLayer`."""
        painter.save()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        for one in self.marks:
            colour = QColor(*one.colour)
            for stroke in one.strokes:
                _draw_stroke(painter, transform, stroke, colour)
            for writing in one.writings if self.texts else ():
                _write(painter, transform, writing, colour)
        painter.restore()


def _draw_stroke(
    painter: QPainter, transform: ViewTransform, stroke: Stroke, colour: QColor
) -> None:
    points = QPolygonF([QPointF(*transform.to_view(x, y)) for x, y in stroke.points])
    path = QPainterPath()
    if stroke.is_point:
        place = points.first()
        for dx, dy in ((_CROSS, 0.0), (0.0, _CROSS)):
            path.moveTo(place - QPointF(dx, dy))
            path.lineTo(place + QPointF(dx, dy))
    else:
        path.addPolygon(points)
        if stroke.closed:
            path.closeSubpath()
    painter.setBrush(Qt.BrushStyle.NoBrush)
    painter.strokePath(path, QPen(_RIM, _LINE + 2))
    painter.strokePath(path, QPen(colour, _LINE))
    if stroke.filled:
        painter.fillPath(path, colour)


def _write(painter: QPainter, transform: ViewTransform, writing: Writing, colour: QColor) -> None:
    if writing.line:
        points = [QPointF(*transform.to_view(x, y)) for x, y in writing.line]
        painter.setPen(QPen(colour, 1.0, Qt.PenStyle.DashLine))
        painter.drawPolyline(QPolygonF(points))
    metrics = QFontMetricsF(painter.font())
    place = QPointF(*transform.to_view(*writing.place)) + QPointF(0, metrics.ascent())
    for line in writing.value.splitlines():
        path = QPainterPath()
        path.addText(place, painter.font(), line)
        painter.strokePath(path, QPen(_RIM, 3.0, j=Qt.PenJoinStyle.RoundJoin))
        painter.fillPath(path, colour)
        place += QPointF(0, metrics.lineSpacing())
