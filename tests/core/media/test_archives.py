"""Zip archives: opened like folders, bounded before and while they are inflated, never escaped."""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
import struct
import subprocess
import sys
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from media_dicoms import write_dicom
from PIL import Image
from pydicom.uid import generate_uid

from vlmtool_core import paths
from vlmtool_core.batch.folder import items_of
from vlmtool_core.errors import (
    BudgetExceededError,
    CancelledError,
    MediaError,
    MediaNotFoundError,
    StorageError,
    UnsupportedMediaError,
    UsageError,
)
from vlmtool_core.jobs import CancelToken
from vlmtool_core.media import archives, open_media, scan
from vlmtool_core.media.archives import is_there, located, open_archive
from vlmtool_core.media.hashing import sha256_of
from vlmtool_core.project import Project
from vlmtool_core.records import MediaKind
from vlmtool_core.settings import Settings, fix_settings


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("VLMTOOL_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def png(shade: int = 90) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (20, 10), (shade, 30, 200)).save(buffer, "PNG")
    return buffer.getvalue()


def zipped(path: Path, files: Mapping[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    path.parent.mkdir(exist_ok=True)
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in files.items():
            archive.writestr(zipfile.ZipInfo(name), data, method)
    return path


def slices(tmp_path: Path, count: int = 4) -> dict[str, bytes]:
    found = {}
    for number in range(count):
        path = write_dicom(
            tmp_path / "slice",
            np.full((8, 8), number, np.int16),
            Modality="CT",
            RescaleSlope=1,
            RescaleIntercept=-1000,
            ImageOrientationPatient=[1, 0, 0, 0, 1, 0],
            ImagePositionPatient=[0, 0, 2.0 * number],
        )
        found[f"study/ct/IM{count - number}"] = path.read_bytes()
    return found


def names(path: Path) -> dict[str, str]:
    return {i.name: i.error.message if i.error else str(i.kind) for i in scan([path])}


def test_an_archive_is_looked_into_like_a_folder(tmp_path: Path) -> None:
    files = {"a.png": png(), "b/c.png": png(1), "notes.txt": b"nothing", **slices(tmp_path)}
    path = zipped(tmp_path / "X.zip", files)
    assert names(path) == {
        "X.zip/a.png": "image",
        "X.zip/b/c.png": "image",
        "X.zip/study/ct": "dicom",
    }
    (series,) = (item for item in scan([path]) if item.files)
    with open_media(series.path, series.files) as source:
        values = [source.modality_values(n).mean() for n in range(4)]
    assert values == [-1000, -999, -998, -997]
    with open_media(path / "b" / "c.png") as source:
        assert source.frame().pixels[0, 0].tolist() == [1, 30, 200]
    with open_media(path / "study" / "ct") as source:
        assert source.info.frame_count == 4
    assert sha256_of(path / "a.png") == sha256_of(located(path / "a.png"))


def test_an_archive_of_one_item_is_that_item(tmp_path: Path) -> None:
    with open_media(zipped(tmp_path / "one", slices(tmp_path))) as source:
        assert source.info.frame_count == 4
    several = zipped(tmp_path / "two.zip", {"a.png": png(), "b.png": png()})
    with pytest.raises(UnsupportedMediaError, match=r"holds 2 .*two\.zip/a\.png") as caught:
        open_media(several)
    assert str(several / "a.png") in caught.value.remedy


@pytest.mark.parametrize("files", [{}, {"notes.txt": b"text"}, {"deep/er/": b""}])
def test_an_archive_without_media_says_so(tmp_path: Path, files: dict[str, bytes]) -> None:
    path = zipped(tmp_path / "X.zip", files)
    assert names(path) == {"X.zip": "it holds no picture, DICOM or video"}
    with pytest.raises(UnsupportedMediaError, match="holds no picture"):
        open_media(path)


def test_archives_in_folders_are_left_alone(tmp_path: Path) -> None:
    zipped(tmp_path / "folder.zip", {"a.png": png()})
    (tmp_path / "b.png").write_bytes(png())
    assert names(tmp_path) == {"b.png": "image"}


def test_a_run_takes_an_archive_and_tells_of_those_in_a_folder(tmp_path: Path) -> None:
    path = zipped(tmp_path / "in" / "X.zip", {"a.png": png(), **slices(tmp_path)})
    found = {item.item: (item.kind, len(item.files)) for item in items_of(path)}
    assert found == {
        "X.zip/a.png": (MediaKind.IMAGE, 0),
        "X.zip/study/ct": (MediaKind.DICOM, 4),
    }
    with pytest.raises(UsageError) as caught:
        items_of(path.parent)
    assert str(path) in caught.value.remedy


def test_hidden_files_and_what_macs_add_are_left_out(tmp_path: Path) -> None:
    files = {".thumb.png": png(), "__MACOSX/._a.png": png(), "a.png": png(), "d/.x/b.png": png()}
    assert names(zipped(tmp_path / "X.zip", files)) == {"X.zip/a.png": "image"}


@pytest.mark.parametrize(
    "name",
    ["../out.png", "a/../../out.png", "/etc/out.png", "C:/out.png", "a//b.png", "..\\out.png"],
)
def test_names_that_lead_out_are_refused(tmp_path: Path, name: str) -> None:
    path = zipped(tmp_path / "X.zip", {name: png(), "good.png": png()})
    found = names(path)
    assert found.pop("X.zip/good.png") == "image"
    (message,) = found.values()
    assert "its name leads out of the archive" in message
    inside = {p.resolve() for p in (tmp_path / "home").rglob("*.png")}
    assert {p.resolve() for p in tmp_path.rglob("*.png")} == inside


def test_links_and_names_given_twice_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "X.zip"
    link = zipfile.ZipInfo("link.png")
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(link, "/etc/passwd")
        archive.writestr("a.png", png(1))
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("a.png", png(2))
    found = names(path)
    assert found.pop("X.zip/a.png") == "image"
    assert sorted(found.values()) == [
        "a.png in the archive: not opened, its name is there twice",
        "link.png in the archive: not opened, it is a link",
    ]


def test_encrypted_files_are_refused_by_their_number(tmp_path: Path) -> None:
    path = zipped(tmp_path / "X.zip", {f"{n}.png": png(n) for n in range(3)})
    data = bytearray(path.read_bytes())
    for place in range(len(data) - 4):  # what an archiver sets for a password
        if data[place : place + 4] == b"PK\x03\x04":
            data[place + 6] |= 1
        elif data[place : place + 4] == b"PK\x01\x02":
            data[place + 8] |= 1
    path.write_bytes(data)
    assert names(path) == {
        "X.zip/0.png": "0.png and 2 more in the archive: not opened, it is encrypted"
    }
    with pytest.raises(UnsupportedMediaError, match="encrypted"):
        open_media(path)
    with pytest.raises(MediaNotFoundError, match="encrypted"):
        open_media(path / "1.png")


@pytest.mark.parametrize(
    ("method", "name"), [(zipfile.ZIP_BZIP2, "bzip2"), (zipfile.ZIP_LZMA, "LZMA")]
)
def test_other_compressions_are_named(tmp_path: Path, method: int, name: str) -> None:
    (message,) = names(zipped(tmp_path / "X.zip", {"a.png": png()}, method)).values()
    assert f"its compression ({name}) is not supported" in message


def test_archives_in_archives_are_not_opened(tmp_path: Path) -> None:
    inner = zipped(tmp_path / "in.zip", {"a.png": png()})
    found = names(zipped(tmp_path / "X.zip", {"in.zip": inner.read_bytes(), "b.png": png()}))
    assert found.pop("X.zip/b.png") == "image"
    assert found == {
        "X.zip/in.zip": "in.zip in the archive: not opened, archives in an archive are not opened"
    }
    with Project.create(tmp_path / "project") as project:
        for _ in range(3):  # what is refused does not become more
            report = project.add([tmp_path / "X.zip"])
            assert len(report.unreadable) == 1
            assert project.count() == 2


# Bombs ---------------------------------------------------------------------------------------


def patched(path: Path, signature: bytes, offset: int, value: bytes) -> None:
    """Overwrite a field in every record of a kind."""
    data = bytearray(path.read_bytes())
    place = data.find(signature)
    while place >= 0:
        data[place + offset : place + offset + len(value)] = value
        place = data.find(signature, place + 4)
    path.write_bytes(data)


def test_a_directory_that_promises_too_much_is_refused_unread(tmp_path: Path, home: Path) -> None:
    path = zipped(tmp_path / "X.zip", {f"{n}.dcm": bytes(1000) for n in range(30)})
    patched(path, b"PK\x01\x02", 24, struct.pack("<I", 3_000_000_000))
    with pytest.raises(BudgetExceededError, match="max_archive_mb"):
        open_archive(path)
    assert "max_archive_mb" in next(iter(names(path).values()))
    assert not home.exists()


def test_a_ratio_that_only_bombs_have_is_refused(tmp_path: Path) -> None:
    path = zipped(tmp_path / "X.zip", {"a.dcm": bytes(100_000)})
    patched(path, b"PK\x01\x02", 24, struct.pack("<I", 1_500_000_000))
    with pytest.raises(BudgetExceededError, match="times its size"):
        open_archive(path)


def test_files_that_overlap_are_refused(tmp_path: Path) -> None:
    """Fifield's bomb: many entries for the same compressed bytes."""
    path = zipped(tmp_path / "X.zip", {"a.dcm": os.urandom(50_000)})
    data = path.read_bytes()
    start = data.index(b"PK\x01\x02")
    end = data.index(b"PK\x05\x06")
    entry = data[start:end]
    count = 200
    entries = b"".join(entry.replace(b"a.dcm", b"%05d" % n) for n in range(count))
    tail = struct.pack("<4s4H2IH", b"PK\x05\x06", 0, 0, count, count, len(entries), start, 0)
    path.write_bytes(data[:start] + entries + tail)
    with pytest.raises(BudgetExceededError, match="overlap"):
        open_archive(path)


def test_too_many_entries_are_refused_before_the_directory_is_read(tmp_path: Path) -> None:
    path = zipped(tmp_path / "X.zip", {"a.png": png()})
    data = path.read_bytes()
    place = data.index(b"PK\x05\x06")
    record = struct.pack("<4sQ2H2I4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, *(4_000_000_000,) * 2, 1, 0)
    locator = struct.pack("<4sIQI", b"PK\x06\x07", 0, place, 1)
    path.write_bytes(data[:place] + record + locator + data[place:])
    with pytest.raises(BudgetExceededError, match="4000000000 entries"):
        open_archive(path)


def test_what_inflates_to_more_than_stated_stops_there(tmp_path: Path, home: Path) -> None:
    path = zipped(tmp_path / "X.zip", {"a.png": png() + bytes(50_000_000)})
    patched(path, b"PK\x01\x02", 24, struct.pack("<I", 100_000))
    with pytest.raises(BudgetExceededError, match="inflates to more than the 100000 bytes"):
        located(path / "a.png")
    assert [p for p in home.rglob("*") if p.is_file()] == []


def test_damage_is_told_of_the_file_it_is_in(tmp_path: Path) -> None:
    files = {"a.png": png(1), "b.png": png(2)}
    path = zipped(tmp_path / "X.zip", files, zipfile.ZIP_STORED)
    data = bytearray(path.read_bytes())
    data[data.index(b"IHDR") + 8] ^= 0xFF
    path.write_bytes(data)
    found = {item.name: item.error for item in scan([path])}
    assert found["X.zip/b.png"] is None
    assert found["X.zip/a.png"] is not None
    assert found["X.zip/a.png"].code == "media-damaged"
    assert found["X.zip/a.png"].path == str(path / "a.png")


@pytest.mark.parametrize("kept", [0, 3, 25, 200, -1, -23])
def test_a_cut_archive_is_an_error(tmp_path: Path, kept: int) -> None:
    path = zipped(tmp_path / "X.zip", {"a.png": png(), "b.png": png()})
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(MediaError):
        open_media(path)
    assert all(item.error is not None for item in scan([path]))


def test_mutated_archives_never_hang_crash_or_escape(tmp_path: Path, home: Path) -> None:
    whole = zipped(tmp_path / "whole.zip", {"a.png": png(), "b/c.png": png(), "d": b"x" * 300})
    data = whole.read_bytes()
    generator = np.random.default_rng(4)
    path = tmp_path / "X.zip"
    before = {p for p in tmp_path.rglob("*") if home not in p.parents}
    for _ in range(200):
        changed = bytearray(data)
        for place in generator.integers(4, len(data), generator.integers(1, 6)):
            changed[place] = generator.integers(0, 256)
        path.write_bytes(changed)
        for member in ("a.png", "b/c.png", "d"):
            with suppress(MediaError, StorageError):
                assert located(path / member).is_relative_to(home)
    after = {p for p in tmp_path.rglob("*") if home not in p.parents}
    assert after - before <= {path, home}


# The cache -----------------------------------------------------------------------------------


def test_what_is_inflated_once_is_used_again(tmp_path: Path) -> None:
    path = zipped(tmp_path / "X.zip", {"a.png": png()})
    first = located(path / "a.png")
    stamp = first.stat().st_mtime_ns, first.stat().st_ino
    assert located(path / "a.png") == first
    assert (first.stat().st_mtime_ns, first.stat().st_ino) == stamp
    first.write_bytes(bytes(first.stat().st_size))  # as a crash of the machine may leave it
    archives._archive.cache_clear()
    assert located(path / "a.png").read_bytes() == png()


@pytest.mark.skipif(os.name != "posix", reason="permissions are a matter of POSIX systems here")
def test_nobody_else_can_read_what_is_inflated(tmp_path: Path) -> None:
    made = located(zipped(tmp_path / "X.zip", {"a.png": png()}) / "a.png")
    assert made.stat().st_mode & 0o077 == 0
    assert made.parent.stat().st_mode & 0o077 == 0


def test_an_archive_that_changed_is_inflated_anew(tmp_path: Path) -> None:
    path = zipped(tmp_path / "X.zip", {"a.png": png(1)})
    first = located(path / "a.png")
    zipped(path, {"a.png": png(2)})
    os.utime(path, ns=(1, 1))
    assert located(path / "a.png") != first
    assert located(path / "a.png").read_bytes() == png(2)


def test_a_full_disk_is_told_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = zipped(tmp_path / "X.zip", {"a.png": png()})
    monkeypatch.setattr(archives, "SPARE_BYTES", 1 << 60)
    with pytest.raises(StorageError, match="are free"):
        located(path / "a.png")


def test_cancelling_leaves_nothing_behind(tmp_path: Path, home: Path) -> None:
    path = zipped(tmp_path / "X.zip", slices(tmp_path))
    cancel = CancelToken()
    cancel.cancel()
    with pytest.raises(CancelledError):
        open_archive(path).extract("study/ct/IM1", cancel)
    with pytest.raises(CancelledError):
        list(scan([path], cancel=cancel))
    assert [p for p in home.rglob("*") if p.is_file()] == []


def test_a_kill_leaves_nothing_that_looks_whole(tmp_path: Path, home: Path) -> None:
    data = {f"{n}.bin": os.urandom(4_000_000) for n in range(12)}
    path = zipped(tmp_path / "X.zip", data, zipfile.ZIP_STORED)
    script = (
        "import sys\nfrom pathlib import Path\n"
        "from vlmtool_core.media.archives import located\n"
        "for n in range(12):\n"
        "    located(Path(sys.argv[1]) / f'{n}.bin')\n"
        "    print(n, flush=True)\n"
    )
    for stop in (0, 3):
        shutil.rmtree(home, ignore_errors=True)
        child = subprocess.Popen(
            [sys.executable, "-c", script, str(path)], stdout=subprocess.PIPE, text=True
        )
        assert child.stdout is not None
        while child.stdout.readline().strip() != str(stop):
            assert child.poll() is None
        child.send_signal(signal.SIGKILL)
        child.wait()
        child.stdout.close()
        for name, content in data.items():
            assert located(path / name).read_bytes() == content


# Projects ------------------------------------------------------------------------------------


def test_a_project_keeps_what_is_in_an_archive(tmp_path: Path, home: Path) -> None:
    path = zipped(tmp_path / "X.zip", {"a.png": png(), **slices(tmp_path)})
    with Project.create(tmp_path / "project") as project:
        report = project.add([path])
        assert (report.added, report.unreadable) == (2, ())
        assert project.add([path]).unchanged == 2
        kinds = {item.name: item.kind for item in project.items()}
        assert kinds == {"X.zip/a.png": MediaKind.IMAGE, "X.zip/study/ct": MediaKind.DICOM}
        shutil.rmtree(paths.cache_dir())
        for ref in project.item_refs():
            with open_media(ref.path, ref.files) as source:
                assert source.frame().pixels.size
        assert (home / "cache" / "archives").is_dir()
        shutil.rmtree(paths.cache_dir())
        moved = path.rename(tmp_path / "Y.zip")
        for ref in project.item_refs():
            with pytest.raises(
                MediaNotFoundError, match="the archive that holds this file is not there"
            ) as caught:
                open_media(ref.path, ref.files)
            assert caught.value.path == str(path)
        assert project.add([moved]).refound == 2


def test_an_archive_that_is_there_is_not_lost(tmp_path: Path) -> None:
    path = zipped(tmp_path / "X.zip", {"a.png": png()})
    (tmp_path / "b.png").write_bytes(png())
    with Project.create(tmp_path / "project") as project:
        project.add([path])
        report = project.add([tmp_path / "b.png"])
        assert (report.added, report.refound) == (1, 0)
        assert is_there(path / "a.png")
        assert not is_there(path / "b.png")
        assert not is_there(tmp_path / "gone.zip" / "b.png")


def test_a_file_beside_an_archive_is_no_member(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png())
    with pytest.raises(MediaNotFoundError):
        open_media(tmp_path / "missing" / "a.png")
    with pytest.raises(MediaNotFoundError):
        open_media(tmp_path / "a.png" / "b.png")


@pytest.fixture
def small_limit() -> Iterator[None]:
    fix_settings(Settings(max_archive_mb=1))
    yield
    from vlmtool_core import settings

    settings._fixed.clear()


@pytest.mark.usefixtures("small_limit")
def test_the_limit_is_a_setting(tmp_path: Path) -> None:
    with pytest.raises(BudgetExceededError) as caught:
        open_archive(zipped(tmp_path / "X.zip", {"a.bin": os.urandom(2_000_000)}))
    assert caught.value.field == "max_archive_mb"


def test_series_of_an_archive_are_called_by_their_names(tmp_path: Path) -> None:
    found = slices(tmp_path)
    for name, data in list(found.items()):
        dataset = pydicom.dcmread(io.BytesIO(data))
        dataset.ConvolutionKernel = "B70f"
        dataset.SOPInstanceUID = generate_uid()
        other = io.BytesIO()
        dataset.save_as(other)
        found[f"{name}-sharp"] = other.getvalue()
    inside = zipped(tmp_path / "X.zip", found)
    flat = zipped(tmp_path / "Y.zip", {name.replace("/", "-"): d for name, d in found.items()})
    for path, folder in ((inside, inside / "study" / "ct"), (flat, flat)):
        items = {item.name: item for item in scan([path])}
        for label in ("kernel none", "kernel B70f"):
            with open_media(folder.with_name(f"{folder.name}#1 ({label})")) as source:
                assert source.info.frame_count == 4
            name = f"{folder.relative_to(tmp_path).as_posix()}#1 ({label})"
            assert len(items.pop(name).files) == 4
        assert items == {}


def test_the_command_line_takes_archives(tmp_path: Path) -> None:
    from click.testing import CliRunner

    from vlmtool_core.cli.main import cli

    def run(*arguments: str) -> dict[str, Any]:
        result = CliRunner().invoke(cli, [*arguments, "--json"], catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)

    path = zipped(tmp_path / "X.zip", {"a.png": png(), **slices(tmp_path)})
    listed = run("media", "info", str(path))
    assert {item["item"]: item["files"] for item in listed["items"]} == {
        "X.zip/a.png": 1,
        "X.zip/study/ct": 4,
    }
    series = listed["items"][1]["open"]
    assert run("media", "info", series)["frame_count"] == 4
    out = str(tmp_path / "out.png")
    assert run("media", "render", series, "--frame", "2", "-o", out)["width"] == 8
    header = run("media", "header", str(path / "study" / "ct" / "IM1"), "--search", "Rows")
    assert [element["value"] for element in header] == ["8"]
    Project.create(tmp_path / "project").close()
    assert run("add", str(tmp_path / "project"), str(path))["added"] == 2
