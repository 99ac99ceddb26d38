"""Letters at the picture's edges, and three linked planes through the volume of the item."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, Signal
from PySide6.QtWidgets import QVBoxLayout, QWidget

from vlmtool_core.jobs import CancelToken, Progress
from vlmtool_core.records import ErrorInfo
from vlmtool_desktop.canvas.letters import LettersLayer
from vlmtool_desktop.canvas.plane_view import PlaneLine
from vlmtool_desktop.dialogs.error_dialog import sentence
from vlmtool_desktop.discretion import discretion
from vlmtool_desktop.models.plane_reader import (
    LoadedVolume,
    ShownPlane,
    load_volume,
    show_plane,
)
from vlmtool_desktop.panels.planes import AXIAL, COLOURS, PlanesPanel
from vlmtool_desktop.session import Overlay

if TYPE_CHECKING:
    from vlmtool_core.media import Window
    from vlmtool_desktop.main_window import MainWindow

ACTION = "planes"
# Of the window's width per pixel of dragging.
_STEP = 1 / 300


class VolumeController(QObject):
    """Cuts in the viewer's thread; what is drawn over the planes needs no cutting."""

    _progressed = Signal(object, object)

    def __init__(self, window: MainWindow) -> None:
        super().__init__(window)
        self._main = window
        self.letters = LettersLayer()
        self.panel = PlanesPanel()
        self._volume: LoadedVolume | None = None
        self._window: Window | None = None
        self._shown: dict[str, ShownPlane] = {}
        self._wanted: dict[str, int] = {}
        self._reading: CancelToken | None = None
        self._hidden: list[QWidget] = []
        self._place()
        window.viewer.canvas.layers.append(self.letters)
        window.viewing.frame_shown.connect(lambda _loaded: self._frame_shown())
        window.session.item_changed.connect(self._item_changed)
        window.session.overlays_changed.connect(self._update_letters)
        self._progressed.connect(self._show_progress)
        self.panel.closed.connect(self.leave)
        self.panel.cancelled.connect(self.leave)
        for plane, view in self.panel.views.items():
            view.point_chosen.connect(lambda x, y, p=plane: self._choose(p, x, y))
            view.stepped.connect(lambda steps, p=plane: self._step(p, steps))
            view.window_dragged.connect(self._drag_window)

    def _place(self) -> None:
        """The planes take the place of the picture while they are open."""
        layout = self._main.viewer.layout()
        assert isinstance(layout, QVBoxLayout)
        layout.insertWidget(layout.indexOf(self._main.viewer.canvas) + 1, self.panel, 1)
        self.panel.hide()

    def _make_room(self) -> None:
        """Hide the picture, and what goes through its frames below it."""
        layout = self._main.viewer.layout()
        assert layout is not None
        first = layout.indexOf(self._main.viewer.canvas)
        for place in range(first, layout.count()):
            item = layout.itemAt(place)
            widget = None if item is None else item.widget()
            if widget is not None and widget is not self.panel and not widget.isHidden():
                widget.hide()
                self._hidden.append(widget)

    # Whether there are planes ----------------------------------------------------------------

    @property
    def is_open(self) -> bool:
        return not self.panel.isHidden()

    @property
    def volume(self) -> LoadedVolume | None:
        """What is being looked at, and where; None while it is read."""
        return self._volume

    @property
    def window(self) -> Window | None:
        return self._window

    @property
    def why_not(self) -> str:
        """Why no planes can be opened, "" when they can."""
        loaded = self._main.viewing.loaded
        if loaded is None:
            return self.tr("no item is shown")
        from vlmtool_core.media.volumes.building import why_no_volume

        return why_no_volume(loaded.info)

    def _frame_shown(self) -> None:
        self._update_letters()
        self._update_action()

    def _update_letters(self) -> None:
        loaded = self._main.viewing.loaded
        shown = Overlay.LETTERS in self._main.session.overlays
        self.letters.letters = loaded.letters if loaded is not None and shown else None
        if loaded is not None:
            self.letters.size = loaded.picture.size
        self._main.viewer.canvas.update()

    def _update_action(self) -> None:
        self._main.actions_.update()
        action, reason = self._main.actions_.by_id[ACTION], self.why_not
        tip = self.tr("Three planes through the volume")
        if reason:
            tip = self.tr("No planes: {reason}.").format(reason=reason)
        action.setToolTip(tip)
        action.setStatusTip(tip)

    def _item_changed(self) -> None:
        self.letters.letters = None
        if self.is_open:
            # The bars below are shown again by whoever has frames of the new item to go through.
            self._hidden = [self._main.viewer.canvas]
            self.leave()
        self._update_action()

    # Opening and leaving ---------------------------------------------------------------------

    def toggle(self) -> None:
        """Open the planes of the item in view, or go back to its picture."""
        if self.is_open:
            self.leave()
        elif not self.why_not:
            self._open()

    def _open(self) -> None:
        loaded = self._main.viewing.loaded
        assert loaded is not None
        token = CancelToken()
        self._reading = token
        self._window = self._main.viewing.window
        self.panel.clear()
        self.panel.show_reading(0, 0)
        self._make_room()
        self.panel.show()
        self.panel.views[AXIAL].setFocus()
        frame = loaded.index

        def tell(progress: Progress) -> None:
            self._progressed.emit(token, progress)

        self._main.bridge.view(
            lambda: load_volume(loaded.ref, frame, tell, token),
            self._take,
            self._refuse,
            lane="volume",
        )
        self._main.actions_.update()

    def _show_progress(self, token: CancelToken, progress: Progress) -> None:
        if token is self._reading:
            self.panel.show_reading(progress.done, progress.total or 0)

    def _refuse(self, error: ErrorInfo) -> None:
        self._reading = None
        if error.code != "cancelled":
            message = discretion().sentence(error.message)
            self.panel.show_note(f"{sentence(message)}\n{sentence(error.remedy)}")

    def leave(self) -> None:
        """Back to the picture; the volume is given back, and no longer read."""
        self.stop()
        self.panel.hide()
        self.panel.clear()
        self._volume = None
        self._shown.clear()
        self._wanted.clear()
        for widget in self._hidden:
            widget.show()
        self._hidden.clear()
        self._main.viewer.canvas.setFocus()
        self._main.actions_.update()

    def stop(self) -> None:
        """Stop reading, if a volume is being read."""
        if self._reading is not None:
            self._reading.cancel()
            self._reading = None
        for lane in ("volume", *map(_lane, COLOURS)):
            self._main.bridge.drop(lane)

    def _take(self, loaded: LoadedVolume) -> None:
        self._reading = None
        self.panel.show_note("")
        self._make_room()  # bars that came while the volume was being read
        self._volume = loaded
        self._window = self._window or loaded.window
        self._tell_facts()
        self._follow()

    # Where the planes are --------------------------------------------------------------------

    def _choose(self, plane: str, x: float, y: float) -> None:
        shown = self._shown.get(plane)
        if shown is not None and self._volume is not None:
            self._volume.planes.go_to(shown.geometry, x, y)
            self._follow()

    def _step(self, plane: str, steps: int) -> None:
        if self._volume is not None:
            self._volume.planes.step(plane, steps)
            self._follow()

    def _follow(self) -> None:
        """Cut the planes that go through another voxel now; the lines move at once."""
        if self._volume is None:
            return
        for plane, number in self._volume.planes.numbers().items():
            if self._wanted.get(plane) != number:
                self._wanted[plane] = number
                self._cut(plane)
        self._draw_lines()
        self.panel.place.setText(self._volume.planes.told(self._volume.unit))

    def _cut(self, plane: str) -> None:
        loaded, window, number = self._volume, self._window, self._wanted[plane]
        if loaded is not None and window is not None:
            self._main.bridge.view(
                lambda: show_plane(loaded, plane, number, window), self._show, lane=_lane(plane)
            )

    def _show(self, shown: ShownPlane) -> None:
        self._shown[shown.plane] = shown
        view = self.panel.views[shown.plane]
        view.show_plane(shown.picture, shown.letters, f"{shown.number + 1} / {shown.count}")
        self._draw_lines()

    def _draw_lines(self) -> None:
        if self._volume is None:
            return
        planes = self._volume.planes
        for plane, shown in self._shown.items():
            cuts = planes.lines(plane, self._shown)
            lines = [PlaneLine(*cut, COLOURS[other]) for other, cut in cuts.items()]
            self.panel.views[plane].show_lines(planes.pixel(shown.geometry), lines)

    # Window, and what is told ----------------------------------------------------------------

    def _drag_window(self, dx: float, dy: float) -> None:
        window = self._window
        if window is None or self._volume is None:
            return
        from vlmtool_core.media.dicom.voi import moved

        width = window.width * (1 + dx * _STEP)
        self._window = moved(window, window.center + dy * _STEP * window.width, width)
        self._main.viewing.set_window(self._window)
        for plane in COLOURS:
            self._cut(plane)

    def _tell_facts(self) -> None:
        assert self._volume is not None
        volume = self._volume.volume
        sizes = " × ".join(str(size) for size in volume.sizes)
        spacing = " × ".join(f"{size:.3g}" for size in volume.voxel_mm)
        self.panel.facts.setText(
            self.tr("{sizes} voxels of {spacing} mm").format(sizes=sizes, spacing=spacing)
        )


def _lane(plane: str) -> str:
    return f"plane-{plane}"
