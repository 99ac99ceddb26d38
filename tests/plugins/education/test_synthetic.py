"""Drawn and photographed sheets: no bubble is ever wrong in silence."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vlmtool_education.drawing import (
    MARKER_SIDE,
    Camera,
    demo_template,
    fill_in,
    margin_of,
    photograph,
    random_marks,
    readings,
)
from vlmtool_education.grading import grade
from vlmtool_education.reading import State
from vlmtool_education.sheets import SheetError


def hard_camera(rng: np.random.Generator) -> Camera:
    return Camera(
        perspective=rng.uniform(0, 0.06),
        turn_deg=12,
        blur=rng.uniform(0.4, 2.0),
        noise=rng.uniform(1, 9),
        shadow=rng.uniform(0, 0.55),
        table=int(rng.integers(10, 110)),
        size=(1100, 1450),
    )


def silent_errors(layout, marks, photo) -> tuple[int, int]:
    """(answers wrong and not flagged, answers in all); a refused sheet has neither."""
    reading = layout.reader.read(photo)
    graded = grade(reading, layout.template, None)
    truth = readings(layout.template, marks)
    wrong = [a for a in graded.answers if a.text != truth[a.name] and not a.review]
    return len(wrong), len(graded.answers)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["with_markers", "by_page"])
def test_a_hundred_sheets_without_a_silent_error(request, kind):
    layout = request.getfixturevalue(kind)
    rng = np.random.default_rng(20)
    refused = answers = 0
    for _ in range(100):
        marks = random_marks(layout.template, rng)
        ink, coverage = float(rng.uniform(0.35, 0.9)), float(rng.uniform(0.75, 1.1))
        sheet = fill_in(layout.blank, layout.template, marks, rng, ink=ink, coverage=coverage)
        try:
            wrong, count = silent_errors(layout, marks, photograph(sheet, hard_camera(rng), rng))
        except SheetError:
            refused += 1
            continue
        assert wrong == 0
        answers += count
    assert refused <= 2
    assert answers > 1600


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["with_markers", "by_page"])
@pytest.mark.parametrize("blur", [3.0, 4.0, 6.0])
def test_a_blurred_photo_is_right_flagged_or_refused(request, kind, blur):
    layout = request.getfixturevalue(kind)
    rng = np.random.default_rng(3)
    for _ in range(8):
        marks = random_marks(layout.template, rng)
        sheet = fill_in(layout.blank, layout.template, marks, rng)
        photo = photograph(sheet, Camera(blur=blur, size=(1100, 1450)), rng)
        try:
            reading = layout.reader.read(photo)
        except SheetError:
            continue
        wrong, _ = silent_errors(layout, marks, photo)
        assert wrong == 0 or reading.doubts


@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), turns=st.integers(0, 3))
def test_any_turn_gives_the_same_reading(with_markers, seed, turns):
    rng = np.random.default_rng(seed)
    marks = random_marks(with_markers.template, rng, blank=0, double=0)
    sheet = fill_in(with_markers.blank, with_markers.template, marks, rng)
    photo = np.ascontiguousarray(np.rot90(photograph(sheet, Camera(), rng), turns))
    reading = with_markers.reader.read(photo)
    assert {n: f.text for n, f in reading.fields.items()} == marks
    assert reading.placement.turned == 90 * (-turns % 4) or reading.placement.turned == 90 * turns


def test_an_untouched_sheet_is_all_blank_and_all_to_review(with_markers):
    rng = np.random.default_rng(1)
    reading = with_markers.reader.read(photograph(with_markers.blank, Camera(), rng))
    assert {field.state for field in reading.fields.values()} == {State.BLANK}
    graded = grade(reading, with_markers.template, None)
    assert len(graded.to_review) == len(graded.answers)


def test_a_choice_that_is_marked_everywhere_is_no_print(with_markers):
    rng = np.random.default_rng(2)
    marks = random_marks(with_markers.template, rng, blank=0, double=0)
    marks |= {name: "A" for name in marks if name.startswith("q")}
    sheet = fill_in(with_markers.blank, with_markers.template, marks, rng)
    wrong, _ = silent_errors(with_markers, marks, photograph(sheet, Camera(), rng))
    assert wrong == 0


def test_a_line_that_is_marked_all_over_is_not_blank(with_markers):
    rng = np.random.default_rng(3)
    marks = random_marks(with_markers.template, rng, blank=0, double=0) | {"q4": "ABCD"}
    sheet = fill_in(with_markers.blank, with_markers.template, marks, rng)
    reading = with_markers.reader.read(photograph(sheet, Camera(), rng))
    assert reading.fields["q4"].text == "ABCD"
    assert reading.fields["q4"].state in (State.MULTIPLE, State.FAINT)


@pytest.mark.parametrize("ink", [0.15, 0.2, 0.25, 0.3])
def test_a_faint_mark_among_dark_ones_is_asked_about(with_markers, ink):
    rng = np.random.default_rng(4)
    marks = random_marks(with_markers.template, rng, blank=0, double=0) | {"q5": "", "q6": "A"}
    sheet = fill_in(with_markers.blank, with_markers.template, marks, rng, ink=0.8)
    sheet = fill_in(sheet, with_markers.template, {"q5": "B", "q6": "D"}, rng, ink=ink)
    reading = with_markers.reader.read(photograph(sheet, Camera(), rng))
    graded = {a.name: a for a in grade(reading, with_markers.template, None).answers}
    assert graded["q5"].review
    if ink >= 0.25:
        assert graded["q6"].review


@pytest.mark.parametrize("corner", range(4))
def test_a_lost_marker_is_completed_and_said(with_markers, corner):
    rng = np.random.default_rng(corner)
    marks = random_marks(with_markers.template, rng, blank=0, double=0)
    sheet = fill_in(with_markers.blank, with_markers.template, marks, rng)
    margin, reach = margin_of(with_markers.template), MARKER_SIDE // 2 + 6
    x = margin if corner in (0, 3) else sheet.shape[1] - margin
    y = margin if corner in (0, 1) else sheet.shape[0] - margin
    sheet[y - reach : y + reach, x - reach : x + reach] = 250
    reading = with_markers.reader.read(photograph(sheet, Camera(), rng))
    assert any("marker was not found" in doubt for doubt in reading.doubts)
    assert {n: f.text for n, f in reading.fields.items()} == marks


def test_two_lost_markers_fail_loudly(with_markers):
    rng = np.random.default_rng(9)
    sheet = with_markers.blank.copy()
    sheet[:200] = 250
    with pytest.raises(SheetError, match=r"markers|does not fit"):
        with_markers.reader.read(photograph(sheet, Camera(), rng))


@pytest.mark.parametrize("shift", [(0, 56), (0, -56), (62, 0), (-62, 0)])
def test_a_layout_that_is_one_line_off_fails_loudly(tmp_path, layout_in, with_markers, shift):
    template = demo_template()
    for name in ("Questions1", "Questions2"):
        x, y = template["fieldBlocks"][name]["origin"]
        template["fieldBlocks"][name]["origin"] = [x + shift[0], y + shift[1]]
    other = layout_in(tmp_path, template)
    rng = np.random.default_rng(5)
    marks = random_marks(with_markers.template, rng, blank=0, double=0)
    sheet = fill_in(with_markers.blank, with_markers.template, marks, rng)
    photo = photograph(sheet, Camera(), rng)
    with pytest.raises(SheetError, match=r"no bubbles are printed|does not fit"):
        other.reader.read(photo)


def test_another_layout_of_the_same_family_fails_loudly(tmp_path, layout_in, by_page):
    other = layout_in(tmp_path, demo_template(24, 6, markers=False))
    rng = np.random.default_rng(6)
    with pytest.raises(SheetError):
        other.reader.read(photograph(by_page.blank, Camera(), rng))


@pytest.mark.parametrize("value", [0, 128, 255])
def test_a_picture_of_nothing_fails_loudly(by_page, with_markers, value):
    picture = np.full((400, 300, 3), value, np.uint8)
    for layout in (by_page, with_markers):
        with pytest.raises(SheetError):
            layout.reader.read(picture)


def test_noise_fails_loudly(by_page, with_markers):
    picture = np.random.default_rng(8).integers(0, 256, (900, 700, 3), np.uint8)
    for layout in (by_page, with_markers):
        with pytest.raises(SheetError):
            layout.reader.read(picture)


def test_a_scan_without_a_border_is_read_whole(by_page):
    rng = np.random.default_rng(10)
    marks = random_marks(by_page.template, rng, blank=0, double=0)
    sheet = fill_in(by_page.blank, by_page.template, marks, rng)
    scan = cv2.cvtColor(sheet, cv2.COLOR_GRAY2RGB)
    reading = by_page.reader.read(scan)
    assert {n: f.text for n, f in reading.fields.items()} == marks
    assert reading.fit.residual < 3


def test_outlines_lie_on_the_bubbles_of_the_photograph(by_page):
    rng = np.random.default_rng(11)
    sheet = fill_in(by_page.blank, by_page.template, {"q3": "B"}, rng, ink=0.9)
    photo = photograph(sheet, Camera(), rng)
    reading = by_page.reader.read(photo)
    x, y = np.round(reading.outlines("q3")[1].mean(axis=0)).astype(int)
    beside_x, beside_y = np.round(reading.outlines("q3")[2].mean(axis=0)).astype(int)
    assert photo[y - 2 : y + 3, x - 2 : x + 3].mean() < 90
    assert photo[beside_y - 2 : beside_y + 3, beside_x - 2 : beside_x + 3].mean() > 110
