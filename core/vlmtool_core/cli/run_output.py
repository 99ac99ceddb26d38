"""What `vlmtool-cli run` prints: rows, a table for a terminal, and the failures."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator
from itertools import groupby
from pathlib import Path

import click

from vlmtool_core.batch import RunReport
from vlmtool_core.cli.console import emit_json, emit_table, note
from vlmtool_core.errors import UsageError
from vlmtool_core.formats import exporter, format_of_ending, result_to_json, write_results
from vlmtool_core.paths import stream_atomically
from vlmtool_core.records import Box, ErrorInfo, Outcome, ResultRow, Score

MOST_FAILURES = 50
MOST_IN_CELL = 3
MOST_TEXT = 80

Rows = Callable[[], Iterable[ResultRow]]


def emit_results(
    report: RunReport, rows: Rows, *, out: Path | None, format_: str | None, as_json: bool
) -> None:
    """The results to `out`, whole or not at all, else to stdout.

    as_json : one document with the report, and with the results unless they go to `out`
    """
    if out is not None:
        stream_atomically(out, _encoded(write_results(_format_for(out, format_), rows())))
        note(f"Wrote {out}")
        if as_json:
            emit_json({"report": report.to_json()})
    elif as_json:
        _emit_document(report, rows())
    elif format_ is None and sys.stdout.isatty():
        _emit_table(rows())
    else:
        for piece in write_results(format_ or "jsonl", rows()):
            click.echo(piece, nl=False)


def check_format(out: Path | None, format_: str | None) -> None:
    """Refuse an output that could not be written, before the run begins.

    Raises
    ------
    UsageError
    """
    if out is not None and out.is_dir():
        raise UsageError("is a folder, not a file", path=out, field="--out")
    chosen = _format_for(out, format_) if out is not None else format_ or "jsonl"
    if exporter(chosen).write_results is None:
        raise UsageError(f"the format {chosen} has no results", field="--format")


def _format_for(out: Path, format_: str | None) -> str:
    found = format_ or format_of_ending(out.suffix)
    if found is None:
        raise UsageError(
            f"the ending {out.suffix!r} names no format",
            path=out,
            field="--out",
            remedy="End it in .jsonl, .csv or .json (COCO), or give --format.",
        )
    return found


def _encoded(pieces: Iterable[str]) -> Iterator[bytes]:
    # A file name that is no UTF-8 holds surrogates; it is written as it can be read.
    return (piece.encode("utf-8", "backslashreplace") for piece in pieces)


def _emit_document(report: RunReport, rows: Iterable[ResultRow]) -> None:
    """Written row by row, so that a large table needs no memory."""
    click.echo('{\n"report": ' + json.dumps(report.to_json(), ensure_ascii=False) + ",")
    click.echo('"results": [', nl=False)
    for number, row in enumerate(rows):
        text = json.dumps(result_to_json(row), ensure_ascii=False)
        click.echo(("," if number else "") + "\n" + text, nl=False)
    click.echo("\n]}")


def _emit_table(rows: Iterable[ResultRow]) -> None:
    lines, model = [], ""
    for row in rows:
        at = f"{row.time_s:.2f} s" if row.time_s is not None else str(row.frame)
        lines.append((row.item, at, row.outcome.status, in_words(row.outcome)))
        model = str(row.model)
    emit_table(model, ("item", "frame", "outcome", "result"), lines)


def note_unused_prompt(rows: Iterable[ResultRow]) -> None:
    """Say so when the model went by its own way of describing; each result tells it too."""
    if any(row.outcome.provenance.get("prompt_used") is False for row in rows):
        note("The model cannot follow a prompt: it was not used.")


def in_words(outcome: Outcome) -> str:
    """An outcome in one line for a person."""
    if outcome.error is not None:
        return outcome.error.message
    if outcome.scores:
        return _listed([_score(s) for s in outcome.scores])
    if outcome.boxes:
        return _listed([_box(b) for b in outcome.boxes])
    if outcome.lines:
        return _short(" / ".join(line.text for line in outcome.lines))
    if outcome.embedding is not None:
        return f"{len(outcome.embedding)} numbers"
    return _short(outcome.text or "")


def _score(score: Score) -> str:
    return f"{score.label} {score.score:.0%}"


def _box(box: Box) -> str:
    sure = "" if box.score is None else f" {box.score:.0%}"
    return f"{box.label}{sure} at {box.x1:.0f},{box.y1:.0f} to {box.x2:.0f},{box.y2:.0f}"


def _listed(texts: list[str]) -> str:
    more = len(texts) - MOST_IN_CELL
    return ", ".join(texts[:MOST_IN_CELL]) + (f" and {more} more" if more > 0 else "")


def _short(text: str) -> str:
    return text if len(text) <= MOST_TEXT else text[: MOST_TEXT - 1] + "…"


def note_report(report: RunReport) -> None:
    """Counts and failures, on stderr."""
    total = report.ok + report.empty + report.failed
    before = f" ({report.skipped} were done before)" if report.skipped else ""
    counts = f"{report.ok} ok, {report.empty} empty, {report.failed} failed"
    note(f"{total} frames: {counts}{before}")
    lines = list(_failure_lines(report.failures))
    for line in lines[:MOST_FAILURES]:
        note(line)
    if len(lines) > MOST_FAILURES:
        note(f"... and {len(lines) - MOST_FAILURES} more; the results name them all")


def _failure_lines(failures: Iterable[tuple[str, ErrorInfo]]) -> Iterator[str]:
    """One line per item and reason, however many frames of it failed."""
    for (item, error), group in groupby(failures):
        count = sum(1 for _ in group)
        frames = f" ({count} frames)" if count > 1 else ""
        yield f"failed: {item}{frames}: {error.message}. {error.remedy}".rstrip()
