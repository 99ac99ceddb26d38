"""Graphics of presentation states that highdicom wrote: where they lie in the picture."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pydicom
import pytest
from highdicom import pr
from hypothesis import given
from hypothesis import strategies as st
from media_dicoms import sequence_item
from presentation_files import CT, GRAPHICS, LAYER, annotation, write_state

from vlmtool_core.media import open_media
from vlmtool_core.media.dicom.presentation_graphics import (
    Area,
    Drawn,
    Graphic,
    Placement,
    Stroke,
    Writing,
    stroke_of,
    turned,
)
from vlmtool_core.media.dicom.presentation_state import read_presentation_state
from vlmtool_core.media.drawing import as_presented

ROWS, COLUMNS = 64, 96
IDENTITY = Placement(Area(0, 0, COLUMNS, ROWS))


@pytest.fixture
def ct(tmp_path: Path) -> Path:
    CT.save_as(tmp_path / "ct.dcm")
    return tmp_path / "ct.dcm"


def test_geometry_equals_highdicoms(ct: Path, tmp_path: Path) -> None:
    path = write_state(tmp_path / "pr.dcm", [CT], [annotation([CT])], [LAYER])
    state = read_presentation_state(path)
    (found,) = state.graphics(CT.SOPInstanceUID, 1)
    written = pydicom.dcmread(path).GraphicAnnotationSequence[0]
    assert [graphic.kind for graphic in found.graphics] == list(GRAPHICS)
    for graphic, item in zip(found.graphics, written.GraphicObjectSequence, strict=True):
        assert np.allclose(graphic.points, np.reshape(item.GraphicData, (-1, 2)), atol=1e-4)
        assert np.allclose(graphic.points, GRAPHICS[graphic.kind], atol=1e-4)
    assert found.layer.name == "MARKS"
    assert [text.value for text in found.texts] == ["a finding", "there"]
    with open_media(ct) as source:
        (drawn,) = source.presented(0, path).drawn
    assert drawn.writings[0].place == (10, 90)
    assert drawn.writings[1].place == (70, 80)
    assert drawn.strokes[0].is_point
    assert drawn.strokes[1].points == ((1, 2), (30, 40), (50, 6))


def test_a_circle_and_an_ellipse_go_through_what_the_file_states() -> None:
    circle = stroke_of(Graphic("CIRCLE", ((40, 50), (52, 55))), IDENTITY)
    assert circle.closed
    assert np.allclose([math.dist((40, 50), p) for p in circle.points], 13)
    ends = ((20.0, 40.0), (80.0, 40.0), (50.0, 30.0), (50.0, 50.0))
    ellipse = np.array(stroke_of(Graphic("ELLIPSE", ends), IDENTITY).points)
    assert np.allclose(((ellipse - (50, 40)) / (30, 10)) ** 2 @ [1, 1], 1)
    for end in ends:
        assert np.linalg.norm(ellipse - end, axis=1).min() < 1e-9


points = st.lists(
    st.tuples(st.floats(-50, 150), st.floats(-50, 150)), min_size=3, max_size=8, unique=True
)


@given(points, st.booleans())
def test_an_interpolated_line_goes_through_its_points(
    given_points: list[tuple[float, float]], closed: bool
) -> None:
    ring = (*given_points, given_points[0]) if closed else tuple(given_points)
    stroke = stroke_of(Graphic("INTERPOLATED", ring), IDENTITY)
    curve = np.array(stroke.points)
    for point in given_points:
        assert np.linalg.norm(curve - point, axis=1).min() < 1e-9
    assert stroke.closed == closed


@given(st.floats(0, 1), st.floats(0, 1), st.sampled_from([0, 90, 180, 270]), st.booleans())
def test_display_units_follow_the_turned_and_mirrored_picture(
    across: float, down: float, rotation: int, flipped: bool
) -> None:
    """The reference turns and mirrors a picture of coordinates with numpy."""
    size = 400
    xs, ys = np.meshgrid(np.arange(size) + 0.5, np.arange(size) + 0.5)
    shown = [np.rot90(axis, -(rotation // 90)) for axis in (xs, ys)]
    if flipped:
        shown = [axis[:, ::-1] for axis in shown]
    row, column = min(int(down * size), size - 1), min(int(across * size), size - 1)
    expected = (shown[0][row, column], shown[1][row, column])
    place = Placement(Area(0, 0, size, size), rotation, flipped)
    found = place.pixel(((column + 0.5) / size, (row + 0.5) / size), "DISPLAY")
    assert found == pytest.approx(expected)


@given(points, st.sampled_from([0, 90, 180, 270]), st.booleans())
def test_what_is_drawn_turns_with_the_picture(
    places: list[tuple[float, float]], rotation: int, flipped: bool
) -> None:
    """Turning back by display units gives the same place; a picture turned by numpy agrees."""
    size = (96.0, 64.0)
    drawn = Drawn((0, 0, 0), (Stroke(tuple(places)),), (Writing("a", tuple(places)),))
    found = turned(drawn, size, rotation, flipped=flipped)
    across, down = (size[1], size[0]) if rotation % 180 else size
    place = Placement(Area(0, 0, *size), rotation, flipped)
    for (x, y), (u, v) in zip(places, found.strokes[0].points, strict=True):
        assert place.pixel((u / across, v / down), "DISPLAY") == pytest.approx((x, y), abs=1e-9)
    corner = np.array(found.writings[0].corners).min(axis=0)
    assert found.writings[0].place == pytest.approx(tuple(corner))


def test_texts_stay_upright_in_a_turned_picture(ct: Path, tmp_path: Path) -> None:
    """Letters look the same however the picture is turned."""
    marks = pr.GraphicAnnotation(
        referenced_images=[CT], graphic_layer=LAYER,
        text_objects=[pr.TextObject("LRF", units="DISPLAY", bounding_box=(0.5, 0.5, 0.8, 0.6))],
    )  # fmt: skip
    written = []
    for rotation in (0, 90, 180, 270):
        path = write_state(
            tmp_path / "pr.dcm", [CT], [marks], [LAYER], ImageRotation=rotation,
            ImageHorizontalFlip="Y",
        )  # fmt: skip
        with open_media(ct) as source:
            plain = as_presented(source, 0, path, texts=False).pixels
            written.append((as_presented(source, 0, path).pixels != plain).any(axis=2))
    shown = [np.argwhere(mask) for mask in written]
    for places in shown:
        assert places.min(axis=0) == pytest.approx(shown[0].min(axis=0), abs=1)
        assert places.max(axis=0) == pytest.approx(shown[0].max(axis=0), abs=1)


def test_display_units_are_of_the_displayed_area(ct: Path, tmp_path: Path) -> None:
    area = sequence_item(
        DisplayedAreaTopLeftHandCorner=[33, 17], DisplayedAreaBottomRightHandCorner=[96, 48],
        PresentationSizeMode="SCALE TO FIT",
    )  # fmt: skip
    path = write_state(
        tmp_path / "pr.dcm", [CT], [annotation([CT], "DISPLAY", ["POINT"])], [LAYER],
        DisplayedAreaSelectionSequence=[area],
    )  # fmt: skip
    with open_media(ct) as source:
        (drawn,) = source.presented(0, path).drawn
    (point,) = drawn.strokes[0].points
    assert point == pytest.approx((32 + 64 * 10.5 / 128, 16 + 32 * 20.25 / 128), abs=1e-4)
