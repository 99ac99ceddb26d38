"""Draws boxes, outlines, captions and notes over the picture; only what is in sight."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import QColor, QFontMetricsF, QPainter, QPen, QPolygonF

from vlmtool_core.records import Box
from vlmtool_desktop.canvas.shapes import HANDLE_RADIUS, Outline, Shape, ShapeKind, handle_points
from vlmtool_desktop.canvas.transform import ViewTransform
from vlmtool_desktop.theme import text_on

_MOST_LABELS = 250
_LINES = {
    ShapeKind.ANNOTATION: Qt.PenStyle.SolidLine,
    ShapeKind.PREDICTION: Qt.PenStyle.DashLine,
    ShapeKind.FINDING: Qt.PenStyle.DashDotLine,
    ShapeKind.REGION: Qt.PenStyle.DotLine,
}


@dataclass(frozen=True, slots=True)
class OverlayStyle:
    """Colours of notes over the picture."""

    canvas: QColor
    text: QColor
    accent: QColor


def view_rect(transform: ViewTransform, box: Box) -> QRectF:
    """The box in pixels of the view."""
    x1, y1 = transform.to_view(box.x1, box.y1)
    x2, y2 = transform.to_view(box.x2, box.y2)
    return QRectF(x1, y1, x2 - x1, y2 - y1)


def draw_shapes(
    painter: QPainter, transform: ViewTransform, shapes: Sequence[Shape], selected: int | None
) -> None:
    """Boxes with their label; the selected one thicker and with handles, drawn last."""
    sight = QRectF(painter.viewport())
    visible = [
        (shape, rect)
        for shape in shapes
        if (rect := view_rect(transform, shape.box)).adjusted(-2, -24, 2, 24).intersects(sight)
    ]
    visible.sort(key=lambda pair: pair[0].editable and pair[0].id == selected)
    labelled = len(visible) <= _MOST_LABELS
    for shape, rect in visible:
        chosen = shape.editable and shape.id == selected
        _draw_box(painter, shape, rect, chosen)
        if shape.text and (labelled or chosen):
            _draw_tag(painter, shape, rect, sight)
        if chosen:
            _draw_handles(painter, transform, shape)


def _draw_box(painter: QPainter, shape: Shape, rect: QRectF, chosen: bool) -> None:
    # A dark line under the coloured one keeps it readable on any picture.
    painter.setBrush(Qt.BrushStyle.NoBrush)
    width = 3.0 if chosen else 2.0
    painter.setPen(QPen(QColor(0, 0, 0, 130), width + 2.0))
    painter.drawRect(rect)
    painter.setPen(QPen(QColor(shape.colour), width, _LINES[shape.kind]))
    painter.drawRect(rect)


def _draw_tag(painter: QPainter, shape: Shape, rect: QRectF, sight: QRectF) -> None:
    metrics = QFontMetricsF(painter.font())
    text = metrics.elidedText(shape.text, Qt.TextElideMode.ElideRight, 220)
    height = metrics.height() + 4
    tag = QRectF(rect.left() - 1, rect.top() - height, metrics.horizontalAdvance(text) + 10, height)
    if tag.top() < sight.top():
        tag.moveTop(max(rect.top(), sight.top()))
    if tag.left() < sight.left():
        tag.moveLeft(sight.left())
    painter.fillRect(tag, QColor(shape.colour))
    painter.setPen(QColor(text_on(shape.colour)))
    painter.drawText(tag, Qt.AlignmentFlag.AlignCenter, text)


def _draw_handles(painter: QPainter, transform: ViewTransform, shape: Shape) -> None:
    painter.setPen(QPen(QColor(0, 0, 0, 200), 1.2))
    painter.setBrush(QColor("#ffffff"))
    side = HANDLE_RADIUS * 1.4
    for x, y in handle_points(shape.box):
        vx, vy = transform.to_view(x, y)
        painter.drawRect(QRectF(vx - side / 2, vy - side / 2, side, side))


def draw_outlines(painter: QPainter, transform: ViewTransform, outlines: Sequence[Outline]) -> None:
    """Quadrilaterals of read text, polygons and lines of regions."""
    for outline in outlines:
        points = QPolygonF([QPointF(*transform.to_view(x, y)) for x, y in outline.points])
        colour = QColor(outline.colour)
        painter.setPen(QPen(colour, 1.6))
        if outline.closed:
            fill = QColor(colour)
            fill.setAlpha(46)
            painter.setBrush(fill)
            painter.drawPolygon(points)
        else:
            painter.drawPolyline(points)


def draw_draft(
    painter: QPainter, points: Sequence[tuple[float, float]], *, box: bool, colour: QColor
) -> None:
    """The shape being drawn, in view pixels."""
    painter.setBrush(Qt.BrushStyle.NoBrush)
    painter.setPen(QPen(colour, 1.6, Qt.PenStyle.DashLine))
    corners = [QPointF(*point) for point in points]
    if box and len(corners) == 2:
        painter.drawRect(QRectF(corners[0], corners[1]).normalized())
    elif corners:
        painter.drawPolyline(QPolygonF(corners))
        painter.setPen(QPen(colour, 6.0))
        painter.drawPoints(QPolygonF(corners))


def draw_caption(painter: QPainter, text: str) -> None:
    """The caption on a dark strip along the lower edge."""
    room = QRectF(painter.viewport()).adjusted(16, 0, -16, -10)
    flags = Qt.AlignmentFlag.AlignHCenter | Qt.TextFlag.TextWordWrap
    bounds = painter.boundingRect(QRectF(0, 0, room.width() - 24, 400), flags, text)
    strip = bounds.adjusted(-12, -6, 12, 6)
    strip.moveCenter(QPointF(room.center().x(), 0))
    strip.moveBottom(room.bottom())
    painter.setPen(Qt.PenStyle.NoPen)
    painter.setBrush(QColor(0, 0, 0, 185))
    painter.drawRoundedRect(strip, 6, 6)
    painter.setPen(QColor("#ffffff"))
    painter.drawText(strip.adjusted(12, 6, -12, -6), flags, text)


def draw_note(painter: QPainter, title: str, text: str, style: OverlayStyle) -> None:
    """A message in place of a picture: loading, nothing chosen, or why it cannot be shown."""
    room = QRectF(painter.viewport()).adjusted(32, 0, -32, 0)
    flags = Qt.AlignmentFlag.AlignHCenter | Qt.TextFlag.TextWordWrap
    font = painter.font()
    heading = painter.font()
    heading.setBold(True)
    heading.setPointSizeF(font.pointSizeF() * 1.2)
    painter.setFont(heading)
    painter.setPen(style.text)
    top = room.adjusted(0, room.height() / 2 - 40, 0, 0)
    used = painter.boundingRect(top, flags, title)
    painter.drawText(top, flags, title)
    painter.setFont(font)
    faded = QColor(style.text)
    faded.setAlpha(190)
    painter.setPen(faded)
    painter.drawText(top.adjusted(0, used.height() + 8, 0, 0), flags, text)
