"""vlmtool plugin for medicine: label sets, CT windows and the de-identification of DICOM."""

from __future__ import annotations

from vlmtool_core.api import API_VERSION, LabelSet, PluginInfo, Workflow, hookimpl
from vlmtool_medical.deidentify.workflow import deidentify_workflow
from vlmtool_medical.labels import LABEL_SETS, PROMPTS
from vlmtool_medical.windows import PRESETS

__version__ = "0.1.0"

INTENDED_USE = (
    "For research and annotation. Not a medical device and not for diagnostic use: do not use it "
    "to make or change a decision about a patient. De-identification follows the basic profile of "
    "DICOM PS3.15 and has to be checked by a person before pictures are given away."
)


@hookimpl
def plugin_info() -> PluginInfo:
    return PluginInfo(
        "medical",
        "Medicine: DICOM and radiographs",
        __version__,
        API_VERSION,
        intended_use=INTENDED_USE,
        windows=PRESETS,
    )


@hookimpl
def register_label_sets() -> tuple[LabelSet, ...]:
    return LABEL_SETS


@hookimpl
def register_prompts() -> dict[str, str]:
    return PROMPTS


@hookimpl
def register_workflows() -> tuple[Workflow, ...]:
    return (deidentify_workflow(),)
