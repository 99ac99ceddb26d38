"""vlmtool plugin for education: reads answer sheets and suggests marks; a person decides."""

from __future__ import annotations

from vlmtool_core.api import API_VERSION, Label, LabelSet, PluginInfo, Workflow, hookimpl
from vlmtool_education.workflow import grade_workflow

__version__ = "0.1.0"


@hookimpl
def plugin_info() -> PluginInfo:
    return PluginInfo(
        "education",
        "Education: answer sheets",
        __version__,
        API_VERSION,
        intended_use="Suggests marks for answer sheets. A person decides: look at every answer "
        "that it lists for review before a mark counts.",
    )


@hookimpl
def register_label_sets() -> tuple[LabelSet, ...]:
    return (
        LabelSet(
            "bubble",
            (
                Label("marked", ("a filled bubble", "a bubble filled in with a pen")),
                Label("blank", ("an empty bubble", "an empty circle with a letter")),
                Label("faint", ("a faint mark", "a half erased pencil mark")),
                Label("crossed", ("a bubble crossed out", "a crossed out answer")),
            ),
            domain="education",
        ),
        LabelSet(
            "page-kind",
            (
                Label("answer sheet", ("a bubble answer sheet", "a multiple choice form")),
                Label("handwriting", ("a handwritten page", "handwritten text on paper")),
                Label("printed text", ("a printed page of text", "a printed document")),
                Label("blank page", ("a blank sheet of paper", "an empty page")),
            ),
            domain="education",
        ),
    )


@hookimpl
def register_prompts() -> dict[str, str]:
    return {"work": "Describe what is on this page of a student's work in one sentence."}


@hookimpl
def register_workflows() -> tuple[Workflow, ...]:
    return (grade_workflow(),)
