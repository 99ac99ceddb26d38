"""The menu of named DICOM windows that plugins offer for the unit of the picture in view."""

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
    """A submenu of View, enabled when there are presets; the first nine have Ctrl+1 to Ctrl+9."""

    def __init__(self, window: MainWindow) -> None:
        super().__init__(window)
        self._viewing = window.viewing
        self._bridge = window.bridge
        self.presets: tuple[WindowPreset, ...] = ()
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
        self._offer(())

    def _frame_shown(self, loaded: Loaded) -> None:
        # Only values that can be windowed have a unit that a preset may speak of.
        unit = loaded.info.unit if loaded.values is not None else ""
        if unit in self._known:
            self._bridge.drop("presets")
            self._offer(self._known[unit])
        else:
            self._bridge.view(
                lambda: _presets(unit), lambda found: self._learn(unit, found), lane="presets"
            )

    def _learn(self, unit: str, presets: tuple[WindowPreset, ...]) -> None:
        self._known[unit] = presets
        self._offer(presets)

    def _offer(self, presets: tuple[WindowPreset, ...]) -> None:
        if presets != self.presets:
            self.presets = presets
            self.menu.clear()
            for number, preset in enumerate(self.presets, start=1):
                self._add(preset, number)
            self.menu.menuAction().setEnabled(bool(self.presets))
        self._mark(self._viewing.window)

    def _add(self, preset: WindowPreset, number: int) -> None:
        name = preset.name.replace("&", "&&")
        action = QAction(f"{name} (C {preset.center:g}, W {preset.width:g})", self.menu)
        action.setCheckable(True)
        if number <= MOST_KEYS:
            action.setShortcut(QKeySequence(f"Ctrl+{number}"))
        action.triggered.connect(lambda _checked=False, chosen=preset: self._choose(chosen))
        self.menu.addAction(action)

    def _choose(self, preset: WindowPreset) -> None:
        from vlmtool_core.media import Window

        self._viewing.set_window(Window(preset.center, preset.width, preset.name))

    def _mark(self, level: Window | None) -> None:
        """Tick the preset in use; dragging leaves it."""
        used = None if level is None else (level.center, level.width)
        for action, preset in zip(self.menu.actions(), self.presets, strict=True):
            action.setChecked((preset.center, preset.width) == used)


def _presets(unit: str) -> tuple[WindowPreset, ...]:
    """Imports the plugins when it is the first to ask, so it runs in a thread."""
    from vlmtool_core.hooks.manager import plugin_manager

    return plugin_manager().window_presets(unit)
