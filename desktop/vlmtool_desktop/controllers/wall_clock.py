"""Shows when the frame in view was taken by the clock on the wall, and sets that clock right."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QObject

from vlmtool_core.records import MediaKind
from vlmtool_desktop.dialogs.clock_dialog import ClockDialog, ClockValues

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vlmtool_core.project import Project
    from vlmtool_core.project.clocks import WallClock
    from vlmtool_core.records import Json
    from vlmtool_desktop.main_window import MainWindow
    from vlmtool_desktop.models.frame_reader import Loaded
    from vlmtool_desktop.panels.play_bar import PlayBar


class WallClockController(QObject):
    """Of the video in view; the clock is read from the project once per item."""

    def __init__(self, window: MainWindow, bar: PlayBar) -> None:
        super().__init__(window)
        self._main = window
        self._button = bar.wall
        self.clock: WallClock | None = None
        self._loaded: Loaded | None = None
        self._button.setToolTip(
            self.tr("When this frame was taken; click to set the recorder's clock right")
        )
        self._button.clicked.connect(lambda: self.edit())
        window.session.item_changed.connect(self._forget)
        self._forget()

    def _forget(self) -> None:
        self._main.bridge.drop("wall-clock")
        self._loaded = self.clock = None
        self._button.hide()

    def show(self, loaded: Loaded) -> None:
        """Follow the viewer."""
        if loaded.ref.kind is not MediaKind.VIDEO:
            return
        new = self._loaded is None or self._loaded.ref != loaded.ref
        self._loaded = loaded
        self._button.show()
        if new:
            self._read()
        self._write()

    def _read(self) -> None:
        loaded = self._loaded
        if loaded is None or loaded.ref.item_id is None:
            return
        item, facts = loaded.ref.item_id, loaded.info.facts
        self._main.bridge.project(
            lambda project: _clock_of(project, item, facts), self._take, lane="wall-clock"
        )

    def _take(self, clock: WallClock | None) -> None:
        self.clock = clock
        self._write()

    def _write(self) -> None:
        loaded = self._loaded
        if self.clock is None or loaded is None or loaded.time_s is None:
            self._button.setText(self.tr("Time of day…"))
            return
        text = self.clock.text(loaded.time_s)
        if self.clock.offset_s:
            text += f" ({self.clock.offset_s:+g} s)"
        self._button.setText(text)

    def edit(self) -> None:
        """Ask for the start of the recording and the offset of its camera."""
        loaded = self._loaded
        if loaded is None or loaded.ref.item_id is None:
            return
        item = loaded.ref.item_id
        self._main.bridge.project(lambda project: _values_of(project, item), self._open)

    def _open(self, values: ClockValues) -> None:
        stated = "" if self._loaded is None else self._loaded.info.facts.get("recorded_at", "")
        dialog = ClockDialog(values, str(stated), self._main)
        dialog.accepted.connect(lambda: self._keep(dialog.values()))
        dialog.open()

    def _keep(self, values: ClockValues) -> None:
        self._main.bridge.project(lambda project: _set(project, values), lambda _none: self._read())


def _clock_of(project: Project, item: int, facts: Mapping[str, Json]) -> WallClock | None:
    from vlmtool_core.project.clocks import wall_clock

    return wall_clock(project, project.item(item), facts)


def _values_of(project: Project, item: int) -> ClockValues:
    from vlmtool_core.project.clocks import camera_of, offset_of, typed_start

    record = project.item(item)
    camera = camera_of(record)
    return ClockValues(item, camera, typed_start(project, record), offset_of(project, camera))


def _set(project: Project, values: ClockValues) -> None:
    from vlmtool_core.project.clocks import set_offset, set_start

    set_start(project, project.item(values.item), values.start)
    set_offset(project, values.camera, values.offset_s)
