"""The actions that change what is seen: tools, view, and going from item to item."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vlmtool_desktop.actions import QT_TRANSLATE_NOOP, Action, has_frames, has_item, has_project
from vlmtool_desktop.discretion import discretion
from vlmtool_desktop.session import Overlay, Tool
from vlmtool_desktop.theme import theme

if TYPE_CHECKING:
    from vlmtool_desktop.main_window import MainWindow

VIEW = QT_TRANSLATE_NOOP("actions", "&View")
GO = QT_TRANSLATE_NOOP("actions", "&Go")


def tool_actions(window: MainWindow) -> list[Action]:
    session = window.session

    def tool(name: str, text: str, key: str, icon: str, which: Tool, *, first: bool) -> Action:
        return Action(
            name,
            text,
            lambda: session.set_tool(which),
            VIEW,
            (key,),
            icon,
            has_project,
            lambda s: s.tool is which,
            toolbar=True,
            separator=first,
        )

    return [
        tool(
            "tool-select",
            QT_TRANSLATE_NOOP("actions", "&Select"),
            "V",
            "select",
            Tool.SELECT,
            first=True,
        ),
        tool(
            "tool-pan",
            QT_TRANSLATE_NOOP("actions", "&Move the picture"),
            "H",
            "hand",
            Tool.PAN,
            first=False,
        ),
        tool(
            "tool-box",
            QT_TRANSLATE_NOOP("actions", "Draw a &box"),
            "R",
            "box",
            Tool.BOX,
            first=False,
        ),
        Action(
            "box-by-keys",
            QT_TRANSLATE_NOOP("actions", "Put a box in the middle"),
            window.commands.add_middle_box,
            VIEW,
            ("Ctrl+R",),
            enabled=has_item,
        ),
    ]


def view_actions(window: MainWindow) -> list[Action]:
    return [*_zoom_actions(window), *_overlay_actions(window), *_theme_actions(window)]


def _zoom_actions(window: MainWindow) -> list[Action]:
    canvas = window.viewer.canvas
    return [
        Action(
            "fit",
            QT_TRANSLATE_NOOP("actions", "&Fit the picture"),
            canvas.fit,
            VIEW,
            ("Ctrl+F",),
            "fit",
            has_item,
            toolbar=True,
            separator=True,
        ),
        Action(
            "actual-size",
            QT_TRANSLATE_NOOP("actions", "&100 %"),
            canvas.actual_size,
            VIEW,
            ("Ctrl+0",),
            "actual",
            has_item,
            toolbar=True,
        ),
        Action(
            "zoom-in",
            QT_TRANSLATE_NOOP("actions", "Zoom &in"),
            lambda: canvas.zoom(1.25),
            VIEW,
            ("Ctrl++", "Ctrl+="),
            enabled=has_item,
        ),
        Action(
            "zoom-out",
            QT_TRANSLATE_NOOP("actions", "Zoom &out"),
            lambda: canvas.zoom(0.8),
            VIEW,
            ("Ctrl+-",),
            enabled=has_item,
        ),
        Action(
            "reset-window",
            QT_TRANSLATE_NOOP("actions", "DICOM &window of the file"),
            window.viewing.reset_window,
            VIEW,
            ("W",),
            "window",
            lambda _session: window.viewing.window is not None,
            toolbar=True,
        ),
        Action(
            "header",
            QT_TRANSLATE_NOOP("actions", "&Header of the file…"),
            window.viewing.show_header,
            VIEW,
            ("Ctrl+I",),
            "info",
            has_item,
        ),
    ]


def _overlay_actions(window: MainWindow) -> list[Action]:
    session = window.session

    def overlay(name: str, text: str, key: tuple[str, ...], which: Overlay) -> Action:
        return Action(
            name,
            text,
            lambda: session.toggle_overlay(which),
            VIEW,
            key,
            enabled=has_project,
            checked=lambda s: which in s.overlays,
            separator=which is Overlay.ANNOTATIONS,
        )

    return [
        overlay(
            "show-annotations",
            QT_TRANSLATE_NOOP("actions", "Show &annotations"),
            ("Ctrl+H",),
            Overlay.ANNOTATIONS,
        ),
        overlay(
            "show-predictions",
            QT_TRANSLATE_NOOP("actions", "Show &predictions"),
            ("Ctrl+P",),
            Overlay.PREDICTIONS,
        ),
        overlay("show-text", QT_TRANSLATE_NOOP("actions", "Show read &text"), (), Overlay.TEXT),
        overlay("show-caption", QT_TRANSLATE_NOOP("actions", "Show &caption"), (), Overlay.CAPTION),
        overlay(
            "show-graphics",
            QT_TRANSLATE_NOOP("actions", "Show DICOM &overlays"),
            ("O",),
            Overlay.GRAPHICS,
        ),
        overlay(
            "show-corners",
            QT_TRANSLATE_NOOP("actions", "Show patient and st&udy"),
            ("Shift+O",),
            Overlay.CORNERS,
        ),
        Action(
            "hide-identifying",
            QT_TRANSLATE_NOOP("actions", "Hide whatever &identifies people"),
            lambda: window.identity.toggle(),
            VIEW,
            ("Ctrl+Shift+H",),
            checked=lambda _session: discretion().on,
        ),
    ]


def _theme_actions(window: MainWindow) -> list[Action]:
    def mode(name: str, text: str, *, first: bool = False) -> Action:
        return Action(
            f"theme-{name}",
            text,
            lambda: window.set_theme(name),
            VIEW,
            checked=lambda _session: theme().mode == name,
            separator=first,
        )

    return [
        mode("auto", QT_TRANSLATE_NOOP("actions", "Colours of the s&ystem"), first=True),
        mode("light", QT_TRANSLATE_NOOP("actions", "&Light")),
        mode("dark", QT_TRANSLATE_NOOP("actions", "&Dark")),
        Action(
            "full-screen",
            QT_TRANSLATE_NOOP("actions", "F&ull screen"),
            window.commands.toggle_full_screen,
            VIEW,
            ("F11",),
            separator=True,
        ),
    ]


def go_actions(window: MainWindow) -> list[Action]:
    return [*_item_actions(window), *_frame_actions(window), *_panel_actions(window)]


def _item_actions(window: MainWindow) -> list[Action]:
    do = window.commands
    return [
        Action(
            "previous",
            QT_TRANSLATE_NOOP("actions", "&Previous item"),
            lambda: do.step(-1),
            GO,
            ("A", "PgUp"),
            "previous",
            has_project,
            toolbar=True,
        ),
        Action(
            "next",
            QT_TRANSLATE_NOOP("actions", "&Next item"),
            lambda: do.step(1),
            GO,
            ("D", "PgDown"),
            "next",
            has_project,
            toolbar=True,
        ),
        Action(
            "previous-unlabelled",
            QT_TRANSLATE_NOOP("actions", "Previous &unlabelled"),
            lambda: do.step_unlabelled(-1),
            GO,
            ("Ctrl+Shift+A",),
            enabled=has_project,
        ),
        Action(
            "next-unlabelled",
            QT_TRANSLATE_NOOP("actions", "Next un&labelled"),
            lambda: do.step_unlabelled(1),
            GO,
            ("Ctrl+Shift+D",),
            enabled=has_project,
        ),
        Action(
            "search",
            QT_TRANSLATE_NOOP("actions", "&Search"),
            do.search,
            GO,
            ("/",),
            "search",
            has_project,
        ),
    ]


def _frame_actions(window: MainWindow) -> list[Action]:
    def frames(name: str, text: str, key: str, distance: int) -> Action:
        return Action(
            name,
            text,
            lambda: window.viewer.step(distance),
            GO,
            (key,),
            enabled=has_frames,
            separator=distance == -1,
        )

    return [
        frames("previous-frame", QT_TRANSLATE_NOOP("actions", "Previous &frame"), ",", -1),
        frames("next-frame", QT_TRANSLATE_NOOP("actions", "Next f&rame"), ".", 1),
    ]


def _panel_actions(window: MainWindow) -> list[Action]:
    def tab(number: int, text: str) -> Action:
        return Action(
            f"tab-{number}",
            text,
            lambda: window.tabs.setCurrentIndex(number - 1),
            GO,
            (f"Alt+{number}",),
            enabled=has_project,
            separator=number == 1,
        )

    return [
        tab(1, QT_TRANSLATE_NOOP("actions", "&Item")),
        tab(2, QT_TRANSLATE_NOOP("actions", "Re&view")),
        tab(3, QT_TRANSLATE_NOOP("actions", "&Jobs")),
        tab(4, QT_TRANSLATE_NOOP("actions", "&History")),
        tab(5, QT_TRANSLATE_NOOP("actions", "&Measured")),
    ]
