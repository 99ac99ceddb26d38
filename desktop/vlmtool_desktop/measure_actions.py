"""The actions of the Measure menu."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vlmtool_desktop.actions import QT_TRANSLATE_NOOP, Action, has_item
from vlmtool_desktop.session import Tool

if TYPE_CHECKING:
    from vlmtool_desktop.main_window import MainWindow

MEASURE = QT_TRANSLATE_NOOP("actions", "Mea&sure")

_TOOLS = (
    (Tool.DISTANCE, QT_TRANSLATE_NOOP("actions", "&Distance"), "M"),
    (Tool.POLYLINE, QT_TRANSLATE_NOOP("actions", "&Polyline (Enter ends it)"), "Shift+M"),
    (Tool.ANGLE, QT_TRANSLATE_NOOP("actions", "&Angle"), "G"),
    (Tool.COBB, QT_TRANSLATE_NOOP("actions", "&Cobb angle"), "Shift+G"),
    (Tool.RECTANGLE, QT_TRANSLATE_NOOP("actions", "Values in a &rectangle"), "Shift+R"),
    (Tool.ELLIPSE, QT_TRANSLATE_NOOP("actions", "Values in an &ellipse"), "Shift+E"),
    (Tool.FREEHAND, QT_TRANSLATE_NOOP("actions", "Values in a &freehand outline"), "Shift+F"),
    (Tool.PROBE, QT_TRANSLATE_NOOP("actions", "Pro&be: the value of a pixel"), "Shift+P"),
)


def measure_actions(window: MainWindow) -> list[Action]:
    session = window.session

    def tool(which: Tool, text: str, key: str) -> Action:
        return Action(
            f"measure-{which.value}",
            text,
            lambda: session.set_tool(which),
            MEASURE,
            (key,),
            f"measure-{which.value}",
            has_item,
            lambda s: s.tool is which,
            separator=which in (Tool.RECTANGLE, Tool.PROBE),
        )

    return [tool(*row) for row in _TOOLS]
