"""The wheels, installed outside the checkout, find their resources, list the plugins and open."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
PLUGINS = "medical", "education", "security"

CHECK = """
import sys
from pathlib import Path
import vlmtool_core, vlmtool_desktop, vlmtool_resources
from vlmtool_core.hooks.manager import plugin_manager
outside = Path(sys.prefix).resolve()
for package in (vlmtool_core, vlmtool_desktop, vlmtool_resources):
    assert Path(package.__file__).resolve().is_relative_to(outside), package.__file__
assert vlmtool_resources.files().joinpath("models").is_dir()
assert (Path(vlmtool_core.__file__).parent / "store" / "migrations" / "env.py").is_file()
manager = plugin_manager()
assert not manager.failures, manager.failures
assert {"medical", "education", "security"} <= set(manager.plugins), manager.plugins
from vlmtool_desktop.application import make_application
from vlmtool_desktop.main_window import MainWindow
from vlmtool_desktop.theme import install_theme
application = make_application()
install_theme(application, "light")
window = MainWindow()
window.show()
application.processEvents()
assert window.isVisible()
window.close()
print("window opened")
"""


def _run(*command: str, cwd: Path, env: dict[str, str] | None = None) -> str:
    result = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, timeout=240)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment that sees our wheels and, by a path file, the libraries beside us."""
    folder = tmp_path_factory.mktemp("wheel")
    wheels = folder / "wheels"
    for project in (REPOSITORY, *(REPOSITORY / "plugins" / name for name in PLUGINS)):
        _run(
            sys.executable, "-m", "build", "--no-isolation", "--wheel",
            "--outdir", str(wheels), str(project), cwd=folder,
        )  # fmt: skip
    environment = folder / "environment"
    venv.create(environment, with_pip=False)
    site_packages = next((environment / "lib").glob("python*/site-packages"))
    _run(
        sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-index",
        "--target", str(site_packages), *map(str, wheels.glob("*.whl")), cwd=folder,
    )  # fmt: skip
    libraries = next(p for p in sys.path if p.endswith("site-packages"))
    # Added at the end of the path, without running the checkout's own .pth files.
    (site_packages / "libraries.pth").write_text(libraries, encoding="utf-8")
    return environment


@pytest.mark.slow
def test_installed_wheel_works_outside_the_checkout(installed: Path, tmp_path: Path) -> None:
    environment = {
        **os.environ,
        "QT_QPA_PLATFORM": "offscreen",
        "VLMTOOL_HOME": str(tmp_path / "home"),
    }
    environment.pop("PYTHONPATH", None)
    output = _run(str(installed / "bin" / "python"), "-c", CHECK, cwd=tmp_path, env=environment)
    assert "window opened" in output


@pytest.mark.slow
def test_installed_command_prints_help(installed: Path, tmp_path: Path) -> None:
    output = _run(
        str(installed / "bin" / "python"), "-m", "vlmtool_core.cli.main", "--help", cwd=tmp_path
    )
    assert "medical" in output
    assert "demo" in output
