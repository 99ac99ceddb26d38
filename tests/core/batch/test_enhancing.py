"""Derived copies of a folder: marked, never over an original, going on where they stopped."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vlmtool_core.batch.enhancing import Enhancer
from vlmtool_core.engine import Engine, ModelStore
from vlmtool_core.errors import UsageError
from vlmtool_core.jobs import CancelToken
from vlmtool_core.media import open_media, scan
from vlmtool_core.media.pictures.derived import KEY


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    return Engine(ModelStore(tmp_path / "models"), device="cpu")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    folder = tmp_path / "scans 扫描"
    (folder / "two").mkdir(parents=True)
    for name in ("a.png", "a.jpg", "two/a.png"):
        Image.fromarray(rng.integers(90, 160, (40, 50, 3), np.uint8)).save(folder / name)
    (folder / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nno more")
    frames = [Image.new("RGB", (20, 20), (n * 60, 0, 0)) for n in range(3)]
    frames[0].save(folder / "moving.gif", save_all=True, append_images=frames[1:])
    return folder


def names(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.*"))


def test_copies_say_what_they_are(engine, folder, tmp_path):
    before = {path: path.read_bytes() for path in folder.rglob("*.*")}
    out = tmp_path / "clearer"
    report = Enhancer(engine, "clahe", out, {"clip_limit": "4"}).run(list(scan([folder])))
    assert names(out) == sorted(
        f"{name}.enhanced-clahe.{ending}"
        for name in ("a.jpg", "a.png", "moving.gif.frame0", "two/a.png")
        for ending in ("json", "png")
    )
    assert len(report.made) == 4
    assert report.partly == ["moving.gif"]
    assert [name for name, _ in report.failures] == ["broken.png"]
    assert before == {path: path.read_bytes() for path in folder.rglob("*.*")}

    made = out / "two" / "a.png.enhanced-clahe.png"
    with open_media(made) as source:
        warning = " ".join(source.info.warnings)
        assert source.frame(0).size == (50, 40)
    assert "derived picture, not the original: made with clahe 1 from a.png" in warning
    with Image.open(made) as picture:
        inside = json.loads(picture.info[KEY])
    beside = json.loads(made.with_suffix(".json").read_text())
    digest = hashlib.sha256((folder / "two" / "a.png").read_bytes()).hexdigest()
    for note in (inside, beside):
        assert note["note"] == "derived, not the original"
        assert (note["method"], note["version"]) == ("clahe", "1")
        assert note["source_sha256"] == digest
        assert note["options"] == {"clip_limit": "4"}
    assert beside["provenance"]["settings"]["clip_limit"] == 4.0
    assert beside["provenance"]["decoder"].startswith("Pillow")


def test_the_same_again_keeps_what_is_there(engine, folder, tmp_path):
    out = tmp_path / "clearer"
    items = list(scan([folder]))
    first = Enhancer(engine, "clahe", out).run(items)
    times = {path: path.stat().st_mtime_ns for path in out.rglob("*.*")}
    again = Enhancer(engine, "clahe", out).run(items)
    assert not again.made
    assert again.kept == first.made
    assert times == {path: path.stat().st_mtime_ns for path in out.rglob("*.*")}


def test_nothing_of_another_origin_is_overwritten(engine, folder, tmp_path):
    out = tmp_path / "clearer"
    out.mkdir()
    foreign = out / "a.png.enhanced-clahe.png"
    Image.new("RGB", (9, 9)).save(foreign)
    mine = foreign.read_bytes()
    Enhancer(engine, "clahe", out, {"tiles": 2}).run(list(scan([folder / "a.jpg"])))
    items = list(scan([folder]))
    report = Enhancer(engine, "clahe", out, {"tiles": 4}).run(items)
    problems = {name: error.message for name, error in report.failures}
    assert set(problems) == {"a.png", "a.jpg", "broken.png"}
    assert "was made from something else" in problems["a.png"]
    assert "in another way" in problems["a.jpg"]
    assert foreign.read_bytes() == mine


def test_into_the_same_folder_derived_pictures_are_not_derived_again(engine, folder):
    Enhancer(engine, "clahe", folder).run(list(scan([folder])))
    report = Enhancer(engine, "denoise", folder).run(list(scan([folder])))
    assert sorted(report.derived) == [
        "a.jpg.enhanced-clahe.png", "a.png.enhanced-clahe.png",
        "moving.gif.frame0.enhanced-clahe.png", "two/a.png.enhanced-clahe.png",
    ]  # fmt: skip
    assert not [path for path in names(folder) if path.count("enhanced") > 1]


def test_a_changed_source_is_not_mistaken_for_the_old_one(engine, folder, tmp_path):
    out = tmp_path / "clearer"
    Enhancer(engine, "clahe", out).run(list(scan([folder / "a.png"])))
    Image.new("RGB", (40, 50), "white").save(folder / "a.png")
    report = Enhancer(engine, "clahe", out).run(list(scan([folder / "a.png"])))
    assert "made from something else" in report.failures[0][1].message


class StopAtThird(CancelToken):
    """Asked before each item; the user stops while the second one is at work."""

    asked = 0

    @property
    def cancelled(self) -> bool:
        self.asked += 1
        return self.asked > 2


def test_stopped_it_keeps_what_is_done_and_goes_on(engine, folder, tmp_path):
    items = [item for item in scan([folder]) if item.error is None]
    enhancer = Enhancer(engine, "clahe", tmp_path / "clearer")
    report = enhancer.run(items, cancel=StopAtThird())
    assert report.cancelled
    assert len(report.made) == 2
    rest = enhancer.run(items)
    assert (len(rest.kept), len(rest.made)) == (2, len(items) - 2)
    assert not rest.cancelled


def test_a_frame_and_one_that_is_not_there(engine, folder, tmp_path):
    gif = list(scan([folder / "moving.gif"]))
    report = Enhancer(engine, "clahe", tmp_path / "out", frame=2).run(gif)
    assert report.made[0].name == "moving.gif.frame2.enhanced-clahe.png"
    report = Enhancer(engine, "clahe", tmp_path / "out", frame=3).run(gif)
    assert "no frame 3" in report.failures[0][1].message


def test_a_wrong_option_stops_before_anything_is_made(engine, folder, tmp_path):
    with pytest.raises(UsageError, match="no such option"):
        Enhancer(engine, "clahe", tmp_path / "out", {"x": 1}).run(list(scan([folder])))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("note", ["[]", "{", '{"method": 1}', "null", '"x"'])
def test_a_damaged_note_still_says_derived(note, tmp_path):
    from PIL import PngImagePlugin

    texts = PngImagePlugin.PngInfo()
    texts.add_itxt(KEY, note)
    Image.new("RGB", (8, 8)).save(tmp_path / "x.png", pnginfo=texts)
    with open_media(tmp_path / "x.png") as source:
        assert "derived picture" in " ".join(source.info.warnings)


def test_of_dicom_nothing_that_identifies_a_person_is_written(engine, tmp_path):
    import pydicom
    from pydicom.data import get_testdata_file

    given = tmp_path / "in"
    given.mkdir()
    dataset = pydicom.dcmread(get_testdata_file("CT_small.dcm"))
    dataset.PatientName = "Fictitious^Zebediah"
    dataset.save_as(given / "slice.dcm")
    report = Enhancer(engine, "clahe", tmp_path / "out").run(list(scan([given])))
    assert [path.name for path in report.made] == ["slice.dcm.enhanced-clahe.png"]
    described = json.loads(report.made[0].with_suffix(".json").read_text())
    assert (described["width"], described["height"]) == (128, 128)
    assert described["provenance"]["voi"]["width"] > 1
    for path in (tmp_path / "out").iterdir():
        assert b"Zebediah" not in path.read_bytes()
