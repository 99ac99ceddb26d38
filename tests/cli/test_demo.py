"""The demo lays out real pictures, refuses foreign folders and writes a safe report."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
from click.testing import CliRunner

from vlmtool_core.cli.demo import MARKER, demo
from vlmtool_core.cli.demo.media import DIGIT_NAMES, DIGITS_PER_CLASS, lay_out
from vlmtool_core.cli.demo.report import Section, draw, write_report
from vlmtool_core.errors import UsageError
from vlmtool_core.media import open_media, scan
from vlmtool_core.records import Box, Frame, Outcome, OutcomeStatus


def test_every_laid_out_picture_opens(tmp_path: Path) -> None:
    media = lay_out(tmp_path)
    found = list(scan([tmp_path]))
    assert not [item.error for item in found if item.error is not None]
    assert len(found) > len(DIGIT_NAMES) * DIGITS_PER_CLASS
    for item in found[:12]:
        with open_media(item.path, item.files) as source:
            assert source.frame(0, max_side=64).pixels.dtype == np.uint8
    assert media.photographs.is_dir()


def test_the_label_table_names_every_digit(tmp_path: Path) -> None:
    media = lay_out(tmp_path)
    with media.labels_csv.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(DIGIT_NAMES) * DIGITS_PER_CLASS
    assert all((tmp_path / row["path"]).is_file() for row in rows)
    assert {row["label"] for row in rows} == set(DIGIT_NAMES)


def test_a_folder_that_is_no_demo_is_left_alone(tmp_path: Path) -> None:
    precious = tmp_path / "thesis.txt"
    precious.write_text("mine")
    result = CliRunner().invoke(demo, ["--out", str(tmp_path)])
    assert isinstance(result.exception, UsageError)
    assert precious.read_text() == "mine"
    assert not (tmp_path / MARKER).exists()


def test_report_escapes_what_it_shows(tmp_path: Path) -> None:
    frame = Frame(np.full((40, 60, 3), 200, np.uint8))
    box = Box(5, 5, 50, 30, "<script>alert(1)</script>", 0.9)
    picture = draw(frame, [Outcome(OutcomeStatus.OK, boxes=(box,))], ["<b>name</b>.png"])
    section = Section("A & B", rows=[("<i>x</i>",)], columns=("c",), pictures=[picture])
    page = write_report(tmp_path, [section]).read_text(encoding="utf-8")
    assert "<script>" not in page
    assert "&lt;b&gt;name&lt;/b&gt;.png" in page
    assert "A &amp; B" in page


def test_boxes_are_drawn_at_their_place_in_a_reduced_picture() -> None:
    import base64
    import io

    from PIL import Image

    frame = Frame(np.zeros((100, 200, 3), np.uint8), source_size=(800, 400))
    outcome = Outcome(OutcomeStatus.OK, boxes=(Box(400, 200, 720, 360, "thing", 0.5),))
    uri = draw(frame, [outcome], ["x"]).uri
    image = Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))).convert("RGB")
    lit = np.argwhere(np.asarray(image).max(axis=2) > 100)
    (top, left), (bottom, right) = lit.min(axis=0), lit.max(axis=0)
    assert abs(left - 100) <= 4
    assert abs(top - 50) <= 4
    assert abs(right - 180) <= 4
    assert abs(bottom - 90) <= 4
