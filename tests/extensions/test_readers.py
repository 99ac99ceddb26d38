"""A plugin's reader opens its files everywhere; what goes wrong in it names the plugin."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.extensions.conftest import reasons
from tests.extensions.grey_files import GREY, MAGIC, GreySource, write_grey

from vlmtool_core.api import Frame, MediaInfo, MediaKind, MediaReader
from vlmtool_core.errors import DamagedMediaError, MediaError, UnsupportedMediaError
from vlmtool_core.media import open_media, scan
from vlmtool_core.project import Project

PAGES = np.arange(2 * 30 * 40, dtype=np.uint8).reshape(2, 30, 40)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A file of the plugin's kind, one under another name, a picture, and a foreign text."""
    root = tmp_path / "media"
    root.mkdir()
    write_grey(root / "a.grey", PAGES)
    write_grey(root / "b.bin", PAGES)
    Image.new("RGB", (8, 6)).save(root / "c.png")
    (root / "notes.txt").write_text("nothing to see")
    return root


def broken(**changes: object) -> MediaReader:
    return replace(GREY, name="broken", **changes)


def explode(*_arguments: object) -> None:
    raise KeyError("no such key")


def found_names(folder: Path) -> dict[str, str]:
    return {f.name: f.error.message if f.error else str(f.kind) for f in scan([folder])}


def test_without_the_plugin_its_files_are_foreign(manager, folder):
    assert found_names(folder) == {"c.png": "image"}
    with pytest.raises(UnsupportedMediaError):
        open_media(folder / "a.grey")


def test_files_of_a_plugin_are_found_by_content_and_opened(grey_plugin, folder):
    assert found_names(folder) == {"a.grey": "image", "b.bin": "image", "c.png": "image"}
    with open_media(folder / "b.bin") as source:
        assert (source.info.width, source.info.height, source.info.frame_count) == (40, 30, 2)
        assert np.array_equal(source.frame(1).pixels[..., 0], PAGES[1])
        assert [frame.index for frame in source.frames()] == [0, 1]
        with pytest.raises(IndexError):
            source.frame(2)


def test_a_project_takes_them_in_and_keeps_thumbnails(grey_plugin, folder, tmp_path):
    from vlmtool_core.media.thumbnails import thumbnail

    with Project.create(tmp_path / "project") as project:
        assert project.add([folder]).added == 3
        item = next(i for i in project.items() if i.name == "a.grey")
    assert (item.kind, item.width, item.frame_count) == (MediaKind.IMAGE, 40, 2)
    with Image.open(thumbnail(item.path, (), item.sha256)) as small:
        assert small.size == (40, 30)


def test_what_is_built_in_goes_first(register, folder):
    register(register_readers=[broken(sniff=lambda _head, _path: True, open=explode)])
    with open_media(folder / "c.png") as source:
        assert source.info.width == 8


def test_a_claimed_file_that_nothing_opens_is_an_error(grey_plugin, tmp_path):
    (tmp_path / "empty of sense.grey").write_bytes(b"something else")
    (found,) = scan([tmp_path / "empty of sense.grey"])
    assert found.kind is None
    assert found.error is not None


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"open": explode}, "KeyError"),
        ({"open": lambda _path: None}, "AttributeError"),
        ({"sniff": explode}, "KeyError"),
        ({"kind": MediaKind.DICOM}, "no facts of kind dicom"),
    ],
)
def test_a_failing_reader_is_an_error_that_names_its_plugin(register, folder, changes, problem):
    register("faulty", register_readers=[broken(**changes)])
    with pytest.raises(MediaError, match=r"reader 'broken' of plugin 'faulty'") as caught:
        open_media(folder / "a.grey")
    assert problem in caught.value.message
    assert caught.value.path == str(folder / "a.grey")
    names = found_names(folder)
    assert "faulty" in names["a.grey"]
    assert names["c.png"] == "image"
    assert "notes.txt" not in names


def test_a_reader_that_fails_to_look_hides_no_other(register, folder):
    register("faulty", register_readers=[broken(sniff=explode)])
    register("good", register_readers=[GREY])
    assert found_names(folder)["b.bin"] == "image"


def test_errors_meant_for_the_user_stay_as_they_are(register, folder):
    def refuse(path: Path) -> GreySource:
        raise DamagedMediaError("the last page is cut off", path=path)

    register(register_readers=[broken(open=refuse)])
    with pytest.raises(DamagedMediaError, match="cut off"):
        open_media(folder / "a.grey")


class _WrongFrames(GreySource):
    def frame(self, index: int = 0, **_options: object) -> Frame:
        return Frame(np.zeros((30, 40), np.float32), index)


class _NoInfo(GreySource):
    @property
    def info(self) -> MediaInfo:
        return {}  # type: ignore[return-value]


def test_wrong_frames_and_facts_are_refused(register, folder):
    register("faulty", register_readers=[broken(open=_WrongFrames)])
    with (
        open_media(folder / "a.grey") as source,
        pytest.raises(MediaError, match=r"faulty.*not uint8 RGB"),
    ):
        source.frame()
    with open_media(folder / "a.grey") as source, pytest.raises(MediaError, match="not uint8"):
        list(source.frames())


def test_a_source_without_facts_is_closed(register, folder):
    opened = []

    def open_(path: Path) -> GreySource:
        opened.append(_NoInfo(path))
        return opened[0]

    register("faulty", register_readers=[broken(open=open_)])
    with pytest.raises(MediaError, match="no facts"):
        open_media(folder / "a.grey")
    assert opened[0].closed


@pytest.mark.parametrize(
    ("reader", "problem"),
    [
        ("reader", "expected MediaReader"),
        (replace(GREY, name="Grey File"), "hyphens"),
        (replace(GREY, extensions=".grey"), "tuple"),
        (replace(GREY, extensions=()), "at least one"),
        (replace(GREY, extensions=("GREY",)), "like '.abc'"),
        (replace(GREY, open=None), "open is not callable"),
        (replace(GREY, kind=MediaKind.VIDEO), "image, dicom or volume"),
    ],
)
def test_a_wrong_reader_is_listed_and_the_others_are_used(register, folder, reader, problem):
    manager = register("odd", register_readers=[reader])
    register("good", register_readers=[GREY])
    assert [name for name, _ in manager.readers()] == ["good"]
    assert problem in reasons(manager)
    assert found_names(folder)["a.grey"] == "image"


def test_the_same_name_twice_keeps_the_first(register):
    register("first", register_readers=[GREY])
    manager = register("second", register_readers=[GREY])
    assert [name for name, _ in manager.readers()] == ["first"]
    assert "second: PluginError: there is already a reader grey-file" in reasons(manager)


def test_magic_is_no_built_in_signature():
    from vlmtool_core.media.sniffing import Signature, sniff

    assert sniff(MAGIC + bytes(1000)) is Signature.NONE
