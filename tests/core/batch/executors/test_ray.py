"""Ray on this machine: the same table, an actor killed in the middle, nothing left running."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil
import pytest

from vlmtool_core.errors import UsageError
from vlmtool_core.records import ResultRow

ray = pytest.importorskip("ray", reason='Ray is not installed: pip install "vlmtool[ray]"')
pytestmark = pytest.mark.slow


def processes(word: str) -> list[psutil.Process]:
    """Those below this one whose command has the word in it."""
    found = []
    for child in psutil.Process().children(recursive=True):
        try:
            if word in " ".join(child.cmdline()):
                found.append(child)
        except psutil.NoSuchProcess:
            continue
    return found


def test_the_table_is_the_same_though_an_actor_is_killed(
    run_on: Any, inputs: Path, expected: str
) -> None:
    killed: list[int] = []
    seen: list[ResultRow] = []

    def kill(rows: Sequence[ResultRow]) -> None:
        seen.extend(rows)
        for actor in processes("ray::MapWorker")[:1] if not killed else []:
            actor.kill()
            killed.append(actor.pid)
        # No statistics are sent and no dashboard listens.
        assert os.environ["RAY_USAGE_STATS_ENABLED"] == "0"
        assert (
            "--include-dashboard=true"
            not in " ".join(" ".join(p.cmdline()) for p in processes("ray")).lower()
        )

    result = run_on("ray", inputs, on_rows=kill)
    assert len(killed) == 1
    assert len(seen) == len(expected.splitlines())
    assert result.table == expected
    assert not ray.is_initialized()
    assert processes("raylet") == processes("gcs_server") == []


def test_an_item_that_kills_its_actor_is_found_and_another_executor_goes_on(
    run_on: Any, deadly: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = run_on("ray", deadly)
    assert (result.report.ok, result.report.failed) == (12, 1)
    ((item, error),) = result.report.failures
    assert (item, error.code) == ("p7-deadly.jpg", "worker-died")
    monkeypatch.setenv("VLMTOOL_TEST_SPARE", "1")
    finished = run_on("processes:1", deadly, ledger="ray", retry_failed=True)
    assert (finished.report.done, finished.report.skipped, finished.report.ok) == (1, 12, 13)


@pytest.mark.parametrize("address", ["127.0.0.1:1", "auto", "nonsense"])
def test_a_cluster_that_is_not_there_is_named_soon(address: str, run_on: Any, some: Path) -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(UsageError, match="does not answer") as caught:
        run_on(f"ray:{address}", some, ledger="none")
    assert caught.value.field == "--executor"
    assert signal.getsignal(signal.SIGTERM) is before
    assert not ray.is_initialized()
