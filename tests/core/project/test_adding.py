"""Taking files in: recognised by content and place, hostile ones listed, nothing ever shared."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vlmtool_core.errors import CancelledError, MediaNotFoundError, UsageError
from vlmtool_core.jobs import CancelToken, Progress
from vlmtool_core.project import AddReport, ItemQuery, Project, adding
from vlmtool_core.records import MediaKind


def picture(path: Path, seed: int = 0, size: tuple[int, int] = (12, 8)) -> Path:
    """A small random picture in the format that its ending names."""
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).integers(0, 255, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(noise).save(path)
    return path


@pytest.fixture
def project(tmp_path: Path):
    with Project.create(tmp_path / "project") as made:
        yield made


@pytest.fixture
def media(tmp_path: Path) -> Path:
    folder = tmp_path / "media"
    folder.mkdir()
    return folder


def names(project: Project) -> list[str]:
    return [item.name for item in project.items()]


def test_pictures_are_taken_in_with_their_facts(project: Project, media: Path) -> None:
    file = picture(media / "sub" / "a.png", size=(12, 8))
    report = project.add([media])
    assert report == AddReport(added=1)
    (item,) = project.items()
    assert (item.name, item.path, item.kind) == ("sub/a.png", file, MediaKind.IMAGE)
    assert (item.width, item.height, item.frame_count, item.group) == (12, 8, 1, "")
    assert len(item.sha256) == 64
    assert project.add([media]) == AddReport(unchanged=1)


def test_names_that_look_alike_stay_apart(project: Project, media: Path) -> None:
    files = ["x/a.jpg", "x/a.png", "y/a.jpg", "a.png", "x/A.png"]
    for seed, name in enumerate(files):
        picture(media / name, seed)
    assert project.add([media]).added == 5
    assert sorted(names(project)) == sorted(files)
    ids = {item.name: item.id for item in project.items()}
    project.set_label([ids["x/a.jpg"]], "cat")
    labelled = project.items(ItemQuery(status="labelled"))
    assert [item.name for item in labelled] == ["x/a.jpg"]


def test_the_same_name_in_two_folders_added_one_by_one(project: Project, tmp_path: Path) -> None:
    for seed, year in enumerate(["2023", "2024", "2025"]):
        picture(tmp_path / year / "scans" / "a.png", seed)
        project.add([tmp_path / year / "scans"])
    assert names(project) == ["2025/scans/a.png", "a.png", "scans/a.png"]
    assert len({item.sha256 for item in project.items()}) == 3


def test_the_same_file_by_two_ways_is_one_item(project: Project, media: Path) -> None:
    file = picture(media / "sub" / "a.png")
    assert project.add([media, media / "sub", file]) == AddReport(added=1)
    assert project.add([media / "sub", file]) == AddReport(unchanged=1)
    assert names(project) == ["sub/a.png"]


def test_names_of_any_language(project: Project, media: Path) -> None:
    file = picture(media / "病人 一" / "😀 é '\"%?#.png")
    assert project.add([media]).added == 1
    assert project.items()[0].path == file
    assert project.find_item("病人 一/😀 é '\"%?#.png").path == file
    assert project.find_item(str(file)).path == file


@pytest.mark.skipif(sys.platform != "linux", reason="file names are bytes on Linux")
def test_a_name_that_is_no_unicode_is_listed(project: Project, media: Path) -> None:
    good = picture(media / "good.png")
    shutil.copy(os.fsencode(good), os.fsencode(media) + b"/bad\xff.png")
    report = project.add([media])
    assert report.added == 1
    (bad,) = report.unreadable
    assert bad.name == "bad\\xff.png"
    assert bad.error is not None
    assert "UTF-8" in bad.error.message
    assert names(project) == ["bad\\xff.png", "good.png"]
    assert project.add([media]).unchanged == 1


def test_duplicates_stay_items_of_their_own(project: Project, media: Path) -> None:
    file = picture(media / "a.png")
    shutil.copy(file, media / "b.png")
    project.add([media / "a.png"])
    report = project.add([media])
    assert (report.added, report.unchanged) == (1, 1)
    assert report.duplicates == (("b.png", "a.png"),)
    first, second = project.items()
    assert first.sha256 == second.sha256
    project.set_label([first.id], "cat")
    assert project.item(second.id).labels == ()


def test_duplicates_within_one_call(project: Project, media: Path) -> None:
    picture(media / "a.png")
    for name in ("b.png", "c.png"):
        shutil.copy(media / "a.png", media / name)
    report = project.add([media])
    assert report.added == 3
    assert set(report.duplicates) == {("b.png", "a.png"), ("c.png", "a.png")}


def test_a_moved_file_is_found_again_with_its_labels(project: Project, media: Path) -> None:
    file = picture(media / "a.png")
    project.add([media], group_by="(a)")
    (item,) = project.items()
    project.set_label([item.id], "cat")
    (media / "new place").mkdir()
    file.rename(media / "new place" / "other name.png")
    report = project.add([media])
    assert report == AddReport(refound=1)
    (moved,) = project.items()
    assert moved.id == item.id
    assert moved.name == "new place/other name.png"
    assert moved.path == media / "new place" / "other name.png"
    assert (moved.labels, moved.group) == (("cat",), "a")


def test_a_whole_folder_that_moved(project: Project, tmp_path: Path) -> None:
    for seed in range(5):
        picture(tmp_path / "old" / f"{seed}.png", seed)
    project.add([tmp_path / "old"])
    (tmp_path / "old").rename(tmp_path / "new")
    assert project.add([tmp_path / "new"]) == AddReport(refound=5)
    assert names(project) == [f"{seed}.png" for seed in range(5)]
    assert all(item.path.exists() for item in project.items())


def test_changed_content_is_reported_and_labels_stay(project: Project, media: Path) -> None:
    picture(media / "a.png", 1)
    project.add([media])
    (before,) = project.items()
    project.set_label([before.id], "cat")
    picture(media / "a.png", 2, size=(20, 20))
    report = project.add([media])
    assert report == AddReport(changed=("a.png",))
    (after,) = project.items()
    assert after.id == before.id
    assert after.sha256 != before.sha256
    assert (after.width, after.labels) == (20, ("cat",))


def hostile(media: Path) -> None:
    picture(media / "good.png")
    (media / "empty.png").touch()
    (media / "text.jpg").write_text("no picture at all")
    whole = (media / "good.png").read_bytes()
    (media / "cut.png").write_bytes(whole[:20])
    (media / "table.csv").write_text("a,b")
    (media / "dangling.png").symlink_to(media / "nothing")


def test_unreadable_files_are_listed_and_stop_nothing(project: Project, media: Path) -> None:
    hostile(media)
    report = project.add([media])
    assert report.added == 1
    bad = {found.name for found in report.unreadable}
    assert bad == {"empty.png", "text.jpg", "cut.png", "dangling.png"}
    for item in project.items(ItemQuery(status="unreadable")):
        assert item.kind is None
        assert item.error is not None
        assert item.error.message
        assert item.error.remedy
    assert project.count(ItemQuery(status="unreadable")) == 4
    assert [ref.item for ref in project.item_refs()] == ["good.png"]
    again = project.add([media])
    assert (again.added, again.unchanged, len(again.unreadable)) == (0, 1, 4)
    assert project.count() == 5


def test_a_file_that_was_broken_and_is_whole_again(project: Project, media: Path) -> None:
    file = picture(media / "a.png")
    project.add([media])
    (item,) = project.items()
    project.set_label([item.id], "cat")
    whole = file.read_bytes()
    file.write_bytes(b"")
    assert [found.name for found in project.add([media]).unreadable] == ["a.png"]
    assert project.item(item.id).kind is None
    assert project.item(item.id).labels == ("cat",)
    file.write_bytes(whole)
    assert project.add([media]) == AddReport(unchanged=1)
    assert project.item(item.id).kind is MediaKind.IMAGE
    assert project.item(item.id).error is None


def test_a_first_broken_then_repaired_file_counts_as_added(project: Project, media: Path) -> None:
    (media / "a.png").touch()
    project.add([media])
    picture(media / "a.png")
    assert project.add([media]) == AddReport(added=1)
    assert project.count() == 1


def test_groups(project: Project, media: Path) -> None:
    for seed, name in enumerate(["p1/a_7.png", "p1/deep/b_8.png", "c_9.png"]):
        picture(media / name, seed)

    def groups() -> dict[str, str]:
        return {item.name: item.group for item in project.items()}

    project.add([media], group_by="folder")
    assert groups() == {"p1/a_7.png": "p1", "p1/deep/b_8.png": "p1/deep", "c_9.png": "media"}
    project.add([media])  # stays as it is
    assert groups()["c_9.png"] == "media"
    project.add([media], group_by=r"^(?P<group>p\d)/(deep)?")
    assert groups() == {"p1/a_7.png": "p1", "p1/deep/b_8.png": "p1", "c_9.png": ""}
    project.add([media], group_by=r"_(\d)")
    assert groups() == {"p1/a_7.png": "7", "p1/deep/b_8.png": "8", "c_9.png": "9"}
    assert project.groups() == ["7", "8", "9"]


@pytest.mark.parametrize("pattern", ["(", "abc", "(a)(b)"])
def test_a_wrong_group_pattern_is_refused_before_anything(
    project: Project, media: Path, pattern: str
) -> None:
    picture(media / "a.png")
    with pytest.raises(UsageError) as caught:
        project.add([media], group_by=pattern)
    assert caught.value.field == "group-by"
    assert project.count() == 0


def test_a_missing_path_is_an_error_before_anything(project: Project, media: Path) -> None:
    picture(media / "a.png")
    with pytest.raises(MediaNotFoundError):
        project.add([media, media / "nothing"])
    assert project.count() == 0


def test_an_empty_folder_is_no_error(project: Project, media: Path) -> None:
    assert project.add([media]) == AddReport()


def test_cancelling_keeps_what_was_done_and_going_on_completes_it(
    project: Project, media: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adding, "CHUNK", 5)
    for seed in range(20):
        picture(media / f"{seed}.png", seed)
    cancel = CancelToken()
    seen: list[Progress] = []

    def stop_early(progress: Progress) -> None:
        seen.append(progress)
        cancel.cancel()

    with pytest.raises(CancelledError):
        project.add([media], progress=stop_early, cancel=cancel)
    assert seen
    assert project.count() == 5
    assert project.add([media]) == AddReport(added=15, unchanged=5)


def test_adding_is_noted_in_the_audit_log(project: Project, media: Path) -> None:
    picture(media / "a.png")
    project.add([media])
    last = project.store.audit.entries()[-1]
    assert (last.kind, last.data["added"]) == ("items.added", 1)
    assert project.store.audit.verify().broken_at is None


def test_two_programs_adding_at_once_lose_and_double_nothing(
    tmp_path: Path, media: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adding, "CHUNK", 3)
    for seed in range(12):
        picture(media / f"{seed}.png", seed)
    with Project.create(tmp_path / "p") as first, Project.open(tmp_path / "p") as second:
        done: list[AddReport] = []

        def meanwhile(_progress: Progress) -> None:
            if not done:
                done.append(second.add([media]))

        report = first.add([media], progress=meanwhile)
        assert done[0].added + report.added == 12
        assert first.count() == 12
        assert len({item.path for item in first.items()}) == 12


def test_real_dicom_is_grouped_by_patient(project: Project, shared_data: Path) -> None:
    report = project.add([shared_data / "dicom"])
    items = {item.name: item for item in project.items()}
    assert items["ct_image.dcm"].kind is MediaKind.DICOM
    assert items["ct_image.dcm"].group != ""
    assert items["ct_image.dcm"].group == items["seg_image_ct_binary_single_frame.dcm"].group
    assert items["dx_image.dcm"].group != items["ct_image.dcm"].group
    assert [found.name for found in report.unreadable] == ["sr_document.dcm"]


def test_a_series_grows(project: Project, media: Path, shared_data: Path) -> None:
    import pydicom
    from pydicom.uid import generate_uid

    base = pydicom.dcmread(shared_data / "dicom" / "ct_image.dcm")

    def slice_at(position: int) -> None:
        base.SOPInstanceUID = generate_uid()
        base.file_meta.MediaStorageSOPInstanceUID = base.SOPInstanceUID
        base.ImagePositionPatient = [0, 0, position]
        base.InstanceNumber = position
        base.save_as(media / f"{position}.dcm")

    for position in (1, 2, 3):
        slice_at(position)
    assert project.add([media]).added == 1
    (item,) = project.items()
    assert (item.frame_count, len(item.files)) == (3, 3)
    project.set_label([item.id], "cat")
    assert project.add([media]) == AddReport(unchanged=1)
    slice_at(4)
    assert project.add([media]) == AddReport(changed=(item.name,))
    (grown,) = project.items()
    assert (grown.id, grown.frame_count, grown.labels) == (item.id, 4, ("cat",))
