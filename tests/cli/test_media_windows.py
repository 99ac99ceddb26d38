"""`media render --window`: by numbers, or by the name that the file gives a window or table."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.data import get_testdata_file

from vlmtool_core.cli.main import run_cli


@pytest.fixture
def named(tmp_path: Path) -> Path:
    """A picture with a VOI table without a name, and two windows with one."""
    dataset = pydicom.dcmread(str(get_testdata_file("vlut_04.dcm")))
    dataset.WindowCenter, dataset.WindowWidth = [100, 50], [200, 20]
    dataset.WindowCenterWidthExplanation = ["WIDE", "Soft tissue"]
    dataset.save_as(tmp_path / "named.dcm")
    return tmp_path / "named.dcm"


def render(path: Path, out: Path, window: str | None, capsys: pytest.CaptureFixture[str]) -> dict:
    chosen = [] if window is None else ["--window", window]
    assert run_cli(["media", "render", str(path), *chosen, "-o", str(out), "--json"]) == 0
    return json.loads(capsys.readouterr().out)["provenance"]["voi"]


def test_info_lists_tables_before_windows(named, capsys):
    assert run_cli(["media", "info", str(named), "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)["windows"]
    assert [(w["number"], w["name"], w["function"]) for w in listed] == [
        (1, "VOI LUT 1", "TABLE"),
        (2, "WIDE", "LINEAR"),
        (3, "Soft tissue", "LINEAR"),
    ]


@pytest.mark.parametrize(
    ("asked", "function", "center"),
    [
        (None, "TABLE", 128),
        ("VOI LUT 1", "TABLE", 128),
        ("#1", "TABLE", 128),
        ("wide", "LINEAR", 100),
        ("soft TISSUE", "LINEAR", 50),
        ("#3", "LINEAR", 50),
        ("1e2/.5e2", "LINEAR", 100),
        ("-3.5/0.25/sigmoid", "SIGMOID", -3.5),
    ],
)
def test_a_window_by_name_number_or_values(named, tmp_path, capsys, asked, function, center):
    voi = render(named, tmp_path / "out.png", asked, capsys)
    assert (voi["function"], voi["center"]) == (function, center)


def test_the_table_shows_what_its_entries_say(named, tmp_path, capsys):
    render(named, tmp_path / "out.png", "#1", capsys)
    dataset = pydicom.dcmread(named)
    entries = np.asarray(dataset.VOILUTSequence[0].LUTData, np.float64)
    expected = entries[dataset.pixel_array.astype(int)] * 255 / 65535
    shown = np.asarray(Image.open(tmp_path / "out.png"))[..., 0]
    assert np.abs(shown - expected).max() <= 0.5 + 1e-3


@pytest.mark.parametrize("asked", ["bone", "#0", "#4", "#x", "", "40/0", "nan/4"])
def test_what_the_file_does_not_have_is_refused_with_what_it_has(named, tmp_path, capsys, asked):
    out = tmp_path / "out.png"
    assert run_cli(["media", "render", str(named), "--window", asked, "-o", str(out)]) == 2
    told = capsys.readouterr().err
    assert "--window" in told
    assert "VOI LUT 1, WIDE, Soft tissue" in told
    assert not out.exists()
