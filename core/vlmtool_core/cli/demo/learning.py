"""The demo's loop: guess without training, correct, learn, prove on the hold-out, run again."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING

from vlmtool_core.batch import RunSpec
from vlmtool_core.cli.console import progress_on_stderr
from vlmtool_core.cli.demo.media import DIGIT_NAMES, DemoMedia
from vlmtool_core.cli.demo.report import Section
from vlmtool_core.engine import Engine
from vlmtool_core.media import open_media
from vlmtool_core.project import ItemQuery, Project
from vlmtool_core.records import FindingStatus, Label, LabelSet, ResultRow, Task
from vlmtool_core.training.records import Evaluation, TrainReport, TrainSettings

if TYPE_CHECKING:
    from vlmtool_core.cli.demo.steps import Demo

PACK = "starter-vision"
DIGIT_LABELS = LabelSet(
    "digits",
    tuple(
        Label(name, (f"the handwritten digit {name}",), shortcut=str(number) if number else "")
        for number, name in enumerate(DIGIT_NAMES)
    ),
    domain="education",
)


def learn(demo: Demo, project: Project, engine: Engine, media: DemoMedia) -> None:
    """Guess, correct, label, train, compare and re-run on the handwritten digits."""
    truth = _truth(media)
    project.set_label_set(DIGIT_LABELS)
    ids = [item.id for item in project.items(ItemQuery(text="digits/"))]
    number = len(demo.sections)
    with demo.step(f"{number + 1}. Guess handwritten digits without training") as section:
        spec = RunSpec(Task.CLASSIFY, labels=DIGIT_LABELS.labels)
        before = _run(project, engine, spec, ids)
        section.note = f"{_hits(before, truth)} of {len(before)} right, by {before[0].model}."
    with demo.step(f"{number + 2}. Correct and label") as section:
        _correct(project, truth, before, section)
    with demo.step(f"{number + 3}. Train, and prove it on the hold-out") as section:
        report = _train(project, engine)
        _tell(report, section)
    with demo.step(f"{number + 4}. Run again with the new model") as section:
        after = _run(project, engine, RunSpec(Task.CLASSIFY, model="active"), ids)
        _compare(project, before, after, truth, section)


def _truth(media: DemoMedia) -> dict[str, str]:
    with media.labels_csv.open(encoding="utf-8", newline="") as file:
        return {row["path"]: row["label"] for row in csv.DictReader(file)}


def _run(project: Project, engine: Engine, spec: RunSpec, ids: list[int]) -> list[ResultRow]:
    rows: list[ResultRow] = []
    with progress_on_stderr("Digits") as progress:
        project.run(spec, item_ids=ids, engine=engine, progress=progress, on_rows=rows.extend)
    return sorted(rows, key=lambda row: row.item)


def _says(row: ResultRow) -> str:
    return row.outcome.scores[0].label if row.outcome.scores else ""


def _hits(rows: list[ResultRow], truth: dict[str, str]) -> int:
    return sum(_says(row) == truth[row.item] for row in rows)


def _correct(
    project: Project, truth: dict[str, str], before: list[ResultRow], section: Section
) -> None:
    """Edit one wrong prediction as a reviewer would, then label the rest from the truth."""
    items = {item.name: item for item in project.items(ItemQuery(text="digits/"))}
    wrong = next(row for row in before if _says(row) != truth[row.item])
    prediction = project.predictions(items[wrong.item].id, task=Task.CLASSIFY)[0]
    project.decide_predictions([prediction.id], FindingStatus.EDITED, label=truth[wrong.item])
    for name in DIGIT_NAMES:
        ids = [item.id for item in items.values() if truth[item.name] == name]
        project.set_label(ids, name)
    section.note = (
        f"One prediction of {wrong.item} corrected from {_says(wrong)!r} to "
        f"{truth[wrong.item]!r}, then {len(items)} items labelled; each step can be undone."
    )


def _train(project: Project, engine: Engine) -> TrainReport:
    with progress_on_stderr("Training") as progress:
        return project.train(
            TrainSettings(Task.CLASSIFY, model=PACK), engine=engine, progress=progress
        )


def _tell(report: TrainReport, section: Section) -> None:
    section.columns = "on the same hold-out", "accuracy", "95 % interval", "macro-F1", "ECE"
    for name, evaluation in (("old", report.old), ("new", report.new)):
        if evaluation is not None:
            section.rows.append((f"{name}: {evaluation.model}", *_figures(evaluation)))
    p_value = f" McNemar p = {report.comparison.p_value:.1e}." if report.comparison else ""
    section.note = (
        f"{report.version.label} learnt from {report.train_count} labels in "
        f"{report.seconds:.1f} s, proven on {report.new.count}.{p_value} {report.reason}"
    )


def _figures(evaluation: Evaluation) -> tuple[str, str, str, str]:
    accuracy = evaluation.accuracy
    interval = f"{accuracy.low:.1%} to {accuracy.high:.1%}"
    return (
        f"{accuracy.value:.1%}",
        interval,
        f"{evaluation.macro_f1.value:.3f}",
        f"{evaluation.ece:.3f}",
    )


def _compare(
    project: Project,
    before: list[ResultRow],
    after: list[ResultRow],
    truth: dict[str, str],
    section: Section,
) -> None:
    from vlmtool_core.cli.demo.report import draw

    section.columns = "model", "right", "of"
    for rows in (before, after):
        section.rows.append((str(rows[0].model), str(_hits(rows, truth)), str(len(rows))))
    section.note = "Over all digits, those learnt from included; the proof is the step before."
    paths = {item.name: item.path for item in project.items(ItemQuery(text="digits/"))}
    for old, new in zip(before, after, strict=True):
        if _says(old) != truth[old.item] and _says(new) == truth[new.item]:
            with open_media(paths[old.item]) as source:
                lines = [old.item, f"before: {_says(old)}", f"after: {_says(new)}", str(new.model)]
                section.pictures.append(draw(source.frame(), [], lines))
        if len(section.pictures) == 8:
            break
