"""`vlmtool-cli eval`: models side by side on the same hold-out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from vlmtool_core.cli.console import emit_json, emit_table, note, progress_on_stderr
from vlmtool_core.cli.interrupts import cancel_on_interrupt
from vlmtool_core.project import Project

if TYPE_CHECKING:
    from vlmtool_core.training.records import Comparison, ComparisonReport, Evaluation


@click.command(name="eval")
@click.argument("project", type=click.Path(path_type=Path), metavar="PROJECT")
@click.option(
    "--model",
    "models",
    multiple=True,
    metavar="MODEL",
    help="v1, v2, active, or a pack's id; repeat it to compare. Left out: the plain pack "
    "against the active version.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def evaluate(project: Path, models: tuple[str, ...], as_json: bool) -> None:
    """Accuracy, macro-F1, every class and the confusion matrix of models on the same hold-out.

    A pack is asked by the words of the labels, untrained. Every model is compared with the
    first: exact McNemar test, and a paired bootstrap over groups.
    """
    with (
        Project.open(project) as opened,
        cancel_on_interrupt() as cancel,
        progress_on_stderr("Evaluating") as progress,
    ):
        report = opened.evaluate(
            models or _plain_and_active(opened), progress=progress, cancel=cancel
        )
    if as_json:
        emit_json(report.to_json())
    else:
        _print(report)


def _plain_and_active(project: Project) -> tuple[str, ...]:
    active = project.active_version()
    return (active.pack, active.label) if active else ("active",)


def _print(report: ComparisonReport) -> None:
    for warning in report.warnings:
        note(f"Note: {warning}")
    first = report.evaluations[0]
    emit_table(
        f"Hold-out: {first.count} items in {first.groups} groups",
        ("Model", "Accuracy", "95 % interval", "Balanced", "Macro-F1", "ECE"),
        [_row(evaluation) for evaluation in report.evaluations],
    )
    for evaluation in report.evaluations:
        _print_classes(evaluation)
    for comparison in report.comparisons:
        click.echo(_sentence(comparison))


def _row(evaluation: Evaluation) -> tuple[str, ...]:
    accuracy = evaluation.accuracy
    return (
        evaluation.model,
        f"{100 * accuracy.value:.1f} %",
        f"{100 * accuracy.low:.1f} to {100 * accuracy.high:.1f} %",
        f"{100 * evaluation.balanced_accuracy:.1f} %",
        f"{evaluation.macro_f1.value:.3f}",
        f"{evaluation.ece:.3f}",
    )


def _print_classes(evaluation: Evaluation) -> None:
    emit_table(
        f"{evaluation.model}: labels",
        ("Label", "Items", "Precision", "Recall", "F1"),
        [
            (c.label, c.support, f"{c.precision:.3f}", f"{c.recall:.3f}", f"{c.f1:.3f}")
            for c in evaluation.per_class
        ],
    )
    emit_table(
        f"{evaluation.model}: true labels down, predicted across",
        ("", *evaluation.labels),
        [(label, *row) for label, row in zip(evaluation.labels, evaluation.confusion, strict=True)],
    )


def _sentence(c: Comparison) -> str:
    d = c.difference
    return (
        f"{c.model_b} against {c.model_a}: {100 * d.value:+.1f} points "
        f"(95 % interval {100 * d.low:+.1f} to {100 * d.high:+.1f}), {c.only_b} items only "
        f"{c.model_b} gets right, {c.only_a} only {c.model_a}; McNemar p = {c.p_value:.3g}."
    )
