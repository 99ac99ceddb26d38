"""Headers that lie, lack or contradict: shown as far as they can be, refused where they cannot."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from media_dicoms import sequence_item, write_dicom
from pydicom.uid import JPEG2000Lossless, JPEGLSLossless, RLELossless

from vlmtool_core.errors import DamagedMediaError, MediaError, UnsupportedMediaError
from vlmtool_core.media.dicom.source import DicomSource

GREY = np.arange(256, dtype=np.uint8).reshape(16, 16)
LARGE = np.kron(GREY, np.ones((4, 4), np.uint8))
DEEP = np.arange(256, dtype=np.uint16).reshape(16, 16) * 16


def rewritten(path: Path, elements: dict[int, tuple[str, Any]]) -> Path:
    """The same object with raw values in place of what pydicom would write; None removes one."""
    dataset = pydicom.dcmread(path)
    for tag, (kind, value) in elements.items():
        if value is None:
            del dataset[tag]
        else:
            dataset.add_new(tag, kind, value)
    dataset.save_as(path)
    return path


@pytest.mark.parametrize(
    ("tag", "kind", "value"),
    [
        (0x00280002, "US", None),  # SamplesPerPixel
        (0x00280102, "US", None),  # HighBit
        (0x00280101, "US", None),  # BitsStored
        (0x00280103, "US", None),  # PixelRepresentation
        (0x00280004, "CS", None),  # PhotometricInterpretation
        (0x00280008, "IS", ""),  # NumberOfFrames
        (0x00280008, "IS", "0"),
        (0x00280008, "IS", "-3"),
        (0x00280030, "DS", [0.0, 0.0]),  # PixelSpacing
        (0x00281052, "LO", "none"),  # RescaleIntercept
        (0x00281053, "LO", "none"),
        (0x00281053, "FD", float("inf")),
        (0x00281050, "LO", "left"),  # WindowCenter
        (0x00280120, "LO", "black"),  # PixelPaddingValue
        (0x00283000, "SQ", []),  # ModalityLUTSequence
        (0x00283010, "SQ", [pydicom.Dataset()]),  # VOILUTSequence
        (0x00282000, "OB", b""),  # ICCProfile
        (0x00409096, "SQ", [pydicom.Dataset()]),  # RealWorldValueMappingSequence
        (0x52009229, "SQ", []),  # SharedFunctionalGroupsSequence
        (0x52009230, "SQ", [pydicom.Dataset()]),
        (0x52009230, "SQ", [sequence_item(FrameVOILUTSequence=[pydicom.Dataset()])]),
    ],
)
def test_values_stay_as_they_are_stored(tmp_path: Path, tag: int, kind: str, value: Any) -> None:
    path = write_dicom(tmp_path / "a.dcm", DEEP)
    with DicomSource(rewritten(path, {tag: (kind, value)})) as source:
        assert source.info.frame_count == 1
        assert np.array_equal(source.modality_values(), DEEP)
        assert source.spacing() is None
        shown = source.frame().pixels[..., 0].astype(int)
        assert np.all(np.diff(shown.reshape(-1)) >= 0)
        assert shown.max() == 255


@pytest.mark.parametrize(
    ("elements", "message"),
    [
        ({0x00280010: ("US", None)}, "Rows"),
        ({0x00280011: ("US", None)}, "Columns"),
        ({0x00280011: ("US", 0)}, "Columns"),
        ({0x00280100: ("US", None)}, "BitsAllocated"),
        ({0x00280100: ("US", 12)}, "12"),
        ({0x00280100: ("US", 24)}, "truncated"),
        ({0x00280010: ("US", 17)}, "truncated"),
        ({0x00280011: ("US", 65535)}, "truncated"),
        ({0x00280002: ("US", 3)}, "truncated"),
        ({0x00280002: ("US", 4)}, "truncated"),
        ({0x00280002: ("US", 60000)}, "truncated"),
        ({0x7FE00010: ("OW", b"")}, "truncated"),
    ],
)
def test_what_cannot_be_laid_out_is_refused(
    tmp_path: Path, elements: dict[int, tuple[str, Any]], message: str
) -> None:
    path = rewritten(write_dicom(tmp_path / "a.dcm", DEEP), elements)
    with pytest.raises((DamagedMediaError, UnsupportedMediaError), match=message) as caught:
        DicomSource(path).frame()
    assert caught.value.path == str(path)


@pytest.mark.parametrize("syntax", [JPEG2000Lossless, JPEGLSLossless])
@pytest.mark.parametrize("change", [{"Rows": 32}, {"Columns": 128}, {"Rows": 128, "Columns": 32}])
def test_a_code_stream_of_another_size_is_damage(
    tmp_path: Path, syntax: str, change: dict[str, int]
) -> None:
    dataset = pydicom.dcmread(write_dicom(tmp_path / "a.dcm", LARGE))
    dataset.compress(syntax)
    for keyword, value in change.items():
        setattr(dataset, keyword, value)
    dataset.save_as(tmp_path / "b.dcm")
    with pytest.raises(DamagedMediaError), DicomSource(tmp_path / "b.dcm") as source:
        source.frame()


@pytest.mark.parametrize("change", [{"Rows": 128}, {"Columns": 128}, {"BitsAllocated": 16}])
def test_run_lengths_that_do_not_fill_the_frame_are_damage(
    tmp_path: Path, change: dict[str, int]
) -> None:
    dataset = pydicom.dcmread(write_dicom(tmp_path / "a.dcm", LARGE))
    dataset.compress(RLELossless)
    for keyword, value in change.items():
        setattr(dataset, keyword, value)
    dataset.save_as(tmp_path / "b.dcm")
    with pytest.raises(DamagedMediaError), DicomSource(tmp_path / "b.dcm") as source:
        source.frame()


@pytest.mark.parametrize("deep", [False, True])
def test_samples_that_contradict_the_code_stream(tmp_path: Path, deep: bool) -> None:
    pixels = LARGE.astype(np.uint16) * 16 if deep else LARGE
    dataset = pydicom.dcmread(write_dicom(tmp_path / "a.dcm", pixels))
    dataset.compress(JPEG2000Lossless)
    dataset.SamplesPerPixel, dataset.PlanarConfiguration = 3, 0
    dataset.PhotometricInterpretation = "RGB"
    dataset.save_as(tmp_path / "b.dcm")
    with pytest.raises(DamagedMediaError), DicomSource(tmp_path / "b.dcm") as source:
        source.frame()


def test_more_frames_than_there_are(tmp_path: Path) -> None:
    path = write_dicom(tmp_path / "a.dcm", np.stack([GREY] * 3), NumberOfFrames=5)
    with DicomSource(path) as source:
        assert any("truncated" in note for note in source.info.warnings)
        assert np.array_equal(source.modality_values(2), GREY)
        with pytest.raises(DamagedMediaError, match="frame 5 is missing"):
            source.frame(4)


TAGS = st.sampled_from(
    ["Rows", "Columns", "SamplesPerPixel", "BitsAllocated", "BitsStored", "HighBit",
     "PixelRepresentation", "PlanarConfiguration", "NumberOfFrames", "PixelPaddingValue",
     "SmallestImagePixelValue"]
)  # fmt: skip
NUMBERS = st.one_of(st.integers(0, 40), st.sampled_from([255, 256, 4095, 32767, 65535]))


@settings(
    max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.dictionaries(TAGS, NUMBERS, min_size=1, max_size=4), st.booleans())
def test_any_lie_ends_in_a_picture_or_in_an_error_of_ours(
    tmp_path: Path, lies: dict[str, int], deep: bool
) -> None:
    path = write_dicom(tmp_path / "a.dcm", DEEP if deep else GREY)
    dataset = pydicom.dcmread(path)
    for keyword, value in lies.items():
        kind = "IS" if keyword == "NumberOfFrames" else "US"
        dataset.add_new(pydicom.datadict.tag_for_keyword(keyword), kind, value)
    dataset.save_as(path)
    error = failure_of(path)
    assert error is None or (error.path == str(path) and error.remedy)


def failure_of(path: Path) -> MediaError | None:
    """Show the first frame; the error that says why it cannot be, None when it can."""
    try:
        with DicomSource(path) as source:
            frame = source.frame()
    except MediaError as error:
        return error
    assert frame.pixels.shape == (source.info.height, source.info.width, 3)
    return None
