"""Reading: what is no text is not read, what is printed is, at any size and either way up."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vlmtool_core.engine.families.rapidocr_reader import search_scale
from vlmtool_core.engine.pictures.text_lines import Reading, text_lines
from vlmtool_core.media import open_media
from vlmtool_core.records import Frame, OutcomeStatus


def drawn(width: int, height: int, size: int, places: dict[tuple[int, int], str]) -> np.ndarray:
    """uint8 (h, w, 3): black letters of `size` pixels on light paper."""
    from PIL import Image, ImageDraw, ImageFont

    page = Image.new("RGB", (width, height), (240, 240, 240))
    draw, font = ImageDraw.Draw(page), ImageFont.load_default(size)
    for place, text in places.items():
        draw.text(place, text, "black", font)
    return np.array(page)


@pytest.mark.model
@pytest.mark.parametrize("name", ["chelsea", "coffee", "camera", "rocket"])
def test_nothing_is_read_from_photographs_without_text(engine, photo, name):
    outcome = engine.read([photo(name)])[0]
    assert outcome.status is OutcomeStatus.EMPTY
    assert outcome.lines == ()


@pytest.mark.model
@pytest.mark.parametrize("factor", [0.5, 1.5])
@pytest.mark.parametrize("name", ["chelsea", "coffee"])
def test_nor_at_other_sizes(engine, photo, name, factor):
    from PIL import Image

    pixels = photo(name).pixels
    size = (round(pixels.shape[1] * factor), round(pixels.shape[0] * factor))
    resized = np.array(Image.fromarray(pixels).resize(size))
    assert engine.read([Frame(resized)])[0].lines == ()


@pytest.mark.model
def test_nothing_is_read_from_an_mr_picture(engine):
    from pydicom.data import get_testdata_file

    with open_media(get_testdata_file("MR_small.dcm")) as source:
        assert engine.read([source.frame(0)])[0].status is OutcomeStatus.EMPTY


@pytest.mark.model
def test_single_characters_on_a_sheet_are_read(engine):
    rows = {(20, 60 + 100 * r): str(r + 1) for r in range(3)}
    rows |= {(120 + 90 * c, 60 + 100 * r): "ABDE"[c] for c in range(4) for r in range(3)}
    outcome = engine.read([Frame(drawn(520, 380, 28, rows))])[0]
    assert outcome.text == "1 A B D E\n2 A B D E\n3 A B D E"
    assert all(line.score >= 0.9 for line in outcome.lines)


@pytest.mark.model
def test_the_digits_of_a_roll_number_are_read(engine):
    from PIL import Image, ImageDraw

    digits = "70415"
    page = Image.fromarray(
        drawn(360, 300, 24, {(32 + 60 * n, 70): digit for n, digit in enumerate(digits)})
    )
    for n in range(len(digits)):
        ImageDraw.Draw(page).rectangle((18 + 60 * n, 56, 62 + 60 * n, 106), outline="black")
    outcome = engine.read([Frame(np.array(page))])[0]
    assert "".join(line.text for line in outcome.lines) == digits


@pytest.mark.model
def test_upside_down_lines_are_read_and_upright_ones_never_turned(engine, photo):
    upright = engine.read([photo("page")])[0]
    assert len(upright.lines) == 7
    assert all(line.score > 0.9 for line in upright.lines)
    assert "the markers are found at the two extreme parts of the" in upright.text
    frame = Frame(drawn(600, 200, 30, {(40, 80): "Handle with great care"}))
    turned = dataclasses.replace(frame, pixels=np.ascontiguousarray(np.rot90(frame.pixels, 2)))
    assert engine.read([turned])[0].text == "Handle with great care"


@pytest.mark.model
def test_small_print_of_a_large_page_is_read_from_the_full_picture(engine):
    lines = {(100, 200 + 800 * n): f"Paragraph {n} of the terms" for n in range(3)}
    frame = Frame(drawn(1800, 2500, 24, lines), source_size=(3600, 5000))
    outcome = engine.read([frame])[0]
    assert [line.text for line in outcome.lines] == list(lines.values())
    for (x, y), line in zip(lines, outcome.lines, strict=True):
        left, top = line.quad[0]
        assert abs(left - 2 * x) < 40
        assert abs(top - 2 * y) < 40


@pytest.mark.model
def test_frames_read_together_equal_frames_read_alone(engine, photo):
    signs = [drawn(400, 200, 30, {(30, 60): text}) for text in ("Platform 3", "Exit 12")]
    frames = [Frame(signs[0]), photo("coffee"), Frame(signs[1])]
    together = [outcome.text for outcome in engine.read(frames)]
    assert together == [engine.read([frame])[0].text for frame in frames]
    assert together == ["Platform 3", None, "Exit 12"]


@pytest.mark.parametrize(
    ("text", "score", "kept"),
    [
        ("0", 0.73, False),
        ("0000", 0.85, False),
        ("O O", 0.85, False),
        ("A", 0.95, True),
        ("11", 0.97, True),
        ("...", 0.8, False),
        ("No", 0.75, False),
        ("No", 0.85, True),
        ("Exit 12", 0.65, True),
        ("the e  ee e", 0.54, False),
        ("猫", 0.95, True),
    ],
)
def test_few_characters_need_higher_scores(text, score, kept):
    assert bool(text_lines([Reading(text, score, 0.05)])) == kept


def test_a_large_lone_character_is_a_thing():
    large, line = Reading("8", 0.99, 0.3), Reading("Platform", 0.99, 0.05)
    assert text_lines([large]) == []
    assert text_lines([large, Reading("0", 0.5, 0.1)]) == []
    assert text_lines([large, line]) == [0, 1]
    assert text_lines([Reading("Stop", 0.99, 0.3)]) == [0]


@given(st.integers(1, 20000), st.integers(1, 20000))
def test_pictures_are_searched_at_a_bounded_size(width, height):
    factor = search_scale(width, height)
    assert 0 < factor <= 2
    searched = width * height * factor**2
    assert searched <= max(1_600_000, 360_000) * 1.001
    assert searched >= min(360_000, 4 * width * height) * 0.999
