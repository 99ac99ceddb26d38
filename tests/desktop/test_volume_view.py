"""Letters at the edges of pictures, and three linked planes through a volume, in a real window."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import nibabel as typeless
import numpy as np
import pytest
from PySide6.QtCore import QPoint, QPointF, QRectF, Qt
from PySide6.QtGui import QImage, QPainter, QWheelEvent
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication
from tests.desktop import media_files
from tests.desktop.conftest import Opened

from vlmtool_core.media.volumes.axes import Plane
from vlmtool_core.media.volumes.letters import EdgeLetters
from vlmtool_core.project import Project
from vlmtool_desktop.canvas.letters import LettersLayer
from vlmtool_desktop.canvas.plane_view import PlaneView
from vlmtool_desktop.canvas.transform import ViewTransform
from vlmtool_desktop.controllers import volume_controller
from vlmtool_desktop.models import plane_reader
from vlmtool_desktop.session import Overlay

nibabel: Any = typeless
SIZES = (30, 40, 12)
AFFINE = np.array([[2.0, 0, 0, -29], [0, 1.5, 0, -30], [0, 0, 5, -25], [0, 0, 0, 1]])


def values() -> np.ndarray:
    """int16 (i, j, k): each voxel says where it is."""
    i, j, k = np.indices(SIZES)
    found: np.ndarray = i + 30 * (j % 40) + 100 * k
    return found.astype(np.int16)


def make_project(opened: Opened, root: Path, *media: Path) -> Opened:
    with Project.create(root) as project:
        project.add(list(media))
    opened.open(root)
    opened.wait(lambda: opened.window.viewer.canvas.has_picture)
    return opened


@pytest.fixture
def on_volume(opened: Opened, tmp_path: Path) -> Opened:
    image = nibabel.Nifti1Image(values(), AFFINE)
    image.header.set_xyzt_units("mm")
    (tmp_path / "media").mkdir()
    nibabel.save(image, tmp_path / "media" / "head.nii.gz")
    return make_project(opened, tmp_path / "project", tmp_path / "media")


@pytest.fixture
def on_planes(on_volume: Opened) -> Opened:
    open_planes(on_volume)
    return on_volume


def open_planes(opened: Opened) -> None:
    opened.window.actions_.by_id["planes"].trigger()
    opened.wait(lambda: all(view.picture is not None for view in views(opened).values()))


def views(opened: Opened) -> dict[str, PlaneView]:
    return opened.window.planes.panel.views


def titles(opened: Opened) -> list[str]:
    return [views(opened)[plane].title for plane in Plane]


def wait_titles(opened: Opened, *expected: str) -> None:
    opened.wait(lambda: titles(opened) == list(expected))


def click(view: PlaneView, x: float, y: float) -> None:
    at = view.transform.to_view(x, y)
    QTest.mouseClick(view, Qt.MouseButton.LeftButton, pos=QPoint(round(at[0]), round(at[1])))


def turn_wheel(view: PlaneView, angle: int) -> None:
    here = QPointF(view.rect().center())
    QApplication.sendEvent(
        view,
        QWheelEvent(
            here,
            view.mapToGlobal(here),
            QPoint(),
            QPoint(0, angle),
            Qt.MouseButton.NoButton,
            Qt.KeyboardModifier.NoModifier,
            Qt.ScrollPhase.NoScrollPhase,
            False,
        ),
    )


def grey(view: PlaneView) -> np.ndarray:
    assert view.picture is not None
    image = view.picture.levels[0]
    pixels = np.frombuffer(image.constBits(), np.uint8)
    return pixels.reshape(image.height(), image.bytesPerLine() // 4, 4)[:, : image.width(), 1]


# Letters -------------------------------------------------------------------------------------


def test_letters_of_a_volume_are_drawn_and_follow_their_switch(on_volume: Opened) -> None:
    layer = on_volume.window.planes.letters
    assert layer.letters == EdgeLetters("R", "L", "A", "P")
    with_letters = on_volume.window.viewer.canvas.grab().toImage()
    on_volume.window.actions_.by_id["show-letters"].trigger()
    assert Overlay.LETTERS not in on_volume.window.session.overlays
    assert layer.letters is None
    assert on_volume.window.viewer.canvas.grab().toImage() != with_letters
    on_volume.window.actions_.by_id["show-letters"].trigger()
    assert on_volume.window.viewer.canvas.grab().toImage() == with_letters


def test_a_picture_has_neither_letters_nor_planes(on_project: Opened) -> None:
    window = on_project.window
    assert window.planes.letters.letters is None
    action = window.actions_.by_id["planes"]
    assert not action.isEnabled()
    assert action.toolTip() == "No planes: it is neither a DICOM series nor a volume."
    assert action.statusTip() == action.toolTip()
    window.planes.toggle()
    assert not window.planes.is_open


def test_letters_move_with_the_picture_and_stay_in_sight(qapp: QApplication) -> None:
    layer = LettersLayer()
    layer.letters, layer.size = EdgeLetters("R", "", "", ""), (100, 100)

    def drawn(transform: ViewTransform) -> QRectF:
        image = QImage(400, 300, QImage.Format.Format_RGB32)
        image.fill(Qt.GlobalColor.black)
        painter = QPainter(image)
        layer.draw(painter, transform)
        painter.end()
        pixels = np.frombuffer(image.constBits(), np.uint8).reshape(300, 400, 4)[..., 2]
        rows, columns = np.nonzero(pixels > 128)
        if rows.size == 0:
            return QRectF()
        return QRectF(QPointF(columns.min(), rows.min()), QPointF(columns.max(), rows.max()))

    here, there = drawn(ViewTransform(1.0, 50, 20)), drawn(ViewTransform(1.0, 150, 120))
    assert here.left() == pytest.approx(50 + 6, abs=3)
    assert here.center().y() == pytest.approx(70, abs=2)
    assert (there.left() - here.left(), there.top() - here.top()) == (100, 100)
    # Zoomed in, the left edge of the picture is far outside.
    zoomed = drawn(ViewTransform(20.0, -500, -500))
    assert zoomed.left() == pytest.approx(6, abs=3)
    assert zoomed.center().y() == pytest.approx(150, abs=2)
    assert drawn(ViewTransform(1.0, 5000, 0)).isEmpty()


# Planes --------------------------------------------------------------------------------------


def test_three_planes_show_what_lies_in_them(on_planes: Opened) -> None:
    window = on_planes.window
    wait_titles(on_planes, "Axial  1 / 12", "Sagittal  16 / 30", "Coronal  21 / 40")
    assert window.viewer.canvas.isHidden()
    assert window.viewer.frame_bar.isHidden()
    loaded = window.planes.volume
    shown = window.planes.window
    assert loaded is not None
    assert shown is not None
    volume = loaded.volume
    assert volume.sizes == SIZES
    for plane, number in ((Plane.AXIAL, 0), (Plane.SAGITTAL, 15), (Plane.CORONAL, 20)):
        found = volume.reslice(plane, number).values
        low = shown.center - shown.width / 2
        expected = np.clip((found - low) / shown.width * 255, 0, 255)
        assert np.abs(grey(views(on_planes)[plane]) - expected).max() <= 1
    letters = {plane: view.letters for plane, view in views(on_planes).items()}
    assert letters[Plane.SAGITTAL] == EdgeLetters("A", "P", "H", "F")
    assert letters[Plane.CORONAL] == EdgeLetters("R", "L", "H", "F")


def test_planes_have_the_right_shape(on_planes: Opened) -> None:
    # In mm from edge to edge, to a pixel.
    for plane, across, down, pixel in (
        (Plane.AXIAL, 60, 60, 1.5),
        (Plane.SAGITTAL, 60, 60, 1.5),
        (Plane.CORONAL, 60, 60, 2.0),
    ):
        picture = views(on_planes)[plane].picture
        assert picture is not None
        assert picture.size[0] * pixel == pytest.approx(across, abs=pixel)
        assert picture.size[1] * pixel == pytest.approx(down, abs=pixel)


def test_a_click_in_one_plane_moves_the_others(on_planes: Opened) -> None:
    wait_titles(on_planes, "Axial  1 / 12", "Sagittal  16 / 30", "Coronal  21 / 40")
    # Axial pixels are 1.5 mm, voxels 2 mm wide: 12 mm from the middle of the first voxel.
    click(views(on_planes)[Plane.AXIAL], 8.5, 5.5)
    wait_titles(on_planes, "Axial  1 / 12", "Sagittal  7 / 30", "Coronal  6 / 40")
    click(views(on_planes)[Plane.CORONAL], 10.5, 1.5)
    wait_titles(on_planes, "Axial  12 / 12", "Sagittal  11 / 30", "Coronal  6 / 40")
    loaded = on_planes.window.planes.volume
    assert loaded is not None
    point = loaded.planes.point
    # From RAS of the file to LPS: the volume begins at its right, front and foot.
    assert point[0] == pytest.approx(-29 + 20, abs=1.1)
    assert point[2] == pytest.approx(-25 + 55, abs=1.1)
    x, y = views(on_planes)[Plane.CORONAL].point
    assert x == pytest.approx(10.5, abs=0.5)
    assert y == pytest.approx(1.5, abs=0.5)
    sides = on_planes.window.planes.panel.place.text().split()
    assert sides[0] == "R"
    assert float(sides[1]) == pytest.approx(-point[0], abs=0.05)


def test_wheel_and_keys_go_from_plane_to_plane(on_planes: Opened) -> None:
    wait_titles(on_planes, "Axial  1 / 12", "Sagittal  16 / 30", "Coronal  21 / 40")
    axial = views(on_planes)[Plane.AXIAL]
    for angle in (120, 60, 60):  # half steps add up
        turn_wheel(axial, angle)
    wait_titles(on_planes, "Axial  3 / 12", "Sagittal  16 / 30", "Coronal  21 / 40")
    QTest.keyClick(axial, Qt.Key.Key_Up, Qt.KeyboardModifier.ShiftModifier)
    wait_titles(on_planes, "Axial  12 / 12", "Sagittal  16 / 30", "Coronal  21 / 40")
    QTest.keyClick(axial, Qt.Key.Key_Down)
    wait_titles(on_planes, "Axial  11 / 12", "Sagittal  16 / 30", "Coronal  21 / 40")
    QTest.keyClick(views(on_planes)[Plane.SAGITTAL], Qt.Key.Key_Left)
    wait_titles(on_planes, "Axial  11 / 12", "Sagittal  15 / 30", "Coronal  21 / 40")


def test_lines_of_the_other_planes_cross_in_the_point(on_planes: Opened) -> None:
    wait_titles(on_planes, "Axial  1 / 12", "Sagittal  16 / 30", "Coronal  21 / 40")
    click(views(on_planes)[Plane.AXIAL], 12.5, 25.5)
    wait_titles(on_planes, "Axial  1 / 12", "Sagittal  10 / 30", "Coronal  26 / 40")
    on_planes.wait(lambda: all(len(view.lines) == 2 for view in views(on_planes).values()))
    for view in views(on_planes).values():
        x, y = view.point
        for line in view.lines:
            (x1, y1), (x2, y2) = line.start, line.end
            upright = abs(x2 - x1) < 1e-6
            # The plane nearest to the point is at most half a voxel away from it.
            assert abs((x1 - x) if upright else (y1 - y)) <= 5 / 1.5 / 2 + 0.5
            assert upright or abs(y2 - y1) < 1e-6
        assert {line.colour for line in view.lines} != {""}


def test_the_window_is_shared_by_all_planes_and_the_picture(on_planes: Opened) -> None:
    before = {plane: grey(view).copy() for plane, view in views(on_planes).items()}
    sagittal = views(on_planes)[Plane.SAGITTAL]
    middle = sagittal.rect().center()
    width = on_planes.window.planes.window.width  # type: ignore[union-attr]
    QTest.mousePress(sagittal, Qt.MouseButton.RightButton, pos=middle)
    QTest.mouseMove(sagittal, middle + QPoint(-60, 0))
    QTest.mouseRelease(sagittal, Qt.MouseButton.RightButton, pos=middle + QPoint(-60, 0))
    shared = on_planes.window.planes.window
    assert shared is not None
    assert shared.width == pytest.approx(width * 0.8, rel=0.02)
    on_planes.wait(
        lambda: all((grey(view) != before[plane]).any() for plane, view in views(on_planes).items())
    )
    assert on_planes.window.viewing.window == shared


def test_planes_are_cut_beside_the_interface(
    on_planes: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: list[threading.Thread] = []
    cut = plane_reader.show_plane

    def watched(*given: Any) -> Any:
        threads.append(threading.current_thread())
        return cut(*given)

    monkeypatch.setattr(volume_controller, "show_plane", watched)
    turn_wheel(views(on_planes)[Plane.AXIAL], 120)
    wait_titles(on_planes, "Axial  2 / 12", "Sagittal  16 / 30", "Coronal  21 / 40")
    assert threads
    assert threading.main_thread() not in threads


def test_escape_and_the_action_lead_back_to_the_picture(on_planes: Opened) -> None:
    window = on_planes.window
    action = window.actions_.by_id["planes"]
    assert action.isChecked()
    QTest.keyClick(views(on_planes)[Plane.AXIAL], Qt.Key.Key_Escape)
    assert not window.planes.is_open
    assert not window.viewer.canvas.isHidden()
    assert not window.viewer.frame_bar.isHidden()
    assert not action.isChecked()
    assert window.planes.volume is None
    window.viewer.step(3)
    on_planes.wait(lambda: window.viewing.shown_frame == 3)
    open_planes(on_planes)
    wait_titles(on_planes, "Axial  4 / 12", "Sagittal  16 / 30", "Coronal  21 / 40")
    action.trigger()
    assert not window.planes.is_open


def test_leaving_while_it_is_read_stops_reading(on_volume: Opened) -> None:
    window = on_volume.window
    window.planes.toggle()
    assert window.planes.panel.cancel.isVisible()
    window.planes.panel.cancel.click()
    assert not window.planes.is_open
    open_planes(on_volume)
    assert window.planes.panel.cancel.isHidden()
    assert on_volume.errors == []


def test_another_item_closes_the_planes(on_planes: Opened) -> None:
    on_planes.window.session.set_item(None)
    assert not on_planes.window.planes.is_open
    assert not on_planes.window.viewer.canvas.isHidden()
    assert on_planes.window.viewer.frame_bar.isHidden()
    assert not on_planes.window.actions_.by_id["planes"].isEnabled()


# Series --------------------------------------------------------------------------------------


def test_a_series_has_planes_in_its_unit(opened: Opened, tmp_path: Path) -> None:
    series = media_files.write_series(tmp_path / "ct", slices=5)
    make_project(opened, tmp_path / "project", series)
    assert opened.window.planes.letters.letters is not None
    open_planes(opened)
    opened.wait(lambda: opened.window.planes.panel.place.text().endswith("HU"))
    loaded = opened.window.planes.volume
    assert loaded is not None
    assert loaded.volume.frames == (0, 1, 2, 3, 4)


def test_a_series_with_a_gap_says_why_it_has_no_planes(opened: Opened, tmp_path: Path) -> None:
    series = media_files.write_series(tmp_path / "ct", slices=7)
    sorted(series.glob("*.dcm"))[3].unlink()
    make_project(opened, tmp_path / "project", series)
    opened.window.planes.toggle()
    opened.wait(lambda: "missing" in opened.window.planes.panel.note.text())
    assert "1 slices are missing" in opened.window.planes.panel.note.text()
    assert all(view.picture is None for view in views(opened).values())
    opened.window.planes.panel.back.click()
    assert not opened.window.planes.is_open
