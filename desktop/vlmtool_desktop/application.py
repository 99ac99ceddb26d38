"""Starts Qt, the theme and the main window; the edge where unexpected errors end."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from PySide6.QtCore import QCoreApplication, QTimer
from PySide6.QtWidgets import QApplication

from vlmtool_core import __version__
from vlmtool_core.errors import VlmtoolError
from vlmtool_core.extensions import connect_plugins
from vlmtool_core.log import configure_logging
from vlmtool_core.media.safe.pool import prepare as prepare_decoding
from vlmtool_core.records import ErrorInfo
from vlmtool_core.settings import Settings, load_settings
from vlmtool_desktop.main_window import MainWindow
from vlmtool_desktop.theme import install_theme

log = logging.getLogger(__name__)


def make_application() -> QApplication:
    """The one QApplication of the process, with the program's name."""
    existing = QCoreApplication.instance()
    application = existing if isinstance(existing, QApplication) else QApplication(sys.argv[:1])
    application.setApplicationName("vlmtool")
    application.setApplicationDisplayName("vlmtool")
    application.setApplicationVersion(__version__)
    application.setDesktopFileName("vlmtool")
    return application


def read_settings() -> tuple[Settings, ErrorInfo | None]:
    """The settings, or the defaults with the reason why the file was not used."""
    try:
        return load_settings(), None
    except VlmtoolError as error:
        log.warning("settings not used: %s", error)
        return Settings(), ErrorInfo.from_exception(error)


def run_application(files: Sequence[Path], *, debug: bool = False) -> int:
    """Open the window with what the command line named, and run until it is closed."""
    configure_logging("vlmtool", debug=debug)
    connect_plugins()
    prepare_decoding()
    # Threads hand the interpreter over after 1 ms instead of 5, so that the window stays quick.
    sys.setswitchinterval(0.001)
    application = make_application()
    settings, problem = read_settings()
    install_theme(application, settings.theme)
    window = MainWindow(settings)
    _report_unexpected(window)
    window.show()
    if problem is not None:
        window.bridge.failed.emit(problem)
    if files:
        QTimer.singleShot(0, lambda: window.open_paths(files))
    return application.exec()


def _report_unexpected(window: MainWindow) -> None:
    """Errors nobody caught are logged and shown as a message; the window stays open."""

    def hook(
        kind: type[BaseException], error: BaseException, traceback: TracebackType | None
    ) -> None:
        if issubclass(kind, KeyboardInterrupt):
            window.close()
            return
        log.error("unexpected error", exc_info=(kind, error, traceback))
        window.bridge.failed.emit(ErrorInfo.from_exception(error))

    sys.excepthook = hook
