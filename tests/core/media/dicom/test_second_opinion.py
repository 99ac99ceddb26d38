"""highdicom as a second opinion on enhanced multi-frame objects: values and windowed pictures."""

from __future__ import annotations

from pathlib import Path

import highdicom
import numpy as np
import pytest
from highdicom.pixels import apply_voi_window
from pydicom.data import get_testdata_file

from vlmtool_core.media import Window
from vlmtool_core.media.dicom.palette import has_supplemental_palette
from vlmtool_core.media.dicom.source import DicomSource

ENHANCED = (
    "eCT_Supplemental.dcm",
    "emri_small.dcm",
    "emri_small_RLE.dcm",
    "emri_small_jpeg_2k_lossless.dcm",
    "emri_small_jpeg_ls_lossless.dcm",
    "liver.dcm",
    "liver_1frame.dcm",
)


def opened(name: str) -> tuple[DicomSource, highdicom.Image]:
    path = Path(str(get_testdata_file(name)))
    return DicomSource(path), highdicom.imread(path)


@pytest.mark.parametrize("name", ENHANCED)
def test_values_of_every_frame_agree(name: str) -> None:
    source, other = opened(name)
    with source:
        for index in range(source.info.frame_count or 1):
            # highdicom counts frames from 1.
            stored = other.get_stored_frame(index + 1)
            assert np.array_equal(source.stored_values(index), stored)
            values = other.get_frame(index + 1, apply_presentation_lut=False)
            assert np.allclose(source.modality_values(index).data, values, rtol=0, atol=1e-4)


@pytest.mark.parametrize("name", ["eCT_Supplemental.dcm"])
def test_pictures_through_the_window_of_the_file_agree(name: str) -> None:
    source, other = opened(name)
    assert has_supplemental_palette(other)
    with source:
        for index in range(source.info.frame_count or 1):
            expected = other.get_frame(
                index + 1,
                apply_real_world_transform=False,
                apply_voi_transform=True,
                voi_output_range=(0, 255),
                apply_presentation_lut=True,
            )
            # highdicom does not apply supplemental palettes.
            grey = source.stored_values(index) < 1024
            shown = source.frame(index).pixels[..., 0]
            assert np.abs(shown - expected)[grey].max() <= 0.5 + 1e-3


@pytest.mark.parametrize("name", ENHANCED[:5])
@pytest.mark.parametrize("function", ["LINEAR", "LINEAR_EXACT", "SIGMOID"])
def test_pictures_through_any_window_agree(name: str, function: str) -> None:
    source, other = opened(name)
    window = Window(300, 701, "", function)
    with source:
        for index in range(source.info.frame_count or 1):
            values = other.get_frame(index + 1, apply_presentation_lut=False)
            expected = apply_voi_window(values, 300, 701, function, output_range=(0, 255))
            grey = np.ones(values.shape, bool)
            if has_supplemental_palette(other):
                grey = source.stored_values(index) < 1024
            shown = source.frame(index, window=window).pixels[..., 0]
            assert np.abs(shown - expected)[grey].max() <= 0.5 + 1e-3


def test_the_unit_of_the_perfusion_map_is_that_of_its_real_world_map() -> None:
    source, other = opened("eCT_Supplemental.dcm")
    shared = other.SharedFunctionalGroupsSequence[0]
    code = shared.RealWorldValueMappingSequence[0].MeasurementUnitsCodeSequence[0].CodeValue
    with source:
        assert source.info.unit == code
