"""The declaration of `education grade`: what the form and the command line ask for."""

from __future__ import annotations

from pathlib import Path

from vlmtool_core.api import (
    MediaKind,
    Parameter,
    ParameterKind,
    Workflow,
    WorkflowContext,
    WorkflowResult,
    WorkflowSample,
)


def _run(context: WorkflowContext) -> WorkflowResult:
    from vlmtool_education.batch import run

    return run(context)


def _sample(folder: Path) -> WorkflowSample:
    from vlmtool_education.drawing import draw_demo_sheets

    sheets = draw_demo_sheets(folder)
    values = {"template": sheets.template_path, "key": sheets.key_path}
    return WorkflowSample(sheets.sheet_paths, values)


def _share(name: str, label: str, text: str, default: float) -> Parameter:
    return Parameter(
        name, ParameterKind.NUMBER, label, text, default, unit="%", minimum=1, maximum=100
    )


PARAMETERS = (
    Parameter(
        "template",
        ParameterKind.INPUT_FILE,
        "Template",
        "Layout of the sheet: template.json of the OMRChecker kind",
        required=True,
    ),
    Parameter(
        "key",
        ParameterKind.INPUT_FILE,
        "Answer key",
        "evaluation.json, or a table question,answer[,points]; without it answers are only read",
    ),
    Parameter(
        "out",
        ParameterKind.OUTPUT_FILE,
        "Table of marks",
        "CSV file for the marks, one row per sheet",
    ),
    Parameter(
        "review_dir",
        ParameterKind.OUTPUT_FOLDER,
        "Annotated sheets",
        "Folder for the pictures with what was read drawn on them; beside the table by default",
    ),
    Parameter(
        "pictures",
        ParameterKind.SWITCH,
        "Draw annotated sheets",
        "Write a picture of each sheet with what was read",
        True,
    ),
    Parameter(
        "review_blank",
        ParameterKind.SWITCH,
        "Review blank questions",
        "Let a person look at every question without a mark",
        True,
    ),
    _share("faint", "Faint from", "Darkness, against the sheet's usual mark, to ask from", 25),
    _share("mark", "Marked from", "Darkness, against the sheet's usual mark, that is read", 45),
    _share("sure", "Sure from", "Darkness, against the sheet's usual mark, that needs no look", 60),
    Parameter(
        "minimum_fit",
        ParameterKind.NUMBER,
        "Least fit",
        "How well (0 to 1) printed bubbles must lie where the template has them",
        0.3,
        minimum=0.1,
        maximum=1,
    ),
)


def grade_workflow() -> Workflow:
    return Workflow(
        id="grade",
        domain="education",
        title="Mark answer sheets",
        summary="Read bubble sheets from scans or photographs and suggest marks.",
        accepts=(MediaKind.IMAGE,),
        run=_run,
        parameters=PARAMETERS,
        inputs_name="SHEETS",
        help_page="education-grade.md",
        sample=_sample,
    )
