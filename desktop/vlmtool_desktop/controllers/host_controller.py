"""The engine host as the user sees it: what it is doing, its log, starting it anew."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QObject

from vlmtool_desktop.dialogs.error_dialog import sentence
from vlmtool_desktop.dialogs.log_dialog import LogDialog

if TYPE_CHECKING:
    from vlmtool_core.host.client import HostState
    from vlmtool_desktop.main_window import MainWindow


class HostController(QObject):
    """Behind the entries of the Model and Help menus that concern the engine itself."""

    def __init__(self, window: MainWindow) -> None:
        super().__init__(window)
        self._window = window
        self.log: LogDialog | None = None
        window.bridge.host_changed.connect(self._show)

    def show_log(self) -> None:
        """Show the end of the engine's log; the window stays usable."""
        if self.log is None:
            self.log = LogDialog(self._window)
        self.log.reload()
        self.log.show()
        self.log.raise_()

    def restart(self) -> None:
        """Start the engine anew, also after it crashed too often."""
        self._window.bridge.restart_host(lambda _none: self._window.engine.look())

    def unload(self) -> None:
        """Give back the memory of all loaded models."""

        def said(_value: Any) -> None:
            self._window.status.say(self.tr("The models were unloaded."))

        self._window.bridge.request(
            "unload", {}, title=self.tr("Unload the models"), done=said, quiet=True
        )

    def _show(self, state: HostState) -> None:
        words = {
            "off": "",
            "starting": self.tr("engine starts…"),
            "idle": self.tr("engine ready"),
            "busy": self.tr("engine busy"),
            "loading": self.tr("loading {model}…").format(model=state.detail),
            "crashed": self.tr("engine stopped"),
            "halted": self.tr("engine stopped too often"),
        }
        hints = {
            "crashed": self.tr("It starts again with the next request."),
            "halted": self.tr("Read the engine log, then restart the engine in the Model menu."),
        }
        wrong = state.kind in hints
        tip = f"{sentence(state.detail)} {hints[state.kind]}" if wrong else ""
        self._window.status.show_host(words[state.kind], tip, wrong=wrong)
        if wrong:
            self._window.status.say(tip)
