"""vlmtool plugin for security: looks through recorded footage and shows when something moves."""

from __future__ import annotations

from vlmtool_core.api import API_VERSION, Label, LabelSet, PluginInfo, Workflow, hookimpl
from vlmtool_security.workflow import LABELS, triage_workflow

__version__ = "0.1.0"


@hookimpl
def plugin_info() -> PluginInfo:
    return PluginInfo(
        "security",
        "Security: recorded footage",
        __version__,
        API_VERSION,
        intended_use="Finds stretches of recorded video for a person to look at. It does not "
        "identify persons, and that it finds nothing does not prove that nothing happened.",
    )


@hookimpl
def register_label_sets() -> tuple[LabelSet, ...]:
    return (
        LabelSet("surveillance", LABELS, domain="security"),
        LabelSet(
            "scene-light",
            (
                Label("daylight", ("a place in daylight", "a bright picture of a place")),
                Label("night", ("a dark place at night", "a night vision picture")),
                Label("blocked", ("a covered lens", "a blurred picture that shows nothing")),
            ),
            domain="security",
        ),
    )


@hookimpl
def register_prompts() -> dict[str, str]:
    return {"footage": "Describe what happens in this frame of recorded footage in one sentence."}


@hookimpl
def register_workflows() -> tuple[Workflow, ...]:
    return (triage_workflow(),)
