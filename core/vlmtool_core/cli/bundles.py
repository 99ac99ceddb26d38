"""`vlmtool-cli models export | import | keygen`: packs for machines without a network."""

from __future__ import annotations

from pathlib import Path

import click

from vlmtool_core.cli.console import note, progress_on_stderr
from vlmtool_core.cli.interrupts import cancel_on_interrupt
from vlmtool_core.engine import ModelStore

_FILE = click.Path(path_type=Path, dir_okay=False)


@click.command("export")
@click.argument("ids", nargs=-1, required=True, metavar="ID...")
@click.option("--output", "-o", type=_FILE, required=True, help="The file to write (.vlmpack).")
@click.option("--sign", "key", type=_FILE, help="Sign it with this private key (see keygen).")
def export_packs(ids: tuple[str, ...], output: Path, key: Path | None) -> None:
    """Write installed packs into one file for machines without a network."""
    with cancel_on_interrupt() as cancel, progress_on_stderr("Exporting (MB)") as progress:
        size = ModelStore().export_bundle(ids, output, key=key, progress=progress, cancel=cancel)
    note(f"Wrote {output} ({size / 1e6:.1f} MB{', signed' if key else ''}).")


@click.command("import")
@click.argument("bundle", type=_FILE)
@click.option(
    "--trust", "keys", type=_FILE, multiple=True, help="Take it only if this public key signed it."
)
@click.option("--accept-licence", is_flag=True, help="I accept the terms of the packs in it.")
def import_packs(bundle: Path, keys: tuple[Path, ...], accept_licence: bool) -> None:
    """Install the packs of a file that `models export` wrote."""
    with cancel_on_interrupt() as cancel, progress_on_stderr("Importing (MB)") as progress:
        found = ModelStore().import_bundle(
            bundle, trusted=keys, accept_licence=accept_licence, progress=progress, cancel=cancel
        )
    for pack in found.packs:
        state = "was here already" if pack.id in found.present else "is ready"
        note(f"{pack.id} {pack.version} {state} ({pack.licence}).")
    if not found.signed_by:
        note("Nobody signed this bundle.")
    else:
        known = "a key that you trust" if keys else "the key"
        note(f"Signed by {known}: {found.signed_by}")


@click.command()
@click.argument("file", type=_FILE)
def keygen(file: Path) -> None:
    """Make a pair of keys: FILE signs bundles, FILE.pub checks them."""
    from vlmtool_core.engine.packs.signatures import make_keys, raw_public_key, read_public_key
    from vlmtool_core.engine.packs.signatures import short_print as print_of

    public = make_keys(file)
    note(f"Wrote {file} (keep it to yourself) and {public} (give it to who imports).")
    note(f"The key's short print: {print_of(raw_public_key(read_public_key(public)))}")
