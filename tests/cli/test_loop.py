"""The loop on the command line with the real starter: label, train, eval, use, rollback, re-run."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from vlmtool_core.cli.main import run_cli

COLOURS = {"red": (210, 40, 40), "green": (40, 180, 60), "blue": (50, 70, 210)}


def draw(folder: Path, each: int) -> Path:
    """Noisy discs of three colours, and a table of their labels; returns the table."""
    generator = np.random.default_rng(0)
    folder.mkdir()
    y, x = np.mgrid[:64, :64]
    rows = ["path,label"]
    for colour, rgb in COLOURS.items():
        for number in range(each):
            centre, radius = generator.integers(24, 40, 2), generator.integers(12, 24)
            disc = (x - centre[0]) ** 2 + (y - centre[1]) ** 2 < radius**2
            pixels = np.where(disc[..., None], rgb, 230) + generator.normal(0, 20, (64, 64, 3))
            path = folder / f"{colour}-{number}.png"
            Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(path)
            rows.append(f"{path.name},{colour}")
    table = folder.parent / "labels.csv"
    table.write_text("\n".join(rows).replace("\n", f"\n{folder.name}/") + "\n")
    return table


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project of 36 pictures, without labels; `labels.csv` lies beside it."""
    draw(tmp_path / "in", 12)
    root = tmp_path / "p"
    assert run_cli(["project", "new", str(root)]) == 0
    assert run_cli(["add", str(root), str(tmp_path / "in")]) == 0
    return root


def read(capsys: pytest.CaptureFixture[str], *arguments: object) -> Any:
    """The JSON that a command prints."""
    capsys.readouterr()
    assert run_cli([*map(str, arguments), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def fail(capsys: pytest.CaptureFixture[str], code: int, *arguments: object) -> str:
    """What a command that ends with `code` says."""
    capsys.readouterr()
    assert run_cli([str(argument) for argument in arguments]) == code
    captured = capsys.readouterr()
    assert "Traceback" not in captured.err
    return captured.err


@pytest.mark.model
def test_the_whole_loop(
    starter_home: Path, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = project.parent / "labels.csv"
    labelled = read(capsys, "label", project, "--from", table)
    assert labelled == {"labelled": 36, "unchanged": 0, "grouped": 0, "unknown": []}

    first = read(capsys, "train", project, "--task", "classify", "--method", "probe")
    assert first["activated"]
    assert first["version"]["label"] == "v1"
    assert first["old"]["model"] == "starter-vision"
    assert first["new"]["accuracy"]["value"] >= max(0.8, first["old"]["accuracy"]["value"])
    assert first["old"]["count"] == first["new"]["count"] == 6

    second = read(capsys, "train", project, "--seed", 3, "--balanced", "--no-text")
    assert second["old"]["model"] == "v1"
    assert second["seconds"] < 15

    report = read(capsys, "eval", project, "--model", "starter-vision", "--model", "v1")
    assert [e["model"] for e in report["evaluations"]] == ["starter-vision", "v1"]
    assert report["evaluations"][1]["accuracy"] == first["new"]["accuracy"]
    assert report["evaluations"][0]["accuracy"] == first["old"]["accuracy"]
    assert 0 <= report["comparisons"][0]["p_value"] <= 1
    assert sum(map(sum, report["evaluations"][1]["confusion"])) == 6

    assert run_cli(["models", "use", str(project), "v1"]) == 0
    assert "v1 is active" in capsys.readouterr().out
    assert run_cli(["models", "rollback", str(project)]) == 0
    assert run_cli(["models", "rollback", str(project)]) == 0
    listed = read(capsys, "models", "history", project)
    assert [v["label"] for v in listed["versions"]] == ["v1", "v2"]
    assert listed["activations"][0]["version"] == 1
    assert listed["activations"][-1]["action"] == "rollback"
    assert run_cli(["eval", str(project)]) == 0
    assert "Macro-F1" in capsys.readouterr().out


def test_unknown_paths_stop_a_table(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = project.parent / "some.csv"
    table.write_text("path,label\nin/red-0.png,red\nin/gone.png,red\n")
    text = fail(capsys, 1, "label", project, "--from", table)
    assert "in/gone.png" in text
    assert "--skip-unknown" in text
    text = fail(capsys, 1, "label", project, "--from", table, "--skip-unknown")
    assert "no such item: in/gone.png" in text
    assert read(capsys, "label", project, "--from", _without_gone(table))["unchanged"] == 1


def _without_gone(table: Path) -> Path:
    table.write_text("path,label\nin/red-0.png,red\n")
    return table


def test_one_item_by_name(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    item = project.parent / "in" / "red-0.png"
    assert read(capsys, "label", project, item, "red")["changed"]
    assert not read(capsys, "label", project, item, "red")["changed"]
    assert read(capsys, "label", project, item, "--clear") == {
        "item": read(capsys, "label", project, item, "red")["item"],
        "label": None,
        "changed": True,
    }


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (("label", "P"), 2, "either --from"),
        (("label", "P", "in/red-0.png"), 2, "LABEL"),
        (("label", "P", "nothing.png", "x"), 2, "no such item"),
        (("label", "P", "--from", "none.csv"), 1, "No such file"),
        (("label", "elsewhere", "x", "y"), 2, "no project"),
        (("train", "P"), 1, "no label is in use"),
        (("train", "P", "--holdout", "0.9"), 2, "holdout"),
        (("train", "P", "--task", "detect"), 2, "classify"),
        (("eval", "P"), 1, "no label is in use"),
        (("models", "use", "P", "v1"), 2, "v1"),
        (("models", "use", "P", "best"), 2, "expected a version"),
        (("models", "rollback", "P"), 2, "no earlier version"),
    ],
)
def test_what_goes_wrong_is_said(
    project: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    code: int,
    text: str,
) -> None:
    assert text in fail(capsys, code, *(str(project) if a == "P" else a for a in arguments))


def test_one_label_is_refused_with_what_to_do(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = project.parent / "one.csv"
    table.write_text("path,label\nin/red-0.png,red\nin/red-1.png,red\n")
    assert run_cli(["label", str(project), "--from", str(table)]) == 0
    text = fail(capsys, 1, "train", project)
    assert "only the label 'red'" in text
    assert "two or more labels" in text


def test_a_missing_pack_says_which_command_brings_it(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = project.parent / "labels.csv"
    assert run_cli(["label", str(project), "--from", str(table)]) == 0
    assert "vlmtool-cli models pull starter" in fail(capsys, 3, "train", project)


def test_labelling_loads_no_torch(project: Path) -> None:
    code = (
        "import sys; from vlmtool_core.cli.main import run_cli; "
        f"code = run_cli(['label', {str(project)!r}, '--from', "
        f"{str(project.parent / 'labels.csv')!r}]); "
        "sys.exit(code or 'torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
