"""What shapes come to on real files, against loops over pixels, scikit-image and raw bytes."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.data import get_testdata_file
from skimage.draw import ellipse as skimage_ellipse
from tests.core.media.media_dicoms import sequence_item, write_dicom

from vlmtool_core.cli.main import run_cli
from vlmtool_core.errors import VlmtoolError
from vlmtool_core.json_codec import measurement_from_json, measurement_to_json
from vlmtool_core.measurement import Measured, Measurement, MeasurementKind
from vlmtool_core.media import measuring, open_media
from vlmtool_core.media.base import PixelSpacing, PlaneGeometry
from vlmtool_core.media.measured_text import changes, label_lines, measured_text, spacing_text
from vlmtool_core.media.measurements import (
    Measurable,
    luminance,
    measurable,
    measure,
    measured_again,
    probe,
)
from vlmtool_core.records import ItemRef, MediaKind

KIND = MeasurementKind
SIDE = 24
CORNER = st.floats(-8, SIDE + 8).map(lambda value: round(value, 2))


def on(values: np.ndarray, spacing: PixelSpacing | None = None, **facts: Any) -> Measurable:
    return Measurable((values.shape[1], values.shape[0]), values, spacing=spacing, **facts)


def noise(seed: int = 3) -> np.ma.MaskedArray:
    """float32 (24, 24) with a corner of padding."""
    values = np.random.default_rng(seed).normal(0, 500, (SIDE, SIDE)).astype(np.float32)
    mask = np.zeros(values.shape, bool)
    mask[:6, :6] = True
    return np.ma.MaskedArray(values, mask)


@given(st.sampled_from((KIND.RECTANGLE, KIND.ELLIPSE)), CORNER, CORNER, CORNER, CORNER)
def test_values_are_those_that_a_loop_over_the_pixels_finds(kind, x1, y1, x2, y2):
    values = noise()
    found = measure(kind, ((x1, y1), (x2, y2)), on(values))
    left, right, top, bottom = min(x1, x2), max(x1, x2), min(y1, y2), max(y1, y2)
    inside, padding = [], 0
    for row in range(SIDE):
        for column in range(SIDE):
            x, y = column + 0.5, row + 0.5
            if kind is KIND.RECTANGLE:
                hit = left <= x < right and top <= y < bottom
            else:
                a, b = (right - left) / 2, (bottom - top) / 2
                hit = bool(a and b) and (
                    ((y - (top + bottom) / 2) / b) ** 2 + ((x - (left + right) / 2) / a) ** 2 <= 1
                )
            if hit and values.mask[row, column]:
                padding += 1
            elif hit:
                inside.append(float(values.data[row, column]))
    assert (found.count, found.left_out) == (len(inside), padding)
    if inside:
        assert found.mean == pytest.approx(np.mean(inside), abs=1e-6)
        assert found.sd == pytest.approx(np.std(inside, ddof=1) if len(inside) > 1 else 0, abs=1e-6)
        assert (found.minimum, found.maximum) == (min(inside), max(inside))
    else:
        assert found.note.startswith("no values")
    assert found.outside is not all(0 <= v <= SIDE for v in (x1, y1, x2, y2))


def test_an_ellipse_holds_the_pixels_that_scikit_image_draws():
    mask = measuring.ellipse_mask((40, 60), 7.3, 4.1, 51.9, 33.7)
    # Its coordinates are of pixel centres, ours of pixel corners.
    rows, columns = skimage_ellipse(
        (4.1 + 33.7) / 2 - 0.5, (7.3 + 51.9) / 2 - 0.5, (33.7 - 4.1) / 2, (51.9 - 7.3) / 2, (40, 60)
    )
    expected = np.zeros((40, 60), bool)
    expected[rows, columns] = True
    assert (mask == expected).all()


RING = st.lists(st.tuples(st.integers(0, 20), st.integers(0, 20)), min_size=3, max_size=9)


@settings(max_examples=60)
@given(RING)
def test_the_area_of_an_outline_that_crosses_itself_is_that_of_its_inside(points):
    """Counted on a grid forty times as fine, by the even-odd rule."""
    fine = 40
    scaled = [(x * fine + 0.1, y * fine + 0.1) for x, y in points]
    counted = measuring.polygon_mask((21 * fine, 21 * fine), scaled).sum() / fine**2
    border = sum(math.dist(a, b) for a, b in zip(points, [*points[1:], points[0]], strict=True))
    assert measuring.polygon_area(points) == pytest.approx(counted, abs=border / fine + 1e-9)


def test_a_figure_of_eight_has_the_area_of_both_halves():
    eight = [(0, 0), (4, 4), (4, 0), (0, 4)]
    assert measuring.polygon_area(eight) == pytest.approx(8)
    assert measuring.polygon_area(eight, (0.5, 2.0)) == pytest.approx(8)
    twice_around = [(0, 0), (4, 0), (4, 4)] * 2
    assert measuring.polygon_area(twice_around) == pytest.approx(0)
    there_and_back = [(0, 0), (4, 4), (8, 0), (4, 4)]
    assert measuring.polygon_area(there_and_back) == pytest.approx(0)


def test_a_scribble_without_an_end_is_refused_instead_of_waited_for():
    noise_ = np.random.default_rng(0).uniform(0, 500, (2000, 2))
    with pytest.raises(ValueError, match="too often"):
        measuring.polygon_area([tuple(p) for p in noise_])


def test_one_pixel_and_less_than_one():
    values = noise()
    one = measure(KIND.RECTANGLE, ((10, 10), (11, 11)), on(values))
    assert (one.count, one.sd, one.area) == (1, 0, 1)
    assert one.mean == float(values[10, 10])
    none = measure(KIND.ELLIPSE, ((10.6, 10.6), (10.9, 10.9)), on(values))
    assert (none.count, none.mean) == (0, None)
    assert none.note == "no values: no centre of a pixel is inside"
    padding = measure(KIND.RECTANGLE, ((1, 1), (4, 4)), on(values))
    assert (padding.count, padding.left_out, padding.note) == (
        0, 9, "no values: only padding is inside",
    )  # fmt: skip
    beside = measure(KIND.RECTANGLE, ((-9, -9), (-1, -1)), on(values))
    assert (beside.count, beside.outside, beside.area) == (0, True, 64)


def test_what_is_no_number_is_left_out():
    values = np.array([[1.0, np.nan], [3.0, np.inf]], np.float32)
    found = measure(KIND.RECTANGLE, ((0, 0), (2, 2)), on(values))
    assert (found.count, found.left_out, found.mean, found.maximum) == (2, 2, 2, 3)


def test_unequal_spacing_stretches_lengths_angles_and_areas():
    spacing = PixelSpacing(0.5, 2.0, "PixelSpacing")
    picture = on(noise(), spacing)
    assert measure(KIND.DISTANCE, ((0, 0), (3, 4)), picture).length == pytest.approx(
        math.hypot(3 * 2.0, 4 * 0.5)
    )
    right = measure(KIND.ANGLE, ((5, 0), (0, 0), (5, 5)), picture)
    assert right.angle == pytest.approx(math.degrees(math.atan2(5 * 0.5, 5 * 2.0)))
    ellipse = measure(KIND.ELLIPSE, ((2, 2), (12, 22)), picture)
    assert ellipse.area == pytest.approx(math.pi * 5 * 2.0 * 10 * 0.5)
    assert (ellipse.unit, ellipse.spacing) == ("mm", (0.5, 2.0))


def test_without_spacing_there_are_pixels_and_colours_have_their_luminance(tmp_path):
    from PIL import Image

    pixels = np.random.default_rng(1).integers(0, 256, (30, 40, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "colour.png")
    with open_media(tmp_path / "colour.png") as source:
        found = measure(KIND.RECTANGLE, ((4, 5), (20, 25)), measurable(source))
    part = pixels[5:25, 4:20].astype(float) @ [0.299, 0.587, 0.114]
    assert (found.unit, found.value_unit, found.count) == ("px", "luminance", 320)
    assert found.mean == pytest.approx(part.mean())
    assert found.sd == pytest.approx(part.std(ddof=1))
    grey = np.full((2, 2, 3), 77, np.uint8)
    assert (luminance(grey) == 77).all()


def test_of_a_huge_picture_only_the_region_is_read(tmp_path):
    import tifffile

    pixels = np.tile(
        np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8), (160, 160, 1)
    )
    path = tmp_path / "slide.tif"
    tifffile.imwrite(path, pixels, tile=(256, 256), photometric="rgb")
    corners = ((5000.0, 6000.0), (5100.0, 6060.0))
    with open_media(path) as source:
        assert source.info.facts.get("tiled")
        part = measurable(source, around=corners)
        whole = measurable(source, around=((0.0, 0.0), (10240.0, 10240.0)))
    assert part.values.shape == (60, 100, 3)
    found = measure(KIND.RECTANGLE, corners, part)
    assert found.mean == pytest.approx(luminance(pixels[6000:6060, 5000:5100]).mean())
    everything = measure(KIND.RECTANGLE, ((0, 0), (10240, 10240)), whole)
    assert (everything.mean, everything.area) == (None, 10240**2)
    assert "64 million" in everything.note


def raw_ct() -> tuple[str, np.ndarray, tuple[float, float]]:
    """CT_small by numpy alone: path, HU, spacing of rows and columns."""
    path = str(get_testdata_file("CT_small.dcm"))
    data = pydicom.dcmread(path)
    stored = np.frombuffer(data.PixelData, "<i2").reshape(128, 128).astype(float)
    hu = stored * float(data.RescaleSlope) + float(data.RescaleIntercept)
    return path, hu, (float(data.PixelSpacing[0]), float(data.PixelSpacing[1]))


def test_an_ellipse_on_ct_small_equals_numpy_on_the_raw_bytes():
    path, hu, (row, column) = raw_ct()
    with open_media(Path(path)) as source:
        found = measure(KIND.ELLIPSE, ((30, 20), (90, 70)), measurable(source))
    y, x = np.mgrid[:128, :128] + 0.5
    inside = hu[((x - 60) / 30) ** 2 + ((y - 45) / 25) ** 2 <= 1]
    assert (found.count, found.value_unit) == (inside.size, "HU")
    assert found.mean == pytest.approx(inside.mean(), abs=1e-3)
    assert found.sd == pytest.approx(inside.std(ddof=1), abs=1e-3)
    assert (found.minimum, found.maximum) == (inside.min(), inside.max())
    assert found.area == pytest.approx(math.pi * 30 * column * 25 * row)


def test_a_probe_tells_stored_and_modality_value_and_the_place():
    path, hu, _ = raw_ct()
    with open_media(Path(path)) as source:
        known: Any = source
        seen = probe(measurable(source), (64.7, 31.2), known.stored_values(0))
    data = pydicom.dcmread(path)
    assert (seen.x, seen.y, seen.value, seen.unit) == (64, 31, hu[31, 64], "HU")
    assert seen.stored == np.frombuffer(data.PixelData, "<i2").reshape(128, 128)[31, 64]
    start = np.array(data.ImagePositionPatient, float)
    along, down = np.array(data.ImageOrientationPatient, float).reshape(2, 3)
    row, column = (float(v) for v in data.PixelSpacing)
    assert seen.position == pytest.approx(start + along * column * 64 + down * row * 31)


def test_an_oblique_plane_has_its_place_in_the_patient():
    half = math.sqrt(0.5)
    plane = PlaneGeometry((10, 20, 30), (half, half, 0), (0, 0, -1), (2.0, 0.5))
    assert measuring.patient_position(plane, (4.5, 3.5)) == pytest.approx(
        (10 + half * 2, 20 + half * 2, 30 - 6)
    )


def test_padding_has_no_value_under_the_probe(tmp_path):
    pixels = np.full((4, 4), -2000, np.int16)
    pixels[0, 1] = 100
    path = write_dicom(
        tmp_path / "padded.dcm", pixels, Modality="CT", RescaleSlope=2, RescaleIntercept=-10,
        PixelPaddingValue=-2000,
    )  # fmt: skip
    with open_media(path) as source:
        picture = measurable(source)
    assert probe(picture, (1.5, 0.5)).value == 190
    seen = probe(picture, (2.5, 2.5))
    assert (seen.value, seen.padding) == (None, True)
    with pytest.raises(ValueError, match="outside"):
        probe(picture, (4.0, 0))


def pet(path: Path, **changes: Any) -> Path:
    injection = sequence_item(
        RadionuclideTotalDose=350e6, RadionuclideHalfLife=6586.2,
        RadiopharmaceuticalStartTime="093000",
    )  # fmt: skip
    elements: dict[str, Any] = {
        "Modality": "PT", "Units": "BQML", "CorrectedImage": ["DECY", "ATTN"],
        "DecayCorrection": "START", "PatientWeight": 70, "SeriesDate": "20250102",
        "SeriesTime": "103000", "AcquisitionDate": "20250102", "AcquisitionTime": "103000",
        "RadiopharmaceuticalInformationSequence": [injection],
        "RescaleSlope": 10, "RescaleIntercept": 0,
    }  # fmt: skip
    return write_dicom(path, np.full((8, 8), 700, np.uint16), **{**elements, **changes})


def test_pet_has_uptake_values_or_the_reason_why_not(tmp_path):
    with open_media(pet(tmp_path / "pet.dcm")) as source:
        picture = measurable(source)
    factor = 70_000 / (350e6 * 2 ** (-3600 / 6586.2))
    assert probe(picture, (1, 1)).suv == pytest.approx(7000 * factor, rel=1e-6)
    found = measure(KIND.RECTANGLE, ((0, 0), (4, 4)), picture)
    assert (found.mean, found.value_unit) == (7000, "BQML")
    assert label_lines(found)[0] == f"{7000 * factor:.3g} ± 0 SUV"
    with open_media(pet(tmp_path / "no.dcm", PatientWeight=0)) as source:
        refused = measurable(source)
    assert refused.suv_factor is None
    assert "PatientWeight" in refused.no_suv
    assert label_lines(measure(KIND.RECTANGLE, ((0, 0), (4, 4)), refused))[0] == "7000 ± 0 BQML"


def test_a_projection_that_nobody_calibrated_says_so(tmp_path):
    pixels = np.zeros((8, 8), np.uint16)
    path = write_dicom(tmp_path / "dx.dcm", pixels, Modality="DX", ImagerPixelSpacing=[0.2, 0.2])
    with open_media(path) as source:
        found = measure(KIND.DISTANCE, ((0, 0), (3, 4)), measurable(source))
    assert (found.length, found.projected) == (pytest.approx(1.0), True)
    assert label_lines(found) == ["1 mm", "at the detector"]
    assert "not calibrated" in spacing_text(found)


@pytest.mark.parametrize(
    ("kind", "points"),
    [(KIND.DISTANCE, [(0, 0)]), (KIND.ANGLE, [(0, 0), (1, 1)]), (KIND.FREEHAND, [(0, 0), (1, 1)]),
     (KIND.ELLIPSE, [(0, 0), (1, 1), (2, 2)]), (KIND.COBB, [(0, 0)] * 3),
     (KIND.DISTANCE, [(0, 0), (math.nan, 1)]), (KIND.ANGLE, [(0, 0), (0, 0), (1, 1)])],
)  # fmt: skip
def test_shapes_that_are_none_are_refused(kind, points):
    with pytest.raises(ValueError, match=r"points|length"):
        measure(kind, points, on(noise()))


def test_a_changed_file_changes_the_result_and_each_change_is_told(tmp_path):
    path = tmp_path / "a.dcm"
    pixels = np.arange(64, dtype=np.uint16).reshape(8, 8)
    write_dicom(path, pixels, PixelSpacing=[1, 1])
    shapes = [
        Measurement(KIND.DISTANCE, ((0.0, 0.0), (3.0, 4.0))),
        Measurement(KIND.RECTANGLE, ((0.0, 0.0), (4.0, 4.0))),
    ]
    ref = ItemRef("a", path, MediaKind.DICOM)
    before = [r for r in measured_again(ref, [(0, s) for s in shapes]) if isinstance(r, Measured)]
    assert [changes(a, a) for a in before] == [[], []]
    write_dicom(path, pixels + 5, PixelSpacing=[2, 2])
    after = [r for r in measured_again(ref, [(0, s) for s in shapes]) if isinstance(r, Measured)]
    assert changes(before[0], after[0]) == [
        "pixel spacing was 1 × 1 mm, PixelSpacing", "length was 5 mm",
    ]  # fmt: skip
    told = changes(before[1], after[1])
    assert told[1:] == ["area was 16.0 mm²", "values were 13.5 ± 9.31"]
    path.write_bytes(path.read_bytes()[:200])
    lost = list(measured_again(ref, [(0, s) for s in shapes]))
    assert len(lost) == 2
    assert all(isinstance(one, VlmtoolError) for one in lost)


def test_a_frame_that_is_not_there_costs_only_its_own(tmp_path):
    path = write_dicom(tmp_path / "a.dcm", np.zeros((2, 8, 8), np.uint16))
    shape = Measurement(KIND.RECTANGLE, ((0.0, 0.0), (4.0, 4.0)))
    ref = ItemRef("a", path, MediaKind.DICOM)
    good, bad = measured_again(ref, [(0, shape), (7, shape)])
    assert isinstance(good, Measured)
    assert isinstance(bad, VlmtoolError)


def test_json_keeps_everything():
    result = Measured(
        "mm", area=1.5, count=3, mean=-2.25, sd=0.1, minimum=-3, maximum=1, value_unit="HU",
        left_out=2, outside=True, spacing=(0.5, 0.7), spacing_source="scanner", projected=True,
        suv_factor=0.25,
    )  # fmt: skip
    shape = Measurement(KIND.FREEHAND, ((0.1, 0.2), (5.0, 1.0), (2.0, 8.5)), result)
    assert measurement_from_json(json.loads(json.dumps(measurement_to_json(shape)))) == shape
    assert measured_text(replace(shape, result=replace(result, suv_factor=None))) == (
        "freehand -2.25 ± 0.1 HU, 1.5 mm²"
    )


def test_the_command_tells_uptake_place_and_what_was_left_out(tmp_path, capsys):
    path = str(pet(tmp_path / "pet.dcm", ImagePositionPatient=[1, 2, 3],
                   ImageOrientationPatient=[1, 0, 0, 0, 1, 0], PixelSpacing=[4, 4]))  # fmt: skip
    shapes = ["--probe", "2,1", "--polygon", "0,0,4,4,4,0,0,4"]
    assert run_cli(["media", "measure", path, *shapes, "--suv", "--json"]) == 0
    seen, crossed = json.loads(capsys.readouterr().out)["measurements"]
    factor = 70_000 / (350e6 * 2 ** (-3600 / 6586.2))
    assert seen["value"] == pytest.approx(7000 * factor, rel=1e-6)
    assert seen["position_mm"] == [9, 6, 3]
    assert crossed["area"] == pytest.approx(8 * 16)


def test_a_voxel_of_a_volume_is_found_at_its_place(tmp_path):
    import nibabel

    shape = (7, 9, 5)
    values = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    affine = np.array([[-2.0, 0.1, 0, 30], [0.1, 1.5, 0.2, -40], [0, -0.2, 3, 10], [0, 0, 0, 1]])
    path = tmp_path / "volume.nii.gz"
    nibabel.save(nibabel.Nifti1Image(values, affine), path)
    voxel = (2, 6, 3)
    with open_media(path) as source:
        known: Any = source
        for frame in range(source.info.frame_count or 0):
            here = np.argwhere(known.modality_values(frame).filled(-1) == values[voxel])
            if len(here):
                row, column = here[0]
                seen = probe(measurable(source, frame), (column + 0.5, row + 0.5))
    right, front, head, _ = affine @ (*voxel, 1)
    assert seen.value == values[voxel]
    assert seen.position == pytest.approx((-right, -front, head), abs=1e-4)
