"""Every transfer syntax: decoded as a second decoder does, or refused for its own reason."""

from __future__ import annotations

import zlib
from pathlib import Path

import imagecodecs
import numpy as np
import pydicom
import pytest
from coded_dicoms import LOSSLESS, even, htj2k, picture, write_coded
from media_dicoms import write_dicom
from pydicom.data import get_testdata_file

from vlmtool_core.errors import DamagedMediaError
from vlmtool_core.media import grey, open_media
from vlmtool_core.media.dicom import codecs
from vlmtool_core.media.dicom.codecs import PixelFormat
from vlmtool_core.media.dicom.header import read_header
from vlmtool_core.media.dicom.pixels import PixelReader
from vlmtool_core.media.dicom.syntaxes import SYNTAXES, decoder_version

JPEG = "1.2.840.10008.1.2.4"
DEFLATED_FRAMES = "1.2.840.10008.1.2.8.1"


def read(path: Path, index: int = 0) -> tuple[np.ndarray, str, str]:
    reader = PixelReader(read_header(path))
    values, photometric = reader.read(index)
    decoder = reader.decoder
    reader.close()
    return values, photometric, decoder


def by_gdcm(path: Path, dtype: type) -> np.ndarray:
    """The whole object by GDCM's own reader, without pydicom."""
    import gdcm

    reader = gdcm.ImageReader()
    reader.SetFileName(str(path))
    assert reader.Read()
    # The binding hands bytes over as text; this is the way back that loses nothing.
    return np.frombuffer(reader.GetImage().GetBuffer().encode("utf-8", "surrogateescape"), dtype)


# 12-bit JPEG ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["JPGExtended.dcm", "JPEG-lossy.dcm"])
def test_12_bit_jpeg_equals_gdcms_decoding(name: str) -> None:
    path = Path(get_testdata_file(name))
    values, _, decoder = read(path)
    assert values.dtype == np.uint16
    assert np.array_equal(values.ravel(), by_gdcm(path, np.uint16))
    assert decoder == f"imagecodecs {imagecodecs.__version__}"


def test_12_bit_jpeg_of_several_frames(tmp_path: Path) -> None:
    stack = np.stack([picture(12, seed=n) for n in range(3)])
    coded = [imagecodecs.jpeg8_encode(one, level=98, bitspersample=12) for one in stack]
    path = write_coded(tmp_path / "a.dcm", stack, f"{JPEG}.51", coded, bits_stored=12)
    reference = by_gdcm(path, np.uint16).reshape(stack.shape)
    for index in (2, 0, 1):
        values = read(path, index)[0]
        assert np.array_equal(values, reference[index])
        assert np.abs(values.astype(int) - stack[index]).max() < 40


@pytest.mark.parametrize("photometric", ["RGB", "YBR_FULL"])
def test_12_bit_jpeg_in_colour_keeps_its_colours(tmp_path: Path, photometric: str) -> None:
    red = np.zeros((16, 24, 3), np.uint16)
    red[..., 0], red[:, 12:, 1] = 4000, 2000
    space = "rgb" if photometric == "RGB" else "ycbcr"
    coded = imagecodecs.jpeg8_encode(
        red, level=99, bitspersample=12, colorspace="rgb", outcolorspace=space, subsampling="444"
    )
    path = write_coded(
        tmp_path / "a.dcm", red, f"{JPEG}.51", [coded], bits_stored=12,
        PhotometricInterpretation=photometric,
    )  # fmt: skip
    values, found, _ = read(path)
    assert found == "RGB"
    assert np.abs(values.astype(int) - red).max() < 120
    with open_media(path) as source:
        assert np.abs(source.frame().pixels[8, 4].astype(int) - (249, 0, 0)).max() < 8


def test_12_bit_jpeg_that_breaks_off_is_damaged_and_not_grey(tmp_path: Path) -> None:
    values = picture(12)
    coded = imagecodecs.jpeg8_encode(values, level=98, bitspersample=12)
    for cut in (2, 4, 100, len(coded) // 2):
        path = write_coded(tmp_path / "a.dcm", values, f"{JPEG}.51", [coded[:-cut]], bits_stored=12)
        with pytest.raises(DamagedMediaError, match="breaks off"):
            read(path)


@pytest.mark.parametrize("number", ["50", "57", "80", "90", "110", "201"])
def test_a_frame_that_breaks_off_is_damaged_whatever_its_coding(
    tmp_path: Path, number: str
) -> None:
    values = picture(8)
    encode = LOSSLESS.get(number, lambda a, _: imagecodecs.jpeg8_encode(a, level=90))
    coded = encode(values, 8)
    for cut in (8, len(coded) // 2):
        path = write_coded(tmp_path / "a.dcm", values, f"{JPEG}.{number}", [coded[:-cut]])
        with pytest.raises(DamagedMediaError):
            read(path)


# Lossless codings ----------------------------------------------------------------------------


@pytest.mark.parametrize("bits", [8, 12, 16])
@pytest.mark.parametrize("number", LOSSLESS)
def test_lossless_codings_give_back_what_was_encoded(
    tmp_path: Path, number: str, bits: int
) -> None:
    stack = np.stack([picture(bits, seed=n) for n in range(2)])
    coded = [LOSSLESS[number](one, bits) for one in stack]
    path = write_coded(tmp_path / "a.dcm", stack, f"{JPEG}.{number}", coded, bits_stored=bits)
    for index in (1, 0):
        values, photometric, decoder = read(path, index)
        assert np.array_equal(values, stack[index])
        assert photometric == "MONOCHROME2"
    first = SYNTAXES[f"{JPEG}.{number}"].choices(bits)[0]
    assert decoder == decoder_version(first)


@pytest.mark.parametrize("number", ["50", "51", "80", "81", "90", "91"])
@pytest.mark.parametrize("bits", [8, 16])
def test_every_decoder_of_a_coding_gives_the_same_pixels(number: str, bits: int) -> None:
    if bits == 16 and number in ("50", "51"):
        bits = 8
    values = picture(bits)
    encoders = {
        "50": lambda: imagecodecs.jpeg8_encode(values, level=95),
        "51": lambda: imagecodecs.jpeg8_encode(values, level=95),
        "81": lambda: imagecodecs.jpegls_encode(values, level=2),
        "91": lambda: imagecodecs.jpeg2k_encode(values, level=60, codecformat="j2k"),
    }
    coded = encoders[number]() if number in encoders else LOSSLESS[number](values, bits)
    shape = PixelFormat(48, 40, 1, bits, bits, signed=False, photometric="MONOCHROME2")
    syntax = SYNTAXES[f"{JPEG}.{number}"]
    decoded = [codecs.decode(one, f"{JPEG}.{number}", coded, shape)[0] for one in syntax.decoders]
    assert len(decoded) == 2
    assert np.array_equal(*decoded)


SAMPLES = [
    "JPEG-LL.dcm",
    "JPGLosslessP14SV1_1s_1f_8b.dcm",
    "SC_rgb_jpeg_gdcm.dcm",
    "MR_small_jp2klossless.dcm",
    "693_J2KR.dcm",
]


@pytest.mark.parametrize("name", SAMPLES)
def test_real_files_equal_the_decoding_of_another_library(name: str) -> None:
    path = Path(get_testdata_file(name))
    dataset = pydicom.dcmread(path)
    frame = next(pydicom.encaps.generate_frames(dataset.PixelData, number_of_frames=1))
    jpeg2000 = ".4.9" in dataset.file_meta.TransferSyntaxUID
    reference = (imagecodecs.jpeg2k_decode if jpeg2000 else imagecodecs.jpegsof3_decode)(frame)
    values = read(path)[0]
    assert np.array_equal(values, reference.astype(values.dtype))


@pytest.mark.parametrize("number", ["57", "110", "201"])
@pytest.mark.parametrize("bits", [12, 16])
def test_signed_values_come_back_with_their_sign(tmp_path: Path, number: str, bits: int) -> None:
    values = picture(bits).astype(np.int32) - 2 ** (bits - 1)
    stored = values.astype(np.int16)
    coded_form = (values & (2**bits - 1)).astype(np.uint16)
    coded = htj2k(stored) if number == "201" else LOSSLESS[number](coded_form, bits)
    path = write_coded(tmp_path / "a.dcm", stored, f"{JPEG}.{number}", [coded], bits_stored=bits)
    with open_media(path) as source:
        behind = grey(source)
        assert behind is not None
        assert np.array_equal(behind.modality_values().data, values)


@pytest.mark.parametrize("number", ["90", "110", "201", "57"])
def test_colour_of_lossless_codings(tmp_path: Path, number: str) -> None:
    colours = np.stack([picture(8, seed=n) for n in range(3)], axis=-1)
    if number in ("57", "70"):
        coded = imagecodecs.jpeg8_encode(
            colours, lossless=True, colorspace="rgb", outcolorspace="rgb"
        )
    else:
        coded = LOSSLESS[number](colours, 8)
    photometric = {"90": "YBR_RCT", "201": "YBR_RCT"}.get(number, "RGB")
    path = write_coded(
        tmp_path / "a.dcm", colours, f"{JPEG}.{number}", [coded],
        PhotometricInterpretation=photometric,
    )  # fmt: skip
    with open_media(path) as source:
        assert np.array_equal(source.frame().pixels, colours)


def test_jpeg_xl_holds_a_recompressed_jpeg(tmp_path: Path) -> None:
    """.111 is a JPEG in JPEG XL's coding: the same picture as the JPEG's, by another decoder."""
    across = np.add.outer(np.zeros(48), np.linspace(40, 200, 40))
    down = np.add.outer(np.linspace(200, 60, 48), np.zeros(40))
    colours = np.stack([across, down, (across + down) / 2], axis=-1).astype(np.uint8)
    jpeg = imagecodecs.jpeg8_encode(colours, level=95, subsampling="444")
    path = write_coded(
        tmp_path / "a.dcm", colours, f"{JPEG}.111", [imagecodecs.jpegxl_encode_jpeg(jpeg)],
        PhotometricInterpretation="YBR_FULL_422",
    )  # fmt: skip
    reference = imagecodecs.jpeg8_decode(jpeg).astype(int)
    assert np.abs(read(path)[0].astype(int) - reference).max() <= 3


# Deflated frames -----------------------------------------------------------------------------


def deflated(data: bytes) -> bytes:
    deflater = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    return deflater.compress(data) + deflater.flush()


@pytest.mark.parametrize("bits", [8, 16])
def test_deflated_frames(tmp_path: Path, bits: int) -> None:
    stack = np.stack([picture(bits, seed=n) for n in range(3)])
    coded = [deflated(one.tobytes()) for one in stack]
    path = write_coded(tmp_path / "a.dcm", stack, DEFLATED_FRAMES, coded)
    for index in (2, 0, 1):
        values, _, decoder = read(path, index)
        assert np.array_equal(values, stack[index])
    assert decoder == f"zlib {zlib.ZLIB_RUNTIME_VERSION}"
    with open_media(path) as source:
        assert source.info.facts["transfer_syntax"] == "Deflated Image Frame Compression"


def test_deflated_frames_of_single_bits(tmp_path: Path) -> None:
    """Each frame begins at a byte of its own; 7 x 9 bits fill no whole byte."""
    stack = (np.random.default_rng(1).random((3, 7, 9)) > 0.5).astype(np.uint8)
    coded = [deflated(np.packbits(one.ravel(), bitorder="little").tobytes()) for one in stack]
    path = write_coded(
        tmp_path / "a.dcm", stack, DEFLATED_FRAMES, coded, bits_stored=1, BitsAllocated=1
    )
    for index in range(3):
        assert np.array_equal(read(path, index)[0], stack[index])


def test_deflated_colour_with_planes(tmp_path: Path) -> None:
    colours = np.stack([picture(8, seed=n) for n in range(3)], axis=-1)
    coded = deflated(np.ascontiguousarray(colours.transpose(2, 0, 1)).tobytes())
    path = write_coded(tmp_path / "a.dcm", colours, DEFLATED_FRAMES, [coded], PlanarConfiguration=1)
    with open_media(path) as source:
        assert np.array_equal(source.frame().pixels, colours)


@pytest.mark.parametrize(("size", "said"), [(10_000_000, "more than"), (100, "100 bytes")])
def test_a_deflated_frame_inflates_to_its_own_size_only(
    tmp_path: Path, size: int, said: str
) -> None:
    path = write_coded(tmp_path / "a.dcm", picture(8), DEFLATED_FRAMES, [deflated(bytes(size))])
    with pytest.raises(DamagedMediaError, match=said):
        read(path)


# Native --------------------------------------------------------------------------------------


def test_native_single_bits_that_do_not_fill_bytes(tmp_path: Path) -> None:
    stack = (np.random.default_rng(2).random((5, 7, 9)) > 0.5).astype(np.uint8)
    path = write_dicom(tmp_path / "a.dcm", stack)
    dataset = pydicom.dcmread(path)
    dataset.BitsAllocated = dataset.BitsStored = 1
    dataset.HighBit = 0
    dataset.PixelData = even(np.packbits(stack.ravel(), bitorder="little").tobytes())
    dataset.save_as(path)
    for index in (4, 0, 3, 1, 2):
        assert np.array_equal(read(path, index)[0], stack[index])


def test_native_frames_that_are_missing_are_named(tmp_path: Path) -> None:
    stack = np.stack([picture(8, seed=n) for n in range(4)])
    path = write_dicom(tmp_path / "a.dcm", stack, NumberOfFrames=6)
    with open_media(path) as source:
        assert any("truncated" in note for note in source.info.warnings)
        assert np.array_equal(PixelReader(read_header(path)).read(3)[0], stack[3])
        with pytest.raises(DamagedMediaError, match=r"frame 5 is missing.*6 frames, 4 are"):
            source.frame(4)


def test_native_frames_beyond_the_stated_ones_are_told(tmp_path: Path) -> None:
    stack = np.stack([picture(8, seed=n) for n in range(4)])
    path = write_dicom(tmp_path / "a.dcm", stack, NumberOfFrames=3)
    with open_media(path) as source:
        assert source.info.frame_count == 3
        assert "the header says 3 frames, the file holds 4" in source.info.warnings
