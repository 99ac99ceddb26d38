"""`vlmtool-cli`: finds the command, runs it, and turns errors into text and exit codes."""

from __future__ import annotations

import importlib
import logging
import os
import sys
from collections.abc import Sequence

import click

from vlmtool_core import __version__
from vlmtool_core.errors import VlmtoolError
from vlmtool_core.log import configure_logging

# Name -> "module:object, one line of help". Loaded on use: `--help` must stay under 0.4 s.
COMMANDS: dict[str, tuple[str, str]] = {
    "project": ("vlmtool_core.cli.project:project", "Create a project and look into it."),
    "add": ("vlmtool_core.cli.add:add", "Add pictures, DICOM and video to a project."),
    "run": ("vlmtool_core.cli.run:run", "Run a model over a folder or a project."),
    "segment": ("vlmtool_core.cli.segment:segment", "Find the pixels of what is pointed at."),
    "enhance": ("vlmtool_core.cli.enhance:enhance", "Make clearer copies of pictures, marked so."),
    "ask": ("vlmtool_core.cli.ask:ask", "Ask one question about one or more pictures."),
    "seen": ("vlmtool_core.cli.seen:seen", "Write the picture as a model was given it."),
    "show": ("vlmtool_core.cli.show:show", "Show what a project knows of its items."),
    "clock": ("vlmtool_core.cli.clock:clock", "Set the clocks of recordings right."),
    "measurements": (
        "vlmtool_core.cli.measurements:measurements",
        "List what was measured in a project.",
    ),
    "label": ("vlmtool_core.cli.label:label", "Take in labels from a table."),
    "train": ("vlmtool_core.cli.train:train", "Learn from the labels of a project."),
    "eval": ("vlmtool_core.cli.evaluate:evaluate", "Compare models on the same hold-out."),
    "models": ("vlmtool_core.cli.models:models", "Model packs and model versions."),
    "media": ("vlmtool_core.cli.media:media", "Look at files: what they are, show, and lack."),
    "import": ("vlmtool_core.cli.importing:import_", "Take in annotations (jsonl, csv, coco)."),
    "export": ("vlmtool_core.cli.exporting:export", "Write out annotations and predictions."),
    "plugins": ("vlmtool_core.cli.plugins:plugins", "List plugins and why one failed."),
    "doctor": ("vlmtool_core.cli.doctor:doctor", "Check that this machine has what is needed."),
    "demo": ("vlmtool_core.cli.demo:demo", "Run the whole loop on pictures that come along."),
}

STOPPED = 130

log = logging.getLogger(__name__)


class LazyGroup(click.Group):
    """Imports a command's module when it is called; plugin domains become groups."""

    def list_commands(self, _ctx: click.Context) -> list[str]:
        return [*COMMANDS, *sorted(_plugin_commands())]

    def get_command(self, _ctx: click.Context, name: str) -> click.Command | None:
        if name in COMMANDS:
            module, _, attribute = COMMANDS[name][0].partition(":")
            command = getattr(importlib.import_module(module), attribute)
            assert isinstance(command, click.Command)
            return command
        return _plugin_commands().get(name)

    def format_commands(self, _ctx: click.Context, formatter: click.HelpFormatter) -> None:
        rows = [(name, text) for name, (_, text) in COMMANDS.items()]
        rows += [(name, c.get_short_help_str()) for name, c in sorted(_plugin_commands().items())]
        with formatter.section("Commands"):
            formatter.write_dl(rows)


def _plugin_commands() -> dict[str, click.Command]:
    from vlmtool_core.cli.workflows import plugin_commands

    return plugin_commands()


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(
    __version__,
    prog_name="vlmtool-cli",
    message="%(prog)s %(version)s\nResearch and annotation software. Not a medical device, "
    "not for diagnostic use.",
)
@click.option("--debug", is_flag=True, help="Log everything to stderr, with tracebacks.")
@click.pass_context
def cli(ctx: click.Context, debug: bool) -> None:
    """Look at many images and decide, with models that learn from your labels. Works offline."""
    ctx.ensure_object(dict)["debug"] = debug
    configure_logging("vlmtool-cli", debug=debug)
    from vlmtool_core.extensions import connect_plugins

    connect_plugins()


def report_error(error: VlmtoolError) -> None:
    """Print what happened, where, and what to do, to stderr."""
    click.secho(f"Error: {error}", fg="red", err=True)
    click.echo(f"  What to do: {error.remedy}", err=True)


def run_cli(arguments: Sequence[str]) -> int:
    """Run one command line and return its exit code; no exception leaves this function."""
    try:
        result = cli.main(args=list(arguments), standalone_mode=False, prog_name="vlmtool-cli")
    except VlmtoolError as error:
        log.info("ended with %s", error.code, exc_info=True)
        report_error(error)
        return error.exit_code
    except click.exceptions.Exit as stop:
        return stop.exit_code
    except (KeyboardInterrupt, click.Abort):
        click.echo("Stopped. What was finished is kept; run it again to go on.", err=True)
        return STOPPED
    except click.ClickException as error:
        error.show()
        return 2
    except BrokenPipeError:
        return 1
    except Exception as error:
        log.exception("unexpected error")
        click.secho(f"Internal error: {type(error).__name__}: {error}", fg="red", err=True)
        click.echo(f"  What to do: {VlmtoolError.default_remedy}", err=True)
        return 1
    return result if isinstance(result, int) else 0


def main() -> None:
    """Entry point of the console script."""
    code = run_cli(sys.argv[1:])
    if code == STOPPED:
        # A forward pass may still be running in a thread; tearing the interpreter down around
        # it would abort with a core dump. Everything that was finished is committed.
        logging.shutdown()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


if __name__ == "__main__":
    main()
