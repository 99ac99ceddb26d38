"""The time line with its controls: play, speed, loop, wall clock, and the check for damage."""

from __future__ import annotations

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QComboBox, QToolButton, QVBoxLayout, QWidget

from vlmtool_desktop import icons
from vlmtool_desktop.panels.time_line import TimeLine
from vlmtool_desktop.theme import theme
from vlmtool_desktop.widgets.parts import push_button, row, text_label, tool_button

SPEEDS = (0.25, 0.5, 1.0, 2.0, 4.0)


class PlayBar(QWidget):
    """Lies under the picture of whatever has frames in time."""

    speed_chosen = Signal(float)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.line = TimeLine()
        self._playing = False
        self.play = QToolButton()
        self.speed = QComboBox()
        self.loop = tool_button(self.tr("Loop"), "loop")
        self.wall = push_button(self.tr("Time of day…"), "clock", flat=True)
        self.check = push_button(self.tr("Check for damage"), "video", flat=True)
        self.said = text_label("", "muted")
        self._build()
        self.show_playing(playing=False)
        theme().changed.connect(self._recolour)

    def _build(self) -> None:
        self.speed.setAccessibleName(self.tr("Speed"))
        for speed in SPEEDS:
            self.speed.addItem(f"{speed:g}×", speed)
        self.speed.setCurrentIndex(SPEEDS.index(1.0))
        self.speed.currentIndexChanged.connect(lambda at: self.speed_chosen.emit(SPEEDS[at]))
        self.loop.setCheckable(True)
        self.loop.setToolTip(
            self.tr("First click: the loop starts here; second: it ends here; third: no loop")
        )
        self.check.setToolTip(self.tr("Decode the whole video and mark every damaged place"))
        controls = row(self.play, self.speed, self.loop, self.said, spacing=8)
        controls.addStretch()
        controls.addWidget(self.wall)
        controls.addWidget(self.check)
        controls.setContentsMargins(8, 2, 12, 5)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2)
        layout.addWidget(self.line)
        layout.addLayout(controls)
        self.setObjectName("page")

    def _recolour(self) -> None:
        self.show_playing(playing=self._playing)

    def show_playing(self, *, playing: bool) -> None:
        """What the button does next."""
        self._playing = playing
        text = self.tr("Pause") if playing else self.tr("Play")
        self.play.setText(text)
        self.play.setAccessibleName(text)
        self.play.setToolTip(self.tr("{what} (space bar)").format(what=text))
        self.play.setIcon(icons.icon("pause" if playing else "run"))

    def set_speed(self, speed: float) -> None:
        self.speed.setCurrentIndex(SPEEDS.index(speed))
