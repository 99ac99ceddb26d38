"""The menu of windows: those of the file in view, and those that plugins name for its unit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QObject
from PySide6.QtGui import QAction, QKeySequence
from PySide6.QtWidgets import QMenu

from vlmtool_desktop.view_actions import VIEW

if TYPE_CHECKING:
    from vlmtool_core.media import Window
    from vlmtool_core.records import WindowPreset
    from vlmtool_desktop.main_window import MainWindow
    from vlmtool_desktop.models.frame_reader import Loaded

MOST_KEYS = 9


class WindowMenu(QObject):
    """A submenu of View: presets, of which the first nine have Ctrl+1 to Ctrl+9, and before them
    the windows and tables of the file. Enabled when there is one.
    """

    def __init__(self, window: MainWindow) -> None:
        super().__init__(window)
        self._viewing = window.viewing
        self._bridge = window.bridge
        self.presets: tuple[WindowPreset, ...] = ()
        self.of_file: tuple[Window, ...] = ()
        self._known: dict[str, tuple[WindowPreset, ...]] = {"": ()}
        self.menu = QMenu(self.tr("Named DICOM wi&ndow"), window)
        self.menu.menuAction().setEnabled(False)
        view = window.actions_.menus[VIEW]
        actions = view.actions()
        reset = actions.index(window.actions_.by_id["reset-window"])
        view.insertMenu(actions[reset + 1], self.menu)
        self._viewing.frame_shown.connect(self._frame_shown)
        self._viewing.window_changed.connect(self._mark)
        window.session.item_changed.connect(self._item_changed)

    def _item_changed(self) -> None:
        self._bridge.drop("presets")
        self._offer((), ())

    def _frame_shown(self, loaded: Loaded) -> None:
        # Only values that can be windowed have a unit that a preset may speak of.
        unit = loaded.info.unit if loaded.values is not None else ""
        windows = loaded.info.windows if loaded.values is not None else ()
        if unit in self._known:
            self._bridge.drop("presets")
            self._offer(windows, self._known[unit])
        else:
            self._bridge.view(
                lambda: _presets(unit),
                lambda found: self._learn(unit, windows, found),
                lane="presets",
            )

    def _learn(
        self, unit: str, windows: tuple[Window, ...], presets: tuple[WindowPreset, ...]
    ) -> None:
        self._known[unit] = presets
        self._offer(windows, presets)

    def _offer(self, windows: tuple[Window, ...], presets: tuple[WindowPreset, ...]) -> None:
        if (windows, presets) != (self.of_file, self.presets):
            self.of_file, self.presets = windows, presets
            self._fill()
        self._mark(self._viewing.window)

    def _fill(self) -> None:
        from vlmtool_core.media import Window

        self.menu.clear()
        for window in self.of_file:
            self._add(window)
        if self.of_file and self.presets:
            self.menu.addSeparator()
        for number, preset in enumerate(self.presets, start=1):
            action = self._add(Window(preset.center, preset.width, preset.name))
            if number <= MOST_KEYS:
                action.setShortcut(QKeySequence(f"Ctrl+{number}"))
        self.menu.menuAction().setEnabled(bool(self.of_file or self.presets))

    def _add(self, window: Window) -> QAction:
        name = (window.explanation or self.tr("Of the file")).replace("&", "&&")
        numbers = f"C {window.center:g}, W {window.width:g}"
        shown = self.tr("lookup table of the file") if window.table is not None else numbers
        action = QAction(f"{name} ({shown})", self.menu)
        action.setCheckable(True)
        action.setData(window)
        action.triggered.connect(lambda _checked=False: self._viewing.set_window(window))
        self.menu.addAction(action)
        return action

    def _mark(self, level: Window | None) -> None:
        """Tick the window in use; dragging leaves it."""
        used = None if level is None else _kind(level)
        for action in self.menu.actions():
            offered = action.data()
            action.setChecked(offered is not None and _kind(offered) == used)


def _kind(window: Window) -> tuple[object, ...]:
    """What makes two windows the same, whatever they are called."""
    return (window.center, window.width, window.function, window.table)


def _presets(unit: str) -> tuple[WindowPreset, ...]:
    """Imports the plugins when it is the first to ask, so it runs in a thread."""
    from vlmtool_core.hooks.manager import plugin_manager

    return plugin_manager().window_presets(unit)
