"""Scanning: what is found, what is listed as unreadable, and what is passed over."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from media_clips import write_clip
from media_dicoms import write_dicom
from PIL import Image
from pydicom.data import get_testdata_file

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


def test_folders_deeper_than_the_interpreter_can_recurse(tmp_path: Path) -> None:
    """About as deep as a path can be called by; each level is entered by a relative name."""
    here = Path.cwd()
    depth = (3900 - len(str(tmp_path))) // 2
    os.chdir(tmp_path)
    try:
        for _ in range(depth):
            os.mkdir("a")  # noqa: PTH102
            os.chdir("a")
        picture(Path("x.png"))
        assert depth > sys.getrecursionlimit() * 1.5
        assert names(tmp_path) == ["a/" * depth + "x.png"]
    finally:
        Path("x.png").unlink(missing_ok=True)  # what tidies up after the tests recurses
        for _ in range(depth):
            os.chdir("..")
            os.rmdir("a")  # noqa: PTH106
        os.chdir(here)


def test_linked_folders_are_walked_once_and_never_in_circles(tmp_path: Path) -> None:
    root = tmp_path / "root"
    picture(root / "real" / "a.png")
    picture(tmp_path / "outside" / "b.png")
    (root / "again").symlink_to(root / "real")
    (root / "down").symlink_to(tmp_path / "outside")
    (root / "up").symlink_to(tmp_path)
    (tmp_path / "outside" / "back").symlink_to(root)
    (root / "one").symlink_to(root / "two")
    (root / "two").symlink_to(root / "one")
    assert names(root) == ["one", "two", "real/a.png", "down/b.png"]
    assert names(root / "down") == ["b.png", "back/one", "back/two", "back/real/a.png"]


def test_thousands_of_files_are_counted_and_can_be_stopped(tmp_path: Path) -> None:
    (tmp_path / "0.txt").write_text("x")
    for number in range(1, 3000):
        os.link(tmp_path / "0.txt", tmp_path / f"{number}.txt")
    picture(tmp_path / "last.png")
    seen: list[Progress] = []
    assert [item.name for item in scan([tmp_path], progress=seen.append)] == ["last.png"]
    assert seen[-1].done == 3001
    assert [p.done for p in seen] == sorted(p.done for p in seen)
    cancel = CancelToken()

    def stop(progress: Progress) -> None:
        assert not cancel.cancelled
        cancel.cancel()

    with pytest.raises(CancelledError):
        list(scan([tmp_path], progress=stop, cancel=cancel))


def sparse(path: Path, head: bytes) -> Path:
    path.write_bytes(head)
    os.truncate(path, 4 << 30)
    return path


def test_sparse_files_of_4_gb_are_listed_without_reading_them(tmp_path: Path) -> None:
    """What is left where a download was cut off: a whole file's size, and zeros."""
    whole = Path(str(get_testdata_file("CT_small.dcm"))).read_bytes()
    heads = {
        "nothing.dcm": b"",
        "preamble.dcm": bytes(128) + b"DICM",
        "beginning.dcm": whole[:400],
        "whole.dcm": whole,
        "archive.zip": b"PK\x03\x04",
        "foreign.bin": b"",
    }
    for name, head in heads.items():
        sparse(tmp_path / name, head)
    found = {item.name: item for item in scan([tmp_path])}
    assert set(found) == {"nothing.dcm", "preamble.dcm", "beginning.dcm", "whole.dcm"}
    assert found["whole.dcm"].kind is MediaKind.DICOM
    for name in ("preamble.dcm", "beginning.dcm"):
        error = found[name].error
        assert error is not None
        assert "zeros where elements should be" in error.message
    (archive,) = scan([tmp_path / "archive.zip"])
    assert archive.error is not None
    assert "cut off" in archive.error.message


def test_a_value_of_gigabytes_is_not_read(tmp_path: Path) -> None:
    meta = bytes(128) + b"DICM" + b"\x02\x00\x10\x00UI\x14\x001.2.840.10008.1.2.1\0"
    length = (3 << 30).to_bytes(4, "little")
    sparse(tmp_path / "a.dcm", meta + b"\x08\x00\x05\x00UT\0\0" + length)
    sparse(tmp_path / "b.dcm", meta + b"\x29\x00\x10\x10UN\0\0" + length)
    for item in scan([tmp_path]):
        assert item.error is not None
        assert item.error.code in ("media-budget", "media-unsupported"), item.error
