"""A run over a folder that a test kills: killable_run.py FOLDER LEDGER WORK."""

from __future__ import annotations

import sys
from pathlib import Path

from tiny_engine import IDENTITY, TinyEngine

from vlmtool_core.batch import FolderLedger, RunSpec, run_items
from vlmtool_core.batch.folder import items_of
from vlmtool_core.records import Task

if __name__ == "__main__":
    folder, file, work = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
    spec = RunSpec(Task.CLASSIFY)
    with FolderLedger(file, spec, IDENTITY) as ledger:
        items = items_of(folder)
        print("begun", flush=True)
        run_items(items, spec, engine=TinyEngine(work=work), ledger=ledger)  # type: ignore[arg-type]
