"""A training or a labelling that a test kills: killable_learning.py train|label PROJECT [CSV]."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from colour_engine import ColourEngine

from vlmtool_core.project import Project
from vlmtool_core.project.label_table import read_label_table, take_in_labels

if __name__ == "__main__":
    import scipy.linalg
    import scipy.optimize  # noqa: F401  (loaded before, so that kills hit the work itself)

    import vlmtool_core.engine.heads
    import vlmtool_core.project.learning  # noqa: F401

    what, root = sys.argv[1], Path(sys.argv[2])
    with Project.open(root) as project:
        print("begun", flush=True)
        if what == "train":
            project.train(engine=ColourEngine())  # type: ignore[arg-type]
        else:
            table = Path(sys.argv[3])
            take_in_labels(project, table, read_label_table(table))
        print("done", flush=True)
