"""`vlmtool-cli enhance`: clearer copies of pictures, marked as derived."""

from __future__ import annotations

from pathlib import Path

import click

from vlmtool_core.batch.enhancing import Enhancer, EnhanceReport
from vlmtool_core.cli.console import emit_json, note, progress_on_stderr
from vlmtool_core.cli.interrupts import cancel_on_interrupt
from vlmtool_core.errors import CancelledError, UsageError
from vlmtool_core.media import scan

_SOME_FAILED = 1
_MOST_FAILURES = 50


@click.command()
@click.argument(
    "paths", nargs=-1, required=True, metavar="PATH...", type=click.Path(path_type=Path)
)
@click.option(
    "--method",
    required=True,
    metavar="ID",
    help="clahe (more local contrast), denoise (less noise), or the id of a pack for enhance.",
)
@click.option(
    "-o",
    "--out",
    "folder",
    required=True,
    type=click.Path(path_type=Path, file_okay=False),
    help="The folder to write to. Nothing that is there is overwritten.",
)
@click.option(
    "--option",
    "options",
    multiple=True,
    metavar="NAME=VALUE",
    help="A setting of the method: clahe has clip_limit and tiles, denoise has strength.",
)
@click.option(
    "--frame",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Which frame of a series or video, from 0.",
)
@click.option("--json", "as_json", is_flag=True, help="Print what was made as JSON.")
def enhance(
    paths: tuple[Path, ...],
    method: str,
    folder: Path,
    options: tuple[str, ...],
    frame: int,
    as_json: bool,
) -> int:
    """Make clearer copies of the pictures under PATH in another folder.

    A copy is never the original: its name and a note inside it say so, and a .json beside it
    says how it was made. Interrupted, it goes on when the same command is given again.

    Exit codes: 0 all well, 1 some pictures failed, 2 wrong call, 3 a model is missing,
    130 stopped.
    """
    from vlmtool_core.engine.runtime.user_engine import engine_as_set

    enhancer = Enhancer(engine_as_set(), method, folder, _options(options), frame)
    with cancel_on_interrupt() as cancel, progress_on_stderr(f"enhance {method}") as progress:
        items = list(scan(paths, cancel=cancel))
        if not items:
            raise UsageError("no picture, DICOM or video is there", path=paths[0])
        report = enhancer.run(items, progress=progress, cancel=cancel)
    if as_json:
        emit_json(report.to_json())
    _note(report)
    if report.cancelled:
        raise CancelledError("stopped; the pictures that are done are kept")
    return _SOME_FAILED if report.failures else 0


def _options(texts: tuple[str, ...]) -> dict[str, str]:
    found = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not (name and equals and value):
            raise UsageError(f"expected NAME=VALUE, got {text!r}", field="--option")
        found[name.strip()] = value.strip()
    return found


def _note(report: EnhanceReport) -> None:
    kept = f", {len(report.kept)} were there already" if report.kept else ""
    note(f"{len(report.made)} pictures made{kept}, {len(report.failures)} failed")
    if report.derived:
        note(f"{len(report.derived)} derived pictures were left out")
    if report.partly:
        note(f"of {len(report.partly)} items with several frames only one was taken: --frame N")
    for item, error in report.failures[:_MOST_FAILURES]:
        note(f"failed: {item}: {error.message}. {error.remedy}".rstrip())
    if len(report.failures) > _MOST_FAILURES:
        note(f"... and {len(report.failures) - _MOST_FAILURES} more; --json names them all")
