"""Named DICOM windows of plugins: offered for their unit only, by menu and by key."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.data import get_testdata_file
from PySide6.QtCore import Qt
from PySide6.QtGui import QAction
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


def preset_actions(opened: Opened) -> list[QAction]:
    """Those behind the windows of the file and the line after them."""
    menu = opened.window.window_menu
    return menu.menu.actions()[len(menu.of_file) + 1 :]


def test_presets_stand_in_the_view_menu_after_the_window_of_the_file(on_series: Opened) -> None:
    window = on_series.window
    menu = window.window_menu.menu
    assert [a.text().split(" (")[0] for a in preset_actions(on_series)] == [
        preset.name for preset in plugin_manager().window_presets("HU")
    ]
    view = window.actions_.menus[VIEW].actions()
    place = view.index(window.actions_.by_id["reset-window"])
    assert view[place + 1] is menu.menuAction()
    assert menu.menuAction().isEnabled()


def test_a_preset_changes_the_picture_and_is_ticked_until_it_is_left(on_series: Opened) -> None:
    window = on_series.window
    menu = window.window_menu.menu
    assert [a.isChecked() for a in menu.actions()].index(True) == 0  # that of the file
    before = grey(on_series).copy()
    chosen = preset_actions(on_series)[1]
    preset = window.window_menu.presets[1]
    chosen.trigger()
    level = window.viewing.window
    assert level is not None
    assert (level.center, level.width, level.explanation) == (
        preset.center,
        preset.width,
        preset.name,
    )
    assert [a.isChecked() for a in preset_actions(on_series)].index(True) == 1
    assert not menu.actions()[0].isChecked()
    on_series.wait(lambda: not np.array_equal(before, grey(on_series)))
    window.viewing.reset_window()
    assert [a.isChecked() for a in menu.actions()].index(True) == 0
    on_series.wait(lambda: np.array_equal(before, grey(on_series)))


def test_the_first_nine_have_keys(on_series: Opened) -> None:
    window = on_series.window
    keys = [action.shortcut().toString() for action in preset_actions(on_series)]
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


@pytest.fixture
def on_table(opened: Opened, tmp_path: Path) -> Opened:
    """A picture with a VOI table and two windows, and one with a supplemental palette."""
    for name in ("vlut_04.dcm", "eCT_Supplemental.dcm"):
        dataset = pydicom.dcmread(str(get_testdata_file(name)))
        dataset.WindowCenter, dataset.WindowWidth = [100, 50], [200, 20]
        dataset.WindowCenterWidthExplanation = ["WIDE", "NARROW"]
        dataset.save_as(tmp_path / name)
    with Project.create(tmp_path / "project") as project:
        project.add([tmp_path / "vlut_04.dcm"])
        project.add([tmp_path / "eCT_Supplemental.dcm"])
    opened.open(tmp_path / "project")
    opened.wait(lambda: opened.window.library.model.rowCount() == 2)
    return opened


def item_named(opened: Opened, name: str) -> int:
    found = opened.stored(lambda p: [i.id for i in p.items() if name in str(i.path)])
    assert isinstance(found, list)
    return int(found[0])


def colours(opened: Opened) -> np.ndarray:
    """The picture in the canvas as uint8 (h, w, 3)."""
    picture = opened.window.viewer.canvas.picture
    assert picture is not None
    image = picture.levels[0]
    pixels = np.frombuffer(image.constBits(), np.uint8)
    return pixels.reshape(image.height(), -1, 4)[:, : image.width(), :3].copy()


def test_tables_and_windows_of_the_file_can_be_chosen_by_name(on_table: Opened) -> None:
    window = on_table.window
    window.session.set_item(item_named(on_table, "vlut_04"))
    on_table.wait(lambda: window.window_menu.of_file)
    actions = window.window_menu.menu.actions()
    assert [a.text() for a in actions[:3]] == [
        "VOI LUT 1 (lookup table of the file)",
        "WIDE (C 100, W 200)",
        "NARROW (C 50, W 20)",
    ]
    assert actions[0].isChecked()
    table = grey(on_table).copy()
    actions[2].trigger()
    on_table.wait(lambda: not np.array_equal(table, grey(on_table)))
    assert actions[2].isChecked()
    actions[0].trigger()
    on_table.wait(lambda: np.array_equal(table, grey(on_table)))


def test_dragging_leaves_the_table_for_a_window(on_table: Opened) -> None:
    window = on_table.window
    window.session.set_item(item_named(on_table, "vlut_04"))
    on_table.wait(lambda: window.window_menu.of_file)
    window.viewer.canvas.window_dragged.emit(30.0, 0.0)
    level = window.viewing.window
    assert level is not None
    assert (level.function, level.table) == ("LINEAR", None)
    assert not any(a.isChecked() for a in window.window_menu.menu.actions())


def test_colours_of_a_supplemental_palette_outlast_another_window(on_table: Opened) -> None:
    window = on_table.window
    window.session.set_item(item_named(on_table, "eCT"))
    on_table.wait(lambda: window.viewing.window is not None and window.window_menu.of_file)
    before = colours(on_table)
    coloured = before.max(axis=2) != before.min(axis=2)
    assert coloured.any()
    level = window.viewing.window
    assert level is not None
    window.viewing.set_window(replace(level, center=-900, width=1000))
    on_table.wait(lambda: not np.array_equal(before, colours(on_table)))
    assert np.array_equal(colours(on_table)[coloured], before[coloured])
