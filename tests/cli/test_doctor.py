"""`vlmtool-cli doctor`: what it names, what it only notes, and its exit codes."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from vlmtool_core.cli import doctor_libraries
from vlmtool_core.cli.doctor_checks import (
    State,
    examine,
    memory_check,
    opencv_check,
    torch_pair,
)
from vlmtool_core.cli.doctor_libraries import Library, desktop_libraries, install_command, loads
from vlmtool_core.cli.main import run_cli
from vlmtool_core.engine.runtime.device_report import why_no_gpu
from vlmtool_core.engine.runtime.memory import GB, Memory


def test_this_machine_has_what_is_needed(capfd: pytest.CaptureFixture[str]) -> None:
    assert run_cli(["doctor", "--json"]) == 0
    checks = {c["name"]: c for c in json.loads(capfd.readouterr().out)}
    assert {"Python", "torch", "device", "memory", "OpenCV"} <= checks.keys()
    assert {"folders", "disk", "settings"} <= checks.keys()
    assert checks["model packs"]["state"] == "note"
    assert "models pull starter" in checks["model packs"]["remedy"]
    assert all(c["state"] in ("ok", "note", "warning") for c in checks.values())


def test_quiet_prints_only_what_is_wrong_and_imports_no_torch() -> None:
    code = (
        "import sys; from vlmtool_core.cli.main import run_cli;"
        "code = run_cli(['doctor', '--quiet']);"
        "print(code, 'torch' in sys.modules, 'PySide6' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.split() == ["0", "False", "False"]
    assert "model packs" not in done.stderr
    assert "device" not in done.stderr


def test_wrong_settings_are_named_with_exit_code_3(
    home: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (home / "config").mkdir()
    (home / "config" / "settings.toml").write_text("batch_size = 'many'\n")
    assert run_cli(["doctor", "--quiet"]) == 3
    error = capfd.readouterr().err
    assert "batch_size" in error
    assert "settings.toml" in error


def test_the_memory_for_models_is_told_and_what_does_not_fit() -> None:
    memory = Memory(total=16 * GB, available=8 * GB)
    needs = {"small": 2 * GB, "large": 9 * GB}
    found = memory_check(needs, 12 * GB, memory)
    assert found.state is State.WARNING
    assert "models may take 12.0 GB together; 8.0 GB of 16.0 GB free" in found.text
    assert "1.8 billion parameters in float32" in found.text
    assert "do not fit: large (9.0 GB)" in found.text
    assert "memory_budget_gb" in found.remedy
    assert memory_check({"small": 2 * GB}, 12 * GB, memory).state is State.OK
    assert "0.9 billion" in memory_check({}, 4 * GB, memory).text


def test_a_home_that_cannot_be_written_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("VLMTOOL_HOME", str(tmp_path / "file" / "home"))
    checks = {c.name: c for c in examine(thorough=False)}
    assert checks["folders"].state is State.MISSING
    assert "VLMTOOL_HOME" in checks["folders"].remedy


@pytest.mark.parametrize(
    ("torch", "torchvision", "state"),
    [
        ("2.14.1", "0.29.1", State.OK),
        ("2.11.0", "0.26.0", State.OK),
        ("2.14.1+cu130", "0.29.1+cu130", State.OK),
        ("2.14.1", "0.28.0", State.MISSING),
        ("2.14.1+cpu", "0.29.1", State.MISSING),
        ("2.10.0", "0.25.0", State.MISSING),
    ],
)
def test_torch_and_torchvision_belong_together(torch: str, torchvision: str, state: State) -> None:
    check = torch_pair(torch, torchvision)
    assert check.state is state
    assert bool(check.remedy) is (state is State.MISSING)


def test_the_installed_pair_belongs_together() -> None:
    assert torch_pair(version("torch"), version("torchvision")).state is State.OK


def test_a_second_opencv_is_refused() -> None:
    assert opencv_check({"opencv-python-headless"}).state is State.OK
    both = opencv_check({"opencv-python-headless", "opencv-python"})
    assert both.state is State.MISSING
    assert "pip uninstall" in both.remedy
    assert opencv_check(set()).state is State.MISSING


def test_missing_libraries_are_named_with_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    gone = (Library("libc.so.6", "libc6", "glibc"), Library("libnope.so.9", "libnope9", "nope"))
    monkeypatch.setattr(doctor_libraries, "BASE", gone)
    monkeypatch.setattr(doctor_libraries, "SCREEN", gone[1:])
    monkeypatch.setattr(doctor_libraries.shutil, "which", lambda name: name == "apt-get")
    found = {name: rest for name, *rest in desktop_libraries({})}
    assert found["Qt libraries"] == [["libnope.so.9"], True, "sudo apt-get install libnope9"]
    assert found["screen libraries"][1] is False
    with_screen = {name: rest for name, *rest in desktop_libraries({"DISPLAY": ":0"})}
    assert with_screen["screen libraries"][1] is True
    monkeypatch.setattr(doctor_libraries.shutil, "which", lambda name: name == "dnf")
    assert install_command(gone[1:]) == "sudo dnf install nope"


def test_the_linker_decides_what_is_there() -> None:
    assert loads("libc.so.6")
    assert not loads("libnope.so.9")


def test_the_reason_for_no_gpu_is_given() -> None:
    assert "CPU only" in why_no_gpu(None, driver=True)[0]
    assert "driver" in why_no_gpu("13.0", driver=False)[0]
    assert "nvidia-smi" in why_no_gpu("13.0", driver=True)[1]
