"""What the plugin contributes, through the hooks and on the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from medical_objects import write_object

from vlmtool_core.api import MediaInfo, MediaKind
from vlmtool_core.cli.main import run_cli
from vlmtool_core.hooks.manager import PluginManager
from vlmtool_medical import INTENDED_USE
from vlmtool_medical.windows import PRESETS, windows_for


def test_the_plugin_is_found_and_says_what_it_is_for() -> None:
    manager = PluginManager()
    assert manager.failures == []
    info = manager.plugins["medical"]
    assert info.intended_use == INTENDED_USE
    assert "not for diagnostic use" in INTENDED_USE
    names = {label_set.name for label_set in manager.label_sets()}
    assert {"chest-view", "film-quality", "modality", "body-part"} <= names
    assert manager.workflow("medical.deidentify").many_inputs is False
    assert "radiograph" in manager.prompts()


def test_presets_are_for_hounsfield_units_only() -> None:
    manager = PluginManager()
    assert manager.window_presets("HU") == PRESETS
    assert manager.window_presets("") == ()
    assert manager.window_presets("BQML") == ()
    ct = MediaInfo(Path("a"), MediaKind.DICOM, 1, 1, unit="HU")
    mr = MediaInfo(Path("a"), MediaKind.DICOM, 1, 1, unit="")
    assert [w.explanation for w in windows_for(ct)] == [p.name for p in PRESETS]
    assert windows_for(mr) == ()
    lung = next(preset for preset in PRESETS if preset.name == "Lung")
    assert (lung.center, lung.width) == (-600, 1500)


def test_label_sets_are_usable_with_the_keyboard() -> None:
    for label_set in PluginManager().label_sets():
        names = [label.name for label in label_set.labels]
        keys = [label.shortcut for label in label_set.labels if label.shortcut]
        assert len(set(names)) == len(names)
        assert len(set(keys)) == len(keys)


def test_the_command_cleans_a_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_object(tmp_path / "in" / "a")
    out = tmp_path / "out"
    assert run_cli(["medical", "deidentify", str(tmp_path / "in"), str(out)]) == 0
    assert "1 files de-identified" in capsys.readouterr().out
    assert len(list((out / "images").rglob("*.dcm"))) == 1
    assert json.loads((out / "report" / "report.json").read_text())["run"]["proof"] == "passed"


def test_the_command_fails_loudly(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_object(tmp_path / "in" / "a", BodyPartExamined="MUSTERMANN")
    source, out = str(tmp_path / "in"), str(tmp_path / "out")
    assert run_cli(["medical", "deidentify", source, out]) == 1
    assert "still there" in capsys.readouterr().err
    assert run_cli(["medical", "deidentify", source, source]) == 2
    assert run_cli(["medical", "deidentify", source, out]) == 2
    assert run_cli(["medical", "deidentify", source]) == 2
    assert run_cli(["medical", "deidentify", str(tmp_path / "nowhere"), out + "2"]) != 0


def test_the_sample_runs(tmp_path: Path) -> None:
    workflow = PluginManager().workflow("medical.deidentify")
    assert workflow.sample is not None
    sample = workflow.sample(tmp_path)
    assert len(list(sample.inputs[0].iterdir())) == 3
    assert (
        run_cli(["medical", "deidentify", str(sample.inputs[0]), str(sample.values["output"])]) == 0
    )
