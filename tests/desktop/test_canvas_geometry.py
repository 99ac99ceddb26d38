"""Zoom, pan, boxes and handles as arithmetic."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vlmtool_core.records import Box
from vlmtool_desktop.canvas.shapes import (
    HANDLES,
    Shape,
    ShapeKind,
    handle_at,
    handle_points,
    moved,
    resized,
    shape_at,
)
from vlmtool_desktop.canvas.transform import MAXIMUM_SCALE, MINIMUM_SCALE, ViewTransform

coordinates = st.floats(-1e4, 1e4)
scales = st.floats(0.05, 40)
SIZE = (640, 480)


@st.composite
def boxes(draw: st.DrawFn) -> Box:
    x1, x2 = sorted((draw(st.floats(0, SIZE[0])), draw(st.floats(0, SIZE[0]))))
    y1, y2 = sorted((draw(st.floats(0, SIZE[1])), draw(st.floats(0, SIZE[1]))))
    return Box(x1, y1, x2, y2, "cat")


def inside(box: Box) -> bool:
    return 0 <= box.x1 <= box.x2 <= SIZE[0] and 0 <= box.y1 <= box.y2 <= SIZE[1]


@given(scales, coordinates, coordinates, coordinates, coordinates)
def test_view_and_image_coordinates_are_inverse(
    scale: float, x: float, y: float, px: float, py: float
) -> None:
    transform = ViewTransform(scale, x, y)
    back = transform.to_image(*transform.to_view(px, py))
    assert back == pytest.approx((px, py), abs=1e-6 * max(1.0, abs(x), abs(y)) / scale + 1e-6)


@given(scales, st.floats(0, 2000), st.floats(0, 1000), st.floats(0.01, 100))
def test_zoom_keeps_the_point_under_the_pointer(
    scale: float, x: float, y: float, factor: float
) -> None:
    transform = ViewTransform(scale, 37, -12)
    before = transform.to_image(x, y)
    zoomed = transform.zoomed(factor, x, y)
    assert MINIMUM_SCALE <= zoomed.scale <= MAXIMUM_SCALE
    assert zoomed.to_view(*before) == pytest.approx((x, y), abs=1e-5)


@given(
    st.tuples(st.floats(50, 4000), st.floats(50, 4000)),
    st.tuples(st.floats(1, 30000), st.floats(1, 30000)),
)
def test_fit_shows_the_whole_picture_in_the_middle(
    view: tuple[float, float], image: tuple[float, float]
) -> None:
    transform = ViewTransform.fitting(view, image, margin=10)
    left, top = transform.to_view(0, 0)
    right, bottom = transform.to_view(*image)
    if transform.scale not in (MINIMUM_SCALE, MAXIMUM_SCALE):
        assert left >= 9.99
        assert top >= 9.99
        assert right <= view[0] - 9.99
        assert bottom <= view[1] - 9.99
    assert (left + right) / 2 == pytest.approx(view[0] / 2, abs=1e-3)


@given(coordinates, coordinates)
def test_a_picture_cannot_be_pushed_out_of_sight(dx: float, dy: float) -> None:
    transform = ViewTransform(1, 0, 0).panned(dx, dy).kept_in_sight((800, 600), SIZE)
    left, top = transform.to_view(0, 0)
    right, bottom = transform.to_view(*SIZE)
    assert left < 800
    assert top < 600
    assert right > 0
    assert bottom > 0


@given(boxes(), coordinates, coordinates)
def test_a_moved_box_keeps_its_size_and_stays_inside(box: Box, dx: float, dy: float) -> None:
    after = moved(box, dx, dy, SIZE)
    assert after.x2 - after.x1 == pytest.approx(box.x2 - box.x1, abs=1e-6)
    assert after.y2 - after.y1 == pytest.approx(box.y2 - box.y1, abs=1e-6)
    assert after.x1 >= -1e-6
    assert after.x2 <= SIZE[0] + 1e-6
    assert after.y1 >= -1e-6
    assert after.y2 <= SIZE[1] + 1e-6


@given(boxes(), st.integers(0, len(HANDLES) - 1), coordinates, coordinates)
def test_a_resized_box_is_ordered_and_inside(box: Box, handle: int, x: float, y: float) -> None:
    assert inside(resized(box, handle, x, y, SIZE))


def test_pulling_a_corner_over_the_other_side_turns_the_box_over() -> None:
    assert resized(Box(10, 10, 20, 20, "a"), 0, 40, 50, SIZE).xyxy == (20, 20, 40, 50)


def test_the_smallest_box_under_the_pointer_is_chosen() -> None:
    large = Shape(1, ShapeKind.ANNOTATION, Box(0, 0, 100, 100, "a"), "#000000")
    small = Shape(2, ShapeKind.ANNOTATION, Box(40, 40, 60, 60, "b"), "#000000")
    assert shape_at([large, small], 50, 50, 0) is small
    assert shape_at([large, small], 10, 10, 0) is large
    assert shape_at([large, small], 300, 10, 0) is None


def test_handles_lie_on_corners_and_edges() -> None:
    box = Box(10, 20, 30, 60, "a")
    points = list(handle_points(box))
    assert points[0] == (10, 20)
    assert points[4] == (30, 60)
    assert points[5] == (20, 60)
    assert [handle_at(box, *point, 2) for point in points] == list(range(8))
    assert handle_at(box, 20, 40, 2) is None


@given(
    aspect=st.floats(0.2, 5.0),
    view=st.tuples(st.floats(100, 3000), st.floats(100, 3000)),
    image=st.tuples(st.integers(1, 5000), st.integers(1, 5000)),
    at=st.tuples(st.floats(-100, 6000), st.floats(-100, 6000)),
)
def test_pixels_that_are_not_square(
    aspect: float, view: tuple[float, float], image: tuple[int, int], at: tuple[float, float]
) -> None:
    shown = ViewTransform.fitting(view, image, aspect=aspect)
    x, y = shown.to_image(*shown.to_view(*at))
    assert (x, y) == pytest.approx(at, abs=1e-6 * max(1, *image))
    left, top = shown.to_view(0, 0)
    right, bottom = shown.to_view(*image)
    assert (bottom - top) / (right - left) == pytest.approx(aspect * image[1] / image[0])
    assert shown.zoomed(2, 50, 50).panned(3, 4).kept_in_sight(view, image).aspect == aspect
