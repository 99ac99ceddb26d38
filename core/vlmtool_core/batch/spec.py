"""What a run does: task, model, labels and which frames; as JSON and as a fingerprint."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

from vlmtool_core.engine.texts.answers import AnswerShape
from vlmtool_core.errors import FormatError, UsageError
from vlmtool_core.records import RUN_TASKS, Json, Label, Task

FrameChoice = Literal["first", "every", "all"]


@dataclass(frozen=True, slots=True)
class RunSpec:
    """One task with one model and its parameters, to be run over items.

    model : a pack's id, None for the task's default; in a project also "v1", "v2", "active"
    labels : what to classify or detect, empty for the model's own classes
    exclusive : exactly one label holds (softmax), else any of them (independent sigmoids)
    threshold : least score of a box or label, in [0, 1]; None for the model's default
    head : folder of a trained head (`engine.heads.ProbeHead`); head_version : its name ("v3")
    frames : "first" frame; "every": first of a still, middle and evenly spaced (at most 8) of a
        series, one per `sample_s` seconds of a video; or "all"
    sample_s : seconds between two frames of a video
    answer : the form that answers to the question must have (task ask)

    Raises
    ------
    UsageError : a value out of range, or a question that is missing.
    """

    task: Task
    model: str | None = None
    labels: tuple[Label, ...] = ()
    exclusive: bool = True
    question: str | None = None
    prompt: str | None = None
    threshold: float | None = None
    head: Path | None = None
    head_version: str | None = None
    frames: FrameChoice = "every"
    sample_s: float = 2.0
    answer: AnswerShape | None = None

    def __post_init__(self) -> None:
        if self.task not in RUN_TASKS:
            raise UsageError(
                f"{self.task} works on one picture at a time, not in a run",
                field="task",
                remedy=f"Use: vlmtool-cli {self.task} PATH",
            )
        if self.task is Task.ASK and not (self.question or "").strip():
            raise UsageError("the task ask needs a question", field="question")
        if self.answer is not None and self.task is not Task.ASK:
            raise UsageError(f"a form of answers has no meaning for {self.task}", field="answer")
        if self.threshold is not None and not 0 <= self.threshold <= 1:
            raise UsageError(f"expected 0 to 1, got {self.threshold}", field="threshold")
        if not 0 < self.sample_s < float("inf"):
            raise UsageError(f"expected seconds above 0, got {self.sample_s}", field="sample_s")
        if self.frames not in get_args(FrameChoice):
            raise UsageError(f"expected first, every or all, got {self.frames!r}", field="frames")
        names = [label.name for label in self.labels]
        if "" in names or len(set(names)) < len(names):
            raise UsageError("labels must be named and different", field="labels")

    def to_json(self) -> dict[str, Json]:
        """Every field, as `json.dumps` takes it; `from_json` gives the same spec back."""
        return {
            "task": str(self.task),
            "model": self.model,
            "labels": [_label_to_json(label) for label in self.labels],
            "exclusive": self.exclusive,
            "question": self.question,
            "prompt": self.prompt,
            "answer": None if self.answer is None else self.answer.to_json(),
            "threshold": self.threshold,
            "head": None if self.head is None else str(self.head),
            "head_version": self.head_version,
            "frames": self.frames,
            "sample_s": self.sample_s,
        }

    @classmethod
    def from_json(cls, value: Json) -> RunSpec:
        """The spec that `to_json` wrote; fields left out have their default.

        Raises
        ------
        FormatError : no object, no such field, or a value of the wrong type.
        """
        if not isinstance(value, Mapping):
            raise FormatError("expected an object", field="spec")
        fields = dict(value)
        for name in fields:
            if name not in _TYPES:
                raise FormatError("no such field of a run", field=str(name))
        if "task" not in fields:
            raise FormatError("a run needs a task", field="task")
        for name, kinds in _TYPES.items():
            given = fields.get(name)
            if given is not None and not _fits(given, kinds):
                raise FormatError(f"wrong value: {given!r}", field=name)
        return cls(**_converted(fields))

    def fingerprint(self) -> str:
        """SHA-256 over what changes the results: not a label's colour, not a head's place."""
        value = self.to_json()
        value["labels"] = [_as_told(label) for label in self.labels]
        value["sample_s"] = float(self.sample_s)
        del value["answer"]  # its properties have an order, which sorted keys would lose
        if self.answer is not None:
            value["answer"] = [self.answer.kind, self.answer.options, self.answer.schema]
        if self.head_version is not None:
            del value["head"]
        text = json.dumps(value, sort_keys=True, ensure_ascii=False)
        return hashlib.sha256(text.encode()).hexdigest()

    def with_head(self, pack: str, head: Path, version: str) -> RunSpec:
        """The same run with a trained head on the pack that it was trained for."""
        return replace(self, model=pack, head=head, head_version=version)


_TYPES: dict[str, tuple[type, ...]] = {
    "task": (str,),
    "model": (str,),
    "labels": (list, tuple),
    "exclusive": (bool,),
    "question": (str,),
    "prompt": (str,),
    "answer": (dict,),
    "threshold": (int, float),
    "head": (str,),
    "head_version": (str,),
    "frames": (str,),
    "sample_s": (int, float),
}


def _fits(value: object, kinds: tuple[type, ...]) -> bool:
    if isinstance(value, bool):
        return bool in kinds
    return isinstance(value, kinds)


def _converted(fields: dict[str, Any]) -> dict[str, Any]:
    given = {name: value for name, value in fields.items() if value is not None}
    try:
        given["task"] = Task(given.get("task", ""))
    except ValueError as error:
        raise FormatError(str(error), field="task") from error
    given["labels"] = tuple(_label_from_json(value) for value in given.get("labels", ()))
    if "answer" in given:
        given["answer"] = AnswerShape.from_json(given["answer"])
    if "head" in given:
        given["head"] = Path(given["head"])
    return given


def _as_told(label: Label) -> list[Json]:
    """What a model is told of a label."""
    told = [label.name, list(label.prompts), label.definition]
    return [*told, label.label_set] if label.label_set else told


def _label_to_json(label: Label) -> dict[str, Json]:
    return {
        "name": label.name,
        "prompts": list(label.prompts),
        "definition": label.definition,
        "colour": label.colour,
        "shortcut": label.shortcut,
        "label_set": label.label_set,
    }


def _label_from_json(value: Json) -> Label:
    """A label as written by `to_json`, or just its name."""
    if isinstance(value, str):
        return Label(value)
    if not isinstance(value, Mapping) or not isinstance(value.get("name"), str):
        raise FormatError(f"expected a label with a name, got {value!r}", field="labels")
    prompts = value.get("prompts", ())
    if not isinstance(prompts, list | tuple) or not all(isinstance(p, str) for p in prompts):
        raise FormatError(f"expected a list of texts, got {prompts!r}", field="labels.prompts")
    texts = {key: value.get(key, "") for key in ("definition", "colour", "shortcut", "label_set")}
    for key, text in texts.items():
        if not isinstance(text, str):
            raise FormatError(f"expected a text, got {text!r}", field=f"labels.{key}")
    return Label(value["name"], tuple(prompts), **texts)
