"""What users really feed a program: each bad file is named with its reason, the rest goes on."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vlmtool_core.cli.main import run_cli


def _picture(path: Path, colour: tuple[int, int, int] = (200, 120, 40)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (64, 48), colour).save(path)
    return path


def _png_header(width: int, height: int) -> bytes:
    """A PNG that claims a size and holds hardly any data, as a decompression bomb does."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b"\0" * 1000))
        + chunk(b"IEND", b"")
    )


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    assert run_cli(["project", "new", str(folder)]) == 0
    return folder


def _added(project: Path, media: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, dict]:
    capsys.readouterr()
    code = run_cli(["add", str(project), str(media), "--json"])
    return code, json.loads(capsys.readouterr().out)


def test_every_bad_file_is_named_and_the_good_one_is_taken(
    project: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    media = tmp_path / "media"
    good = _picture(media / "good.png")
    (media / "empty.jpg").touch()
    (media / "text.jpg").write_text("I am no picture")
    (media / "truncated.png").write_bytes(good.read_bytes()[:40])
    (media / "huge.png").write_bytes(_png_header(60_000, 60_000))
    (media / "dangling.png").symlink_to(tmp_path / "nowhere.png")
    (media / "notes.txt").write_text("not media at all")
    shutil.copy(good, media / "renamed.dcm")
    code, report = _added(project, media, capsys)
    assert code == 1
    bad = {entry["item"]: entry["error"] for entry in report["unreadable"]}
    assert set(bad) == {
        "empty.jpg", "text.jpg", "truncated.png", "huge.png", "dangling.png"
    }  # fmt: skip
    assert all(error["message"] and error["remedy"] for error in bad.values())
    assert report["added"] == 2
    assert "60000" in bad["huge.png"]["message"] or "megapixel" in bad["huge.png"]["message"]


def test_dicom_that_lies_or_has_no_pixels_is_named(
    project: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import pydicom
    from pydicom.data import get_testdata_file

    media = tmp_path / "media"
    media.mkdir()
    source = get_testdata_file("CT_small.dcm")
    shutil.copy(source, media / "good.dcm")
    dataset = pydicom.dcmread(source)
    dataset.Rows = 60_000
    dataset.Columns = 60_000
    dataset.save_as(media / "lying.dcm")
    del dataset.PixelData
    dataset.save_as(media / "no-pixels.dcm")
    code, report = _added(project, media, capsys)
    assert code == 1
    assert {entry["item"] for entry in report["unreadable"]} == {"lying.dcm", "no-pixels.dcm"}
    assert report["added"] == 1


def test_a_large_empty_picture_is_decoded_small_or_refused_without_the_memory(
    tmp_path: Path,
) -> None:
    path = tmp_path / "large.png"
    Image.fromarray(np.zeros((30_000, 30_000), np.uint8)).save(path, compress_level=1)
    code = (
        "import resource, sys\n"
        "from vlmtool_core.errors import BudgetExceededError\n"
        "from vlmtool_core.media import open_media\n"
        "resource.setrlimit(resource.RLIMIT_AS, (6 << 30, 6 << 30))\n"
        "try:\n"
        "    with open_media(sys.argv[1]) as source:\n"
        "        print(source.frame(0, max_side=256).pixels.shape)\n"
        "except BudgetExceededError as error:\n"
        "    print('refused', error)\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", code, str(path)], capture_output=True, text=True, timeout=120
    )
    assert result.returncode == 0, result.stderr
    assert "256" in result.stdout or "refused" in result.stdout


def test_an_empty_folder_is_said_to_be_empty(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").mkdir()
    assert run_cli(["run", str(tmp_path / "empty"), "--task", "classify"]) != 0
    assert "empty" in capsys.readouterr().err


def _bound_by_permissions(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command line without the superuser's right to ignore permissions."""
    prefix = []
    if os.geteuid() == 0:
        if shutil.which("setpriv") is None:
            pytest.skip("permissions do not bind the superuser, and there is no setpriv")
        prefix = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"]
    command = [*prefix, sys.executable, "-m", "vlmtool_core.cli.main", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


def test_a_file_without_permission_is_named(project: Path, tmp_path: Path) -> None:
    secret = _picture(tmp_path / "media" / "secret.png")
    _picture(tmp_path / "media" / "open.png")
    secret.chmod(0)
    result = _bound_by_permissions("add", str(project), str(tmp_path / "media"), "--json")
    report = json.loads(result.stdout)
    assert result.returncode == 1
    assert report["added"] == 1
    assert report["unreadable"][0]["item"] == "secret.png"
    assert "ermission" in report["unreadable"][0]["error"]["message"]


def test_a_project_on_a_read_only_disk_can_be_read_and_refuses_to_write(
    project: Path, tmp_path: Path
) -> None:
    picture = _picture(tmp_path / "media" / "x.png")
    assert run_cli(["add", str(project), str(picture)]) == 0
    for path in [*project.rglob("*"), project]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    try:
        shown = _bound_by_permissions("show", str(project))
        added = _bound_by_permissions("label", str(project), "x.png", "thing")
    finally:
        for path in [project, *project.rglob("*")]:
            path.chmod(0o755)
    assert shown.returncode == 0, shown.stderr
    assert "x.png" in shown.stdout
    assert added.returncode == 1
    assert "read-only" in added.stderr or "may write" in added.stderr


def test_a_result_that_cannot_be_written_says_so(project: Path, tmp_path: Path) -> None:
    folder = tmp_path / "locked"
    folder.mkdir(mode=0o555)
    result = _bound_by_permissions(
        "export", str(project), "--what", "annotations", "--format", "jsonl",
        "--out", str(folder / "x.jsonl"),
    )  # fmt: skip
    assert result.returncode == 1
    assert str(folder) in result.stderr
    assert not list(folder.iterdir())


def test_names_with_spaces_chinese_and_emoji_survive_the_way_out(
    project: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = ["with space/图片 一.png", "with space/🙂.png", "a'b\"c.png", "=1+1.png"]
    for number, name in enumerate(names):
        _picture(tmp_path / "media" / name, (number * 40, 0, 0))
    code, report = _added(project, tmp_path / "media", capsys)
    assert (code, report["added"]) == (0, len(names))
    out = tmp_path / "annotations.csv"
    table = tmp_path / "labels.csv"
    rows = "".join('"{}",thing\n'.format(name.replace('"', '""')) for name in names)
    table.write_text("path,label\n" + rows, encoding="utf-8")
    assert run_cli(["label", str(project), "--from", str(table)]) == 0
    arguments = ["export", str(project), "--what", "annotations", "--format", "csv"]
    assert run_cli([*arguments, "--out", str(out)]) == 0
    text = out.read_text(encoding="utf-8-sig")
    assert all(name.rsplit("/", 1)[-1].split("'")[0] in text for name in names)
    assert not any(line.startswith("=") for line in text.splitlines())


def test_same_names_in_two_folders_never_share_a_label(
    project: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number, name in enumerate(("a/x.png", "b/x.png", "a/x.jpg")):
        _picture(tmp_path / "media" / name, (0, number * 60, 0))
    _added(project, tmp_path / "media", capsys)
    table = tmp_path / "labels.csv"
    table.write_text("path,label\na/x.png,left\nb/x.png,right\n")
    assert run_cli(["label", str(project), "--from", str(table)]) == 0
    capsys.readouterr()
    assert run_cli(["show", str(project), "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    items = shown["items"] if isinstance(shown, dict) else shown
    labels = {item["item"] if "item" in item else item["name"]: item["labels"] for item in items}
    assert labels == {"a/x.png": ["left"], "b/x.png": ["right"], "a/x.jpg": []}


def test_a_label_table_with_an_unknown_path_changes_nothing(
    project: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _picture(tmp_path / "media" / "x.png")
    _added(project, tmp_path / "media", capsys)
    table = tmp_path / "labels.csv"
    table.write_text("path,label\nx.png,thing\nmissing.png,thing\n")
    assert run_cli(["label", str(project), "--from", str(table)]) != 0
    error = capsys.readouterr().err
    assert "missing.png" in error
    assert "--skip-unknown" in error
    run_cli(["project", "info", str(project), "--json"])
    assert json.loads(capsys.readouterr().out)["annotations"] == 0


def test_a_newer_database_is_left_alone(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    database = project / "project.sqlite"
    with sqlite3.connect(database) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    before = database.read_bytes()
    assert run_cli(["project", "info", str(project)]) == 1
    assert "newer" in capsys.readouterr().err
    assert database.read_bytes() == before


def test_a_damaged_database_never_opens_as_empty(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    database = project / "project.sqlite"
    data = bytearray(database.read_bytes())
    data[4096:12288] = os.urandom(8192)
    database.write_bytes(bytes(data))
    assert run_cli(["project", "info", str(project)]) == 1
    assert "project.sqlite" in capsys.readouterr().err


def test_what_is_no_project_is_said_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_cli(["project", "info", str(tmp_path)]) == 2
    assert "vlmtool-cli project new" in capsys.readouterr().err


def test_missing_packs_name_the_command_that_brings_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _picture(tmp_path / "media" / "x.png")
    assert run_cli(["run", str(tmp_path / "media"), "--task", "classify"]) == 3
    assert "models pull starter" in capsys.readouterr().err


def test_a_template_that_does_not_fit_gives_no_marks(
    tmp_path: Path, shared_data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sheet = shared_data / "omr" / "sample1" / "MobileCamera" / "sheet1.jpg"
    template = shared_data / "omr" / "sample4" / "template.json"
    out = tmp_path / "marks.csv"
    arguments = ["education", "grade", str(sheet), "--template", str(template), "--out", str(out)]
    assert run_cli(arguments) == 1
    assert "sheet1.jpg" in capsys.readouterr().err
