"""Scanning: what is found, what is listed as unreadable, and what is passed over."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from media_clips import write_clip
from media_dicoms import write_dicom
from PIL import Image

from vlmtool_core.errors import CancelledError, MediaNotFoundError
from vlmtool_core.jobs import CancelToken, Progress
from vlmtool_core.media import scan
from vlmtool_core.records import MediaKind


def picture(path: Path, shade: int = 90) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (20, 10), (shade, 30, 200)).save(path)
    return path


def names(*paths: Path) -> list[str]:
    return [item.name for item in scan(list(paths))]


def test_an_empty_folder_holds_nothing(tmp_path: Path) -> None:
    assert list(scan([tmp_path])) == []


def test_natural_order_and_recursion(tmp_path: Path) -> None:
    for name in ("img10.png", "img2.png", "IMG1.png", "b/x.png", "a 10/x.png", "a 9/x.png"):
        picture(tmp_path / name)
    assert names(tmp_path) == [
        "IMG1.png", "img2.png", "img10.png", "a 9/x.png", "a 10/x.png", "b/x.png",
    ]  # fmt: skip


def test_kinds_are_told_by_content(tmp_path: Path) -> None:
    picture(tmp_path / "a.png").rename(tmp_path / "a.dat")
    picture(tmp_path / "b.png").rename(tmp_path / "b")
    write_dicom(tmp_path / "c", np.zeros((4, 4), np.uint8))
    write_clip(tmp_path / "d.mp4", 3).rename(tmp_path / "d.jpg")
    kinds = {item.name: item.kind for item in scan([tmp_path])}
    assert kinds == {
        "a.dat": MediaKind.IMAGE,
        "b": MediaKind.IMAGE,
        "c": MediaKind.DICOM,
        "d.jpg": MediaKind.VIDEO,
    }


def test_foreign_files_are_silent_and_broken_media_are_not(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text("a,b\n")
    (tmp_path / "notes.txt").write_text("BMore text than a bitmap\n")
    (tmp_path / "empty.json").touch()
    (tmp_path / ".hidden.jpg").write_text("x")
    picture(tmp_path / ".cache" / "thumb.png")
    picture(tmp_path / "__MACOSX" / "a.png")
    (tmp_path / "text.jpg").write_text("hello")
    (tmp_path / "empty.png").touch()
    (tmp_path / "torn.mp4").write_bytes(b"\x00\x00\x00\x18ftypisom" + bytes(40))
    (tmp_path / "head.dcm").write_bytes(bytes(128) + b"DICM" + b"\x08\x00")
    good = picture(tmp_path / "good.png")
    found = {item.name: item for item in scan([tmp_path])}
    assert set(found) == {"text.jpg", "empty.png", "torn.mp4", "head.dcm", good.name}
    errors = {name: item.error.code for name, item in found.items() if item.error}
    assert errors == {
        "text.jpg": "media-unsupported",
        "empty.png": "media-damaged",
        "torn.mp4": "media-damaged",
        "head.dcm": errors["head.dcm"],
    }
    assert all(found[name].kind is None for name in errors)
    assert all(found[name].error.path and found[name].error.remedy for name in errors)


def test_names_stay_apart(tmp_path: Path) -> None:
    one = picture(tmp_path / "one" / "a.png")
    two = picture(tmp_path / "two" / "a.png")
    picture(tmp_path / "two" / "a.jpg")
    assert names(tmp_path) == ["one/a.png", "two/a.jpg", "two/a.png"]
    assert names(tmp_path / "one", tmp_path / "two") == ["one/a.png", "two/a.jpg", "two/a.png"]
    assert names(one, two) == ["one/a.png", "two/a.png"]
    assert names(one) == ["a.png"]


def test_what_is_named_twice_is_found_once(tmp_path: Path) -> None:
    path = picture(tmp_path / "one" / "a.png")
    assert names(tmp_path, path, tmp_path / "one") == ["one/a.png"]


@pytest.mark.parametrize("name", ["with space", "胸片", "🩻🙂", "percent%20", "quote'\""])
def test_any_folder_name(tmp_path: Path, name: str) -> None:
    picture(tmp_path / name / f"{name}.png")
    assert names(tmp_path) == [f"{name}/{name}.png"]


def test_a_missing_root_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(MediaNotFoundError):
        list(scan([tmp_path / "nowhere"]))


@pytest.fixture
def without_rights() -> Iterator[None]:
    """Not root for the time of the test: root reads everything."""
    if os.name != "posix" or os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_unreadable_files_and_folders_are_listed(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    if os.name != "posix":
        pytest.skip("permissions are a matter of POSIX systems here")
    import vlmtool_core.media.pictures.images
    import vlmtool_core.media.pictures.tiff  # noqa: F401

    picture(tmp_path / "locked.png").chmod(0)
    picture(tmp_path / "closed" / "a.png")
    (tmp_path / "closed").chmod(0)
    picture(tmp_path / "open.png")
    for folder in [tmp_path, *tmp_path.parents]:
        if folder.is_relative_to(tempfile.gettempdir()) and folder != Path(tempfile.gettempdir()):
            folder.chmod(folder.stat().st_mode | 0o755)
    request.getfixturevalue("without_rights")
    try:
        found = {item.name: item for item in scan([tmp_path])}
    finally:
        if os.getuid() == 0:
            os.seteuid(0)
        (tmp_path / "closed").chmod(0o700)
    assert found["open.png"].kind is MediaKind.IMAGE
    for name in ("locked.png", "closed"):
        assert found[name].error is not None
        assert found[name].error.code == "media-not-found"
        assert "ermission" in found[name].error.message


def test_broken_links_and_loops(tmp_path: Path) -> None:
    (tmp_path / "gone.png").symlink_to(tmp_path / "nowhere.png")
    (tmp_path / "loop").symlink_to(tmp_path)
    picture(tmp_path / "a.png")
    found = {item.name: item for item in scan([tmp_path])}
    assert set(found) == {"a.png", "gone.png"}
    assert found["gone.png"].error is not None


def test_cancelling_stops_between_two_files(tmp_path: Path) -> None:
    for number in range(10):
        picture(tmp_path / f"{number}.png")
    cancel = CancelToken()
    found = []

    def stop_after_three() -> None:
        for item in scan([tmp_path], cancel=cancel):
            found.append(item)

    seen: list[Progress] = []
    cancel.cancel()
    with pytest.raises(CancelledError):
        stop_after_three()
    assert found == []
    assert len(list(scan([tmp_path], progress=seen.append))) == 10
    assert seen[-1].done == 10
