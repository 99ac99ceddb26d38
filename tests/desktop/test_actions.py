"""The table of actions: unique keys, enabled when they can act, reachable by keyboard."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import (
    QAbstractButton,
    QAbstractItemView,
    QAbstractSlider,
    QComboBox,
    QLineEdit,
    QScrollBar,
    QToolButton,
    QWidget,
)
from tests.desktop.conftest import Opened

from vlmtool_desktop.action_table import action_table
from vlmtool_desktop.actions import conflicts
from vlmtool_desktop.controllers.project_controller import ProjectController
from vlmtool_desktop.session import Tool

NEEDS_A_PROJECT = ("add-files", "run", "train", "tool-box", "next", "label-1", "predict")


def test_no_key_is_claimed_twice(opened: Opened) -> None:
    assert conflicts(action_table(opened.window)) == []


def test_without_a_project_only_what_makes_sense_is_enabled(opened: Opened) -> None:
    actions = opened.window.actions_.by_id
    assert not any(actions[name].isEnabled() for name in NEEDS_A_PROJECT)
    assert all(actions[name].isEnabled() for name in ("new", "open", "keys", "quit", "pull"))


def test_with_an_item_everything_can_be_done(on_project: Opened) -> None:
    actions = on_project.window.actions_.by_id
    assert all(actions[name].isEnabled() for name in NEEDS_A_PROJECT)
    assert not actions["undo"].isEnabled()
    assert not actions["next-frame"].isEnabled()


def test_tools_show_the_sessions_state(on_project: Opened) -> None:
    window = on_project.window
    window.actions_.by_id["tool-box"].trigger()
    assert window.session.tool is Tool.BOX
    assert window.actions_.by_id["tool-box"].isChecked()
    assert not window.actions_.by_id["tool-select"].isChecked()


def test_workflows_have_a_menu_before_help(opened: Opened) -> None:
    titles = [action.text().replace("&", "") for action in opened.window.menuBar().actions()]
    assert titles == ["File", "Edit", "View", "Measure", "Go", "Model", "Workflows", "Help"]


def test_everything_that_can_be_used_has_a_name(on_project: Opened) -> None:
    """Screen readers need a name; a text on a button is one."""
    kinds = (QAbstractButton, QComboBox, QLineEdit, QAbstractItemView, QAbstractSlider)
    nameless = []
    for widget in on_project.window.findChildren(QWidget):
        if not isinstance(widget, kinds) or isinstance(widget, QScrollBar):
            continue
        text = widget.text() if isinstance(widget, QAbstractButton | QLineEdit) else ""
        internal = widget.objectName().startswith("qt_") or _inside_another(widget)
        if not (widget.accessibleName() or text or internal):
            nameless.append(f"{type(widget).__name__} in {type(widget.parent()).__name__}")
    assert nameless == []


def _inside_another(widget: QWidget) -> bool:
    """The parts of which Qt makes combo boxes, spin boxes, tables and tab bars."""
    parent = widget.parent()
    while parent is not None:
        name = type(parent).__name__
        if name in {"QComboBox", "QSpinBox", "QTabBar", "QTreeWidget", "QComboBoxPrivateContainer"}:
            return True
        parent = parent.parent()
    return type(widget).__name__ == "QHeaderView"


def test_every_control_is_reached_by_tab(on_project: Opened) -> None:
    for button in on_project.window.findChildren(QToolButton):
        if button.accessibleName() and button.isVisible():
            assert button.focusPolicy() & Qt.FocusPolicy.TabFocus, button.accessibleName()


def test_the_number_keys_of_the_labels_are_shown(on_project: Opened) -> None:
    labels = on_project.window.labels
    assert [labels.label_for_key(key) for key in "1234"] == ["cat", "dog", "bird", None]


def test_what_adding_came_to_is_said_in_words(opened: Opened) -> None:
    controller = opened.window.project
    assert isinstance(controller, ProjectController)
    result = {
        "added": 3,
        "unchanged": 1,
        "refound": 0,
        "duplicates": [["a", "b"]],
        "unreadable": [{}, {}],
    }
    assert controller.added_text(result) == (
        "Added 3, 1 were there already, 1 have the same content as another, 2 cannot be read"
    )


def test_delete_in_the_list_removes_what_is_chosen_there(on_project: Opened) -> None:
    window = on_project.window
    item = window.session.item
    assert item is not None
    window.project.write(lambda p: p.add_text(item, 0, "a text"))
    listed = window.labels.annotations
    on_project.wait(lambda: listed.count() == 1)
    listed.setFocus()
    listed.setCurrentRow(0)
    QTest.keyClick(listed, Qt.Key.Key_Delete)
    on_project.wait(lambda: listed.count() == 0)
