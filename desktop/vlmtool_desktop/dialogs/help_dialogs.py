"""The cheat sheet (F1), the help pages and the about box."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from PySide6.QtCore import Qt
from PySide6.QtGui import QKeySequence
from PySide6.QtWidgets import (
    QDialog,
    QDialogButtonBox,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QListWidget,
    QListWidgetItem,
    QScrollArea,
    QTextBrowser,
    QVBoxLayout,
    QWidget,
)

from vlmtool_core import __version__
from vlmtool_desktop import icons
from vlmtool_desktop.theme import theme
from vlmtool_desktop.widgets.parts import column, text_label
from vlmtool_resources import files

Keys = Mapping[str, Sequence[tuple[str, str]]]


def _close_row(dialog: QDialog) -> QDialogButtonBox:
    buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Close)
    buttons.rejected.connect(dialog.reject)
    return buttons


class CheatSheet(QDialog):
    """All keys by topic, made from the table of actions."""

    def __init__(self, keys: Keys, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle(self.tr("Keys"))
        self.resize(900, 690)
        columns = QHBoxLayout()
        columns.setSpacing(28)
        sides = [QVBoxLayout(), QVBoxLayout()]
        heights = [0, 0]
        for topic, rows in keys.items():
            side = heights.index(min(heights))
            heights[side] += len(rows) + 2
            sides[side].addLayout(self._topic(topic, rows))
            sides[side].addSpacing(12)
        for layout in sides:
            layout.addStretch()
            columns.addLayout(layout, 1)
        content = QWidget()
        content.setObjectName("page")
        content.setLayout(columns)
        area = QScrollArea()
        area.setWidgetResizable(True)
        area.setFrameShape(QScrollArea.Shape.NoFrame)
        area.setWidget(content)
        layout = QVBoxLayout(self)
        layout.addWidget(area)
        layout.addWidget(_close_row(self))

    def _topic(self, topic: str, rows: Sequence[tuple[str, str]]) -> QVBoxLayout:
        grid = QGridLayout()
        grid.setColumnMinimumWidth(0, 165)
        grid.setColumnStretch(1, 1)
        grid.setVerticalSpacing(5)
        for line, (key, text) in enumerate(rows):
            grid.addWidget(_key(key), line, 0, Qt.AlignmentFlag.AlignLeft)
            grid.addWidget(text_label(text, wrap=True), line, 1)
        layout = column(text_label(topic, "heading"), spacing=6)
        layout.addLayout(grid)
        return layout


def _key(text: str) -> QLabel:
    label = text_label(text)
    border = theme().colour("border-strong").name()
    label.setStyleSheet(f"border: 1px solid {border}; border-radius: 4px; padding: 1px 6px;")
    return label


def native(shortcut: str) -> str:
    """A shortcut as this system writes it."""
    return QKeySequence(shortcut).toString(QKeySequence.SequenceFormat.NativeText)


def help_pages() -> list[tuple[str, str]]:
    """(file name, title) of the help pages, in the order of their names."""
    folder = files() / "help" / "en"
    if not folder.is_dir():
        return []
    pages = []
    for entry in sorted(folder.iterdir(), key=lambda e: e.name):
        if entry.name.endswith(".md"):
            first = entry.read_text(encoding="utf-8").lstrip().splitlines()[:1]
            pages.append((entry.name, first[0].lstrip("# ") if first else entry.name))
    # The page that says how to begin comes first, whatever its name.
    return sorted(pages, key=lambda page: page[0] not in ("index.md", "first-steps.md"))


class HelpDialog(QDialog):
    """The pages on the left, the chosen one on the right; links between pages work."""

    def __init__(self, parent: QWidget | None = None, *, page: str = "") -> None:
        super().__init__(parent)
        self.setWindowTitle(self.tr("Help"))
        self.resize(940, 640)
        self.pages = QListWidget()
        self.pages.setAccessibleName(self.tr("Help pages"))
        self.pages.setMaximumWidth(240)
        self.browser = QTextBrowser()
        self.browser.setAccessibleName(self.tr("Help page"))
        self.browser.setOpenLinks(False)
        self.browser.anchorClicked.connect(lambda url: self.show_page(url.fileName()))
        self.pages.ensurePolished()
        for name, title in help_pages():
            item = QListWidgetItem(title)
            item.setData(Qt.ItemDataRole.UserRole, name)
            self.pages.addItem(item)
        self.pages.currentItemChanged.connect(self._chosen)
        body = QHBoxLayout()
        body.addWidget(self.pages)
        body.addWidget(self.browser, 1)
        layout = QVBoxLayout(self)
        layout.addLayout(body)
        layout.addWidget(_close_row(self))
        self.show_page(page)

    def show_page(self, name: str) -> None:
        """Show the page of this name, with or without ".md", or the first one."""
        for row in range(self.pages.count()):
            if self.pages.item(row).data(Qt.ItemDataRole.UserRole) in (name, f"{name}.md"):
                self.pages.setCurrentRow(row)
                return
        if self.pages.count() and self.pages.currentRow() < 0:
            self.pages.setCurrentRow(0)
        if not self.pages.count():
            self.browser.setPlainText(self.tr("No help pages are installed."))

    def _chosen(self, item: QListWidgetItem | None) -> None:
        if item is not None:
            name = item.data(Qt.ItemDataRole.UserRole)
            page = files() / "help" / "en" / str(name)
            self.browser.setMarkdown(page.read_text(encoding="utf-8"))


class AboutDialog(QDialog):
    """Name, version, licence and intended use."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle(self.tr("About vlmtool"))
        self.setMinimumWidth(480)
        logo = QLabel()
        logo.setPixmap(icons.draw("app", 64, None, 2.0))
        words = column(
            text_label("vlmtool", "title"),
            text_label(self.tr("Version {version}").format(version=__version__), "muted"),
            text_label(
                self.tr(
                    "Looks at pictures, DICOM and video with vision-language models, on this "
                    "machine only, and learns from your labels."
                ),
                wrap=True,
            ),
            text_label(self.tr("Intended use"), "heading"),
            text_label(
                self.tr(
                    "Research and annotation software. It is not a medical device and not for "
                    "diagnostic use. Every result of a model is a suggestion that a person decides "
                    "on."
                ),
                wrap=True,
            ),
            text_label(
                self.tr(
                    "Licence: Apache-2.0. Models have licences of their own; see "
                    "vlmtool-cli models show."
                ),
                "muted",
                wrap=True,
            ),
            spacing=8,
        )
        head = QHBoxLayout()
        head.setSpacing(18)
        head.addWidget(logo, 0, Qt.AlignmentFlag.AlignTop)
        head.addLayout(words, 1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(22, 20, 22, 14)
        layout.setSpacing(16)
        layout.addLayout(head)
        layout.addWidget(_close_row(self))
