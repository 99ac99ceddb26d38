"""VOI windows and tables, Presentation LUT and inversion of whole objects, as they are shown."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from media_dicoms import sequence_item, write_dicom
from pydicom.data import get_testdata_file

from vlmtool_core.errors import DamagedMediaError
from vlmtool_core.media import Window
from vlmtool_core.media.dicom.source import DicomSource
from vlmtool_core.media.dicom.voi import LookupTable, apply_window, moved, render_window, rescaled

X = np.array([[-161, -160, -159, 0, 40, 239, 240]], np.int16)
GREY = np.arange(256, dtype=np.uint8).reshape(16, 16)


def table_item(first: int, entries: list[int], bits: int, name: str = "") -> Any:
    item = sequence_item(LUTExplanation=name)
    item.add_new(0x00283002, "SS" if first < 0 else "US", [len(entries) % 65536, first, bits])
    item.add_new(0x00283006, "US", entries)
    return item


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        ("LINEAR", [0, 0, 0.639, 102.256, 127.82, 255, 255]),
        ("LINEAR_EXACT", [0, 0, 0.638, 102.0, 127.5, 254.362, 255]),
        ("SIGMOID", [30.13, 30.397, 30.665, 102.335, 127.5, 224.335, 224.603]),
    ],
)
def test_the_reference_values_as_shown(
    tmp_path: Path, function: str, expected: list[float]
) -> None:
    path = write_dicom(
        tmp_path / "a.dcm", X, WindowCenter=40, WindowWidth=400, VOILUTFunction=function
    )
    with DicomSource(path) as source:
        frame = source.frame()
        assert np.abs(frame.pixels[0, :, 0] - np.array(expected)).max() <= 0.5 + 1e-3
        assert frame.provenance["voi"]["function"] == function


@pytest.mark.parametrize("bits", range(8, 17))
@pytest.mark.parametrize("first", [-40, 0, 1000])
def test_a_voi_table_acts_on_modality_values(tmp_path: Path, bits: int, first: int) -> None:
    top = 2**bits - 1
    entries = [(n * n * top) // (255 * 255) for n in range(256)]
    pixels = np.arange(-200, 1400, 4, dtype=np.int16).reshape(20, 20)
    path = write_dicom(
        tmp_path / "a.dcm",
        pixels,
        RescaleSlope=1,
        RescaleIntercept=-10,
        VOILUTSequence=[table_item(first, entries, bits, "GAMMA")],
        WindowCenter=9,
        WindowWidth=9,
    )
    shown = [
        round(entries[min(max(int(v) - 10 - first, 0), 255)] * 255 / top)
        for v in pixels.reshape(-1)
    ]
    with DicomSource(path) as source:
        frame = source.frame()
        assert np.abs(frame.pixels[..., 0].reshape(-1) - np.array(shown)).max() <= 1
        assert frame.provenance["voi"]["explanation"] == "GAMMA"
        assert [w.explanation for w in source.info.windows] == ["GAMMA", ""]


@pytest.mark.parametrize(
    ("descriptor", "data", "kind"),
    [
        ([256, 0, 16], bytes(range(256)), "OW"),  # bytes, said to be words
        ([256, 0, 8], bytes(range(256)), "OW"),  # packed bytes
        ([256, 0, 8], list(range(256)), "US"),  # one byte to a word
        ([256, 0, 8], np.arange(256, dtype=np.uint8).view("<u2").tolist(), "US"),  # packed words
        ([256, 0, 6], list(range(256)), "US"),  # fewer bits than there are
        ([256, 0, 0], list(range(256)), "US"),
    ],
)
def test_tables_that_break_their_descriptor_in_known_ways(
    tmp_path: Path, descriptor: list[int], data: Any, kind: str
) -> None:
    item = sequence_item()
    item.add_new(0x00283002, "US", descriptor)
    item.add_new(0x00283006, kind, data)
    path = write_dicom(tmp_path / "a.dcm", GREY, VOILUTSequence=[item])
    with DicomSource(path) as source:
        assert np.array_equal(source.frame().pixels[..., 0], GREY)
        assert source.info.windows[0].explanation == "VOI LUT 1"


def test_a_table_too_short_is_told_and_the_window_used(tmp_path: Path) -> None:
    item = table_item(0, [1, 2, 3], 8, "SHORT")
    item[0x00283002].value = [256, 0, 8]
    path = write_dicom(
        tmp_path / "a.dcm", GREY, VOILUTSequence=[item], WindowCenter=128, WindowWidth=256
    )
    with DicomSource(path) as source:
        assert [w.function for w in source.info.windows] == ["LINEAR"]
        assert any("SHORT cannot be used" in note for note in source.info.warnings)


def test_every_table_and_window_can_be_chosen(tmp_path: Path) -> None:
    up, down = list(range(256)), list(range(255, -1, -1))
    path = write_dicom(
        tmp_path / "a.dcm",
        GREY,
        VOILUTSequence=[table_item(0, up, 8, "UP"), table_item(0, down, 8, "DOWN")],
        WindowCenter=[100, 50],
        WindowWidth=[20, 10],
        WindowCenterWidthExplanation=["WIDE", "NARROW"],
    )
    with DicomSource(path) as source:
        windows = {window.explanation: window for window in source.info.windows}
        assert list(windows) == ["UP", "DOWN", "WIDE", "NARROW"]
        assert (windows["UP"].center, windows["UP"].width) == (128, 256)
        shown = {name: source.frame(window=w).pixels[..., 0] for name, w in windows.items()}
        values = source.modality_values()
    assert np.array_equal(shown["UP"], GREY)
    assert np.array_equal(shown["DOWN"], 255 - GREY)
    assert shown["WIDE"][5, 5] == 0
    assert shown["NARROW"][4, 0] == 255
    for name, window in windows.items():
        assert np.array_equal(render_window(values, window), shown[name])


@pytest.mark.parametrize(
    ("elements", "windows", "note"),
    [
        ({"WindowCenter": 40, "WindowWidth": 0}, [], "width 0 cannot be used"),
        ({"WindowCenter": 40, "WindowWidth": -5}, [], "width -5 cannot be used"),
        (
            {"WindowCenter": [40, 50, 60], "WindowWidth": [400, 500]},
            [(40, 400), (50, 500)],
            "3 window centres and 2 widths",
        ),
        ({"WindowCenter": 40}, [], "1 window centres and 0 widths"),
        ({"WindowCenter": 0.4, "WindowWidth": 0.5}, [(0.4, 0.5)], ""),
        (
            {"WindowCenter": 40, "WindowWidth": 9, "VOILUTFunction": "CUBIC"},
            [(40, 9)],
            "VOI LUT function is none of the standard",
        ),
        ({"WindowCenter": 40, "WindowWidth": 9, "VOILUTFunction": ""}, [(40, 9)], ""),
    ],
)
def test_odd_windows(
    tmp_path: Path, elements: dict[str, Any], windows: list[tuple[float, float]], note: str
) -> None:
    path = write_dicom(tmp_path / "a.dcm", GREY, **elements)
    with DicomSource(path) as source:
        assert [(w.center, w.width) for w in source.info.windows] == windows
        assert any(note in warning for warning in source.info.warnings) or not note
        shown = source.frame().pixels[..., 0]
        assert shown.max() > shown.min()
        if not windows:
            assert source.frame().provenance["voi"]["explanation"] == "1-99 percentile"


# Presentation ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("photometric", "shape", "inverted"),
    [
        ("MONOCHROME2", None, False),
        ("MONOCHROME1", None, True),
        ("MONOCHROME2", "IDENTITY", False),
        ("MONOCHROME1", "INVERSE", True),
        ("MONOCHROME2", "INVERSE", True),
        ("MONOCHROME1", "IDENTITY", False),
        ("MONOCHROME1", "", True),
    ],
)
def test_the_shape_decides_where_it_is_stated(
    tmp_path: Path, photometric: str, shape: str | None, inverted: bool
) -> None:
    elements = {} if shape is None else {"PresentationLUTShape": shape}
    path = write_dicom(
        tmp_path / "a.dcm",
        GREY,
        PhotometricInterpretation=photometric,
        WindowCenter=128,
        WindowWidth=256,
        **elements,
    )
    with DicomSource(path) as source:
        assert source.is_inverted() is inverted
        assert np.array_equal(source.modality_values().data, GREY)
        assert np.array_equal(source.frame().pixels[..., 0], 255 - GREY if inverted else GREY)


@pytest.mark.parametrize("count", [256, 4096])
def test_a_presentation_table_follows_the_window(tmp_path: Path, count: int) -> None:
    entries = [int(4095 * (n / (count - 1)) ** 2) for n in range(count)]
    path = write_dicom(
        tmp_path / "a.dcm",
        GREY,
        PhotometricInterpretation="MONOCHROME1",  # its white is in the table
        PresentationLUTSequence=[table_item(0, entries, 12, "SQUARE")],
        WindowCenter=128,
        WindowWidth=256,
    )
    expected = 255 * (GREY / 255) ** 2
    with DicomSource(path) as source:
        frame = source.frame()
        assert np.abs(frame.pixels[..., 0] - expected).max() <= 1.5
        assert frame.provenance["presentation"] == "SQUARE"


def test_a_broken_presentation_table_is_damage(tmp_path: Path) -> None:
    item = table_item(0, [1, 2], 8)
    item[0x00283002].value = [256, 0, 8]
    path = write_dicom(tmp_path / "a.dcm", GREY, PresentationLUTSequence=[item])
    with pytest.raises(DamagedMediaError) as caught:
        DicomSource(path)
    assert caught.value.field == "PresentationLUTSequence"


# Windows of other units ---------------------------------------------------------------------------


@pytest.mark.parametrize("function", ["LINEAR", "LINEAR_EXACT", "SIGMOID"])
def test_a_rescaled_window_shows_the_same(function: str) -> None:
    values = np.linspace(-500, 500, 900, dtype=np.float32).reshape(30, 30)
    window = Window(40, 401, "x", function)
    other = rescaled(window, 0.125, 7)
    shown = render_window(values, window).astype(int)
    again = render_window(values * np.float32(0.125) + np.float32(7), other)
    assert np.abs(shown - again).max() <= 1


def test_tables_and_mirrors_cannot_be_rescaled() -> None:
    table = LookupTable(0, np.arange(4, dtype=np.float32), 8).window("t")
    assert rescaled(table, 1, 0) == table
    with pytest.raises(ValueError, match="rescaled"):
        rescaled(table, 2, 0)
    with pytest.raises(ValueError, match="rescaled"):
        rescaled(Window(1, 10), -1, 0)


def test_tables_are_equal_by_what_they_hold() -> None:
    one, same = (LookupTable(0, np.arange(4, dtype=np.float32), 8) for _ in range(2))
    other = LookupTable(0, np.arange(1, 5, dtype=np.float32), 8)
    assert (one, hash(one)) == (same, hash(same))
    assert one.window("t") == same.window("t") != other.window("t")


def test_the_voi_table_of_a_known_file() -> None:
    path = Path(str(get_testdata_file("vlut_04.dcm")))
    dataset = pydicom.dcmread(path)
    entries = np.asarray(dataset.VOILUTSequence[0].LUTData, np.float64)
    expected = entries[dataset.pixel_array.astype(int)] * 255 / 65535
    with DicomSource(path) as source:
        assert np.abs(source.frame().pixels[..., 0] - expected).max() <= 0.5 + 1e-3
        assert source.info.windows[0].function == "TABLE"


@pytest.mark.parametrize("shape", [(1, 1), (3, 70_001), (700, 300), (1, 0)])
def test_large_pictures_are_the_sum_of_their_parts(shape: tuple[int, int]) -> None:
    noise = np.random.default_rng(3).integers(-2000, 3000, shape).astype(np.float32)
    values = np.ma.MaskedArray(noise, mask=noise < -1900)
    window = Window(40, 400)
    expected = np.rint(apply_window(values, window)).astype(np.uint8)
    expected = np.where(noise < -1900, 0, 255 - expected)
    assert np.array_equal(render_window(values, window, inverted=True), expected)


@pytest.mark.parametrize("function", ["LINEAR", "LINEAR_EXACT", "SIGMOID"])
def test_moving_keeps_the_function_and_a_width_that_it_allows(function: str) -> None:
    window = Window(1.5, 8, "x", function)
    assert moved(window, 2, 6) == Window(2, 6, "", function)
    least = moved(window, 2, -3).width
    assert least == 1 if function == "LINEAR" else 0 < least < 1e-3


def test_moving_leaves_a_table_for_a_window() -> None:
    table = LookupTable(0, np.arange(4, dtype=np.float32), 8).window("t")
    assert moved(table, 2, 6) == Window(2, 6)
