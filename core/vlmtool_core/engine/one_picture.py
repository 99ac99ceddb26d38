"""What `Engine` does with one picture at a time: segment what is pointed at, and enhance."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager

from vlmtool_core.engine.family import Family
from vlmtool_core.engine.packs.builtin_packs import ENHANCERS
from vlmtool_core.engine.packs.model_store import ModelStore
from vlmtool_core.engine.packs.pack import Pack
from vlmtool_core.engine.pictures.preprocessing import check_frame
from vlmtool_core.engine.runtime.guarding import as_engine_error
from vlmtool_core.errors import MissingPackError, TaskNotServedError, UsageError, VlmtoolError
from vlmtool_core.records import Enhanced, Frame, Json, Outcome, SegmentPrompt, Task


def require_task(pack: Pack, task: Task) -> None:
    """Raise `TaskNotServedError` unless the pack serves the task."""
    if task not in pack.tasks:
        raise TaskNotServedError(
            f"{pack.id} serves {', '.join(pack.tasks) or 'no task of its own'}, not {task}",
            field="model",
        )


class OnePictureTasks:
    """The part of `Engine` whose calls take one frame, and no default model."""

    store: ModelStore

    @abstractmethod
    def _pack(self, pack_id: str) -> Pack: ...

    @abstractmethod
    def _at_work(self, pack_id: str) -> AbstractContextManager[Family]: ...

    @abstractmethod
    def _run(
        self,
        task: Task,
        model: str | None,
        frames: Sequence[Frame],
        call: Callable[[Family, Sequence[Frame]], list[Outcome]],
    ) -> list[Outcome]: ...

    def segment(
        self, frame: Frame, prompts: Sequence[SegmentPrompt], *, model: str | None = None
    ) -> Outcome:
        """One mask per prompt, in order: of the masks that the model offers, the one that it
        thinks best of. A second call with the same picture only costs the decoder.

        Raises
        ------
        UsageError : no prompt, an empty one, or one outside of the picture.
        MissingPackError : no model was named.
        TaskNotServedError, EngineMemoryError
        """
        model = model or self._none_named(Task.SEGMENT)
        if not prompts:
            raise UsageError("nothing is pointed at", field="prompts", remedy=_POINT)
        for prompt in prompts:
            _check_prompt(prompt, frame.size)
        return self._run(
            Task.SEGMENT, model, [frame], lambda family, batch: [family.segment(batch[0], prompts)]
        )[0]

    def enhance(
        self, frame: Frame, *, model: str | None = None, options: Mapping[str, Json] | None = None
    ) -> Enhanced:
        """A picture made from this one, with the model and its settings in its provenance.

        Raises
        ------
        UsageError : an option that the method does not have, or a wrong value.
        MissingPackError : no model was named.
        InferenceError : the pixels are no picture, or the model failed.
        TaskNotServedError, EngineMemoryError
        """
        model = model or self._none_named(Task.ENHANCE)
        pack = self._pack(model)
        require_task(pack, Task.ENHANCE)
        check_frame(frame)
        try:
            with self._at_work(model) as family:
                made = family.enhance(frame, options or {})
        except VlmtoolError:
            raise
        except Exception as error:
            raise as_engine_error(error) from error
        identity = {"model": pack.id, "version": pack.version, "fingerprint": pack.fingerprint}
        return Enhanced(made.pixels, {**frame.provenance, **identity, **made.provenance})

    def _none_named(self, task: Task) -> str:
        installed = [pack.id for pack in self.store.installed() if task in pack.tasks]
        if task is Task.ENHANCE:
            installed = [*ENHANCERS, *installed]
        if installed:
            remedy = f"Name one with --model: {', '.join(installed)}"
        else:
            remedy = f"See which there are: vlmtool-cli models recommend --task {task}"
        raise MissingPackError(f"no model was named to {task} with", remedy=remedy)


_POINT = "Give a point on the object or a box around it."


def _check_prompt(prompt: SegmentPrompt, size: tuple[int, int]) -> None:
    width, height = size
    if not prompt.points and prompt.box is None:
        raise UsageError("a prompt has neither points nor a box", field="prompts", remedy=_POINT)
    inside = f"The picture is {width} × {height} pixels; x goes right and y down from 0,0."
    for x, y, _ in prompt.points:
        if not (0 <= x <= width and 0 <= y <= height):
            where = f"the point {x:g},{y:g} is outside of the picture"
            raise UsageError(where, field="point", remedy=inside)
    if prompt.box is None:
        return
    x1, y1, x2, y2 = prompt.box
    if not all(math.isfinite(value) for value in prompt.box) or not (x1 < x2 and y1 < y2):
        raise UsageError("a box needs x1 < x2 and y1 < y2", field="box", remedy=inside)
    if x1 >= width or y1 >= height or x2 <= 0 or y2 <= 0:
        raise UsageError("the box is outside of the picture", field="box", remedy=inside)
