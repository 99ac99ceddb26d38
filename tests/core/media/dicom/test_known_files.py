"""Every file that comes with pydicom and pydicom-data: equal to an independent decode, or refused
for the reason that `known_files.tsv` names.

The table has one line for each file. `equal exact` is the same value in every pixel of the first,
middle and last frame (stored values of grey pictures, red, green and blue of coloured ones);
`equal half` the same after rounding to 8 bits. For errors, `detail` is a part of the message.
"""

from __future__ import annotations

import csv
from pathlib import Path

import data_store
import numpy as np
import pydicom
import pytest
from tests.core.media.dicom.independent_decoding import deep_jpeg_by_gdcm, frames_of, read

from vlmtool_core import errors
from vlmtool_core.media import grey, open_media

FOLDERS = {
    "pydicom/test_files": Path(pydicom.__file__).parent / "data" / "test_files",
    "pydicom/charset_files": Path(pydicom.__file__).parent / "data" / "charset_files",
    "pydicom/palettes": Path(pydicom.__file__).parent / "data" / "palettes",
    "pydicom-data": Path(data_store.__file__).parent / "data",
}
# pydicom itself cannot read the last fragment of it; the same pixels are in another file.
TORN = "emri_small_jpeg_2k_lossless_too_short.dcm"
SAME_AS = {TORN: "emri_small.dcm"}
JPEG_EXTENDED = "1.2.840.10008.1.2.4.51"

with (Path(__file__).parent / "known_files.tsv").open(encoding="utf-8", newline="") as table:
    ROWS = list(csv.DictReader(table, delimiter="\t"))
EQUAL = [row for row in ROWS if row["outcome"] == "equal"]
REFUSED = [row for row in ROWS if row["outcome"] != "equal"]


@pytest.fixture(autouse=True)
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is tested here is what decodes, not where."""
    monkeypatch.setenv("VLMTOOL_DECODE", "here")


def name_of(row: dict[str, str]) -> str:
    return f"{row['collection']}/{row['name']}"


def test_every_file_is_in_the_table() -> None:
    there = {
        f"{label}/{path.relative_to(folder).as_posix()}"
        for label, folder in FOLDERS.items()
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and path.suffix != ".py"
    }
    assert there == {name_of(row) for row in ROWS}
    assert len(EQUAL) >= 155


@pytest.mark.parametrize("row", EQUAL, ids=name_of)
def test_pixels_are_those_of_another_decoder(row: dict[str, str]) -> None:
    folder = FOLDERS[row["collection"]]
    path = folder / row["name"]
    dataset = read(folder / SAME_AS.get(row["name"], row["name"]))
    with open_media(path) as source:
        count = source.info.frame_count or 1
        indices = sorted({0, count // 2, count - 1})
        if str(dataset.file_meta.TransferSyntaxUID) == JPEG_EXTENDED:
            expected = [deep_jpeg_by_gdcm(path, int(dataset.Rows), int(dataset.Columns))]
        else:
            expected = frames_of(dataset, indices)
        behind = grey(source)
        for index, frame in zip(indices, expected, strict=True):
            shown = source.frame(index)
            assert shown.pixels.shape == (source.info.height, source.info.width, 3)
            assert shown.provenance["decoder"]
            got = shown.pixels if behind is None else behind.stored_values(index)
            most = 0.0 if row["detail"] == "exact" else 0.5 + 1e-3
            assert np.abs(got.astype(np.float64) - frame).max() <= most


@pytest.mark.parametrize("row", REFUSED, ids=name_of)
def test_what_cannot_be_shown_says_why(row: dict[str, str]) -> None:
    path = FOLDERS[row["collection"]] / row["name"]
    with pytest.raises(getattr(errors, row["outcome"])) as caught, open_media(path) as source:
        source.frame()
    assert row["detail"] in caught.value.message
    assert str(caught.value.path).startswith(str(path.parent))
    assert caught.value.remedy
