"""De-identification end to end: nothing that identifies survives, everything else does."""

from __future__ import annotations

import csv
import hashlib
import json
import struct
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from medical_objects import PIXELS, ROOT, SECRETS, write_object
from pydicom.data import get_testdata_file

from vlmtool_core.api import (
    CancelledError,
    CancelToken,
    MediaNotFoundError,
    UsageError,
    WorkflowContext,
    WorkflowResult,
    open_media,
)
from vlmtool_medical.deidentify.workflow import deidentify_workflow


def deidentify(source: Path, target: Path, **values: Any) -> WorkflowResult:
    context = WorkflowContext(
        (source,), target, {"output": target, **values}, engine=lambda: pytest.fail("no engine")
    )
    return deidentify_workflow().run(context)


def copies(target: Path) -> list[pydicom.Dataset]:
    return [pydicom.dcmread(path) for path in sorted((target / "images").rglob("*.dcm"))]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "Mustermann Erika" / "in"
    write_object(folder / "MRN-778899" / "slice one.dcm", number=1)
    write_object(folder / "MRN-778899" / "b", number=2, AcquisitionTime="101502")
    (folder / "letter to Mustermann.txt").write_text("Dear Mrs Mustermann")
    return folder


def test_nothing_that_identifies_is_left_anywhere(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "out"
    result = deidentify(source, target)
    assert result.failures == ()
    assert "2 files de-identified, 1 not DICOM (not copied), 0 failed. Proof passed" in (
        result.summary
    )
    files = [path for path in target.rglob("*") if path.is_file()]
    assert len(files) == 5
    for path in files:
        data = path.read_bytes()
        for secret in SECRETS:
            assert secret.encode() not in data, (path.name, secret)
            assert secret not in str(path.relative_to(target))
        assert b"slice one" not in data


def test_the_picture_and_its_geometry_are_unchanged(source: Path, tmp_path: Path) -> None:
    deidentify(source, tmp_path / "out")
    original = pydicom.dcmread(source / "MRN-778899" / "slice one.dcm")
    copy = copies(tmp_path / "out")[0]
    assert copy.PixelData == PIXELS.tobytes() == original.PixelData
    for keyword in (
        "Modality", "ImageType", "SOPClassUID", "Rows", "Columns", "PixelSpacing",
        "ImagePositionPatient", "ImageOrientationPatient", "RescaleIntercept", "WindowCenter",
        "BodyPartExamined", "Manufacturer", "InstanceNumber", "StudyTime",
    ):  # fmt: skip
        assert copy[keyword].value == original[keyword].value, keyword
    assert copy.AnatomicRegionSequence[0].CodeMeaning == "Chest"
    with open_media(next((tmp_path / "out" / "images").rglob("00001*.dcm"))) as media:
        assert media.info.unit == "HU"


def test_sources_are_not_touched(source: Path, tmp_path: Path) -> None:
    def state() -> dict[str, tuple[str, int]]:
        return {
            str(path): (hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_mtime_ns)
            for path in source.rglob("*")
            if path.is_file()
        }

    before = state()
    deidentify(source, tmp_path / "out")
    assert state() == before


def test_it_goes_down_into_nested_sequences(source: Path, tmp_path: Path) -> None:
    deidentify(source, tmp_path / "out")
    first, second = copies(tmp_path / "out")
    region = first.AnatomicRegionSequence[0]
    assert region.PersonName == "ANONYMIZED"
    assert not [element for element in region if element.tag.is_private]
    assert "RequestAttributesSequence" not in first
    reference = second.ReferencedImageSequence[0]
    assert reference.ReferencedSOPInstanceUID == first.SOPInstanceUID
    deep = reference.PurposeOfReferenceCodeSequence[0].ReferencedImageSequence[0]
    assert deep.ReferencedSOPInstanceUID == first.SOPInstanceUID
    assert "OtherPatientIDs" not in deep


def test_private_attributes_overlays_and_curves_are_gone(source: Path, tmp_path: Path) -> None:
    deidentify(source, tmp_path / "out")
    for copy in copies(tmp_path / "out"):
        groups = {element.tag.group for element in copy}
        assert not any(group % 2 or 0x5000 <= group <= 0x60FF for group in groups)
        assert copy.preamble == bytes(128)
        assert "SourceApplicationEntityTitle" not in copy.file_meta


def test_uids_are_new_valid_and_the_same_in_every_file(source: Path, tmp_path: Path) -> None:
    deidentify(source, tmp_path / "out")
    first, second = copies(tmp_path / "out")
    for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID"):
        assert first[keyword].value == second[keyword].value
        assert first[keyword].value.startswith("2.25.")
        assert first[keyword].value.is_valid
    assert first.SOPInstanceUID != second.SOPInstanceUID
    assert first.file_meta.MediaStorageSOPInstanceUID == first.SOPInstanceUID
    assert first.SourceImageSequence[0].ReferencedSOPClassUID == "1.2.840.10008.5.1.4.1.1.2"
    assert second.SourceImageSequence[0].ReferencedSOPInstanceUID == first.SOPInstanceUID


def as_date(text: str) -> date:
    return date(int(text[:4]), int(text[4:6]), int(text[6:8]))


def test_dates_of_a_patient_move_together_and_times_stay(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    write_object(folder / "1", number=1, StudyDate="20200101")
    write_object(folder / "2", number=2, StudyDate="20240229", StudyInstanceUID=f"{ROOT}.9")
    write_object(folder / "3", number=3, StudyDate="20200101", PatientID="somebody else")
    deidentify(folder, tmp_path / "out")
    by_number = {copy.InstanceNumber: copy for copy in copies(tmp_path / "out")}
    one, two, other = (by_number[n] for n in (1, 2, 3))
    assert one.PatientID == two.PatientID == one.PatientName
    assert other.PatientID != one.PatientID
    interval = as_date(two.StudyDate) - as_date(one.StudyDate)
    assert interval == date(2024, 2, 29) - date(2020, 1, 1)
    moved = date(2020, 1, 1) - as_date(one.StudyDate)
    assert 366 <= moved.days <= 3650
    assert as_date(other.StudyDate) != as_date(one.StudyDate)
    assert two.StudyTime == "101500"
    assert as_date(two.AcquisitionDateTime) == as_date(two.StudyDate)
    assert two.AcquisitionDateTime[8:] == "101501.5"
    assert one.PatientBirthDate == ""
    assert one.LongitudinalTemporalInformationModified == "MODIFIED"


def test_the_method_is_written_into_each_object(source: Path, tmp_path: Path) -> None:
    deidentify(source, tmp_path / "out", keep_characteristics=True)
    copy = copies(tmp_path / "out")[0]
    assert copy.PatientIdentityRemoved == "YES"
    codes = [code.CodeValue for code in copy.DeidentificationMethodCodeSequence]
    assert codes == ["113100", "113107", "113108"]
    assert copy.PatientSex == "F"
    assert copy.PatientAge == "059Y"


@pytest.mark.parametrize(("age", "kept"), [("089Y", "089Y"), ("090Y", "090Y"), ("104Y", "090Y")])
def test_great_ages_are_capped(tmp_path: Path, age: str, kept: str) -> None:
    write_object(tmp_path / "in" / "a", PatientAge=age)
    result = deidentify(tmp_path / "in", tmp_path / "out", keep_characteristics=True)
    assert result.failures == ()
    assert copies(tmp_path / "out")[0].PatientAge == kept


def test_without_the_option_characteristics_go(source: Path, tmp_path: Path) -> None:
    deidentify(source, tmp_path / "out")
    copy = copies(tmp_path / "out")[0]
    assert copy.PatientSex == ""
    assert "PatientAge" not in copy


@pytest.mark.parametrize(
    "plant",
    [
        {"BodyPartExamined": "MUSTERMANN"},
        {"Manufacturer": "scanned for erika"},
        {"ConvolutionKernel": "MRN-778899"},
        {"WindowCenterWidthExplanation": "29.2. 20240229"},
        {"PixelData": b"xx" + b"Mustermann^Erika" + bytes(110)},
    ],
)
def test_the_proof_catches_a_planted_leak(tmp_path: Path, plant: dict[str, Any]) -> None:
    write_object(tmp_path / "in" / "leaks", number=1, **plant)
    write_object(tmp_path / "in" / "good", number=2)
    result = deidentify(tmp_path / "in", tmp_path / "out")
    assert "Proof FAILED for 1 files" in result.summary
    (failure,) = result.failures
    assert failure.code == "proof-failed"
    assert "Mustermann" not in failure.message
    (copy,) = copies(tmp_path / "out")
    assert copy.InstanceNumber == 2
    report = json.loads((tmp_path / "out" / "report" / "report.json").read_text())
    assert report["run"]["proof"] == "failed"


def test_another_patients_name_is_caught_too(tmp_path: Path) -> None:
    write_object(tmp_path / "in" / "1", number=1)
    write_object(
        tmp_path / "in" / "2",
        number=2,
        PatientName="Nobody",
        PatientID="other-patient",
        Manufacturer="was MRN-778899",
    )
    result = deidentify(tmp_path / "in", tmp_path / "out")
    assert len(result.failures) == 1
    assert len(copies(tmp_path / "out")) == 1


def test_names_in_chinese(tmp_path: Path) -> None:
    for encoding in ("GB18030", "ISO_IR 192"):
        folder = tmp_path / encoding
        write_object(
            folder / "in" / "好",
            SpecificCharacterSet=encoding,
            PatientName="王^小东",
            InstitutionName="北京医院",
        )
        assert deidentify(folder / "in", folder / "out").failures == ()
        data = next((folder / "out" / "images").rglob("*.dcm")).read_bytes()
        assert "王".encode() not in data
        assert "北京医院".encode("gb18030") not in data


def test_a_chinese_leak_is_caught(tmp_path: Path) -> None:
    write_object(
        tmp_path / "in" / "a",
        SpecificCharacterSet="GB18030",
        PatientName="欧阳修文",
        Manufacturer="为 欧阳修文 拍",
    )
    result = deidentify(tmp_path / "in", tmp_path / "out")
    assert [failure.code for failure in result.failures] == ["proof-failed"]


def test_the_report_tells_every_change_without_a_value(source: Path, tmp_path: Path) -> None:
    deidentify(source, tmp_path / "out")
    folder = tmp_path / "out" / "report"
    with (folder / "report.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    report = json.loads((folder / "report.json").read_text())
    assert sum(len(entry["changes"]) for entry in report["files"]) == len(rows)
    names = {row["file"] for row in rows}
    assert all((tmp_path / "out" / name).is_file() for name in names)
    by_keyword = {row["keyword"]: row for row in rows}
    assert by_keyword["PatientName"]["action"] == "replaced"
    assert by_keyword["PatientAddress"]["action"] == "removed"
    assert by_keyword["StudyDate"]["action"] == "date shifted"
    assert by_keyword["SOPInstanceUID"]["action"] == "UID replaced"
    nested = [row for row in rows if row["element"].startswith("(0008,2218)[0].(0040,A123)")]
    assert len(nested) == 2
    assert nested[0]["value_fingerprint"] == nested[1]["value_fingerprint"] != ""
    assert report["run"]["proof"] == "passed"
    assert "PatientName" in (folder / "report.html").read_text()


def test_what_a_person_must_look_at_is_found(tmp_path: Path) -> None:
    write_object(tmp_path / "in" / "1", number=1, Modality="US", BurnedInAnnotation="NO")
    write_object(tmp_path / "in" / "2", number=2, BodyPartExamined="HEAD")
    write_object(tmp_path / "in" / "3", number=3, BurnedInAnnotation="YES")
    write_object(tmp_path / "in" / "4", number=4)
    result = deidentify(tmp_path / "in", tmp_path / "out")
    kinds = sorted((Path(f.path).name[:5], f.kind) for f in result.findings)
    assert kinds == [
        ("00001", "burned-in-text-possible"),
        ("00002", "face-possible"),
        ("00003", "burned-in-text-possible"),
    ]
    assert all(Path(finding.path).is_file() for finding in result.findings)


def test_what_cannot_be_cleaned_is_listed_and_not_copied(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    write_object(folder / "good")
    write_object(folder / "report.dcm", number=2, PixelData=None, Rows=None, Modality="SR")
    write_object(folder / "torn.dcm", number=3)
    (folder / "torn.dcm").write_bytes((folder / "torn.dcm").read_bytes()[:-60])
    (folder / "photo.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    (folder / "empty.dcm").touch()
    result = deidentify(folder, tmp_path / "out")
    failed = {Path(str(failure.path)).name: failure.message for failure in result.failures}
    assert set(failed) == {"report.dcm", "torn.dcm"}
    assert "holds no picture" in failed["report.dcm"]
    foreign = {Path(f.path).name for f in result.findings if f.kind == "not-dicom"}
    assert foreign == {"photo.png", "empty.dcm"}
    assert len(copies(tmp_path / "out")) == 1


def test_a_key_file_makes_later_runs_agree(source: Path, tmp_path: Path) -> None:
    key = tmp_path / "keys" / "study.key"
    deidentify(source, tmp_path / "one", key_file=key)
    deidentify(source, tmp_path / "two", key_file=key)
    deidentify(source, tmp_path / "three")
    names = [
        sorted(str(p.relative_to(tmp_path / run)) for p in (tmp_path / run).rglob("*.dcm"))
        for run in ("one", "two", "three")
    ]
    assert names[0] == names[1] != names[2]
    one, two, three = (copies(tmp_path / run)[0] for run in ("one", "two", "three"))
    assert one.SOPInstanceUID == two.SOPInstanceUID != three.SOPInstanceUID
    assert one.StudyDate == two.StudyDate
    assert key.stat().st_mode & 0o077 == 0


def test_places_that_would_mix_originals_and_copies_are_refused(
    source: Path, tmp_path: Path
) -> None:
    before = sorted(str(path) for path in tmp_path.rglob("*"))
    link = tmp_path / "link"
    full = tmp_path / "full"
    cases = [
        (source, {}),
        (source / "new", {}),
        (source / "MRN-778899" / ".." / "deep", {}),
        (tmp_path / "out", {"key_file": tmp_path / "out" / "key"}),
    ]
    for target, values in cases:
        with pytest.raises(UsageError):
            deidentify(source, target, **values)
    assert sorted(str(path) for path in tmp_path.rglob("*")) == before
    link.symlink_to(source)
    with pytest.raises(UsageError):
        deidentify(source, link / "out")
    full.mkdir()
    (full / "mine.txt").write_text("keep me")
    with pytest.raises(UsageError, match="already there"):
        deidentify(source, full)
    assert (full / "mine.txt").read_text() == "keep me"
    with pytest.raises(MediaNotFoundError):
        deidentify(tmp_path / "nowhere", tmp_path / "out")


def test_cancelling_leaves_nothing_behind(source: Path, tmp_path: Path) -> None:
    cancel = CancelToken()
    cancel.cancel()
    target = tmp_path / "out"
    context = WorkflowContext(
        (source,), target, {"output": target}, engine=lambda: pytest.fail("no"), cancel=cancel
    )
    with pytest.raises(CancelledError):
        deidentify_workflow().run(context)
    assert [path.name for path in tmp_path.iterdir() if "out" in path.name] == []


def test_a_single_file_and_an_empty_output_folder(tmp_path: Path) -> None:
    path = write_object(tmp_path / "one.dcm")
    (tmp_path / "out").mkdir()
    assert deidentify(path, tmp_path / "out").failures == ()
    assert len(copies(tmp_path / "out")) == 1


def test_compressed_frames_are_kept_byte_for_byte(tmp_path: Path) -> None:
    path = write_object(tmp_path / "in" / "a")
    dataset = pydicom.dcmread(path)
    dataset.Rows = dataset.Columns = 64
    dataset.NumberOfFrames = 3
    dataset.PixelData = np.arange(3 * 64 * 64, dtype=np.int16).tobytes()
    dataset.compress(pydicom.uid.RLELossless)
    dataset.save_as(path)
    coded = pydicom.dcmread(path).PixelData
    assert deidentify(tmp_path / "in", tmp_path / "out").failures == ()
    (copy,) = copies(tmp_path / "out")
    assert copy.file_meta.TransferSyntaxUID == pydicom.uid.RLELossless
    assert copy.PixelData == coded
    assert np.array_equal(copy.pixel_array, dataset.pixel_array)


def test_values_that_cannot_be_read_are_removed(tmp_path: Path) -> None:
    path = write_object(tmp_path / "in" / "a", StudyDate="20240229")
    data = path.read_bytes().replace(b"DA\x08\x0020240229", b"DA\x08\x00Muster99", 1)
    path.write_bytes(data)
    result = deidentify(tmp_path / "in", tmp_path / "out")
    assert result.failures == ()
    (copy,) = copies(tmp_path / "out")
    assert b"Muster99" not in next((tmp_path / "out").rglob("*.dcm")).read_bytes()
    assert not copy.get("StudyDate")


@pytest.mark.parametrize("tag", [0x1140, 0x1084])
def test_absurdly_deep_nesting_is_a_listed_failure(tmp_path: Path, tag: int) -> None:
    write_object(tmp_path / "in" / "good", number=2)
    path = write_object(tmp_path / "in" / "deep", number=1, ReferencedImageSequence=None)
    nested = b""
    for _ in range(2000):
        nested = struct.pack("<HHI", 0xFFFE, 0xE000, len(nested)) + nested
        nested = struct.pack("<HH2sHI", 8, tag, b"SQ", 0, len(nested)) + nested
    data = path.read_bytes()
    place = data.index(struct.pack("<HH", 0x0008, 0x2112))
    path.write_bytes(data[:place] + nested + data[place:])
    result = deidentify(tmp_path / "in", tmp_path / "out")
    assert ["nested" in failure.message for failure in result.failures] == [True]
    assert len(copies(tmp_path / "out")) == 1


@pytest.mark.slow
def test_every_installed_object_is_cleaned_and_proven(tmp_path: Path) -> None:
    folder = Path(pydicom.__file__).parent / "data" / "test_files"
    result = deidentify(folder, tmp_path / "out")
    assert "Proof passed" in result.summary
    made = copies(tmp_path / "out")
    assert len(made) >= 90
    assert all(copy.PatientIdentityRemoved == "YES" for copy in made)
    assert all(str(copy.PatientName).startswith("PAT-") for copy in made)


def test_real_objects_are_cleaned_and_proven(shared_data: Path, tmp_path: Path) -> None:
    """A film of odd length, a CT slice and its segmentation; a report is listed, not copied."""
    result = deidentify(shared_data / "dicom", tmp_path / "out")
    assert len(copies(tmp_path / "out")) == 3
    assert [Path(failure.path or "").name for failure in result.failures] == ["sr_document.dcm"]


def test_pixel_data_of_odd_length_is_no_change(tmp_path: Path) -> None:
    dataset = pydicom.dcmread(str(get_testdata_file("CT_small.dcm")))
    dataset.Rows, dataset.Columns, dataset.PixelData = 3, 3, bytes(range(9))
    dataset.BitsAllocated = dataset.BitsStored = 8
    dataset.HighBit = 7
    dataset["PixelData"].VR = "OB"
    (tmp_path / "in").mkdir()
    dataset.save_as(tmp_path / "in" / "odd.dcm")
    result = deidentify(tmp_path / "in", tmp_path / "out")
    assert not result.failures
    assert copies(tmp_path / "out")[0].PixelData[:9] == bytes(range(9))
