"""`vlmtool-cli media`: what comes out is what independent code computes from the same bytes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.data import get_testdata_file

from vlmtool_core.cli.main import run_cli
from vlmtool_core.settings import Settings, save_settings


@pytest.fixture
def ct() -> Path:
    return Path(str(get_testdata_file("CT_small.dcm")))


def output(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> str:
    assert run_cli(["media", *arguments]) == code
    return capsys.readouterr().out


def test_info_leaves_out_who_it_is_unless_asked(ct, capsys):
    values = json.loads(output(capsys, "info", str(ct), "--json"))
    assert (values["kind"], values["width"], values["height"], values["unit"]) == (
        "dicom", 128, 128, "HU",
    )  # fmt: skip
    assert "identifying" not in values
    assert "CompressedSamples" not in output(capsys, "info", str(ct))
    told = json.loads(output(capsys, "info", str(ct), "--identifying", "--json"))
    assert any("CompressedSamples" in value for value in told["identifying"].values())


@pytest.mark.parametrize("window", ["40/400", "40/400/linear_exact", "-20.5/1000/sigmoid"])
def test_render_follows_the_standard_from_the_raw_bytes(ct, tmp_path, capsys, window):
    out = tmp_path / "out.png"
    output(capsys, "render", str(ct), "--window", window, "-o", str(out))
    dataset = pydicom.dcmread(ct)
    stored = np.frombuffer(dataset.PixelData, "<i2").reshape(128, 128)
    values = stored * float(dataset.RescaleSlope) + float(dataset.RescaleIntercept)
    center, width, *function = window.split("/")
    c, w = float(center), float(width)
    if function == ["sigmoid"]:
        grey = 255 / (1 + np.exp(-4 * (values - c) / w))
    elif function:
        grey = np.clip(((values - c) / w + 0.5) * 255, 0, 255)
    else:
        grey = np.clip(((values - (c - 0.5)) / (w - 1) + 0.5) * 255, 0, 255)
    shown = np.asarray(Image.open(out))
    assert np.abs(shown[:, :, 0] - np.rint(grey)).max() <= 1


@pytest.mark.parametrize(("size", "expected"), [("64x64", (64, 32)), ("400x10", (20, 10))])
def test_render_fits_into_the_size_and_keeps_the_aspect(tmp_path, capsys, size, expected):
    picture, out = tmp_path / "wide.png", tmp_path / "out.png"
    Image.new("RGB", (200, 100), "red").save(picture)
    told = output(capsys, "render", str(picture), "--size", size, "-o", str(out), "--json")
    assert Image.open(out).size == expected
    values = json.loads(told)
    assert (values["width"], values["height"]) == expected
    assert values["source_size"] == [200, 100]


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (["--window", "40"], "--window"),
        (["--window", "40/0"], "--window"),
        (["--window", "40/400/cubic"], "--window"),
        (["--size", "40"], "--size"),
        (["--frame", "5"], "--frame"),
    ],
)
def test_a_wrong_option_is_named_and_nothing_is_written(ct, tmp_path, capsys, options, named):
    out = tmp_path / "out.png"
    assert run_cli(["media", "render", str(ct), "-o", str(out), *options]) == 2
    assert named in capsys.readouterr().err
    assert not out.exists()


def test_verify_tells_whole_damaged_and_unsupported_apart(tmp_path, capsys, ct):
    Image.effect_noise((300, 200), 60).convert("RGB").save(tmp_path / "whole.jpg")
    (tmp_path / "cut.jpg").write_bytes((tmp_path / "whole.jpg").read_bytes()[:4000])
    (tmp_path / "ct.dcm").write_bytes(ct.read_bytes())
    report = Path(str(get_testdata_file("reportsi.dcm")))
    (tmp_path / "report.dcm").write_bytes(report.read_bytes())
    found = json.loads(output(capsys, "verify", str(tmp_path), "--json", code=1))
    verdicts = {entry["item"]: entry["verdict"] for entry in found}
    assert verdicts == {
        "whole.jpg": "whole", "cut.jpg": "damaged", "ct.dcm": "whole", "report.dcm": "unsupported",
    }  # fmt: skip
    (tmp_path / "cut.jpg").unlink()
    (tmp_path / "report.dcm").unlink()
    assert "ct.dcm: whole, 1/1 frames" in output(capsys, "verify", str(tmp_path))


def test_verify_counts_the_frames_that_a_video_lost(tmp_path, capsys):
    import av

    whole = tmp_path / "whole.mkv"
    with av.open(str(whole), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for n in range(40):
            pixels = np.full((48, 64, 3), n * 6, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode(None))
    found = json.loads(output(capsys, "verify", str(whole), "--json"))
    assert (found[0]["frames_expected"], found[0]["frames_delivered"]) == (40, 40)
    data = bytearray(whole.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 400] = bytes(400)
    (tmp_path / "damaged.mkv").write_bytes(data)
    found = json.loads(output(capsys, "verify", str(tmp_path / "damaged.mkv"), "--json", code=1))
    assert found[0]["verdict"] == "damaged"


def test_the_setting_outranks_the_option(ct, capsys, home):
    save_settings(Settings(hide_identifying_values=True))
    for command in ("info", "header"):
        assert run_cli(["media", command, str(ct), "--identifying"]) == 2
        assert "hide_identifying_values" in capsys.readouterr().err
    assert "CompressedSamples" not in output(capsys, "info", str(ct))
