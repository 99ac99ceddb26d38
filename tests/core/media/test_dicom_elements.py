"""The header as a list: complete against pydicom, searchable, and silent about the patient."""

from __future__ import annotations

import json
from pathlib import Path

import pydicom
import pytest
from pydicom.data import get_testdata_file

from vlmtool_core.cli.main import run_cli
from vlmtool_core.errors import MediaError
from vlmtool_core.media.dicom.elements import elements_of, matching


def example(name: str) -> Path:
    return Path(str(get_testdata_file(name)))


@pytest.mark.parametrize(
    "name", ["CT_small.dcm", "rtplan.dcm", "reportsi.dcm", "nested_priv_SQ.dcm"]
)
def test_every_element_is_listed(name):
    path = example(name)
    dataset = pydicom.dcmread(path, stop_before_pixels=True)
    expected = [
        f"({e.tag.group:04x},{e.tag.element:04x})"
        for part in (dataset.file_meta, dataset)
        for e in part.iterall()
    ]
    assert [element.tag for element in elements_of(path)] == expected


def test_what_identifies_is_marked():
    found = {element.keyword: element for element in elements_of(example("CT_small.dcm"))}
    for keyword in ("PatientName", "PatientID", "StudyDate", "StudyInstanceUID", "SeriesTime"):
        assert found[keyword].identifying, keyword
    for keyword in ("Rows", "PixelSpacing", "Modality", "RescaleSlope", "TransferSyntaxUID"):
        assert not found[keyword].identifying, keyword
    assert found["PixelSpacing"].value == "0.661468\\0.661468"


def test_a_hidden_value_cannot_be_searched_for():
    elements = elements_of(example("CT_small.dcm"))
    assert matching(elements, "CompressedSamples", identifying=False) == []
    assert len(matching(elements, "CompressedSamples", identifying=True)) > 0
    assert [e.keyword for e in matching(elements, "0028,0030", identifying=False)] == [
        "PixelSpacing"
    ]
    assert {e.keyword for e in matching(elements, "rescale", identifying=False)} == {
        "RescaleIntercept", "RescaleSlope",
    }  # fmt: skip


def test_the_command_hides_and_shows(capsys):
    path = str(example("CT_small.dcm"))
    assert run_cli(["media", "header", path, "--json"]) == 0
    hidden = capsys.readouterr().out
    assert "CompressedSamples" not in hidden
    assert {e["keyword"]: e["value"] for e in json.loads(hidden)}["Rows"] == "128"
    assert run_cli(["media", "header", path, "--identifying", "--search", "patient"]) == 0
    shown = capsys.readouterr().out
    assert "CompressedSamples" in shown
    assert "Rows" not in shown


def test_a_picture_has_no_such_header(tmp_path):
    path = tmp_path / "no.dcm"
    path.write_bytes(b"")
    with pytest.raises(MediaError):
        elements_of(path)
