"""`vlmtool-cli seen`: the picture as the model saw it, for a stored prediction."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import click

from vlmtool_core.cli.console import emit_json, note
from vlmtool_core.errors import UsageError
from vlmtool_core.paths import write_atomically
from vlmtool_core.project import PredictionRecord, Project
from vlmtool_core.project.seen import seen_by
from vlmtool_core.records import RUN_TASKS, Task


@click.command()
@click.argument("project", type=click.Path(path_type=Path), metavar="PROJECT")
@click.argument("item")
@click.option("--task", type=click.Choice([t.value for t in RUN_TASKS]), help="Of this task.")
@click.option("--frame", type=click.IntRange(min=0), help="Of this frame, from 0.")
@click.option(
    "-o", "--out", type=click.Path(path_type=Path), required=True, help="The PNG to write."
)
@click.option("--json", "as_json", is_flag=True, help="Print how it came to be, as JSON.")
def seen(
    project: Path, item: str, task: str | None, frame: int | None, out: Path, as_json: bool
) -> None:
    """Write the picture that the model was given for its newest prediction of ITEM.

    It is decoded, windowed, cropped and resized again as was recorded with the prediction.
    """
    with Project.open(project) as opened:
        record = opened.find_item(item)
        found = _newest(opened.predictions(record.id), Task(task) if task else None, frame)
    picture = seen_by(record, found)
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(picture.pixels).save(buffer, "PNG")
    write_atomically(out, buffer.getvalue())
    if as_json:
        emit_json(
            {
                "item": record.name,
                "task": found.task.value,
                "frame": found.frame,
                "model": str(found.model),
                "exact": picture.exact,
                "differs": list(picture.differs),
                "provenance": dict(picture.facts),
            }
        )
        return
    height, width = picture.pixels.shape[:2]
    click.echo(f"{out}: {width} x {height} pixels, as {found.model} was given them ({found.task})")
    if not picture.exact:
        note("the model's own processor resized it further")
    for difference in picture.differs:
        note(difference)


def _newest(
    predictions: Sequence[PredictionRecord], task: Task | None, frame: int | None
) -> PredictionRecord:
    fitting = [p for p in predictions if task in (None, p.task) and frame in (None, p.frame)]
    if not fitting:
        raise UsageError(
            "there is no prediction of this item that fits",
            remedy="Run a model over it first, or leave out --task and --frame.",
        )
    return max(fitting, key=lambda prediction: prediction.id)
