"""The commands made from workflows: arguments, options, regions, results and exit codes."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import click
import pytest

from vlmtool_core.cli import main as cli_main
from vlmtool_core.cli.interrupts import cancel_on_interrupt
from vlmtool_core.cli.workflows import parse_region, plugin_commands
from vlmtool_core.errors import CancelledError, UsageError, VlmtoolError
from vlmtool_core.hooks import manager as manager_module
from vlmtool_core.hooks.manager import PluginManager
from vlmtool_core.hooks.specs import API_VERSION, PluginInfo
from vlmtool_core.hooks.workflow import (
    Document,
    Parameter,
    ParameterKind,
    RegionSpec,
    Workflow,
    WorkflowContext,
    WorkflowResult,
)
from vlmtool_core.records import Box, ErrorInfo, Finding, Label

PARAMETERS = (
    Parameter("target", ParameterKind.OUTPUT_FOLDER, "Out", "Where to write", positional=True,
              required=True),
    Parameter("gap_s", ParameterKind.NUMBER, "Gap", "Longest gap", 2.0, unit="s", minimum=0,
              maximum=60),
    Parameter("count", ParameterKind.INTEGER, "Count", "How many", 3, minimum=1),
    Parameter("level", ParameterKind.CHOICE, "Level", "How keen", "low", choices=("low", "high")),
    Parameter("tags", ParameterKind.SWITCH, "Tags", "Name what is seen", True),
    Parameter("names", ParameterKind.LABELS, "Names", "What to name", "cat, dog"),
    Parameter("key", ParameterKind.INPUT_FILE, "Key", "The key"),
)  # fmt: skip
REGIONS = (RegionSpec("watch-area", "polygon", "Where to look", maximum=2),)


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[WorkflowContext]]:
    """Makes the program have one plugin whose workflow runs the function given."""

    def put(
        run: Callable[[WorkflowContext], WorkflowResult] = lambda _: WorkflowResult("done"),
        commands: tuple[click.Command, ...] = (),
        parameters: tuple[Parameter, ...] = PARAMETERS,
    ) -> list[WorkflowContext]:
        seen: list[WorkflowContext] = []

        def recorded(context: WorkflowContext) -> WorkflowResult:
            seen.append(context)
            return run(context)

        workflow = Workflow(
            "look", "test", "Look", "Looks at things.", (), recorded, parameters, REGIONS
        )
        plugin = SimpleNamespace(
            plugin_info=lambda: PluginInfo("test", "Test", "0.3", API_VERSION, "For tests only."),
            register_workflows=lambda: [workflow],
            register_commands=lambda: commands,
        )
        manager = PluginManager([])
        manager.register("test", plugin)
        monkeypatch.setattr(manager_module, "plugin_manager", lambda: manager)
        monkeypatch.setattr("vlmtool_core.cli.workflows.plugin_manager", lambda: manager)
        return seen

    return put


def run(*arguments: object) -> int:
    return cli_main.run_cli([str(argument) for argument in arguments])


def test_values_arrive_converted_with_defaults(install, tmp_path: Path):
    seen = install()
    (tmp_path / "a.txt").write_text("a")
    assert run("test", "look", tmp_path / "a.txt", tmp_path / "a.txt", tmp_path / "out") == 0
    (context,) = seen
    assert context.inputs == (tmp_path / "a.txt",) * 2
    assert context.output_dir == tmp_path / "out"
    assert context.values == {
        "target": tmp_path / "out",
        "gap_s": 2.0,
        "count": 3,
        "level": "low",
        "tags": True,
        "names": (Label("cat"), Label("dog")),
        "key": None,
    }


def test_options_and_regions_arrive(install, tmp_path: Path):
    seen = install()
    arguments = ["test", "look", tmp_path, tmp_path / "out", "--gap-s", "0.5", "--no-tags"]
    arguments += ["--names", "bus", "--watch-area", "0,0 10,0 10,10", "--level", "high"]
    arguments += ["--watch-area", "1.5,1;2,1;2,2"]
    assert run(*arguments) == 0
    (context,) = seen
    assert context.values["gap_s"] == 0.5
    assert context.values["tags"] is False
    assert context.values["names"] == (Label("bus"),)
    assert [region.points for region in context.regions] == [
        ((0, 0), (10, 0), (10, 10)),
        ((1.5, 1), (2, 1), (2, 2)),
    ]


@pytest.mark.parametrize(
    ("extra", "named"),
    [
        (["--gap-s", "99"], "--gap-s"),
        (["--gap-s", "nan"], "--gap-s"),
        (["--count", "0"], "--count"),
        (["--count", "many"], "--count"),
        (["--level", "middle"], "--level"),
        (["--names", ","], "--names"),
        (["--watch-area", "1,2 3"], "--watch-area"),
        (["--watch-area", "1,2 3,4"], "--watch-area"),
        (["--watch-area", "1,2 3,4 5,6"] * 3, "--watch-area"),
        (["--nonsense"], "--nonsense"),
    ],
)
def test_a_wrong_option_is_named_and_nothing_runs(install, tmp_path: Path, capsys, extra, named):
    seen = install()
    assert run("test", "look", tmp_path, tmp_path / "out", *extra) == 2
    assert named in capsys.readouterr().err
    assert seen == []


def test_missing_inputs_and_arguments(install, tmp_path: Path, capsys):
    seen = install()
    assert run("test", "look", tmp_path / "none.mp4", tmp_path / "out") == 1
    assert "none.mp4" in capsys.readouterr().err
    assert run("test", "look", tmp_path, tmp_path / "out", "--key", tmp_path / "no.csv") == 1
    error = capsys.readouterr().err
    assert "--key" in error
    assert "no.csv" in error
    assert run("test", "look") == 2
    assert seen == []


FINDING = Finding(
    "span", "Movement", "a.mp4", 0.5, "car", time_span_s=(1.0, 2.5), box=Box(1, 2, 3, 4, "car")
)


def test_result_as_text(install, tmp_path: Path, capsys):
    result = WorkflowResult(
        "2 of 3 looked at",
        (FINDING,),
        (Document(tmp_path / "report.html", "Report"),),
        ("file", "spans"),
        (("a.mp4", "1"),),
        (ErrorInfo("media-damaged", "is cut short", "Copy it again.", "b.mp4"),),
    )
    install(lambda _: result)
    assert run("test", "look", tmp_path, tmp_path / "out") == 1
    captured = capsys.readouterr()
    assert "2 of 3 looked at" in captured.out
    assert "a.mp4\t1" in captured.out
    assert str(tmp_path / "report.html") in captured.out
    assert "b.mp4: is cut short" in captured.err
    assert "Copy it again." in captured.err


def test_result_as_json_names_the_workflow_as_speaker(install, tmp_path: Path, capsys):
    install(lambda _: WorkflowResult("done", (FINDING,)))
    assert run("test", "look", tmp_path, tmp_path / "out", "--json") == 0
    document = json.loads(capsys.readouterr().out)
    assert document["workflow"] == "test.look"
    (finding,) = document["findings"]
    assert finding["time_span_s"] == [1.0, 2.5]
    assert finding["box"]["bbox"] == [1, 2, 3, 4]
    assert finding["model"] == "test.look 0.3"
    assert finding["status"] == "pending"


def raising(error: BaseException) -> Callable[[WorkflowContext], WorkflowResult]:
    def run_workflow(_: WorkflowContext) -> WorkflowResult:
        raise error

    return run_workflow


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (ZeroDivisionError("by zero"), 1, "test.look broke: ZeroDivisionError"),
        (CancelledError("stopped by the user"), 130, "stopped"),
        (UsageError("too small", field="gap_s"), 2, "--gap-s"),
        (KeyboardInterrupt(), 130, "Stopped"),
    ],
)
def test_errors_of_a_workflow(install, tmp_path: Path, capsys, error, code, message):
    install(raising(error))
    assert run("test", "look", tmp_path, tmp_path / "out") == code
    assert message in capsys.readouterr().err


def test_a_workflow_that_gives_nothing_has_broken(install, tmp_path: Path, capsys):
    install(lambda _: None)
    assert run("test", "look", tmp_path, tmp_path / "out") == 1
    assert "expected WorkflowResult" in capsys.readouterr().err


def test_interrupt_sets_the_token_and_partial_results_are_shown(install, tmp_path: Path, capsys):
    def interrupted(context: WorkflowContext) -> WorkflowResult:
        os.kill(os.getpid(), signal.SIGINT)
        assert context.cancel.cancelled
        return WorkflowResult("1 of 2 done, then stopped")

    install(interrupted)
    assert run("test", "look", tmp_path, tmp_path / "out") == 130
    assert "1 of 2 done" in capsys.readouterr().out


def test_a_second_interrupt_stops_at_once_and_handlers_are_put_back():
    before = signal.getsignal(signal.SIGINT)

    def press_twice() -> None:
        with cancel_on_interrupt():
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        press_twice()
    assert signal.getsignal(signal.SIGINT) is before


def test_plugin_commands_join_the_group_of_their_domain(install):
    @click.group("test")
    def group() -> None:
        """Replaced by the workflow's group."""

    @group.command("verify")
    def verify() -> None:
        """Check a case."""

    @click.command("alone")
    def alone() -> None:
        """By itself."""

    install(commands=(group, alone))
    commands = plugin_commands()
    assert sorted(commands["test"].commands) == ["look", "verify"]
    assert commands["alone"] is alone


def test_help_shows_units_ranges_defaults_and_intended_use(install, capsys):
    install()
    assert run("test", "look", "--help") == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "INPUT... TARGET" in text
    assert "Longest gap (s). [default: 2.0] [0<=x<=60]" in text
    assert "--tags / --no-tags" in text
    assert "[default: cat, dog]" in text
    assert "For tests only." in text
    assert run("--help") == 0
    assert "Workflows for test." in capsys.readouterr().out


def test_output_folder_defaults(install, tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    seen = install(parameters=(Parameter("out", ParameterKind.OUTPUT_FILE, "Out", "Table"),))
    assert run("test", "look", tmp_path, "--out", tmp_path / "deep" / "marks.csv") == 0
    assert run("test", "look", tmp_path) == 0
    assert [c.output_dir for c in seen] == [tmp_path / "deep", Path("test-look-output")]


def test_a_project_that_is_not_there_is_an_error(install, tmp_path: Path, capsys):
    seen = install()
    code = run("test", "look", tmp_path, tmp_path / "out", "--project", tmp_path / "none")
    assert code == 2
    assert "vlmtool-cli project new" in capsys.readouterr().err
    assert seen == []


def test_parse_region_refuses_text():
    with pytest.raises(VlmtoolError) as caught:
        parse_region(REGIONS[0], "here there")
    assert caught.value.field == "--watch-area"
