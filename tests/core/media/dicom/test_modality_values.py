"""Modality LUT, rescale and Real World Value Map: one of them, with its unit and its windows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from media_dicoms import sequence_item, write_dicom

from vlmtool_core.errors import DamagedMediaError
from vlmtool_core.media import Window
from vlmtool_core.media.dicom.source import DicomSource

SIGNED = np.arange(-128, 128, dtype=np.int16).reshape(16, 16)
UNSIGNED = np.arange(256, dtype=np.uint16).reshape(16, 16)


def table_item(first: int, entries: list[int], bits: int = 16, **elements: Any) -> Any:
    """A LUT item; its descriptor is signed where `first` is negative."""
    item = sequence_item(**elements)
    item.add_new(0x00283002, "SS" if first < 0 else "US", [len(entries) % 65536, first, bits])
    item.add_new(0x00283006, "US", entries)
    return item


def world_item(
    first: float = 0, last: float = 255, unit: str = "mm2/s", *, floating: bool = False, **more: Any
) -> Any:
    code = sequence_item(CodeValue=unit, CodingSchemeDesignator="UCUM", CodeMeaning=unit)
    item = sequence_item(MeasurementUnitsCodeSequence=[code], LUTLabel="ADC", **more)
    if floating:
        item.DoubleFloatRealWorldValueFirstValueMapped = float(first)
        item.DoubleFloatRealWorldValueLastValueMapped = float(last)
    else:
        kind = "SS" if first < 0 else "US"
        item.add_new(0x00409216, kind, int(first))
        item.add_new(0x00409211, kind, int(last))
    return item


# Modality LUT -----------------------------------------------------------------------------------


@pytest.mark.parametrize("first", [-128, -5, 0, 100])
def test_a_modality_table_clamps_at_both_ends(tmp_path: Path, first: int) -> None:
    entries = [7 * n + 3 for n in range(100)]
    item = table_item(first, entries, ModalityLUTType="OD")
    path = write_dicom(
        tmp_path / "a.dcm", SIGNED, ModalityLUTSequence=[item], RescaleSlope=9, RescaleIntercept=9
    )
    index = [min(max(int(v) - first, 0), 99) for v in SIGNED.reshape(-1)]
    with DicomSource(path) as source:
        assert source.modality_values().data.reshape(-1).tolist() == [entries[n] for n in index]
        assert source.info.unit == "OD"
        assert source.info.facts["values"] == "Modality LUT"
        assert source.frame().provenance["modality"]["rule"] == "Modality LUT"


def test_a_table_of_65536_entries_states_none(tmp_path: Path) -> None:
    entries = list(range(65535, -1, -1))
    item = table_item(0, entries, ModalityLUTType="US")
    assert item.LUTDescriptor[0] == 0
    pixels = np.array([[0, 1], [40000, 65535]], np.uint16)
    path = write_dicom(tmp_path / "a.dcm", pixels, ModalityLUTSequence=[item])
    with DicomSource(path) as source:
        assert source.modality_values().data.tolist() == [[65535, 65534], [25535, 0]]


@pytest.mark.parametrize("bits", range(8, 17))
def test_tables_of_any_depth(tmp_path: Path, bits: int) -> None:
    entries = [n * (2**bits - 1) // 255 for n in range(256)]
    item = table_item(0, entries, bits, ModalityLUTType="US")
    path = write_dicom(tmp_path / "a.dcm", UNSIGNED, ModalityLUTSequence=[item])
    with DicomSource(path) as source:
        assert source.modality_values().data.reshape(-1).tolist() == entries


@pytest.mark.parametrize("entries", [[], [1, 2, 3]])
def test_a_broken_modality_table_is_damage(tmp_path: Path, entries: list[int]) -> None:
    item = table_item(0, list(range(256)))
    item[0x00283006].value = entries
    path = write_dicom(tmp_path / "a.dcm", UNSIGNED, ModalityLUTSequence=[item])
    with pytest.raises(DamagedMediaError, match="lookup table cannot be used") as caught:
        DicomSource(path)
    assert caught.value.field == "ModalityLUTSequence"
    assert caught.value.path == str(path)


# Rescale ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("slope", "intercept"), [(1, -1024), (0.1, 0), (3.774114, 0.000061), (-2, 50), (1e-5, 1e3)]
)
def test_rescaling_is_exact(tmp_path: Path, slope: float, intercept: float) -> None:
    pixels = np.linspace(-32768, 32767, 4096).astype(np.int16).reshape(64, 64)
    path = write_dicom(tmp_path / "a.dcm", pixels, RescaleSlope=slope, RescaleIntercept=intercept)
    expected = (pixels.astype(np.float64) * slope + intercept).astype(np.float32)
    with DicomSource(path) as source:
        assert np.array_equal(source.modality_values().data, expected)


def test_wide_values_are_rescaled_before_they_are_rounded(tmp_path: Path) -> None:
    pixels = np.array([[2**31 + 1, 2**24 + 1], [1, 0]], np.uint32)
    path = write_dicom(tmp_path / "a.dcm", pixels, RescaleSlope=1, RescaleIntercept=-(2**24))
    with DicomSource(path) as source:
        assert source.modality_values().data[0, 1] == 1


def test_a_slope_of_zero_is_not_applied_and_told(tmp_path: Path) -> None:
    path = write_dicom(tmp_path / "a.dcm", UNSIGNED, RescaleSlope=0, RescaleIntercept=5)
    with DicomSource(path) as source:
        assert np.array_equal(source.modality_values().data, UNSIGNED)
        assert "a rescale of slope 0 and intercept 5 is not applied" in source.info.warnings


# Real World Value Map ---------------------------------------------------------------------------


def test_a_straight_map_goes_in_place_of_unspecified_rescaling(tmp_path: Path) -> None:
    item = world_item(RealWorldValueSlope=0.5, RealWorldValueIntercept=-3.0)
    path = write_dicom(
        tmp_path / "a.dcm",
        UNSIGNED,
        RescaleSlope=2,
        RescaleIntercept=10,
        RescaleType="US",
        WindowCenter=210,
        WindowWidth=101,
        RealWorldValueMappingSequence=[item],
    )
    with DicomSource(path) as source:
        assert source.info.unit == "mm2/s"
        assert np.array_equal(source.modality_values().data, UNSIGNED * 0.5 - 3)
        assert source.info.facts["values"] == "Real World Value Map ADC"
        (window,) = source.info.windows
        assert (window.function, window.center, window.width) == ("LINEAR_EXACT", 46.875, 25)
        shown = source.frame().pixels[..., 0].astype(int)
    plain = write_dicom(
        tmp_path / "b.dcm",
        UNSIGNED,
        RescaleSlope=2,
        RescaleIntercept=10,
        WindowCenter=210,
        WindowWidth=101,
    )
    with DicomSource(plain) as source:  # the same picture either way
        assert np.abs(source.frame().pixels[..., 0] - shown).max() <= 1


def test_a_map_by_table(tmp_path: Path) -> None:
    values = [n**2 / 10 for n in range(256)]
    item = world_item(RealWorldValueLUTData=values)
    path = write_dicom(tmp_path / "a.dcm", UNSIGNED, RealWorldValueMappingSequence=[item])
    with DicomSource(path) as source:
        assert np.allclose(source.modality_values().reshape(-1), values)
        assert source.info.unit == "mm2/s"


def test_values_outside_of_the_map_have_none(tmp_path: Path) -> None:
    item = world_item(-10, 20, RealWorldValueSlope=1.0, RealWorldValueIntercept=0.0)
    other = world_item(21, 30, RealWorldValueSlope=2.0, RealWorldValueIntercept=0.0)
    path = write_dicom(tmp_path / "a.dcm", SIGNED, RealWorldValueMappingSequence=[item, other])
    with DicomSource(path) as source:
        values = source.modality_values()
        expected = [*range(-10, 21), *range(42, 61, 2)]
        assert values.compressed().tolist() == expected
        assert not source.frame().pixels[0, 0].any()


def test_pixels_in_floating_point_have_a_map_of_their_own(tmp_path: Path) -> None:
    pixels = np.linspace(-2, 2, 64, dtype="<f4").reshape(8, 8)
    item = world_item(-2, 2, "1", floating=True, RealWorldValueSlope=3.0, RealWorldValueIntercept=1)
    path = write_dicom(
        tmp_path / "a.dcm",
        pixels,
        PixelData=None,
        FloatPixelData=pixels.tobytes(),
        RealWorldValueMappingSequence=[item],
    )
    with DicomSource(path) as source:
        assert source.info.unit == ""
        assert np.allclose(source.modality_values(), pixels * 3.0 + 1)


@pytest.mark.parametrize(
    "elements",
    [
        {"RescaleSlope": 1, "RescaleIntercept": 0, "RescaleType": "HU"},
        {"Modality": "PT", "Units": "BQML", "RescaleSlope": 1, "RescaleIntercept": 0},
        {"Modality": "CT", "RescaleSlope": 1, "RescaleIntercept": 0},
        {"VOILUTSequence": [table_item(0, list(range(256)))]},
    ],
)
def test_a_map_is_left_aside_where_rescaled_values_have_a_unit_or_a_table(
    tmp_path: Path, elements: dict[str, Any]
) -> None:
    item = world_item(RealWorldValueSlope=5.0, RealWorldValueIntercept=0.0)
    path = write_dicom(
        tmp_path / "a.dcm", UNSIGNED, RealWorldValueMappingSequence=[item], **elements
    )
    with DicomSource(path) as source:
        assert np.array_equal(source.modality_values().data, UNSIGNED)
        assert source.info.unit != "mm2/s"


def test_a_modality_table_and_a_map_never_meet(tmp_path: Path) -> None:
    path = write_dicom(
        tmp_path / "a.dcm",
        UNSIGNED,
        ModalityLUTSequence=[table_item(0, [n + 1 for n in range(256)], ModalityLUTType="US")],
        RealWorldValueMappingSequence=[
            world_item(RealWorldValueSlope=5.0, RealWorldValueIntercept=0.0)
        ],
    )
    with DicomSource(path) as source:
        assert np.array_equal(source.modality_values().data, UNSIGNED + 1)


# Per frame --------------------------------------------------------------------------------------


def test_every_frame_has_its_own_transform_window_and_unit(tmp_path: Path) -> None:
    def value(n: int) -> dict[str, Any]:
        if n == 1:
            item = world_item(RealWorldValueSlope=0.25, RealWorldValueIntercept=1.0)
            return {"RealWorldValueMappingSequence": [item]}
        kind = "HU" if n == 0 else "OD"
        rescale = sequence_item(RescaleSlope=n + 1, RescaleIntercept=-n, RescaleType=kind)
        return {"PixelValueTransformationSequence": [rescale]}

    groups = [
        sequence_item(
            FrameVOILUTSequence=[
                sequence_item(
                    WindowCenter=[10 + n, 99],
                    WindowWidth=[100, 7],
                    WindowCenterWidthExplanation=[f"F{n}", "B"],
                    VOILUTFunction="SIGMOID" if n == 2 else "LINEAR",
                )
            ],
            **value(n),
        )
        for n in range(3)
    ]
    path = write_dicom(
        tmp_path / "a.dcm", np.stack([UNSIGNED] * 3), PerFrameFunctionalGroupsSequence=groups
    )
    with DicomSource(path) as source:
        assert source.info.unit == ""
        assert "its frames have different units" in source.info.warnings
        assert [source.unit(n) for n in range(3)] == ["HU", "mm2/s", "OD"]
        for n, expected in enumerate((UNSIGNED, UNSIGNED * 0.25 + 1, UNSIGNED * 3.0 - 2)):
            assert np.array_equal(source.modality_values(n).data, expected)
        assert source.windows(2)[0] == Window(12, 100, "F2", "SIGMOID")
        frames = list(source.frames())
        assert [f.provenance["voi"]["explanation"] for f in frames] == ["F0", "F1", "F2"]
        assert [f.provenance["modality"]["unit"] for f in frames] == ["HU", "mm2/s", "OD"]


def test_a_multi_frame_object_of_one_frame(tmp_path: Path) -> None:
    group = sequence_item(
        PixelValueTransformationSequence=[sequence_item(RescaleSlope=3, RescaleIntercept=1)]
    )
    path = write_dicom(
        tmp_path / "a.dcm",
        UNSIGNED,
        NumberOfFrames=1,
        PerFrameFunctionalGroupsSequence=[group],
    )
    with DicomSource(path) as source:
        assert source.info.frame_count == 1
        assert np.array_equal(source.modality_values(0).data, UNSIGNED * 3.0 + 1)


def test_fewer_functional_groups_than_frames(tmp_path: Path) -> None:
    shared = sequence_item(
        PixelValueTransformationSequence=[sequence_item(RescaleSlope=2, RescaleIntercept=0)]
    )
    own = sequence_item(
        PixelValueTransformationSequence=[sequence_item(RescaleSlope=5, RescaleIntercept=0)]
    )
    path = write_dicom(
        tmp_path / "a.dcm",
        np.stack([UNSIGNED] * 2),
        SharedFunctionalGroupsSequence=[shared],
        PerFrameFunctionalGroupsSequence=[own],
    )
    with DicomSource(path) as source:
        assert [source.modality_values(n).max() for n in range(2)] == [5 * 255, 2 * 255]


@pytest.mark.parametrize(
    ("elements", "unit"),
    [
        ({"Modality": "CT", "RescaleIntercept": -1024, "RescaleSlope": 1}, "HU"),
        ({"Modality": "CT", "RescaleIntercept": 0, "RescaleSlope": 1, "RescaleType": "ED"}, "ED"),
        (
            {
                "Modality": "CT",
                "RescaleIntercept": 0,
                "RescaleSlope": 1,
                "RescaleType": "US",
                "ImageType": ["DERIVED", "PRIMARY", "PERFUSION"],
            },
            "",
        ),
        ({"Modality": "PT", "Units": "CNTS", "RescaleSlope": 1, "RescaleIntercept": 0}, "CNTS"),
        ({"Modality": "MR", "RescaleSlope": 1, "RescaleIntercept": 0}, ""),
    ],
)
def test_units(tmp_path: Path, elements: dict[str, Any], unit: str) -> None:
    path = write_dicom(tmp_path / "a.dcm", UNSIGNED, **elements)
    with DicomSource(path) as source:
        assert source.info.unit == source.unit(0) == unit
