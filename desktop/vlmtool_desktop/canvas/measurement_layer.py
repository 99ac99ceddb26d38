"""Measurements drawn over the picture: readable on black and white, crisp at every zoom."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, QPointF, QRectF, Qt, Signal
from PySide6.QtGui import QColor, QFontMetricsF, QPainter, QPen, QPolygonF

from vlmtool_core.measurement import MeasurementKind
from vlmtool_desktop.canvas import measured_shapes as shapes
from vlmtool_desktop.canvas.measured_shapes import MeasuredShape, Point, Points
from vlmtool_desktop.canvas.shapes import HANDLE_RADIUS
from vlmtool_desktop.canvas.transform import ViewTransform

if TYPE_CHECKING:
    from vlmtool_desktop.canvas.view import CanvasView

COLOUR = QColor("#ffd54a")
CHOSEN = QColor("#5cd6ff")
_WARNING = QColor("#ffb4a2")
_TEXT = QColor("#ffffff")
# Under every line and text, so that they are seen on white as well.
_SHADE = QColor(0, 0, 0, 170)
_GAP = 10.0
_MARK = 4.0


class MeasurementLayer(QObject):
    """A layer of the canvas; holds the shapes of the frame in view, the chosen one and the draft.

    drawn : (kind, points) of a new shape; changed : (id, points) of one that was moved
    drafted : (kind, points) while one is drawn or moved, for its live label
    """

    drawn = Signal(object, object)
    changed = Signal(int, object)
    drafted = Signal(object, object)
    chosen_changed = Signal()

    def __init__(self, canvas: CanvasView) -> None:
        super().__init__(canvas)
        self.canvas = canvas
        self.visible = True
        self._shapes: tuple[MeasuredShape, ...] = ()
        self._chosen: int | None = None
        self._handle: int | None = None
        self._draft: MeasuredShape | None = None
        self._moving: MeasuredShape | None = None
        self.beside_pointer: tuple[Point, tuple[str, ...]] | None = None
        canvas.layers.append(self)

    # What it holds ---------------------------------------------------------------------------

    @property
    def shapes(self) -> tuple[MeasuredShape, ...]:
        return self._shapes

    def set_shapes(self, found: Sequence[MeasuredShape]) -> None:
        """Show these; the choice stays with its shape, also while that is elsewhere."""
        self._shapes = tuple(found)
        self.canvas.update()

    @property
    def chosen(self) -> MeasuredShape | None:
        for shape in self._shapes:
            if shape.id is not None and shape.id == self._chosen:
                return shape
        return None

    @property
    def chosen_id(self) -> int | None:
        """The annotation that is chosen, also while its shape is elsewhere."""
        return self._chosen

    @property
    def handle(self) -> int | None:
        """The point of the chosen shape that keys move, None for all of it."""
        return self._handle

    def choose(self, annotation_id: int | None) -> None:
        """Choose a measurement; it may be on its way here still."""
        if annotation_id != self._chosen:
            self._chosen, self._handle = annotation_id, None
            self.canvas.update()
            self.chosen_changed.emit()

    def choose_handle(self, step: int) -> None:
        """The next point of the chosen shape, or the one before; after the last one, none."""
        shape = self.chosen
        if shape is not None:
            count = len(shapes.handles_of(shape.kind, shape.points)) + 1
            place = (0 if self._handle is None else self._handle + 1) + step
            self._handle = place % count - 1 if place % count else None
            self.canvas.update()

    def drop_handle(self) -> None:
        self._handle = None
        self.canvas.update()

    @property
    def draft(self) -> MeasuredShape | None:
        """The shape being drawn."""
        return self._draft

    def set_draft(self, kind: MeasurementKind, points: Points) -> None:
        """Draw a shape that is not finished; its label stays until there is another."""
        lines = self._draft.lines if self._draft else ()
        self._draft = MeasuredShape(None, kind, points, lines)
        self.drafted.emit(kind, points)
        self.canvas.update()

    def end_draft(self) -> None:
        self._draft = None
        self.canvas.update()

    def finish_draft(self, kind: MeasurementKind, points: Points) -> None:
        self.end_draft()
        self.drawn.emit(kind, points)

    def set_live_lines(self, lines: Sequence[str]) -> None:
        """The label of what is being drawn or moved."""
        if self._draft is not None:
            self._draft = replace(self._draft, lines=tuple(lines))
        elif self._moving is not None:
            self._moving = replace(self._moving, lines=tuple(lines))
        self.canvas.update()

    def show_moved(self, shape: MeasuredShape) -> None:
        """The chosen shape elsewhere; nothing is stored by this."""
        lines = self._moving.lines if self._moving else shape.lines
        self._moving = replace(shape, lines=lines, warning="")
        self.drafted.emit(shape.kind, shape.points)
        self.canvas.update()

    def end_move(self, *, keep: bool) -> None:
        """Take over where the chosen shape was moved to, or forget it."""
        moved, self._moving = self._moving, None
        self.canvas.update()
        if keep and moved is not None and moved.id is not None:
            self._shapes = tuple(moved if s.id == moved.id else s for s in self._shapes)
            self.changed.emit(moved.id, moved.points)

    def under(self, at: Point) -> MeasuredShape | None:
        stored = [shape for shape in self._shapes if shape.id is not None]
        return shapes.shape_under(stored, at, self.canvas.reach()) if self.visible else None

    # Drawing ---------------------------------------------------------------------------------

    def draw(self, painter: QPainter, transform: ViewTransform) -> None:
        """See `CanvasLayer`."""
        if self.visible:
            for shape in self._shapes:
                if shape.id is None or shape.id != self._chosen:
                    _draw_shape(painter, transform, shape, COLOUR, dashed=shape.id is None)
            chosen = self._moving or self.chosen
            if chosen is not None:
                _draw_shape(painter, transform, chosen, CHOSEN)
                _draw_handles(painter, transform, chosen, self._handle)
        if self._draft is not None:
            _draw_shape(painter, transform, self._draft, CHOSEN)
        if self.beside_pointer is not None:
            at, lines = self.beside_pointer
            place = QPointF(*transform.to_view(*at))
            if QRectF(painter.viewport()).contains(place):
                _draw_label(painter, place, lines, "", COLOUR)


def _draw_shape(
    painter: QPainter,
    transform: ViewTransform,
    shape: MeasuredShape,
    colour: QColor,
    *,
    dashed: bool = False,
) -> None:
    sight = QRectF(painter.viewport())
    lines = [
        QPolygonF([QPointF(*transform.to_view(*point)) for point in line])
        for line in shapes.lines_of(shape.kind, shape.points)
    ]
    around = _seen(lines, sight)
    if around is None:
        return
    painter.setBrush(Qt.BrushStyle.NoBrush)
    style = Qt.PenStyle.DashLine if dashed else Qt.PenStyle.SolidLine
    for pen in (QPen(_SHADE, 4.0), QPen(colour, 1.8, style)):
        pen.setJoinStyle(Qt.PenJoinStyle.RoundJoin)
        painter.setPen(pen)
        for line in lines:
            painter.drawPolyline(line)
        if not shape.kind.is_region:
            _draw_marks(painter, lines)
    connector = [QPointF(*transform.to_view(*p)) for p in shapes.connector_of(*_parts(shape))]
    for pen in (QPen(_SHADE, 3.0), QPen(colour, 1.2, Qt.PenStyle.DotLine)):
        painter.setPen(pen)
        painter.drawPolyline(QPolygonF(connector))
    _draw_label(painter, around.topRight(), shape.lines, shape.warning, colour)


def _seen(lines: Sequence[QPolygonF], sight: QRectF) -> QRectF | None:
    """The box around what of the lines is in sight; None where nothing is."""
    found = QRectF()
    for line in lines:
        for number in range(line.size() - 1):
            side = QRectF(line.at(number), line.at(number + 1)).normalized()
            # A line that is level has no height, and Qt takes that for an empty box.
            part = side.adjusted(-1, -1, 1, 1).intersected(sight)
            found = found.united(part)
    return None if found.isEmpty() else found


def _parts(shape: MeasuredShape) -> tuple[MeasurementKind, Points]:
    return shape.kind, shape.points


def _draw_marks(painter: QPainter, lines: Sequence[QPolygonF]) -> None:
    """A cross at each end: the exact place, which a thick dot would hide."""
    for line in lines:
        for place in (line.first(), line.last()) if line.size() else ():
            painter.drawLine(place + QPointF(-_MARK, 0), place + QPointF(_MARK, 0))
            painter.drawLine(place + QPointF(0, -_MARK), place + QPointF(0, _MARK))


def _draw_handles(
    painter: QPainter, transform: ViewTransform, shape: MeasuredShape, active: int | None
) -> None:
    side = HANDLE_RADIUS * 1.3
    painter.setPen(QPen(_SHADE, 1.2))
    for number, place in enumerate(shapes.handles_of(shape.kind, shape.points)):
        x, y = transform.to_view(*place)
        painter.setBrush(COLOUR if number == active else _TEXT)
        painter.drawEllipse(QPointF(x, y), side / 2, side / 2)


def _draw_label(
    painter: QPainter, anchor: QPointF, lines: Sequence[str], warning: str, colour: QColor
) -> None:
    """On a dark ground beside the shape, always within the view."""
    told = [*lines, *([warning] if warning else [])]
    if not told:
        return
    metrics = QFontMetricsF(painter.font())
    width = max(metrics.horizontalAdvance(line) for line in told) + 12
    height = metrics.lineSpacing() * len(told) + 6
    sight = QRectF(painter.viewport()).adjusted(2, 2, -2, -2)
    ground = QRectF(anchor.x() + _GAP, anchor.y() - 4, width, height)
    if ground.right() > sight.right():
        ground.moveRight(sight.right())
    ground.moveTop(min(max(ground.top(), sight.top()), max(sight.top(), sight.bottom() - height)))
    ground.moveLeft(max(ground.left(), sight.left()))
    painter.setPen(Qt.PenStyle.NoPen)
    painter.setBrush(QColor(0, 0, 0, 190))
    painter.drawRoundedRect(ground, 4, 4)
    painter.fillRect(QRectF(ground.left(), ground.top() + 3, 2.5, height - 6), colour)
    line_room = QRectF(ground.left() + 7, ground.top() + 3, width, metrics.lineSpacing())
    for number, line in enumerate(told):
        painter.setPen(_WARNING if number == len(lines) else _TEXT)
        painter.drawText(line_room, Qt.AlignmentFlag.AlignVCenter, line)
        line_room.translate(0, metrics.lineSpacing())
