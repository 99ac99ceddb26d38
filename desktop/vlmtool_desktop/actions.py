"""The table of actions, from which menus, tool bar and cheat sheet are made."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from PySide6.QtCore import QCoreApplication, QObject, Qt
from PySide6.QtGui import QAction, QKeySequence
from PySide6.QtWidgets import QMainWindow, QMenu, QToolBar, QToolButton

from vlmtool_desktop import icons
from vlmtool_desktop.dialogs.help_dialogs import native
from vlmtool_desktop.session import Session
from vlmtool_desktop.theme import theme

CONTEXT = "actions"
SEPARATOR = "-"

State = Callable[[Session], bool]


def _always(_session: Session) -> bool:
    return True


def has_project(session: Session) -> bool:
    return session.project is not None


def has_item(session: Session) -> bool:
    return session.item is not None


def has_frames(session: Session) -> bool:
    return session.frame_count > 1


def can_undo(session: Session) -> bool:
    return session.project is not None and session.project.can_undo


def can_redo(session: Session) -> bool:
    return session.project is not None and session.project.can_redo


@dataclass(frozen=True)
class Action:
    """One thing a user can do.

    menu : the title of its menu, "" to be in none; the table's order is the menu's order
    shortcuts : the first one is shown
    checked : makes it a switch that shows the session's state
    toolbar : whether it has a button; brief : the word beside its picture, "" for none
    """

    id: str
    text: str
    handler: Callable[[], object]
    menu: str = ""
    shortcuts: tuple[str, ...] = ()
    icon: str = ""
    enabled: State = _always
    checked: State | None = None
    toolbar: bool = False
    brief: str = ""
    separator: bool = field(default=False)


def QT_TRANSLATE_NOOP(_context: str, text: str) -> str:
    """Marks a text for translation where it is declared; the name is what lupdate looks for."""
    return text


# Keys and mouse gestures that belong to a panel or the picture, for the cheat sheet.
_IN_PICTURE = QT_TRANSLATE_NOOP("actions", "In the picture")
_IN_PLANES = QT_TRANSLATE_NOOP("actions", "In the three planes")
_IN_REVIEW = QT_TRANSLATE_NOOP("actions", "In predictions and review")
GESTURES: dict[str, tuple[tuple[str, str], ...]] = {
    _IN_PICTURE: (
        ("Wheel", QT_TRANSLATE_NOOP("actions", "Zoom where the pointer is")),
        ("Space", QT_TRANSLATE_NOOP("actions", "Play or pause")),
        ("Space + drag", QT_TRANSLATE_NOOP("actions", "Move the picture (also middle button)")),
        ("Shift + wheel", QT_TRANSLATE_NOOP("actions", "Move sideways")),
        ("Right drag", QT_TRANSLATE_NOOP("actions", "DICOM window: across width, up level")),
        ("Ctrl+1 … Ctrl+9", QT_TRANSLATE_NOOP("actions", "Named DICOM window (View menu)")),
        ("← →", QT_TRANSLATE_NOOP("actions", "Frame before, next frame (Shift: ten)")),
        ("Arrows", QT_TRANSLATE_NOOP("actions", "Move the selected box (Ctrl: ten pixels)")),
        ("Shift + arrows", QT_TRANSLATE_NOOP("actions", "Resize the selected box")),
        ("Enter", QT_TRANSLATE_NOOP("actions", "End a line, or put a measurement in the middle")),
        ("N", QT_TRANSLATE_NOOP("actions", "Next point of the measurement, for the arrows")),
        ("Esc", QT_TRANSLATE_NOOP("actions", "Give up what is being drawn")),
    ),
    _IN_PLANES: (
        ("Wheel", QT_TRANSLATE_NOOP("actions", "Next plane (also arrow keys)")),
        ("Click, drag", QT_TRANSLATE_NOOP("actions", "Where the planes meet")),
        ("Ctrl + wheel", QT_TRANSLATE_NOOP("actions", "Zoom (double click: whole plane)")),
    ),
    _IN_REVIEW: (
        ("Enter", QT_TRANSLATE_NOOP("actions", "Accept")),
        ("Backspace", QT_TRANSLATE_NOOP("actions", "Reject")),
        ("E", QT_TRANSLATE_NOOP("actions", "Edit")),
        ("S", QT_TRANSLATE_NOOP("actions", "Skip (review)")),
    ),
}


def translate(text: str) -> str:
    return QCoreApplication.translate(CONTEXT, text)


class ActionSet(QObject):
    """The table as `QAction`s of a window; enabled and checked follow the session."""

    def __init__(self, window: QMainWindow, session: Session, table: Sequence[Action]) -> None:
        super().__init__(window)
        self._window = window
        self._session = session
        self._table = tuple(table)
        self.by_id: dict[str, QAction] = {}
        self.menus: dict[str, QMenu] = {}
        for action in self._table:
            self._make(action)
        for signal in (
            session.project_changed,
            session.history_changed,
            session.item_changed,
            session.frame_changed,
            session.selection_changed,
            session.tool_changed,
            session.overlays_changed,
        ):
            signal.connect(self.update)
        theme().changed.connect(self._draw_icons)
        self.update()

    def _make(self, action: Action) -> None:
        made = QAction(translate(action.text), self._window)
        made.setObjectName(action.id)
        made.setShortcuts([QKeySequence(s) for s in action.shortcuts])
        made.setCheckable(action.checked is not None)
        made.triggered.connect(lambda _checked=False, run=action.handler: self._run(run))
        if action.icon:
            made.setIcon(icons.icon(action.icon))
        if action.shortcuts:
            made.setToolTip(f"{translate(action.text).rstrip('…')} ({native(action.shortcuts[0])})")
        self.by_id[action.id] = made
        self._window.addAction(made)
        if action.menu:
            menu = self._menu(action.menu)
            if action.separator and not menu.isEmpty():
                menu.addSeparator()
            menu.addAction(made)

    def _run(self, handler: Callable[[], object]) -> None:
        handler()
        # A switch has flipped by itself; it must show the session's state, not its own.
        self.update()

    def _menu(self, title: str) -> QMenu:
        if title not in self.menus:
            self.menus[title] = self._window.menuBar().addMenu(translate(title))
        return self.menus[title]

    def _draw_icons(self) -> None:
        for action in self._table:
            if action.icon:
                self.by_id[action.id].setIcon(icons.icon(action.icon))

    def fill_toolbar(self, toolbar: QToolBar) -> None:
        """Add the buttons, with a line between those of different menus."""
        previous = ""
        for action in self._table:
            if not action.toolbar:
                continue
            if previous and (action.menu != previous or action.separator):
                toolbar.addSeparator()
            toolbar.addAction(self.by_id[action.id])
            button = toolbar.widgetForAction(self.by_id[action.id])
            if action.brief and isinstance(button, QToolButton):
                self.by_id[action.id].setIconText(translate(action.brief))
                button.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
            previous = action.menu

    def update(self) -> None:
        """Ask the table which actions are enabled and checked now."""
        for action in self._table:
            made = self.by_id[action.id]
            made.setEnabled(action.enabled(self._session))
            if action.checked is not None:
                made.setChecked(action.checked(self._session))

    def keys(self) -> dict[str, list[tuple[str, str]]]:
        """(key, text) by topic, for the cheat sheet."""
        topics: dict[str, list[tuple[str, str]]] = {}
        for action in self._table:
            if action.shortcuts and action.menu:
                key = "  ".join(native(s) for s in action.shortcuts[:2])
                text = translate(action.text).replace("&", "").rstrip("…")
                topics.setdefault(translate(action.menu).replace("&", ""), []).append((key, text))
        for topic, rows in GESTURES.items():
            topics[translate(topic)] = [(key, translate(text)) for key, text in rows]
        return topics


def conflicts(table: Sequence[Action]) -> list[tuple[str, str, str]]:
    """(key, action, action) for keys that two actions claim; empty in a sound table."""
    owners: dict[str, str] = {}
    found = []
    for action in table:
        for shortcut in action.shortcuts:
            key = QKeySequence(shortcut).toString()
            if key in owners:
                found.append((key, owners[key], action.id))
            owners.setdefault(key, action.id)
    return found
