"""`vlmtool-cli segment` and `enhance` as a user runs them: exit codes, both streams, files."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from vlmtool_core.cli.main import cli as group
from vlmtool_core.cli.main import run_cli
from vlmtool_core.engine import ModelStore
from vlmtool_core.engine.pictures.rle import decode_mask
from vlmtool_core.formats import result_from_json

FAMILIES = Path(__file__).parents[1] / "core" / "engine" / "families"
CLI = (sys.executable, "-m", "vlmtool_core.cli.main")


@pytest.fixture(scope="module")
def sam_folder(tmp_path_factory) -> Path:
    sys.path.insert(0, str(FAMILIES))
    from segment_models import BUILDERS

    path = tmp_path_factory.mktemp("models") / "tiny-sam"
    path.mkdir()
    return BUILDERS["sam"](path)


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    rng = np.random.default_rng(4)
    coarse = Image.fromarray(rng.integers(0, 255, (6, 9, 3), np.uint8))
    path = tmp_path / "cells.png"
    coarse.resize((90, 60)).save(path)
    return path


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    code = run_cli([str(argument) for argument in arguments])
    said = capsys.readouterr()
    return code, said.out, said.err


def test_a_mask_as_words_json_and_png(home, sam_folder, picture, tmp_path, capsys):
    ModelStore().add_folder(sam_folder, "tiny-sam")
    pointed = ("segment", picture, "--model", "tiny-sam", "--point", "40,30", "--point", "80,5,-")
    code, out, _ = run(capsys, *pointed)
    assert code == 0
    assert out.startswith("1: ")
    code, out, _ = run(capsys, *pointed, "--json")
    row = result_from_json(json.loads(out))
    assert (row.item, row.size, len(row.sha256)) == ("cells.png", (90, 60), 64)
    mask = row.outcome.masks[0]
    assert mask.size == (60, 90)
    code, _, err = run(capsys, *pointed, "--out", tmp_path / "mask.png")
    assert (code, "Wrote" in err) == (0, True)
    with Image.open(tmp_path / "mask.png") as image:
        np.testing.assert_array_equal(np.asarray(image) == 255, decode_mask(mask))
    boxed = ("segment", picture, "--model", "tiny-sam", "--box", "5,5,50,50", "--box", "9,9,80,55")
    code, _, _ = run(capsys, *boxed, "--out", tmp_path / "two.json")
    assert code == 0
    document = json.loads((tmp_path / "two.json").read_text())
    assert len(result_from_json(document).outcome.masks) == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "nothing is pointed at"),
        (["--point", "1"], "expected X,Y or X,Y,-"),
        (["--point", "1,b"], "expected X,Y or X,Y,-"),
        (["--point", "1,2,+"], "expected X,Y or X,Y,-"),
        (["--point", "900,5"], "outside of the picture"),
        (["--box", "1,2,3"], "expected X1,Y1,X2,Y2"),
        (["--box", "9,9,1,1"], "x1 < x2"),
        (["--point", "1,1", "--box", "0,0,5,5", "--box", "1,1,5,5"], "one box at most"),
        (["--point", "1,1", "--frame", "7"], "no frame 7"),
        (["--point", "1,1", "--out", "mask.bmp"], ".png or .json"),
        (["--box", "1,1,5,5", "--box", "2,2,9,9", "--out", "mask.png"], "one mask, not 2"),
    ],
)
def test_wrong_calls_are_exit_2(arguments, message, home, sam_folder, picture, capsys):
    ModelStore().add_folder(sam_folder, "tiny-sam")
    code, out, err = run(capsys, "segment", picture, "--model", "tiny-sam", *arguments)
    assert (code, out) == (2, "")
    assert message in err


def test_the_picture_itself_is_never_written_over(home, sam_folder, picture, capsys):
    ModelStore().add_folder(sam_folder, "tiny-sam")
    before = picture.read_bytes()
    given = ("--model", "tiny-sam", "--point", "5,5", "--out", picture)
    code, _, err = run(capsys, "segment", picture, *given)
    assert (code, "the picture itself" in err) == (2, True)
    assert picture.read_bytes() == before


def test_without_a_model_exit_3_names_the_catalogue(home, picture, capsys):
    code, _, err = run(capsys, "segment", picture, "--point", "5,5")
    assert code == 3
    assert "vlmtool-cli models recommend --task segment" in err


def test_enhance_a_folder(home, picture, tmp_path, capsys):
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "cells.png").write_bytes(picture.read_bytes())
    (folder / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\nbad")
    given = ("enhance", folder, "--method", "clahe", "-o", tmp_path / "out", "--option", "tiles=4")
    code, out, err = run(capsys, *given, "--json")
    assert code == 1
    report = json.loads(out)
    assert [Path(made).name for made in report["made"]] == ["cells.png.enhanced-clahe.png"]
    assert [failed["item"] for failed in report["failed"]] == ["bad.png"]
    assert "1 pictures made, 1 failed" in err
    assert "failed: bad.png" in err
    code, _, err = run(capsys, *given)
    assert (code, "1 were there already" in err) == (1, True)
    code, out, _ = run(capsys, "media", "info", tmp_path / "out" / "cells.png.enhanced-clahe.png")
    assert (code, "derived picture, not the original" in out) == (0, True)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--method", "clahe", "--option", "tiles"], 2, "expected NAME=VALUE"),
        (["--method", "clahe", "--option", "tiles=0"], 2, "a whole number from 1 to 64"),
        (["--method", "clahe", "--option", "x=1"], 2, "no such option"),
        (["--method", "rapidocr"], 2, "not enhance"),
        (["--method", "nobody"], 3, "nobody"),
    ],
)
def test_wrong_enhance_calls(arguments, code, message, home, picture, tmp_path, capsys):
    found, _, err = run(capsys, "enhance", picture, "-o", tmp_path / "out", *arguments)
    assert found == code, err
    assert message in err
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_ctrl_c_keeps_what_is_done(home, tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for n in range(8):
        noise = rng.integers(0, 255, (300, 400, 3), np.uint8)
        Image.fromarray(noise).save(folder / f"{n:02}.png")
    given = [*CLI, "enhance", folder, "--method", "denoise", "-o", tmp_path / "out", "--json"]
    with subprocess.Popen(
        [str(part) for part in given], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        assert "enhance denoise" in process.stderr.readline()
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=120)
    assert process.returncode == 130, err
    report = json.loads(out)
    assert report["cancelled"]
    made = sorted((tmp_path / "out").glob("*.png"))
    assert [Path(path) for path in sorted(report["made"])] == made
    assert 0 < len(made) < 8
    assert all(path.with_suffix(".json").is_file() for path in made)


def test_help_names_the_exit_codes():
    for name in ("segment", "enhance"):
        text = CliRunner().invoke(group, [name, "--help"]).output
        assert "Exit codes" in text


def test_families_are_listed_with_what_they_take(capsys):
    code, out, _ = run(capsys, "models", "families", "--json")
    assert code == 0
    families = {entry["family"]: entry for entry in json.loads(out)}
    assert families["siglip"]["model_types"] == ["siglip", "siglip2"]
    assert families["sam2"]["tasks"] == ["segment"]
    assert {"clahe", "denoise", "swin2sr"} <= families.keys()
    assert all(entry["what"] and entry["tasks"] for entry in families.values())
    code, out, _ = run(capsys, "models", "families", "--task", "segment")
    lines = out.splitlines()
    assert [line.split("\t")[0] for line in lines[2:]] == ["sam", "sam-hq", "sam2"]
