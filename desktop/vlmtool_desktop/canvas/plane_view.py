"""One plane through a volume: picture, letters, and the lines of the other planes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from PySide6.QtCore import QPointF, QRectF, QSize, Qt, Signal
from PySide6.QtGui import (
    QColor,
    QFocusEvent,
    QKeyEvent,
    QMouseEvent,
    QPainter,
    QPaintEvent,
    QPen,
    QResizeEvent,
    QWheelEvent,
)
from PySide6.QtWidgets import QSizePolicy, QWidget

from vlmtool_desktop.canvas.letters import draw_letters, seen
from vlmtool_desktop.canvas.picture import Picture
from vlmtool_desktop.canvas.transform import ViewTransform
from vlmtool_desktop.theme import text_on, theme

if TYPE_CHECKING:
    from vlmtool_core.media.volumes.letters import EdgeLetters

_GAP = 14.0  # around the point, so that what is looked at stays free
_ZOOM_STEP = 1.25
_STEPS = {
    Qt.Key.Key_Up: 1,
    Qt.Key.Key_Right: 1,
    Qt.Key.Key_Down: -1,
    Qt.Key.Key_Left: -1,
}


@dataclass(frozen=True, slots=True)
class PlaneLine:
    """Where another plane cuts this one, in pixels of the picture; the colour of that plane."""

    start: tuple[float, float]
    end: tuple[float, float]
    colour: str


class PlaneView(QWidget):
    """Shows a plane; signals carry pixels of its picture, and steps from plane to plane."""

    point_chosen = Signal(float, float)
    stepped = Signal(int)
    window_dragged = Signal(float, float)

    def __init__(self, name: str, colour: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setMinimumSize(QSize(120, 90))
        self.setAccessibleName(name)
        self.setAccessibleDescription(
            self.tr("A plane through the volume. Arrow keys and the wheel go to the next plane.")
        )
        self._name = name
        self._colour = colour
        self._title = name
        self._picture: Picture | None = None
        self._letters: EdgeLetters | None = None
        self._lines: tuple[PlaneLine, ...] = ()
        self._point = (0.0, 0.0)
        self._transform = ViewTransform()
        self._fitted = True
        self._choosing = False
        self._turned = 0
        self._drag_from: QPointF | None = None
        self._pan_from: QPointF | None = None
        theme().changed.connect(self.update)

    # What is shown ---------------------------------------------------------------------------

    @property
    def picture(self) -> Picture | None:
        return self._picture

    @property
    def title(self) -> str:
        """What is written in the corner: name and number of the plane."""
        return self._title

    @property
    def letters(self) -> EdgeLetters | None:
        return self._letters

    @property
    def lines(self) -> tuple[PlaneLine, ...]:
        return self._lines

    @property
    def point(self) -> tuple[float, float]:
        """Where the point lies that all planes go through."""
        return self._point

    @property
    def transform(self) -> ViewTransform:
        return self._transform

    def show_plane(self, picture: Picture, letters: EdgeLetters | None, number: str) -> None:
        """Show another plane; zoom and place stay when it has the same size."""
        same = self._picture is not None and self._picture.size == picture.size
        self._picture, self._letters = picture, letters
        self._title = f"{self._name}  {number}"
        if self._fitted or not same:
            self.fit()
        self.update()

    def show_lines(self, point: tuple[float, float], lines: Sequence[PlaneLine]) -> None:
        """Draw where the other planes are, and their common point."""
        self._point, self._lines = point, tuple(lines)
        self.update()

    def clear(self) -> None:
        self._picture, self._letters, self._lines, self._title = None, None, (), self._name
        self._fitted = True
        self.update()

    def fit(self) -> None:
        """The whole picture."""
        self._fitted = True
        size = self._picture.size if self._picture else (1, 1)
        self._transform = ViewTransform.fitting((self.width(), self.height()), size, margin=4.0)

    # Mouse and keys --------------------------------------------------------------------------

    def mousePressEvent(self, event: QMouseEvent) -> None:
        self.setFocus(Qt.FocusReason.MouseFocusReason)
        if self._picture is None:
            return
        if event.button() == Qt.MouseButton.LeftButton:
            self._choosing = True
            self._choose(event.position())
        elif event.button() == Qt.MouseButton.RightButton:
            self._drag_from = event.position()
        elif event.button() == Qt.MouseButton.MiddleButton:
            self._pan_from = event.position()

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        here = event.position()
        if self._choosing:
            self._choose(here)
        elif self._drag_from is not None:
            step, self._drag_from = here - self._drag_from, here
            self.window_dragged.emit(step.x(), step.y())
        elif self._pan_from is not None and self._picture is not None:
            step, self._pan_from = here - self._pan_from, here
            self._move(self._transform.panned(step.x(), step.y()))

    def mouseReleaseEvent(self, _event: QMouseEvent) -> None:
        self._choosing = False
        self._drag_from = self._pan_from = None

    def mouseDoubleClickEvent(self, _event: QMouseEvent) -> None:
        self.fit()
        self.update()

    def wheelEvent(self, event: QWheelEvent) -> None:
        turn = event.angleDelta().y()
        if event.modifiers() & Qt.KeyboardModifier.ControlModifier:
            at = event.position()
            self._move(self._transform.zoomed(_ZOOM_STEP ** (turn / 120), at.x(), at.y()))
        else:
            # Fine wheels and touch pads turn by parts of a step.
            self._turned += turn
            steps = int(self._turned / 120)
            self._turned -= 120 * steps
            if steps:
                self.stepped.emit(steps)
        event.accept()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        step = _STEPS.get(Qt.Key(event.key()))
        if step is None or self._picture is None:
            super().keyPressEvent(event)
            return
        shift = bool(event.modifiers() & Qt.KeyboardModifier.ShiftModifier)
        self.stepped.emit(step * (10 if shift else 1))

    def _choose(self, at: QPointF) -> None:
        if self._picture is None:
            return
        width, height = self._picture.size
        x, y = self._transform.to_image(at.x(), at.y())
        self.point_chosen.emit(min(max(x, 0.0), width - 0.01), min(max(y, 0.0), height - 0.01))

    def _move(self, transform: ViewTransform) -> None:
        if self._picture is not None:
            self._fitted = False
            room = (float(self.width()), float(self.height()))
            self._transform = transform.kept_in_sight(room, self._picture.size)
            self.update()

    # Drawing ---------------------------------------------------------------------------------

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        if self._fitted:
            self.fit()

    def focusInEvent(self, event: QFocusEvent) -> None:
        self.update()
        super().focusInEvent(event)

    def focusOutEvent(self, event: QFocusEvent) -> None:
        self.update()
        super().focusOutEvent(event)

    def paintEvent(self, _event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.fillRect(self.rect(), theme().colour("canvas"))
        if self._picture is not None:
            self._paint_picture(painter, self._picture)
            painter.setRenderHint(QPainter.RenderHint.Antialiasing)
            for line in self._lines:
                self._paint_line(painter, line)
            if self._letters is not None:
                draw_letters(
                    painter, self._letters, seen(painter, self._transform, self._picture.size)
                )
        self._paint_title(painter)
        border = theme().colour("accent") if self.hasFocus() else QColor(self._colour)
        painter.setPen(QPen(border, 2.0 if self.hasFocus() else 1.0))
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.drawRect(self.rect().adjusted(0, 0, -1, -1))
        painter.end()

    def _paint_picture(self, painter: QPainter, picture: Picture) -> None:
        transform = self._transform
        level = picture.level_for(transform.scale * self.devicePixelRatioF())
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
        width, height = picture.size
        target = QRectF(transform.x, transform.y, width * transform.scale, height * transform.scale)
        painter.drawImage(target, level, QRectF(level.rect()))

    def _paint_line(self, painter: QPainter, line: PlaneLine) -> None:
        start, end = (QPointF(*self._transform.to_view(*p)) for p in (line.start, line.end))
        middle = QPointF(*self._transform.to_view(*self._point))
        painter.setPen(QPen(QColor(line.colour), 1.2))
        for begin in (start, end):
            away = begin - middle
            length = (away.x() ** 2 + away.y() ** 2) ** 0.5
            if length > _GAP:
                painter.drawLine(begin, middle + away * (_GAP / length))

    def _paint_title(self, painter: QPainter) -> None:
        metrics = painter.fontMetrics()
        chip = QRectF(0, 0, metrics.horizontalAdvance(self._title) + 14, metrics.height() + 6)
        painter.fillRect(chip, QColor(self._colour))
        painter.setPen(QColor(text_on(self._colour)))
        painter.drawText(chip, Qt.AlignmentFlag.AlignCenter, self._title)
