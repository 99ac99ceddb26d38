"""What a model saw is made again from what was kept with its prediction."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydicom.data import get_testdata_file

from vlmtool_core.cli.main import run_cli as cli
from vlmtool_core.engine.pictures.preprocessing import Preprocessing
from vlmtool_core.engine.pictures.seen import what_the_model_saw
from vlmtool_core.media import Window, open_media
from vlmtool_core.media.dicom.voi import render_window

CT = Path(str(get_testdata_file("CT_small.dcm")))


def test_the_crop_and_size_of_the_network(tmp_path: Path) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (90, 200, 3), dtype=np.uint8)
    path = tmp_path / "p.png"
    Image.fromarray(pixels).save(path)
    steps = Preprocessing(64, 0.9)
    with open_media(path) as source:
        frame = source.frame()
        provenance = {**steps.provenance(frame), "picture": dict(frame.provenance)}
        seen = what_the_model_saw(source, 0, provenance)
    assert (seen.exact, seen.differs) == (True, ())
    # The crop is kept with two decimals, so a level of grey may round the other way.
    difference = np.abs(seen.pixels.astype(int) - steps.square(frame.pixels).astype(int))
    assert difference.max() <= 2


def test_the_window_of_then() -> None:
    window = Window(100, 300, "then", "LINEAR_EXACT")
    with open_media(CT) as source:
        frame = source.frame(window=window)
        seen = what_the_model_saw(source, 0, {"picture": dict(frame.provenance)})
        values = source.modality_values()  # type: ignore[attr-defined]
    assert not seen.exact
    np.testing.assert_array_equal(seen.pixels[:, :, 0], render_window(values, window))


def test_what_is_not_as_it_was_is_told() -> None:
    with open_media(CT) as source:
        picture = {**source.frame().provenance, "decoder": "pydicom 2.0"}
        seen = what_the_model_saw(source, 0, {"picture": picture})
        unknown = what_the_model_saw(source, 0, {"crop": "damaged", "input": None})
    assert seen.differs[0].startswith("decoder was pydicom 2.0, is pydicom 3")
    assert unknown.differs == ("it was not recorded how the picture was decoded",)


@pytest.mark.model
def test_from_the_command_line(
    starter_home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "ct.dcm").write_bytes(CT.read_bytes())
    project, out = str(tmp_path / "project"), tmp_path / "seen.png"
    assert cli(["project", "new", project]) == 0
    assert cli(["add", project, str(folder)]) == 0
    assert cli(["run", project, "--task", "classify", "--labels", "cat,scan"]) == 0
    capsys.readouterr()
    assert cli(["seen", project, "ct.dcm", "-o", str(out), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["exact"]
    assert told["differs"] == []
    assert told["provenance"]["picture"]["voi"]["width"] > 0
    assert told["model"].startswith("starter-vision")
    with Image.open(out) as picture:
        assert list(picture.size) == told["provenance"]["input"]
    assert cli(["seen", project, "ct.dcm", "--task", "detect", "-o", str(out)]) != 0
