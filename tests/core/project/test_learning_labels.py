"""Labels from a table: every path must be known, all is taken in or nothing, one step to undo."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vlmtool_core.errors import FormatError
from vlmtool_core.project import Project
from vlmtool_core.project.label_table import LabelReport, read_label_table, take_in_labels

sys.path.insert(0, str(Path(__file__).parent))
from colour_engine import draw


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    """Two folders with pictures of the same names."""
    for folder in ("a", "b 猫 🐈"):
        draw(tmp_path / "in" / folder, {"red": 3}, seed=len(folder))
    with Project.create(tmp_path / "p") as opened:
        opened.add([tmp_path / "in"])
        yield opened


def take_in(project: Project, path: Path, text: str, **more: bool) -> LabelReport:
    path.write_text(text, encoding="utf-8")
    return take_in_labels(project, path, read_label_table(path), **more)


def labels(project: Project) -> dict[str, tuple[str, ...]]:
    return {item.name: item.labels for item in project.items() if item.labels}


def test_paths_relative_to_the_table_and_absolute_ones(project: Project, tmp_path: Path) -> None:
    absolute = tmp_path / "in" / "b 猫 🐈" / "red-0.png"
    report = take_in(
        project, tmp_path / "in" / "t.csv", f"path,label\na/red-0.png,x\n{absolute},y\n"
    )
    assert (report.labelled, report.unknown) == (2, ())
    found = {(i.path.parent.name, i.path.name): i.labels for i in project.items() if i.labels}
    assert found == {("a", "red-0.png"): ("x",), ("b 猫 🐈", "red-0.png"): ("y",)}


def test_names_in_the_project_and_backslashes(project: Project, tmp_path: Path) -> None:
    name = next(i.name for i in project.items() if i.path.parent.name == "a")
    report = take_in(project, tmp_path / "t.csv", f"path,label\n{name.replace('/', chr(92))},x\n")
    assert report.labelled == 1
    assert labels(project) == {name: ("x",)}


def test_a_base_name_alone_is_not_enough(project: Project, tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=r"1 of 1 rows.*\n\s+red-0.png"):
        take_in(project, tmp_path / "t.csv", "path,label\nred-0.png,x\n")


def test_one_unknown_path_stops_all(project: Project, tmp_path: Path) -> None:
    text = "path,label\na/red-0.png,x\nnowhere.png,x\n"
    with pytest.raises(FormatError, match="nothing was taken in") as caught:
        take_in(project, tmp_path / "in" / "t.csv", text)
    assert "--skip-unknown" in caught.value.remedy
    assert "nowhere.png" in caught.value.message
    assert labels(project) == {}
    report = take_in(project, tmp_path / "in" / "t.csv", text, skip_unknown=True)
    assert (report.labelled, report.unknown) == (1, ("nowhere.png",))


def test_again_changes_nothing_and_undo_takes_all_back(project: Project, tmp_path: Path) -> None:
    rows = "".join(f"{i.path},x\n" for i in project.items())
    table = tmp_path / "t.csv"
    assert take_in(project, table, "path,label\n" + rows).labelled == 6
    again = take_in(project, table, "path,label\n" + rows)
    assert (again.labelled, again.unchanged) == (0, 6)
    assert project.undo() is not None
    assert labels(project) == {}


def test_groups_are_set(project: Project, tmp_path: Path) -> None:
    text = "label;group;path\nx;patient 1;a/red-0.png\ny;;a/red-1.png\n"
    report = take_in(project, tmp_path / "in" / "t.csv", text)
    assert (report.labelled, report.grouped) == (2, 1)
    assert project.groups() == ["patient 1"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no such column"),
        ("path,label\n", "no row"),
        ("file,label\na,b\n", r"\[path\].*it has: file, label"),
        ("path\na\n", r"\[label\]"),
        ("path,label\na/red-0.png\n", "line 2 has 1 columns"),
        ("path,label\na/red-0.png,x\n,y\n", r"\[path\] line 3"),
        ("path,label\na/red-0.png, \n", r"\[label\] line 2"),
        ("path,label\na/red-0.png,x\na/red-0.png,y\n", "lines 2 and 3"),
        ("path,label\na/red-0.png,x\n./a/../a/red-0.png,y\n", "line 3: .* named twice"),
        ("path,label\na\0b,x\n", "not a table|zero byte"),
    ],
)
def test_broken_tables_are_refused_whole(
    project: Project, tmp_path: Path, text: str, message: str
) -> None:
    with pytest.raises(FormatError, match=message):
        take_in(project, tmp_path / "in" / "t.csv", text)
    assert labels(project) == {}


def test_another_encoding_is_named(project: Project, tmp_path: Path) -> None:
    table = tmp_path / "t.csv"
    table.write_bytes("path,label\na.png,größer\n".encode("latin-1"))
    with pytest.raises(FormatError, match="not UTF-8") as caught:
        read_label_table(table)
    assert "UTF-8" in caught.value.remedy


def test_no_such_table_is_named(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="No such file"):
        read_label_table(tmp_path / "none.csv")


def test_quotes_byte_order_mark_and_empty_lines(tmp_path: Path) -> None:
    table = tmp_path / "t.csv"
    table.write_text('\ufeffPath,Label\r\n"a, b.png","say ""x"""\r\n\r\n', encoding="utf-8")
    (row,) = read_label_table(table)
    assert (row.path, row.label, row.group) == ("a, b.png", 'say "x"', None)


@given(st.binary(max_size=200))
@settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_any_bytes_give_rows_or_a_format_error(tmp_path: Path, data: bytes) -> None:
    table = tmp_path / "t.csv"
    table.write_bytes(b"path,label\n" + data)
    rows = []
    with contextlib.suppress(FormatError):
        rows = read_label_table(table)
    assert all(row.path and row.label and "\0" not in row.path for row in rows)
