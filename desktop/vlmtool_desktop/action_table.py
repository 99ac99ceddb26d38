"""Which actions the main window has, in the order of its menus."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vlmtool_desktop.actions import (
    QT_TRANSLATE_NOOP,
    Action,
    can_redo,
    can_undo,
    has_item,
    has_project,
)
from vlmtool_desktop.measure_actions import measure_actions
from vlmtool_desktop.play_actions import play_actions
from vlmtool_desktop.view_actions import go_actions, tool_actions, view_actions
from vlmtool_desktop.volume_actions import volume_actions

if TYPE_CHECKING:
    from vlmtool_desktop.main_window import MainWindow

FILE = QT_TRANSLATE_NOOP("actions", "&File")
EDIT = QT_TRANSLATE_NOOP("actions", "&Edit")
MODEL = QT_TRANSLATE_NOOP("actions", "&Model")
HELP = QT_TRANSLATE_NOOP("actions", "&Help")


def action_table(window: MainWindow) -> list[Action]:
    """The whole table; keys are unique, which a test proves."""
    return [
        *_file(window),
        *_program(window),
        *_edit(window),
        *tool_actions(window),
        *view_actions(window),
        *measure_actions(window),
        *volume_actions(window),
        *go_actions(window),
        *play_actions(window),
        *_model(window),
        *_packs(window),
        *_engine(window),
        *_labels(window),
        *_help(window),
    ]


def _file(window: MainWindow) -> list[Action]:
    do = window.commands
    return [
        Action(
            "new",
            QT_TRANSLATE_NOOP("actions", "&New project…"),
            do.new_project,
            FILE,
            ("Ctrl+N",),
            "new",
        ),
        Action(
            "open",
            QT_TRANSLATE_NOOP("actions", "&Open project…"),
            do.open_project,
            FILE,
            ("Ctrl+O",),
            "open",
        ),
        Action(
            "add-files",
            QT_TRANSLATE_NOOP("actions", "&Add files…"),
            do.add_files,
            FILE,
            ("Ctrl+Shift+O",),
            "add",
            has_project,
            toolbar=True,
            brief=QT_TRANSLATE_NOOP("actions", "Add"),
            separator=True,
        ),
        Action(
            "add-folder",
            QT_TRANSLATE_NOOP("actions", "Add a &folder…"),
            do.add_folder,
            FILE,
            enabled=has_project,
        ),
    ]


def _program(window: MainWindow) -> list[Action]:
    do = window.commands
    return [
        Action(
            "close-project",
            QT_TRANSLATE_NOOP("actions", "&Close project"),
            do.close_project,
            FILE,
            ("Ctrl+W",),
            enabled=has_project,
            separator=True,
        ),
        Action(
            "settings",
            QT_TRANSLATE_NOOP("actions", "&Settings…"),
            do.edit_settings,
            FILE,
            ("Ctrl+,",),
        ),
        Action(
            "quit",
            QT_TRANSLATE_NOOP("actions", "&Quit"),
            window.close,
            FILE,
            ("Ctrl+Q",),
            separator=True,
        ),
    ]


def _edit(window: MainWindow) -> list[Action]:
    do, project = window.commands, window.project
    return [
        Action(
            "undo",
            QT_TRANSLATE_NOOP("actions", "&Undo"),
            project.undo,
            EDIT,
            ("Ctrl+Z",),
            "undo",
            can_undo,
            toolbar=True,
        ),
        Action(
            "redo",
            QT_TRANSLATE_NOOP("actions", "&Redo"),
            project.redo,
            EDIT,
            ("Ctrl+Shift+Z", "Ctrl+Y"),
            "redo",
            can_redo,
            toolbar=True,
        ),
        Action(
            "delete",
            QT_TRANSLATE_NOOP("actions", "&Delete annotation"),
            lambda: window.measuring.delete(),
            EDIT,
            ("Delete",),
            "delete",
            has_item,
            separator=True,
        ),
        Action(
            "relabel",
            QT_TRANSLATE_NOOP("actions", "Change &label of the annotation…"),
            do.edit_selected,
            EDIT,
            ("Ctrl+E",),
            enabled=has_item,
        ),
        Action(
            "add-text",
            QT_TRANSLATE_NOOP("actions", "Write a &text on the item…"),
            do.add_text,
            EDIT,
            ("T",),
            enabled=has_item,
        ),
        Action(
            "edit-labels",
            QT_TRANSLATE_NOOP("actions", "L&abels of the project…"),
            do.edit_labels,
            EDIT,
            ("Ctrl+L",),
            "tag",
            has_project,
        ),
    ]


def _model(window: MainWindow) -> list[Action]:
    do = window.commands
    return [
        Action(
            "predict",
            QT_TRANSLATE_NOOP("actions", "&Ask about this item…"),
            do.predict,
            MODEL,
            ("I",),
            "predict",
            has_item,
            toolbar=True,
            brief=QT_TRANSLATE_NOOP("actions", "Ask"),
        ),
        Action(
            "run",
            QT_TRANSLATE_NOOP("actions", "&Run over many items…"),
            do.run,
            MODEL,
            ("Ctrl+B",),
            "run",
            has_project,
            toolbar=True,
            brief=QT_TRANSLATE_NOOP("actions", "Run"),
        ),
        Action(
            "accept-next",
            QT_TRANSLATE_NOOP("actions", "A&ccept the classification and go on"),
            do.accept_and_go_on,
            MODEL,
            ("Ctrl+Return",),
            "accept",
            has_item,
        ),
        Action(
            "train",
            QT_TRANSLATE_NOOP("actions", "&Train on your labels…"),
            do.train,
            MODEL,
            ("Ctrl+T",),
            "train",
            has_project,
            toolbar=True,
            brief=QT_TRANSLATE_NOOP("actions", "Train"),
        ),
    ]


def _packs(window: MainWindow) -> list[Action]:
    return [
        Action(
            "pull",
            QT_TRANSLATE_NOOP("actions", "&Get the starter models"),
            window.engine.pull_starter,
            MODEL,
            icon="download",
            separator=True,
        ),
        Action(
            "models",
            QT_TRANSLATE_NOOP("actions", "All &models…"),
            lambda: window.model_packs.open(),
            MODEL,
            ("Ctrl+M",),
        ),
    ]


def _engine(window: MainWindow) -> list[Action]:
    return [
        Action(
            "unload",
            QT_TRANSLATE_NOOP("actions", "&Unload the models"),
            window.host.unload,
            MODEL,
            separator=True,
        ),
        Action(
            "restart-engine",
            QT_TRANSLATE_NOOP("actions", "R&estart the engine"),
            window.host.restart,
            MODEL,
        ),
    ]


def _labels(window: MainWindow) -> list[Action]:
    """Number keys, in no menu; the labels panel shows them."""

    def key(number: str) -> Action:
        return Action(
            f"label-{number}",
            number,
            lambda: window.commands.label_by_key(number),
            shortcuts=(number,),
            enabled=has_item,
        )

    return [key(number) for number in "1234567890"]


def _help(window: MainWindow) -> list[Action]:
    do = window.commands
    return [
        Action("keys", QT_TRANSLATE_NOOP("actions", "&Keys"), do.show_keys, HELP, ("F1",), "help"),
        Action(
            "help", QT_TRANSLATE_NOOP("actions", "&Help pages"), do.show_help, HELP, ("Shift+F1",)
        ),
        Action(
            "engine-log", QT_TRANSLATE_NOOP("actions", "Engine &log…"), window.host.show_log, HELP
        ),
        Action(
            "about",
            QT_TRANSLATE_NOOP("actions", "&About vlmtool"),
            do.show_about,
            HELP,
            separator=True,
        ),
    ]
