"""Pixels and millimetres, lines where planes meet, and the letters at the edges."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from volume_sources import affines, plane_of, rotation

from vlmtool_core.media.base import PlaneGeometry
from vlmtool_core.media.volumes.letters import (
    EdgeLetters,
    ends_of,
    letters_of_directions,
    letters_of_plane,
    orientation_letters,
)
from vlmtool_core.media.volumes.planes import normal, reference_line, to_patient, to_picture

UID = "1.2.3"
AXIAL = PlaneGeometry((0, 0, 10), (1, 0, 0), (0, 1, 0), (1, 1), UID)
CORONAL = PlaneGeometry((0, 20, 30), (1, 0, 0), (0, 0, -1), (1, 1), UID)


@settings(max_examples=80, deadline=None)
@given(affines(), st.floats(-50, 600), st.floats(-50, 600), st.floats(-30, 30))
def test_pixels_and_millimetres_go_round(
    affine: np.ndarray, x: float, y: float, away: float
) -> None:
    plane = plane_of(affine, 0)
    point = to_patient(plane, x, y) + away * normal(plane)
    assert to_picture(plane, point) == pytest.approx((x, y, away), abs=1e-6)


def test_the_middle_of_the_first_pixel_is_its_position() -> None:
    plane = PlaneGeometry((-3.0, 4.0, 5.0), (0, 1, 0), (0, 0, -1), (2.0, 0.5), UID)
    np.testing.assert_array_equal(to_patient(plane, 0.5, 0.5), (-3.0, 4.0, 5.0))
    # Two pixels to the right are 1 mm along the row, one down is 2 mm along the column.
    np.testing.assert_array_equal(to_patient(plane, 2.5, 1.5), (-3.0, 5.0, 3.0))


def test_the_line_of_a_coronal_plane_in_an_axial_one() -> None:
    # The coronal plane lies at y = 20, which is the middle of row 20.
    found = reference_line(AXIAL, (100, 100), CORONAL, (60, 40))
    assert found == pytest.approx(np.array([[0.0, 20.5], [60.0, 20.5]])) or found == pytest.approx(
        np.array([[60.0, 20.5], [0.0, 20.5]])
    )


@settings(max_examples=80, deadline=None)
@given(affines(), st.tuples(*[st.floats(-90, 90)] * 3))
def test_the_line_lies_in_both_planes_and_pictures(
    affine: np.ndarray, angles: tuple[float, ...]
) -> None:
    a = plane_of(affine, 0)
    middle = to_patient(a, 20, 20)
    turn = rotation(angles)
    row, column = turn @ np.array(a.row), turn @ np.array(a.column)
    start = middle - 15 * row - 15 * column
    b = PlaneGeometry(tuple(start), tuple(row), tuple(column), (1.0, 1.0), UID)
    found = reference_line(a, (40, 40), b, (31, 31))
    if float(np.linalg.norm(np.cross(normal(a), normal(b)))) < 1e-3:
        return  # parallel as far as numbers go
    assert found is not None  # both pictures hold the point in the middle
    for x, y in found:
        assert -1e-6 <= x <= 40 + 1e-6
        assert -1e-6 <= y <= 40 + 1e-6
        across, down, distance = to_picture(b, to_patient(a, x, y))
        assert distance == pytest.approx(0, abs=1e-5)
        assert -1e-4 <= across <= 31 + 1e-4
        assert -1e-4 <= down <= 31 + 1e-4


def test_no_line_where_planes_do_not_meet_or_cannot_be_compared() -> None:
    def line(b: PlaneGeometry) -> object:
        return reference_line(AXIAL, (50, 50), b, (50, 50))

    beside = PlaneGeometry((0, 20, -70), (1, 0, 0), (0, 0, -1), (1, 1), UID)
    assert line(beside) is None
    assert line(PlaneGeometry((0, 0, 11), (1, 0, 0), (0, 1, 0), (1, 1), UID)) is None
    assert line(PlaneGeometry((0, 20, 30), (1, 0, 0), (0, 0, -1), (1, 1), "9.9")) is None
    unknown = PlaneGeometry((0, 20, 30), (1, 0, 0), (0, 0, -1), (1, 1))
    assert line(unknown) is None
    assert reference_line(unknown, (50, 50), unknown, (50, 50)) is None


@pytest.mark.parametrize(
    ("direction", "letters"),
    [
        ((1, 0, 0), "L"),
        ((-1, 0, 0), "R"),
        ((0, 1, 0), "P"),
        ((0, -2, 0), "A"),
        ((0, 0, 1), "H"),
        ((0, 0, -1), "F"),
        ((0.9, 0.4, 0), "LP"),
        ((-0.4, -0.9, 0.1), "AR"),
        ((np.cos(np.radians(9)), np.sin(np.radians(9)), 0), "L"),
        ((np.cos(np.radians(11)), 0, -np.sin(np.radians(11))), "LF"),
        ((0, 0, 0), ""),
        ((np.nan, 0, 1), ""),
    ],
)
def test_letters_of_a_direction(direction: tuple[float, float, float], letters: str) -> None:
    assert orientation_letters(direction) == letters


def test_letters_of_pictures() -> None:
    assert letters_of_plane(AXIAL) == EdgeLetters("R", "L", "A", "P")
    assert letters_of_plane(CORONAL) == EdgeLetters("R", "L", "H", "F")
    trunk = ends_of("QUADRUPED", "Abdomen")
    assert trunk is not None
    assert letters_of_plane(CORONAL, trunk) == EdgeLetters("RT", "LE", "CR", "CD")
    head = ends_of("QUADRUPED", "SKULL")
    assert head is not None
    assert letters_of_plane(CORONAL, head).top == "R"


@pytest.mark.parametrize(
    ("anatomy", "part"), [("QUADRUPED", ""), ("QUADRUPED", "FORELIMB"), ("SNAKE", "CHEST")]
)
def test_letters_that_cannot_be_known_are_not_guessed(anatomy: str, part: str) -> None:
    assert ends_of(anatomy, part) is None


@pytest.mark.parametrize(
    ("directions", "anatomy", "letters"),
    [
        (["L", "F"], "", EdgeLetters("R", "L", "H", "F")),
        (["P", "FR"], "BIPED", EdgeLetters("A", "P", "HL", "FR")),
        (["A", "F"], "BIPED", EdgeLetters("P", "A", "H", "F")),
        (["CD", "V"], "QUADRUPED", EdgeLetters("", "CD", "D", "V")),
        (["LE", "CRV"], "QUADRUPED", EdgeLetters("RT", "LE", "CDD", "CRV")),
        (["DI", "PA"], "QUADRUPED", EdgeLetters("PR", "DI", "D", "PA")),
        ([], "", None),
        (["L"], "", None),
        (["L", ""], "", None),
        (["L", "X"], "", None),
        (["LE", "CD"], "BIPED", None),
    ],
)
def test_letters_from_patient_orientation(
    directions: list[str], anatomy: str, letters: EdgeLetters | None
) -> None:
    assert letters_of_directions(directions, anatomy) == letters
