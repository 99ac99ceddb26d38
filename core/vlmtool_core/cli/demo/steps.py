"""The steps of the demo, in the order in which a person would take them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import click

from vlmtool_core.batch import RunSpec
from vlmtool_core.cli.console import emit_table, progress_on_stderr
from vlmtool_core.cli.demo import learning, workflows
from vlmtool_core.cli.demo.media import DemoMedia, lay_out
from vlmtool_core.cli.demo.report import Picture, Section, draw
from vlmtool_core.engine import Engine, ModelStore
from vlmtool_core.hooks.workflow import WorkflowSample
from vlmtool_core.media import open_media, scan
from vlmtool_core.project import Project
from vlmtool_core.records import ItemRef, Label, MediaKind, Outcome, OutcomeStatus, ResultRow, Task

STARTER = "starter-vision", "starter-text", "starter-llm", "starter-faces"
SAMPLE_S = 8.0
SCENE_LABELS = (
    Label("cat", ("a cat",)),
    Label("astronaut", ("an astronaut in a space suit",)),
    Label("cup of coffee", ("a cup of coffee",)),
    Label("rocket", ("a rocket at its launch",)),
    Label("page of text", ("a printed page of text",)),
    Label("medical scan", ("an x-ray picture", "a scan of the inside of the body")),
    Label("street with vehicles", ("a street with cars",)),
)


@dataclass
class Demo:
    """What the steps share."""

    out: Path
    announce: Callable[[str], None]
    sections: list[Section] = field(default_factory=list)

    @contextmanager
    def step(self, title: str) -> Iterator[Section]:
        """Announce a step, time it, and print its table at the end."""
        self.announce(title)
        section = Section(title)
        start = time.monotonic()
        yield section
        section.seconds = time.monotonic() - start
        self.sections.append(section)
        if section.note:
            click.echo(section.note)
        if section.rows:
            emit_table("", section.columns, section.rows)


def run_demo(out: Path, *, announce: Callable[[str], None]) -> list[Section]:
    """Run every step; returns the sections of the report in order."""
    demo = Demo(out, announce)
    with demo.step("1. Starter packs") as section:
        _pull(section)
    with demo.step("2. Pictures") as section:
        media = lay_out(out / "media")
        samples = workflows.lay_out_samples(out / "samples")
        section.note = f"Photographs, DICOM, a clip and handwritten digits in {media.folder}."
    engine = Engine()
    with Project.create(out / "project", name="demo") as project:
        with demo.step("3. Add to a project") as section:
            _add(project, media, _clips(samples.values()), section)
        pictures = [ref for ref in project.item_refs() if not ref.item.startswith("digits/")]
        for number, (title, spec) in enumerate(_predictions(), start=4):
            with demo.step(f"{number}. {title}") as section:
                _predict(project, engine, pictures, spec, section)
        learning.learn(demo, project, engine, media)
        workflows.run_all(demo, project, engine, samples)
    return demo.sections


def _pull(section: Section) -> None:
    store = ModelStore()
    with progress_on_stderr("Pulling") as progress:
        store.pull(STARTER, progress=progress)
    section.columns = "pack", "version", "licence", "tasks", "MB"
    for pack in store.installed():
        tasks = ", ".join(pack.tasks)
        size = f"{pack.size_bytes / 1e6:.0f}"
        section.rows.append((pack.id, pack.version, pack.licence, tasks, size))


def _clips(samples: Iterable[WorkflowSample]) -> list[Path]:
    """The videos that workflows brought to be tried with."""
    found = scan([path for sample in samples for path in sample.inputs])
    return [item.path for item in found if item.kind is MediaKind.VIDEO]


def _add(project: Project, media: DemoMedia, clips: list[Path], section: Section) -> None:
    with progress_on_stderr("Adding") as progress:
        reports = [project.add([path], progress=progress) for path in (media.folder, *clips)]
    added = sum(report.added for report in reports)
    unreadable = sum(len(report.unreadable) for report in reports)
    section.note = f"{added} items added, {unreadable} unreadable."
    section.columns = "kind", "items"
    for kind, count in sorted(project.info().items.items()):
        section.rows.append((str(kind), str(count)))


def _predictions() -> list[tuple[str, RunSpec]]:
    return [
        (
            "Classify by words, without training",
            RunSpec(Task.CLASSIFY, labels=SCENE_LABELS, sample_s=SAMPLE_S),
        ),
        ("Detect faces", RunSpec(Task.DETECT, sample_s=SAMPLE_S)),
        ("Read text", RunSpec(Task.READ, sample_s=SAMPLE_S)),
        ("Describe in a sentence", RunSpec(Task.CAPTION, sample_s=SAMPLE_S)),
    ]


def _predict(
    project: Project, engine: Engine, refs: list[ItemRef], spec: RunSpec, section: Section
) -> None:
    """Run `spec` over the pictures; the table and the report show what came out."""
    rows: list[ResultRow] = []
    ids = [ref.item_id for ref in refs if ref.item_id is not None]
    with progress_on_stderr(str(spec.task)) as progress:
        project.run(spec, item_ids=ids, engine=engine, progress=progress, on_rows=rows.extend)
    section.columns = "item", "frame", "says", "model"
    shown: set[str] = set()
    by_item = {ref.item: ref for ref in refs}
    for row in sorted(rows, key=lambda row: (row.item, row.frame)):
        says = describe(row.outcome)
        if row.item in shown or not says:
            continue
        shown.add(row.item)
        section.rows.append((row.item, str(row.frame), says, str(row.model)))
        section.pictures.append(_picture(by_item[row.item], row, says))
    found = sum(row.outcome.status is OutcomeStatus.OK for row in rows)
    section.note = f"{len(rows)} frames of {len(refs)} items, something said of {found}."


def _picture(ref: ItemRef, row: ResultRow, says: str) -> Picture:
    with open_media(ref.path, ref.files) as source:
        frame = source.frame(row.frame, max_side=720)
    return draw(frame, [row.outcome], [row.item, says, str(row.model)])


def describe(outcome: Outcome) -> str:
    """An outcome in a few words, empty when there is nothing to show."""
    if outcome.status is OutcomeStatus.FAILED and outcome.error is not None:
        return f"failed: {outcome.error.message}"
    if outcome.scores:
        return ", ".join(f"{score.label} {score.score:.0%}" for score in outcome.scores[:2])
    if outcome.boxes:
        return ", ".join(f"{box.label} {box.score or 0:.0%}" for box in outcome.boxes[:3])
    if outcome.lines:
        return shorten(" / ".join(line.text for line in outcome.lines))
    return outcome.text or ""


def shorten(text: str, length: int = 110) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"
