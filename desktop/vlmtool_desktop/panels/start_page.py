"""What is shown before a project is open: start, go on, and what is installed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import (
    QHBoxLayout,
    QLabel,
    QListWidget,
    QListWidgetItem,
    QVBoxLayout,
    QWidget,
)

from vlmtool_core import __version__
from vlmtool_desktop import icons
from vlmtool_desktop.discretion import discretion
from vlmtool_desktop.installed import Installed
from vlmtool_desktop.recent import RecentProject, recent_projects
from vlmtool_desktop.theme import theme
from vlmtool_desktop.widgets.parts import column, frame, push_button, row, set_role, text_label

_ROOT = Qt.ItemDataRole.UserRole


def short(folder: Path) -> str:
    """The path of a folder with the user's own folder as `~`."""
    try:
        return str("~" / folder.relative_to(Path.home()))
    except (ValueError, RuntimeError):
        return str(folder)


class StartPage(QWidget):
    """Buttons to begin, recent projects, and a card about models, plugins and the device."""

    new_requested = Signal()
    open_requested = Signal()
    project_chosen = Signal(object)
    pull_requested = Signal()
    models_requested = Signal()
    help_requested = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("page")
        self._logo = QLabel()
        self._logo.setPixmap(icons.draw("app", 56, None, 2.0))
        self._logo.setFixedSize(56, 56)
        self.recent = QListWidget()
        self.packs = text_label("", wrap=True)
        self.plugins = text_label("", wrap=True)
        self.device = text_label("", "muted", wrap=True)
        self.pull_button = push_button(self.tr("Get the starter models"), "download", primary=True)
        self.pull_button.clicked.connect(self.pull_requested)
        self.models_button = push_button(self.tr("All models…"), "search")
        self.models_button.clicked.connect(self.models_requested)
        self._build()
        self.recent.ensurePolished()
        self.refresh()
        theme().changed.connect(self.refresh)
        discretion().changed.connect(self.refresh)

    def _build(self) -> None:
        words = column(
            text_label("vlmtool", "title"),
            text_label(
                self.tr("Look at many pictures, decide, and let the models learn from you."),
                "muted",
            ),
            spacing=2,
        )
        head = QHBoxLayout()
        head.addWidget(self._logo)
        head.addLayout(words)
        head.addStretch()
        body = QHBoxLayout()
        body.setSpacing(20)
        body.addLayout(self._make_left(), 3)
        body.addLayout(self._make_right(), 2)
        inner = QVBoxLayout()
        inner.setSpacing(22)
        inner.addStretch(1)
        inner.addLayout(head)
        inner.addLayout(body, 8)
        inner.addWidget(self._make_notice())
        inner.addStretch(1)
        middle = QWidget()
        middle.setLayout(inner)
        middle.setMaximumWidth(1060)
        outer = QHBoxLayout(self)
        outer.setContentsMargins(32, 16, 32, 16)
        outer.addStretch(1)
        outer.addWidget(middle, 40)
        outer.addStretch(1)

    def _make_left(self) -> QVBoxLayout:
        new = push_button(self.tr("New project…"), "new", primary=True)
        open_ = push_button(self.tr("Open project…"), "open")
        new.clicked.connect(self.new_requested)
        open_.clicked.connect(self.open_requested)
        buttons = row(new, open_, spacing=8)
        buttons.addStretch()
        self.recent.setAccessibleName(self.tr("Recent projects"))
        self.recent.setProperty("frameless", True)
        self.recent.itemActivated.connect(self._choose)
        self.recent.itemClicked.connect(self._choose)
        card = column(text_label(self.tr("RECENT PROJECTS"), "section"), self.recent, spacing=6)
        hint = text_label(
            self.tr("You can also drop files or folders anywhere in this window."), "muted"
        )
        left = column(spacing=14)
        left.addLayout(buttons)
        left.addWidget(hint)
        left.addWidget(frame("card", card, (14, 12, 14, 12)), 1)
        return left

    def _make_right(self) -> QVBoxLayout:
        card = column(
            text_label(self.tr("MODELS"), "section"),
            self.packs,
            self.pull_button,
            self.models_button,
            text_label(self.tr("PLUGINS"), "section"),
            self.plugins,
            text_label(self.tr("RUNS ON"), "section"),
            self.device,
            spacing=8,
        )
        card.addStretch()
        return column(frame("card", card, (16, 14, 16, 14)))

    def _make_notice(self) -> QWidget:
        notice = text_label(
            self.tr(
                "Research and annotation software. Not a medical device, not for diagnostic use. "
                "Everything stays on this machine."
            ),
            "muted",
            wrap=True,
        )
        version = text_label(f"vlmtool {__version__}", "muted")
        guide = push_button(self.tr("First steps"), "help", flat=True)
        guide.clicked.connect(self.help_requested)
        line = row(notice, guide, version, spacing=12)
        line.setStretch(0, 1)
        holder = QWidget()
        holder.setLayout(line)
        return holder

    def refresh(self) -> None:
        """List the recent projects again."""
        self.set_recent(recent_projects())

    def set_recent(self, projects: Sequence[RecentProject]) -> None:
        self.recent.clear()
        if discretion().on:
            projects = []
        for project in projects:
            item = QListWidgetItem(icons.icon("open", "text-muted"), project.name)
            item.setText(f"{project.name}\n{short(project.root)}")
            item.setData(_ROOT, str(project.root))
            if not project.there:
                item.setText(self.tr("{name} (not there any more)").format(name=project.name))
                item.setForeground(theme().colour("text-disabled"))
            self.recent.addItem(item)
        if not projects:
            hidden = self.tr("Hidden, as other identifying values are.")
            item = QListWidgetItem(
                hidden if discretion().on else self.tr("Projects that you open appear here.")
            )
            item.setFlags(Qt.ItemFlag.NoItemFlags)
            self.recent.addItem(item)

    def _choose(self, item: QListWidgetItem) -> None:
        root = item.data(_ROOT)
        if root:
            self.project_chosen.emit(Path(root))

    def set_installed(self, installed: Installed | None) -> None:
        """What models and plugins there are; None while that is not known."""
        if installed is None:
            self.packs.setText(self.tr("Looking…"))
            self.plugins.setText(self.tr("Looking…"))
            self.pull_button.hide()
            return
        missing = self.tr("No model is installed yet. The starter models come with one download.")
        self.packs.setText("\n".join(installed.pack_lines()) or missing)
        set_role(self.packs, "" if installed.packs else "warning")
        self.pull_button.setVisible(not installed.has_starter)
        self.plugins.setText("\n".join(installed.plugin_lines()) or self.tr("None"))
        self.device.setText(installed.device)
