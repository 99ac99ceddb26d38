"""`vlmtool-cli demo`: the whole loop on pictures that installed packages carry."""

from __future__ import annotations

import shutil
from pathlib import Path

import click

from vlmtool_core.errors import UsageError

MARKER = ".vlmtool-demo"


@click.command()
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("demo-output"),
    show_default=True,
    help="Folder for the pictures, the project and the report; an older demo in it is replaced.",
)
def demo(out: Path) -> None:
    """Run the whole loop: pull, add, predict, label, train, prove, re-run, workflows, report."""
    from vlmtool_core.cli.demo.report import write_report
    from vlmtool_core.cli.demo.steps import run_demo

    out = out.absolute()
    _make_room(out)
    sections = run_demo(out, announce=_announce)
    report = write_report(out, sections)
    total = sum(section.seconds for section in sections)
    click.echo(f"\nDone in {total:.0f} s. Report: {report}")
    click.echo(f"The project: {out / 'project'}")
    click.echo(f"Next: vlmtool {out / 'project'}   or   vlmtool-cli show {out / 'project'}")


def _make_room(out: Path) -> None:
    """Remove an older demo; refuse a folder that is not one."""
    if out.exists() and any(out.iterdir()):
        if not (out / MARKER).exists():
            raise UsageError(
                "exists and is not an earlier demo; nothing was changed",
                path=out,
                field="--out",
                remedy="Choose another folder.",
            )
        shutil.rmtree(out)
    out.mkdir(parents=True, exist_ok=True)
    (out / MARKER).touch()


def _announce(title: str) -> None:
    click.secho(f"\n{title}", bold=True)
