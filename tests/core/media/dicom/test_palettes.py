"""PALETTE COLOR: plain, segmented and supplemental, expanded by hand in the test."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st
from media_dicoms import write_dicom
from pydicom.data import get_testdata_file
from pydicom.pixels.processing import apply_color_lut

from vlmtool_core.errors import DamagedMediaError
from vlmtool_core.media import Window
from vlmtool_core.media.dicom.palette import expand_segments
from vlmtool_core.media.dicom.source import DicomSource

INDICES = np.arange(256, dtype=np.uint8).reshape(16, 16)
COLOURS = ("Red", "Green", "Blue")


def palette(
    tables: list[list[int]], bits: int, first: int = 0, *, segmented: bool = False, count: int = 0
) -> dict[str, Any]:
    """Elements of a palette, its data as bytes or words."""
    kind = np.uint8 if bits == 8 else "<u2"
    elements: dict[str, Any] = {"PhotometricInterpretation": "PALETTE COLOR"}
    for colour, table in zip(COLOURS, tables, strict=True):
        name = f"{colour}PaletteColorLookupTable"
        elements[f"{name}Descriptor"] = [(count or len(table)) % 65536, first, bits]
        data = np.array(table, kind).tobytes()
        data += b"\0" * (len(data) % 2)
        elements[f"{'Segmented' * segmented}{name}Data"] = data
    return elements


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("first", [0, 20])
def test_indices_become_colours_and_clamp(tmp_path: Path, bits: int, first: int) -> None:
    scale = 257 if bits == 16 else 1
    tables = [[n * scale for n in order] for order in (range(200), range(199, -1, -1), [7] * 200)]
    path = write_dicom(tmp_path / "a.dcm", INDICES, **palette(tables, bits, first))
    with DicomSource(path) as source:
        frame = source.frame()
        assert not source.info.has_values
        assert frame.provenance["palette"] == "plain"
        for index, colour in zip(INDICES.reshape(-1), frame.pixels.reshape(-1, 3), strict=True):
            place = min(max(int(index) - first, 0), 199)
            assert colour.tolist() == [place, 199 - place, 7]


def test_a_palette_of_65536_entries(tmp_path: Path) -> None:
    tables = [list(range(65536)), list(range(65535, -1, -1)), [0] * 65536]
    pixels = np.array([[0, 65535], [32896, 257]], np.uint16)
    path = write_dicom(tmp_path / "a.dcm", pixels, **palette(tables, 16))
    with DicomSource(path) as source:
        shown = source.frame().pixels
    assert shown[..., 0].tolist() == [[0, 255], [128, 1]]
    assert shown[..., 1].tolist() == [[255, 0], [127, 254]]


def test_words_filled_as_bytes_are_not_black(tmp_path: Path) -> None:
    tables = [list(range(256))] * 3
    path = write_dicom(tmp_path / "a.dcm", INDICES, **palette(tables, 16))
    with DicomSource(path) as source:
        assert np.array_equal(source.frame().pixels[..., 0], INDICES)


def test_colours_may_have_tables_of_different_length(tmp_path: Path) -> None:
    elements = palette([list(range(256))] * 3, 8)
    elements["BluePaletteColorLookupTableDescriptor"] = [2, 100, 8]
    elements["BluePaletteColorLookupTableData"] = b"\x05\x09"
    path = write_dicom(tmp_path / "a.dcm", INDICES, **elements)
    with DicomSource(path) as source:
        shown = source.frame().pixels
    assert np.array_equal(shown[..., 0], INDICES)
    assert np.array_equal(shown[..., 2], np.where(INDICES > 100, 9, 5))


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"GreenPaletteColorLookupTableData": b"\x01\x02"}, "GreenPaletteColorLookupTableData"),
        ({"BluePaletteColorLookupTableData": None}, "BluePaletteColorLookupTableData"),
        ({"RedPaletteColorLookupTableDescriptor": None}, "RedPaletteColorLookupTableData"),
    ],
)
def test_a_broken_palette_is_damage(tmp_path: Path, change: dict[str, Any], field: str) -> None:
    elements = {**palette([list(range(256))] * 3, 8), **change}
    kept = {name: value for name, value in elements.items() if value is not None}
    path = write_dicom(tmp_path / "a.dcm", INDICES, **kept)
    with DicomSource(path) as source, pytest.raises(DamagedMediaError, match="palette") as caught:
        source.frame()
    assert caught.value.field == field


# Segments ----------------------------------------------------------------------------------------


def test_all_kinds_of_segments() -> None:
    # discrete 1, 5; linear from 5 to 13 in 4; both again by their place, twice
    words = [0, 2, 1, 5, 1, 4, 13, 2, 2, 0, 0, 2, 1, 8, 0, 0, 1, 99]
    once = [1, 5, 7, 9, 11, 13]
    expected = [*once, *once, 13, 13, 13, 13, 99]
    assert expand_segments(np.array(words), len(expected), 2).tolist() == expected


def test_indirect_segments_of_bytes_count_bytes() -> None:
    data = [0, 2, 10, 20, 1, 2, 40, 2, 1, 0, 0, 0, 0]
    assert expand_segments(np.array(data), 6, 1).tolist() == [10, 20, 30, 40, 10, 20]


@given(
    st.lists(st.tuples(st.integers(1, 30), st.integers(0, 65535)), min_size=1, max_size=12),
    st.lists(st.integers(0, 65535), min_size=1, max_size=20),
)
def test_any_line_goes_from_the_last_value_to_its_end(
    lines: list[tuple[int, int]], start: list[int]
) -> None:
    words = [0, len(start), *start]
    expected = list(start)
    for length, end in lines:
        words += [1, length, end]
        last = expected[-1]
        expected += [last + (end - last) * (n + 1) / length for n in range(length)]
    got = expand_segments(np.array(words), len(expected), 2)
    assert np.abs(got - np.array(expected)).max() <= 0.5
    assert got[-1] == lines[-1][1]


@pytest.mark.parametrize(
    "words",
    [
        [],
        [1, 4, 9],  # begins with a line
        [0, 9, 1, 2],  # fewer values than it states
        [0, 0],  # empty: would never end
        [3, 1, 1],  # no such segment
        [0, 1, 1, 2, 60000, 4, 0],  # points at itself
        [0, 1, 1, 2, 1, 0, 9],  # points outside
        [0, 8, *range(8)],  # more than the descriptor says
        [0, 2, 1, 2],  # less than the descriptor says
    ],
)
def test_damaged_segments_are_refused(words: list[int]) -> None:
    with pytest.raises(ValueError, match="segment"):
        expand_segments(np.array(words, np.int64), 4, 2)


@pytest.mark.parametrize("bits", [8, 16])
def test_a_segmented_palette_as_shown(tmp_path: Path, bits: int) -> None:
    top = 255 if bits == 8 else 65535
    ramp = [0, 1, 0, 1, 255, top]
    flat = [0, 1, top, 1, 255, top]
    elements = palette([ramp, flat, ramp], bits, segmented=True, count=256)
    path = write_dicom(tmp_path / "a.dcm", INDICES, **elements)
    with DicomSource(path) as source:
        frame = source.frame()
    assert frame.provenance["palette"] == "segmented"
    assert np.abs(frame.pixels[..., 0].astype(int) - INDICES).max() == 0
    assert (frame.pixels[..., 1] == 255).all()


@pytest.mark.parametrize("name", ["gdcm-US-ALOKA-16.dcm", "gdcm-US-ALOKA-16_big.dcm"])
def test_segments_of_a_known_file(name: str) -> None:
    path = Path(str(get_testdata_file(name)))
    dataset = pydicom.dcmread(path)
    expected = apply_color_lut(dataset.pixel_array, dataset) * (255 / 65535)
    with DicomSource(path) as source:
        assert np.abs(source.frame().pixels - expected).max() <= 0.5 + 1e-3


# Supplemental palettes ----------------------------------------------------------------------------


@pytest.mark.parametrize("presentation", ["COLOR", "MIXED", "MONOCHROME", "TRUE_COLOR", None])
def test_a_supplemental_palette_colours_the_values_from_its_first(
    tmp_path: Path, presentation: str | None
) -> None:
    elements = palette([[1000 * n for n in range(56)]] * 2 + [[65535] * 56], 16, first=200)
    elements["PhotometricInterpretation"] = "MONOCHROME2"
    if presentation is not None:
        elements["PixelPresentation"] = presentation
    path = write_dicom(tmp_path / "a.dcm", INDICES, WindowCenter=100, WindowWidth=200, **elements)
    coloured = presentation in ("COLOR", "MIXED")
    with DicomSource(path) as source:
        frame = source.frame()
        shown = frame.pixels.reshape(-1, 3)
        assert source.info.has_values
        assert ("palette" in frame.provenance) is coloured
        other = source.frame(window=Window(30, 10)).pixels.reshape(-1, 3)
    assert np.array_equal(shown[:200, 0], shown[:200, 2])
    if coloured:
        expected = np.rint(np.arange(56) * 1000 * 255 / 65535)
        for picture in (shown, other):
            assert np.array_equal(picture[200:, 0], expected)
            assert (picture[200:, 2] == 255).all()
    else:
        assert (shown[200:] == 255).all()


def test_the_supplemental_palette_of_a_known_file() -> None:
    path = Path(str(get_testdata_file("eCT_Supplemental.dcm")))
    dataset = pydicom.dcmread(path)
    count, first, _ = dataset.RedPaletteColorLookupTableDescriptor
    tables = [
        np.frombuffer(dataset[f"{colour}PaletteColorLookupTableData"].value, "<u2", count)
        for colour in COLOURS
    ]
    with DicomSource(path) as source:
        for index in range(2):
            stored = dataset.pixel_array[index].astype(int)
            shown = source.frame(index).pixels
            coloured = stored >= first
            assert coloured.any()
            places = np.minimum(stored[coloured] - first, count - 1)
            for channel, table in enumerate(tables):
                expected = np.rint(table[places] * 255.0 / 65535)
                assert np.array_equal(shown[..., channel][coloured], expected)
            grey = shown[~coloured]
            assert np.array_equal(grey[:, 0], grey[:, 1])
