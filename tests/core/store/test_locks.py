"""Opening a project a second time leaves the locks of the first alone."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from vlmtool_core.project import Project

_OTHER_PROGRAM = """
import sys
from vlmtool_core.project import Project
with Project.open(sys.argv[1]) as project:
    project.ensure_labels([sys.argv[2]])
"""


def test_another_program_that_closes_last_does_not_take_the_journal_away(tmp_path: Path) -> None:
    root = tmp_path / "project"
    with Project.create(root) as first:
        first.ensure_labels(["here"])
        with Project.open(root) as second:
            second.ensure_labels(["second"])
        for number in range(3):
            command = [sys.executable, "-c", _OTHER_PROGRAM, str(root), f"other{number}"]
            subprocess.run(command, check=True, timeout=60)
            first.ensure_labels([f"again{number}"])
        first.store.database.check()
    with Project.open(root) as project:
        names = {label.name for label in project.label_set().labels}
    assert names == {"here", "second", "other0", "other1", "other2", "again0", "again1", "again2"}
