"""The main window: puts panels, controllers and actions together. What they do is not in here."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from PySide6.QtCore import QByteArray, QSettings, QSize, Qt
from PySide6.QtGui import QCloseEvent, QDragEnterEvent, QDropEvent
from PySide6.QtWidgets import (
    QMainWindow,
    QSplitter,
    QStackedWidget,
    QTabWidget,
    QToolBar,
    QWidget,
)

from vlmtool_core import paths
from vlmtool_core.settings import Settings
from vlmtool_desktop import icons
from vlmtool_desktop.action_table import action_table
from vlmtool_desktop.actions import ActionSet
from vlmtool_desktop.bridge import Bridge
from vlmtool_desktop.controllers.commands import Commands
from vlmtool_desktop.controllers.engine_controller import EngineController
from vlmtool_desktop.controllers.host_controller import HostController
from vlmtool_desktop.controllers.identity_controller import IdentityController
from vlmtool_desktop.controllers.measure_controller import MeasureController
from vlmtool_desktop.controllers.models_controller import ModelsController
from vlmtool_desktop.controllers.playing import PlayController
from vlmtool_desktop.controllers.probe_controller import ProbeController
from vlmtool_desktop.controllers.project_controller import ProjectController
from vlmtool_desktop.controllers.seen_controller import SeenController
from vlmtool_desktop.controllers.tile_controller import TileController
from vlmtool_desktop.controllers.training_controller import TrainingController
from vlmtool_desktop.controllers.viewer_controller import ViewerController
from vlmtool_desktop.controllers.volume_controller import VolumeController
from vlmtool_desktop.controllers.wiring import connect_all
from vlmtool_desktop.controllers.workflow_controller import WorkflowController
from vlmtool_desktop.discretion import discretion
from vlmtool_desktop.panels.history import HistoryPanel
from vlmtool_desktop.panels.jobs import JobsPanel
from vlmtool_desktop.panels.labels import LabelsPanel
from vlmtool_desktop.panels.library import LibraryPanel
from vlmtool_desktop.panels.measurements import MeasurementsPanel
from vlmtool_desktop.panels.predictions import PredictionsPanel
from vlmtool_desktop.panels.review import ReviewPanel
from vlmtool_desktop.panels.start_page import StartPage
from vlmtool_desktop.panels.viewer import ViewerPanel
from vlmtool_desktop.session import Session
from vlmtool_desktop.state_menu import StateMenu
from vlmtool_desktop.status import StatusBar
from vlmtool_desktop.theme import theme
from vlmtool_desktop.window_menu import WindowMenu

START, WORK = 0, 1


class MainWindow(QMainWindow):
    """One window, one project at a time.

    look : start the engine host at once, to ask which models there are
    """

    def __init__(self, settings: Settings | None = None, *, look: bool = True) -> None:
        super().__init__()
        self.settings = settings or Settings()
        discretion().set_on(self.settings.hide_identifying_values)
        self.session = Session()
        self.bridge = Bridge(self, stuck_s=60.0 * self.settings.stuck_after_min)
        self.project = ProjectController(self.session, self.bridge, self)
        self.engine = EngineController(self.session, self.bridge, self)
        self._make_panels()
        self.viewing = ViewerController(self.session, self.bridge, self.viewer, self)
        self.commands = Commands(self)
        self.status = StatusBar(self.bridge)
        self.setStatusBar(self.status)
        self.host = HostController(self)
        self._lay_out()
        self.playing = PlayController(self)
        self.planes = VolumeController(self)
        self.tiles = TileController(self)
        self.actions_ = ActionSet(self, self.session, action_table(self))
        self.window_menu = WindowMenu(self)
        self.state_menu = StateMenu(self)
        self.toolbar = self._make_toolbar()
        self.measuring = MeasureController(self)
        self.measuring.fill_toolbar()
        self.probe = ProbeController(self, self.measuring)
        self.identity = IdentityController(self)
        self.seen = SeenController(self)
        self.training = TrainingController(self)
        self.model_packs = ModelsController(self)
        self.workflows = WorkflowController(self)
        connect_all(self)
        self.setAcceptDrops(True)
        self.setWindowTitle("vlmtool")
        self.setWindowIcon(icons.application_icon())
        self.resize(1366, 768)
        self._restore()
        self.bridge.warm_up()
        if look:
            self.engine.look()

    # Making it -------------------------------------------------------------------------------

    def _make_panels(self) -> None:
        self.start = StartPage()
        self.start.set_installed(None)
        self.library = LibraryPanel(self.session, self.bridge)
        self.viewer = ViewerPanel(self.session)
        self.labels = LabelsPanel(self.session)
        self.predictions = PredictionsPanel()
        self.review = ReviewPanel(self.bridge)
        self.jobs = JobsPanel(self.bridge)
        self.history = HistoryPanel(self.session)
        self.measurements = MeasurementsPanel()

    def _lay_out(self) -> None:
        item = QSplitter(Qt.Orientation.Vertical)
        item.addWidget(self.labels)
        item.addWidget(self.predictions)
        item.setSizes([360, 300])
        item.setChildrenCollapsible(False)
        self.tabs = QTabWidget()
        self.tabs.setDocumentMode(True)
        self.tabs.tabBar().setDrawBase(False)
        for panel, title in (
            (item, self.tr("Item")),
            (self.review, self.tr("Review")),
            (self.jobs, self.tr("Jobs")),
            (self.history, self.tr("History")),
            (self.measurements, self.tr("Measured")),
        ):
            self.tabs.addTab(panel, title)
        self.splitter = QSplitter(Qt.Orientation.Horizontal)
        self.splitter.setChildrenCollapsible(False)
        for widget in (self.library, self.viewer, self.tabs):
            self.splitter.addWidget(widget)
        self.library.setMinimumWidth(170)
        self.tabs.setMinimumWidth(250)
        self.splitter.setSizes([310, 736, 320])
        for position, stretch in enumerate((0, 1, 0)):
            self.splitter.setStretchFactor(position, stretch)
        self.pages = QStackedWidget()
        self.pages.addWidget(self.start)
        self.pages.addWidget(self.splitter)
        self.setCentralWidget(self.pages)

    def _make_toolbar(self) -> QToolBar:
        toolbar = QToolBar(self.tr("Tools"))
        toolbar.setObjectName("tools")
        toolbar.setMovable(False)
        toolbar.setIconSize(QSize(20, 20))
        toolbar.setContextMenuPolicy(Qt.ContextMenuPolicy.PreventContextMenu)
        self.actions_.fill_toolbar(toolbar)
        for action in toolbar.actions():
            button = toolbar.widgetForAction(action)
            if action.objectName() and button is not None:
                button.setAccessibleName(action.text().replace("&", "").rstrip("…"))
                button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.addToolBar(toolbar)
        return toolbar

    # Pages -----------------------------------------------------------------------------------

    def show_page(self) -> None:
        """The start page, or the workplace when a project is open."""
        project = self.session.project
        self.pages.setCurrentIndex(START if project is None else WORK)
        self.toolbar.setVisible(project is not None)
        self.show_title()
        if project is None:
            self.start.refresh()

    def show_title(self) -> None:
        """The project's name, which may be a person's."""
        name = discretion().value(self.session.project.name if self.session.project else "")
        self.setWindowTitle(f"{name} – vlmtool" if name else "vlmtool")

    def show_tab(self, panel: QWidget) -> None:
        """Bring one of the panels on the right to the front."""
        for position in range(self.tabs.count()):
            page = self.tabs.widget(position)
            if page is panel or (page is not None and page.isAncestorOf(panel)):
                self.tabs.setCurrentIndex(position)

    def set_theme(self, mode: str) -> None:
        theme().set_mode(mode)

    # Drag and drop ---------------------------------------------------------------------------

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        if event.mimeData().hasUrls() and any(u.isLocalFile() for u in event.mimeData().urls()):
            event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent) -> None:
        files = [Path(u.toLocalFile()) for u in event.mimeData().urls() if u.isLocalFile()]
        if files:
            event.acceptProposedAction()
            self.commands.take_dropped(files)

    def open_paths(self, given: Sequence[Path]) -> None:
        """What the command line names: a project to open, or files for a new one."""
        self.commands.take_dropped(list(given))

    # Closing and geometry --------------------------------------------------------------------

    def _state(self) -> QSettings:
        return QSettings(str(paths.config_dir() / "window.ini"), QSettings.Format.IniFormat)

    def _restore(self) -> None:
        state = self._state()
        for key, restore in (
            ("geometry", self.restoreGeometry),
            ("splitter", self.splitter.restoreState),
        ):
            value = state.value(key)
            if isinstance(value, QByteArray):
                restore(value)

    def closeEvent(self, event: QCloseEvent) -> None:
        if not self.commands.may_close():
            event.ignore()
            return
        state = self._state()
        state.setValue("geometry", self.saveGeometry())
        state.setValue("splitter", self.splitter.saveState())
        self.planes.stop()
        self.playing.close()
        self.viewing.close()
        self.bridge.close()
        super().closeEvent(event)
