"""What the left mouse button and the keys do with measurements."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from PySide6.QtCore import Qt
from PySide6.QtGui import QKeyEvent

from vlmtool_core.measurement import MeasurementKind
from vlmtool_desktop.canvas import measured_shapes as shapes
from vlmtool_desktop.canvas.measured_shapes import MeasuredShape, Point
from vlmtool_desktop.canvas.measurement_layer import MeasurementLayer
from vlmtool_desktop.canvas.tools import SelectTool

if TYPE_CHECKING:
    from vlmtool_desktop.canvas.view import CanvasView

_CLICK = 4.0  # pixels of the screen that a hand may slip while it clicks
_FREEHAND_STEP = 2.0
_ARROWS = {
    Qt.Key.Key_Left: (-1, 0),
    Qt.Key.Key_Right: (1, 0),
    Qt.Key.Key_Up: (0, -1),
    Qt.Key.Key_Down: (0, 1),
}


class _Pull:
    """Moves the chosen shape, or one of its points, while the button is held."""

    def __init__(self, layer: MeasurementLayer) -> None:
        self._layer = layer
        self._before: MeasuredShape | None = None
        self._start: Point = (0.0, 0.0)
        self._handle: int | None = None
        self._moved = False

    @property
    def active(self) -> bool:
        return self._before is not None

    def take_handle(self, at: Point) -> bool:
        """Begin with a handle of the chosen shape, if one is under the pointer."""
        chosen = self._layer.chosen
        if chosen is None or not self._layer.visible:
            return False
        reach = self._layer.canvas.reach() * 1.3
        self._handle = shapes.handle_under(chosen, at, reach)
        if self._handle is None:
            return False
        self._before, self._start, self._moved = chosen, at, False
        return True

    def take_shape(self, at: Point) -> bool:
        """Choose the shape under the pointer and begin to move it."""
        found = self._layer.under(at)
        self._layer.choose(None if found is None else found.id)
        if found is None:
            return False
        self._before, self._start, self._handle, self._moved = found, at, None, False
        return True

    def move(self, canvas: CanvasView, at: Point) -> None:
        if self._before is None:
            return
        size = canvas.image_size
        if self._handle is not None:
            shape = shapes.pulled(self._before, self._handle, at, size)
        else:
            dx, dy = at[0] - self._start[0], at[1] - self._start[1]
            shape = shapes.shifted(self._before, dx, dy, size)
        self._moved = shape.points != self._before.points
        self._layer.show_moved(shape)

    def end(self, *, keep: bool) -> None:
        if self._before is not None:
            self._before = None
            self._layer.end_move(keep=keep and self._moved)


class EditTool(SelectTool):
    """Select, move and pull measurements; what is none of them is for boxes, as before."""

    def __init__(self, layer: MeasurementLayer) -> None:
        super().__init__()
        self._layer = layer
        self._pull = _Pull(layer)

    def press(self, canvas: CanvasView, at: Point) -> None:
        if self._pull.take_handle(at) or self._pull.take_shape(at):
            canvas.select(None)
        else:
            super().press(canvas, at)

    def move(self, canvas: CanvasView, at: Point) -> None:
        if self._pull.active:
            self._pull.move(canvas, at)
        else:
            super().move(canvas, at)

    def release(self, canvas: CanvasView, at: Point) -> None:
        if self._pull.active:
            self._pull.end(keep=True)
        else:
            super().release(canvas, at)

    def cancel(self, canvas: CanvasView) -> None:
        if self._pull.active:
            self._pull.end(keep=False)
        else:
            super().cancel(canvas)


class MeasureTool:
    """Draw a measurement: each click sets a point, and so does the end of a drag.

    A polyline ends with Enter or a double click, a freehand outline when the button is let go.
    The handles of the chosen measurement can be pulled with every tool.
    """

    cursor = Qt.CursorShape.CrossCursor

    def __init__(self, kind: MeasurementKind, layer: MeasurementLayer) -> None:
        self.kind = kind
        self._layer = layer
        self._pull = _Pull(layer)
        self._points: list[Point] = []
        self._pressed = False

    def press(self, canvas: CanvasView, at: Point) -> None:
        if not self._points and self._pull.take_handle(at):
            return
        at = shapes.inside(at, canvas.image_size)
        self._pressed = True
        self._points.append(at)
        self._show(at)

    def move(self, canvas: CanvasView, at: Point) -> None:
        if self._pull.active:
            self._pull.move(canvas, at)
        elif self._points:
            at = shapes.inside(at, canvas.image_size)
            if self.kind is MeasurementKind.FREEHAND and self._pressed:
                self._follow(canvas, at)
            self._show(at)

    def _follow(self, canvas: CanvasView, at: Point) -> None:
        """Add a point of a freehand line; one with very many points keeps every second."""
        if math.dist(self._points[-1], at) * canvas.transform.scale >= _FREEHAND_STEP:
            self._points.append(at)
        if len(self._points) >= self.kind.points_needed[1]:
            self._points = self._points[::2]

    def release(self, canvas: CanvasView, at: Point) -> None:
        if self._pull.active:
            self._pull.end(keep=True)
            return
        if not self._points or not self._pressed:
            return
        self._pressed = False
        at = shapes.inside(at, canvas.image_size)
        if self.kind is MeasurementKind.FREEHAND:
            self._end_freehand()
            return
        if math.dist(self._points[-1], at) * canvas.transform.scale > _CLICK:
            self._points.append(at)
        least, most = self.kind.points_needed
        if least == most and len(self._points) >= most:
            self._done()
        else:
            self._show(at)

    def _end_freehand(self) -> None:
        if len(self._points) < self.kind.points_needed[0]:
            self.cancel(self._layer.canvas)
        else:
            self._done()

    def finish(self, canvas: CanvasView) -> None:
        """Enter or a double click: the polyline is complete."""
        if self.kind is MeasurementKind.POLYLINE and len(self._points) >= 2:
            self._done()

    def _show(self, at: Point) -> None:
        """The points so far and the one under the pointer."""
        following = () if self.kind is MeasurementKind.FREEHAND else (at,)
        most = self.kind.points_needed[1]
        self._layer.set_draft(self.kind, tuple((*self._points, *following))[:most])

    def _done(self) -> None:
        points, self._points = tuple(self._points[: self.kind.points_needed[1]]), []
        self._layer.finish_draft(self.kind, points)

    def cancel(self, canvas: CanvasView) -> None:
        self._points, self._pressed = [], False
        self._pull.end(keep=False)
        self._layer.end_draft()

    def put_in_the_middle(self, canvas: CanvasView) -> None:
        """A shape for those who draw by keys: arrows move it, N chooses a point."""
        self._layer.finish_draft(self.kind, shapes.middle_shape(self.kind, canvas.image_size))


class ProbeTool:
    """Shows the values of the pixel beside the pointer; the controller knows them."""

    cursor = Qt.CursorShape.CrossCursor

    def __init__(self, layer: MeasurementLayer) -> None:
        self._layer = layer

    def press(self, canvas: CanvasView, at: Point) -> None: ...

    def move(self, canvas: CanvasView, at: Point) -> None: ...

    def release(self, canvas: CanvasView, at: Point) -> None: ...

    def finish(self, canvas: CanvasView) -> None: ...

    def cancel(self, canvas: CanvasView) -> None:
        self._layer.beside_pointer = None
        canvas.update()


def handle_key(layer: MeasurementLayer, event: QKeyEvent) -> bool:
    """Keys of the picture that belong to measurements; False leaves them to the canvas."""
    canvas, key = layer.canvas, Qt.Key(event.key())
    tool = canvas.tool
    if key in (Qt.Key.Key_Return, Qt.Key.Key_Enter) and isinstance(tool, MeasureTool):
        if layer.draft is not None:
            tool.finish(canvas)
        else:
            tool.put_in_the_middle(canvas)
        return True
    if key == Qt.Key.Key_Escape:
        return _escape(layer)
    if layer.chosen is None or not layer.visible:
        return False
    if key == Qt.Key.Key_N:
        shift = event.modifiers() & Qt.KeyboardModifier.ShiftModifier
        layer.choose_handle(-1 if shift else 1)
        return True
    if key in _ARROWS:
        far = 10 if event.modifiers() & Qt.KeyboardModifier.ControlModifier else 1
        _nudge(layer, _ARROWS[key][0] * far, _ARROWS[key][1] * far)
        return True
    return False


def _escape(layer: MeasurementLayer) -> bool:
    """What is half done first, then the chosen point, then the choice."""
    if layer.draft is not None:
        layer.canvas.tool.cancel(layer.canvas)
    elif layer.handle is not None:
        layer.drop_handle()
    elif layer.chosen is not None:
        layer.choose(None)
    else:
        return False
    return True


def _nudge(layer: MeasurementLayer, dx: float, dy: float) -> None:
    shape, size = layer.chosen, layer.canvas.image_size
    if shape is None:
        return
    if layer.handle is None:
        moved = shapes.shifted(shape, dx, dy, size)
    else:
        x, y = shapes.handles_of(shape.kind, shape.points)[layer.handle]
        moved = shapes.pulled(shape, layer.handle, (x + dx, y + dy), size)
    layer.show_moved(moved)
    layer.end_move(keep=moved.points != shape.points)
