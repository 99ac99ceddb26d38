"""Worker processes: the same table as in one process, whoever is killed in the middle."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from vlmtool_core.batch import RunSpec
from vlmtool_core.errors import PackIntegrityError
from vlmtool_core.jobs import CancelToken
from vlmtool_core.records import ResultRow, Task

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")


def workers() -> list[psutil.Process]:
    """The worker processes of this process."""
    children = psutil.Process().children()
    return [child for child in children if "spawn_main" in " ".join(child.cmdline())]


class Killer:
    """Given as `on_rows`: kills a worker once, when the first rows are kept."""

    def __init__(self, most: int = 1) -> None:
        self.most = most
        self.killed: list[int] = []

    def __call__(self, rows: Sequence[ResultRow]) -> None:
        for worker in workers():
            if len(self.killed) < self.most:
                worker.kill()
                self.killed.append(worker.pid)


def test_the_table_is_that_of_one_process(run_on: Any, inputs: Path, expected: str) -> None:
    seen: list[ResultRow] = []
    result = run_on("processes:2", inputs, on_rows=seen.extend)
    assert result.table == expected
    assert result.report.done == len(expected.splitlines()) == len(seen)
    again = run_on("processes:2", inputs)
    assert (again.report.done, again.report.skipped) == (0, result.report.done)


def test_killed_workers_lose_nothing(run_on: Any, inputs: Path, expected: str) -> None:
    killer = Killer(most=2)
    result = run_on("processes:2", inputs, on_rows=killer)
    assert len(killer.killed) == 2
    assert result.table == expected


@pytest.mark.slow
def test_an_item_that_kills_its_worker_is_found_and_filed(run_on: Any, deadly: Path) -> None:
    result = run_on("processes:2", deadly)
    assert (result.report.ok, result.report.failed) == (12, 1)
    ((item, error),) = result.report.failures
    assert (item, error.code) == ("p7-deadly.jpg", "worker-died")
    assert "SIGKILL" in error.message
    # Filed with its hash: the next run leaves it alone, and is asked for it with --retry-failed.
    assert run_on("processes:2", deadly).report.done == 0
    assert run_on("local", deadly, ledger="processes-2", retry_failed=True).report.ok == 13


def test_a_stopped_run_ends_at_once_and_another_executor_finishes_it(
    run_on: Any, inputs: Path, expected: str
) -> None:
    cancel = CancelToken()
    pressed: list[float] = []

    def stop(_rows: Sequence[ResultRow]) -> None:
        pressed.append(time.monotonic())
        cancel.cancel()

    stopped = run_on("processes:2", inputs, ledger="one", cancel=cancel, on_rows=stop)
    assert time.monotonic() - pressed[0] < 1.0  # with its processes ended and waited for
    assert workers() == []
    assert stopped.report.cancelled
    assert 0 < stopped.report.done < 200
    finished = run_on("local", inputs, ledger="one")
    assert finished.report.skipped == stopped.report.done
    assert finished.table == expected


DRIVER = """
import sys
from pathlib import Path
from vlmtool_core.batch import FolderLedger, RunSpec, run_items
from vlmtool_core.batch.executors import executor_for
from vlmtool_core.batch.folder import items_of
from vlmtool_core.batch.predict import Predictor
from vlmtool_core.engine import Engine, ModelStore
from vlmtool_core.records import Task

if __name__ == "__main__":
    models, folder, file = map(Path, sys.argv[1:])
    spec = RunSpec(Task.CLASSIFY, model="tiny", frames="all")
    engine = Engine(ModelStore(models), device="cpu")
    with FolderLedger(file, spec, Predictor(engine, spec).identity()) as ledger:
        run_items(
            items_of(folder), spec, engine=engine, ledger=ledger,
            executor=executor_for("processes:2"),
            on_rows=lambda rows: (print(len(rows), flush=True), sys.stdin.readline()),
        )
"""


def test_workers_end_when_their_driver_is_killed(
    run_on: Any, models: Path, inputs: Path, tmp_path: Path
) -> None:
    script = tmp_path / "driver.py"
    script.write_text(DRIVER)
    file = tmp_path / "orphans.sqlite"
    command = [sys.executable, str(script), str(models), str(inputs), str(file)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as driver:
        assert driver.stdout is not None
        assert int(driver.stdout.readline()) > 0
        children = psutil.Process(driver.pid).children(recursive=True)
        assert len([c for c in children if "spawn_main" in " ".join(c.cmdline())]) == 2
        os.kill(driver.pid, signal.SIGKILL)
        driver.wait(20)
    _, alive = psutil.wait_procs(children, timeout=20)
    assert not alive
    spec = RunSpec(Task.CLASSIFY, model="tiny", frames="all")
    whole = run_on("local", inputs, spec, ledger="whole")
    finished = run_on("local", inputs, spec, ledger="orphans")
    assert finished.report.skipped > 0
    assert finished.table == whole.table


def test_ctrl_c_stops_the_command_and_its_workers(
    models: Path, inputs: Path, expected: str, home: Path, tmp_path: Path
) -> None:
    (home / "models").symlink_to(models)
    base = [sys.executable, "-m", "vlmtool_core.cli.main", "run", str(inputs), "--task", "classify"]
    out = tmp_path / "out.jsonl"
    command = [*base, "--model", "tiny", "--out", str(out), "--executor"]
    with subprocess.Popen(
        [*command, "processes:2"], stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        assert process.stderr is not None
        for line in process.stderr:  # the first line of progress: the workers are at work
            if "/s" in line and " 0/" not in line:
                break
        started = psutil.Process(process.pid).children(recursive=True)
        assert started
        # As a terminal does it: to the command and to all its workers at a time.
        os.killpg(process.pid, signal.SIGINT)
        rest = process.stderr.read()
        code = process.wait(30)
    assert "Traceback" not in rest
    assert code in (1, 130), rest  # 1: it was through already, with its three broken files
    _, alive = psutil.wait_procs(started, timeout=20)
    assert not alive
    assert subprocess.run([*command, "local"], check=False).returncode == 1
    assert out.read_text(encoding="utf-8") == expected


def test_embeddings_made_by_workers_are_kept_by_the_driver(
    run_on: Any, some: Path, home: Path
) -> None:
    spec = RunSpec(Task.EMBED, model="tiny")
    seen: list[ResultRow] = []
    first = run_on("processes:2", some, spec, on_rows=seen.extend)
    vectors = {row.item: row.outcome.embedding for row in seen}
    (cached,) = (home / "cache" / "features").iterdir()
    assert (cached / "rows.f32").stat().st_size == 4 * 16 * len(vectors)
    # With the cache there is nothing left for workers to do; without it the bytes are the same.
    started: list[psutil.Process] = []
    cached_run = run_on(
        "processes:2", some, spec, ledger="cached", on_rows=lambda _: started.extend(workers())
    )
    assert cached_run.table == first.table
    assert cached_run.report.done == 12
    assert started == []
    (home / "cache").rename(home / "cache-of-before")
    local: list[ResultRow] = []
    assert run_on("local", some, spec, on_rows=local.extend).table == first.table
    for row in local:
        np.testing.assert_array_equal(row.outcome.embedding, vectors[row.item])


def test_an_error_that_concerns_every_item_ends_the_run(
    run_on: Any, inputs: Path, models: Path, tmp_path: Path
) -> None:
    from vlmtool_core.batch import FolderLedger, run_items
    from vlmtool_core.batch.executors import executor_for
    from vlmtool_core.batch.folder import items_of
    from vlmtool_core.engine import Engine, ModelStore

    class Mistaken(Engine):
        """Expects a model that no worker has."""

        def identity(self, task: Any, model: Any = None, head: Any = None) -> Any:
            from dataclasses import replace

            return replace(super().identity(task, model, head), fingerprint="0" * 64)

    spec = RunSpec(Task.CLASSIFY, model="tiny")
    engine = Mistaken(ModelStore(models), device="cpu")
    with (
        FolderLedger(tmp_path / "l.sqlite", spec, engine.identity(Task.CLASSIFY, "tiny")) as ledger,
        pytest.raises(PackIntegrityError, match="another tiny"),
    ):
        run_items(
            items_of(inputs)[:4], spec, engine=engine, ledger=ledger,
            executor=executor_for("processes:1"),
        )  # fmt: skip
    assert workers() == []
