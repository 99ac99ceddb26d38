"""Measurements against geometry done by hand, by scikit-image, and by numpy on raw bytes."""

from __future__ import annotations

import json
import math

import numpy as np
import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from skimage.measure import points_in_poly

from vlmtool_core.cli.main import run_cli
from vlmtool_core.errors import UnsupportedMediaError
from vlmtool_core.media import measuring, open_media
from vlmtool_core.media.dicom.spacing import pixel_spacing
from vlmtool_core.media.dicom.suv import suv_factor

COORDINATE = st.floats(-50, 50).map(lambda value: round(value, 3))
POINT = st.tuples(COORDINATE, COORDINATE)


def test_lengths_and_areas_follow_the_spacing_of_rows_and_columns():
    # 3 columns of 2 mm and 4 rows of 1 mm
    assert measuring.length([(0, 0), (3, 4)], (1.0, 2.0)) == pytest.approx(math.hypot(6, 4))
    assert measuring.length([(0, 0), (3, 4), (3, 0)]) == pytest.approx(9)
    assert measuring.polygon_area([(0, 0), (3, 0), (3, 4), (0, 4)], (1.0, 2.0)) == 24
    assert measuring.ellipse_area(0, 0, 4, 2, (1.0, 2.0)) == pytest.approx(math.pi * 4 * 1)
    assert measuring.angle((1, 0), (0, 0), (0, 1), (1.0, 2.0)) == pytest.approx(90)
    # With unequal spacing the diagonal of a pixel is not at 45 degrees.
    assert measuring.angle((1, 0), (0, 0), (1, 1), (1.0, 2.0)) == pytest.approx(
        math.degrees(math.atan(0.5))
    )


@given(POINT, POINT, POINT, POINT, st.floats(0, 360))
def test_cobb_is_the_same_however_the_lines_are_drawn_and_turned(a, b, c, d, degrees):
    if math.dist(a, b) < 0.01 or math.dist(c, d) < 0.01:
        return
    found = measuring.cobb_angle((a, b), (c, d))
    assert 0 <= found <= 90
    assert measuring.cobb_angle((b, a), (c, d)) == pytest.approx(found, abs=1e-6)
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    turned = [(cos * x - sin * y, sin * x + cos * y) for x, y in (a, b, c, d)]
    assert measuring.cobb_angle(tuple(turned[:2]), tuple(turned[2:])) == pytest.approx(
        found, abs=1e-6
    )


@given(st.lists(st.tuples(st.floats(-5, 25), st.floats(-5, 25)), min_size=3, max_size=8))
def test_a_polygon_holds_the_pixels_that_scikit_image_says(points):
    points = [(round(x, 2) + 0.003, round(y, 2) + 0.003) for x, y in points]
    rows, columns = np.mgrid[0:20, 0:18]
    centres = np.stack([columns.ravel() + 0.5, rows.ravel() + 0.5], axis=1)
    expected = points_in_poly(centres, np.array(points)).reshape(20, 18)
    # Which side a centre exactly on the outline belongs to is a matter of taste.
    clear = (distance_to_outline(centres, np.array(points)) > 1e-9).reshape(20, 18)
    assert ((measuring.polygon_mask((20, 18), points) != expected) & clear).sum() == 0


def distance_to_outline(places: np.ndarray, ring: np.ndarray) -> np.ndarray:
    """Of places (n, 2) to the nearest side of a ring (m, 2)."""
    nearest = np.full(len(places), np.inf)
    for a, b in zip(ring, np.roll(ring, -1, axis=0), strict=True):
        along = b - a
        share = np.clip((places - a) @ along / max(along @ along, 1e-300), 0, 1)
        nearest = np.minimum(nearest, np.hypot(*(places - a - share[:, None] * along).T))
    return nearest


@given(st.floats(0, 20), st.floats(0, 20), st.floats(2, 20), st.floats(2, 20))
def test_masks_have_the_area_of_their_shape(x, y, width, height):
    shape = (60, 60)
    scale = 1.0
    ellipse = measuring.ellipse_mask(shape, x, y, x + width, y + height).sum()
    border = math.pi * (width + height) / 2
    assert abs(ellipse - measuring.ellipse_area(x, y, x + width, y + height)) <= scale * border
    rectangle = measuring.rectangle_mask(shape, x, y, x + width, y + height).sum()
    assert abs(rectangle - width * height) <= 2 * (width + height)


def test_padding_is_left_out_and_an_empty_region_is_none():
    values = np.ma.MaskedArray([[1.0, 2.0], [3.0, -2000.0]], mask=[[0, 0], [0, 1]])
    everything = np.ones((2, 2), bool)
    found = measuring.statistics(values, everything, 4.0)
    assert (found.count, found.mean, found.minimum, found.maximum) == (3, 2, 1, 3)
    assert found.sd == pytest.approx(1)
    assert measuring.statistics(values, np.array([[0, 0], [0, 1]], bool), 1.0) is None


@pytest.mark.parametrize(
    "call",
    [
        lambda: measuring.length([(0, 0)]),
        lambda: measuring.angle((0, 0), (0, 0), (1, 1)),
        lambda: measuring.cobb_angle(((1, 1), (1, 1)), ((0, 0), (1, 0))),
        lambda: measuring.polygon_area([(0, 0), (1, 1)]),
        lambda: measuring.polygon_mask((2, 2), [(0, 0), (1, 1)]),
    ],
)
def test_what_cannot_be_measured_is_refused(call):
    with pytest.raises(ValueError, match=r"line|area"):
        call()


def test_ct_values_equal_those_of_the_raw_bytes(capsys):
    path = str(get_testdata_file("CT_small.dcm"))
    dataset = pydicom.dcmread(path)
    stored = np.frombuffer(dataset.PixelData, "<i2").reshape(128, 128).astype(float)
    values = stored * float(dataset.RescaleSlope) + float(dataset.RescaleIntercept)
    part = values[30:70, 20:60]
    assert run_cli(["media", "measure", path, "--rectangle", "20,30,60,70", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    found = told["measurements"][0]
    assert (found["count"], found["unit"]) == (1600, "HU")
    assert found["mean"] == pytest.approx(part.mean(), abs=1e-3)
    assert found["sd"] == pytest.approx(part.std(ddof=1), abs=1e-3)
    assert (found["minimum"], found["maximum"]) == (part.min(), part.max())
    row, column = (float(v) for v in dataset.PixelSpacing)
    assert found["area"] == pytest.approx(1600 * row * column)
    with open_media(path) as source:
        assert source.spacing() == pixel_spacing(dataset)


def test_an_ordinary_picture_is_measured_in_pixels(tmp_path, capsys):
    from PIL import Image

    path = tmp_path / "grey.png"
    Image.new("L", (40, 30), 77).save(path)
    options = ["--line", "0,0,3,4", "--ellipse", "5,5,15,25", "--probe", "2,2"]
    assert run_cli(["media", "measure", str(path), *options, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    line, probe, ellipse = told["measurements"]
    assert told["pixel_spacing_mm"] is None
    assert (line["length"], line["unit"]) == (5, "px")
    assert probe["value"] == pytest.approx(77)
    assert (ellipse["mean"], ellipse["sd"]) == (pytest.approx(77), pytest.approx(0, abs=1e-6))


@pytest.mark.parametrize(
    "options",
    [
        ["--line", "1,2,3"],
        ["--probe", "200,0"],
        ["--angle", "a,b"],
        [],
        ["--suv", "--probe", "1,1"],
    ],
)
def test_a_wrong_measurement_is_named(options, capsys):
    path = str(get_testdata_file("CT_small.dcm"))
    assert run_cli(["media", "measure", path, *options]) in (1, 2)
    assert "What to do" in capsys.readouterr().err


def header(**elements: object) -> Dataset:
    dataset = Dataset()
    for keyword, value in elements.items():
        setattr(dataset, keyword, value)
    return dataset


@pytest.mark.parametrize(
    ("elements", "expected"),
    [
        ({"Modality": "CT", "PixelSpacing": [0.5, 0.7]}, (0.5, 0.7, "PixelSpacing")),
        (
            {"Modality": "DX", "PixelSpacing": [0.2, 0.2], "ImagerPixelSpacing": [0.2, 0.2]},
            (0.2, 0.2, "at the detector"),
        ),
        (
            {"Modality": "DX", "PixelSpacing": [0.1, 0.1], "ImagerPixelSpacing": [0.2, 0.2],
             "PixelSpacingCalibrationType": "FIDUCIAL"},
            (0.1, 0.1, "PixelSpacing, calibrated by fiducial"),
        ),
        (
            {"Modality": "MG", "ImagerPixelSpacing": [0.1, 0.1],
             "DistanceSourceToDetector": 660, "DistanceSourceToPatient": 600},
            (0.1 / 1.1, 0.1 / 1.1, "detector, magnification removed"),
        ),
        ({"Modality": "SC", "NominalScannedPixelSpacing": [0.3, 0.4]}, (0.3, 0.4, "scanner")),
        ({"Modality": "OT"}, None),
        ({"Modality": "CT", "PixelSpacing": [0, 0.7]}, None),
    ],
)  # fmt: skip
def test_spacing_comes_with_its_source(elements, expected):
    found = pixel_spacing(header(**elements))
    if expected is None:
        assert found is None
    else:
        assert (found.row_mm, found.column_mm) == pytest.approx(expected[:2])
        assert found.source == expected[2]


def region(units: int = 3, across: float = 0.02, down: float = 0.02) -> Dataset:
    return header(
        PhysicalUnitsXDirection=units, PhysicalUnitsYDirection=units,
        PhysicalDeltaX=across, PhysicalDeltaY=down,
    )  # fmt: skip


def test_ultrasound_is_measured_only_where_one_region_states_centimetres():
    one = header(Modality="US", SequenceOfUltrasoundRegions=Sequence([region()]))
    assert pixel_spacing(one).row_mm == pytest.approx(0.2)
    two = header(Modality="US", SequenceOfUltrasoundRegions=Sequence([region(), region()]))
    seconds = header(Modality="US", SequenceOfUltrasoundRegions=Sequence([region(units=4)]))
    assert pixel_spacing(two) is None
    assert pixel_spacing(seconds) is None


def pet(**changes: object) -> Dataset:
    injection = header(
        RadionuclideTotalDose=350e6, RadionuclideHalfLife=6586.2,
        RadiopharmaceuticalStartTime="093000",
    )  # fmt: skip
    dataset = header(
        Modality="PT", Units="BQML", CorrectedImage=["DECY", "ATTN"], DecayCorrection="START",
        PatientWeight=70, SeriesDate="20250102", SeriesTime="103000.5",
        AcquisitionDate="20250102", AcquisitionTime="103000",
        RadiopharmaceuticalInformationSequence=Sequence([injection]),
    )  # fmt: skip
    for keyword, value in changes.items():
        target = injection if keyword.startswith("Radio") else dataset
        setattr(target, keyword, value)
    return dataset


def test_suv_by_body_weight_decays_the_dose_to_the_start_of_the_series():
    expected = 70_000 / (350e6 * 2 ** (-3600 / 6586.2))
    assert suv_factor(pet()) == pytest.approx(expected, rel=1e-9)
    assert suv_factor(pet(DecayCorrection="ADMIN")) == pytest.approx(70_000 / 350e6)


def test_an_injection_before_midnight_counts_as_the_day_before():
    late = pet(RadiopharmaceuticalStartTime="235000", SeriesTime="003000", AcquisitionTime="003000")
    assert suv_factor(late) == pytest.approx(70_000 / (350e6 * 2 ** (-2400 / 6586.2)), rel=1e-9)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"Modality": "CT"}, "Modality"),
        ({"Units": "CNTS"}, "Units"),
        ({"CorrectedImage": ["DECY"]}, "CorrectedImage"),
        ({"PatientWeight": 0}, "PatientWeight"),
        ({"DecayCorrection": "NONE"}, "DecayCorrection"),
        ({"RadionuclideTotalDose": None}, "RadionuclideTotalDose"),
        ({"SeriesTime": "113000"}, "SeriesTime"),
        ({"RadiopharmaceuticalStartTime": ""}, "RadiopharmaceuticalStartTime"),
        ({"SeriesDate": ""}, "SeriesDate"),
    ],
)
def test_suv_is_refused_with_the_element_that_forbids_it(changes, field):
    with pytest.raises(UnsupportedMediaError) as caught:
        suv_factor(pet(**changes))
    assert caught.value.field == field


def test_frames_of_an_enhanced_object_have_spacing_of_their_own():
    def frame(row: float) -> Dataset:
        return header(PixelMeasuresSequence=Sequence([header(PixelSpacing=[row, 1.0])]))

    dataset = header(
        Modality="MR", PerFrameFunctionalGroupsSequence=Sequence([frame(0.5), frame(0.25)])
    )
    assert [pixel_spacing(dataset, n).row_mm for n in (0, 1)] == [0.5, 0.25]
