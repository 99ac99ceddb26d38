"""`vlmtool-cli doctor`: what this machine has, what it lacks, and the command that brings it."""

from __future__ import annotations

import click

from vlmtool_core.cli.console import emit_json, emit_table, note
from vlmtool_core.cli.doctor_checks import State, examine
from vlmtool_core.errors import MissingError

MARKS = {State.OK: "ok", State.NOTE: "note", State.WARNING: "warning", State.MISSING: "missing"}


@click.command()
@click.option("--quiet", is_flag=True, help="Print only what is wrong; checks without torch.")
@click.option("--json", "as_json", is_flag=True, help="Print the checks as JSON.")
def doctor(quiet: bool, as_json: bool) -> int:
    """Check that this machine has what the program needs.

    Exit code 3 when something required is missing. A missing GPU and missing model packs are
    notes: the program works without them, or says how to get them.
    """
    checks = examine(thorough=not quiet)
    shown = [c for c in checks if not quiet or c.state in (State.WARNING, State.MISSING)]
    if as_json:
        emit_json([c.to_json() for c in shown])
    elif quiet:
        for check in shown:
            note(f"{check.name}: {check.text}")
            note(f"  What to do: {check.remedy}")
    else:
        rows = [(c.name, MARKS[c.state], c.text, c.remedy) for c in shown]
        emit_table("vlmtool-cli doctor", ("check", "state", "found", "what to do"), rows)
    missing = any(check.state is State.MISSING for check in checks)
    return MissingError.exit_code if missing else 0
