"""The menu of presentation states that lie beside the shown DICOM pictures, and what they draw."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject
from PySide6.QtGui import QAction
from PySide6.QtWidgets import QMenu

from vlmtool_core.records import MediaKind
from vlmtool_desktop.canvas.marks_layer import MarksLayer
from vlmtool_desktop.discretion import discretion
from vlmtool_desktop.models.presenting import StatesBeside, states_beside
from vlmtool_desktop.session import Overlay
from vlmtool_desktop.view_actions import VIEW

if TYPE_CHECKING:
    from vlmtool_core.records import ItemRef
    from vlmtool_desktop.main_window import MainWindow
    from vlmtool_desktop.models.frame_reader import Loaded


class StateMenu(QObject):
    """A submenu of View, enabled when there is a state to choose. An item keeps its choice."""

    def __init__(self, window: MainWindow) -> None:
        super().__init__(window)
        self._window = window
        self._viewing = window.viewing
        self._asked: ItemRef | None = None
        self.found = StatesBeside()
        self.marks = MarksLayer()
        window.viewer.canvas.layers.append(self.marks)
        self.menu = QMenu(self.tr("&Presentation state"), window)
        view = window.actions_.menus[VIEW]
        view.insertMenu(self._place(), self.menu)
        self._offer(StatesBeside())
        self._viewing.frame_shown.connect(self._frame_shown)
        window.session.item_changed.connect(self._item_changed)
        window.session.overlays_changed.connect(self._update_marks)
        discretion().changed.connect(self._discretion_changed)

    def _place(self) -> QAction:
        """Behind the menu of windows."""
        actions = self._window.actions_.menus[VIEW].actions()
        return actions[actions.index(self._window.window_menu.menu.menuAction()) + 1]

    def _discretion_changed(self) -> None:
        self._offer(self.found)
        self._update_marks()

    # What there is to choose -----------------------------------------------------------------

    def _item_changed(self) -> None:
        self._asked = None
        self._window.bridge.drop("states")
        self.marks.marks = ()
        self._offer(StatesBeside())

    def _frame_shown(self, loaded: Loaded) -> None:
        self._update_marks()
        if loaded.info.kind is not MediaKind.DICOM or self._asked == loaded.ref:
            return
        self._asked = loaded.ref
        reader = self._viewing.reader
        self._window.bridge.view(
            lambda: states_beside(reader.opened(loaded.ref), loaded), self._offer, lane="states"
        )

    def _offer(self, found: StatesBeside) -> None:
        self.found = found
        self.menu.clear()
        self.menu.menuAction().setEnabled(bool(found.states))
        if not found.states:
            return
        self._add(self.tr("None: as the file has it"), None)
        self.menu.addSeparator()
        for number, state in enumerate(found.states, start=1):
            named = " - ".join(part for part in (state.label, state.description) if part)
            name = self.tr("State {number}").format(number=number)
            said = discretion().value(f"{named or name} ({state.path.name})") or name
            self._add(said, state.path)
        self._tick()

    def _add(self, name: str, state: Path | None) -> None:
        action = QAction(name.replace("&", "&&"), self.menu)
        action.setCheckable(True)
        action.setData(state)
        action.triggered.connect(lambda _checked=False: self.choose(state))
        self.menu.addAction(action)

    def _tick(self) -> None:
        for action in self.menu.actions():
            action.setChecked(action.isCheckable() and action.data() == self.found.chosen)

    # Choosing --------------------------------------------------------------------------------

    def choose(self, state: Path | None) -> None:
        """Show the item in view by a presentation state, or as its file has it."""
        loaded = self._viewing.loaded
        if loaded is None:
            return
        self.found = StatesBeside(self.found.states, state)
        self._tick()
        reader, ref = self._viewing.reader, loaded.ref
        self._window.bridge.view(
            lambda: reader.choose_state(ref, state),
            lambda _none: self._viewing.show_anew(),
            lane="choose-state",
        )

    def _update_marks(self) -> None:
        loaded = self._viewing.loaded
        shown = Overlay.GRAPHICS in self._window.session.overlays
        self.marks.marks = loaded.marks if loaded is not None and shown else ()
        self.marks.texts = not discretion().on
        self._window.viewer.canvas.update()
