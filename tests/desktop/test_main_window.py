"""The window on a real project: open, look, label, undo, draw, and what it says of bad files."""

from __future__ import annotations

from pathlib import Path

import pytest
from PySide6.QtCore import QPoint, Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QMessageBox
from tests.desktop.conftest import Opened

from vlmtool_core.project import Project
from vlmtool_desktop.dialogs.project_dialogs import NewProjectDialog
from vlmtool_desktop.dialogs.text_dialog import TextDialog
from vlmtool_desktop.main_window import START, WORK, MainWindow
from vlmtool_desktop.models.item_model import ThumbnailRole
from vlmtool_desktop.recent import recent_projects
from vlmtool_desktop.session import Tool
from vlmtool_desktop.theme import theme, tokens


def press(window: MainWindow, key: Qt.Key | str, *modifiers: Qt.KeyboardModifier) -> None:
    held = Qt.KeyboardModifier.NoModifier
    for modifier in modifiers:
        held |= modifier
    QTest.keyClick(window, key, held)  # type: ignore[call-overload]


def drag(opened: Opened, start: QPoint, end: QPoint, button: Qt.MouseButton) -> None:
    canvas = opened.window.viewer.canvas
    QTest.mousePress(canvas, button, Qt.KeyboardModifier.NoModifier, start)
    QTest.mouseMove(canvas, start + (end - start) / 2)
    QTest.mouseMove(canvas, end)
    QTest.mouseRelease(canvas, button, Qt.KeyboardModifier.NoModifier, end)


def at(opened: Opened, x: float, y: float) -> QPoint:
    """The point of the canvas that shows the image pixel (x, y)."""
    vx, vy = opened.window.viewer.canvas.transform.to_view(x, y)
    return QPoint(round(vx), round(vy))


def labels_of(opened: Opened) -> list[tuple[str, ...]]:
    records = opened.stored(lambda p: [record.labels for record in p.items()])
    assert isinstance(records, list)
    return records


def test_the_window_opens_on_the_start_page(opened: Opened) -> None:
    assert opened.window.pages.currentIndex() == START
    assert opened.window.toolbar.isHidden()
    assert not opened.errors


def test_create_a_project(opened: Opened, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "with spaces 项目"
    monkeypatch.setattr(NewProjectDialog, "ask", lambda *_args: (root, "My project"))
    opened.window.commands.new_project()
    opened.wait(lambda: opened.window.session.project is not None)
    assert Project.is_project(root)
    assert opened.window.pages.currentIndex() == WORK
    assert "My project" in opened.window.windowTitle()
    assert [project.root for project in recent_projects()] == [root]
    opened.wait(lambda: opened.window.library.count_label.text() == "0 items")
    assert "Drop files or folders here" in opened.window.library.page_title()


def test_thumbnails_appear_and_the_first_item_is_shown(on_project: Opened) -> None:
    model = on_project.window.library.model
    assert model.rowCount() == 7
    on_project.wait(
        lambda: all(model.index(row, 0).data(ThumbnailRole) is not None for row in range(6))
    )
    assert on_project.shown() == model.id_at(0)
    assert on_project.window.viewer.name.text().endswith("picture1.png")
    assert not on_project.errors


def test_an_unreadable_item_says_why(on_project: Opened) -> None:
    window = on_project.window
    window.session.set_item(window.library.model.id_at(6))
    on_project.wait(lambda: "cannot be shown" in window.viewer.canvas.note[0])
    assert "neither a picture" in window.viewer.canvas.note[1]
    assert not window.viewer.canvas.has_picture


def test_number_keys_label_and_go_on(on_project: Opened) -> None:
    window = on_project.window
    for key in "123":
        place = window.library.position()[0]
        press(window, key)
        assert window.library.position()[0] == place + 1
    assert labels_of(on_project)[:4] == [("cat",), ("dog",), ("bird",), ()]
    assert not on_project.errors


def test_zero_takes_the_label_away(on_project: Opened) -> None:
    press(on_project.window, "1")
    press(on_project.window, "a")
    press(on_project.window, "0")
    assert labels_of(on_project)[0] == ()


def test_without_auto_advance_the_item_stays(on_project: Opened) -> None:
    on_project.window.labels.auto_advance.setChecked(False)
    press(on_project.window, "2")
    assert on_project.window.library.position()[0] == 1
    assert labels_of(on_project)[0] == ("dog",)


def test_a_number_without_a_label_changes_nothing(on_project: Opened) -> None:
    press(on_project.window, "9")
    assert on_project.window.library.position()[0] == 1
    assert "9" in on_project.window.status.currentMessage()


def test_typing_numbers_in_a_field_does_not_label(on_project: Opened) -> None:
    search = on_project.window.library.search
    on_project.window.commands.search()
    QTest.keyClicks(search, "12")
    assert search.text() == "12"
    assert all(labels == () for labels in labels_of(on_project))


def test_a_selection_is_labelled_at_once(on_project: Opened) -> None:
    window = on_project.window
    window.library.grid.selectAll()
    press(window, "2")
    labels = labels_of(on_project)
    assert labels[:6] == [("dog",)] * 6
    assert window.library.position()[0] == 1


def test_undo_and_redo_by_keys(on_project: Opened) -> None:
    window = on_project.window
    control, shift = Qt.KeyboardModifier.ControlModifier, Qt.KeyboardModifier.ShiftModifier
    press(window, "1")
    press(window, "2")
    on_project.wait(lambda: window.session.project and window.session.project.can_undo)
    press(window, Qt.Key.Key_Z, control)
    assert labels_of(on_project)[:2] == [("cat",), ()]
    on_project.wait(lambda: window.session.project and window.session.project.can_redo)
    press(window, Qt.Key.Key_Z, control, shift)
    assert labels_of(on_project)[:2] == [("cat",), ("dog",)]
    on_project.wait(lambda: window.session.project and not window.session.project.can_redo)
    press(window, Qt.Key.Key_Z, control)
    on_project.wait(lambda: window.session.project and window.session.project.can_redo)
    press(window, Qt.Key.Key_Y, control)
    assert labels_of(on_project)[:2] == [("cat",), ("dog",)]
    on_project.wait(lambda: window.history.list.count() == 2)


def test_a_drawn_box_is_stored_moved_and_deleted(on_project: Opened) -> None:
    window = on_project.window
    window.session.active_label = "dog"
    press(window, "r")
    assert window.session.tool is Tool.BOX
    left = Qt.MouseButton.LeftButton
    drag(on_project, at(on_project, 20, 20), at(on_project, 80, 60), left)
    on_project.wait(lambda: len(window.viewer.canvas.shapes) == 1)
    stored = on_project.stored(lambda p: p.annotations())
    assert isinstance(stored, list)
    assert stored[0].box.label == "dog"
    assert stored[0].box.xyxy == pytest.approx((20, 20, 80, 60), abs=1)

    press(window, "v")
    drag(on_project, at(on_project, 50, 40), at(on_project, 70, 50), left)
    on_project.wait(lambda: window.session.project and window.session.project.can_undo)
    moved = on_project.stored(lambda p: p.annotations())
    assert isinstance(moved, list)
    assert moved[0].box.xyxy == pytest.approx((40, 30, 100, 70), abs=1.5)

    drag(on_project, at(on_project, 100, 70), at(on_project, 120, 90), left)
    resized = on_project.stored(lambda p: p.annotations())
    assert isinstance(resized, list)
    assert resized[0].box.xyxy == pytest.approx((40, 30, 120, 90), abs=2)

    press(window, Qt.Key.Key_Delete)
    on_project.wait(lambda: not window.viewer.canvas.shapes)
    assert on_project.stored(lambda p: p.annotations()) == []
    window.project.undo()
    on_project.wait(lambda: len(window.viewer.canvas.shapes) == 1)
    assert not on_project.errors


def test_a_box_needs_a_label_and_is_asked_for_it(
    on_project: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(TextDialog, "ask", lambda *_args, **_kwargs: "wing")
    on_project.window.session.set_tool(Tool.BOX)
    drag(on_project, at(on_project, 10, 10), at(on_project, 60, 60), Qt.MouseButton.LeftButton)
    on_project.wait(lambda: on_project.window.viewer.canvas.shapes)
    assert "wing" in [label.name for label in on_project.window.session.labels.labels]


def test_a_click_is_no_box(on_project: Opened) -> None:
    on_project.window.session.active_label = "dog"
    on_project.window.session.set_tool(Tool.BOX)
    drag(on_project, at(on_project, 20, 20), at(on_project, 20, 20), Qt.MouseButton.LeftButton)
    assert on_project.stored(lambda p: p.annotations()) == []


def test_a_box_by_keys_alone(on_project: Opened) -> None:
    window = on_project.window
    window.session.active_label = "cat"
    press(window, Qt.Key.Key_R, Qt.KeyboardModifier.ControlModifier)
    on_project.wait(lambda: window.viewer.canvas.selected_shape() is not None)
    canvas = window.viewer.canvas
    QTest.keyClick(canvas, Qt.Key.Key_Right)
    QTest.keyClick(canvas, Qt.Key.Key_Down, Qt.KeyboardModifier.ShiftModifier)
    stored = on_project.stored(lambda p: p.annotations())
    assert isinstance(stored, list)
    assert stored[0].box.xyxy == pytest.approx((61, 45, 101, 76))


def test_boxes_of_one_item_are_never_drawn_on_another(on_project: Opened) -> None:
    window = on_project.window
    window.session.active_label = "cat"
    window.commands.add_box((10, 10, 50, 50))
    on_project.wait(lambda: window.viewer.canvas.shapes)
    window.session.set_item(window.library.model.id_at(3))
    assert window.viewer.canvas.shapes == []
    assert not window.viewer.canvas.has_picture
    on_project.show_item(3)
    assert window.viewer.canvas.shapes == []


def test_quick_stepping_ends_at_the_right_picture(on_project: Opened) -> None:
    window = on_project.window
    for _ in range(5):
        press(window, "d")
    for _ in range(2):
        press(window, "a")
    wanted = window.library.model.id_at(3)
    on_project.wait(lambda: on_project.shown() == wanted)
    assert window.viewer.name.text().endswith("picture4.png")
    assert window.viewing.detail is not None
    assert window.viewing.detail.record.id == wanted


def test_the_ends_of_the_list_are_told(on_project: Opened) -> None:
    press(on_project.window, "a")
    assert on_project.window.library.position()[0] == 1
    assert "first" in on_project.window.status.currentMessage()


def test_next_unlabelled_skips_what_is_labelled(on_project: Opened) -> None:
    window = on_project.window
    ids = window.library.model.ids_between(0, 3)
    window.project.label(ids[1:3], "cat")
    control, shift = Qt.KeyboardModifier.ControlModifier, Qt.KeyboardModifier.ShiftModifier
    press(window, Qt.Key.Key_D, control, shift)
    on_project.wait(lambda: window.session.item == ids[3])
    assert window.session.item not in ids[1:3]


def test_search_and_filter(on_project: Opened) -> None:
    library = on_project.window.library
    library.search.setText("picture3")
    on_project.wait(lambda: library.model.rowCount() == 1)
    assert library.count_label.text() == "1 of 7 items"
    library.search.setText("nothing like it")
    on_project.wait(lambda: library.model.rowCount() == 0)
    assert library.page_title() == "No item fits"
    library.search.clear()
    library.status.setCurrentIndex(library.status.findData("unreadable"))
    on_project.wait(lambda: library.model.rowCount() == 1)


def test_zoom_keys_and_wheel(on_project: Opened) -> None:
    window = on_project.window
    canvas = window.viewer.canvas
    control = Qt.KeyboardModifier.ControlModifier
    fitted = canvas.transform
    press(window, Qt.Key.Key_0, control)
    assert canvas.transform.scale == pytest.approx(1.0)
    assert window.status.zoom.text() == "100%"
    press(window, Qt.Key.Key_F, control)
    assert canvas.transform == fitted


def test_space_pans(on_project: Opened) -> None:
    canvas = on_project.window.viewer.canvas
    canvas.actual_size()
    before = canvas.transform
    QTest.keyPress(canvas, Qt.Key.Key_Space)
    middle = canvas.rect().center()
    drag(on_project, middle, middle + QPoint(30, 20), Qt.MouseButton.LeftButton)
    QTest.keyRelease(canvas, Qt.Key.Key_Space)
    assert canvas.transform.x - before.x == pytest.approx(30)
    assert canvas.transform.y - before.y == pytest.approx(20)
    assert canvas.transform.scale == before.scale


def test_theme_switch(on_project: Opened) -> None:
    window = on_project.window
    window.actions_.by_id["theme-dark"].trigger()
    assert theme().name == "dark"
    dark = window.grab().toImage()
    corner = dark.pixelColor(3, dark.height() - 3).name()
    assert corner == tokens("dark")["panel"]
    window.actions_.by_id["theme-light"].trigger()
    light = window.grab().toImage()
    assert light.pixelColor(3, light.height() - 3).name() == tokens("light")["panel"]


def test_new_labels_and_the_label_list(on_project: Opened) -> None:
    labels = on_project.window.labels
    labels.new_label.setText("fox")
    QTest.keyClick(labels.new_label, Qt.Key.Key_Return)
    on_project.wait(lambda: labels.labels.count() == 4)
    assert labels.label_for_key("4") == "fox"


def test_opening_another_project_shows_nothing_of_the_first(
    on_project: Opened, tmp_path: Path
) -> None:
    window = on_project.window
    with Project.create(tmp_path / "other", name="Other"):
        pass
    window.commands.open_root(tmp_path / "other")
    on_project.wait(lambda: window.session.project and window.session.project.name == "Other")
    assert window.session.item is None
    assert not window.viewer.canvas.has_picture
    on_project.wait(lambda: window.library.count_label.text() == "0 items")
    assert window.library.model.rowCount() == 0


def test_a_folder_that_is_no_project_is_an_error_with_a_remedy(
    on_project: Opened, tmp_path: Path
) -> None:
    window = on_project.window
    window.commands.open_root(tmp_path / "nothing")
    on_project.wait(lambda: on_project.errors)
    assert on_project.errors[0].code == "project-not-found"
    assert window.session.project is not None
    assert window.session.project.name == "Test"


def test_close_project_goes_to_the_start_page(on_project: Opened) -> None:
    window = on_project.window
    window.commands.close_project()
    assert window.pages.currentIndex() == START
    assert window.library.model.rowCount() == 0
    assert "Test" in window.start.recent.item(0).text()


def test_closing_asks_while_jobs_run(on_project: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    window = on_project.window
    job = window.bridge.jobs.start("run", "Classify: many items")
    asked: list[str] = []

    def refuse(*arguments: object) -> QMessageBox.StandardButton:
        asked.append(str(arguments[2]))
        return QMessageBox.StandardButton.Cancel

    monkeypatch.setattr(QMessageBox, "question", refuse)
    assert not window.close()
    assert "Classify: many items" in asked[0]
    window.bridge.jobs.finish(job, {})
    assert window.close()


def test_labels_survive_closing_the_window(on_project: Opened, project_folder: Path) -> None:
    press(on_project.window, "3")
    on_project.window.close()
    with Project.open(project_folder) as project:
        assert project.items()[0].labels == ("bird",)
        assert project.can_undo()
