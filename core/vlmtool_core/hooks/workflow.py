"""What a plugin's workflow declares, and what it is given and gives back.

The window draws its form and the review queue from the declaration, the command line its
options; a workflow therefore never imports Qt or click.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol

from vlmtool_core.jobs import CancelToken, ProgressCallback, no_progress
from vlmtool_core.records import (
    ErrorInfo,
    Finding,
    Frame,
    Label,
    MediaKind,
    ModelIdentity,
    Outcome,
    Region,
    Task,
)


class ParameterKind(StrEnum):
    """What a field holds; `WorkflowContext.values` has it as str, int, float, bool, str (choice),
    `Path` (files and folders) or a tuple of `Label` (labels), or None when optional and not given.
    """

    TEXT = "text"
    INTEGER = "integer"
    NUMBER = "number"
    SWITCH = "switch"
    CHOICE = "choice"
    INPUT_FILE = "input-file"
    OUTPUT_FILE = "output-file"
    OUTPUT_FOLDER = "output-folder"
    LABELS = "labels"


@dataclass(frozen=True)
class Parameter:
    """One field of the form and one option of the command line.

    name : lower case with underscores; the option `--min-gap` has the name `min_gap`
    default : a value, or the text that a user would type for it
    minimum, maximum : both inclusive
    positional : an argument instead of an option on the command line
    unit : shown behind the field ("s", "px", "%")
    """

    name: str
    kind: ParameterKind
    label: str
    help: str
    default: Any = None
    required: bool = False
    unit: str = ""
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[str, ...] = ()
    positional: bool = False


@dataclass(frozen=True)
class RegionSpec:
    """A region the user may draw: role ("entrance"), shape (box, polygon, line), how many."""

    role: str
    shape: str
    help: str
    minimum: int = 0
    maximum: int = 1


@dataclass(frozen=True)
class Document:
    """A file that a workflow wrote: report, table, picture."""

    path: Path
    title: str
    kind: str = "file"


@dataclass(frozen=True)
class WorkflowResult:
    """`table`: column names and rows for a short summary on screen and terminal."""

    summary: str
    findings: tuple[Finding, ...] = ()
    documents: tuple[Document, ...] = ()
    columns: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()
    failures: tuple[ErrorInfo, ...] = ()


class EngineLike(Protocol):
    """The part of the engine that a workflow may use; loaded on first use."""

    def classify(
        self,
        frames: Sequence[Frame],
        labels: Sequence[Label] | None = None,
        *,
        exclusive: bool = True,
        model: str | None = None,
    ) -> list[Outcome]: ...

    def detect(
        self,
        frames: Sequence[Frame],
        labels: Sequence[Label] | None = None,
        *,
        threshold: float | None = None,
        model: str | None = None,
    ) -> list[Outcome]: ...

    def caption(
        self,
        frames: Sequence[Frame],
        *,
        prompt: str | None = None,
        model: str | None = None,
    ) -> list[Outcome]: ...

    def read(self, frames: Sequence[Frame], *, model: str | None = None) -> list[Outcome]: ...

    def identity(self, task: Task, model: str | None = None) -> ModelIdentity:
        """The model that serves `task`; raises `MissingPackError` when it is not installed."""
        ...


@dataclass(frozen=True)
class WorkflowContext:
    """What a run of a workflow is given.

    inputs : the files and folders chosen
    output_dir : a folder the workflow may write to (its output parameter, or the project's)
    values : the parameters by name, checked and converted (paths are `Path`)
    engine : returns the engine; calling it is what loads models
    """

    inputs: tuple[Path, ...]
    output_dir: Path
    values: Mapping[str, Any]
    engine: Callable[[], EngineLike]
    regions: tuple[Region, ...] = ()
    progress: ProgressCallback = no_progress
    cancel: CancelToken = field(default_factory=CancelToken)


@dataclass(frozen=True)
class WorkflowSample:
    """Inputs and parameter values to try a workflow with; drawn or from installed packages."""

    inputs: tuple[Path, ...]
    values: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Workflow:
    """A domain's named job.

    id : "deidentify"; domain : "medical"; together the command `medical deidentify`
    inputs_name : the metavar of the input argument; many_inputs : one or several
    sample : makes inputs to try it with in the folder given; the demo runs on them
    version, intended_use : set by the plugin manager to the plugin's own, unless given
    """

    id: str
    domain: str
    title: str
    summary: str
    accepts: tuple[MediaKind, ...]
    run: Callable[[WorkflowContext], WorkflowResult]
    parameters: tuple[Parameter, ...] = ()
    regions: tuple[RegionSpec, ...] = ()
    inputs_name: str = "INPUT"
    many_inputs: bool = True
    help_page: str = ""
    sample: Callable[[Path], WorkflowSample] | None = None
    version: str = ""
    intended_use: str = ""

    @property
    def key(self) -> str:
        return f"{self.domain}.{self.id}"
