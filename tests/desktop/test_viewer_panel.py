"""The viewer around its picture: what is left of the item before, and what has room."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import shiboken6
from pydicom.data import get_testdata_file
from PySide6.QtCore import QRect, Qt
from PySide6.QtGui import QImage, QPainter
from PySide6.QtWidgets import QApplication
from tests.desktop.conftest import Opened

from vlmtool_core.project import Project
from vlmtool_desktop.canvas.corner_texts import Corners, CornerTexts
from vlmtool_desktop.canvas.transform import ViewTransform
from vlmtool_desktop.discretion import discretion
from vlmtool_desktop.theme import theme
from vlmtool_desktop.widgets.parts import ElidedLabel, push_button


@pytest.fixture
def on_frames(opened: Opened, tmp_path: Path) -> Opened:
    """A dose grid of 15 frames and a report without pixels."""
    folder = tmp_path / "in"
    folder.mkdir()
    for name in ("rtdose.dcm", "test-SR.dcm"):
        shutil.copy(str(get_testdata_file(name)), folder / name)
    with Project.create(tmp_path / "project", name="Test") as project:
        project.add([folder])
    opened.open(tmp_path / "project")
    opened.wait(lambda: opened.window.viewing.loaded is not None)
    return opened


def test_what_cannot_be_shown_has_no_frames_of_the_item_before(on_frames: Opened) -> None:
    window = on_frames.window
    on_frames.wait(lambda: not window.viewer.frame_bar.isHidden())
    assert window.actions_.by_id["reset-window"].isEnabled()
    window.session.set_item(window.library.model.id_at(1))
    on_frames.wait(lambda: window.viewer.canvas.note[0] == "This item cannot be shown")
    assert window.viewer.frame_bar.isHidden()
    assert not window.actions_.by_id["reset-window"].isEnabled()
    assert not window.actions_.by_id["play"].isEnabled()


def test_a_long_name_ends_in_dots_and_is_whole_in_its_tip(qapp: QApplication) -> None:
    label = ElidedLabel("heading")
    label.setText("a" * 60 + " series " + "b" * 60)
    label.resize(160, 20)
    assert label.minimumSizeHint().width() < 160
    short = label.grab().toImage()
    label.setText("a")
    assert label.grab().toImage() != short
    label.setText("a" * 60 + " series " + "b" * 60)
    assert label.text() == label.toolTip()
    # The end of the name is in sight: it is the middle that is left out.
    label.setText("a" * 60 + " series " + "b" * 59 + "W")
    assert label.grab().toImage() != short


def test_corner_texts_are_read_on_white(qapp: QApplication) -> None:
    image = QImage(400, 200, QImage.Format.Format_RGB32)
    image.fill(Qt.GlobalColor.white)
    texts = CornerTexts()
    texts.corners = Corners(top_right=("Institution",))
    painter = QPainter(image)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    texts.draw(painter, ViewTransform())
    painter.end()
    corner = image.copy(QRect(200, 0, 200, 40))
    greys = [corner.pixelColor(x, y).lightness() for x in range(200) for y in range(40)]
    assert sum(grey < 80 for grey in greys) > 200
    assert all(image.pixelColor(x, y).lightness() == 255 for x in range(150) for y in range(40))


def test_a_button_that_is_gone_hears_nothing_of_the_theme(qapp: QApplication) -> None:
    button = push_button("Accept", "accept")
    shiboken6.delete(button)
    other = "dark" if theme().name == "light" else "light"
    theme().set_mode(other)
    assert theme().name == other


def test_showing_names_again_takes_back_that_they_are_hidden(on_frames: Opened) -> None:
    window = on_frames.window
    window.identity.toggle()
    assert "hidden" in window.status.currentMessage()
    window.identity.toggle()
    assert not discretion().on
    assert "hidden" not in window.status.currentMessage()
