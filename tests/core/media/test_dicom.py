"""DICOM display: values against the raw bytes, windows, inversion, colour, lying headers."""

from __future__ import annotations

import csv
import hashlib
import struct
from pathlib import Path

import numpy as np
import pydicom
import pytest
from media_dicoms import sequence_item, write_dicom
from pydicom.data import get_testdata_file
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
)

from vlmtool_core.errors import (
    BudgetExceededError,
    DamagedMediaError,
    UnsupportedMediaError,
)
from vlmtool_core.media import Window, open_media
from vlmtool_core.media.dicom.header import read_header
from vlmtool_core.media.dicom.pixels import PixelReader
from vlmtool_core.media.dicom.source import DicomSource
from vlmtool_core.media.dicom.voi import render_window
from vlmtool_core.settings import Settings, save_settings

GRADIENT = np.arange(256, dtype=np.uint8).reshape(16, 16)


def sample(name: str) -> Path:
    path = get_testdata_file(name)
    if path is None:
        pytest.skip(f"{name} is not installed")
    return Path(path)


def test_ct_values_are_the_raw_bytes_rescaled() -> None:
    path = sample("CT_small.dcm")
    header = read_header(path)
    raw = np.frombuffer(path.read_bytes(), "<i2", 128 * 128, header.offset).reshape(128, 128)
    with DicomSource(path) as source:
        values = source.modality_values()
        assert source.info.unit == "HU"
        assert values.dtype == np.float32
        assert np.array_equal(values.data, raw.astype(np.float32) - 1024)
        assert values.mean() == pytest.approx(raw.mean() - 1024, abs=0.01)
        assert (values.min(), values.max()) == (raw.min() - 1024, raw.max() - 1024)


def test_a_window_acts_on_hounsfield_units() -> None:
    path = sample("CT_small.dcm")
    with DicomSource(path) as source:
        values = source.modality_values()
        bone = Window(480, 2500, "bone")
        frame = source.frame(window=bone)
        assert np.array_equal(frame.pixels[..., 0], render_window(values, bone))
        assert frame.provenance["voi"]["explanation"] == "bone"
        auto = source.frame()
        assert auto.provenance["voi"]["explanation"] == "1-99 percentile"
        low, high = np.percentile(values.data, (1, 99))
        assert source.auto_window().center == pytest.approx((low + high) / 2)
        assert auto.provenance["decoder"].startswith("pydicom 3")


def test_shared_objects_have_the_stated_values(shared_data: Path) -> None:
    with (shared_data / "dicom" / "facts.csv").open() as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        path = shared_data / "dicom" / row["file"]
        if not row["rows"]:
            with pytest.raises(UnsupportedMediaError, match="no pixel data"):
                open_media(path)
            continue
        reader = PixelReader(read_header(path))
        stored, photometric = reader.read(0)
        reader.close()
        assert photometric == row["photometric"]
        assert stored.shape == (int(row["rows"]), int(row["columns"]))
        assert (stored.min(), stored.max()) == (int(row["min"]), int(row["max"]))
        assert stored.mean() == pytest.approx(float(row["mean"]), abs=1e-3)
        kind = {1: "<u1", 8: "<u1", 16: "<i2"}[int(row["bits_stored"])]
        digest = hashlib.sha256(stored.astype(kind).tobytes()).hexdigest()
        assert digest == row["sha256_of_stored_values_le"]


def test_monochrome1_is_shown_inverted(shared_data: Path) -> None:
    with DicomSource(shared_data / "dicom" / "dx_image.dcm") as source:
        values = source.modality_values()
        frame = source.frame()
        assert source.is_inverted()
        assert frame.provenance["inverted"] is True
        # The exposed background is high in the data and must be black on screen.
        assert frame.pixels[..., 0][values.data == values.max()].max() < 5
        brightest = frame.pixels[..., 0].argmax()
        assert values.data.reshape(-1)[brightest] == values.min()


def test_inversion_comes_last(tmp_path: Path) -> None:
    grey = write_dicom(tmp_path / "a.dcm", GRADIENT, WindowCenter=100, WindowWidth=50)
    inverted = write_dicom(
        tmp_path / "b.dcm",
        GRADIENT,
        WindowCenter=100,
        WindowWidth=50,
        PhotometricInterpretation="MONOCHROME1",
    )
    normal = open_media(grey).frame().pixels
    assert np.array_equal(open_media(inverted).frame().pixels, 255 - normal)
    assert np.array_equal(
        DicomSource(grey).modality_values(), DicomSource(inverted).modality_values()
    )


def test_all_windows_of_the_file_are_offered(tmp_path: Path) -> None:
    path = write_dicom(
        tmp_path / "a.dcm",
        GRADIENT,
        WindowCenter=[40, 600, 9],
        WindowWidth=[400, 2800, 0],
        WindowCenterWidthExplanation=["SOFT", "BONE", "BROKEN"],
        VOILUTFunction="SIGMOID",
    )
    with open_media(path) as source:
        assert source.info.windows == (
            Window(40, 400, "SOFT", "SIGMOID"),
            Window(600, 2800, "BONE", "SIGMOID"),
        )
        assert source.frame().provenance["voi"]["center"] == 40


def test_padding_is_left_out_and_black(tmp_path: Path) -> None:
    pixels = np.full((8, 8), -2000, np.int16)
    pixels[2:6, 2:6] = np.arange(16).reshape(4, 4) * 10
    path = write_dicom(
        tmp_path / "a.dcm",
        pixels,
        Modality="CT",
        RescaleSlope=2,
        RescaleIntercept=-100,
        PixelPaddingValue=-2000,
        PixelRepresentation=1,
    )
    with DicomSource(path) as source:
        values = source.modality_values()
        assert values.mask.sum() == 48
        assert values.min() == -100
        assert values.max() == 200
        assert source.auto_window().width < 301
        assert source.frame().pixels[0, 0].tolist() == [0, 0, 0]


def test_bits_above_the_stored_ones_are_dropped(tmp_path: Path) -> None:
    pixels = np.arange(64, dtype=np.uint16).reshape(8, 8) | 0xF000
    path = write_dicom(tmp_path / "a.dcm", pixels, BitsStored=12, HighBit=11)
    assert DicomSource(path).modality_values().max() == 63


def test_signed_values_of_fewer_bits_keep_their_sign(tmp_path: Path) -> None:
    pixels = np.full((8, 8), 0x0FFF, np.int16)  # -1 in 12 bits
    path = write_dicom(tmp_path / "a.dcm", pixels, BitsStored=12, HighBit=11)
    assert DicomSource(path).modality_values().max() == -1


def test_modality_table_in_place_of_rescale() -> None:
    path = sample("mlut_18.dcm")
    dataset = pydicom.dcmread(path)
    item = dataset.ModalityLUTSequence[0]
    count, first, _ = (int(v) for v in item.LUTDescriptor)
    entries = np.asarray(item.LUTData, dtype=np.int64)
    if entries.ndim == 0 or isinstance(item.LUTData, bytes):
        entries = np.frombuffer(item.LUTData, "<u2").astype(np.int64)
    index = np.clip(dataset.pixel_array.astype(np.int64) - first, 0, (count or 65536) - 1)
    with DicomSource(path) as source:
        assert np.array_equal(source.modality_values().data, entries[index].astype(np.float32))


def test_voi_table_goes_before_the_window() -> None:
    path = sample("vlut_04.dcm")
    dataset = pydicom.dcmread(path)
    with DicomSource(path) as source:
        frame = source.frame()
        assert frame.provenance["voi"]["function"] == "TABLE"
        item = dataset.VOILUTSequence[0]
        count, first, bits = (int(v) for v in item.LUTDescriptor)
        entries = np.asarray(item.LUTData, dtype=np.int64)
        first = first - 65536 if first > 32767 and dataset.PixelRepresentation else first
        index = np.clip(source.modality_values().data - first, 0, (count or 65536) - 1)
        expected = np.rint(entries[index.astype(int)] * (255 / (2**bits - 1)))
        assert np.abs(frame.pixels[..., 0] - expected).max() <= 1
        assert source.frame(window=Window(100, 50)).provenance["voi"]["function"] == "LINEAR"


def test_enhanced_objects_use_their_functional_groups() -> None:
    path = sample("eCT_Supplemental.dcm")
    dataset = pydicom.dcmread(path)
    shared = dataset.SharedFunctionalGroupsSequence[0]
    per_frame = dataset.PerFrameFunctionalGroupsSequence
    with DicomSource(path) as source:
        assert source.info.frame_count == 2
        assert source.info.unit == "ml/100ml/s"  # its type of rescaling is unspecified
        for index in range(2):
            group = per_frame[index]
            transform = (
                group.get("PixelValueTransformationSequence")
                or shared.PixelValueTransformationSequence
            )[0]
            stored = dataset.pixel_array[index].astype(np.float32)
            expected = stored * float(transform.RescaleSlope) + float(transform.RescaleIntercept)
            assert np.allclose(source.modality_values(index).data, expected)
            assert source.frame(index).provenance["voi"]["function"] == "LINEAR"


def test_frames_of_an_enhanced_object_may_differ(tmp_path: Path) -> None:
    groups = [
        sequence_item(
            PixelValueTransformationSequence=[
                sequence_item(RescaleSlope=1, RescaleIntercept=-1024 * n, RescaleType="HU")
            ],
            FrameVOILUTSequence=[sequence_item(WindowCenter=10 * n, WindowWidth=100)],
        )
        for n in range(3)
    ]
    stack = np.stack([GRADIENT] * 3)
    path = write_dicom(
        tmp_path / "a.dcm", stack, Modality="CT", PerFrameFunctionalGroupsSequence=groups
    )
    with DicomSource(path) as source:
        assert [source.modality_values(n).min() for n in range(3)] == [0, -1024, -2048]
        assert source.info.windows[0].width == 100
        centers = [f.provenance["voi"]["center"] for f in source.frames()]
        assert centers == [0, 10, 20]


@pytest.mark.parametrize(
    ("name", "reference"),
    [
        ("emri_small_jpeg_2k_lossless.dcm", "emri_small.dcm"),
        ("emri_small_RLE.dcm", "emri_small.dcm"),
        ("emri_small_jpeg_ls_lossless.dcm", "emri_small.dcm"),
        ("emri_small_big_endian.dcm", "emri_small.dcm"),
        ("MR_small_RLE.dcm", "MR_small.dcm"),
        ("MR_small_jp2klossless.dcm", "MR_small.dcm"),
        ("MR_small_bigendian.dcm", "MR_small.dcm"),
        ("MR_small_implicit.dcm", "MR_small.dcm"),
        ("OBXXXX1A_expb_2frame.dcm", "OBXXXX1A_2frame.dcm"),
        ("OBXXXX1A_rle.dcm", "OBXXXX1A.dcm"),
        ("gdcm-US-ALOKA-16_big.dcm", "gdcm-US-ALOKA-16.dcm"),
        ("SC_rgb_rle_16bit_2frame.dcm", "SC_rgb_16bit_2frame.dcm"),
        ("RG1_J2KR.dcm", "RG1_UNCR.dcm"),
    ],
)
def test_every_coding_gives_the_same_picture(name: str, reference: str) -> None:
    with open_media(sample(name)) as coded, open_media(sample(reference)) as plain:
        assert coded.info.frame_count == plain.info.frame_count
        last = (plain.info.frame_count or 1) - 1
        for index in {0, last}:
            assert np.array_equal(coded.frame(index).pixels, plain.frame(index).pixels)


def test_12_bit_jpeg_is_decoded() -> None:
    with DicomSource(sample("JPGExtended.dcm")) as source:
        values = source.modality_values()
    assert (values[420, 140], values[230, 120]) == (244, 95)


def test_colours_are_right() -> None:
    """The SC_rgb family shows the same bars, coded in every way; red is on top."""
    for name in ("SC_rgb.dcm", "SC_rgb_jpeg_dcmtk.dcm", "SC_ybr_full_422_uncompressed.dcm"):
        pixels = open_media(sample(name)).frame().pixels.astype(int)
        assert np.abs(pixels[5, 50] - (255, 0, 0)).max() < 6
        assert np.abs(pixels[95, 50] - (255, 255, 255)).max() < 6


def test_no_gpl_decoder_is_ever_chosen() -> None:
    from vlmtool_core.media.dicom.syntaxes import SYNTAXES, Decoder

    reader = PixelReader(read_header(sample("MR_small_jp2klossless.dcm")))
    reader.read(0)
    assert reader.decoder.startswith("pylibjpeg-openjpeg 2.")
    chosen = {one for syntax in SYNTAXES.values() for one in (*syntax.decoders, *syntax.deep)}
    assert chosen <= set(Decoder)
    assert not any("libjpeg" in one for one in chosen - {Decoder.OPENJPEG, Decoder.PYLIBJPEG_RLE})


@pytest.mark.parametrize("syntax", [RLELossless, JPEG2000Lossless, JPEGLSLossless])
def test_frames_of_compressed_objects_are_read_one_by_one(tmp_path: Path, syntax: str) -> None:
    large = np.kron(GRADIENT, np.ones((4, 4), np.uint8))
    stack = np.stack([large + n for n in range(5)])
    path = write_dicom(tmp_path / "plain.dcm", stack)
    dataset = pydicom.dcmread(path)
    dataset.compress(syntax)
    dataset.save_as(tmp_path / "coded.dcm")
    with DicomSource(tmp_path / "coded.dcm") as source:
        for index in (4, 0, 2):
            assert np.array_equal(source.modality_values(index).data, stack[index])


def test_cine_times_come_from_the_header(tmp_path: Path) -> None:
    stack = np.stack([GRADIENT] * 4)
    even = write_dicom(tmp_path / "a.dcm", stack, FrameTime=40)
    with open_media(even) as source:
        assert [f.time_s for f in source.frames()] == pytest.approx([0, 0.04, 0.08, 0.12])
        assert source.info.rate == pytest.approx(25)
    vector = write_dicom(tmp_path / "b.dcm", stack, FrameTimeVector=[0, 40, 100, 40])
    with open_media(vector) as source:
        assert [f.time_s for f in source.frames()] == pytest.approx([0, 0.04, 0.14, 0.18])


def test_facts_identify_nobody(tmp_path: Path) -> None:
    path = write_dicom(
        tmp_path / "a.dcm",
        GRADIENT,
        BodyPartExamined="CHEST",
        ViewPosition="PA",
        StudyDescription="for Dr Smith",
        InstitutionName="St. Elsewhere",
        Manufacturer="ACME",
    )
    with open_media(path) as source:
        facts = " ".join(str(value) for value in source.info.facts.values())
        assert source.info.facts["body_part"] == "CHEST"
        assert source.info.facts["view"] == "PA"
        for secret in ("Doe", "Jane", "P1", "Smith", "Elsewhere", "ACME"):
            assert secret not in facts
        assert source.info.identifying["PatientName"] == "Doe Jane"
        assert source.info.identifying["InstitutionName"] == "St. Elsewhere"
        assert source.info.group == "P1"


def test_free_text_in_a_code_is_no_fact(tmp_path: Path) -> None:
    path = write_dicom(tmp_path / "a.dcm", GRADIENT, BodyPartExamined="Mr. Jones' knee")
    assert "body_part" not in open_media(path).info.facts


@pytest.mark.parametrize(
    ("elements", "unit"),
    [
        ({"Modality": "CT", "RescaleSlope": 1, "RescaleIntercept": -1024}, "HU"),
        ({"Modality": "CT", "RescaleSlope": 1, "RescaleIntercept": 0, "RescaleType": "US"}, "HU"),
        ({"Modality": "CT"}, ""),
        ({"Modality": "MR", "RescaleSlope": 1, "RescaleIntercept": 0, "RescaleType": "US"}, ""),
        ({"Modality": "PT", "Units": "BQML"}, "BQML"),
        (
            {
                "Modality": "CT",
                "SOPClassUID": "1.2.840.10008.5.1.4.1.1.7",
                "RescaleSlope": 1,
                "RescaleIntercept": -1024,
            },
            "",
        ),
    ],
)
def test_units(tmp_path: Path, elements: dict[str, object], unit: str) -> None:
    path = write_dicom(tmp_path / "a.dcm", GRADIENT, **elements)
    assert open_media(path).info.unit == unit


@pytest.mark.parametrize(
    ("elements", "message"),
    [
        ({"Rows": 60000, "Columns": 60000}, "megapixels"),
        ({"Rows": 20000, "Columns": 20000}, "truncated"),
        ({"NumberOfFrames": 2_000_000_000}, "max_frames"),
        ({"Rows": 0}, "Rows"),
        ({"BitsAllocated": 32, "BitsStored": 32, "HighBit": 31}, "truncated"),
        ({"SamplesPerPixel": 3}, "truncated"),
    ],
)
def test_lying_headers_are_refused_before_anything_is_allocated(
    tmp_path: Path, elements: dict[str, int], message: str
) -> None:
    path = write_dicom(tmp_path / "a.dcm", GRADIENT, **elements)
    with pytest.raises((DamagedMediaError, BudgetExceededError), match=message):
        open_media(path)


def test_no_pixel_data_says_what_it_is(tmp_path: Path) -> None:
    path = write_dicom(tmp_path / "report.dcm", None, Modality="SR")
    with pytest.raises(UnsupportedMediaError, match=r"\(SR\) holds no pixel data"):
        open_media(path)


def test_unknown_codings_are_named(tmp_path: Path) -> None:
    path = write_dicom(tmp_path / "a.dcm", GRADIENT)
    data = path.read_bytes().replace(b"1.2.840.10008.1.2.1\x00", b"1.2.840.10008.9.9.9\x00", 1)
    path.write_bytes(data)
    with pytest.raises(UnsupportedMediaError, match=r"1\.2\.840\.10008\.9\.9\.9"):
        open_media(path)


def test_deflated_objects_open_and_bombs_do_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from vlmtool_core.media.dicom import header as dicom_header

    path = write_dicom(tmp_path / "a.dcm", GRADIENT, transfer_syntax=DeflatedExplicitVRLittleEndian)
    assert np.array_equal(DicomSource(path).modality_values(), GRADIENT)
    monkeypatch.setattr(dicom_header, "MAX_INFLATED_BYTES", 200)
    with pytest.raises(BudgetExceededError, match="inflates"):
        DicomSource(path)


def test_a_torn_deflated_object_is_damaged(tmp_path: Path) -> None:
    path = write_dicom(tmp_path / "a.dcm", GRADIENT, transfer_syntax=DeflatedExplicitVRLittleEndian)
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(DamagedMediaError):
        open_media(path)


def test_an_object_without_preamble_or_meta(tmp_path: Path) -> None:
    path = write_dicom(
        tmp_path / "a.dcm", GRADIENT, transfer_syntax=ImplicitVRLittleEndian, Modality="OT"
    )
    dataset = pydicom.dcmread(path)
    bare = pydicom.Dataset(dataset)
    bare.save_as(tmp_path / "bare", implicit_vr=True, little_endian=True)
    with DicomSource(tmp_path / "bare") as source:
        assert np.array_equal(source.modality_values(), GRADIENT)
    assert open_media(tmp_path / "bare").info.kind == "dicom"


@pytest.mark.parametrize("depth", [100, 1000, 20_000])
def test_deeply_nested_sequences_open_or_are_damaged(tmp_path: Path, depth: int) -> None:
    path = write_dicom(tmp_path / "a.dcm", GRADIENT)
    opening = struct.pack("<HH2sHI", 8, 0x1140, b"SQ", 0, 0xFFFFFFFF)
    opening += struct.pack("<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF)
    closing = struct.pack("<HHIHHI", 0xFFFE, 0xE00D, 0, 0xFFFE, 0xE0DD, 0)
    data = path.read_bytes()
    place = data.index(struct.pack("<HH", 0x0028, 0x0002))
    path.write_bytes(data[:place] + opening * depth + closing * depth + data[place:])
    if depth == 100:
        assert np.array_equal(DicomSource(path).modality_values(), GRADIENT)
    else:
        with pytest.raises(DamagedMediaError):
            open_media(path)


def test_a_budget_for_frames(tmp_path: Path) -> None:
    save_settings(Settings(max_frames=2))
    path = write_dicom(tmp_path / "a.dcm", np.stack([GRADIENT] * 3))
    with pytest.raises(BudgetExceededError, match="max_frames is 2"):
        open_media(path)
