"""What the left mouse button does: select and edit, pan, draw a box, draw a region."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from PySide6.QtCore import Qt

from vlmtool_core.records import Box
from vlmtool_desktop.canvas import shapes

if TYPE_CHECKING:
    from vlmtool_desktop.canvas.view import CanvasView

Point = tuple[float, float]
SMALLEST_BOX = 3.0


class CanvasTool(Protocol):
    """Gets the pointer in pixels of the image; `cancel` forgets what is half done."""

    cursor: Qt.CursorShape

    def press(self, canvas: CanvasView, at: Point) -> None: ...
    def move(self, canvas: CanvasView, at: Point) -> None: ...
    def release(self, canvas: CanvasView, at: Point) -> None: ...
    def finish(self, canvas: CanvasView) -> None: ...
    def cancel(self, canvas: CanvasView) -> None: ...


class PanTool:
    """The canvas pans by itself; this tool only shows the hand."""

    cursor = Qt.CursorShape.OpenHandCursor

    def press(self, canvas: CanvasView, at: Point) -> None:
        canvas.begin_pan()

    def move(self, canvas: CanvasView, at: Point) -> None: ...

    def release(self, canvas: CanvasView, at: Point) -> None: ...

    def finish(self, canvas: CanvasView) -> None: ...

    def cancel(self, canvas: CanvasView) -> None: ...


class SelectTool:
    """Choose a box, move it, or pull one of its handles."""

    cursor = Qt.CursorShape.ArrowCursor

    def __init__(self) -> None:
        self._start: Point | None = None
        self._before: Box | None = None
        self._handle: int | None = None

    def press(self, canvas: CanvasView, at: Point) -> None:
        reach = canvas.reach()
        chosen = canvas.selected_shape()
        self._handle = None
        if chosen is not None:
            self._handle = shapes.handle_at(chosen.box, *at, reach)
        if self._handle is None:
            editable = [shape for shape in canvas.shapes if shape.editable]
            chosen = shapes.shape_at(editable, *at, reach / 2)
            canvas.select(chosen.id if chosen else None)
        self._start = at if chosen else None
        self._before = chosen.box if chosen else None

    def move(self, canvas: CanvasView, at: Point) -> None:
        if self._start is None or self._before is None:
            return
        size = canvas.image_size
        if self._handle is not None:
            box = shapes.resized(self._before, self._handle, *at, size)
        else:
            dx, dy = at[0] - self._start[0], at[1] - self._start[1]
            box = shapes.moved(self._before, dx, dy, size)
        canvas.replace_selected(box)

    def release(self, canvas: CanvasView, at: Point) -> None:
        chosen = canvas.selected_shape()
        if chosen is not None and self._before is not None and chosen.box != self._before:
            canvas.shape_changed.emit(chosen.id, chosen.box)
        self._start = self._before = self._handle = None

    def finish(self, canvas: CanvasView) -> None: ...

    def cancel(self, canvas: CanvasView) -> None:
        if self._before is not None:
            canvas.replace_selected(self._before)
        else:
            canvas.select(None)
        self._start = self._before = self._handle = None


class BoxTool:
    """Draw a box from corner to corner."""

    cursor = Qt.CursorShape.CrossCursor

    def press(self, canvas: CanvasView, at: Point) -> None:
        canvas.draft = [at, at]

    def move(self, canvas: CanvasView, at: Point) -> None:
        if canvas.draft:
            canvas.draft = [canvas.draft[0], at]

    def release(self, canvas: CanvasView, at: Point) -> None:
        if not canvas.draft:
            return
        start, canvas.draft = canvas.draft[0], []
        x1, y1, x2, y2 = shapes.clamped(shapes.ordered(*start, *at), canvas.image_size)
        if x2 - x1 >= SMALLEST_BOX and y2 - y1 >= SMALLEST_BOX:
            canvas.box_drawn.emit((x1, y1, x2, y2))

    def finish(self, canvas: CanvasView) -> None: ...

    def cancel(self, canvas: CanvasView) -> None:
        canvas.draft = []


class RegionTool:
    """Draw the region that a workflow asks for: box, line or polygon; Enter closes a polygon."""

    cursor = Qt.CursorShape.CrossCursor

    def __init__(self, shape: str) -> None:
        self.shape = shape
        self._box = BoxTool()

    def press(self, canvas: CanvasView, at: Point) -> None:
        if self.shape == "box":
            self._box.press(canvas, at)
            return
        canvas.draft = [*(canvas.draft[:-1] or []), at, at]
        if self.shape == "line" and len(canvas.draft) == 3:
            self._done(canvas)

    def move(self, canvas: CanvasView, at: Point) -> None:
        if canvas.draft:
            canvas.draft = [*canvas.draft[:-1], at]

    def release(self, canvas: CanvasView, at: Point) -> None:
        if self.shape == "box" and canvas.draft:
            start, canvas.draft = canvas.draft[0], []
            x1, y1, x2, y2 = shapes.clamped(shapes.ordered(*start, *at), canvas.image_size)
            canvas.region_drawn.emit(((x1, y1), (x2, y2)))

    def finish(self, canvas: CanvasView) -> None:
        if self.shape == "polygon" and len(canvas.draft) >= 4:
            self._done(canvas)

    def _done(self, canvas: CanvasView) -> None:
        points, canvas.draft = tuple(canvas.draft[:-1]), []
        canvas.region_drawn.emit(points)

    def cancel(self, canvas: CanvasView) -> None:
        canvas.draft = []
