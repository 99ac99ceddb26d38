"""What stands beside a picture whenever it is looked at."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset

from vlmtool_core.media import open_media
from vlmtool_core.media.dicom.badges import badges_of, uneven


def changed(tmp_path: Path, **elements: str) -> Path:
    dataset = dcmread(str(get_testdata_file("CT_small.dcm")))
    for keyword, value in elements.items():
        setattr(dataset, keyword, value)
    path = tmp_path / "changed.dcm"
    dataset.save_as(path)
    return path


def texts(path: Path) -> dict[str, bool]:
    with open_media(path) as source:
        info = source.info
    assert {badge.note for badge in info.badges} <= set(info.warnings)
    return {badge.text: badge.grave for badge in info.badges}


def test_a_plain_ct_has_none(tmp_path: Path) -> None:
    assert texts(changed(tmp_path, BurnedInAnnotation="NO")) == {}


@pytest.mark.parametrize(
    ("elements", "badge", "grave"),
    [
        ({"LossyImageCompression": "01", "LossyImageCompressionRatio": "10"}, "lossy 10:1", True),
        ({"LossyImageCompression": "01"}, "lossy", True),
        ({"BurnedInAnnotation": "YES"}, "burned-in text", True),
        ({"Modality": "US"}, "burned-in text possible", False),
        ({"ConversionType": "DF"}, "burned-in text possible", False),
    ],
)
def test_what_the_header_says(
    tmp_path: Path, elements: dict[str, str], badge: str, grave: bool
) -> None:
    assert texts(changed(tmp_path, **elements))[badge] is grave


def test_a_secondary_capture_is_no_measurement(tmp_path: Path) -> None:
    found = texts(changed(tmp_path, SOPClassUID="1.2.840.10008.5.1.4.1.1.7"))
    assert {"secondary capture", "not HU"} <= set(found)


def test_uneven_slices_are_told_once() -> None:
    (badge,) = uneven(("2 slices are missing", "1 slices share the position of another one"))
    assert badge.note == "2 slices are missing; 1 slices share the position of another one"
    assert uneven(()) == ()
    assert badges_of(Dataset(), "") == ()
