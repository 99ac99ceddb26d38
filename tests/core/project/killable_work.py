"""Work on a project that a test kills: killable_work.py label|measure|add PROJECT [FOLDER].

`label` prints each annotation's text after its commit, `measure` the end of each line; `add`
prints a dot for each chunk.
"""

from __future__ import annotations

import itertools
import sys
from pathlib import Path

from vlmtool_core.measurement import Measured, Measurement, MeasurementKind
from vlmtool_core.project import Project, adding


def line(x: float, y: float) -> Measurement:
    return Measurement(MeasurementKind.DISTANCE, ((0, 0), (x, y)), Measured(length=x))


if __name__ == "__main__":
    with Project.open(sys.argv[2]) as project:
        if sys.argv[1] == "add":
            adding.CHUNK = 4
            print("begun", flush=True)
            project.add([Path(sys.argv[3])], progress=lambda _: print(".", flush=True))
            print("done", flush=True)
        elif sys.argv[1] == "measure":
            ids, attempt = project.item_ids(), float(sys.argv[3])
            print("begun", flush=True)
            for number in itertools.count():
                made = project.add_measurement(ids[number % len(ids)], 0, line(-1, attempt))
                project.update_annotation(made, measurement=line(number, attempt))
                if number % 3 == 0:
                    project.undo()
                    project.redo()
                print(f"{number} {attempt:g}", flush=True)
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
