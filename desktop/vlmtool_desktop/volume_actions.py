"""The actions around volumes: their planes, and the letters at the edges of pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vlmtool_desktop.actions import QT_TRANSLATE_NOOP, Action, has_project
from vlmtool_desktop.session import Overlay
from vlmtool_desktop.view_actions import VIEW

if TYPE_CHECKING:
    from vlmtool_desktop.main_window import MainWindow


def volume_actions(window: MainWindow) -> list[Action]:
    session = window.session
    return [
        Action(
            "planes",
            QT_TRANSLATE_NOOP("actions", "T&hree planes"),
            lambda: window.planes.toggle(),
            VIEW,
            ("P",),
            "planes",
            lambda _session: not window.planes.why_not,
            lambda _session: window.planes.is_open,
            toolbar=True,
            separator=True,
        ),
        Action(
            "show-letters",
            QT_TRANSLATE_NOOP("actions", "Show letters of the s&ides"),
            lambda: session.toggle_overlay(Overlay.LETTERS),
            VIEW,
            ("Ctrl+Shift+L",),
            enabled=has_project,
            checked=lambda s: Overlay.LETTERS in s.overlays,
        ),
    ]
