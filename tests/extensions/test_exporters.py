"""Formats of plugins are used by `export` and `run` as the built-in ones are."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image, ImageDraw, ImageFont
from tests.extensions.conftest import reasons

from vlmtool_core.api import AnnotationRow, Exporter, ResultRow
from vlmtool_core.cli.main import run_cli
from vlmtool_core.errors import PluginError, UsageError
from vlmtool_core.formats import FORMATS, format_of_ending, write_annotations, write_results
from vlmtool_core.formats.exporters import BUILT_IN
from vlmtool_core.project import Project
from vlmtool_core.records import Label, LabelSet


def result_lines(rows: Iterable[ResultRow], _labels: Sequence[str]) -> Iterator[str]:
    for row in rows:
        yield f"{row.item}|{row.task}|{row.outcome.status}\n"


def annotation_lines(rows: Iterable[AnnotationRow], labels: Sequence[str]) -> Iterator[str]:
    yield ",".join(labels) + "\n"
    for row in rows:
        yield f"{row.item}|{row.label}\n"


BARS = Exporter("bars", "Bars between fields", ".bars", result_lines, annotation_lines)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    Image.new("RGB", (20, 10), "white").save(tmp_path / "a.png")
    root = tmp_path / "project"
    with Project.create(root) as made:
        made.add([tmp_path / "a.png"])
        made.set_label_set(LabelSet("x", (Label("cat"), Label("dog"))))
        made.set_label(made.item_ids(), "dog")
    return root


def test_export_writes_annotations_in_a_plugins_format(
    register, project: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    register(register_exporters=[BARS])
    assert run_cli(["export", str(project), "--format", "bars"]) == 0
    assert capsys.readouterr().out == "cat,dog\na.png|dog\n"
    target = tmp_path / "out.bars"
    assert run_cli(["export", str(project), "--format", "bars", "--out", str(target)]) == 0
    assert target.read_text() == "cat,dog\na.png|dog\n"


def test_run_and_export_write_results_in_a_plugins_format(register, tmp_path: Path, capsys):
    register(register_exporters=[BARS])
    page = Image.new("RGB", (200, 200), "white")
    ImageDraw.Draw(page).text((20, 80), "ALPHA 12", "black", ImageFont.load_default(30))
    page.save(tmp_path / "page.png")
    read = ["run", str(tmp_path / "page.png"), "--task", "read"]
    assert run_cli([*read, "--format", "bars"]) == 0
    assert capsys.readouterr().out == "page.png|read|ok\n"
    # The ending of --out names the format too.
    assert run_cli([*read, "--out", str(tmp_path / "r.bars")]) == 0
    assert (tmp_path / "r.bars").read_text() == "page.png|read|ok\n"
    assert run_cli([*read, "--out", str(tmp_path / "r.jsonl")]) == 0
    capsys.readouterr()
    assert run_cli(["export", str(tmp_path / "r.jsonl"), "--format", "bars"]) == 0
    assert capsys.readouterr().out == "page.png|read|ok\n"


def test_an_unknown_format_is_refused_before_the_run(register, tmp_path: Path, capsys):
    register(register_exporters=[BARS])
    Image.new("RGB", (20, 10)).save(tmp_path / "a.png")
    assert run_cli(["run", str(tmp_path), "--task", "read", "--format", "yaml"]) == 2
    told = capsys.readouterr().err
    assert "no format 'yaml'; there are: jsonl, csv, coco, bars" in told


def test_a_format_without_results_is_refused_before_the_run(register, tmp_path: Path, capsys):
    register(register_exporters=[replace(BARS, write_results=None)])
    Image.new("RGB", (20, 10)).save(tmp_path / "a.png")
    assert run_cli(["run", str(tmp_path), "--task", "read", "--format", "bars"]) == 2
    assert "bars has no results" in capsys.readouterr().err


def _explode(_rows: object, _labels: object) -> Iterator[str]:
    yield "half"
    raise KeyError("colour")


def _numbers(_rows: object, _labels: object) -> Iterator[object]:
    yield 3


@pytest.mark.parametrize(("writer", "problem"), [(_explode, "KeyError"), (_numbers, "gave int")])
def test_a_failing_format_names_its_plugin_and_leaves_no_file(
    register, project: Path, tmp_path: Path, capsys, writer, problem
):
    register("faulty", register_exporters=[replace(BARS, write_annotations=writer)])
    target = tmp_path / "out.bars"
    assert run_cli(["export", str(project), "--format", "bars", "--out", str(target)]) == 1
    told = capsys.readouterr().err
    assert "format 'bars' of plugin 'faulty'" in told
    assert problem in told
    assert not target.exists()
    with pytest.raises(PluginError):
        list(write_annotations("bars", ()))


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ("bars", "expected Exporter"),
        (replace(BARS, name="Bars!"), "hyphens"),
        (replace(BARS, extension="bars"), "like '.abc'"),
        (replace(BARS, write_results=None, write_annotations=None), "neither"),
        (replace(BARS, write_results="text"), "not callable"),
        (replace(BARS, name="csv"), "program's own"),
    ],
)
def test_a_wrong_exporter_is_listed_and_changes_nothing(register, capsys, given, problem):
    manager = register("odd", register_exporters=[given])
    assert run_cli(["plugins"]) == 1
    assert problem in reasons(manager)
    assert problem in capsys.readouterr().out
    with pytest.raises(UsageError, match=r"there are: jsonl, csv, coco$"):
        write_results("bars", ())
    assert next(write_results("csv", ())).startswith("item,sha256")


def test_a_built_in_ending_keeps_its_format(register):
    register(register_exporters=[replace(BARS, extension=".csv")])
    assert format_of_ending(".CSV") == "csv"
    assert format_of_ending(".ndjson") == "jsonl"
    assert format_of_ending(".bars") is None


def test_the_built_in_formats_are_exporters(manager):
    assert tuple(BUILT_IN) == FORMATS == ("jsonl", "csv", "coco")
    for name in FORMATS:
        assert isinstance("".join(write_results(name, ())), str)
        assert isinstance("".join(write_annotations(name, ())), str)
    assert json.loads("".join(write_results("coco", (), ["cat"])))["categories"][0]["name"] == "cat"
