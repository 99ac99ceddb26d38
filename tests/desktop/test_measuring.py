"""Measuring in the window: by mouse and by keys, kept, undone, measured again, probed."""

from __future__ import annotations

import csv
import io
import math
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.data import get_testdata_file
from PySide6.QtCore import QPoint, Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot
from tests.core.media.test_measurements import pet
from tests.desktop import media_files
from tests.desktop.conftest import Opened

from vlmtool_core.measurement import Measured, Measurement, MeasurementKind
from vlmtool_core.project import Project
from vlmtool_desktop.main_window import MainWindow
from vlmtool_desktop.models import measuring_reader
from vlmtool_desktop.session import Tool

KIND = MeasurementKind
LEFT, NONE = Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
ROW_MM, COLUMN_MM = 0.5, 2.0
Point = tuple[float, float]

# What a hand does for each kind: strokes, of one place for a click, of several for a drag.
STROKES: dict[MeasurementKind, list[list[Point]]] = {
    KIND.DISTANCE: [[(10, 12), (50, 40)]],
    KIND.POLYLINE: [[(10, 10)], [(30, 50)], [(55, 20)]],
    KIND.ANGLE: [[(10, 10)], [(10, 50)], [(50, 50)]],
    KIND.COBB: [[(5, 10), (60, 20)], [(5, 50), (60, 40)]],
    KIND.RECTANGLE: [[(40, 45), (12, 15)]],
    KIND.ELLIPSE: [[(8, 10), (50, 56)]],
    KIND.FREEHAND: [[(10, 10), (30, 8), (50, 20), (45, 50), (20, 55), (8, 30)]],
}
KEYS = {
    KIND.DISTANCE: ("M", NONE),
    KIND.POLYLINE: ("M", Qt.KeyboardModifier.ShiftModifier),
    KIND.ANGLE: ("G", NONE),
    KIND.COBB: ("G", Qt.KeyboardModifier.ShiftModifier),
    KIND.RECTANGLE: ("R", Qt.KeyboardModifier.ShiftModifier),
    KIND.ELLIPSE: ("E", Qt.KeyboardModifier.ShiftModifier),
    KIND.FREEHAND: ("F", Qt.KeyboardModifier.ShiftModifier),
}


def key(opened: Opened, name: str, modifiers: Qt.KeyboardModifier = NONE) -> None:
    QTest.keyClick(opened.window.viewer.canvas, getattr(Qt.Key, f"Key_{name}"), modifiers)


class Hand:
    """Draws on the canvas in pixels of the picture."""

    def __init__(self, opened: Opened) -> None:
        self.opened = opened
        self.canvas = opened.window.viewer.canvas

    def place(self, point: Point) -> QPoint:
        x, y = self.canvas.transform.to_view(*point)
        return QPoint(round(x), round(y))

    def stroke(self, points: Sequence[Point]) -> None:
        QTest.mousePress(self.canvas, LEFT, NONE, self.place(points[0]))
        for point in points[1:]:
            QTest.mouseMove(self.canvas, self.place(point))
        QTest.mouseRelease(self.canvas, LEFT, NONE, self.place(points[-1]))

    def draw(self, kind: MeasurementKind) -> Measurement:
        """Choose the tool, draw, and wait until the project has it."""
        before = len(kept(self.opened))
        self.opened.window.actions_.by_id[f"measure-{kind}"].trigger()
        for stroke in STROKES[kind]:
            self.stroke(stroke)
        if kind is KIND.POLYLINE:
            key(self.opened, "Return")
        self.opened.wait(lambda: len(shown(self.opened)) == before + 1)
        return kept(self.opened)[-1]


def kept(opened: Opened) -> list[Measurement]:
    """What the project has, in its own words."""
    found: Any = opened.stored(lambda p: p.annotations())
    return [a.measurement for a in found if a.measurement is not None]


def shown(opened: Opened) -> list[Any]:
    """The stored measurements drawn over the picture."""
    return [s for s in opened.window.measuring.layer.shapes if s.id is not None]


def values(folder: Path, frame: int = 0) -> np.ndarray:
    """HU of a slice, by numpy from its bytes."""
    data = pydicom.dcmread(folder / f"slice{frame}.dcm")
    return np.frombuffer(data.PixelData, "<i2").reshape(64, 64).astype(float) - 1000


@pytest.fixture
def slices(tmp_path: Path) -> Path:
    """Three noisy slices whose pixels are four times as wide as high."""
    noise = np.random.default_rng(5).integers(0, 2000, (3, 64, 64)).astype(np.int16)
    folder = media_files.write_series(tmp_path / "ct", base=noise)
    for file in folder.iterdir():
        data = pydicom.dcmread(file)
        data.PixelSpacing = [ROW_MM, COLUMN_MM]
        data.save_as(file)
    return folder


@pytest.fixture
def on_slices(opened: Opened, slices: Path, tmp_path: Path) -> Opened:
    return open_on(opened, slices, tmp_path)


def open_on(opened: Opened, media: Path, tmp_path: Path) -> Opened:
    with Project.create(tmp_path / "project") as project:
        project.add([media])
    opened.open(tmp_path / "project")
    ready(opened)
    return opened


def ready(opened: Opened) -> None:
    """Until the picture is there and what lies behind it has been read."""
    opened.wait(lambda: opened.window.viewer.canvas.has_picture)
    opened.wait(lambda: opened.window.measuring.readings is not None)


def expected(shape: Measurement, hu: np.ndarray) -> dict[str, float]:
    """The numbers of a shape, by another way than the program's."""
    scaled = np.array(shape.points) * (COLUMN_MM, ROW_MM)
    steps = np.diff(scaled, axis=0)
    if shape.kind in (KIND.DISTANCE, KIND.POLYLINE):
        return {"length": float(np.sqrt((steps**2).sum(1)).sum())}
    if shape.kind in (KIND.ANGLE, KIND.COBB):
        arms = (-steps[0], steps[1]) if shape.kind is KIND.ANGLE else (steps[0], steps[2])
        cosine = arms[0] @ arms[1] / np.linalg.norm(arms[0]) / np.linalg.norm(arms[1])
        angle = math.degrees(math.acos(cosine))
        return {"angle": angle if shape.kind is KIND.ANGLE else min(angle, 180 - angle)}
    chosen = hu[inside(shape)]
    return {
        "count": chosen.size, "mean": chosen.mean(), "sd": chosen.std(ddof=1),
        "minimum": chosen.min(), "maximum": chosen.max(), "area": area(shape),
    }  # fmt: skip


def inside(shape: Measurement) -> np.ndarray:
    from skimage.measure import points_in_poly

    y, x = np.mgrid[:64, :64] + 0.5
    ring = np.array(shape.points)
    (x1, y1), (x2, y2) = ring.min(0), ring.max(0)
    if shape.kind is KIND.RECTANGLE:
        return (x >= x1) & (x < x2) & (y >= y1) & (y < y2)
    if shape.kind is KIND.ELLIPSE:
        across = (x - (x1 + x2) / 2) / ((x2 - x1) / 2)
        return across**2 + ((y - (y1 + y2) / 2) / ((y2 - y1) / 2)) ** 2 <= 1
    flat: np.ndarray = points_in_poly(np.stack([x.ravel(), y.ravel()], 1), ring)
    return flat.reshape(64, 64)


def area(shape: Measurement) -> float:
    ring = np.array(shape.points)
    width, height = np.ptp(ring, axis=0) * (COLUMN_MM, ROW_MM)
    if shape.kind is KIND.RECTANGLE:
        return float(width * height)
    if shape.kind is KIND.ELLIPSE:
        return float(math.pi / 4 * width * height)
    x, y = ring.T
    return abs(float(x @ np.roll(y, -1) - y @ np.roll(x, -1))) / 2 * COLUMN_MM * ROW_MM


def assert_right(shape: Measurement, hu: np.ndarray) -> None:
    for name, value in expected(shape, hu).items():
        assert getattr(shape.result, name) == pytest.approx(value, rel=1e-6, abs=1e-3), name
    assert (shape.result.unit, shape.result.spacing_source) == ("mm", "PixelSpacing")
    if shape.kind.is_region:
        assert shape.result.value_unit == "HU"


@pytest.mark.parametrize("kind", MeasurementKind)
def test_each_kind_is_drawn_by_mouse_and_its_number_is_right(
    on_slices: Opened, slices: Path, kind: MeasurementKind
) -> None:
    shape = Hand(on_slices).draw(kind)
    assert shape.kind is kind
    if kind is not KIND.FREEHAND:
        wanted = [point for stroke in STROKES[kind] for point in stroke]
        for found, meant in zip(shape.points, wanted, strict=True):
            assert math.dist(found, meant) < 0.2
    assert_right(shape, values(slices))
    (drawn,) = shown(on_slices)
    assert drawn.points == shape.points
    assert drawn.lines
    assert on_slices.window.measurements.tree.topLevelItemCount() == 1
    assert not on_slices.errors


@pytest.mark.parametrize("kind", MeasurementKind)
def test_each_kind_is_made_and_moved_by_keys_alone(
    on_slices: Opened, slices: Path, kind: MeasurementKind
) -> None:
    name, modifiers = KEYS[kind]
    QTest.keyClick(on_slices.window, getattr(Qt.Key, f"Key_{name}"), modifiers)
    assert on_slices.window.session.tool == kind.value
    on_slices.window.viewer.canvas.setFocus()
    key(on_slices, "Return")
    on_slices.wait(lambda: on_slices.window.measuring.layer.chosen is not None)
    (before,) = kept(on_slices)
    key(on_slices, "Right", Qt.KeyboardModifier.ControlModifier)
    key(on_slices, "Up")
    moved = tuple((x + 10, y - 1) for x, y in before.points)
    on_slices.wait(lambda: np.allclose(kept(on_slices)[0].points, moved))
    key(on_slices, "N")
    key(on_slices, "Down")
    pulled = ((moved[0][0], moved[0][1] + 1), *moved[1:])
    on_slices.wait(lambda: np.allclose(kept(on_slices)[0].points, pulled))
    assert_right(kept(on_slices)[0], values(slices))


def test_escape_gives_up_and_delete_removes_and_both_can_be_undone(on_slices: Opened) -> None:
    window, hand = on_slices.window, Hand(on_slices)
    window.actions_.by_id["measure-polyline"].trigger()
    hand.stroke([(10, 10)])
    hand.stroke([(30, 30)])
    assert window.measuring.layer.draft is not None
    key(on_slices, "Escape")
    assert window.measuring.layer.draft is None
    line = hand.draw(KIND.DISTANCE)
    on_slices.wait(lambda: window.measuring.layer.chosen is not None)
    QTest.keyClick(window, Qt.Key.Key_Delete)
    on_slices.wait(lambda: not shown(on_slices))
    assert kept(on_slices) == []
    on_slices.wait(lambda: window.actions_.by_id["undo"].isEnabled())
    window.project.undo()
    on_slices.wait(lambda: len(shown(on_slices)) == 1)
    assert kept(on_slices) == [line]
    window.project.undo()
    on_slices.wait(lambda: not shown(on_slices))
    window.project.redo()
    on_slices.wait(lambda: len(shown(on_slices)) == 1)
    assert kept(on_slices) == [line]


def test_shapes_and_their_handles_are_pulled_with_the_mouse(
    on_slices: Opened, slices: Path
) -> None:
    window, hand = on_slices.window, Hand(on_slices)
    hand.draw(KIND.RECTANGLE)
    on_slices.wait(lambda: window.measuring.layer.chosen is not None)
    window.session.set_tool(Tool.SELECT)
    hand.stroke([(19, 15), (24, 20)])  # its upper side, not on a handle: the whole moves
    on_slices.wait(lambda: math.dist(kept(on_slices)[0].points[1], (17, 20)) < 0.3)
    hand.stroke([(17, 20), (5, 5)])
    on_slices.wait(lambda: math.dist(kept(on_slices)[0].points[1], (5, 5)) < 0.3)
    (shape,) = kept(on_slices)
    assert math.dist(shape.points[0], (45, 50)) < 0.3
    assert_right(shape, values(slices))
    # Far out of the picture means to its edge.
    hand.stroke([shape.points[1], (-20, -30)])
    on_slices.wait(lambda: kept(on_slices)[0].points[1] == (0, 0))
    hand.stroke([(60, 60)])
    assert window.measuring.layer.chosen is None


def test_a_shape_that_comes_to_nothing_is_told_and_not_kept(on_slices: Opened) -> None:
    window, hand = on_slices.window, Hand(on_slices)
    window.actions_.by_id["measure-angle"].trigger()
    for _ in range(3):
        hand.stroke([(20, 20)])
    on_slices.wait(lambda: "length" in window.status.currentMessage())
    assert kept(on_slices) == []
    assert window.measuring.layer.shapes == ()


def test_what_could_not_be_kept_stays_in_sight(on_slices: Opened) -> None:
    window = on_slices.window
    window.bridge.close_project()
    window.actions_.by_id["measure-distance"].trigger()
    Hand(on_slices).stroke([(10, 10), (40, 40)])
    on_slices.wait(lambda: on_slices.errors)
    (unsaved,) = window.measuring.layer.shapes
    assert unsaved.id is None
    assert "not kept" in unsaved.warning


def test_measurements_come_back_and_are_measured_again(
    on_slices: Opened, slices: Path, tmp_path: Path, qtbot: QtBot
) -> None:
    hand = Hand(on_slices)
    before = [hand.draw(KIND.ELLIPSE), hand.draw(KIND.DISTANCE)]
    on_slices.window.close()
    again = Opened(new_window(qtbot), qtbot)
    again.open(tmp_path / "project")
    ready(again)
    again.wait(lambda: len(shown(again)) == 2 and not any(s.warning for s in shown(again)))
    assert kept(again) == before
    again.window.close()
    # The file is another one by now: what was stored is not shown as if it were true.
    for file in slices.iterdir():
        data = pydicom.dcmread(file)
        data.PixelSpacing = [1, 1]
        data.RescaleIntercept = "0"
        data.save_as(file)
    changed = Opened(new_window(qtbot), qtbot)
    changed.open(tmp_path / "project")
    ready(changed)
    changed.wait(lambda: all("changed" in s.warning for s in shown(changed)))
    ellipse, line = shown(changed)
    assert before[0].result.mean is not None
    assert f"{before[0].result.mean + 1000:.0f}"[:3] in ellipse.lines[0]
    assert "pixel spacing was 0.5 × 2 mm" in line.warning
    assert line.lines == (f"{math.dist(*line.points):.1f} mm",)
    assert kept(changed) == before
    changed.window.close()


def new_window(qtbot: QtBot) -> MainWindow:
    window = MainWindow(look=False)
    qtbot.addWidget(window)
    window.resize(1366, 768)
    window.show()
    return window


def test_each_belongs_to_its_frame_and_the_list_leads_there(
    on_slices: Opened, slices: Path
) -> None:
    window, hand = on_slices.window, Hand(on_slices)
    first = hand.draw(KIND.RECTANGLE)
    window.session.set_frame(2)
    on_slices.wait(lambda: window.viewing.shown_frame == 2)
    ready(on_slices)
    assert shown(on_slices) == []
    window.actions_.by_id["measure-ellipse"].trigger()
    hand.stroke(STROKES[KIND.ELLIPSE][0])
    on_slices.wait(lambda: len(shown(on_slices)) == 1)
    ellipse = kept(on_slices)[1]
    assert_right(ellipse, values(slices, 2))
    assert_right(first, values(slices, 0))
    tree = window.measurements.tree
    on_slices.wait(lambda: window.measurements.delete_button.isEnabled())
    window.show_tab(window.measurements)
    assert [tree.topLevelItem(n).text(0) for n in range(2)] == ["1", "3"]
    entry = tree.topLevelItem(0)
    QTest.mouseClick(tree.viewport(), LEFT, NONE, tree.visualItemRect(entry).center())
    on_slices.wait(lambda: window.viewing.shown_frame == 0)
    on_slices.wait(lambda: window.measuring.layer.chosen is not None)
    assert window.measuring.layer.chosen.kind is KIND.RECTANGLE
    window.actions_.by_id["show-annotations"].trigger()
    assert not window.measuring.layer.visible
    window.actions_.by_id["show-annotations"].trigger()
    tree.setFocus()
    QTest.keyClick(tree, Qt.Key.Key_Delete)
    on_slices.wait(lambda: kept(on_slices) == [ellipse])


def test_the_list_is_copied_as_text_and_as_csv(on_slices: Opened) -> None:
    panel, hand = on_slices.window.measurements, Hand(on_slices)
    assert not panel.copy_button.isEnabled()
    line, region = hand.draw(KIND.DISTANCE), hand.draw(KIND.ELLIPSE)
    on_slices.wait(lambda: panel.tree.topLevelItemCount() == 2)
    panel.tree.clearSelection()
    panel.copy_text()
    text = QApplication.clipboard().text().split("\n")
    assert text[0] == f"1\tDistance\t{line.result.length:.1f} mm"
    assert text[1].startswith("1\tEllipse\t")
    panel.copy_csv()
    rows = list(csv.DictReader(io.StringIO(QApplication.clipboard().text())))
    assert [row["kind"] for row in rows] == ["distance", "ellipse"]
    assert float(rows[1]["mean"]) == region.result.mean
    assert (rows[0]["unit"], rows[0]["row_mm"], rows[0]["column_mm"]) == ("mm", "0.5", "2.0")
    assert panel.spacing.text() == "0.5 × 2 mm, PixelSpacing"


def test_values_of_regions_are_read_off_the_interface_thread(
    on_slices: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, threads = measuring_reader.answer, []

    def noting(*arguments: Any) -> Any:
        if arguments[1].is_region:
            threads.append(threading.current_thread())
        return real(*arguments)

    monkeypatch.setattr(measuring_reader, "answer", noting)
    Hand(on_slices).draw(KIND.ELLIPSE)
    assert threads
    assert threading.main_thread() not in threads


def test_measurements_are_no_labels(on_slices: Opened) -> None:
    window = on_slices.window
    Hand(on_slices).draw(KIND.DISTANCE)
    assert window.labels.annotations.count() == 0
    assert window.viewing.frame_annotations() == []
    counts: Any = on_slices.stored(lambda p: p.info().counts)
    assert (counts.labelled, counts.measurements) == (0, 1)


def test_a_box_is_still_chosen_where_no_measurement_lies(on_slices: Opened) -> None:
    window, hand = on_slices.window, Hand(on_slices)
    window.session.active_label = "nodule"
    window.project.write(lambda p: p.ensure_labels(["nodule"]))
    on_slices.wait(lambda: window.labels.labels.count() == 1)
    window.commands.add_box((40, 40, 60, 60))
    on_slices.wait(lambda: len(window.viewer.canvas.shapes) == 1)
    window.actions_.by_id["measure-distance"].trigger()
    hand.stroke([(5, 5), (30, 30)])
    on_slices.wait(lambda: window.measuring.layer.chosen is not None)
    window.session.set_tool(Tool.SELECT)
    hand.stroke([(50, 50)])
    assert window.viewer.canvas.selected_shape() is not None
    assert window.measuring.layer.chosen is None
    hand.stroke([(15, 15)])
    assert window.viewer.canvas.selected_shape() is None
    assert window.measuring.layer.chosen is not None


# The probe -------------------------------------------------------------------------------------


def hover(opened: Opened, point: Point, ready_: Callable[[str], bool]) -> str:
    hand = Hand(opened)
    QTest.mouseMove(hand.canvas, hand.place((1, 1)))
    QTest.mouseMove(hand.canvas, hand.place(point))
    opened.wait(lambda: ready_(opened.window.status.pixel.text()))
    return opened.window.status.pixel.text()


def test_the_probe_tells_place_value_stored_and_shown(opened: Opened, tmp_path: Path) -> None:
    path = Path(str(get_testdata_file("CT_small.dcm")))
    copy = tmp_path / "ct.dcm"
    copy.write_bytes(path.read_bytes())
    open_on(opened, copy, tmp_path)
    data = pydicom.dcmread(path)
    stored = np.frombuffer(data.PixelData, "<i2").reshape(128, 128)
    text = hover(opened, (64.5, 31.5), lambda t: "stored" in t and "x 64" in t)
    value = stored[31, 64] * data.RescaleSlope + data.RescaleIntercept
    picture = opened.window.viewer.canvas.picture
    assert picture is not None
    grey = picture.levels[0].pixelColor(64, 31).red()
    start = np.array(data.ImagePositionPatient, float)
    place = start + np.array([64, 31, 0]) * float(data.PixelSpacing[0])
    sides = [a if v >= 0 else b for (a, b), v in zip(("LR", "PA", "HF"), place, strict=True)]
    told = " ".join(f"{s} {abs(v):.1f}" for s, v in zip(sides, place, strict=True))
    assert text == (f"x 64  y 31  {value:g} HU  stored {stored[31, 64]}  shown {grey}  {told} mm")
    opened.window.actions_.by_id["measure-probe"].trigger()
    hover(opened, (64.5, 31.5), lambda t: "x 64" in t)
    beside = opened.window.measuring.layer.beside_pointer
    assert beside is not None
    assert f"{value:g} HU" in beside[1]
    opened.window.session.set_tool(Tool.SELECT)
    assert opened.window.measuring.layer.beside_pointer is None


def test_pet_shows_uptake_values_or_says_once_why_not(opened: Opened, tmp_path: Path) -> None:
    folder = tmp_path / "pet"
    folder.mkdir()
    pet(folder / "a.dcm", SeriesInstanceUID="1.2.3")
    pet(folder / "b.dcm", SeriesInstanceUID="1.2.4", PatientWeight=0)
    open_on(opened, folder, tmp_path)
    window = opened.window
    factor = 70_000 / (350e6 * 2 ** (-3600 / 6586.2))
    text = hover(opened, (4.5, 4.5), lambda t: "SUV" in t)
    assert f"SUV {7000 * factor:.3g}" in text
    window.actions_.by_id["measure-rectangle"].trigger()
    Hand(opened).stroke([(1, 1), (5, 5)])
    opened.wait(lambda: len(shown(opened)) == 1)
    assert shown(opened)[0].lines[0] == f"{7000 * factor:.3g} ± 0 SUV"
    assert window.measurements.caution.text() == ""
    opened.show_item(1)
    ready(opened)
    opened.wait(lambda: "PatientWeight" in window.measurements.caution.text())
    assert "No SUV" in window.status.currentMessage()
    assert "SUV" not in hover(opened, (4.5, 4.5), lambda t: "stored" in t)


def test_colour_has_luminance_and_pixels(on_project: Opened) -> None:
    ready(on_project)
    window = on_project.window
    window.actions_.by_id["measure-rectangle"].trigger()
    Hand(on_project).stroke([(60, 40), (100, 80)])
    on_project.wait(lambda: len(shown(on_project)) == 1)
    (shape,) = kept(on_project)
    loaded = window.viewing.loaded
    assert loaded is not None
    name = int(loaded.ref.path.stem.removeprefix("picture")) - 1
    (x2, y2), (x1, y1) = np.max(shape.points, axis=0), np.min(shape.points, axis=0)
    y, x = np.mgrid[:120, :160] + 0.5
    chosen = media_files.picture(name)[(x >= x1) & (x < x2) & (y >= y1) & (y < y2)]
    assert shape.result.mean == pytest.approx((chosen @ [0.299, 0.587, 0.114]).mean())
    assert (shape.result.unit, shape.result.value_unit) == ("px", "luminance")
    assert window.measurements.spacing.text() == "Pixel spacing unknown: in pixels"
    text = hover(on_project, (80.5, 60.5), lambda t: "x 80" in t)
    colour = media_files.picture(name)[60, 80]
    assert text == f"x 80  y 60  shown {colour[0]} {colour[1]} {colour[2]}"


def test_padding_is_called_so(opened: Opened, tmp_path: Path) -> None:
    folder = media_files.write_series(tmp_path / "ct", slices=1)
    file = folder / "slice0.dcm"
    data = pydicom.dcmread(file)
    pixels = np.frombuffer(data.PixelData, "<i2").reshape(64, 64).copy()
    pixels[:20] = -2000
    data.PixelData = pixels.tobytes()
    data.add_new("PixelPaddingValue", "SS", -2000)
    data.save_as(file)
    open_on(opened, folder, tmp_path)
    text = hover(opened, (10.5, 5.5), lambda t: "stored" in t and "x 10" in t)
    assert text.startswith("x 10  y 5  padding  stored -2000")
    opened.window.actions_.by_id["measure-rectangle"].trigger()
    Hand(opened).stroke([(0, 0), (64, 40)])
    opened.wait(lambda: len(shown(opened)) == 1)
    result: Measured = kept(opened)[0].result
    assert (result.count, result.left_out) == (64 * 20, 64 * 20)
