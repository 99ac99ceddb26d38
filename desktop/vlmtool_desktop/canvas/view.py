"""The canvas: one picture with zoom and pan, boxes over it, and tools for the mouse."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from PySide6.QtCore import QEvent, QPointF, QRectF, QSize, Qt, Signal
from PySide6.QtGui import (
    QCursor,
    QFocusEvent,
    QKeyEvent,
    QMouseEvent,
    QPainter,
    QPaintEvent,
    QResizeEvent,
    QWheelEvent,
)
from PySide6.QtWidgets import QSizePolicy, QWidget

from vlmtool_core.records import Box
from vlmtool_desktop.canvas import overlay
from vlmtool_desktop.canvas.layers import CanvasLayer
from vlmtool_desktop.canvas.picture import Picture
from vlmtool_desktop.canvas.shapes import HANDLE_RADIUS, Outline, Shape, moved, resized
from vlmtool_desktop.canvas.tools import CanvasTool, SelectTool
from vlmtool_desktop.canvas.transform import ViewTransform
from vlmtool_desktop.theme import theme

_ZOOM_STEP = 1.25
_NUDGES = {
    Qt.Key.Key_Left: (-1, 0),
    Qt.Key.Key_Right: (1, 0),
    Qt.Key.Key_Up: (0, -1),
    Qt.Key.Key_Down: (0, 1),
}


class CanvasView(QWidget):
    """Shows a `Picture`. All signals carry pixels of the oriented source image."""

    box_drawn = Signal(object)
    region_drawn = Signal(object)
    shape_changed = Signal(int, object)
    selection_changed = Signal()
    window_dragged = Signal(float, float)
    pointer_moved = Signal(object)
    zoom_changed = Signal(float)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setMouseTracking(True)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setMinimumSize(QSize(240, 180))
        self.setAccessibleName(self.tr("Picture"))
        self.setAccessibleDescription(
            self.tr("The current picture. R draws a box, arrow keys move the selected box.")
        )
        self.shapes: list[Shape] = []
        self.outlines: list[Outline] = []
        self.caption = ""
        self.layers: list[CanvasLayer] = []
        # Drawn right over the picture, under boxes and all other layers.
        self.underlays: list[CanvasLayer] = []
        # Asked in turn before the canvas itself; one that returns True has taken the key.
        self.key_handlers: list[Callable[[QKeyEvent], bool]] = []
        self.window_drag_enabled = False
        self._note = ("", "")
        self._picture: Picture | None = None
        self._transform = ViewTransform()
        self._fitted = True
        self._waiting = False
        self._selected: int | None = None
        self._tool: CanvasTool = SelectTool()
        self._draft: list[tuple[float, float]] = []
        self._pan_from: QPointF | None = None
        self._window_from: QPointF | None = None
        self._space = False
        theme().changed.connect(self.update)

    # What is shown ---------------------------------------------------------------------------

    @property
    def image_size(self) -> tuple[int, int]:
        """(width, height) of the oriented source image."""
        return self._picture.size if self._picture else (1, 1)

    @property
    def has_picture(self) -> bool:
        """Whether the picture in view is the current one."""
        return self._picture is not None and not self._waiting

    @property
    def picture(self) -> Picture | None:
        """What is on the screen, also while another picture is on its way."""
        return self._picture

    @property
    def transform(self) -> ViewTransform:
        return self._transform

    def set_picture(self, picture: Picture, *, keep_view: bool) -> None:
        """Show a picture; zoom and position stay when `keep_view` and the size is the same."""
        before = self._picture
        same = before is not None and before.same_shape(picture)
        self._picture = picture
        self._waiting = False
        self._note = ("", "")
        if not (keep_view and same) or self._fitted:
            self.fit()
        self.update()

    @property
    def note(self) -> tuple[str, str]:
        """Heading and text shown in place of a picture."""
        return self._note

    def set_waiting(self) -> None:
        """Another picture is on its way: this one stays in sight, but cannot be worked on."""
        self._waiting = True
        self._tool.cancel(self)
        self._selected = None
        self.set_shapes([], [], "")

    def set_note(self, title: str, text: str = "") -> None:
        """Show a message in place of a picture."""
        self._picture = None
        self._note = (title, text)
        self.set_shapes([], [], "")
        self.zoom_changed.emit(self._transform.scale)

    def set_shapes(
        self, shapes: Sequence[Shape], outlines: Sequence[Outline], caption: str
    ) -> None:
        self.shapes, self.outlines, self.caption = list(shapes), list(outlines), caption
        self.update()

    def selected_shape(self) -> Shape | None:
        for shape in self.shapes:
            if shape.editable and shape.id == self._selected:
                return shape
        return None

    def select(self, annotation_id: int | None) -> None:
        """Choose a box by its annotation, or none."""
        if annotation_id != self._selected:
            self._selected = annotation_id
            self.selection_changed.emit()
            self.update()

    def select_later(self, annotation_id: int) -> None:
        """Choose a box that is on its way here."""
        self._selected = annotation_id

    def replace_selected(self, box: Box) -> None:
        """Show the selected box elsewhere; nothing is stored by this."""
        self.shapes = [
            replace(s, box=box) if s.editable and s.id == self._selected else s for s in self.shapes
        ]
        self.update()

    @property
    def draft(self) -> list[tuple[float, float]]:
        """The points of the shape being drawn."""
        return self._draft

    @draft.setter
    def draft(self, points: list[tuple[float, float]]) -> None:
        self._draft = points
        self.update()

    # Zoom and pan ----------------------------------------------------------------------------

    def fit(self) -> None:
        """The whole picture."""
        self._fitted = True
        aspect = 1.0 if self._picture is None else self._picture.aspect
        self._set_transform(
            ViewTransform.fitting(self._view_size(), self.image_size, aspect=aspect)
        )

    def actual_size(self) -> None:
        """One image pixel on one pixel of the screen, around the middle of the view."""
        self.zoom(1.0 / (self._transform.scale * self.devicePixelRatioF()))

    def zoom(self, factor: float, at: QPointF | None = None) -> None:
        """Scale around a point of the view, by default its middle."""
        at = at or QRectF(self.rect()).center()
        self._fitted = False
        self._set_transform(self._transform.zoomed(factor, at.x(), at.y()))

    def begin_pan(self) -> None:
        self._pan_from = QPointF(self.mapFromGlobal(QCursor.pos()))
        self.setCursor(Qt.CursorShape.ClosedHandCursor)

    def _set_transform(self, transform: ViewTransform) -> None:
        self._transform = transform.kept_in_sight(self._view_size(), self.image_size)
        self.zoom_changed.emit(self._transform.scale * self.devicePixelRatioF())
        self.update()

    def _view_size(self) -> tuple[float, float]:
        return float(self.width()), float(self.height())

    def reach(self) -> float:
        """How near to a handle counts as on it, in image pixels."""
        return HANDLE_RADIUS / self._transform.scale

    # Tools -----------------------------------------------------------------------------------

    @property
    def tool(self) -> CanvasTool:
        """What the left mouse button does now."""
        return self._tool

    def set_tool(self, tool: CanvasTool) -> None:
        self._tool.cancel(self)
        self._tool = tool
        self._update_cursor()

    def _update_cursor(self) -> None:
        self.setCursor(Qt.CursorShape.OpenHandCursor if self._space else self._tool.cursor)

    def _at(self, event: QMouseEvent) -> tuple[float, float]:
        return self._transform.to_image(event.position().x(), event.position().y())

    def mousePressEvent(self, event: QMouseEvent) -> None:
        self.setFocus(Qt.FocusReason.MouseFocusReason)
        button = event.button()
        left = button == Qt.MouseButton.LeftButton
        if not self.has_picture:
            return
        if button == Qt.MouseButton.MiddleButton or (left and self._space):
            self._pan_from = event.position()
            self.setCursor(Qt.CursorShape.ClosedHandCursor)
        elif button == Qt.MouseButton.RightButton and self.window_drag_enabled:
            self._window_from = event.position()
        elif left:
            self._tool.press(self, self._at(event))
            if self._pan_from is not None:
                self._pan_from = event.position()

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        if not self.has_picture:
            return
        here = event.position()
        if self._pan_from is not None:
            step, self._pan_from, self._fitted = here - self._pan_from, here, False
            self._set_transform(self._transform.panned(step.x(), step.y()))
        elif self._window_from is not None:
            step, self._window_from = here - self._window_from, here
            self.window_dragged.emit(step.x(), step.y())
        else:
            self._tool.move(self, self._at(event))
        self.pointer_moved.emit(self._at(event))

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        if self._pan_from is not None or self._window_from is not None:
            self._pan_from = self._window_from = None
            self._update_cursor()
        elif event.button() == Qt.MouseButton.LeftButton and self.has_picture:
            self._tool.release(self, self._at(event))

    def mouseDoubleClickEvent(self, event: QMouseEvent) -> None:
        self._tool.finish(self)

    def leaveEvent(self, event: QEvent) -> None:
        self.pointer_moved.emit(None)

    def wheelEvent(self, event: QWheelEvent) -> None:
        steps = event.angleDelta()
        if event.modifiers() & Qt.KeyboardModifier.ShiftModifier:
            self._fitted = False
            self._set_transform(self._transform.panned((steps.y() or steps.x()) / 2, 0))
        else:
            self.zoom(_ZOOM_STEP ** (steps.y() / 120), event.position())
        event.accept()

    # Keys ------------------------------------------------------------------------------------

    def keyPressEvent(self, event: QKeyEvent) -> None:
        key = Qt.Key(event.key())
        if self.has_picture and any(handler(event) for handler in self.key_handlers):
            return
        if key == Qt.Key.Key_Space and not event.isAutoRepeat():
            self._space = True
            self._update_cursor()
        elif key == Qt.Key.Key_Escape:
            self._tool.cancel(self)
        elif key in (Qt.Key.Key_Return, Qt.Key.Key_Enter) and self._draft:
            self._tool.finish(self)
        elif key in _NUDGES and self.selected_shape() is not None:
            self._nudge(_NUDGES[key], event.modifiers())
        else:
            super().keyPressEvent(event)

    def keyReleaseEvent(self, event: QKeyEvent) -> None:
        if event.key() == Qt.Key.Key_Space and not event.isAutoRepeat():
            self._space = False
            self._update_cursor()
        else:
            super().keyReleaseEvent(event)

    def focusOutEvent(self, event: QFocusEvent) -> None:
        self._space = False
        self._update_cursor()
        self.update()
        super().focusOutEvent(event)

    def _nudge(self, step: tuple[int, int], modifiers: Qt.KeyboardModifier) -> None:
        """Arrow keys move the selected box by a pixel, with Shift its lower right corner."""
        shape = self.selected_shape()
        if shape is None:
            return
        far = 10 if modifiers & Qt.KeyboardModifier.ControlModifier else 1
        dx, dy = step[0] * far, step[1] * far
        box = shape.box
        if modifiers & Qt.KeyboardModifier.ShiftModifier:
            box = resized(box, 4, box.x2 + dx, box.y2 + dy, self.image_size)
        else:
            box = moved(box, dx, dy, self.image_size)
        self.replace_selected(box)
        self.shape_changed.emit(shape.id, box)

    # Drawing ---------------------------------------------------------------------------------

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        if self._fitted:
            self.fit()

    def paintEvent(self, event: QPaintEvent) -> None:
        colours = theme()
        style = overlay.OverlayStyle(
            colours.colour("canvas"), colours.colour("canvas-text"), colours.colour("accent")
        )
        painter = QPainter(self)
        painter.fillRect(self.rect(), style.canvas)
        if self._picture is None:
            overlay.draw_note(painter, *self._note, style)
        else:
            self._paint_picture(painter, self._picture)
            painter.setRenderHint(QPainter.RenderHint.Antialiasing)
            overlay.draw_outlines(painter, self._transform, self.outlines)
            overlay.draw_shapes(painter, self._transform, self.shapes, self._selected)
            for layer in self.layers:
                layer.draw(painter, self._transform)
            self._paint_draft(painter)
            if self.caption:
                overlay.draw_caption(painter, self.caption)
        if self.hasFocus():
            painter.setPen(style.accent)
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.drawRect(self.rect().adjusted(0, 0, -1, -1))
        painter.end()

    def _paint_picture(self, painter: QPainter, picture: Picture) -> None:
        transform = self._transform
        scale = transform.scale * self.devicePixelRatioF()
        level = picture.level_for(scale)
        # Large pixels are wanted as such: they show what the sensor or the scanner gave.
        smooth = scale < 3.0
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform, smooth)
        width, height = picture.size
        target = QRectF(transform.x, transform.y, width * transform.scale, height * transform.down)
        painter.drawImage(target, level, QRectF(level.rect()))
        for layer in self.underlays:
            layer.draw(painter, transform)

    def _paint_draft(self, painter: QPainter) -> None:
        if self._draft:
            points = [self._transform.to_view(x, y) for x, y in self._draft]
            is_box = getattr(self._tool, "shape", "box") == "box"
            overlay.draw_draft(painter, points, box=is_box, colour=theme().colour("canvas-text"))
