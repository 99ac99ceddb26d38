"""Work on a project that a test kills: killable_work.py label|add PROJECT [FOLDER].

`label` prints each annotation's text after its commit; `add` prints a dot for each chunk.
"""

from __future__ import annotations

import itertools
import sys
from pathlib import Path

from vlmtool_core.project import Project, adding

if __name__ == "__main__":
    with Project.open(sys.argv[2]) as project:
        if sys.argv[1] == "add":
            adding.CHUNK = 4
            print("begun", flush=True)
            project.add([Path(sys.argv[3])], progress=lambda _: print(".", flush=True))
            print("done", flush=True)
        else:
            ids = project.item_ids()
            print("begun", flush=True)
            for number in itertools.count():
                text = f"{sys.argv[3]}-{number}"
                project.add_text(ids[number % len(ids)], 0, text)
                print(text, flush=True)
                if number % 3 == 0:
                    project.set_label(ids, f"label {number}")
                    project.undo()
                    project.redo()
