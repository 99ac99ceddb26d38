"""Florence-2: fifteen tasks, each asked for by a token; places are tokens, and have no scores."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import cv2
import numpy as np
import torch

from vlmtool_core.engine.families.parts import florence2_tasks as tasks
from vlmtool_core.engine.families.parts.florence2_tasks import FlorenceTask, Gives, Needs
from vlmtool_core.engine.families.parts.generation import Written
from vlmtool_core.engine.families.parts.writing import BLANK, WritingFamily, refuse_threshold
from vlmtool_core.engine.pictures.rle import encode_mask
from vlmtool_core.engine.registry import register_family
from vlmtool_core.engine.results import boxes_outcome
from vlmtool_core.errors import UsageError
from vlmtool_core.records import (
    Box,
    Evidence,
    Frame,
    Json,
    Label,
    Mask,
    Outcome,
    OutcomeStatus,
    Task,
    TextLine,
)

# Places are tokens: a list of many boxes is as long as the decoder allows.
_MOST_TOKENS = 1024
_MOST_CAPTION_TOKENS = 256
# Labels that are looked for at once: the picture is encoded once for all of them.
_AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class Answer:
    """What one answer says, in pixels of the oriented source."""

    text: str = ""
    boxes: tuple[Box, ...] = ()
    lines: tuple[TextLine, ...] = ()
    masks: tuple[Mask, ...] = ()


@register_family("florence2")
class Florence2(WritingFamily):
    """Captions, boxes of its own choice or for names, and text with its places."""

    tasks = (Task.CAPTION, Task.DETECT, Task.READ)
    model_types = ("florence2",)
    architectures = ("Florence2ForConditionalGeneration",)
    padding_side: ClassVar[str] = "right"
    most_tokens = _MOST_TOKENS

    def caption(self, frames: Sequence[Frame], *, prompt: str | None) -> list[Outcome]:
        """The short caption, or what the task named by the prompt gives (`florence2_tasks`).

        Boxes and lines come as evidence, outlines as masks; the text then lists what they hold.
        """
        task, given = (tasks.CAPTION, "") if prompt is None else tasks.task_of_prompt(prompt)
        answers = self._answers(frames, task, given)
        return [self._told(answer, task, finished, prompt) for answer, finished in answers]

    def detect(
        self,
        frames: Sequence[Frame],
        labels: Sequence[Label] | None,
        *,
        threshold: float | None,
    ) -> list[Outcome]:
        """Boxes in the order in which the model wrote them: of the objects that it knows, or of
        each label, asked for one by one.

        Raises
        ------
        UsageError : a threshold: there are no scores to compare with it.
        """
        refuse_threshold(threshold, self.pack.id)
        if labels:
            return self._find(frames, labels)
        answers = self._answers(frames, tasks.OBJECTS, "")
        return [
            boxes_outcome(answer.boxes, self._said(tasks.OBJECTS, finished))
            for answer, finished in answers
        ]

    def read_as(self, frames: Sequence[Frame], prompt: str | None) -> list[Outcome]:
        """Lines with their places, or the text alone for the prompt "text".

        Raises
        ------
        UsageError : the prompt names no task that reads.
        """
        task, _ = (tasks.LINES, "") if prompt is None else tasks.task_of_prompt(prompt)
        if task not in (tasks.LINES, tasks.TEXT):
            raise UsageError(
                f"the task {task.names[0]!r} does not read",
                field="prompt",
                remedy="Use text or lines, or leave the prompt out.",
            )
        if task is tasks.LINES:
            return self.read(frames)
        answers = self._answers(frames, task, "")
        return [self._told(answer, task, finished, prompt) for answer, finished in answers]

    def read(self, frames: Sequence[Frame]) -> list[Outcome]:
        """Lines with their four corners, in the order in which the model reads them."""
        outcomes = []
        for answer, finished in self._answers(frames, tasks.LINES, ""):
            status = OutcomeStatus.OK if answer.lines else OutcomeStatus.EMPTY
            text = "\n".join(line.text for line in answer.lines)
            outcomes.append(
                Outcome(
                    status,
                    text=text or None,
                    lines=answer.lines,
                    provenance=self._said(tasks.LINES, finished),
                )
            )
        return outcomes

    def _answers(
        self, frames: Sequence[Frame], task: FlorenceTask, given: str
    ) -> list[tuple[Answer, bool]]:
        """What the task gives for each frame, and whether the model came to its end."""
        if task.needs is Needs.PHRASE:
            given = self._safe(given, "prompt", self._room)
        prompts = [self._prompt(task, given, frame) for frame in frames]
        written = self._write(self._inputs(frames, prompts), 1, most=self._most(task))
        return [
            (self.parsed(raw, task, frame.size), finished)
            for raw, frame, finished in zip(
                self._raw(written), frames, written.finished, strict=True
            )
        ]

    def _prompt(self, task: FlorenceTask, given: str, frame: Frame) -> str:
        if task.needs is Needs.REGION:
            return task.token + tasks.region_tokens(tasks.region_of(given), frame.size)
        return task.token + given

    def _find(self, frames: Sequence[Frame], labels: Sequence[Label]) -> list[Outcome]:
        """Each label in each frame; what is found is called by the label, as the user wrote it."""
        called = [label.prompts[0] if label.prompts else label.name for label in labels]
        phrases = [self._safe(text, "label", self._room) for text in called]
        boxes: list[list[Box]] = [[] for _ in frames]
        finished = [True] * len(frames)
        pairs = [(f, k) for f in range(len(frames)) for k in range(len(labels))]
        for part, raw, ended in self._looked_for(frames, phrases, pairs):
            for (f, k), text, end in zip(part, raw, ended, strict=True):
                answer = self.parsed(text, tasks.FIND, frames[f].size)
                boxes[f] += [Box(*box.xyxy, labels[k].name) for box in answer.boxes]
                finished[f] &= end
        return [
            boxes_outcome(found, self._said(tasks.FIND, end))
            for found, end in zip(boxes, finished, strict=True)
        ]

    @torch.inference_mode()
    def _looked_for(
        self, frames: Sequence[Frame], phrases: Sequence[str], pairs: Sequence[tuple[int, int]]
    ) -> Iterator[tuple[Sequence[tuple[int, int]], list[str], Sequence[bool]]]:
        """Answers for pairs of a frame and a phrase, a few at once; the picture, which costs most,
        is encoded once and not once for each phrase."""
        pixels = self._inputs(frames)["pixel_values"]
        pictures = self._model.get_image_features(pixels).pooler_output
        for start in range(0, len(pairs), _AT_ONCE):
            part = pairs[start : start + _AT_ONCE]
            prompts = [tasks.FIND.token + phrases[k] for _, k in part]
            texts = [self._inputs([BLANK], [prompt])["input_ids"][0] for prompt in prompts]
            inputs = self._encoded(pictures[[f for f, _ in part]], texts)
            written = self._write(inputs, 1, most=self._most(tasks.FIND))
            yield part, self._raw(written), written.finished

    def _encoded(self, pictures: torch.Tensor, texts: Sequence[torch.Tensor]) -> dict[str, Any]:
        """What the encoder makes of encoded pictures (n, places, d) and prompts."""
        padding = self._tokenizer.pad_token_id
        ids = torch.nn.utils.rnn.pad_sequence(list(texts), batch_first=True, padding_value=padding)
        mask = torch.nn.utils.rnn.pad_sequence(
            [torch.ones_like(text) for text in texts], batch_first=True
        )
        embedded = self._model.get_input_embeddings()(ids)
        places = (ids == self._model.config.image_token_id).unsqueeze(-1)
        embedded = embedded.masked_scatter(places, pictures.to(embedded.dtype))
        encoder = self._model.get_encoder()
        outputs = encoder(inputs_embeds=embedded, attention_mask=mask, return_dict=True)
        return {"encoder_outputs": outputs, "attention_mask": mask}

    def _raw(self, written: Written) -> list[str]:
        """Texts with the model's own tokens, up to the end: what fills a batch up is no text."""
        rows = [row[:length] for row, length in zip(written.new, written.lengths, strict=True)]
        return [str(self._tokenizer.decode(row, skip_special_tokens=False)) for row in rows]

    def parsed(self, raw: str, task: FlorenceTask, size: tuple[int, int]) -> Answer:
        """An answer from the model's own words and tokens.

        Parameters
        ----------
        size : (width, height) of the oriented source: this post-processing takes the width first,
            unlike those of detectors
        """
        found = self._processor.post_process_generation(raw, task=task.token, image_size=size)
        value = found[task.token]
        if task.gives is Gives.TEXT:
            return Answer(text=str(value))
        if task.gives is Gives.LINES:
            return Answer(lines=_lines(value, size))
        named = _pairs(value, "polygons", "polygons_labels" if "bboxes" in value else "labels")
        outlines = [(polygons, name or "region") for polygons, name in named]
        boxes = [
            (xyxy, name)
            for xyxy, name in _pairs(
                value, "bboxes", "bboxes_labels" if "bboxes_labels" in value else "labels"
            )
        ]
        boxes += [(_around(polygons), name) for polygons, name in outlines]
        clipped = [_box(xyxy, name, size) for xyxy, name in boxes]
        return Answer(
            boxes=tuple(box for box in clipped if box is not None),
            masks=tuple(_mask(polygons, name, size) for polygons, name in outlines),
        )

    def _told(
        self, answer: Answer, task: FlorenceTask, finished: bool, prompt: str | None
    ) -> Outcome:
        """An answer of any task as a caption."""
        evidence = [Evidence("box", box.label, None, box) for box in answer.boxes]
        evidence += [
            Evidence("text", line.text, None, _bounds(line, line.text)) for line in answer.lines
        ]
        text = answer.text or _listed(evidence)
        provenance = self._said(task, finished, prompt=prompt)
        outcome = self._outcome(text, provenance, evidence=evidence)
        return dataclasses.replace(outcome, masks=answer.masks)

    def _said(self, task: FlorenceTask, finished: bool, **more: Json) -> dict[str, Json]:
        """Provenance; `scores` tells that boxes and lines of this model have none."""
        unscored: dict[str, Json] = {} if task.gives is Gives.TEXT else {"scores": False}
        cut: dict[str, Json] = {} if finished else {"cut_off": True}
        said = self._described(task=task.token, **unscored, **cut, **more)
        return {**said, "generation": {**said["generation"], "most_tokens": self._most(task)}}

    def _most(self, task: FlorenceTask) -> int:
        """Tokens of an answer: as many as the decoder has positions for."""
        limit = int(self._model.config.text_config.max_position_embeddings) - 1
        short = task.gives is Gives.TEXT and task is not tasks.TEXT
        return min(limit, _MOST_CAPTION_TOKENS if short else _MOST_TOKENS)

    def _marks(self) -> Sequence[str]:
        return tuple(tasks.BY_TOKEN)

    @property
    def _room(self) -> int:
        """Tokens of a phrase that leave room for the picture and the task's own words."""
        limit = int(self._model.config.text_config.max_position_embeddings)
        return limit - int(self._processor.num_image_tokens) - 16


def _pairs(value: dict[str, Any], things: str, names: str) -> list[tuple[Any, str]]:
    return list(zip(value.get(things, ()), value.get(names, ()), strict=False))


def _around(polygons: Sequence[Sequence[float]]) -> tuple[float, float, float, float]:
    xs = [x for polygon in polygons for x in polygon[0::2]]
    ys = [y for polygon in polygons for y in polygon[1::2]]
    return (min(xs), min(ys), max(xs), max(ys)) if xs and ys else (0.0, 0.0, 0.0, 0.0)


def _mask(polygons: Sequence[Sequence[float]], name: str, size: tuple[int, int]) -> Mask:
    """The pixels inside outlines x1, y1, x2, y2, ... of one object."""
    width, height = size
    pixels = np.zeros((height, width), np.uint8)
    corners = [np.asarray(polygon).reshape(-1, 2).round().astype(np.int32) for polygon in polygons]
    cv2.fillPoly(pixels, [points for points in corners if len(points) >= 3], 1)
    return encode_mask(pixels, label=name)


def _box(xyxy: Sequence[float], name: str, size: tuple[int, int]) -> Box | None:
    """A box inside the picture, or None where the model wrote no box."""
    width, height = size
    x1, x2 = (min(max(float(v), 0.0), float(width)) for v in (xyxy[0], xyxy[2]))
    y1, y2 = (min(max(float(v), 0.0), float(height)) for v in (xyxy[1], xyxy[3]))
    return Box(x1, y1, x2, y2, name or "region") if x1 < x2 and y1 < y2 else None


def _lines(value: dict[str, Any], size: tuple[int, int]) -> tuple[TextLine, ...]:
    width, height = size
    lines = []
    for flat, text in _pairs(value, "quad_boxes", "labels"):
        words = text.removeprefix("<s>").strip()
        corners = [
            (min(max(float(x), 0.0), float(width)), min(max(float(y), 0.0), float(height)))
            for x, y in zip(flat[0::2], flat[1::2], strict=True)
        ]
        if words:
            lines.append(TextLine(words, tuple(corners)))
    return tuple(lines)


def _bounds(line: TextLine, name: str) -> Box:
    xs, ys = [x for x, _ in line.quad], [y for _, y in line.quad]
    return Box(min(xs), min(ys), max(xs), max(ys), name)


def _listed(evidence: Sequence[Evidence]) -> str:
    """What was found, each name once, with its count where there are several."""
    names = [item.text for item in evidence]
    counts = {name: names.count(name) for name in names}
    return ", ".join(f"{name} ({n})" if n > 1 else name for name, n in counts.items())
