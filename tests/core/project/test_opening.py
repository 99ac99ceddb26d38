"""Creating and opening projects: twice, by two processes, in the wrong place."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from vlmtool_core.errors import ProjectBusyError, ProjectExistsError, ProjectNotFoundError
from vlmtool_core.project import Project
from vlmtool_core.records import MediaKind
from vlmtool_core.store.records import NewItem


def with_items(root: Path, count: int = 10, database: str | None = None) -> Path:
    with Project.create(root, database=database) as project:
        project.store.items.add_many(
            [
                NewItem(f"{i}.png", Path(f"/{i}.png"), MediaKind.IMAGE, f"{i:064x}")
                for i in range(count)
            ]
        )
    return root


def test_a_project_keeps_its_name_and_place(tmp_path: Path) -> None:
    with Project.create(tmp_path / "a b 中文", name="Ward 7") as project:
        assert (project.name, project.root) == ("Ward 7", tmp_path / "a b 中文")
    with Project.open(tmp_path / "a b 中文") as project:
        assert project.name == "Ward 7"
        assert not project.read_only
        assert project.info().counts.items == 0
    assert Project.is_project(tmp_path / "a b 中文")
    assert not Project.is_project(tmp_path)
    with Project.create(tmp_path / "unnamed") as project:
        assert project.name == "unnamed"


def test_where_there_is_none_and_where_there_is_one(tmp_path: Path) -> None:
    with pytest.raises(ProjectNotFoundError) as caught:
        Project.open(tmp_path / "nothing")
    assert "project new" in caught.value.remedy
    assert not (tmp_path / "nothing").exists()
    with_items(tmp_path / "p")
    with pytest.raises(ProjectExistsError):
        Project.create(tmp_path / "p")
    with Project.open(tmp_path / "p") as project:
        assert project.count() == 10


def test_opened_twice_each_sees_what_the_other_does(tmp_path: Path, places: Any) -> None:
    root = with_items(tmp_path / "p", database=places.new_url())
    with Project.open(root, author="Ada") as one, Project.open(root, author="Bob") as two:
        one.set_label([1], "cat")
        assert two.item(1).labels == ("cat",)
        two.set_label([1], "dog")
        assert one.undo() == "label 1 item: dog"
        assert two.item(1).labels == ("cat",)


def test_a_writer_that_waits_too_long_says_so(tmp_path: Path, places: Any) -> None:
    root = with_items(tmp_path / "p", database=places.new_url())
    with Project.open(root) as one, Project.open(root, busy_timeout_s=0.1) as two:
        with one.store.database.writing(), pytest.raises(ProjectBusyError):
            two.set_label([1], "cat")
        assert two.set_label([1], "cat") == 1


WRITER = """
import sys
from vlmtool_core.project import Project
with Project.open(sys.argv[1], author=sys.argv[2]) as project:
    for number in range(20):
        project.add_text(1 + number % 10, 0, f"{sys.argv[2]} {number}")
"""


def test_two_processes_writing_lose_nothing(tmp_path: Path, places: Any) -> None:
    root = with_items(tmp_path / "p", database=places.new_url())
    command = [sys.executable, "-c", WRITER, str(root)]
    writers = [subprocess.Popen([*command, name]) for name in ("Ada", "Bob")]
    assert [writer.wait(120) for writer in writers] == [0, 0]
    with Project.open(root) as project:
        texts = {a.text for a in project.annotations()}
        assert texts == {f"{name} {number}" for name in ("Ada", "Bob") for number in range(20)}
        assert len(project.history(1000)) == 40
        undone = 0
        while project.undo() is not None:
            undone += 1
        assert undone == 40
        assert project.annotations() == []


def test_backups_are_projects(tmp_path: Path) -> None:
    root = with_items(tmp_path / "p")
    with Project.open(root) as project:
        project.set_label([1], "cat")
        copy = project.backup()
        project.undo()
        assert project.info().backups == (copy,)
    restored = tmp_path / "restored"
    restored.mkdir()
    copy.rename(restored / "project.sqlite")
    with Project.open(restored) as project:
        assert project.item(1).labels == ("cat",)
