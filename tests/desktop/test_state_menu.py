"""Presentation states and shutters in the window: offered, applied to what is seen, and undone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest
from highdicom import pr
from PySide6.QtGui import QImage
from tests.core.media.presentation_files import CT, LAYER, annotation, write_state
from tests.desktop.conftest import Opened

from vlmtool_core.media import open_media
from vlmtool_core.project import Project
from vlmtool_desktop.discretion import discretion
from vlmtool_desktop.session import Overlay
from vlmtool_desktop.view_actions import VIEW


@pytest.fixture
def on_ct(opened: Opened, tmp_path: Path) -> Opened:
    """CT_small in the viewer; beside it a state, an inverse one with a shutter, and another's."""
    folder = tmp_path / "ct"
    folder.mkdir()
    CT.save_as(folder / "ct.dcm")
    window = pr.SoftcopyVOILUTTransformation(window_center=40, window_width=400)
    write_state(folder / "a.dcm", [CT], [annotation([CT])], [LAYER], [window])
    write_state(
        folder / "b.dcm", [CT], windows=[window], PresentationLUTShape="INVERSE", ImageRotation=90,
        ShutterShape="CIRCULAR", CenterOfCircularShutter=[64, 64], RadiusOfCircularShutter=40,
        ShutterPresentationValue=65535,
    )  # fmt: skip
    other = pydicom.dcmread(folder / "a.dcm")
    other.ReferencedSeriesSequence[0].SeriesInstanceUID = "1.2.3"
    other.save_as(folder / "c.dcm")
    root = tmp_path / "p"
    with Project.create(root) as project:
        project.add([folder / "ct.dcm"])
    opened.open(root)
    opened.wait(lambda: opened.window.viewer.canvas.has_picture)
    opened.wait(lambda: opened.window.state_menu.found.states)
    return opened


def shown(opened: Opened) -> np.ndarray:
    picture = opened.window.viewer.canvas.picture
    assert picture is not None
    image = picture.levels[0].convertToFormat(QImage.Format.Format_RGB888)
    rows = np.frombuffer(image.constBits(), np.uint8).reshape(image.height(), -1)
    return rows[:, : image.width() * 3].reshape(image.height(), image.width(), 3).copy()


def choose(opened: Opened, name: str | None) -> None:
    for action in opened.window.state_menu.menu.actions():
        state = action.data()
        if action.isCheckable() and (None if state is None else state.name) == name:
            action.trigger()
    viewing = opened.window.viewing
    opened.wait(
        lambda: (
            viewing.loaded is not None
            and (viewing.loaded.state and viewing.loaded.state.name) == name
        )
    )


def test_the_states_of_the_pictures_are_offered(on_ct: Opened) -> None:
    menu = on_ct.window.state_menu.menu
    assert menu.menuAction().isEnabled()
    assert menu.menuAction() in on_ct.window.actions_.menus[VIEW].actions()
    names = [action.text() for action in menu.actions() if not action.isSeparator()]
    assert names == [
        "None: as the file has it",
        "MARKS - what was found (a.dcm)",
        "MARKS - what was found (b.dcm)",
    ]
    discretion().set_on(True)
    try:
        hidden = [action.text() for action in menu.actions() if not action.isSeparator()]
        assert hidden[1:] == ["State 1", "State 2"]
    finally:
        discretion().set_on(False)
    assert on_ct.errors == []


def test_a_state_changes_grey_and_draws_and_can_be_left(on_ct: Opened) -> None:
    plain = shown(on_ct)
    canvas = on_ct.window.viewer.canvas
    choose(on_ct, "a.dcm")
    with open_media(on_ct.window.viewing.loaded.ref.path) as source:
        reference = source.presented(0, on_ct.window.state_menu.found.chosen)
    assert np.array_equal(shown(on_ct), reference.frame.pixels)
    assert on_ct.window.viewing.window.center == 40
    marks = on_ct.window.state_menu.marks
    assert marks in canvas.layers
    assert [len(one.strokes) for one in marks.marks] == [5]
    with_marks = canvas.grab().toImage()
    on_ct.window.session.toggle_overlay(Overlay.GRAPHICS)
    assert marks.marks == ()
    assert canvas.grab().toImage() != with_marks
    on_ct.window.session.toggle_overlay(Overlay.GRAPHICS)
    assert canvas.grab().toImage() == with_marks
    choose(on_ct, None)
    assert marks.marks == ()
    assert np.array_equal(shown(on_ct), plain)


def test_shutter_and_inversion_stay_while_the_window_is_dragged(on_ct: Opened) -> None:
    choose(on_ct, "b.dcm")
    viewing, canvas = on_ct.window.viewing, on_ct.window.viewer.canvas
    row, column = np.mgrid[1:129, 1:129]
    outside = (row - 64) ** 2 + (column - 64) ** 2 > 40**2
    before = shown(on_ct)
    assert (before[outside] == 255).all()
    assert any("turned 90° clockwise" in note for note in viewing.loaded.notes)
    picture = canvas.picture
    canvas.window_dragged.emit(60.0, -20.0)
    on_ct.wait(lambda: canvas.picture is not picture)
    dragged = shown(on_ct)
    assert (dragged[outside] == 255).all()
    with open_media(viewing.loaded.ref.path) as source:
        asked = source.presented(0, on_ct.window.state_menu.found.chosen, window=viewing.window)
    assert np.array_equal(dragged[~outside], asked.frame.pixels[~outside])
    assert on_ct.errors == []


def test_texts_are_hidden_with_all_that_identifies(on_ct: Opened) -> None:
    choose(on_ct, "a.dcm")
    canvas = on_ct.window.viewer.canvas
    named = canvas.grab().toImage()
    discretion().set_on(True)
    try:
        assert not on_ct.window.state_menu.marks.texts
        assert canvas.grab().toImage() != named
    finally:
        discretion().set_on(False)
    assert on_ct.window.state_menu.marks.texts


def test_an_item_that_is_a_state_says_so_and_leaves_no_note_behind(
    opened: Opened, tmp_path: Path
) -> None:
    folder = tmp_path / "ct"
    folder.mkdir()
    CT.save_as(folder / "a.dcm")
    write_state(folder / "b.dcm", [CT], ImageRotation=90)
    with Project.create(tmp_path / "p") as project:
        project.add([folder])
    opened.open(tmp_path / "p")
    viewer = opened.window.viewer
    opened.wait(lambda: viewer.canvas.has_picture and opened.window.state_menu.found.states)
    choose(opened, "b.dcm")
    assert viewer.warnings.isVisible()
    opened.window.commands.step(1)
    opened.wait(lambda: "presentation state (PR)" in viewer.canvas.note[1])
    assert "choose it there" in viewer.canvas.note[1]
    assert not viewer.warnings.isVisible()
    assert not opened.window.state_menu.menu.menuAction().isEnabled()
    opened.window.commands.step(-1)
    opened.wait(lambda: opened.window.viewing.loaded is not None)
    assert opened.window.viewing.loaded.state is not None  # the item keeps its choice
