"""The Linux installer puts down the program, and takes away only what it put down."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "installer" / "linux" / "install.sh"


def _install(tmp_path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [
            "bash", str(SCRIPT), "--prefix", str(tmp_path / "program"),
            "--bin", str(tmp_path / "bin"), "--applications", str(tmp_path / "applications"),
            "--wheels", str(tmp_path / "wheels"), *arguments,
        ],
        capture_output=True, text=True, env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path),
                                             "PYTHON": sys.executable},
    )  # fmt: skip


def test_without_wheels_it_says_how_to_make_them(tmp_path: Path) -> None:
    result = _install(tmp_path)
    assert result.returncode == 3
    assert "make wheel" in result.stderr


def test_a_foreign_folder_is_neither_used_nor_removed(tmp_path: Path) -> None:
    (tmp_path / "wheels").mkdir()
    (tmp_path / "wheels" / "vlmtool-0.1.0-py3-none-any.whl").touch()
    precious = tmp_path / "program" / "precious.txt"
    precious.parent.mkdir()
    precious.write_text("mine")
    assert _install(tmp_path).returncode == 2
    assert _install(tmp_path, "--uninstall").returncode == 2
    assert precious.read_text() == "mine"


@pytest.mark.slow
def test_installs_links_and_uninstalls(tmp_path: Path) -> None:
    repository = SCRIPT.parents[2]
    subprocess.run(
        [sys.executable, "-m", "build", "--no-isolation", "--wheel", "--outdir",
         str(tmp_path / "wheels"), str(repository)],
        check=True, capture_output=True,
    )  # fmt: skip
    result = _install(tmp_path, "--pip-argument=--no-deps")
    assert result.returncode == 0, result.stderr
    entry = (tmp_path / "applications" / "vlmtool.desktop").read_text()
    assert f'Exec="{tmp_path}/program/environment/bin/vlmtool" %F' in entry
    assert (tmp_path / "bin" / "vlmtool-cli").exists()
    assert _install(tmp_path, "--uninstall").returncode == 0
    assert not (tmp_path / "program").exists()
    assert not (tmp_path / "bin" / "vlmtool-cli").is_symlink()
