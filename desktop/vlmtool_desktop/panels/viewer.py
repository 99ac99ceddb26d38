"""The viewer: the canvas, a line about the item above it, and the frame slider below."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from PySide6.QtCore import QSignalBlocker, Qt, Signal
from PySide6.QtGui import QKeyEvent
from PySide6.QtWidgets import QSlider, QSpinBox, QVBoxLayout, QWidget

from vlmtool_desktop.canvas.tools import BoxTool, CanvasTool, PanTool, SelectTool
from vlmtool_desktop.canvas.view import CanvasView
from vlmtool_desktop.models.course import clock
from vlmtool_desktop.session import Session, Tool
from vlmtool_desktop.widgets.badges import BadgeRow
from vlmtool_desktop.widgets.parts import (
    ElidedLabel,
    frame,
    push_button,
    row,
    text_label,
    tool_button,
)

if TYPE_CHECKING:
    from vlmtool_core.media import Badge

_TOOLS: dict[Tool, Callable[[], CanvasTool]] = {
    Tool.SELECT: SelectTool,
    Tool.PAN: PanTool,
    Tool.BOX: BoxTool,
}


class ViewerPanel(QWidget):
    """Leads and follows the frame and the tool of the session."""

    region_cancelled = Signal()

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self.canvas = CanvasView()
        # Whoever brings a tool of his own puts it here.
        self.tools = dict(_TOOLS)
        self.name = ElidedLabel("heading")
        self.facts = text_label("", "muted")
        self.badges = BadgeRow()
        self.warnings = text_label("", "warning", wrap=True)
        self.slider = QSlider(Qt.Orientation.Horizontal)
        self.number = QSpinBox()
        self.time = text_label("", "muted")
        self._frames = QWidget()
        self.region_hint = text_label("", wrap=True)
        self._region_bar = self._make_region_bar()
        self._build()
        self.set_frames(1)
        session.frame_changed.connect(self._follow_frame)
        session.tool_changed.connect(self._follow_tool)

    def _make_region_bar(self) -> QWidget:
        cancel = push_button(self.tr("Stop drawing"), "reject")
        cancel.clicked.connect(self.region_cancelled)
        layout = row(self.region_hint, cancel, spacing=10)
        layout.setStretch(0, 1)
        bar = frame("notice", layout, (12, 6, 6, 6))
        bar.hide()
        return bar

    def _build(self) -> None:
        head = row(self.name, self.facts, self.badges, spacing=12)
        head.addStretch()
        self._build_frames()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addWidget(frame("bar", head, (12, 7, 12, 7)))
        self.warnings.setContentsMargins(12, 4, 12, 4)
        self.warnings.hide()
        layout.addWidget(self.warnings)
        layout.addWidget(self._region_bar)
        layout.addWidget(self.canvas, 1)
        layout.addWidget(self._frames)

    def _build_frames(self) -> None:
        self.slider.setAccessibleName(self.tr("Frame"))
        self.slider.setTracking(True)
        self.slider.valueChanged.connect(self._session.set_frame)
        self.number.setAccessibleName(self.tr("Frame number"))
        self.number.setKeyboardTracking(False)
        self.number.setMinimumWidth(72)
        self.number.valueChanged.connect(lambda value: self._session.set_frame(value - 1))
        back = tool_button(self.tr("Previous frame"), "previous")
        forth = tool_button(self.tr("Next frame"), "next")
        back.clicked.connect(lambda: self.step(-1))
        forth.clicked.connect(lambda: self.step(1))
        self.total = text_label("", "muted")
        line = row(back, forth, self.slider, self.number, self.total, self.time, spacing=8)
        line.setContentsMargins(8, 5, 12, 5)
        self.time.setMinimumWidth(70)
        self._frames.setLayout(line)
        self._frames.setObjectName("page")

    # Frames ----------------------------------------------------------------------------------

    def set_frames(self, count: int) -> None:
        """Show the slider when there is more than one frame."""
        with QSignalBlocker(self.slider), QSignalBlocker(self.number):
            self.slider.setRange(0, max(0, count - 1))
            self.number.setRange(1, max(1, count))
            self.slider.setValue(self._session.frame)
            self.number.setValue(self._session.frame + 1)
        self.total.setText(f"/ {count}")
        self._frames.setVisible(count > 1)

    def set_time(self, seconds: float | None) -> None:
        self.time.setText("" if seconds is None else clock(seconds))

    def step(self, distance: int) -> None:
        self._session.set_frame(self._session.frame + distance)

    def _follow_frame(self) -> None:
        with QSignalBlocker(self.slider), QSignalBlocker(self.number):
            self.slider.setValue(self._session.frame)
            self.number.setValue(self._session.frame + 1)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Arrow keys go through the frames, unless the canvas moves a box with them."""
        steps = {
            Qt.Key.Key_Left: -1,
            Qt.Key.Key_Right: 1,
            Qt.Key.Key_Home: -self._session.frame,
            Qt.Key.Key_End: self._session.frame_count,
        }
        key = Qt.Key(event.key())
        if key not in steps or self._session.frame_count < 2:
            super().keyPressEvent(event)
            return
        shift = bool(event.modifiers() & Qt.KeyboardModifier.ShiftModifier)
        self.step(steps[key] * (10 if shift else 1))

    # Tools -----------------------------------------------------------------------------------

    def _follow_tool(self) -> None:
        self.canvas.set_tool(self.tools[self._session.tool]())

    def ask_region(self, tool: CanvasTool, hint: str) -> None:
        """Let the user draw a region; the hint says what and how."""
        self.region_hint.setText(hint)
        self._region_bar.show()
        self.canvas.set_tool(tool)
        self.canvas.setFocus()

    def end_region(self) -> None:
        self._region_bar.hide()
        self._follow_tool()

    def set_item(self, name: str, facts: str) -> None:
        """What is written above the picture."""
        self.name.setText(name)
        self.facts.setText(facts)

    def set_notes(self, badges: Sequence[Badge], notes: Sequence[str]) -> None:
        """What a user must know of the item; what a badge says already is in its tool tip."""
        self.badges.set_badges(badges)
        notes = [note for note in notes if not any(note in badge.note for badge in badges)]
        self.warnings.setText("\n".join(f"⚠ {note}" for note in notes))
        self.warnings.setVisible(bool(notes))

    @property
    def frame_bar(self) -> QWidget:
        return self._frames
