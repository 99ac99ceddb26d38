"""DICOM series and video in the viewer: slider, keys, times, and the window drag."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PySide6.QtCore import QPoint, Qt
from PySide6.QtTest import QTest
from tests.desktop import media_files
from tests.desktop.conftest import Opened

from vlmtool_core.media import Window
from vlmtool_core.media.dicom.voi import render_window
from vlmtool_core.project import Project
from vlmtool_desktop.controllers.read_ahead import MOST_FRAMES
from vlmtool_desktop.discretion import discretion


@pytest.fixture
def on_series(opened: Opened, tmp_path: Path) -> Opened:
    series = media_files.write_series(tmp_path / "ct", slices=5)
    with Project.create(tmp_path / "project") as project:
        project.add([series])
    opened.open(tmp_path / "project")
    opened.wait(lambda: opened.window.viewer.canvas.has_picture)
    return opened


@pytest.fixture
def on_video(opened: Opened, tmp_path: Path) -> Opened:
    video = media_files.write_video(tmp_path / "clip.mp4", frames=20)
    with Project.create(tmp_path / "project") as project:
        project.add([video])
    opened.open(tmp_path / "project")
    opened.wait(lambda: opened.window.viewer.canvas.has_picture)
    return opened


def grey(opened: Opened) -> np.ndarray:
    """The picture in the canvas as uint8 (h, w)."""
    picture = opened.window.viewer.canvas.picture
    assert picture is not None
    image = picture.levels[0]
    pixels = np.frombuffer(image.constBits(), np.uint8)
    return pixels.reshape(image.height(), image.bytesPerLine() // 4, 4)[:, : image.width(), 1]


def frame_of(opened: Opened) -> int:
    return opened.window.viewing.shown_frame


def test_the_slider_goes_through_a_series(on_series: Opened) -> None:
    viewer = on_series.window.viewer
    assert viewer.frame_bar.isVisible()
    assert viewer.slider.maximum() == 4
    first = grey(on_series).copy()
    viewer.slider.setValue(4)
    on_series.wait(lambda: frame_of(on_series) == 4)
    assert on_series.window.viewer.number.value() == 5
    assert not np.array_equal(first, grey(on_series))


def test_arrow_keys_step_through_frames(on_series: Opened) -> None:
    canvas = on_series.window.viewer.canvas
    canvas.setFocus()
    for key, frame in (
        (Qt.Key.Key_Right, 1),
        (Qt.Key.Key_Right, 2),
        (Qt.Key.Key_Left, 1),
        (Qt.Key.Key_End, 4),
        (Qt.Key.Key_Right, 4),
        (Qt.Key.Key_Home, 0),
    ):
        QTest.keyClick(canvas, key)
        assert on_series.window.session.frame == frame
    on_series.wait(lambda: frame_of(on_series) == 0)


def test_dragging_changes_the_window_and_the_picture(on_series: Opened) -> None:
    window = on_series.window
    before = grey(on_series).copy()
    level = window.viewing.window
    assert level is not None
    assert (level.center, level.width) == (0, 2000)
    canvas = window.viewer.canvas
    middle = canvas.rect().center()
    right = Qt.MouseButton.RightButton
    QTest.mousePress(canvas, right, Qt.KeyboardModifier.NoModifier, middle)
    QTest.mouseMove(canvas, middle + QPoint(-150, 0))
    QTest.mouseRelease(canvas, right, Qt.KeyboardModifier.NoModifier, middle + QPoint(-150, 0))
    narrower = window.viewing.window
    assert narrower is not None
    assert narrower.width == pytest.approx(1000)
    assert narrower.center == pytest.approx(0)
    on_series.wait(lambda: not np.array_equal(before, grey(on_series)))
    # A ramp through a window half as wide is black and white at its ends, and steeper between.
    after = grey(on_series)
    assert (after == 0).sum() > (before == 0).sum()
    assert (after == 255).sum() > (before == 255).sum()
    assert "W 1000" in window.status.window_level.text()


def test_the_window_stays_for_the_next_frame_and_can_be_reset(on_series: Opened) -> None:
    window = on_series.window
    level = window.viewing.window
    assert level is not None
    from dataclasses import replace

    window.viewing.set_window(replace(level, width=100.0))
    window.session.set_frame(2)
    on_series.wait(lambda: frame_of(on_series) == 2)
    on_series.wait(lambda: (grey(on_series)[40] == 255).mean() > 0.4)
    QTest.keyClick(window, Qt.Key.Key_W)
    on_series.wait(lambda: (grey(on_series)[40] == 255).mean() < 0.1)
    assert window.viewing.window == level


def test_the_value_under_the_pointer_is_in_modality_units(on_series: Opened) -> None:
    canvas = on_series.window.viewer.canvas
    x, y = canvas.transform.to_view(15.5, 12.5)
    QTest.mouseMove(canvas, QPoint(round(x), round(y)))
    on_series.wait(lambda: on_series.window.status.pixel.text())
    assert on_series.window.status.pixel.text().startswith("x 15  y 12  500 HU")


def test_annotations_belong_to_their_frame(on_series: Opened) -> None:
    window = on_series.window
    window.session.active_label = "nodule"
    window.project.write(lambda p: p.ensure_labels(["nodule"]))
    on_series.wait(lambda: window.labels.labels.count() == 1)
    window.session.set_frame(2)
    on_series.wait(lambda: frame_of(on_series) == 2)
    window.commands.add_box((5, 5, 20, 20))
    on_series.wait(lambda: len(window.viewer.canvas.shapes) == 1)
    window.session.set_frame(3)
    on_series.wait(lambda: frame_of(on_series) == 3)
    assert window.viewer.canvas.shapes == []
    stored = on_series.stored(lambda p: p.annotations())
    assert isinstance(stored, list)
    assert stored[0].frame == 2


def test_video_frames_have_their_time(on_video: Opened) -> None:
    viewer = on_video.window.viewer
    assert viewer.slider.maximum() == 19
    assert viewer.time.text() == "0:00.000"
    viewer.number.setValue(11)
    on_video.wait(lambda: frame_of(on_video) == 10)
    assert viewer.time.text() == "0:01.000"
    viewer.step(5)
    on_video.wait(lambda: frame_of(on_video) == 15)
    assert viewer.time.text() == "0:01.500"


def test_scrubbing_shows_the_last_frame_asked_for(on_video: Opened) -> None:
    slider = on_video.window.viewer.slider
    for frame in range(1, 20):
        slider.setValue(frame)
    on_video.wait(lambda: frame_of(on_video) == 19)
    assert on_video.window.session.frame == 19
    assert not on_video.errors


def test_no_window_drag_on_colour(on_video: Opened) -> None:
    assert on_video.window.viewing.window is None
    assert not on_video.window.viewer.canvas.window_drag_enabled


def test_overlays_of_the_file_are_drawn_and_switched_off(opened: Opened, tmp_path: Path) -> None:
    from pydicom.data import get_testdata_file

    from vlmtool_core.media import open_media

    path = Path(str(get_testdata_file("examples_overlay.dcm")))
    with open_media(path) as source:
        mask = source.overlays(0)[0].mask
        plain = source.frame(0).pixels[:, :, 1].copy()
    with Project.create(tmp_path / "project") as project:
        project.add([path])
    opened.open(tmp_path / "project")
    opened.wait(lambda: opened.window.viewer.canvas.has_picture)
    assert (grey(opened)[mask] == 255).all()
    opened.window.actions_.by_id["show-graphics"].trigger()
    opened.wait(lambda: np.array_equal(grey(opened), plain))
    opened.window.actions_.by_id["show-graphics"].trigger()
    opened.wait(lambda: bool((grey(opened)[mask] == 255).all()))


def test_what_a_user_must_know_stands_above_the_picture(opened: Opened, tmp_path: Path) -> None:
    from pydicom.data import get_testdata_file

    folder = tmp_path / "mixed"
    folder.mkdir()
    (folder / "a.dcm").write_bytes(Path(str(get_testdata_file("JPEG2000.dcm"))).read_bytes())
    media_files.write_video(folder / "b.mp4", frames=4)
    with Project.create(tmp_path / "project") as project:
        project.add([folder])
    opened.open(tmp_path / "project")
    panel = opened.window.viewer
    opened.wait(lambda: panel.canvas.has_picture and panel.name.text() == "a.dcm")
    badge = panel.badges.labels[0]
    assert badge.text().startswith("lossy")
    assert badge.toolTip().startswith("lossy compression")
    assert panel.badges.isVisible()
    opened.window.commands.step(1)
    opened.wait(lambda: panel.name.text() == "b.mp4" and panel.slider.maximum() == 3)
    assert not panel.badges.isVisible()
    assert not panel.warnings.isVisible()


def test_the_header_of_the_slice_in_view(on_series: Opened) -> None:
    from PySide6.QtWidgets import QApplication

    from vlmtool_desktop.dialogs.header_dialog import HeaderDialog

    window = on_series.window

    def dialog() -> HeaderDialog | None:
        shown = [w for w in QApplication.topLevelWidgets() if isinstance(w, HeaderDialog)]
        return next((one for one in shown if one.isVisible()), None)

    window.viewer.slider.setValue(3)
    on_series.wait(lambda: frame_of(on_series) == 3)
    discretion().set_on(True)
    window.actions_.by_id["header"].trigger()
    on_series.wait(lambda: dialog() is not None)
    found = dialog()
    assert found is not None
    found.field.setText("InstanceNumber")
    assert found.model.rowCount() == 1
    assert found.model.text(0, 3) == "4"
    found.field.setText("PatientID")
    assert "hidden" in found.model.text(0, 3)
    found.table.selectAll()
    found.copy()
    assert "PatientID" in QApplication.clipboard().text()
    assert "hidden" in QApplication.clipboard().text()
    found.reject()


def test_the_zoom_is_told_only_of_a_picture(opened: Opened, on_series: Opened) -> None:
    status = on_series.window.status
    assert status.zoom.text().endswith("%")
    on_series.window.viewer.canvas.set_note("Nothing here")
    assert status.zoom.text() == ""


def test_frames_are_read_ahead_in_the_direction_of_the_last_step(
    opened: Opened, tmp_path: Path
) -> None:
    series = media_files.write_series(tmp_path / "ct", slices=60)
    with Project.create(tmp_path / "project") as project:
        project.add([series])
    opened.open(tmp_path / "project")
    opened.wait(lambda: opened.window.viewer.canvas.has_picture)
    opened.wait(lambda: _cached(opened) == set(range(MOST_FRAMES + 1)))
    opened.window.session.set_frame(50)
    opened.wait(lambda: _cached(opened) == set(range(60)) - set(range(33, 50)))
    opened.window.session.set_frame(49)
    opened.wait(lambda: _cached(opened) == set(range(60)))


def test_a_frame_read_ahead_comes_through_the_window_in_use(on_series: Opened) -> None:
    viewing = on_series.window.viewing
    on_series.wait(lambda: len(_cached(on_series)) == 5)
    window = Window(0, 50, "narrow")
    viewing.set_window(window)
    on_series.window.session.set_frame(3)
    on_series.wait(lambda: frame_of(on_series) == 3)
    loaded = viewing.loaded
    assert loaded is not None
    expected = render_window(loaded.values, window)
    assert np.array_equal(grey(on_series), expected)
    viewing.reset_window()
    on_series.wait(lambda: not np.array_equal(grey(on_series), expected))


def test_a_damaged_frame_ends_reading_ahead_and_is_told_when_it_is_reached(
    opened: Opened, tmp_path: Path
) -> None:
    series = media_files.write_series(tmp_path / "ct", slices=5)
    with Project.create(tmp_path / "project") as project:
        project.add([series])
    slices = sorted(series.glob("*.dcm"))
    slices[2].write_bytes(slices[2].read_bytes()[:-200])
    opened.open(tmp_path / "project")
    opened.wait(lambda: _cached(opened) == {0, 1})
    opened.window.session.set_frame(2)
    opened.wait(lambda: opened.window.viewer.canvas.note[1])
    assert "Truncated" in opened.window.viewer.canvas.note[1]


def _cached(opened: Opened) -> set[int]:
    return {key[2] for key in tuple(opened.window.viewing._reader._frames)}


def test_the_next_pictures_are_read_ahead_too(on_project: Opened) -> None:
    names = ("picture1.png", "picture2.png", "picture3.png", "picture4.png")
    on_project.wait(lambda: _names(on_project) == set(names[:3]))
    on_project.window.commands.step(1)
    on_project.wait(lambda: _names(on_project) == set(names))
    on_project.window.commands.step(-1)
    on_project.wait(lambda: on_project.window.viewer.name.text().endswith(names[0]))
    assert on_project.errors == []


def _names(opened: Opened) -> set[str]:
    return {Path(key[0]).name for key in tuple(opened.window.viewing._reader._frames)}
