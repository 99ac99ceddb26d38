"""The declaration of `security triage`: what the form and the command line ask for."""

from __future__ import annotations

from collections.abc import Sequence

from vlmtool_core.api import (
    Label,
    MediaKind,
    Parameter,
    ParameterKind,
    RegionSpec,
    Workflow,
    WorkflowContext,
    WorkflowResult,
    WorkflowSample,
)

# What moves by itself: things that are carried would only compete with who carries them.
LABELS = (
    Label("person", ("a person", "a man or a woman walking", "a person standing")),
    Label("car", ("a car on a road", "a parked car")),
    Label("truck", ("a truck or a van", "a lorry")),
    Label("bus", ("a bus",)),
    Label("motorcycle", ("a motorcycle or a moped",)),
    Label("bicycle", ("a bicycle", "a person riding a bicycle")),
    Label("dog", ("a dog",)),
    Label("cat", ("a cat",)),
    Label("bird", ("a bird",)),
)


def described(labels: Sequence[Label]) -> tuple[Label, ...]:
    """The labels, those that are only typed names with the prompts that are known for them."""
    known = {label.name: label for label in LABELS}
    return tuple(
        label if label.prompts else known.get(label.name.casefold(), label) for label in labels
    )


SCANS = ("auto", "full")


def _run(context: WorkflowContext) -> WorkflowResult:
    from vlmtool_security.triage import run

    return run(context)


def _sample(folder: object) -> WorkflowSample:
    from pathlib import Path

    from vlmtool_security.sample import draw_sample

    return draw_sample(Path(str(folder)))


def _seconds(
    name: str, label: str, text: str, default: float, low: float, high: float
) -> Parameter:
    return Parameter(
        name, ParameterKind.NUMBER, label, text, default, unit="s", minimum=low, maximum=high
    )


PARAMETERS = (
    Parameter(
        "out",
        ParameterKind.OUTPUT_FOLDER,
        "Report folder",
        "Folder for the timeline, the table and the frame sheets",
    ),
    Parameter(
        "sensitivity",
        ParameterKind.CHOICE,
        "Sensitivity",
        "How small and faint a movement counts: low, normal or high",
        "normal",
        choices=("low", "normal", "high"),
    ),
    _seconds("min_duration_s", "Shortest event", "Leave out shorter events", 0.5, 0, 3600),
    _seconds("merge_gap_s", "Longest pause", "Join events that are no further apart", 1.0, 0, 3600),
    _seconds("sample_s", "Look every", "Time between two looks in the dense pass", 0.1, 0.02, 2),
    Parameter(
        "scan",
        ParameterKind.CHOICE,
        "Scan",
        "auto looks at the key frames first and then closely where something moves; "
        "full looks closely everywhere",
        "auto",
        choices=SCANS,
    ),
    Parameter(
        "tags",
        ParameterKind.SWITCH,
        "Name what is seen",
        "Let the model name what moves; needs the starter packs",
        True,
    ),
    Parameter(
        "labels",
        ParameterKind.LABELS,
        "Names to choose from",
        "Names that the model may give",
        LABELS,
    ),
)
REGIONS = (
    RegionSpec("watch-area", "polygon", "Only movement inside counts", maximum=8),
    RegionSpec("ignore-area", "polygon", "Movement inside does not count", maximum=8),
)


def triage_workflow() -> Workflow:
    """`vlmtool-cli security triage VIDEO... --out DIR`."""
    return Workflow(
        id="triage",
        domain="security",
        title="Triage footage",
        summary="Find the stretches of recorded video in which something moves: time spans for "
        "the review queue, frame sheets, a table (JSON) and a timeline (HTML). The videos "
        "themselves are only read.",
        accepts=(MediaKind.VIDEO,),
        run=_run,
        parameters=PARAMETERS,
        regions=REGIONS,
        inputs_name="VIDEO",
        help_page="security-triage",
        sample=_sample,
    )
