"""What `vlmtool-cli media` says of names, pipes and files that are not what they are taken for."""

from __future__ import annotations

import io
import os
import struct
import tracemalloc
import zlib
from pathlib import Path

import pydicom
import pytest
from PIL import Image
from pydicom.data import get_testdata_file
from pydicom.dataset import FileMetaDataset
from pydicom.filewriter import write_file_meta_info

from vlmtool_core.cli.main import run_cli
from vlmtool_core.errors import BudgetExceededError
from vlmtool_core.media.dicom import header

LOOKING = (["media", "info"], ["media", "header"], ["media", "render", "-o", "o.png"])


def _refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """What is told on stderr; the call must fail with a reason and a way out."""
    capsys.readouterr()
    assert run_cli(arguments) == 1
    told = capsys.readouterr().err
    assert "nternal error" not in told
    assert "What to do:" in told
    return told


@pytest.mark.parametrize("command", [*LOOKING, ["media", "measure", "--probe", "1,1"]])
def test_names_that_the_system_refuses(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / ("q" * 300)
    assert str(path) in _refused([*command, str(path)], capsys)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes here")
@pytest.mark.parametrize("command", LOOKING)
def test_a_pipe_is_no_file_and_nobody_waits_for_it(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "pipe.dcm"
    os.mkfifo(path)
    assert "not a file" in _refused([*command, str(path)], capsys)


def test_only_dicom_has_the_header_that_is_listed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture = tmp_path / "a.dcm"
    Image.new("RGB", (8, 8)).save(picture, "JPEG")
    assert "no DICOM file" in _refused(["media", "header", str(picture)], capsys)


def test_a_picture_without_pixels_is_not_called_a_report(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dataset = pydicom.dcmread(str(get_testdata_file("CT_small.dcm")))
    del dataset.PixelData
    dataset.save_as(tmp_path / "ct.dcm")
    told = _refused(["media", "render", str(tmp_path / "ct.dcm"), "-o", "o.png"], capsys)
    assert "holds no pixel data" in told
    assert "with its pixel data" in told.partition("What to do:")[2]


def test_a_deflate_bomb_takes_no_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its 64 MB are counted, not kept."""
    monkeypatch.setattr(header, "MAX_INFLATED_BYTES", 32_000_000)
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = header.DEFLATED
    meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.2"
    meta.MediaStorageSOPInstanceUID = "1.2.3"
    stream = io.BytesIO(bytes(128) + b"DICM")
    stream.seek(132)
    write_file_meta_info(stream, meta)
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    pixels = struct.pack("<HH2sHI", 0x7FE0, 0x10, b"OW", 0, 64_000_000) + bytes(64_000_000)
    path = tmp_path / "bomb.dcm"
    path.write_bytes(stream.getvalue() + packer.compress(pixels) + packer.flush())
    header.read_header(Path(str(get_testdata_file("CT_small.dcm"))))  # imports take memory, too
    tracemalloc.start()
    try:
        with pytest.raises(BudgetExceededError, match="inflates to more"):
            header.read_header(path)
        assert tracemalloc.get_traced_memory()[1] < 16_000_000
    finally:
        tracemalloc.stop()
