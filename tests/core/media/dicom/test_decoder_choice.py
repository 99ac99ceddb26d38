"""What is refused and why, contradictions, and that one decoder decodes all of an object."""

from __future__ import annotations

from pathlib import Path

import imagecodecs
import numpy as np
import pydicom
import pytest
from coded_dicoms import END, LOSSLESS, htj2k, items, picture, save_under, write_coded
from media_dicoms import write_dicom

from vlmtool_core.errors import DamagedMediaError, UnsupportedMediaError
from vlmtool_core.media import open_media
from vlmtool_core.media.dicom.codecs import code_stream_size, jpegxl_pixels
from vlmtool_core.media.dicom.header import read_header
from vlmtool_core.media.dicom.pixels import PixelReader
from vlmtool_core.media.dicom.syntaxes import (
    SYNTAXES,
    Coding,
    Decoder,
    Syntax,
    decoder_version,
    syntax_name,
    syntax_of,
)

JPEG = "1.2.840.10008.1.2.4"


def read(path: Path, index: int = 0) -> tuple[np.ndarray, str, str]:
    reader = PixelReader(read_header(path))
    values, photometric = reader.read(index)
    decoder = reader.decoder
    reader.close()
    return values, photometric, decoder


# Refusals ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("uid", "reason"),
    [
        (f"{JPEG}.92", "part 2"),
        (f"{JPEG}.93", "part 2"),
        (f"{JPEG}.94", "asks no server"),
        (f"{JPEG}.95", "asks no server"),
        (f"{JPEG}.204", "asks no server"),
        (f"{JPEG}.205", "asks no server"),
        (f"{JPEG}.53", "retired"),
        ("1.2.840.10008.1.2.7.1", "SMPTE"),
        ("1.2.840.113619.5.2", "GE's private syntax"),
        ("1.2.3.4.5", "private transfer syntax of a maker"),
        ("1.2.840.10008.1.2.999", "no decoder here"),
    ],
)
def test_what_nothing_decodes_says_why_and_what_to_do(
    tmp_path: Path, uid: str, reason: str
) -> None:
    path = write_coded(tmp_path / "a.dcm", picture(8), uid, [b"\0\0"])
    with pytest.raises(UnsupportedMediaError, match=reason) as caught:
        open_media(path)
    assert uid in caught.value.message
    assert caught.value.remedy
    assert caught.value.path == str(path)


def test_a_jpip_address_is_never_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import socket

    def refuse(*_args: object, **_more: object) -> None:
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    path = write_dicom(tmp_path / "a.dcm", None, Rows=8, Columns=8, BitsAllocated=8)
    dataset = pydicom.dcmread(path)
    dataset.PixelDataProviderURL = "http://203.0.113.7/picture.jp2"
    save_under(path, dataset, f"{JPEG}.94")
    with pytest.raises(UnsupportedMediaError, match="asks no server"):
        open_media(path)


# Contradictions ------------------------------------------------------------------------------


@pytest.mark.parametrize("number", ["50", "57", "80", "90", "110", "201"])
def test_a_code_stream_of_another_size_is_refused_before_it_is_decoded(
    tmp_path: Path, number: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    large = picture(8, rows=96, columns=120)
    encode = LOSSLESS.get(number, lambda a, _: imagecodecs.jpeg8_encode(a, level=90))
    path = write_coded(tmp_path / "a.dcm", picture(8), f"{JPEG}.{number}", [encode(large, 8)])
    with pytest.raises(DamagedMediaError, match="the header says 40 x 48"):
        read(path)


@pytest.mark.parametrize("rows", [1, 8, 40, 48, 300, 1024, 9000])
@pytest.mark.parametrize("columns", [1, 40, 48, 64, 400])
def test_the_size_that_code_streams_state(rows: int, columns: int) -> None:
    values = np.zeros((rows, columns), np.uint8)
    assert jpegxl_pixels(imagecodecs.jpegxl_encode(values)) == rows * columns
    boxed = imagecodecs.jpegxl_encode(values, usecontainer=True)
    assert jpegxl_pixels(boxed) == rows * columns
    assert code_stream_size(imagecodecs.jpeg8_encode(values)) == (rows, columns)
    assert code_stream_size(imagecodecs.jpegls_encode(values)) == (rows, columns)
    assert code_stream_size(imagecodecs.jpeg2k_encode(values, codecformat="j2k")) == (rows, columns)


def test_compressed_syntax_over_bare_pixels_is_told(tmp_path: Path) -> None:
    path = write_dicom(tmp_path / "a.dcm", picture(8))
    dataset = pydicom.dcmread(path)
    save_under(path, dataset, f"{JPEG}.90")
    with pytest.raises(DamagedMediaError, match="lie bare in the file"):
        open_media(path)


# One decoder for an object -------------------------------------------------------------------


def test_the_decoder_is_chosen_by_the_first_frame_whichever_is_read_first(tmp_path: Path) -> None:
    """What only the second choice reads, the second choice reads throughout, and it is told."""
    stack = np.stack([picture(8, seed=n) for n in range(3)])
    plain = [imagecodecs.jpegls_encode(one) for one in stack]
    path = write_coded(tmp_path / "a.dcm", stack, f"{JPEG}.80", plain)
    decoders = set()
    for first in range(3):
        reader = PixelReader(read_header(path))
        reader._syntax = Syntax(Coding.FRAMES, (Decoder.PILLOW, Decoder.PYJPEGLS))
        for index in (first, 0, 2):
            assert np.array_equal(reader.read(index)[0], stack[index])
        decoders.add(reader.decoder)
    pillow, pyjpegls = (decoder_version(one) for one in (Decoder.PILLOW, Decoder.PYJPEGLS))
    assert decoders == {f"{pyjpegls} ({pillow} cannot decode it)"}


def test_a_damaged_frame_does_not_change_the_decoder(tmp_path: Path) -> None:
    stack = np.stack([picture(8, seed=n) for n in range(3)])
    coded = [imagecodecs.jpeg8_encode(one, level=95) for one in stack]
    coded[1] = coded[1][:100]
    path = write_coded(tmp_path / "a.dcm", stack, f"{JPEG}.50", coded)
    reader = PixelReader(read_header(path))
    with pytest.raises(DamagedMediaError):
        reader.read(1)
    assert reader.decoder == decoder_version(SYNTAXES[f"{JPEG}.50"].decoders[0])
    assert np.abs(reader.read(2)[0].astype(int) - stack[2]).max() < 60


def test_provenance_and_facts_name_the_decoder(tmp_path: Path) -> None:
    values = picture(12)
    path = write_coded(tmp_path / "a.dcm", values, f"{JPEG}.201", [htj2k(values)], bits_stored=12)
    with open_media(path) as source:
        expected = decoder_version(SYNTAXES[f"{JPEG}.201"].decoders[0])
        assert source.frame().provenance["decoder"] == expected
        assert source.info.facts["decoder"] == expected
        assert source.frame().provenance["transfer_syntax"] == f"{JPEG}.201"


def test_the_table_holds_every_syntax_of_the_standard() -> None:
    """What pydicom's dictionary calls a transfer syntax is decoded here, or refused by name."""
    from pydicom._uid_dict import UID_dictionary

    named = {uid for uid, entry in UID_dictionary.items() if entry[1] == "Transfer Syntax"}
    images = {uid for uid in named if not uid.startswith("1.2.840.10008.1.2.6")}
    for uid in sorted(images - set(SYNTAXES)):
        with pytest.raises(UnsupportedMediaError) as caught:
            syntax_of(uid, Path("a.dcm"))
        assert "private" not in caught.value.message
        assert caught.value.remedy
    assert {SYNTAXES[uid].coding for uid in images & set(SYNTAXES)} == set(Coding)


def test_items_writer_matches_pydicoms(tmp_path: Path) -> None:
    """The writer that the tests of damage use is right where nothing is damaged."""
    from pydicom.encaps import encapsulate

    assert items([b"ab", b"cdef"], [0, 10]) == encapsulate([b"ab", b"cdef"]) + END


@pytest.mark.parametrize(
    ("elements", "said"),
    [
        ({}, "JPEG Baseline (Process 1) (1.2.840.10008.1.2.4.50) loses"),
        ({"LossyImageCompression": "01"}, "lossy compression"),
        (
            {"LossyImageCompression": "01", "LossyImageCompressionRatio": ["12", "3.5"]},
            "lossy compression 12:1 then 3.5:1",
        ),
    ],
)
def test_every_step_of_a_lossy_chain_is_told(
    tmp_path: Path, elements: dict[str, object], said: str
) -> None:
    """Also of a coding that loses by its nature, where the header says nothing."""
    coded = imagecodecs.jpeg8_encode(picture(8), level=90)
    path = write_coded(tmp_path / "a.dcm", picture(8), f"{JPEG}.50", [coded], **elements)
    with open_media(path) as source:
        (badge,) = [badge for badge in source.info.badges if badge.text.startswith("lossy")]
    assert badge.grave
    assert said in badge.note


def test_a_lossless_coding_is_not_called_lossy(tmp_path: Path) -> None:
    path = write_coded(tmp_path / "a.dcm", picture(8), f"{JPEG}.201", [htj2k(picture(8))])
    with open_media(path) as source:
        assert not any("lossy" in badge.text for badge in source.info.badges)


def test_every_syntax_has_a_name() -> None:
    for uid in SYNTAXES:
        assert syntax_name(uid).endswith(f" ({uid})")
