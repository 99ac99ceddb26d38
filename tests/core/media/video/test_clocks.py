"""Wall-clock times of recordings: of the file or typed, corrected per camera, audited."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import av
import pytest
from click.testing import CliRunner
from media_clips import numbered_frame, write_clip

from vlmtool_core.cli.clock import clock
from vlmtool_core.errors import UsageError
from vlmtool_core.media import open_media
from vlmtool_core.project import Project
from vlmtool_core.project.clocks import WallClock, camera_of, set_offset, set_start, wall_clock


def recorded(path: Path, at: str) -> Path:
    """Two seconds of video that says when it was made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as output:
        output.metadata["creation_time"] = at
        stream: Any = output.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        for number in range(20):
            frame = av.VideoFrame.from_ndarray(numbered_frame(number), "rgb24")
            output.mux(stream.encode(frame))
        output.mux(stream.encode())
    return path


@pytest.fixture
def footage(tmp_path: Path) -> Path:
    recorded(tmp_path / "media" / "door" / "a.mp4", "2026-03-01T10:20:30Z")
    recorded(tmp_path / "media" / "door" / "b.mp4", "2026-03-01T11:00:00Z")
    (tmp_path / "media" / "yard").mkdir()
    write_clip(tmp_path / "media" / "yard" / "c.mkv", 10)
    with Project.create(tmp_path / "project") as project:
        project.add([tmp_path / "media"], group_by="folder")
    return tmp_path / "project"


def clock_of(project: Project, name: str) -> WallClock | None:
    item = project.find_item(name)
    with open_media(item.path) as source:
        return wall_clock(project, item, source.info.facts)


def name_of(project: Project, ending: str) -> str:
    return next(item.name for item in project.items() if item.name.endswith(ending))


def test_the_offset_of_a_camera_holds_for_all_its_items(footage: Path) -> None:
    with Project.open(footage) as project:
        first, second, third = (name_of(project, end) for end in ("a.mp4", "b.mp4", "c.mkv"))
        camera = camera_of(project.find_item(first))
        assert camera == camera_of(project.find_item(second)) != camera_of(project.find_item(third))
        set_offset(project, camera, -12.5)
        found = clock_of(project, first)
        assert found is not None
        assert found.at(1.0) == datetime(2026, 3, 1, 10, 20, 18, 500_000, UTC)
        assert found.text(1.0) == "2026-03-01 10:20:18.500 UTC"
        other = clock_of(project, second)
        assert other is not None
        assert other.offset_s == -12.5
        assert clock_of(project, third) is None


def test_a_typed_start_wins_and_is_taken_back(footage: Path) -> None:
    with Project.open(footage) as project:
        name = name_of(project, "a.mp4")
        item = project.find_item(name)
        set_start(project, item, "2026-03-02 08:00:00+01:00")
        found = clock_of(project, name)
        assert found is not None
        assert found.text(0.25) == "2026-03-02 08:00:00.250 UTC+01:00"
        assert found.source == "typed"
        set_start(project, item, "2026-03-02 08:00:00")
        local = clock_of(project, name)
        assert local is not None
        assert local.text(0.0) == "2026-03-02 08:00:00.000"
        set_start(project, item, "")
        back = clock_of(project, name)
        assert back is not None
        assert back.source == "file"
        kinds = [entry.kind for entry in project.store.audit.entries()]
        assert kinds.count("clock.start") == 3
        assert project.store.audit.verify().broken_at is None
    with Project.open(footage) as project:
        assert clock_of(project, name) == back


def test_exported_results_have_the_time_of_day(footage: Path, tmp_path: Path) -> None:
    from vlmtool_core.formats.csv_format import write_results
    from vlmtool_core.formats.results import result_from_json, result_to_json
    from vlmtool_core.project.clocks import TimesOfDay
    from vlmtool_core.records import ModelIdentity, Outcome, OutcomeStatus, ResultRow, Task

    with Project.open(footage) as project:
        item = project.find_item(name_of(project, "a.mp4"))
        set_offset(project, camera_of(item), 2.0)
        times = TimesOfDay(project)
        taken_at = times.of(item.id, 0.5)
        assert taken_at == "2026-03-01 10:20:32.500 UTC"
        assert times.of(item.id, None) == ""
        assert times.of(project.find_item(name_of(project, "c.mkv")).id, 0.5) == ""
        item.path.rename(tmp_path / "gone.mp4")
        assert TimesOfDay(project).of(item.id, 0.5) == ""
    outcome = Outcome(OutcomeStatus.OK, text="a car")
    model = ModelIdentity("pack", "1")
    row = ResultRow("a.mp4", "0" * 64, 5, 0.5, Task.CAPTION, model, outcome, taken_at=taken_at)
    assert result_from_json(result_to_json(row)) == row
    head, line = "".join(write_results([row])).splitlines()
    assert dict(zip(head.split(","), line.split(","), strict=True))["taken_at"] == taken_at


def test_times_count_from_the_first_frame_of_the_file() -> None:
    found = WallClock(datetime(2026, 1, 1, 0, 0, 0), start_s=90.0, offset_s=3600.0)
    assert found.text(91.5) == "2026-01-01 01:00:01.500"


@pytest.mark.parametrize("text", ["yesterday", "2026-03-01", "10:20", "2026-13-01 10:00:00"])
def test_no_time_is_refused(footage: Path, text: str) -> None:
    with Project.open(footage) as project:
        item = project.items()[0]
        with pytest.raises(UsageError, match="no date with a time"):
            set_start(project, item, text)


@pytest.mark.parametrize("offset", [float("nan"), float("inf"), 1e12])
def test_no_offset_is_refused(footage: Path, offset: float) -> None:
    with Project.open(footage) as project, pytest.raises(UsageError, match="no offset"):
        set_offset(project, "door", offset)


def test_the_command_lists_and_sets(footage: Path) -> None:
    run = CliRunner()
    with Project.open(footage) as project:
        name = name_of(project, "a.mp4")
    result = run.invoke(clock, [str(footage), name, "--offset", "90", "--json"])
    assert result.exit_code == 0, result.output
    (row,) = json.loads(result.stdout)
    assert row["from"] == "2026-03-01 10:22:00.000 UTC"
    assert row["to"] == "2026-03-01 10:22:02.000 UTC"
    listed = run.invoke(clock, [str(footage)]).stdout.splitlines()
    assert len(listed) == 3
    assert any("give --start" in line for line in listed)
    assert run.invoke(clock, [str(footage), "--offset", "1"]).exit_code == 2
