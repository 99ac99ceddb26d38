"""The time line under a video: a strip of pictures, what is marked, and where the picture is."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QEvent, QPointF, QRectF, QSize, Qt, Signal
from PySide6.QtGui import (
    QHelpEvent,
    QKeyEvent,
    QMouseEvent,
    QPainter,
    QPaintEvent,
    QPen,
    QPixmap,
    QResizeEvent,
)
from PySide6.QtWidgets import QSizePolicy, QToolTip, QWidget

from vlmtool_desktop.models.course import Course, Mark, clock
from vlmtool_desktop.theme import theme

STRIP_HEIGHT = 46
TRACK_HEIGHT = 12
_SLOT_WIDTH = 76
_GAP = 3
# The shortest mark is still seen.
_NARROWEST = 3.0
_COLOURS = {"gap": "warning", "finding": "accent"}


class TimeLine(QWidget):
    """A click or a drag goes to that time; so do the arrow keys of the viewer."""

    seek_requested = Signal(int)
    slots_changed = Signal()
    play_requested = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._course: Course | None = None
        self._frame = 0
        self._findings: tuple[Mark, ...] = ()
        self._loop: tuple[float, float | None] | None = None
        self._pictures: list[QPixmap | None] = []
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setAccessibleName(self.tr("Time line"))
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        theme().changed.connect(self.update)

    def sizeHint(self) -> QSize:
        return QSize(8 * _SLOT_WIDTH, STRIP_HEIGHT + TRACK_HEIGHT + 6)

    @property
    def slots(self) -> int:
        """How many pictures fit beside each other."""
        return max(1, self.width() // _SLOT_WIDTH)

    @property
    def marks(self) -> tuple[Mark, ...]:
        """Everything that is drawn on the track."""
        damage = self._course.marks if self._course is not None else ()
        return (*damage, *self._findings)

    # What it shows ---------------------------------------------------------------------------

    def set_course(self, course: Course | None) -> None:
        self._course = course
        self._pictures = []
        self._loop = None
        self._tell()
        self.update()

    def set_marks(self, damage: tuple[Mark, ...]) -> None:
        """Damage that was found since."""
        if self._course is not None:
            self._course = Course(self._course.times, damage, self._course.facts)
            self._tell()
            self.update()

    def set_findings(self, findings: Sequence[Mark]) -> None:
        self._findings = tuple(findings)
        self.update()

    def set_pictures(self, pictures: Sequence[QPixmap | None]) -> None:
        self._pictures = list(pictures)
        self.update()

    def set_frame(self, frame: int) -> None:
        self._frame = frame
        self._tell()
        self.update()

    def set_loop(self, loop: tuple[float, float | None] | None) -> None:
        """(start, end) in seconds of file time; no end while it is being chosen."""
        self._loop = loop
        self.update()

    def _tell(self) -> None:
        """What a screen reader says."""
        course = self._course
        if course is None:
            self.setAccessibleDescription("")
            return
        text = self.tr("{at} of {end}").format(
            at=clock(course.times[min(self._frame, len(course.times) - 1)]),
            end=clock(course.times[-1]),
        )
        if course.marks:
            text += ", " + self.tr("{count} marked places").format(count=len(course.marks))
        self.setAccessibleDescription(text)

    # Drawing ---------------------------------------------------------------------------------

    def _x(self, time_s: float) -> float:
        course = self._course
        assert course is not None
        length = max(course.end_s - course.start_s, 1e-9)
        share = (time_s - course.start_s) / length
        return min(1.0, max(0.0, share)) * self.width()

    def _time(self, x: float) -> float:
        course = self._course
        assert course is not None
        share = min(1.0, max(0.0, x / max(1, self.width())))
        return course.start_s + share * (course.end_s - course.start_s)

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
        painter.fillRect(self.rect(), theme().colour("window"))
        if self._course is None:
            return
        self._paint_pictures(painter)
        self._paint_track(painter)
        self._paint_position(painter)
        if self.hasFocus():
            painter.setPen(QPen(theme().colour("accent"), 1))
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.drawRect(self.rect().adjusted(0, 0, -1, -1))

    def _paint_pictures(self, painter: QPainter) -> None:
        slots = len(self._pictures) or self.slots
        step = self.width() / slots
        for slot in range(slots):
            place = QRectF(slot * step + 1, 2, step - _GAP, STRIP_HEIGHT)
            painter.fillRect(place, theme().colour("pressed"))
            pixmap = self._pictures[slot] if slot < len(self._pictures) else None
            if pixmap is not None and not pixmap.isNull():
                painter.drawPixmap(place, pixmap, _filling(pixmap, place))

    def _paint_track(self, painter: QPainter) -> None:
        top = STRIP_HEIGHT + 4.0
        track = QRectF(0, top, self.width(), TRACK_HEIGHT - 2)
        painter.fillRect(track, theme().colour("hover"))
        if self._loop is not None:
            start, end = self._loop
            right = self._x(end) if end is not None else self._x(start) + 2
            left = self._x(start)
            painter.fillRect(
                QRectF(left, top, right - left, track.height()), theme().colour("accent-soft")
            )
            painter.setPen(QPen(theme().colour("accent"), 2))
            for x in (left, right):
                painter.drawLine(QPointF(x, top), QPointF(x, track.bottom()))
        for mark in self.marks:
            finding = mark.kind == "finding"
            place = self._place(mark, top + (5 if finding else 0), 4 if finding else 5)
            painter.fillRect(place, theme().colour(_COLOURS.get(mark.kind, "danger")))

    def _place(self, mark: Mark, top: float, height: float) -> QRectF:
        left, right = self._x(mark.start_s), self._x(mark.end_s)
        width = max(_NARROWEST, right - left)
        return QRectF(min(left, self.width() - width), top, width, height)

    def _paint_position(self, painter: QPainter) -> None:
        course = self._course
        assert course is not None
        x = self._x(course.times[min(self._frame, len(course.times) - 1)])
        for width, token in ((4, "window"), (2, "accent")):
            painter.setPen(QPen(theme().colour(token), width))
            painter.drawLine(QPointF(x, 0), QPointF(x, self.height()))

    # Mouse and keys --------------------------------------------------------------------------

    def _seek(self, event: QMouseEvent) -> None:
        if self._course is not None and event.buttons() & Qt.MouseButton.LeftButton:
            self.seek_requested.emit(self._course.frame_at(self._time(event.position().x())))

    def mousePressEvent(self, event: QMouseEvent) -> None:
        self._seek(event)

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        self._seek(event)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() == Qt.Key.Key_Space and not event.isAutoRepeat():
            self.play_requested.emit()
        else:  # the viewer goes through the frames
            super().keyPressEvent(event)

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self.slots_changed.emit()

    def event(self, event: QEvent) -> bool:
        if isinstance(event, QHelpEvent) and self._course is not None:
            QToolTip.showText(event.globalPos(), self.text_at(event.pos().x()), self)
            return True
        return super().event(event)

    def text_at(self, x: float) -> str:
        """The time there, and what is marked there."""
        time_s = self._time(x)
        near = self._time(x + _NARROWEST) - time_s
        found = [
            mark.text
            for mark in self.marks
            if mark.text and mark.start_s - near <= time_s <= mark.end_s + near
        ]
        return "\n".join([clock(time_s), *dict.fromkeys(found)])


def _filling(pixmap: QPixmap, place: QRectF) -> QRectF:
    """The middle of a picture that fills the place without being stretched."""
    size = QSize(pixmap.width(), pixmap.height())
    scale = min(size.width() / place.width(), size.height() / place.height())
    width, height = place.width() * scale, place.height() * scale
    return QRectF((size.width() - width) / 2, (size.height() - height) / 2, width, height)
