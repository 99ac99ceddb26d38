"""A broken plugin is a listed failure with its reason, and the rest works."""

from __future__ import annotations

import textwrap
from importlib.metadata import EntryPoint
from pathlib import Path
from types import SimpleNamespace

import pytest

from vlmtool_core.errors import PluginError, RecordNotFoundError
from vlmtool_core.hooks.manager import ENTRY_POINT_GROUP, PluginManager, discover
from vlmtool_core.hooks.specs import API_VERSION, PluginInfo
from vlmtool_core.hooks.workflow import Parameter, ParameterKind, Workflow, WorkflowResult

GOOD = """
    from vlmtool_core.hooks.specs import PluginInfo, hookimpl
    from vlmtool_core.hooks.workflow import Workflow, WorkflowResult

    @hookimpl
    def plugin_info():
        return PluginInfo("{name}", "{name}", "1.2", {version}, intended_use="for {name}")

    @hookimpl
    def register_workflows():
        {workflows}
"""
ONE_WORKFLOW = (
    "return [Workflow('{id}', 'test', 'T', 'S.', (), lambda context: WorkflowResult('done'))]"
)


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Writes a module and gives the entry point that names it."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def make(name: str, source: str) -> EntryPoint:
        # A module of its own for each test: Python keeps what it has imported.
        module = f"{name}_{tmp_path.parent.name}_{tmp_path.name}".replace("-", "_")
        (tmp_path / f"{module}.py").write_text(textwrap.dedent(source), encoding="utf-8")
        return EntryPoint(name, module, ENTRY_POINT_GROUP)

    return make


def good(plugin, name: str, workflow: str) -> EntryPoint:
    source = GOOD.format(name=name, version=API_VERSION, workflows=ONE_WORKFLOW.format(id=workflow))
    return plugin(name, source)


def failures(manager: PluginManager) -> dict[str, str]:
    return {failure.name: failure.reason for failure in manager.failures}


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("raise RuntimeError('no licence file')", "no licence file"),
        ("import a_module_that_is_not_there", "a_module_that_is_not_there"),
        ("raise SystemExit(4)", "SystemExit"),
        ("def broken(:", "SyntaxError"),
        ("", "no plugin_info"),
        ("plugin_info = 3", "no plugin_info"),
        ("def plugin_info(): return {'name': 'x'}", "no plugin_info"),
        ("def plugin_info(): raise OSError('disk')", "disk"),
        (GOOD.format(name="x", version=API_VERSION + 1, workflows="return []"), "contract 2"),
    ],
)
def test_a_plugin_that_cannot_be_loaded_is_listed_and_the_rest_works(plugin, source, reason):
    bad = plugin("bad_plugin", source)
    manager = PluginManager([bad, good(plugin, "good_plugin", "one")])
    assert reason in failures(manager)["bad_plugin"]
    assert set(manager.plugins) == {"builtin", "good_plugin"}
    assert [w.key for w in manager.workflows()] == ["test.one"]
    assert manager.label_sets()


@pytest.mark.parametrize(
    ("workflows", "reason"),
    [
        ("raise KeyError('threshold')", "threshold"),
        ("return None", "NoneType"),
        ("yield 1; raise ValueError('halfway')", "halfway"),
        ("return ['not a workflow']", "expected Workflow"),
        (ONE_WORKFLOW.format(id="Bad Name"), "lower-case"),
    ],
)
def test_a_hook_that_fails_is_listed_once_and_the_other_plugins_still_give(
    plugin, workflows, reason
):
    bad = plugin("bad_hook", GOOD.format(name="bad_hook", version=1, workflows=workflows))
    manager = PluginManager([bad, good(plugin, "good_plugin", "one")])
    for _ in range(3):
        assert [w.key for w in manager.workflows()] == ["test.one"]
    assert reason in failures(manager)["bad_hook"]
    assert len(manager.failures) == 1


def test_a_hook_with_a_wrong_signature_leaves_nothing_behind(plugin):
    source = GOOD.format(name="x", version=API_VERSION, workflows="return []")
    source += "\n    @hookimpl\n    def register_prompts(surprise):\n        return {}\n"
    manager = PluginManager([plugin("wrong_signature", source)])
    assert "surprise" in failures(manager)["wrong_signature"]
    assert manager.prompts()["describe"]
    assert list(manager.plugins) == ["builtin"]


def test_two_plugins_with_one_workflow_key_keep_the_first(plugin):
    manager = PluginManager(
        [good(plugin, "first_plugin", "same"), good(plugin, "second_plugin", "same")]
    )
    assert [w.intended_use for w in manager.workflows()] == ["for first_plugin"]
    assert "already a workflow test.same" in failures(manager)["second_plugin"]


def test_a_workflow_gets_the_version_and_intended_use_of_its_plugin(plugin):
    manager = PluginManager([good(plugin, "good_plugin", "one")])
    workflow = manager.workflow("test.one")
    assert (workflow.version, workflow.intended_use) == ("1.2", "for good_plugin")
    with pytest.raises(RecordNotFoundError, match="test\\.one"):
        manager.workflow("test.two")


def test_the_same_name_twice_is_a_failure_and_not_a_crash(plugin):
    entry_point = good(plugin, "good_plugin", "one")
    manager = PluginManager([entry_point, entry_point])
    assert "registered already" in failures(manager)["good_plugin"]
    assert manager.workflow("test.one").title == "T"


def test_wrong_contributions_of_other_hooks_are_failures():
    manager = PluginManager([])
    plugin = SimpleNamespace(
        plugin_info=lambda: PluginInfo("odd", "Odd", "1", API_VERSION),
        register_label_sets=lambda: ["scene"],
        register_commands=lambda: [print],
        register_prompts=lambda: ["text"],
        register_model_cards=lambda: [3],
    )
    manager.register("odd", plugin)
    manager.load_contributions()
    assert len(manager.failures) == 4
    assert [s.name for s in manager.label_sets()] == ["scene"]


def test_selection_by_environment(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("VLMTOOL_PLUGINS", "")
    assert discover() == []
    manager = PluginManager()
    assert list(manager.plugins) == ["builtin"]
    assert manager.failures == []
    monkeypatch.setenv("VLMTOOL_PLUGINS", " security , nothing-of-this-name")
    assert [e.name for e in discover()] == ["security"]
    monkeypatch.delenv("VLMTOOL_PLUGINS")
    assert [e.name for e in discover()] == ["education", "medical", "security"]


def test_register_refuses_an_object_without_info():
    with pytest.raises(PluginError, match="plugin_info"):
        PluginManager([]).register("empty", SimpleNamespace())


@pytest.mark.parametrize(
    ("parameters", "problem"),
    [
        ((Parameter("project", ParameterKind.TEXT, "P", "P"),), "name of the program's own"),
        ((Parameter("min-gap", ParameterKind.TEXT, "P", "P"),), "underscores"),
        ((Parameter("a", ParameterKind.TEXT, "A", "A"),) * 2, "declared twice"),
        ((Parameter("a", ParameterKind.CHOICE, "A", "A"),), "no choices"),
        ((Parameter("a", ParameterKind.CHOICE, "A", "A", "z", choices=("x",)),), "not a choice"),
        ((Parameter("a", ParameterKind.NUMBER, "A", "A", minimum=2, maximum=1),), "above maximum"),
    ],
)
def test_a_wrong_declaration_is_a_failure_with_its_reason(parameters, problem):
    workflow = Workflow(
        "one", "test", "T", "S.", (), lambda _: WorkflowResult(""), parameters=parameters
    )
    manager = PluginManager([])
    manager.register(
        "wrong",
        SimpleNamespace(
            plugin_info=lambda: PluginInfo("wrong", "W", "1", API_VERSION),
            register_workflows=lambda: [workflow],
        ),
    )
    assert manager.workflows() == ()
    assert problem in failures(manager)["wrong"]
