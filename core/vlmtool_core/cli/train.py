"""`vlmtool-cli train`: learn from the labels of a project and prove it on the hold-out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from vlmtool_core.cli.console import emit_json, emit_table, note, progress_on_stderr
from vlmtool_core.cli.interrupts import cancel_on_interrupt
from vlmtool_core.project import Project

if TYPE_CHECKING:
    from vlmtool_core.training.records import Evaluation, TrainReport


@click.command()
@click.argument("project", type=click.Path(path_type=Path), metavar="PROJECT")
@click.option(
    "--task",
    type=click.Choice(["classify"]),
    default="classify",
    show_default=True,
    help="What to learn.",
)
@click.option(
    "--method",
    type=click.Choice(["probe"]),
    default="probe",
    show_default=True,
    help="probe: a linear head on features that are computed once and kept.",
)
@click.option("--model", metavar="ID", help="Base pack; that of the active version if left out.")
@click.option("--seed", default=0, show_default=True, help="Same seed and labels, same version.")
@click.option(
    "--holdout",
    default=0.2,
    show_default=True,
    help="Share of new labels that proves the model and never teaches it.",
)
@click.option("--balanced", is_flag=True, help="Give rare labels as much weight as common ones.")
@click.option("--no-text", is_flag=True, help="Do not start from the words of the labels.")
@click.option(
    "--margin", default=0.0, show_default=True, help="Accuracy that may be lost, 0.01 = 1 point."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def train(
    project: Path,
    task: str,
    method: str,
    model: str | None,
    seed: int,
    holdout: float,
    balanced: bool,
    no_text: bool,
    margin: float,
    as_json: bool,
) -> None:
    """Learn from the labels of a project.

    The first training sets a hold-out apart by group, for good. The new version becomes active
    only if it is not worse on it than the model in use.
    """
    from vlmtool_core.training.records import TrainSettings

    settings = TrainSettings.from_json(
        {
            "task": task,
            "method": method,
            "model": model,
            "seed": seed,
            "holdout": holdout,
            "class_weights": "balanced" if balanced else "none",
            "use_text": not no_text,
            "margin": margin,
        }
    )
    with (
        Project.open(project) as opened,
        cancel_on_interrupt() as cancel,
        progress_on_stderr("Training") as progress,
    ):
        report = opened.train(settings, progress=progress, cancel=cancel)
    if as_json:
        emit_json(report.to_json())
    else:
        _print(report, project)


def _print(report: TrainReport, project: Path) -> None:
    for warning in report.warnings:
        note(f"Note: {warning}")
    rows = [_row("old", report.old)] if report.old else []
    emit_table(
        f"{report.version.label}: {report.version.title}",
        ("", "Model", "Accuracy", "95 % interval", "Macro-F1", "ECE"),
        [*rows, _row("new", report.new)],
    )
    if report.cross_validated is not None:
        click.echo(
            f"Cross-validated over the {report.train_count} training labels: "
            f"{100 * report.cross_validated:.1f} %"
        )
    click.echo(report.reason)
    if report.activated:
        click.echo(f"{report.version.label} is now active ({report.seconds:.1f} s).")
        note(f"Next: vlmtool-cli run {project} --task classify --model active")
    else:
        click.echo(f"{report.version.label} is kept, but not active.")
        note(
            f"To use it all the same: vlmtool-cli models use {project} "
            f"{report.version.label} --force"
        )


def _row(which: str, evaluation: Evaluation) -> tuple[str, ...]:
    accuracy = evaluation.accuracy
    return (
        which,
        evaluation.model,
        f"{100 * accuracy.value:.1f} %",
        f"{100 * accuracy.low:.1f} to {100 * accuracy.high:.1f} %",
        f"{evaluation.macro_f1.value:.3f}",
        f"{evaluation.ece:.3f}",
    )
