"""DICOMDIRs: what they list is found, what is not there is told, and nothing outside is opened."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pydicom
import pytest
from media_dicoms import write_dicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MediaStorageDirectoryStorage, generate_uid

from vlmtool_core.errors import DamagedMediaError, UnsupportedMediaError
from vlmtool_core.media import open_media, scan
from vlmtool_core.media.dicom import dicomdir
from vlmtool_core.project import Project

TREES = Path(pydicom.__file__).parent / "data" / "test_files" / "dicomdirtests"


def write_dicomdir(folder: Path, references: list[list[str]], in_use: int = 0xFFFF) -> Path:
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.MediaStorageSOPClassUID = MediaStorageDirectoryStorage
    dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.FileSetID = "DISC"
    dataset.DirectoryRecordSequence = []
    for parts in references:
        record = Dataset()
        record.DirectoryRecordType = "IMAGE"
        record.RecordInUseFlag = in_use
        record.ReferencedFileID = parts
        dataset.DirectoryRecordSequence.append(record)
    folder.mkdir(parents=True, exist_ok=True)
    dataset.save_as(folder / "DICOMDIR", enforce_file_format=True)
    return folder / "DICOMDIR"


def write_slice(path: Path, place: float) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return write_dicom(
        path,
        np.zeros((4, 4), np.int16),
        ImageOrientationPatient=[1, 0, 0, 0, 1, 0],
        ImagePositionPatient=[0, 0, place],
    )


@pytest.mark.parametrize(
    "name", ["DICOMDIR", "DICOMDIR-bigEnd", "DICOMDIR-implicit", "DICOMDIR-nooffset",
             "DICOMDIR-reordered"],
)  # fmt: skip
def test_the_files_of_a_medium_are_those_of_its_folder(name: str) -> None:
    folders = ("77654033", "98892001", "98892003")
    inside = {item.name: item.files for item in scan([TREES]) if item.name.split("/")[0] in folders}
    listed = {item.name: item.files for item in scan([TREES / name])}
    assert listed == inside
    assert len(listed["77654033/CT2"]) == 4


def test_a_medium_without_files_says_so() -> None:
    (item,) = scan([TREES / "DICOMDIR-empty.dcm"])
    assert item.error is not None
    assert item.error.message == "it holds no picture, DICOM or video"
    with pytest.raises(UnsupportedMediaError, match=r"holds 24 .*77654033/CR1/6154"):
        open_media(TREES / "DICOMDIR")


def test_what_is_not_on_the_medium_is_told(tmp_path: Path) -> None:
    shutil.copytree(TREES, tmp_path / "cd")
    (tmp_path / "cd" / "77654033" / "CR1" / "6154").unlink()
    shutil.rmtree(tmp_path / "cd" / "98892003")
    found = {item.name: item for item in scan([tmp_path / "cd" / "DICOMDIR"])}
    lost = [item for item in found.values() if item.error]
    assert len(lost) == 1 + 17
    assert {item.error.message for item in lost if item.error} == {
        "listed in the DICOMDIR, but not there"
    }
    assert found["77654033/CR1/6154"].error is not None
    assert found["77654033/CT2"].error is None
    with Project.create(tmp_path / "project") as project:
        report = project.add([tmp_path / "cd" / "DICOMDIR"])
        assert (report.added, len(report.unreadable)) == (6, 18)


@pytest.mark.parametrize(
    "name", ["im000001", "IM000001;1", "im000001.;1", "Im000001.", "im000001;2"]
)
def test_names_compare_as_on_a_disc(tmp_path: Path, name: str) -> None:
    write_slice(tmp_path / "cd" / "dicom" / name, 0)
    path = write_dicomdir(tmp_path / "cd", [["DICOM", "IM000001"]])
    (item,) = scan([path])
    assert item.error is None
    assert item.path == tmp_path / "cd" / "dicom" / name
    with open_media(path) as source:
        assert source.info.width == 4


@pytest.mark.parametrize(
    "parts",
    [
        ["..", "secret.dcm"],
        ["DICOM", "..", "..", "secret.dcm"],
        ["", "etc", "passwd"],
        ["/etc/passwd"],
        ["../secret.dcm"],
        ["C:", "secret.dcm"],
        ["."],
        ["A"] * 100,
    ],
)
def test_no_reference_leads_out(tmp_path: Path, parts: list[str]) -> None:
    write_slice(tmp_path / "secret.dcm", 0)
    path = write_dicomdir(tmp_path / "cd", [parts])
    (item,) = scan([path])
    assert item.error is not None
    assert "outside its folder" in item.error.message


def test_no_link_leads_out(tmp_path: Path) -> None:
    write_slice(tmp_path / "secret" / "IM1", 0)
    (tmp_path / "cd").mkdir()
    (tmp_path / "cd" / "DICOM").symlink_to(tmp_path / "secret")
    (item,) = scan([write_dicomdir(tmp_path / "cd", [["DICOM", "IM1"]])])
    assert item.error is not None
    assert "a link leads out" in item.error.message


def test_records_that_are_not_in_use_are_passed_over(tmp_path: Path) -> None:
    write_slice(tmp_path / "IM1", 0)
    (item,) = scan([write_dicomdir(tmp_path, [["IM1"]], in_use=0)])
    assert item.error is not None
    assert "holds no picture" in item.error.message


def test_a_series_in_several_folders_is_one(tmp_path: Path) -> None:
    places = {("A", "IM1"): 0, ("B", "IM1"): 2, ("A", "IM2"): 4, ("B", "IM2"): 6}
    for parts, place in places.items():
        write_slice(tmp_path.joinpath("cd", "DISC", *parts), place)
    path = write_dicomdir(tmp_path / "cd", [["DISC", *parts] for parts in places])
    (item,) = scan([path])
    assert item.name == "DISC"
    assert [file.relative_to(tmp_path / "cd" / "DISC").parts for file in item.files] == [*places]
    with open_media(path) as source:
        assert source.info.facts["slice_spacing_mm"] == 2


def test_damage_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_dicomdir(tmp_path, [["IM1"], ["IM2"]])
    monkeypatch.setattr(dicomdir, "MOST_RECORDS", 1)
    (item,) = scan([path])
    assert item.error is not None
    assert item.error.code == "media-budget"
    dataset = pydicom.dcmread(path)
    del dataset.DirectoryRecordSequence
    dataset.save_as(path)
    with pytest.raises(DamagedMediaError, match="no directory records"):
        dicomdir.listed_files(path)
    data = path.read_bytes()
    for kept in (140, 200, len(data) - 3):
        path.write_bytes(data[:kept])
        assert all(item.error for item in scan([path]))
