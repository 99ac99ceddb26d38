"""Shows what a model saw of the item in the viewer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QObject

from vlmtool_desktop.dialogs.seen_dialog import SeenDialog
from vlmtool_desktop.panels.predictions import Choice

if TYPE_CHECKING:
    from vlmtool_core.engine.pictures.seen import Seen
    from vlmtool_core.project import ItemRecord, PredictionRecord
    from vlmtool_desktop.main_window import MainWindow


class SeenController(QObject):
    """Makes the picture again in a thread; it may have to be decoded whole."""

    def __init__(self, window: MainWindow) -> None:
        super().__init__(window)
        self._window = window
        window.predictions.seen_requested.connect(self.show)

    def show(self, choice: Choice) -> None:
        detail, prediction = self._window.viewing.detail, choice.prediction
        if detail is not None:
            self._window.bridge.view(
                lambda: _see(detail.record, prediction),
                lambda seen: SeenDialog(seen, prediction, self._window).open(),
                lane="seen",
            )


def _see(item: ItemRecord, prediction: PredictionRecord) -> Seen:
    from vlmtool_core.project.seen import seen_by

    return seen_by(item, prediction)
