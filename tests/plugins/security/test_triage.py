"""The whole workflow: folders in, findings, frame sheets, table and timeline out."""

from __future__ import annotations

import csv
import hashlib
import json
import re
import signal
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pytest
from security_clips import clip, passing

from vlmtool_core.api import CancelledError, CancelToken, Label, Progress, Region, UsageError
from vlmtool_core.cli.main import run_cli
from vlmtool_core.hooks.manager import plugin_manager
from vlmtool_core.hooks.workflow import WorkflowResult
from vlmtool_core.project.workflows import run_workflow
from vlmtool_security.sample import write_clip
from vlmtool_security.workflow import described


def triage(inputs, out: Path, **values) -> WorkflowResult:
    regions = values.pop("regions", ())
    options = {key: values.pop(key) for key in ("progress", "cancel") if key in values}
    workflow = plugin_manager().workflow("security.triage")
    given = {"out": out, "tags": False, **values}
    return run_workflow(None, workflow, inputs, given, regions, **options)


def table(out: Path, name: str = "triage.json") -> dict:
    return json.loads((out / name).read_text(encoding="utf-8"))


@pytest.fixture
def walk(tmp_path: Path) -> Path:
    return clip(tmp_path / "in" / "walk.mp4", passing(3, 6))


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_video_gives_findings_pictures_table_and_timeline(walk: Path, tmp_path: Path):
    before = contents(walk.parent)
    out = tmp_path / "out"
    result = triage([walk], out)
    assert contents(walk.parent) == before
    assert result.failures == ()
    (finding,) = result.findings
    assert finding.kind == "movement"
    assert finding.path == str(walk)
    assert finding.time_span_s == (pytest.approx(3, abs=0.3), pytest.approx(6, abs=0.3))
    assert 30 <= finding.frame <= 60
    assert 0.5 < finding.score < 1
    assert finding.box.label == "movement"
    assert finding.model.startswith("security.triage ")
    video = table(out)["videos"][0]
    assert video["sha256"] == hashlib.sha256(walk.read_bytes()).hexdigest()
    assert video["codec"] == "mpeg4"
    assert (video["frames_stated"], video["frames_present"]) == (120, 120)
    assert video["frames_asked_for"] == video["frames_decoded"]
    assert video["complete"] is True
    assert video["warnings"] == []
    (span,) = video["spans"]
    assert [span["start_s"], span["end_s"]] == pytest.approx(finding.time_span_s, abs=1e-3)
    assert span["box_xyxy"] == pytest.approx(finding.box.xyxy, abs=0.1)
    for document in result.documents:
        assert document.path.stat().st_size > 500
    assert {d.title for d in result.documents} >= {"Timeline", "Table"}
    assert table(out)["tags_model"] is None


def test_the_pictures_can_be_opened_and_show_the_peak(walk: Path, tmp_path: Path):
    import numpy as np
    from PIL import Image

    triage([walk], tmp_path / "out")
    video = table(tmp_path / "out")["videos"][0]
    with Image.open(tmp_path / "out" / video["overview"]) as overview:
        assert overview.size == (960, 3 * (192 + 20))
    with Image.open(tmp_path / "out" / video["spans"][0]["sheet"]) as sheet:
        assert sheet.size == (960, 2 * (192 + 20))
        red, green, blue = np.moveaxis(np.asarray(sheet), 2, 0)
        assert np.count_nonzero((red > 200) & (green > 60) & (green < 120) & (blue < 60)) > 50


class Page(HTMLParser):
    """Collects what a page refers to, and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.tags: list[str] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.links += [value for name, value in attrs if name in ("src", "href", "action")]

    def handle_data(self, data):
        self.text += data


def test_the_timeline_stands_alone_and_escapes_names(tmp_path: Path):
    name = 'a<img src=x onerror="x">&\'表 😀.mp4'
    video = clip(tmp_path / name, passing(2, 4), seconds=6)
    out = tmp_path / "out"
    triage([video], out)
    text = (out / "timeline.html").read_text(encoding="utf-8")
    page = Page(text)
    assert "script" not in page.tags
    assert "prefers-color-scheme: dark" in text
    assert not re.search(r"(https?:)?//(?!/)[a-z]", re.sub(r"file:///\S+", "", text))
    assert name in page.text
    assert "x" not in page.links
    for link in page.links:
        if link.startswith(("data:", "file:", "#")):
            continue
        assert (out / unquote(link)).is_file(), link
    assert any(link.startswith("file:") and "#t=2." in link for link in page.links)
    assert "0:00:02." in page.text


def test_two_videos_with_the_same_name_and_the_same_video_twice(tmp_path: Path):
    first = clip(tmp_path / "a" / "cam.mp4", passing(2, 4), seconds=6)
    second = clip(tmp_path / "b" / "cam.mp4", passing(1, 5), seconds=6)
    copy = tmp_path / "c" / "cam.mp4"
    copy.parent.mkdir()
    copy.write_bytes(first.read_bytes())
    result = triage([first, second, copy], tmp_path / "out")
    videos = table(tmp_path / "out")["videos"]
    assert [Path(v["path"]) for v in videos] == [first, second, copy]
    assert len({v["overview"] for v in videos}) == 3
    sheets = [v["spans"][0]["sheet"] for v in videos]
    assert len(set(sheets)) == 3
    assert [f.data["sheet"] for f in result.findings] == sheets


def test_a_second_run_writes_new_names_and_other_videos_are_refused(walk: Path, tmp_path: Path):
    out = tmp_path / "out"
    triage([walk], out)
    first = contents(out)
    triage([walk], out, sensitivity="high")
    triage([walk], out)
    now = contents(out)
    assert {path: now[path] for path in first} == first
    assert {p.name for p in out.glob("*.json")} == {
        "triage.json",
        "triage-2.json",
        "triage-3.json",
    }
    assert (out / table(out, "triage-2.json")["videos"][0]["spans"][0]["sheet"]).is_file()
    other = clip(tmp_path / "other.mp4", passing(1, 2), seconds=4)
    with pytest.raises(UsageError) as caught:
        triage([other], out)
    assert caught.value.field == "out"
    assert contents(out) == now


def test_a_table_of_somebody_else_is_not_touched(walk: Path, tmp_path: Path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "triage.json").write_text("{}")
    (out / "notes.txt").write_text("mine")
    with pytest.raises(UsageError, match=r"triage\.json"):
        triage([walk], out)
    assert contents(out) == {out / "triage.json": b"{}", out / "notes.txt": b"mine"}


@pytest.fixture
def bad_files(tmp_path: Path) -> list[Path]:
    import av
    from PIL import Image

    folder = tmp_path / "bad"
    folder.mkdir()
    (folder / "empty.mp4").write_bytes(b"")
    (folder / "text.mp4").write_text("this is no video\n" * 50)
    Image.new("RGB", (40, 30)).save(folder / "picture.mp4", "PNG")
    whole = clip(tmp_path / "whole.mp4", passing(1, 2), seconds=3).read_bytes()
    (folder / "header only.mp4").write_bytes(whole[: whole.index(b"mdat") + 4])
    with av.open(str(folder / "no frames.mp4"), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        container.start_encoding()
    return sorted(folder.iterdir())


def test_what_is_no_video_is_listed_and_the_rest_goes_on(walk, bad_files, tmp_path, capsys):
    out = tmp_path / "out"
    arguments = [*map(str, bad_files), str(walk), "--no-tags", "--out", str(out), "--json"]
    assert run_cli(["security", "triage", *arguments]) == 1
    captured = capsys.readouterr()
    document = json.loads(captured.out)
    assert [f["kind"] for f in document["findings"]] == ["movement"]
    failed = {Path(failure["path"]).name: failure for failure in document["failures"]}
    assert set(failed) == {path.name for path in bad_files}
    assert "no video" in failed["picture.mp4"]["message"]
    assert all(failure["remedy"] for failure in failed.values())
    for name in failed:
        assert name in captured.err
    assert len(table(out)["failures"]) == 5
    page = Page((out / "timeline.html").read_text(encoding="utf-8"))
    assert "header only.mp4" in page.text


def test_only_bad_files_still_give_a_report_and_exit_code_1(bad_files, tmp_path, capsys):
    out = tmp_path / "out"
    code = run_cli(["security", "triage", *map(str, bad_files), "--no-tags", "--out", str(out)])
    assert code == 1
    assert "0 events in 0 videos" in capsys.readouterr().out
    assert table(out)["videos"] == []


def test_a_folder_is_searched_for_videos(walk: Path, tmp_path: Path):
    (walk.parent / "notes.txt").write_text("x")
    (walk.parent / "torn.mp4").write_bytes(b"")
    deep = clip(walk.parent / "deep" / "other.mp4", passing(1, 2), seconds=4)
    result = triage([walk.parent], tmp_path / "out")
    assert {Path(v["path"]) for v in table(tmp_path / "out")["videos"]} == {walk, deep}
    assert [Path(f.path).name for f in result.failures] == ["torn.mp4"]


def test_a_truncated_video_is_looked_at_up_to_the_damage(walk: Path, tmp_path: Path):
    data = walk.read_bytes()
    torn = tmp_path / "torn.mp4"
    torn.write_bytes(data[: int(len(data) * 0.75)])
    result = triage([torn], tmp_path / "out")
    assert result.failures == ()
    kinds = [finding.kind for finding in result.findings]
    assert kinds == ["movement", "damage"]
    damage = result.findings[1]
    assert "truncated" in damage.title
    assert damage.time_span_s[0] < 11.9
    video = table(tmp_path / "out")["videos"][0]
    assert video["frames_present"] < video["frames_stated"] == 120
    assert video["warnings"]
    page = Page((tmp_path / "out" / "timeline.html").read_text(encoding="utf-8"))
    assert "truncated" in page.text


@pytest.mark.parametrize(("size", "count"), [((16, 16), 1), ((16, 16), 30), ((2, 400), 12)])
def test_very_short_and_very_small_videos(tmp_path: Path, size, count):
    import numpy as np

    random = np.random.default_rng(0)
    frames = (random.integers(0, 256, (size[1], size[0], 3), np.uint8) for _ in range(count))
    path = tmp_path / "tiny.mp4"
    write_clip(path, ((frame, index / 10) for index, frame in enumerate(frames)))
    result = triage([path], tmp_path / "out")
    assert result.failures == ()
    video = table(tmp_path / "out")["videos"][0]
    assert (video["width"], video["height"]) == size
    assert video["frames_present"] == count
    assert (tmp_path / "out" / video["overview"]).is_file()


def test_flipped_bytes_are_told(walk: Path, tmp_path: Path):
    import numpy as np

    data = bytearray(walk.read_bytes())
    middle = len(data) * 2 // 3
    noise = np.random.default_rng(2).integers(0, 256, 3000, np.uint8).tobytes()
    data[middle : middle + 3000] = noise
    torn = tmp_path / "flipped.mp4"
    torn.write_bytes(bytes(data))
    result = triage([torn], tmp_path / "out", scan="full")
    assert result.failures == ()
    assert "damage" in [finding.kind for finding in result.findings]
    assert "damaged" in table(tmp_path / "out")["videos"][0]["warnings"][0]


def test_areas_by_command_line(walk: Path, tmp_path: Path, capsys):
    sky = "0,0 320,0 320,60 0,60"
    arguments = ["security", "triage", str(walk), "--no-tags", "--json"]
    assert run_cli([*arguments, "--out", str(tmp_path / "a"), "--watch-area", sky]) == 0
    assert json.loads(capsys.readouterr().out)["findings"] == []
    assert table(tmp_path / "a")["regions"][0]["role"] == "watch-area"
    assert run_cli([*arguments, "--out", str(tmp_path / "b"), "--ignore-area", sky]) == 0
    assert len(json.loads(capsys.readouterr().out)["findings"]) == 1
    everything = "0,0 320,0 320,200 0,200"
    code = run_cli([*arguments, "--out", str(tmp_path / "c"), "--ignore-area", everything])
    assert code == 2
    assert "--watch-area" in capsys.readouterr().err
    assert not (tmp_path / "c").exists()


def test_progress_counts_seconds_of_footage(walk: Path, tmp_path: Path):
    seen: list[Progress] = []
    triage([walk, walk], tmp_path / "out", progress=seen.append)
    assert (seen[-1].done, seen[-1].total) == (24, 24)
    assert seen[-1].message == "walk.mp4"


def test_stopping_keeps_the_videos_that_were_done(walk: Path, tmp_path: Path):
    second = clip(tmp_path / "second.mp4", passing(2, 3), key_frame_every=200)
    third = clip(tmp_path / "third.mp4", passing(2, 3))
    cancel = CancelToken()

    def progress(progress: Progress) -> None:
        if progress.message == "second.mp4":
            cancel.cancel()

    result = triage([walk, second, third], tmp_path / "out", progress=progress, cancel=cancel)
    assert result.summary.startswith("Stopped")
    document = table(tmp_path / "out")
    assert document["complete"] is False
    names = [v["name"] for v in document["videos"]]
    assert names[0] == "walk.mp4"
    assert "third.mp4" not in names
    assert len(result.findings) >= 1
    cancel = CancelToken()
    cancel.cancel()
    with pytest.raises(CancelledError):
        triage([walk], tmp_path / "none", cancel=cancel)
    assert not (tmp_path / "none").exists()


def test_names_need_the_starter_and_say_how_to_do_without(walk: Path, tmp_path: Path, capsys):
    assert run_cli(["security", "triage", str(walk), "--out", str(tmp_path / "out")]) == 3
    error = capsys.readouterr().err
    assert "models pull starter" in error
    assert "--no-tags" in error
    assert not (tmp_path / "out").exists()


def test_the_sample_gives_its_two_walks(tmp_path: Path):
    from vlmtool_security.sample import WALKS

    workflow = plugin_manager().workflow("security.triage")
    sample = workflow.sample(tmp_path / "in")
    result = run_workflow(
        None, workflow, sample.inputs, {**sample.values, "out": tmp_path / "out"}, ()
    )
    assert [f.time_span_s for f in result.findings] == [
        (pytest.approx(start, abs=0.5), pytest.approx(end, abs=0.5)) for start, end in WALKS
    ]


def test_findings_reach_the_review_queue_of_a_project(walk: Path, tmp_path: Path, capsys):
    from vlmtool_core.project import Project

    moved = tmp_path / "elsewhere.mp4"
    moved.write_bytes(walk.read_bytes())
    stranger = clip(tmp_path / "stranger.mp4", passing(2, 4), seconds=6)
    with Project.create(tmp_path / "project") as project:
        project.add([walk])
        (item,) = project.items()
    arguments = ["security", "triage", *map(str, (walk, moved, stranger)), "--no-tags"]
    assert run_cli([*arguments, "--project", str(tmp_path / "project")]) == 0
    assert "3 findings are in the project's review queue" in capsys.readouterr().out
    with Project.open(tmp_path / "project") as project:
        findings = project.findings()
    assert sorted(str(f.item_id) for f in findings) == sorted([str(item.id)] * 2 + ["None"])
    assert all(f.time_span_s and f.box for f in findings)
    (documents,) = (tmp_path / "project" / "documents").iterdir()
    assert documents.name.startswith("security.triage-")
    assert (documents / "timeline.html").is_file()


@pytest.mark.slow
@pytest.mark.model
def test_the_model_names_what_moves(walk: Path, tmp_path: Path, starter_home: Path):
    result = triage([walk], tmp_path / "out", tags=True, labels="person, car, white square")
    (span,) = table(tmp_path / "out")["videos"][0]["spans"]
    assert {tag["label"] for tag in span["tags"]} <= {"person", "car", "white square"}
    assert result.findings[0].label == span["tags"][0]["label"]
    model = table(tmp_path / "out")["tags_model"]
    assert model["model"] in (tmp_path / "out" / "timeline.html").read_text(encoding="utf-8")
    assert len(model["fingerprint"]) == 64


def test_typed_names_get_the_prompts_that_are_known_for_them():
    car, forklift, mine = described([Label("Car"), Label("forklift"), Label("dog", ("my dog",))])
    assert car.prompts
    assert forklift == Label("forklift")
    assert mine.prompts == ("my dog",)


def overlap(first: tuple[float, float], second: tuple[float, float]) -> float:
    return max(0.0, min(first[1], second[1]) - max(first[0], second[0]))


@pytest.mark.parametrize(
    "sensitivity",
    [
        "normal",
        pytest.param("low", marks=pytest.mark.slow),
        pytest.param("high", marks=pytest.mark.slow),
    ],
)
def test_real_footage_with_known_events(shared_data: Path, tmp_path: Path, sensitivity):
    """Every event is covered to 90 % of its time, and no second is claimed far from an event."""
    folder = shared_data / "video"
    with (folder / "events.csv").open(encoding="utf-8") as file:
        events = [
            (row["file"], (float(row["start_s"]), float(row["end_s"])))
            for row in csv.DictReader(file)
        ]
    triage(sorted(folder.glob("*.mp4")), tmp_path / "out", sensitivity=sensitivity)
    found = {
        video["name"]: [(span["start_s"], span["end_s"]) for span in video["spans"]]
        for video in table(tmp_path / "out")["videos"]
    }
    assert {name: len(spans) for name, spans in found.items()} == {
        "car-detection.mp4": 3,  # two of the four cars pass at the same time
        "one-by-one-person-detection.mp4": 6,
    }
    for name, event in events:
        best = max(found[name], key=lambda span: overlap(span, event))
        assert overlap(best, event) >= 0.9 * (event[1] - event[0]), (name, event, best)
    for name, spans in found.items():
        for span in spans:
            inside = [event for video, event in events if video == name and overlap(span, event)]
            assert span[0] >= min(e[0] for e in inside) - 1.0, (name, span)
            assert span[1] <= max(e[1] for e in inside) + 1.0, (name, span)


def test_a_truncated_real_video(shared_data: Path, tmp_path: Path):
    data = (shared_data / "video" / "car-detection.mp4").read_bytes()
    torn = tmp_path / "torn.mp4"
    torn.write_bytes(data[: len(data) // 2])
    result = triage([torn], tmp_path / "out")
    assert [f.kind for f in result.findings][-1] == "damage"
    assert result.findings[0].time_span_s[0] == pytest.approx(4.4, abs=0.5)


def test_an_output_folder_that_cannot_be_made_is_refused_first(walk: Path, tmp_path: Path, capsys):
    (tmp_path / "file").write_text("x")
    out = tmp_path / "file" / "report"
    assert run_cli(["security", "triage", str(walk), "--no-tags", "--out", str(out)]) == 1
    error = capsys.readouterr().err
    assert "cannot be written to" in error
    assert "0:0" not in error


@pytest.mark.slow
def test_ctrl_c_ends_with_130_and_a_report_of_what_was_seen(shared_data: Path, tmp_path: Path):
    video = shared_data / "video" / "one-by-one-person-detection.mp4"
    command = [sys.executable, "-m", "vlmtool_core.cli.main", "security", "triage", str(video)]
    command += ["--no-tags", "--scan", "full", "--out", str(tmp_path / "out")]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        for line in process.stderr:
            if line.startswith("Triage footage"):
                process.send_signal(signal.SIGINT)
                break
        rest = process.stderr.read()
    assert process.returncode == 130
    assert "Stopping" in rest
    document = table(tmp_path / "out")
    assert document["complete"] is False
    assert document["videos"][0]["reached_s"] < 139


def test_regions_are_checked_before_anything_runs(walk: Path, tmp_path: Path):
    line = Region("watch-area", "line", ((0, 0), (5, 5)))
    with pytest.raises(UsageError) as caught:
        triage([walk], tmp_path / "out", regions=(line,))
    assert caught.value.field == "watch-area"
    assert not (tmp_path / "out").exists()
