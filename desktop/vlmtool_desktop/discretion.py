"""The one switch that hides whatever identifies a person: names, numbers, dates, file names.

Whoever shows such a value asks here, and draws itself anew on `changed`.
"""

from __future__ import annotations

import re

from PySide6.QtCore import QCoreApplication, QObject, Signal

from vlmtool_core.log import without_paths

# What a step of the history names beside what was done: the file that was read.
_FILE_NAMED = re.compile(r" from \S.*$")


class Discretion(QObject):
    """Whether identifying values are hidden in this program."""

    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self._on = False

    @property
    def on(self) -> bool:
        return self._on

    def set_on(self, on: bool) -> None:
        if on != self._on:
            self._on = on
            self.changed.emit()

    def item_name(self, name: str, item_id: int | None) -> str:
        """The item's name; names of files and folders often are those of people."""
        if not self._on:
            return name
        item = QCoreApplication.translate("discretion", "Item")
        return item if item_id is None else f"{item} {item_id}"

    def value(self, text: str) -> str:
        """A value that may identify somebody; "" while that is hidden."""
        return "" if self._on else text

    def sentence(self, text: str) -> str:
        """A message without the paths of files in it."""
        return without_paths(text) if self._on else text

    def step(self, description: str) -> str:
        """What was done, without the name of the file that it was read from."""
        return _FILE_NAMED.sub("", description) if self._on else description


_current = Discretion()


def discretion() -> Discretion:
    """The switch of this program."""
    return _current
