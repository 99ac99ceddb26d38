"""Named DICOM windows of plugins: offered for their unit only, by menu and by key."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from tests.desktop import media_files
from tests.desktop.conftest import Opened
from tests.desktop.test_frames import grey

from vlmtool_core.hooks.manager import plugin_manager
from vlmtool_core.project import Project
from vlmtool_desktop.view_actions import VIEW


@pytest.fixture
def on_series(opened: Opened, tmp_path: Path) -> Opened:
    """A CT series and, after it, a photograph."""
    series = media_files.write_series(tmp_path / "ct", slices=3)
    media_files.write_pictures(tmp_path / "pictures", 1)
    with Project.create(tmp_path / "project") as project:
        project.add([series])
        project.add([tmp_path / "pictures"])
    opened.open(tmp_path / "project")
    opened.wait(lambda: opened.window.library.model.rowCount() == 2)
    kinds = opened.stored(lambda p: [(i.id, str(i.kind)) for i in p.items()])
    assert isinstance(kinds, list)
    opened.window.session.set_item(next(i for i, kind in kinds if kind == "dicom"))
    opened.wait(lambda: opened.window.window_menu.presets)
    return opened


def test_presets_stand_in_the_view_menu_after_the_window_of_the_file(on_series: Opened) -> None:
    window = on_series.window
    menu = window.window_menu.menu
    assert [a.text().split(" (")[0] for a in menu.actions()] == [
        preset.name for preset in plugin_manager().window_presets("HU")
    ]
    view = window.actions_.menus[VIEW].actions()
    place = view.index(window.actions_.by_id["reset-window"])
    assert view[place + 1] is menu.menuAction()
    assert menu.menuAction().isEnabled()


def test_a_preset_changes_the_picture_and_is_ticked_until_it_is_left(on_series: Opened) -> None:
    window = on_series.window
    menu = window.window_menu.menu
    assert not any(action.isChecked() for action in menu.actions())
    before = grey(on_series).copy()
    chosen = menu.actions()[1]
    preset = window.window_menu.presets[1]
    chosen.trigger()
    level = window.viewing.window
    assert level is not None
    assert (level.center, level.width, level.explanation) == (
        preset.center,
        preset.width,
        preset.name,
    )
    assert [a.isChecked() for a in menu.actions()].index(True) == 1
    on_series.wait(lambda: not np.array_equal(before, grey(on_series)))
    window.viewing.reset_window()
    assert not any(action.isChecked() for action in menu.actions())
    on_series.wait(lambda: np.array_equal(before, grey(on_series)))


def test_the_first_nine_have_keys(on_series: Opened) -> None:
    window = on_series.window
    keys = [action.shortcut().toString() for action in window.window_menu.menu.actions()]
    assert keys[:9] == [f"Ctrl+{number}" for number in range(1, 10)]
    assert not any(keys[9:])
    taken = {s.toString() for a in window.actions_.by_id.values() for s in a.shortcuts()}
    assert not taken & set(keys[:9])
    window.activateWindow()
    QTest.keyClick(window, Qt.Key.Key_3, Qt.KeyboardModifier.ControlModifier)
    preset = window.window_menu.presets[2]
    on_series.wait(lambda: window.viewing.window and window.viewing.window.width == preset.width)


def test_a_picture_without_a_unit_has_no_presets(on_series: Opened) -> None:
    window = on_series.window
    kinds = on_series.stored(lambda p: [(i.id, str(i.kind)) for i in p.items()])
    assert isinstance(kinds, list)
    by_kind = {kind: item for item, kind in kinds}
    window.session.set_item(by_kind["image"])
    on_series.wait(lambda: on_series.shown() == by_kind["image"])
    assert window.window_menu.presets == ()
    assert not window.window_menu.menu.menuAction().isEnabled()
    window.session.set_item(by_kind["dicom"])
    on_series.wait(lambda: window.window_menu.presets)
    assert on_series.errors == []
