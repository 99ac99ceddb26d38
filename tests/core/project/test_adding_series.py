"""Projects from before series were split: the item keeps its name, the rest is new beside it."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.uid import generate_uid

from vlmtool_core.media.hashing import sha256_of_item
from vlmtool_core.project import Project
from vlmtool_core.records import MediaKind
from vlmtool_core.store.records import NewItem

KERNELS = ("B30f", "B70f")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A series of two kernels, three slices each."""
    dataset = dcmread(str(get_testdata_file("CT_small.dcm")))
    folder = tmp_path / "ct"
    folder.mkdir()
    for kernel in KERNELS:
        for place in range(3):
            dataset.ConvolutionKernel = kernel
            dataset.SOPInstanceUID = generate_uid()
            dataset.ImagePositionPatient = [0, 0, 5 * place]
            dataset.save_as(folder / f"{kernel}-{place}.dcm")
    return folder


def test_a_series_that_is_split_now_keeps_its_item(tmp_path: Path, folder: Path) -> None:
    files = tuple(sorted(folder.iterdir(), key=lambda path: path.name[-5:]))
    before = NewItem(
        "ct", folder, MediaKind.DICOM, sha256_of_item(folder, files), files, stamp=(1, 1)
    )
    with Project.create(tmp_path / "project") as project:
        (old,) = project.store.items.add_many([before])
        report = project.add([folder])
        assert (report.added, report.changed) == (1, ("ct",))
        items = {item.name: item for item in project.items()}
        assert set(items) == {"ct", "ct#1 (kernel B70f)"}
        assert items["ct"].id == old
        for item, kernel in zip(items.values(), KERNELS, strict=True):
            assert [file.name for file in item.files] == [f"{kernel}-{n}.dcm" for n in range(3)]
        again = project.add([folder])
        assert (again.added, again.unchanged, again.changed) == (0, 2, ())
