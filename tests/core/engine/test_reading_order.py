"""The order of lines: rows, columns, forms; whatever comes in, every line comes out once."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from vlmtool_core.engine.pictures.reading_order import reading_rows

_rect = st.tuples(
    st.floats(0, 1000), st.floats(0, 1000), st.floats(0.5, 400), st.floats(0.5, 60)
).map(lambda r: (r[0], r[1], r[0] + r[2], r[1] + r[3]))


@given(st.lists(_rect, max_size=30))
def test_every_piece_comes_out_exactly_once(rects):
    rows = reading_rows(rects)
    assert sorted(n for row in rows for n in row) == list(range(len(rects)))


@given(st.integers(0, 10_000))
def test_the_order_given_does_not_matter(seed):
    rects = [(x, y * 30.0, x + 80.0, y * 30.0 + 20) for y in range(4) for x in (0.0, 100.0, 200.0)]
    shuffled = list(enumerate(rects))
    random.Random(seed).shuffle(shuffled)
    rows = reading_rows([rect for _, rect in shuffled])
    assert [[shuffled[n][0] for n in row] for row in rows] == [
        [0, 1, 2], [3, 4, 5], [6, 7, 8], [9, 10, 11],
    ]  # fmt: skip


def test_a_form_is_read_along_its_rows():
    # name: ____ | value, short pieces beside each other, slightly out of line
    rects = [(0, 2, 60, 20), (300, 0, 380, 18), (0, 42, 60, 60), (300, 40, 360, 58)]
    assert reading_rows(rects) == [[0, 1], [2, 3]]


def test_columns_of_long_lines_are_read_one_after_the_other():
    left = [(0, y, 300, y + 20) for y in (60, 90, 120)]
    right = [(340, y, 640, y + 20) for y in (62, 92, 122)]
    heading = [(100, 0, 540, 30)]
    rows = reading_rows([*heading, *right, *left])
    assert [n for row in rows for n in row] == [0, 4, 5, 6, 1, 2, 3]


def test_slanted_lines_stay_apart():
    # A page photographed at a slant: each row falls by half a line over its width.
    rects = [(x, y + x / 40, x + 90, y + x / 40 + 20) for y in (0, 40) for x in (0, 100, 200)]
    assert reading_rows(rects) == [[0, 1, 2], [3, 4, 5]]
