"""A real window on a real project; every error it reports is collected."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot
from tests.desktop import media_files

from vlmtool_core.project import Project
from vlmtool_core.records import ErrorInfo, Label, LabelSet
from vlmtool_desktop.main_window import MainWindow
from vlmtool_desktop.theme import install_theme

LONG_MS = 60_000
LABELS = LabelSet("test", (Label("cat"), Label("dog"), Label("bird")))


@pytest.fixture(autouse=True)
def _theme(qapp: QApplication) -> None:
    install_theme(qapp, "light")


@pytest.fixture(scope="session")
def media(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six pictures and a file that cannot be read, in a folder with a hard name."""
    folder = tmp_path_factory.mktemp("media") / "媒体 media 🖼"
    media_files.write_pictures(folder, 6)
    (folder / "zz broken.jpg").write_text("not a picture")
    return folder


@pytest.fixture(scope="session")
def template_project(tmp_path_factory: pytest.TempPathFactory, media: Path) -> Path:
    root = tmp_path_factory.mktemp("template") / "project"
    with Project.create(root, name="Test") as project:
        project.add([media])
        project.set_label_set(LABELS)
    return root


@pytest.fixture
def project_folder(tmp_path: Path, template_project: Path) -> Path:
    """A project with the pictures in it and three labels, of this test alone."""
    return Path(shutil.copytree(template_project, tmp_path / "project"))


class Opened:
    """The window under test with the errors it was told of."""

    def __init__(self, window: MainWindow, qtbot: QtBot) -> None:
        self.window = window
        self.qtbot = qtbot
        self.errors: list[ErrorInfo] = []
        window.bridge.failed.connect(self.errors.append)

    def wait(self, condition: Callable[[], object]) -> None:
        self.qtbot.waitUntil(lambda: bool(condition()), timeout=LONG_MS)

    def open(self, root: Path) -> None:
        self.window.open_paths([root])
        self.wait(lambda: self.window.session.project is not None)
        self.wait(lambda: self.window.library.model.rowCount() == self.window.library.total)

    def show_item(self, row: int) -> int:
        """Look at the item in a row and wait for its picture."""
        item_id = self.window.library.model.id_at(row)
        assert item_id is not None
        self.window.session.set_item(item_id)
        self.wait(lambda: self.shown() == item_id)
        return item_id

    def shown(self) -> int | None:
        loaded = self.window.viewing.loaded
        return loaded.ref.item_id if loaded else None

    def stored(self, work: Callable[[Project], object]) -> object:
        """Ask the project in its own thread, and wait for the answer."""
        answers: list[object] = []
        self.window.bridge.project(work, answers.append)
        self.wait(lambda: answers)
        return answers[0]


@pytest.fixture
def opened(qtbot: QtBot, home: Path) -> Iterator[Opened]:
    """An open main window without a project. It does not start the engine host by itself."""
    window = MainWindow(look=False)
    qtbot.addWidget(window)
    window.resize(1366, 768)
    window.show()
    yield Opened(window, qtbot)
    window.close()


@pytest.fixture
def on_project(opened: Opened, project_folder: Path) -> Opened:
    opened.open(project_folder)
    opened.wait(lambda: opened.window.viewer.canvas.has_picture)
    return opened
