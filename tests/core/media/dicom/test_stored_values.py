"""Stored bits, sign and padding, against arithmetic on the bytes of generated objects."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from media_dicoms import write_dicom
from pydicom.data import get_testdata_file
from pydicom.uid import JPEG2000Lossless, JPEGLSLossless, RLELossless

from vlmtool_core.media.dicom.header import read_header
from vlmtool_core.media.dicom.source import DicomSource

PATTERNS = np.arange(4096, dtype=np.uint16).reshape(64, 64)


def _signed(patterns: np.ndarray, bits: int) -> np.ndarray:
    """Two's complement of `bits` bits, written as arithmetic."""
    low = patterns.astype(np.int64) % 2**bits
    return np.where(low >= 2 ** (bits - 1), low - 2**bits, low)


@pytest.mark.parametrize("high", [11, 13, 15])
@pytest.mark.parametrize("signed", [False, True])
def test_stored_bits_lie_where_the_high_bit_says(tmp_path: Path, high: int, signed: bool) -> None:
    shift = high - 11
    garbage = np.uint16((0xFFFF << (high + 1)) & 0xFFFF | (1 << shift) - 1)
    raw = (PATTERNS << shift) | garbage
    path = write_dicom(
        tmp_path / "a.dcm", raw, BitsStored=12, HighBit=high, PixelRepresentation=int(signed)
    )
    expected = _signed(PATTERNS, 12) if signed else PATTERNS
    with DicomSource(path) as source:
        assert np.array_equal(source.stored_values(), expected)
        assert np.array_equal(source.modality_values().data, expected)
        assert not source.stored_values().flags.writeable


@settings(max_examples=30, deadline=None)
@given(st.sampled_from([8, 16, 32]), st.integers(1, 32), st.booleans(), st.randoms())
def test_any_number_of_bits(
    tmp_path_factory: pytest.TempPathFactory,
    allocated: int,
    bits: int,
    signed: bool,
    random: object,
) -> None:
    bits = min(bits, allocated)
    seed = random.randrange(2**32)  # type: ignore[attr-defined]
    raw = np.random.default_rng(seed).integers(0, 2**allocated, (8, 8), dtype=f"u{allocated // 8}")
    path = tmp_path_factory.mktemp("bits") / "a.dcm"
    write_dicom(path, raw, BitsStored=bits, HighBit=bits - 1, PixelRepresentation=int(signed))
    expected = _signed(raw, bits) if signed else raw.astype(np.int64) % 2**bits
    with DicomSource(path) as source:
        assert np.array_equal(source.stored_values().astype(np.int64), expected)


def test_big_endian_words() -> None:
    path = Path(str(get_testdata_file("emri_small_big_endian.dcm")))
    offset = read_header(path).offset + 3 * 64 * 64 * 2
    raw = np.frombuffer(path.read_bytes(), ">u2", 64 * 64, offset).reshape(64, 64)
    with DicomSource(path) as source:
        assert np.array_equal(source.stored_values(3), raw & 0x0FFF)


@pytest.mark.parametrize("syntax", [RLELossless, JPEG2000Lossless, JPEGLSLossless])
@pytest.mark.parametrize("bits", [10, 12, 16])
def test_compressed_values_keep_their_sign(tmp_path: Path, syntax: str, bits: int) -> None:
    steps = np.linspace(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1, 4096).astype(np.int16)
    values = steps.reshape(64, 64)
    plain = write_dicom(tmp_path / "plain.dcm", values, BitsStored=bits, HighBit=bits - 1)
    dataset = pydicom.dcmread(plain)
    dataset.compress(syntax)
    dataset.save_as(tmp_path / "coded.dcm")
    with DicomSource(tmp_path / "coded.dcm") as source:
        assert np.array_equal(source.stored_values(), values)


@pytest.mark.parametrize("syntax", [JPEG2000Lossless, JPEGLSLossless])
def test_a_header_with_too_few_bits_loses_to_the_code_stream(tmp_path: Path, syntax: str) -> None:
    plain = write_dicom(tmp_path / "plain.dcm", PATTERNS, BitsStored=12, HighBit=11)
    dataset = pydicom.dcmread(plain)
    dataset.compress(syntax)
    dataset.BitsStored, dataset.HighBit = 8, 7
    dataset.save_as(tmp_path / "coded.dcm")
    with DicomSource(tmp_path / "coded.dcm") as source:
        assert np.array_equal(source.stored_values(), PATTERNS)


@pytest.mark.parametrize(
    ("bits", "high"), [(40, 39), (0, 0), (16, 3), (12, 90)], ids=["many", "none", "low", "far"]
)
def test_bits_that_cannot_be_are_taken_for_what_is_allocated(
    tmp_path: Path, bits: int, high: int
) -> None:
    path = write_dicom(tmp_path / "a.dcm", PATTERNS, BitsStored=bits, HighBit=high)
    with DicomSource(path) as source:
        assert np.array_equal(source.stored_values(), PATTERNS)


def test_single_bits_of_frames_that_begin_within_a_byte(tmp_path: Path) -> None:
    frames = np.random.default_rng(1).integers(0, 2, (5, 3, 5), np.uint8)
    path = write_dicom(tmp_path / "a.dcm", frames, BitsAllocated=1, BitsStored=1, HighBit=0)
    dataset = pydicom.dcmread(path)
    packed = np.packbits(frames.reshape(-1), bitorder="little").tobytes()
    dataset.PixelData = packed + b"\0" * (len(packed) % 2)
    dataset.save_as(path)
    with DicomSource(path) as source:
        for index in (4, 0, 2):
            assert np.array_equal(source.stored_values(index), frames[index])


# Padding --------------------------------------------------------------------------------------

RAMP = np.arange(-32, 32, dtype=np.int16).reshape(8, 8)


@pytest.mark.parametrize(
    ("pixels", "value", "limit", "padded"),
    [
        (RAMP, -32, None, [-32]),
        (RAMP, 65536 - 32, None, [-32]),  # the other sign
        (RAMP, -32, -30, [-32, -31, -30]),
        (RAMP, -30, -32, [-32, -31, -30]),  # the other way round
        (RAMP.astype(np.uint16) % 64, 63, None, [63]),
        (RAMP.astype(np.uint16) % 64, 60, 63, [60, 61, 62, 63]),
        (np.where(RAMP < -31, 63536, RAMP + 32).astype(np.uint16), -2000, None, [63536]),
        (RAMP, 9000, None, []),
    ],
)
def test_padding_is_told_by_stored_values(
    tmp_path: Path, pixels: np.ndarray, value: int, limit: int | None, padded: list[int]
) -> None:
    path = write_dicom(
        tmp_path / "a.dcm", pixels, Modality="CT", RescaleSlope=2, RescaleIntercept=-1000
    )
    dataset = pydicom.dcmread(path)
    for tag, number in ((0x00280120, value), (0x00280121, limit)):
        if number is not None:
            dataset.add_new(tag, "SS" if number < 0 else "US", number)
    dataset.save_as(path)
    with DicomSource(path) as source:
        values = source.modality_values()
        mask = np.ma.getmaskarray(values)
        assert sorted(pixels[mask].tolist()) == padded
        assert np.array_equal(values.data, pixels * 2.0 - 1000)
        kept = pixels[~np.isin(pixels, padded)] * 2.0 - 1000
        assert values.mean() == pytest.approx(kept.mean())
        window = source.auto_window()
        low, high = np.percentile(kept, (1, 99))
        assert (window.center, window.width) == pytest.approx(((low + high) / 2, high - low))
        shown = source.frame().pixels[..., 0]
        assert not shown[mask].any()


def test_padding_beyond_the_stored_bits(tmp_path: Path) -> None:
    pixels = np.full((4, 4), 0xF830, np.uint16)
    pixels[1:3, 1:3] = [[0x830, 5], [6, 7]]
    path = write_dicom(
        tmp_path / "a.dcm", pixels, BitsStored=12, HighBit=11, PixelPaddingValue=0xF830
    )
    with DicomSource(path) as source:
        values = source.modality_values()
        assert values.compressed().tolist() == [0x830, 5, 6, 7]


def test_padding_stays_black_in_a_picture_that_is_inverted(tmp_path: Path) -> None:
    path = write_dicom(
        tmp_path / "a.dcm",
        RAMP,
        PixelPaddingValue=-32,
        PhotometricInterpretation="MONOCHROME1",
        WindowCenter=0,
        WindowWidth=40,
    )
    with DicomSource(path) as source:
        shown = source.frame().pixels[..., 0]
        assert shown[0, 0] == 0
        assert shown[0, 1] == 255


# Values of known files --------------------------------------------------------------------------


def test_statistics_of_ct_small_are_those_of_its_bytes() -> None:
    path = Path(str(get_testdata_file("CT_small.dcm")))
    raw = np.frombuffer(path.read_bytes(), "<i2", 128 * 128, read_header(path).offset)
    units = raw.reshape(128, 128).astype(np.float64) - 1024
    box = (slice(40, 90), slice(30, 100))
    with DicomSource(path) as source:
        values = source.modality_values()
        assert source.info.unit == "HU"
        padding = raw.reshape(128, 128) == -2000
        assert np.array_equal(np.ma.getmaskarray(values), padding)
        for got, expected in ((values, units[~padding]), (values[box], units[box])):
            assert got.count() == expected.size
            assert got.mean(dtype=np.float64) == pytest.approx(expected.mean(), abs=1e-9)
            assert got.std(dtype=np.float64) == pytest.approx(expected.std(), abs=1e-6)
            assert (got.min(), got.max()) == (expected.min(), expected.max())


@pytest.mark.parametrize(
    ("keyword", "kind", "padding"),
    [
        ("FloatPixelData", "<f4", "FloatPixelPaddingValue"),
        ("DoubleFloatPixelData", "<f8", "DoubleFloatPixelPaddingValue"),
    ],
)
def test_pixels_in_floating_point(tmp_path: Path, keyword: str, kind: str, padding: str) -> None:
    pixels = (np.arange(64).reshape(8, 8) / 7 - 3).astype(kind)
    pixels[0, :3] = np.nan, np.inf, -99
    path = write_dicom(
        tmp_path / "a.dcm",
        pixels,
        PixelRepresentation=None,
        BitsStored=None,
        HighBit=None,
        PixelData=None,
        **{keyword: pixels.tobytes(), padding: -99.0},
    )
    with DicomSource(path) as source:
        values = source.modality_values()
        assert values.dtype == np.float32
        assert np.ma.getmaskarray(values).sum() == 3
        assert np.array_equal(values.compressed(), pixels.reshape(-1)[3:].astype(np.float32))
        assert not source.frame().pixels[0, :3].any()
        assert source.frame().pixels[7, 7, 0] == 255


def test_a_dose_grid_is_scaled() -> None:
    path = Path(str(get_testdata_file("rtdose.dcm")))
    dataset = pydicom.dcmread(path)
    expected = dataset.pixel_array * float(dataset.DoseGridScaling)
    with DicomSource(path) as source:
        assert source.info.unit == dataset.DoseUnits == "RELATIVE"
        for index in (0, 14):
            assert np.allclose(source.modality_values(index), expected[index], rtol=1e-6)
