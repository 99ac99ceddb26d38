"""Names of executors, and what is not loaded for those that are not used."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from vlmtool_core.batch.executors import choosing, executor_for
from vlmtool_core.errors import MissingDependencyError, UsageError


@pytest.mark.parametrize("text", ["local", "processes", "processes:3", "processes:1024"])
def test_names_come_back(text: str) -> None:
    assert executor_for(text).name == text


@pytest.mark.parametrize("text", ["ray", "ray:auto", "ray:10.0.0.1:6379"])
def test_names_of_ray_come_back(text: str) -> None:
    pytest.importorskip("ray", reason='Ray is not installed: pip install "vlmtool[ray]"')
    assert executor_for(text).name == text


@pytest.mark.parametrize(
    "text",
    ["", "Local", "local:2", "processes:", "processes:0", "processes:-1", "processes:x", "ray:",
     "processes:1025", "processes:2:3", "spark", "processes:²"],
)  # fmt: skip
def test_nonsense_is_refused_with_what_there_is(text: str) -> None:
    with pytest.raises(UsageError, match="no executor") as caught:
        executor_for(text)
    assert "processes[:N]" in caught.value.remedy
    assert caught.value.field == "--executor"


def test_a_missing_ray_is_named_with_its_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choosing, "find_spec", lambda name: None)
    with pytest.raises(MissingDependencyError) as caught:
        executor_for("ray")
    assert caught.value.remedy == 'Install it: pip install "vlmtool[ray]"'
    assert caught.value.exit_code == 3


def test_nothing_of_ray_is_imported_for_the_others() -> None:
    script = (
        "import sys\n"
        "import vlmtool_core.cli.run, vlmtool_core.project, vlmtool_core.batch.runner\n"
        "from vlmtool_core.batch.executors import executor_for\n"
        "executor_for('local'), executor_for('processes:2')\n"
        "import vlmtool_core.batch.executors.process_worker\n"
        "print([m for m in sys.modules if m.split('.')[0] in ('ray', 'pyarrow', 'torch')])\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr


_WORKER = """
import os, pickle, sys
from pathlib import Path
from vlmtool_core.batch.executors.worker import WorkerSpec
from vlmtool_core.batch.spec import RunSpec
from vlmtool_core.paths import models_dir
from vlmtool_core.records import ModelIdentity, Task
from vlmtool_core.settings import Settings, load_settings
spec = WorkerSpec(
    RunSpec(Task.CLASSIFY), ModelIdentity("m", "1"), Path("/m"), "auto",
    Settings(batch_size=3, max_megapixels=7), home="/the/drivers", threads=2, gpu=1,
)
pickle.loads(pickle.dumps(spec)).prepare_process()
from vlmtool_core.media.budget import current_budget
print(load_settings().batch_size, current_budget().max_pixels, models_dir())
print(os.environ["CUDA_VISIBLE_DEVICES"], os.environ["OMP_NUM_THREADS"])
"""


@pytest.mark.parametrize(("visible", "own"), [("2,5", "5"), ("", "1")])
def test_a_worker_lives_by_the_drivers_settings(visible: str, own: str, home: Path) -> None:
    (home / "config" / "settings.toml").write_text("batch_size = 99\n")
    done = subprocess.run(
        [sys.executable, "-c", _WORKER], capture_output=True, text=True,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": visible},
    )  # fmt: skip
    assert done.stdout.splitlines() == [f"3 7000000 {Path('/the/drivers/models')}", f"{own} 2"]
