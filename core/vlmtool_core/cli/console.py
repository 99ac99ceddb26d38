"""What commands print: results to stdout, progress and notes to stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from vlmtool_core.jobs import Progress, ProgressCallback
from vlmtool_core.paths import write_atomically


def note(text: str) -> None:
    """A remark for a person, on stderr."""
    click.echo(text, err=True)


def emit_json(value: Any) -> None:
    """One JSON document on stdout."""
    click.echo(json.dumps(value, ensure_ascii=False, indent=2))


def emit_text(text: str, out: Path | None) -> None:
    """To `out`, whole or not at all, else to stdout."""
    if out is None:
        click.echo(text, nl=not text.endswith("\n"))
    else:
        write_atomically(out, text.encode())
        note(f"Wrote {out}")


def emit_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """A table on stdout; drawn for a terminal, tab-separated below "# title" in a pipe."""
    if not sys.stdout.isatty():
        if title:
            click.echo(f"# {title}")
        click.echo("\n".join("\t".join(str(v) for v in row) for row in [columns, *rows]))
        return
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(*columns, title=title, title_justify="left")
    for row in rows:
        table.add_row(*(escape(str(value)) for value in row))
    Console().print(table)


def describe(progress: Progress) -> str:
    """`120/400 · 31.2/s · 9 s left · 2 failed`."""
    total = f"/{progress.total}" if progress.total is not None else ""
    parts = [f"{progress.done}{total}", f"{progress.rate:.1f}/s"]
    if progress.remaining_s is not None:
        parts.append(f"{progress.remaining_s:.0f} s left")
    if progress.failed:
        parts.append(f"{progress.failed} failed")
    if progress.message:
        parts.append(progress.message)
    return " · ".join(parts)


@contextmanager
def progress_on_stderr(title: str) -> Iterator[ProgressCallback]:
    """A live bar on a terminal, else a plain line every 10 % or 5 seconds."""
    if sys.stderr.isatty():
        with _rich_bar(title) as callback:
            yield callback
        return
    last = {"elapsed": -5.0, "done": -1}

    def plain(progress: Progress) -> None:
        step = max(1, (progress.total or 10) // 10)
        finished = progress.done == progress.total
        due = progress.elapsed_s - last["elapsed"] >= 5 or progress.done - last["done"] >= step
        if (due or finished) and progress.done != last["done"]:
            last.update(elapsed=progress.elapsed_s, done=progress.done)
            note(f"{title}: {describe(progress)}")

    yield plain


@contextmanager
def _rich_bar(title: str) -> Iterator[ProgressCallback]:
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import BarColumn, TextColumn
    from rich.progress import Progress as Bar

    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[state]}"))
    with Bar(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(escape(title), total=None, state="")

        def update(progress: Progress) -> None:
            bar.update(
                task,
                completed=progress.done,
                total=progress.total,
                state=escape(describe(progress)),
            )

        yield update
