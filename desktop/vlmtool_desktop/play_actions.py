"""The actions that play what has frames in time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vlmtool_desktop.actions import QT_TRANSLATE_NOOP, Action, has_frames
from vlmtool_desktop.view_actions import GO

if TYPE_CHECKING:
    from vlmtool_desktop.main_window import MainWindow


def play_actions(window: MainWindow) -> list[Action]:
    return [
        Action(
            "play",
            QT_TRANSLATE_NOOP("actions", "Pla&y or pause"),
            lambda: window.playing.toggle(),
            GO,
            ("K",),
            "run",
            has_frames,
            separator=True,
        ),
        Action(
            "slower",
            QT_TRANSLATE_NOOP("actions", "Slo&wer"),
            lambda: window.playing.change_speed(-1),
            GO,
            ("[",),
            enabled=has_frames,
        ),
        Action(
            "faster",
            QT_TRANSLATE_NOOP("actions", "Fas&ter"),
            lambda: window.playing.change_speed(1),
            GO,
            ("]",),
            enabled=has_frames,
        ),
        Action(
            "loop",
            QT_TRANSLATE_NOOP("actions", "L&oop: start, end, none"),
            lambda: window.playing.mark_loop(),
            GO,
            ("Shift+L",),
            "loop",
            has_frames,
        ),
    ]
