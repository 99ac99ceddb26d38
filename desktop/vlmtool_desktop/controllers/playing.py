"""Plays what has frames in time, at its own speed: frames are left out rather than shown late."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QElapsedTimer, QEvent, QObject, QTimer
from PySide6.QtGui import QKeyEvent, QPixmap, Qt
from PySide6.QtWidgets import QVBoxLayout

from vlmtool_core.jobs import CancelToken
from vlmtool_core.records import ErrorInfo, MediaKind
from vlmtool_desktop.controllers.wall_clock import WallClockController
from vlmtool_desktop.models.course import Course, Mark, check_video, course_of
from vlmtool_desktop.panels.play_bar import SPEEDS, PlayBar

if TYPE_CHECKING:
    from vlmtool_core.media.strips import StripPicture
    from vlmtool_core.project import Project
    from vlmtool_core.records import ItemRef
    from vlmtool_desktop.main_window import MainWindow
    from vlmtool_desktop.models.frame_reader import Loaded

# How long to wait for the strip after the window has changed its width.
_SETTLED_MS = 400
_SOONEST_MS = 1
# How often to look whether a frame that is waited for failed.
_POLL_MS = 40


class PlayController(QObject):
    """Follows the viewer; owns the bar under the picture."""

    def __init__(self, window: MainWindow) -> None:
        super().__init__(window)
        self._main = window
        self._bridge = window.bridge
        self._session = window.session
        self.bar = PlayBar()
        self.wall = WallClockController(window, self.bar)
        self.course: Course | None = None
        self.playing = False
        self.speed = 1.0
        self.loop: tuple[float, float | None] | None = None
        self._ref: ItemRef | None = None
        self._cancel = CancelToken()
        self._began = QElapsedTimer()
        self._from_s = 0.0
        self._awaited: int | None = None
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setTimerType(Qt.TimerType.PreciseTimer)
        self._timer.timeout.connect(self._tick)
        self._settled = QTimer(self)
        self._settled.setSingleShot(True)
        self._settled.setInterval(_SETTLED_MS)
        self._settled.timeout.connect(self._ask_strip)
        self._space = _SpaceFilter(self)
        self._connect()

    def _connect(self) -> None:
        layout = self._main.viewer.layout()
        assert isinstance(layout, QVBoxLayout)
        layout.addWidget(self.bar)
        self.bar.hide()
        self._main.viewer.canvas.installEventFilter(self._space)
        self._session.item_changed.connect(self._item_changed)
        self._session.frame_changed.connect(self._frame_changed)
        self._session.content_changed.connect(self._ask_findings)
        self._main.viewing.frame_shown.connect(self._frame_shown)
        bar = self.bar
        bar.line.seek_requested.connect(self._session.set_frame)
        bar.line.slots_changed.connect(self._settled.start)
        bar.line.play_requested.connect(self.toggle)
        bar.play.clicked.connect(lambda: self.toggle())
        bar.loop.clicked.connect(lambda: self.mark_loop())
        bar.speed_chosen.connect(self.set_speed)
        bar.check.clicked.connect(lambda: self.check_damage())

    # Which item ------------------------------------------------------------------------------

    def _item_changed(self) -> None:
        self.pause()
        self._cancel.cancel()
        self._cancel = CancelToken()
        self._ref, self.course, self.loop = None, None, None
        for lane in ("course", "finding-marks"):
            self._bridge.drop(lane)
        self.bar.line.set_course(None)
        self.bar.line.set_findings(())
        self.bar.said.setText("")
        self.bar.loop.setChecked(False)
        self.bar.hide()

    def close(self) -> None:
        """Nothing runs after this."""
        self.pause()
        self._cancel.cancel()

    def _frame_shown(self, loaded: Loaded) -> None:
        if loaded.ref != self._ref:
            self._ref = loaded.ref
            if loaded.frame_count > 1:
                self._open(loaded)
        self.bar.line.set_frame(loaded.index)
        self.wall.show(loaded)
        if self.playing and loaded.index == self._awaited:
            self._awaited = None
            self._wait_for_next()

    def _open(self, loaded: Loaded) -> None:
        ref, reader = loaded.ref, self._main.viewing.reader
        self.bar.check.setVisible(ref.kind is MediaKind.VIDEO)
        self.bar.check.setEnabled(True)
        self._bridge.view(lambda: course_of(reader.opened(ref)), self._take_course, lane="course")

    def _take_course(self, course: Course) -> None:
        self.course = course
        self.bar.line.set_course(course)
        self.bar.line.set_frame(self._session.frame)
        self.bar.show()
        self._ask_strip()
        self._ask_findings()

    # Strip, findings, damage -----------------------------------------------------------------

    def _ask_strip(self) -> None:
        """Small pictures, made beside the viewer's thread; those of another item are dropped."""
        ref, slots = self._ref, self.bar.line.slots
        if ref is None or self.course is None:
            return

        def made(pictures: list[StripPicture]) -> None:
            if ref == self._ref and slots == self.bar.line.slots:
                self.bar.line.set_pictures([_pixmap(picture) for picture in pictures])

        def work() -> list[StripPicture]:
            from vlmtool_core.media.strips import strip

            return strip(ref.path, ref.files, ref.sha256, slots)

        # The viewer tells what cannot be decoded; the strip only stays empty.
        self._bridge.thumbnail(work, made, lambda _error: None)

    def _ask_findings(self) -> None:
        item = self._session.item
        if item is None or self.course is None:
            return
        self._bridge.project(
            lambda project: _finding_marks(project, item),
            self.bar.line.set_findings,
            lane="finding-marks",
        )

    def check_damage(self) -> None:
        """Decode the whole video beside everything else, and mark what is damaged."""
        ref, cancel = self._ref, self._cancel
        if ref is None:
            return
        self.bar.check.setEnabled(False)
        self.bar.said.setText(self.tr("Checking every frame…"))

        def checked(marks: tuple[Mark, ...]) -> None:
            if ref == self._ref:
                self._show_checked(marks)

        def failed(error: ErrorInfo) -> None:
            if ref == self._ref and error.code != "cancelled":
                self.bar.check.setEnabled(True)
                self.bar.said.setText(error.message)

        self._bridge.thumbnail(lambda: check_video(ref, cancel), checked, failed)

    def _show_checked(self, marks: tuple[Mark, ...]) -> None:
        self.bar.check.setEnabled(True)
        self.bar.line.set_marks(marks)
        broken = [mark for mark in marks if mark.kind != "gap"]
        told = self.tr("{count} damaged places").format(count=len(broken))
        self.bar.said.setText(told if broken else self.tr("All frames can be decoded"))
        # What is open was read before the check and would go on to say what it said then.
        self._bridge.view(self._main.viewing.reader.close, lambda _none: None)
        loaded = self._main.viewing.loaded
        if loaded is not None:
            notes = (*loaded.notes, *(mark.text for mark in marks))
            self._main.viewer.set_notes(loaded.info.badges, tuple(dict.fromkeys(notes)))

    # Playing ---------------------------------------------------------------------------------

    def toggle(self) -> None:
        """Play, or stop where it is."""
        if self.playing:
            self.pause()
        elif self.course is not None:
            self._play()

    def _play(self) -> None:
        assert self.course is not None
        self.playing = True
        self.bar.show_playing(playing=True)
        if self._session.frame >= len(self.course.times) - 1:
            self._go(self.course.frame_at(self._loop_start()))
        self._anchor()
        self._wait_for_next()

    def pause(self) -> None:
        self._timer.stop()
        self._awaited = None
        if self.playing:
            self.playing = False
            self.bar.show_playing(playing=False)

    def set_speed(self, speed: float) -> None:
        self.speed = speed
        self._anchor()
        if self.playing and self._awaited is None:
            self._wait_for_next()

    def change_speed(self, step: int) -> None:
        """The next faster speed, or the next slower one."""
        at = SPEEDS.index(self.speed) + step
        self.bar.set_speed(SPEEDS[max(0, min(at, len(SPEEDS) - 1))])

    def mark_loop(self) -> None:
        """Start a loop at the picture in view, end it there, or give it up: in turn."""
        if self.course is None:
            return
        here = self.course.times[self._session.frame]
        if self.loop is None:
            self.loop = (here, None)
        elif self.loop[1] is None and here != self.loop[0]:
            first, last = sorted((here, self.loop[0]))
            self.loop = (first, last)
        else:
            self.loop = None
        self.bar.loop.setChecked(self.loop is not None)
        self.bar.line.set_loop(self.loop)

    def _anchor(self) -> None:
        """Time runs on from the picture that is chosen now."""
        if self.course is not None:
            self._from_s = self.course.times[self._session.frame]
            self._began.start()

    def _now_s(self) -> float:
        return self._from_s + self.speed * self._began.elapsed() / 1000

    def _loop_start(self) -> float:
        assert self.course is not None
        return self.course.start_s if self.loop is None else self.loop[0]

    def _end_s(self) -> float:
        assert self.course is not None
        end = None if self.loop is None else self.loop[1]
        return self.course.end_s if end is None else end

    def _wait_for_next(self) -> None:
        """Wake up when the frame after the one in view is due; at once when that is past."""
        assert self.course is not None
        times, frame = self.course.times, self._session.frame
        due = times[frame + 1] if frame + 1 < len(times) else self.course.end_s
        wait_ms = round(1000 * (due - self._now_s()) / self.speed)
        self._timer.start(max(_SOONEST_MS, wait_ms))

    def _tick(self) -> None:
        assert self.course is not None
        if self._awaited is not None:
            if self._main.viewing.loaded is not None:
                self._timer.start(_POLL_MS)
                return
            self._awaited = None  # it cannot be decoded, and the viewer says so
        now = self._now_s()
        if now >= self._end_s():
            if self.loop is None or self.loop[1] is None:
                self._go(len(self.course.times) - 1)
                self.pause()
                return
            self._go(self.course.frame_at(self.loop[0]))
            self._anchor()
            return
        frame = self.course.frame_at(now)
        if frame == self._session.frame:
            self._wait_for_next()
        else:
            self._go(frame)

    def _go(self, frame: int) -> None:
        """Ask for a frame; the next one waits until it is on the screen."""
        if frame == self._session.frame:
            self._timer.start(_SOONEST_MS)
            return
        self._awaited = frame
        self._session.set_frame(frame)
        self._timer.start(_POLL_MS)

    def _frame_changed(self) -> None:
        self.bar.line.set_frame(self._session.frame)
        if self.playing and self._session.frame != self._awaited:
            # A person went elsewhere: go on from there, once it is seen.
            self._timer.stop()
            self._awaited = self._session.frame
            self._anchor()
            self._timer.start(_POLL_MS)


class _SpaceFilter(QObject):
    """The space bar on the picture plays; held while dragging it moves the picture."""

    def __init__(self, player: PlayController) -> None:
        super().__init__(player)
        self._player = player
        self._dragged = False

    def eventFilter(self, _watched: QObject, event: QEvent) -> bool:
        kind = event.type()
        if kind == QEvent.Type.MouseButtonPress:
            self._dragged = True
        elif isinstance(event, QKeyEvent) and event.key() == Qt.Key.Key_Space:
            if event.isAutoRepeat():
                return False
            if kind == QEvent.Type.KeyPress:
                self._dragged = False
            elif kind == QEvent.Type.KeyRelease and not self._dragged:
                self._player.toggle()
        return False


def _pixmap(picture: StripPicture) -> QPixmap | None:
    return None if picture.file is None else QPixmap(str(picture.file))


def _finding_marks(project: Project, item: int) -> tuple[Mark, ...]:
    """The spans of time that findings of this item name."""
    return tuple(
        Mark("finding", *finding.time_span_s, finding.label or finding.title)
        for finding in project.findings()
        if finding.item_id == item and finding.time_span_s is not None
    )
