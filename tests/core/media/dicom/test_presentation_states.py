"""Presentation states that highdicom wrote: their geometry, grey and words, and how they look."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Sequence
from pathlib import Path

import highdicom as hd
import numpy as np
import pydicom
import pytest
from highdicom import pr
from media_dicoms import sequence_item, write_dicom
from PIL import Image
from presentation_files import CT, LAYER, annotation, write_state
from pydicom.data import get_testdata_file
from pydicom.uid import generate_uid

from vlmtool_core.cli.main import run_cli
from vlmtool_core.errors import DamagedMediaError, MediaError, UnsupportedMediaError
from vlmtool_core.media import Window, open_media, scan
from vlmtool_core.media.dicom.presentation_graphics import (
    Area,
    Placement,
)
from vlmtool_core.media.dicom.presentation_state import read_presentation_state, states_beside
from vlmtool_core.media.dicom.voi import render_window
from vlmtool_core.media.drawing import as_presented

ROWS, COLUMNS = 64, 96
IDENTITY = Placement(Area(0, 0, COLUMNS, ROWS))


@pytest.fixture
def ct(tmp_path: Path) -> Path:
    CT.save_as(tmp_path / "ct.dcm")
    return tmp_path / "ct.dcm"


# What is drawn -----------------------------------------------------------------------------------


def test_lines_are_drawn_where_they_belong_in_the_layers_colour(ct: Path, tmp_path: Path) -> None:
    layer = pr.GraphicLayer("A", order=1, display_color=hd.color.CIELabColor(100.0, 0.0, 0.0))
    square = np.array([[20, 30], [60, 30], [60, 70], [20, 70], [20, 30]], float)
    marks = pr.GraphicAnnotation(
        referenced_images=[CT], graphic_layer=layer,
        graphic_objects=[pr.GraphicObject("POLYLINE", square, units="PIXEL")],
        text_objects=[pr.TextObject("Doe", units="PIXEL", bounding_box=(80.0, 80.0, 100.0, 90.0))],
    )  # fmt: skip
    path = write_state(tmp_path / "pr.dcm", [CT], [marks], [layer])
    with open_media(ct) as source:
        plain = source.presented(0, path).frame.pixels
        shown = as_presented(source, 0, path, texts=False).pixels
        named = as_presented(source, 0, path).pixels
    changed = np.argwhere((shown != plain).any(axis=2))
    assert (shown[30, 21:60] == 255).all() or (shown[29, 21:60] == 255).all()
    # The square's corners lie on corners of pixels: the line is in the pixels on either side.
    for row, column in changed:
        edges = (abs(row + 0.5 - 30), abs(row + 0.5 - 70), abs(column + 0.5 - 20),
                 abs(column + 0.5 - 60))  # fmt: skip
        assert min(edges) <= 1
    assert 150 < len(changed) < 180
    text = (named != shown).any(axis=2)
    assert text[78:100, 78:125].sum() > 20
    assert not text[:70].any()


@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
@pytest.mark.parametrize("flipped", [False, True])
def test_the_picture_is_turned_then_mirrored(
    ct: Path, tmp_path: Path, rotation: int, flipped: bool
) -> None:
    path = write_state(
        tmp_path / "pr.dcm", [CT], ImageRotation=rotation, ImageHorizontalFlip="NY"[flipped]
    )
    with open_media(ct) as source:
        plain = source.presented(0, path).frame.pixels
        shown = as_presented(source, 0, path)
    expected = np.asarray(Image.fromarray(plain).rotate(-rotation, expand=True))
    assert np.array_equal(shown.pixels, expected[:, ::-1] if flipped else expected)
    state = read_presentation_state(path)
    assert (f"{rotation}° clockwise" in state.orientation) == bool(rotation)
    assert ("mirrored" in state.orientation) == flipped


def test_a_shutter_of_the_state_covers_and_the_pictures_own_does_not(tmp_path: Path) -> None:
    pixels = np.full((ROWS, COLUMNS), 100, np.uint8)
    own = {
        "ShutterShape": "RECTANGULAR", "ShutterLeftVerticalEdge": 1,
        "ShutterRightVerticalEdge": 10, "ShutterUpperHorizontalEdge": 1,
        "ShutterLowerHorizontalEdge": 10,
    }  # fmt: skip
    image = write_dicom(tmp_path / "a.dcm", pixels, **own)
    state = write_state(
        tmp_path / "pr.dcm", [CT], ShutterShape="CIRCULAR", CenterOfCircularShutter=[32, 48],
        RadiusOfCircularShutter=20, ShutterPresentationValue=65535,
        ReferencedSeriesSequence=related(pydicom.dcmread(image)), **no_areas(),
    )  # fmt: skip
    with open_media(image) as source:
        shown = as_presented(source, 0, state).pixels[..., 0]
    row, column = np.mgrid[1 : ROWS + 1, 1 : COLUMNS + 1]
    within = (row - 32) ** 2 + (column - 48) ** 2 <= 400
    assert (shown[~within] == 255).all()
    assert (shown[within] != 255).all()


def related(*images: pydicom.Dataset, frames: Sequence[int] = ()) -> list[pydicom.Dataset]:
    references = [
        sequence_item(
            ReferencedSOPClassUID=one.SOPClassUID, ReferencedSOPInstanceUID=one.SOPInstanceUID,
            **({"ReferencedFrameNumber": list(frames)} if frames else {}),
        )
        for one in images
    ]  # fmt: skip
    return [
        sequence_item(
            SeriesInstanceUID=images[0].SeriesInstanceUID, ReferencedImageSequence=references
        )
    ]


def no_areas() -> dict[str, None]:
    return {"DisplayedAreaSelectionSequence": None}


def test_a_bitmap_shutter_is_in_the_state(ct: Path, tmp_path: Path) -> None:
    bits = np.random.default_rng(0).random((128, 128)) > 0.5
    path = write_state(
        tmp_path / "pr.dcm", [CT], ShutterShape="BITMAP", ShutterOverlayGroup=0x6000,
        ShutterPresentationValue=0,
    )  # fmt: skip
    dataset = pydicom.dcmread(path)
    for element, vr, value in (
        (0x10, "US", 128), (0x11, "US", 128), (0x40, "CS", "G"), (0x50, "SS", [1, 1]),
        (0x100, "US", 1), (0x102, "US", 0),
        (0x3000, "OW", np.packbits(bits.ravel(), bitorder="little").tobytes()),
    ):  # fmt: skip
        dataset.add_new((0x6000, element), vr, value)
    dataset.save_as(path)
    with open_media(ct) as source:
        found = source.presented(0, path).covered
    assert found is not None
    assert np.array_equal(found.mask, bits)


# Grey --------------------------------------------------------------------------------------------


def hounsfield() -> np.ndarray:
    return (CT.pixel_array * float(CT.RescaleSlope) + float(CT.RescaleIntercept)).astype(np.float32)


def test_the_window_and_the_shape_of_the_state_are_used(ct: Path, tmp_path: Path) -> None:
    window = pr.SoftcopyVOILUTTransformation(window_center=40, window_width=400)
    for shape in ("IDENTITY", "INVERSE"):
        path = write_state(tmp_path / "pr.dcm", [CT], windows=[window], PresentationLUTShape=shape)
        with open_media(ct) as source:
            frame = source.presented(0, path).frame
        expected = np.clip(((hounsfield() - 39.5) / 399 + 0.5) * 255, 0, 255)
        expected = expected if shape == "IDENTITY" else 255 - expected
        assert np.abs(frame.pixels[..., 0] - expected).max() <= 0.5001
        assert frame.provenance["voi"]["center"] == 40


def test_a_voi_table_of_the_state_is_used(ct: Path, tmp_path: Path) -> None:
    entries = np.linspace(65535, 0, 1000).astype(np.uint16)
    table = hd.VOILUT(first_mapped_value=0, lut_data=entries, lut_explanation="falling")
    path = write_state(
        tmp_path / "pr.dcm", [CT], windows=[pr.SoftcopyVOILUTTransformation(voi_luts=[table])]
    )
    with open_media(ct) as source:
        shown = source.presented(0, path).frame.pixels[..., 0]
    index = np.clip(np.rint(hounsfield()), 0, 999).astype(int)
    assert np.abs(shown - entries[index] / 257).max() <= 0.5001
    assert "VOI LUT falling" in read_presentation_state(path).facts()["windows"]


def test_a_state_for_monochrome1_decides_the_polarity_alone(tmp_path: Path) -> None:
    """PS3.4 N.2.1.4: the photometric interpretation of the picture is left aside."""
    pixels = np.tile(np.arange(COLUMNS, dtype=np.uint8), (ROWS, 1))
    image = write_dicom(tmp_path / "a.dcm", pixels, PhotometricInterpretation="MONOCHROME1")
    references = related(pydicom.dcmread(image))
    for shape, rises in (("IDENTITY", True), ("INVERSE", False)):
        path = write_state(
            tmp_path / "pr.dcm", [CT], PresentationLUTShape=shape,
            ReferencedSeriesSequence=references, RescaleIntercept=None, RescaleSlope=None,
            RescaleType=None, **no_areas(),
        )  # fmt: skip
        with open_media(image) as source:
            line = source.presented(0, path).frame.pixels[0, :, 0].astype(int)
        # Without a VOI LUT all that eight bits can hold goes from black to white.
        assert np.array_equal(line, np.arange(COLUMNS) if rises else 255 - np.arange(COLUMNS))


def test_the_states_modality_transform_replaces_the_pictures(ct: Path, tmp_path: Path) -> None:
    window = pr.SoftcopyVOILUTTransformation(window_center=1000, window_width=2000)
    path = write_state(
        tmp_path / "pr.dcm", [CT], windows=[window], RescaleIntercept="500", RescaleSlope="0.5"
    )
    with open_media(ct) as source:
        shown = source.presented(0, path).frame.pixels[..., 0]
    values = CT.pixel_array * 0.5 + 500
    reference = render_window(values.astype(np.float32), Window(1000, 2000))
    assert np.array_equal(shown, reference)


# Which pictures ----------------------------------------------------------------------------------


def test_a_state_is_for_its_frames_only(tmp_path: Path) -> None:
    stack = np.stack([np.full((ROWS, COLUMNS), n, np.uint8) for n in range(4)])
    image = write_dicom(tmp_path / "a.dcm", stack)
    dataset = pydicom.dcmread(image)
    path = write_state(
        tmp_path / "pr.dcm", [CT],
        ReferencedSeriesSequence=related(dataset, frames=(2, 4)), **no_areas(),
    )  # fmt: skip
    with open_media(image) as source:
        assert [source.is_presented(n, path) for n in range(4)] == [False, True, False, True]
        with pytest.raises(UnsupportedMediaError, match=r"pr\.dcm is not for frame 2"):
            as_presented(source, 2, path)


def test_parts_are_for_the_images_that_they_name(tmp_path: Path) -> None:
    images = []
    for n in range(2):
        dataset = pydicom.dcmread(get_testdata_file("CT_small.dcm"))
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid()
        dataset.InstanceNumber = n + 1
        images.append(dataset)
    windows = [
        pr.SoftcopyVOILUTTransformation(
            window_center=center,
            window_width=100,
            referenced_images=hd.ReferencedImageSequence([one]),
        )
        for center, one in zip((10, 20), images, strict=True)
    ]  # fmt: skip
    path = write_state(
        tmp_path / "pr.dcm", images, [annotation([images[1]], kinds=["POINT"])], [LAYER], windows
    )
    state = read_presentation_state(path)
    for center, one in zip((10, 20), images, strict=True):
        window = state.window(one.SOPInstanceUID, 1)
        assert window is not None
        assert window.center == center
        assert state.is_for(one.SOPInstanceUID, 1)
    assert state.graphics(images[0].SOPInstanceUID, 1) == ()
    assert len(state.graphics(images[1].SOPInstanceUID, 1)) == 1
    assert not state.is_for(generate_uid(), 1)


def test_states_beside_a_picture_are_found_and_named(ct: Path, tmp_path: Path) -> None:
    other = tmp_path / "elsewhere"
    other.mkdir()
    path = write_state(tmp_path / "z_state", [CT])
    write_state(other / "far.dcm", [CT])
    (tmp_path / "notes.txt").write_text("no DICOM")
    assert states_beside([ct]) == (path,)
    unrelated = write_dicom(tmp_path / "mr.dcm", np.zeros((8, 8), np.uint8))
    with open_media(ct) as source, open_media(unrelated) as other_source:
        (reference,) = source.presentations()
        assert (reference.path, reference.label) == (path, "MARKS")
        assert other_source.presentations() == ()
    found = {item.name: item for item in scan([tmp_path])}
    error = found["z_state"].error
    assert error is not None
    assert "greyscale presentation state" in error.message
    assert "choose it there" in error.remedy
    assert found["ct.dcm"].error is None


# Refusals ----------------------------------------------------------------------------------------


def test_what_is_no_state_is_refused(ct: Path) -> None:
    with pytest.raises(UnsupportedMediaError, match="CT Image"):
        read_presentation_state(ct)


@pytest.mark.parametrize(
    ("keyword", "value", "said"),
    [
        ("ImageRotation", 45, "rotation of 45"),
        ("ShutterShape", "STAR", "none of the standard"),
    ],
)
def test_a_broken_state_is_told(tmp_path: Path, keyword: str, value: object, said: str) -> None:
    path = write_state(tmp_path / "pr.dcm", [CT], **{keyword: value})
    with pytest.raises(DamagedMediaError, match=said):
        read_presentation_state(path)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"GraphicType": "BLOB"}, "none of the standard"),
        ({"GraphicData": [1.0, 2.0]}, "a POLYLINE of 1 points"),
        ({"GraphicData": [1.0, 2.0, float("nan"), 3.0]}, "no number"),
    ],
)
def test_a_broken_graphic_is_told(tmp_path: Path, changes: dict[str, object], said: str) -> None:
    path = write_state(tmp_path / "pr.dcm", [CT], [annotation([CT], kinds=["POLYLINE"])], [LAYER])
    dataset = pydicom.dcmread(path)
    item = dataset.GraphicAnnotationSequence[0].GraphicObjectSequence[0]
    for keyword, value in changes.items():
        setattr(item, keyword, value)
    dataset.save_as(path)
    with pytest.raises(DamagedMediaError, match=said):
        read_presentation_state(path)


# The command line --------------------------------------------------------------------------------


def test_info_says_what_a_state_is(
    ct: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_state(
        tmp_path / "pr.dcm", [CT], [annotation([CT])], [LAYER],
        [pr.SoftcopyVOILUTTransformation(window_center=40, window_width=400)],
        ImageRotation=90, ImageHorizontalFlip="Y",
    )  # fmt: skip
    assert run_cli(["media", "info", str(path), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["object"] == "greyscale presentation state"
    facts = told["facts"]
    assert facts["windows"] == ["40/400 linear"]
    assert facts["orientation"] == "turned 90° clockwise, mirrored left to right"
    assert (facts["images"], facts["graphics"], facts["texts"]) == (1, 5, 2)
    assert facts["areas"] == ["128 x 128 pixels from (0, 0), scale to fit"]
    assert "MARKS" in facts["layers"]
    assert "Rose" not in json.dumps(told)
    assert run_cli(["media", "info", str(path), "--json", "--identifying"]) == 0
    assert "Reader Rose" in capsys.readouterr().out


def test_render_shows_the_state(ct: Path, tmp_path: Path) -> None:
    path = write_state(tmp_path / "pr.dcm", [CT], [annotation([CT])], [LAYER], ImageRotation=90)
    out = tmp_path / "out.png"
    asked = ["media", "render", str(ct), "-o", str(out), "--presentation-state", str(path)]
    assert run_cli(asked) == 0
    with open_media(ct) as source:
        expected = as_presented(source, 0, path, texts=False).pixels
    assert np.array_equal(np.asarray(Image.open(out)), expected)
    assert run_cli([*asked, "--size", "64x64"]) == 0
    assert Image.open(out).size == (64, 64)
    assert run_cli([*asked[:-1], str(ct)]) != 0


def test_a_state_that_has_changed_is_read_again(ct: Path, tmp_path: Path) -> None:
    path = tmp_path / "pr.dcm"
    with open_media(ct) as source:
        for rotation in (90, 180):
            write_state(path, [CT], ImageRotation=rotation)
            os.utime(path, ns=(rotation, rotation))
            assert source.presented(0, path).rotation == rotation


def test_flipped_bits_break_the_state_alone(ct: Path, tmp_path: Path) -> None:
    """Whatever is broken: an error of ours, or a picture; and the pictures stay readable."""
    path = write_state(tmp_path / "pr.dcm", [CT], [annotation([CT])], [LAYER], ImageRotation=90)
    whole = path.read_bytes()
    rng = random.Random(4)
    broken = 0
    with open_media(ct) as source:
        plain = source.frame(0).pixels
        for number in range(150):
            data = bytearray(whole)
            for _ in range(rng.choice((1, 3, 20))):
                data[rng.randrange(132, len(data))] ^= 1 << rng.randrange(8)
            path.write_bytes(data if number % 7 else data[: rng.randrange(len(data))])
            os.utime(path, ns=(number, number))
            try:
                assert as_presented(source, 0, path).pixels.shape == plain.shape
            except MediaError as error:
                broken += bool(error.message)
        assert np.array_equal(source.frame(0).pixels, plain)
    assert 20 < broken < 150
