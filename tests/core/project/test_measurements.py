"""Measurements in a project: undone, kept, exported, checked, and never taken for labels."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.data import get_testdata_file
from tests.core.media.media_dicoms import write_dicom
from tests.core.project.test_kill import SCRIPT, assert_sound

from vlmtool_core.cli.main import run_cli
from vlmtool_core.errors import FormatError, RecordNotFoundError, UsageError
from vlmtool_core.measurement import Measured, Measurement, MeasurementKind
from vlmtool_core.media import open_media
from vlmtool_core.media.measurements import measurable, measure
from vlmtool_core.project import Project
from vlmtool_core.project.exchange import annotation_rows, import_annotations
from vlmtool_core.project.learning_data import collect
from vlmtool_core.project.measurements import checked_measurements
from vlmtool_core.records import MediaKind
from vlmtool_core.store.records import ItemQuery, NewItem

KIND = MeasurementKind
LINE = Measurement(KIND.DISTANCE, ((10.0, 10.0), (13.0, 14.0)), Measured("px", length=5.0))
OVAL = Measurement(KIND.ELLIPSE, ((30.0, 20.0), (90.0, 70.0)))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A project with CT_small in it."""
    (tmp_path / "media").mkdir()
    shutil.copy(str(get_testdata_file("CT_small.dcm")), tmp_path / "media" / "ct.dcm")
    with Project.create(tmp_path / "p", name="Measured") as project:
        project.add([tmp_path / "media"])
    return tmp_path / "p"


def measured(project: Project, shape: Measurement) -> Measurement:
    """The shape with what it comes to on the first item."""
    with open_media(project.items()[0].path) as source:
        return replace(shape, result=measure(shape.kind, shape.points, measurable(source)))


def kept(project: Project) -> list[Measurement]:
    return [a.measurement for a in project.annotations() if a.measurement is not None]


def test_each_change_is_undone_and_done_again_also_after_a_restart(root: Path) -> None:
    moved = replace(LINE, points=((11.0, 10.0), (14.0, 14.0)))
    with Project.open(root) as project:
        item = project.items()[0].id
        number = project.add_measurement(item, 0, LINE)
        project.update_annotation(number, measurement=moved)
        project.add_measurement(item, 0, OVAL)
        project.delete_annotations([number])
        assert kept(project) == [OVAL]
    states = [[moved, OVAL], [moved], [LINE], []]
    for expected in states:
        with Project.open(root) as project:
            assert project.undo() is not None
            assert kept(project) == expected
    with Project.open(root) as project:
        assert project.undo() is None
        for expected in (*reversed(states[:-1]), [OVAL]):
            assert project.redo() is not None
            assert kept(project) == expected
        assert [entry.description for entry in reversed(project.history())] == [
            "measure: distance", f"change measurement {number}", "measure: ellipse",
            "delete 1 annotation",
        ]  # fmt: skip


def test_what_is_no_measurement_is_refused(root: Path) -> None:
    with Project.open(root) as project:
        item = project.items()[0].id
        text = project.add_text(item, 0, "a text")
        with pytest.raises(UsageError, match="no measurement"):
            project.update_annotation(text, measurement=LINE)
        number = project.add_measurement(item, 0, LINE)
        with pytest.raises(UsageError, match="needs a text"):
            project.update_annotation(number, text="b")
        with pytest.raises(RecordNotFoundError):
            project.add_measurement(item + 99, 0, LINE)
        with pytest.raises(UsageError):
            project.add_measurement(item, -1, LINE)


def test_neither_training_nor_counting_takes_them_for_labels(root: Path) -> None:
    with Project.open(root) as project:
        item = project.items()[0].id
        project.store.items.add_many([NewItem("b.png", Path("/b.png"), MediaKind.IMAGE, "b" * 64)])
        project.add_measurement(item, 0, LINE)
        counts = project.info().counts
        assert (counts.labelled, counts.annotations, counts.measurements) == (0, 0, 1)
        assert project.count(ItemQuery(status="unlabelled")) == 2
        assert project.count(ItemQuery(status="labelled")) == 0
        other = project.find_item("b.png").id
        project.set_label([item], "one")
        project.set_label([other], "two")
        project.add_measurement(item, 0, OVAL)
        assert {entry.label for entry in collect(project).items} == {"one", "two"}
        assert project.info().counts.labelled == 2


@pytest.mark.parametrize("name", ["jsonl", "csv", "coco"])
def test_an_export_brings_them_back_whole(root: Path, tmp_path: Path, name: str) -> None:
    from vlmtool_core.formats import write_annotations

    with Project.open(root) as project:
        item = project.items()[0].id
        for shape in (LINE, measured(project, OVAL)):
            project.add_measurement(item, 0, shape)
        project.add_text(item, 0, "beside it")
        before = kept(project)
        rows = list(annotation_rows(project))
        file = tmp_path / f"out.{name}"
        file.write_text("".join(write_annotations(name, rows, [])), encoding="utf-8", newline="")
        project.delete_annotations([a.id for a in project.annotations()])
        assert kept(project) == []
        assert import_annotations(project, file, name).changed == 3
        assert kept(project) == before
        # What is there already is not taken in twice.
        assert import_annotations(project, file, name).changed == 0


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"kind": "distance", "points": [[1, 2]]}, "points"),
        ({"kind": "circle", "points": [[1, 2], [3, 4]]}, "kind"),
        ({"kind": "distance", "points": [[1, 2], [3, 4]], "result": {"lenght": 1}}, "lenght"),
        ({"kind": "distance", "points": [[1, 2], [3, 4]], "result": {"length": "5"}}, "length"),
        (None, "measurement"),
    ],
)
def test_a_wrong_measurement_in_a_file_is_named(
    root: Path, tmp_path: Path, wrong: object, field: str
) -> None:
    file = tmp_path / "wrong.jsonl"
    line = {"item": "ct.dcm", "kind": "measurement", "measurement": wrong}
    file.write_text(json.dumps(line) + "\n", encoding="utf-8")
    with Project.open(root) as project:
        line["item"] = project.items()[0].name
        file.write_text(json.dumps(line) + "\n", encoding="utf-8")
        with pytest.raises(FormatError) as caught:
            import_annotations(project, file, "jsonl")
        assert field in str(caught.value.field)
        assert kept(project) == []


def test_results_are_checked_against_the_pixels_as_they_are(root: Path) -> None:
    with Project.open(root) as project:
        record = project.items()[0]
        for shape in (LINE, OVAL):
            project.add_measurement(record.id, 0, measured(project, shape))
        assert [one.changes for one in checked_measurements(project)] == [(), ()]
        data = pydicom.dcmread(record.path)
        data.PixelSpacing = [1, 1]
        data.RescaleIntercept = "0"
        data.save_as(record.path)
        line, oval = checked_measurements(project, record.id)
        assert line.now is not None
        assert line.now.length == pytest.approx(5)
        assert any("pixel spacing was 0.6615" in change for change in line.changes)
        assert any("values were" in change for change in oval.changes)
        record.path.unlink()
        lost = list(checked_measurements(project))
        assert [one.now for one in lost] == [None, None]
        assert all(one.error is not None for one in lost)
        assert lost[1].measurement.result.value_unit == "HU"


def test_the_command_lists_them_with_units_and_spacing(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with Project.open(root) as project:
        item = project.items()[0]
        project.add_measurement(item.id, 0, measured(project, OVAL))
        project.add_measurement(item.id, 0, LINE)
    assert run_cli(["measurements", str(root), "--json"]) == 0
    oval, line = json.loads(capsys.readouterr().out)
    assert (oval["kind"], oval["now"]["value_unit"], oval["changes"]) == ("ellipse", "HU", [])
    assert oval["now"]["spacing_source"] == "PixelSpacing"
    assert oval["stored"] == oval["now"]
    assert line["stored"]["unit"] == "px"
    assert line["now"]["unit"] == "mm"
    assert line["changes"][0] == "pixel spacing was unknown"
    assert run_cli(["measurements", str(root)]) == 0
    table = capsys.readouterr().out
    assert "HU" in table
    assert "changed" in table
    item.path.unlink()
    assert run_cli(["measurements", str(root), "--stored", "--json"]) == 0
    assert [one["now"] for one in json.loads(capsys.readouterr().out)] == [None, None]
    assert run_cli(["measurements", str(root), "nothing"]) != 0
    capsys.readouterr()
    assert run_cli(["show", str(root), item.name]) == 0
    assert "ellipse" in capsys.readouterr().out


def test_a_measurement_on_a_later_frame_is_measured_there(tmp_path: Path) -> None:
    frames = np.stack([np.full((8, 8), value, np.uint16) for value in (10, 20, 30)])
    write_dicom(tmp_path / "many.dcm", frames)
    shape = Measurement(KIND.RECTANGLE, ((0.0, 0.0), (4.0, 4.0)))
    with Project.create(tmp_path / "p") as project:
        project.add([tmp_path / "many.dcm"])
        for frame in (2, 0):
            project.add_measurement(project.items()[0].id, frame, shape)
        means = [one.now.mean for one in checked_measurements(project) if one.now]
    assert means == [10, 30]


def killed_after_lines(count: int, *arguments: str | Path) -> list[str]:
    """Run the script, kill it once it has printed so many lines, and return all it printed."""
    command = [sys.executable, str(SCRIPT), *map(str, arguments)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n"
        lines = [process.stdout.readline() for _ in range(count)]
        process.kill()
        rest = process.stdout.read()
    # What follows the last newline was cut by the kill.
    return "".join([*lines, rest]).split("\n")[:-1]


@pytest.mark.slow
def test_kills_while_measuring_lose_no_committed_measurement(tmp_path: Path) -> None:
    root = tmp_path / "p"
    with Project.create(root) as project:
        project.store.items.add_many(
            [NewItem(f"{i}.png", Path(f"/{i}.png"), MediaKind.IMAGE, f"{i:064x}") for i in range(5)]
        )
    committed: set[str] = set()
    for attempt, lines in enumerate((3, 4, 8, 5)):
        printed = killed_after_lines(lines, "measure", root, str(attempt))
        assert len(printed) >= lines
        committed.update(printed)
        assert_sound(root)
        with Project.open(root) as project:
            found = {f"{one.points[1][0]:g} {one.points[1][1]:g}" for one in kept(project)}
            assert committed <= found
    with Project.open(root) as project:
        before = kept(project)
        assert all(project.undo() is not None for _ in range(10))
        assert all(project.redo() is not None for _ in range(10))
        assert kept(project) == before
