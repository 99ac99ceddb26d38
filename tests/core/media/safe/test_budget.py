"""Files that ask for more than they are: refused from their headers, or stopped while decoding."""

from __future__ import annotations

import struct
import time
import zlib
from pathlib import Path

import numpy as np
import psutil
import pydicom
import pytest
from media_dicoms import sequence_item, write_dicom

from vlmtool_core.errors import BudgetExceededError, DamagedMediaError, MediaError
from vlmtool_core.media import open_media, scan
from vlmtool_core.media.budget import check_memory, current_budget
from vlmtool_core.media.dicom.source import DicomSource
from vlmtool_core.media.safe.plain import is_plain
from vlmtool_core.media.safe.pool import pool, seconds_for
from vlmtool_core.media.safe.source import RemoteSource
from vlmtool_core.settings import Settings, save_settings

GRADIENT = np.arange(64 * 48, dtype=np.uint16).reshape(64, 48)
SPARSE_BYTES = 4 << 30


def refused(path: Path) -> MediaError:
    """The error that opening and decoding the file gives, with what it may cost."""
    process = psutil.Process()
    before, begun = process.memory_info().rss, time.monotonic()
    with pytest.raises(MediaError) as caught, open_media(path) as source:
        source.frame()
    assert process.memory_info().rss - before < 200e6
    assert time.monotonic() - begun < 50
    assert caught.value.path == str(path)
    return caught.value


@pytest.mark.parametrize(
    ("name", "head"),
    [
        ("a.png", b"\x89PNG\r\n\x1a\n"),
        ("a.jpg", b"\xff\xd8\xff\xe0"),
        ("a.tif", b"II*\0\x08\0\0\0"),
        ("a.pdf", b"%PDF-1.4\n"),
        ("a.webp", b"RIFF\xff\xff\xff\xffWEBPVP8 "),
        ("a.mp4", b"\0\0\0\x18ftypisom\0\0\0\0isommp41"),
        ("a.dcm", bytes(128) + b"DICM"),
        ("a.nii", struct.pack("<i", 348) + bytes(340) + b"n+1\0"),
    ],
)
def test_four_gigabytes_of_nothing_are_refused(tmp_path: Path, name: str, head: bytes) -> None:
    save_settings(Settings(decode_seconds=3, decode_memory_mb=512))
    path = tmp_path / name
    with path.open("wb") as file:
        file.write(head)
        file.truncate(SPARSE_BYTES)
    assert refused(path).message


def test_a_dicom_value_of_gigabytes_is_not_read(tmp_path: Path) -> None:
    path = write_dicom(tmp_path / "a.dcm", GRADIENT)
    data = path.read_bytes()
    cut = data.index(struct.pack("<HH", 0x0028, 0x0010))
    lying = struct.pack("<HH2sHI", 0x0021, 0x1001, b"OB", 0, SPARSE_BYTES - (1 << 20))
    with path.open("wb") as file:
        file.write(data[:cut] + lying)
        file.truncate(SPARSE_BYTES)
    assert not is_plain(path)
    assert isinstance(refused(path), BudgetExceededError)


def test_a_deflate_bomb_is_stopped_at_the_memory_limit(tmp_path: Path) -> None:
    save_settings(Settings(decode_memory_mb=256))
    path = write_dicom(tmp_path / "a.dcm", GRADIENT)
    meta_end = path.read_bytes().index(struct.pack("<HH", 0x0008, 0x0016))
    meta = pydicom.dcmread(path).file_meta
    assert meta is not None
    header = path.read_bytes()[:meta_end].replace(
        b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2.1.99"[:20]
    )
    bomb = zlib.compressobj(9, wbits=-15)
    packed = b"".join(bomb.compress(bytes(1 << 24)) for _ in range(100)) + bomb.flush()
    header = _with_syntax(header, b"1.2.840.10008.1.2.1.99")
    path.write_bytes(header + packed)
    error = refused(path)
    assert isinstance(error, BudgetExceededError)
    assert "decode_memory_mb" in f"{error.field} {error.message}" or "inflates" in error.message


def _with_syntax(header: bytes, uid: bytes) -> bytes:
    """The file meta group with another transfer syntax, its lengths corrected."""
    place = header.index(b"\x02\0\x10\0UI")
    (length,) = struct.unpack_from("<H", header, place + 6)
    value = uid + b"\0" * (len(uid) % 2)
    changed = header[: place + 6] + struct.pack("<H", len(value)) + value
    changed += header[place + 8 + length :]
    (group,) = struct.unpack_from("<I", changed, 140)
    return changed[:140] + struct.pack("<I", group + len(value) - length) + changed[144:]


def test_sequences_within_sequences_end_in_an_error(tmp_path: Path) -> None:
    path = write_dicom(tmp_path / "a.dcm", GRADIENT)
    data = path.read_bytes()
    cut = data.index(struct.pack("<HH", 0x0028, 0x0002))
    opened = struct.pack("<HH2sHI", 0x0021, 0x1001, b"SQ", 0, 0xFFFFFFFF)
    opened += struct.pack("<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF)
    path.write_bytes(data[:cut] + opened * 5000 + data[cut:])
    assert not is_plain(path)
    assert refused(path).message


def test_pixels_that_a_header_only_claims_are_not_allocated(tmp_path: Path) -> None:
    for keyword, value in (("Rows", 65535), ("NumberOfFrames", 900_000), ("SamplesPerPixel", 200)):
        path = write_dicom(tmp_path / f"{keyword}.dcm", GRADIENT, **{keyword: value})
        assert isinstance(refused(path), (DamagedMediaError, BudgetExceededError, MediaError))


def test_limits_come_from_the_settings(tmp_path: Path) -> None:
    save_settings(Settings(decode_memory_mb=300, decode_seconds=7))
    budget = current_budget()
    assert (budget.max_memory, budget.max_seconds) == (300_000_000, 7.0)
    with pytest.raises(BudgetExceededError, match="limit decode_memory_mb is 300") as caught:
        check_memory(tmp_path, 400_000_000)
    assert caught.value.field == "decode_memory_mb"
    assert seconds_for(0) == 7.0
    assert seconds_for(2_000_000_000, 100_000_000) > 100


def test_only_what_numpy_reads_alone_stays_in_the_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("VLMTOOL_DECODE", raising=False)
    plain = write_dicom(tmp_path / "grey.dcm", GRADIENT)
    colour = write_dicom(tmp_path / "colour.dcm", np.zeros((8, 8, 3), np.uint8))
    nested = write_dicom(
        tmp_path / "nested.dcm", GRADIENT, ProcedureCodeSequence=[sequence_item(CodeValue="1")]
    )
    coded = Path(str(pydicom.data.get_testdata_file("MR_small_jp2klossless.dcm")))  # type: ignore[attr-defined]
    implicit = Path(str(pydicom.data.get_testdata_file("MR_small_implicit.dcm")))  # type: ignore[attr-defined]
    for path, kind in (
        (plain, DicomSource),
        (nested, DicomSource),
        (colour, RemoteSource),
        (coded, RemoteSource),
    ):
        with open_media(path) as source:
            assert isinstance(source, kind), path
    assert is_plain(implicit)
    assert not is_plain(coded)
    # One slice that has to be decoded takes the whole series to a worker.
    assert is_plain(tmp_path, (plain, nested))
    assert not is_plain(tmp_path, (plain, coded))


def test_every_object_that_counts_as_plain_is_uncompressed_grey() -> None:
    folder = Path(pydicom.data.__file__).parent / "test_files"  # type: ignore[attr-defined]
    native = {"1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2"}
    plain = [path for path in sorted(folder.rglob("*.dcm")) if is_plain(path)]
    assert len(plain) > 10
    for path in plain:
        dataset = pydicom.dcmread(path, stop_before_pixels=True)
        assert dataset.file_meta.TransferSyntaxUID in native
        assert dataset.PhotometricInterpretation in ("MONOCHROME1", "MONOCHROME2")


def test_scanning_starts_no_worker(tmp_path: Path) -> None:
    pool().close()
    write_dicom(tmp_path / "a.dcm", GRADIENT)
    assert len(list(scan([tmp_path]))) == 1
    assert pool().pids == []
