"""The architecture is a failing check: import contracts, light start-up, size of modules."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
SOURCES = ("core", "desktop", "resources", "plugins")
HEAVY = "torch", "torchvision", "transformers", "timm", "cv2", "av", "pydicom", "PySide6", "PIL"
MOST_LINES = 400
MOST_FUNCTION_LINES = 60


def _loaded_by(statement: str) -> set[str]:
    code = f"import sys; {statement}; print(' '.join(sorted(sys.modules)))"
    output = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout
    return set(output.split())


def test_import_contracts_hold() -> None:
    lint_imports = Path(sys.executable).with_name("lint-imports")
    result = subprocess.run(
        [str(lint_imports), "--no-cache"], cwd=REPOSITORY, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stdout


@pytest.mark.parametrize(
    "module",
    ["vlmtool_core.api", "vlmtool_core.project", "vlmtool_core.cli.main", "vlmtool_medical",
     "vlmtool_education", "vlmtool_security"],
)  # fmt: skip
def test_start_up_is_light(module: str) -> None:
    loaded = _loaded_by(f"import {module}")
    assert not loaded & set(HEAVY)


def test_the_window_is_built_without_torch() -> None:
    loaded = _loaded_by("import vlmtool_desktop.main_window")
    assert not loaded & {"torch", "torchvision", "transformers", "timm"}
    assert "PySide6" in loaded


def test_help_does_not_import_a_command() -> None:
    loaded = _loaded_by("from vlmtool_core.cli.main import run_cli; run_cli(['--help'])")
    assert not loaded & set(HEAVY)
    assert "vlmtool_core.cli.run" not in loaded
    assert "sqlalchemy" not in loaded


def _modules() -> list[Path]:
    return [p for folder in SOURCES for p in (REPOSITORY / folder).rglob("*.py")]


def test_modules_and_functions_stay_small() -> None:
    too_big = []
    for path in _modules():
        text = path.read_text(encoding="utf-8")
        lines = text.count("\n")
        if lines > MOST_LINES:
            too_big.append(f"{path.relative_to(REPOSITORY)}: {lines} lines")
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                size = (node.end_lineno or node.lineno) - node.lineno + 1
                if size > MOST_FUNCTION_LINES:
                    where = f"{path.relative_to(REPOSITORY)}:{node.lineno}"
                    too_big.append(f"{where} {node.name}: {size} lines")
    assert not too_big


def test_every_module_says_what_it_is_for() -> None:
    silent = [
        str(path.relative_to(REPOSITORY))
        for path in _modules()
        if not ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
        and path.read_text(encoding="utf-8").strip()
    ]
    assert not silent


def test_only_one_opencv_is_installed() -> None:
    from importlib.metadata import distributions

    names = {d.metadata["Name"].lower() for d in distributions()}
    assert {n for n in names if n.startswith("opencv")} == {"opencv-python-headless"}


def test_no_dependency_is_gpl() -> None:
    from importlib.metadata import distributions

    forbidden = {"ultralytics", "pymupdf", "pylibjpeg-libjpeg", "pyside6-addons"}
    names = {d.metadata["Name"].lower() for d in distributions()}
    assert not names & forbidden


def test_constraints_pin_versions_without_urls() -> None:
    lines = (REPOSITORY / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    assert pins
    assert all("==" in pin and "://" not in pin and "@" not in pin for pin in pins)
