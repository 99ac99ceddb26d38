"""Shows what identifies a patient in the corners of the picture, and hides all of it at once."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject

from vlmtool_core.errors import VlmtoolError
from vlmtool_core.records import ErrorInfo, MediaKind
from vlmtool_core.settings import save_settings
from vlmtool_desktop.canvas.corner_texts import Corners, CornerTexts, corners_of
from vlmtool_desktop.discretion import discretion
from vlmtool_desktop.session import Overlay

if TYPE_CHECKING:
    from vlmtool_desktop.main_window import MainWindow


class IdentityController(QObject):
    """Owns the layer of corner texts and the switch of `discretion`."""

    def __init__(self, window: MainWindow) -> None:
        super().__init__(window)
        self._window = window
        self.texts = CornerTexts()
        window.viewer.canvas.layers.append(self.texts)
        window.viewing.frame_shown.connect(lambda _loaded: self._update())
        window.session.overlays_changed.connect(self._update)
        discretion().changed.connect(self._changed)

    def toggle(self) -> None:
        """Hide what identifies people, or show it again; also in the next session."""
        discretion().set_on(not discretion().on)
        window = self._window
        window.settings = replace(window.settings, hide_identifying_values=discretion().on)
        try:
            save_settings(window.settings)
        except VlmtoolError as error:
            window.bridge.failed.emit(ErrorInfo.from_exception(error))

    def _changed(self) -> None:
        window = self._window
        window.show_title()
        window.actions_.update()
        window.review.list.viewport().update()
        window.library.grid.viewport().update()
        self._update()
        if discretion().on:
            window.status.say(self.tr("Names, numbers and file names are hidden everywhere."))
        else:
            window.status.say(self.tr("Names, numbers and file names are shown."))

    def _update(self) -> None:
        loaded = self._window.viewing.loaded
        shown = Overlay.CORNERS in self._window.session.overlays
        if loaded is None or not shown or loaded.info.kind is not MediaKind.DICOM:
            self.texts.corners = Corners()
        else:
            self.texts.corners = corners_of(
                loaded.info.identifying, loaded.index, loaded.frame_count, hidden=discretion().on
            )
        self._window.viewer.canvas.update()
