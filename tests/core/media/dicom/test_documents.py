"""Documents in DICOM, and objects without pixels: found, and named by what they are."""

from __future__ import annotations

import json
from io import BytesIO
from pathlib import Path

import numpy as np
import pydicom
import pytest
from media_dicoms import write_dicom
from pydicom.data import get_testdata_file

from vlmtool_core.cli.main import run_cli
from vlmtool_core.errors import DamagedMediaError, UnsupportedMediaError
from vlmtool_core.media import open_media, scan
from vlmtool_core.media.dicom.objects import kind_of, storage_class
from vlmtool_core.records import MediaKind

CLASSES = "1.2.840.10008.5.1.4.1.1."
GRADIENT = np.arange(256, dtype=np.uint8).reshape(16, 16)


def pdf_bytes(pages: int = 2) -> bytes:
    from PIL import Image

    drawn = [Image.new("RGB", (300, 200), (250, 40 * n, 0)) for n in range(pages)]
    buffer = BytesIO()
    drawn[0].save(buffer, "PDF", save_all=True, append_images=drawn[1:], resolution=72)
    return buffer.getvalue()


def write_document(
    path: Path, document: bytes, sop: str = "104.1", mime: str = "application/pdf"
) -> Path:
    write_dicom(
        path, None, Modality="DOC", EncapsulatedDocument=document + b"\0" * (len(document) % 2),
        MIMETypeOfEncapsulatedDocument=mime, BurnedInAnnotation="YES",
    )  # fmt: skip
    dataset = pydicom.dcmread(path)
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = CLASSES + sop
    dataset.save_as(path)
    return path


def test_pages_of_an_encapsulated_pdf_are_frames(tmp_path: Path) -> None:
    data = pdf_bytes()
    path = write_document(tmp_path / "report.dcm", data)
    (tmp_path / "plain.pdf").write_bytes(data)
    with open_media(path) as source, open_media(tmp_path / "plain.pdf") as plain:
        info = source.info
        assert (info.kind, info.frame_count) == (MediaKind.DICOM, 2)
        assert info.facts["object"] == "encapsulated PDF"
        assert info.facts["modality"] == "DOC"
        assert info.identifying["PatientName"] == "Doe Jane"
        assert info.group == "P1"
        assert "text that identifies the patient is burned into the picture" in info.warnings
        for page in range(2):
            assert np.array_equal(source.frame(page).pixels, plain.frame(page).pixels)


def test_a_pdf_is_found_as_an_item_and_others_are_named(tmp_path: Path) -> None:
    write_document(tmp_path / "report.dcm", pdf_bytes())
    write_document(tmp_path / "model.dcm", b"solid thing", "104.3", "model/stl")
    write_document(tmp_path / "letter.dcm", b"<ClinicalDocument/>", "104.2", "text/XML")
    write_dicom(tmp_path / "slice.dcm", GRADIENT)
    found = {item.name: item for item in scan([tmp_path])}
    assert found["report.dcm"].kind is MediaKind.DICOM
    assert found["slice.dcm"].kind is MediaKind.DICOM
    for name, words in (("model.dcm", "model (STL)"), ("letter.dcm", "clinical document (CDA)")):
        error = found[name].error
        assert error is not None
        assert error.code == UnsupportedMediaError.code
        assert words in error.message
        assert "PDF" in error.remedy


def test_a_document_that_is_no_pdf_or_missing(tmp_path: Path) -> None:
    other = write_document(tmp_path / "a.dcm", b"PK\3\4 a spreadsheet", mime="application/zip")
    with pytest.raises(UnsupportedMediaError, match=r"no PDF \(application/zip\)"):
        open_media(other)
    empty = write_document(tmp_path / "b.dcm", b"")
    with pytest.raises(DamagedMediaError, match="missing"):
        open_media(empty)
    torn = write_document(tmp_path / "c.dcm", b"%PDF-1.4\n" + bytes(400))
    with pytest.raises(DamagedMediaError):
        open_media(torn)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("rtplan.dcm", "RT plan"),
        ("rtstruct.dcm", "RT structure set"),
        ("test-SR.dcm", "structured report"),
        ("reportsi.dcm", "structured report"),
        ("waveform_ecg.dcm", "waveform (12-lead ECG)"),
    ],
)
def test_objects_without_pixels_are_named_not_damaged(
    name: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = Path(get_testdata_file(name))
    with pytest.raises(UnsupportedMediaError, match="holds no pixel data") as caught:
        open_media(path)
    assert words in caught.value.message
    assert run_cli(["media", "info", str(path), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["object"] == words
    assert told["frame_count"] == 0
    assert told["facts"]["sop_class"].endswith("Storage")
    assert "identifying" not in told


def test_what_a_waveform_and_a_plan_hold(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_cli(["media", "info", str(get_testdata_file("waveform_ecg.dcm")), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)["facts"]
    dataset = pydicom.dcmread(get_testdata_file("waveform_ecg.dcm"))
    assert facts["channels"] == sum(g.NumberOfWaveformChannels for g in dataset.WaveformSequence)
    assert facts["duration_s"] == pytest.approx(10)


def test_media_info_still_fails_for_what_is_no_dicom(tmp_path: Path) -> None:
    (tmp_path / "a.bin").write_bytes(b"nothing that is known" * 9)
    assert run_cli(["media", "info", str(tmp_path / "a.bin")]) != 0


@pytest.mark.parametrize(
    ("uid", "words"),
    [
        (CLASSES + "2", "CT Image"),
        (CLASSES + "88.33", "structured report"),
        (CLASSES + "88.59", "key object selection"),
        (CLASSES + "11.1", "greyscale presentation state"),
        (CLASSES + "11.8", "presentation state"),
        (CLASSES + "481.3", "RT structure set"),
        (CLASSES + "9.1.1", "waveform (12-lead ECG)"),
        (CLASSES + "66.3", "deformable spatial registration"),
        ("1.2.3", "DICOM object"),
        ("", "DICOM object"),
    ],
)
def test_kinds_in_words(uid: str, words: str) -> None:
    assert kind_of(uid) == words


def test_the_storage_class_equals_pydicoms() -> None:
    for name in ("CT_small.dcm", "rtplan.dcm", "test-SR.dcm", "MR_small_bigendian.dcm"):
        path = Path(get_testdata_file(name))
        expected = pydicom.dcmread(path, stop_before_pixels=True).file_meta
        assert storage_class(path) == expected.MediaStorageSOPClassUID
    assert storage_class(Path(get_testdata_file("no_meta.dcm"))) == ""
