"""Display shutters: what they cover, drawn over the picture and never in what a model is given."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from media_dicoms import sequence_item, write_dicom
from skimage.draw import polygon2mask

from vlmtool_core.cli.main import run_cli
from vlmtool_core.errors import DamagedMediaError
from vlmtool_core.media import open_media
from vlmtool_core.media.dicom.shutters import srgb_of_lab, within_polygon
from vlmtool_core.media.drawing import with_overlays

ROWS, COLUMNS = 40, 60
PIXELS = np.full((ROWS, COLUMNS), 200, np.uint8)
ROW, COLUMN = np.mgrid[1 : ROWS + 1, 1 : COLUMNS + 1]
RECTANGLE = {
    "ShutterLeftVerticalEdge": 11, "ShutterRightVerticalEdge": 50,
    "ShutterUpperHorizontalEdge": 6, "ShutterLowerHorizontalEdge": 30,
}  # fmt: skip
CIRCLE = {"CenterOfCircularShutter": [20, 30], "RadiusOfCircularShutter": 15}
WITHIN_RECTANGLE = (COLUMN >= 11) & (COLUMN <= 50) & (ROW >= 6) & (ROW <= 30)
WITHIN_CIRCLE = (ROW - 20) ** 2 + (COLUMN - 30) ** 2 <= 15**2


def covered_of(path: Path, index: int = 0) -> np.ndarray:
    with open_media(path) as source:
        found = source.shutter(index)
        assert found is not None
        return found.mask


@pytest.mark.parametrize(
    ("elements", "shown"),
    [
        ({"ShutterShape": "RECTANGULAR", **RECTANGLE}, WITHIN_RECTANGLE),
        ({"ShutterShape": "CIRCULAR", **CIRCLE}, WITHIN_CIRCLE),
        (
            {"ShutterShape": ["RECTANGULAR", "CIRCULAR"], **RECTANGLE, **CIRCLE},
            WITHIN_RECTANGLE & WITHIN_CIRCLE,
        ),
        (
            {"ShutterShape": "POLYGONAL", "VerticesOfThePolygonalShutter": [5, 5, 5, 41, 31, 5]},
            (ROW >= 5) & (COLUMN >= 5) & ((ROW - 5) / 26 + (COLUMN - 5) / 36 < 1),
        ),
    ],
)
def test_what_is_covered(tmp_path: Path, elements: dict[str, object], shown: np.ndarray) -> None:
    path = write_dicom(tmp_path / "a.dcm", PIXELS, **elements)
    assert np.array_equal(covered_of(path), ~shown)


def test_a_circle_is_round_in_millimetres(tmp_path: Path) -> None:
    """The radius counts columns; rows twice as far apart make half as many of them."""
    path = write_dicom(
        tmp_path / "a.dcm", PIXELS, PixelSpacing=[1.0, 0.5], ShutterShape="CIRCULAR", **CIRCLE
    )
    assert np.array_equal(covered_of(path), (2 * (ROW - 20)) ** 2 + (COLUMN - 30) ** 2 > 15**2)


@pytest.mark.parametrize(("value", "grey"), [(None, 0), (0, 0), (65535, 255), (32768, 128)])
def test_the_covered_part_has_its_presentation_value(
    tmp_path: Path, value: int | None, grey: int
) -> None:
    shade = {} if value is None else {"ShutterPresentationValue": value}
    path = write_dicom(
        tmp_path / "a.dcm", PIXELS, ShutterShape="RECTANGULAR", WindowCenter=128, WindowWidth=256,
        **RECTANGLE, **shade,
    )  # fmt: skip
    with open_media(path) as source:
        plain = source.frame()
        assert plain.pixels.min() == plain.pixels.max()
        shown = with_overlays(plain, source)
        assert source.info.facts["shutter"] == "rectangular shutter"
    assert (shown.pixels[~WITHIN_RECTANGLE] == grey).all()
    assert (shown.pixels[WITHIN_RECTANGLE] == plain.pixels[WITHIN_RECTANGLE]).all()
    assert shown.provenance["shutter"] == [grey] * 3


def test_the_cli_draws_it_only_when_asked(tmp_path: Path) -> None:
    from PIL import Image

    path = write_dicom(
        tmp_path / "a.dcm", PIXELS, ShutterShape="RECTANGULAR", WindowCenter=128, WindowWidth=256,
        **RECTANGLE,
    )  # fmt: skip
    for options in ([], ["--overlays"]):
        out = tmp_path / "out.png"
        assert run_cli(["media", "render", str(path), "-o", str(out), *options]) == 0
        dark = np.asarray(Image.open(out))[..., 0] == 0
        assert np.array_equal(dark, ~WITHIN_RECTANGLE if options else np.zeros_like(dark))


def test_each_frame_of_an_enhanced_object_has_its_own(tmp_path: Path) -> None:
    groups = [
        sequence_item(
            FrameDisplayShutterSequence=[
                sequence_item(ShutterShape="RECTANGULAR", **{**RECTANGLE, keyword: value})
            ]
        )
        for keyword, value in (
            ("ShutterLeftVerticalEdge", 11), ("ShutterLeftVerticalEdge", 31),
        )
    ]  # fmt: skip
    path = write_dicom(
        tmp_path / "a.dcm", np.stack([PIXELS] * 2), PerFrameFunctionalGroupsSequence=groups
    )
    assert np.array_equal(covered_of(path, 0), ~WITHIN_RECTANGLE)
    assert np.array_equal(covered_of(path, 1), ~(WITHIN_RECTANGLE & (COLUMN >= 31)))


@pytest.mark.parametrize(
    ("elements", "said"),
    [
        ({"ShutterShape": "CIRCULAR", "CenterOfCircularShutter": [20, 30]}, "Radius"),
        ({"ShutterShape": "RECTANGULAR"}, "ShutterLeftVerticalEdge"),
        ({"ShutterShape": "POLYGONAL", "VerticesOfThePolygonalShutter": [1, 2]}, "Vertices"),
        ({"ShutterShape": "STAR"}, "none of the standard"),
        ({"ShutterShape": "BITMAP", "ShutterOverlayGroup": 0x6000}, "bitmap"),
    ],
)
def test_a_broken_shutter_is_told_and_the_picture_shown(
    tmp_path: Path, elements: dict[str, object], said: str
) -> None:
    path = write_dicom(tmp_path / "a.dcm", PIXELS, **elements)
    with open_media(path) as source:
        assert source.frame().pixels.shape == (ROWS, COLUMNS, 3)
        with pytest.raises(DamagedMediaError, match=said):
            source.shutter(0)


vertices = st.lists(
    st.tuples(st.floats(-9.75, 49.75), st.floats(-9.75, 69.75)), min_size=3, max_size=7
)


@given(vertices)
def test_polygons_equal_those_of_scikit_image(corners: list[tuple[float, float]]) -> None:
    """By the even-odd rule; pixels whose centre lies on an edge may go either way."""
    found = within_polygon(tuple(corners), (ROWS, COLUMNS))
    reference = polygon2mask((ROWS, COLUMNS), np.array(corners) - 1)
    different = np.argwhere(found != reference) + 1
    for row, column in different:
        gaps = [
            _distance(np.array([row, column]), np.array(a), np.array(b))
            for a, b in zip(corners, [*corners[1:], corners[0]], strict=True)
        ]
        assert min(gaps) < 1e-6


def _distance(point: np.ndarray, start: np.ndarray, end: np.ndarray) -> float:
    along = end - start
    length = float(along @ along)
    part = 0.0 if length == 0 else float(np.clip((point - start) @ along / length, 0, 1))
    return float(np.linalg.norm(point - start - part * along))


def test_lab_colours_equal_those_of_little_cms() -> None:
    """PS3.3 C.10.7.1.1: CIELab for D50, as ICC profiles have it."""
    from PIL import Image, ImageCms

    lab, srgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
    intent = ImageCms.Intent.RELATIVE_COLORIMETRIC
    convert = ImageCms.buildTransform(lab, srgb, "LAB", "RGB", intent)
    # Lightness of 0 to 255, and a* and b* as bytes with a sign.
    for lightness, a, b in ((128, 0, 0), (255, 0, 0), (0, 0, 0), (140, 40, 30), (100, -30, 20)):
        picture = Image.frombytes("LAB", (1, 1), bytes([lightness, a & 255, b & 255]))
        expected = ImageCms.applyTransform(picture, convert).getpixel((0, 0))
        coded = [lightness * 257, (a + 128) * 257, (b + 128) * 257]
        assert np.abs(np.subtract(srgb_of_lab(coded), expected)).max() <= 4
