"""VOI functions against the numbers of PS3.3 C.11.2 and lookup tables against their definition."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vlmtool_core.media import Window
from vlmtool_core.media.dicom.voi import (
    FUNCTIONS,
    LookupTable,
    apply_window,
    is_valid,
    percentile_window,
    render_window,
)

X = np.array([-161, -160, -159, 0, 40, 239, 240], np.float32)


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        ("LINEAR", [0, 0, 0.639, 102.256, 127.82, 255, 255]),
        ("LINEAR_EXACT", [0, 0, 0.638, 102.0, 127.5, 254.362, 255]),
        ("SIGMOID", [30.13, 30.397, 30.665, 102.335, 127.5, 224.335, 224.603]),
    ],
)
def test_windows_of_the_standard(function: str, expected: list[float]) -> None:
    grey = apply_window(X, Window(40, 400, function=function))
    assert np.allclose(grey, expected, atol=1e-3)


def reference(x: float, window: Window) -> float:
    """The standard's pseudo-code, word for word, for output 0 to 255."""
    c, w = window.center, window.width
    if window.function == "SIGMOID":
        return float(255 / (1 + np.exp(np.clip(-4 * (x - c) / w, -300, 300))))
    if window.function == "LINEAR_EXACT":
        if x <= c - w / 2:
            return 0
        return 255 if x > c + w / 2 else ((x - c) / w + 0.5) * 255
    if x <= c - 0.5 - (w - 1) / 2:
        return 0
    return 255 if x > c - 0.5 + (w - 1) / 2 else ((x - (c - 0.5)) / (w - 1) + 0.5) * 255


@given(
    st.integers(-3000, 5000),
    st.integers(-1500, 3000),
    st.integers(2, 4000),
    st.sampled_from(FUNCTIONS),
)
def test_any_window_follows_the_standard(x: int, center: int, width: int, function: str) -> None:
    window = Window(center, width, function=function)
    got = apply_window(np.array([x], np.float32), window)[0]
    assert got == pytest.approx(reference(x, window), abs=0.02)


@given(st.integers(-2000, 2000), st.integers(1, 3000), st.sampled_from(FUNCTIONS))
def test_windows_never_decrease_and_inversion_mirrors(
    center: int, width: int, function: str
) -> None:
    values = np.arange(-2500, 2500, 7, dtype=np.float32)
    window = Window(center, width, function=function)
    shown = render_window(values, window).astype(int)
    assert np.all(np.diff(shown) >= 0)
    assert np.array_equal(render_window(values, window, inverted=True), 255 - shown)


def test_linear_of_width_one_is_a_step() -> None:
    grey = apply_window(np.array([9, 9.5, 10], np.float32), Window(10, 1))
    assert grey.tolist() == [0, 0, 255]


@pytest.mark.parametrize(
    "window",
    [Window(0, 0), Window(0, 0.5), Window(0, -4, function="SIGMOID"), Window(float("nan"), 10)],
)
def test_impossible_widths_are_refused(window: Window) -> None:
    assert not is_valid(window)
    with pytest.raises(ValueError, match="width"):
        apply_window(X, window)


def test_padding_is_black_also_when_inverted_and_not_counted() -> None:
    values = np.ma.MaskedArray(
        np.array([[-2000, 0], [50, 100]], np.float32), mask=[[True, False], [False, False]]
    )
    window = percentile_window(values)
    assert window.center - window.width / 2 >= 0
    assert render_window(values, window, inverted=True)[0, 0] == 0
    assert render_window(values, window, inverted=True)[0, 1] == 255


def test_constant_pictures_have_a_window() -> None:
    values = np.full((4, 4), 7, np.float32)
    assert render_window(values, percentile_window(values)).tolist() == [[128] * 4] * 4


@given(st.integers(-5000, 70000), st.integers(-2000, 2000), st.integers(8, 16))
def test_tables_clamp_and_never_wrap(value: int, first: int, bits: int) -> None:
    entries = np.arange(256, dtype=np.float32)
    table = LookupTable(first, entries, bits)
    expected = min(max(value - first, 0), 255)
    for dtype in (np.int32, np.float32):
        assert table.apply(np.array([value], dtype))[0] == expected


def test_8_bit_table_on_12_bit_values() -> None:
    table = LookupTable(0, np.arange(256, dtype=np.float32), 8)
    assert table.apply(np.array([255, 256, 300, 4095], np.uint16)).tolist() == [255] * 4
