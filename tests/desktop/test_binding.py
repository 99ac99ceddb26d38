"""The binding to Qt keeps count of references: a release that did not crashed after a while."""

from __future__ import annotations

import sys
from collections.abc import Callable

import pytest
from PySide6.QtCore import QObject, Signal
from PySide6.QtWidgets import QWidget
from pytestqt.qtbot import QtBot

TIMES = 300


class Emitter(QObject):
    happened = Signal(object)

    def listen(self, _value: object) -> None: ...


class Painted(QWidget):
    def paintEvent(self, event: object) -> None: ...


def lost(call: Callable[[], object]) -> dict[str, int]:
    """References to None, True and False that `TIMES` calls took away."""
    values = {"None": None, "True": True, "False": False}
    before = {name: sys.getrefcount(value) for name, value in values.items()}
    for _ in range(TIMES):
        call()
    after = {name: sys.getrefcount(value) for name, value in values.items()}
    return {n: before[n] - after[n] for n in values if before[n] - after[n] > TIMES // 2}


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="None is immortal from Python 3.12 on")
def test_calls_into_qt_lose_no_references(qtbot: QtBot) -> None:
    emitter = Emitter()
    emitter.happened.connect(emitter.listen)
    widget = Painted()
    qtbot.addWidget(widget)
    widget.show()
    assert lost(lambda: emitter.happened.emit(None)) == {}
    assert lost(lambda: widget.setVisible(True)) == {}
    assert lost(widget.repaint) == {}
    assert lost(widget.parent) == {}
