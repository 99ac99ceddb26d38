"""What detectors share: pictures of one shape in one forward, labels as texts or own classes,
and boxes back in pixels of the oriented source."""

from __future__ import annotations

import difflib
import fnmatch
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import cv2
import numpy as np
import torch

from vlmtool_core.engine.families.parts.folding import fold_norms
from vlmtool_core.engine.families.parts.square_steps import SquareSteps
from vlmtool_core.engine.families.parts.transformers_base import TransformersFamily
from vlmtool_core.engine.family import Family, Surroundings
from vlmtool_core.engine.packs.pack import Pack
from vlmtool_core.engine.pictures.image_input import ImageInput
from vlmtool_core.engine.results import boxes_outcome
from vlmtool_core.engine.runtime.numerics import BFLOAT16, FLOAT32
from vlmtool_core.engine.runtime.stopping import check_stopped
from vlmtool_core.errors import UsageError
from vlmtool_core.records import Box, Frame, Json, Label, Outcome, Task

# What one forward on a CPU may hold, in pixels: larger batches are slower, they leave the cache.
_PIXELS_AT_ONCE = 400_000
# What is looked at of a strip that a processor would make 0 pixels thin.
_LONGEST_STRIP = 2048


@dataclass(frozen=True, slots=True)
class Found:
    """Candidates in one picture, in any order.

    boxes : float32 (n, 4), xyxy as parts of the picture's width and height; may reach outside
    scores : float32 (n,), in [0, 1]
    labels : int (n,), numbers of labels
    """

    boxes: np.ndarray
    scores: np.ndarray
    labels: np.ndarray

    def only(self, keep: np.ndarray) -> Found:
        """Those of a boolean mask or of indices."""
        return Found(self.boxes[keep], self.scores[keep], self.labels[keep])


@dataclass(frozen=True, slots=True)
class Prepared:
    """One picture as a network takes it.

    inputs : tensors with a first dimension of 1
    reach : the input's width and height in parts of the picture's own (1 unless padded)
    """

    inputs: Mapping[str, torch.Tensor]
    reach: tuple[float, float] = (1.0, 1.0)

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.inputs["pixel_values"].shape)


class Detector(TransformersFamily):
    """A detector of transformers. Subclasses say what its inputs are and what its outputs mean.

    Weights stay in float32: boxes in bfloat16 are off by pixels. Where the engine runs in
    bfloat16, only the modules named in `half_modules` do, and their outputs are float32 again.

    default_threshold : the model's own default for display
    half_modules : patterns of the names of the modules that take most of the time
    """

    tasks = (Task.DETECT,)
    dtypes = (FLOAT32, BFLOAT16)
    default_threshold: ClassVar[float] = 0.5
    half_modules: ClassVar[tuple[str, ...]] = ()

    def __init__(self, pack: Pack, surroundings: Surroundings) -> None:
        Family.__init__(self, pack, surroundings)
        self._processor = self._load(self.processor_class)
        model = self._load(self.auto_class, use_safetensors=True, dtype=torch.float32)
        self._model = model.eval()
        fold_norms(self._model)
        # Convolutions are faster with channels last in memory, much so in bfloat16.
        self._model.to(self.device, memory_format=torch.channels_last)
        self._square = SquareSteps.of(self._processor)
        half = getattr(torch, self.dtype)
        if half is not torch.float32:
            for module in _matching(self._model, self.half_modules):
                run_in(module, half)

    def image_input(self, task: Task) -> ImageInput | None:
        """Fixed inputs are made while decoding."""
        if task is not Task.DETECT or self._square is None:
            return None
        side = min(self._square.height, self._square.width)
        return ImageInput(self.pack.fingerprint, side, self._square.square)

    def decode_side(self, task: Task) -> int:
        """Twice a fixed input's side, so that a wide picture's shorter side is enough too; the
        longest side where the processor keeps the aspect."""
        if task is not Task.DETECT:
            return super().decode_side(task)
        size = {key: value for key, value in dict(self._processor.size or {}).items() if value}
        if "height" in size and "width" in size:
            return 2 * max(int(size["height"]), int(size["width"]))
        longest = size.get("longest_edge") or size.get("max_width")
        return int(longest) if longest else super().decode_side(task)

    def _prepare(self, frame: Frame) -> Prepared:
        """As the model's own image processor does; inputs of a fixed size are still uint8."""
        if self._square is not None:
            done = frame.input_of == self.pack.fingerprint
            square = frame.pixels if done else self._square.square(frame.pixels)
            own = np.require(square, requirements="W")
            return Prepared({"pixel_values": torch.from_numpy(own).permute(2, 0, 1)[None]})
        try:
            return Prepared(self._process(frame.pixels))
        except ValueError:
            # It refuses strips whose resized width or height would be 0.
            return Prepared(self._process(thickened(frame.pixels)))

    def _process(self, pixels: np.ndarray) -> dict[str, torch.Tensor]:
        # torch takes no read-only arrays, and that is what decoders give.
        own = np.require(pixels, requirements="W")
        inputs = self._processor(
            images=[own], return_tensors="pt", input_data_format="channels_last"
        )
        return {name: inputs[name] for name in ("pixel_values", "pixel_mask") if name in inputs}

    @torch.inference_mode()
    def _run(self, frames: Sequence[Frame], **options: Any) -> list[Found]:
        """`_find` in batches of one input shape, so that no picture's boxes depend on the
        padding that its neighbours would need; results in the order of the frames."""
        found: dict[int, Found] = {}
        for numbers, prepared in self._batches(frames):
            inputs = {
                name: torch.cat([one.inputs[name] for one in prepared]).to(self.device)
                for name in prepared[0].inputs
            }
            if self._square is not None:
                inputs["pixel_values"] = self._square.normalised(inputs["pixel_values"])
            for number, one, part in zip(
                numbers, prepared, self._find(inputs, **options), strict=True
            ):
                reach = np.array([*one.reach, *one.reach], np.float32)
                found[number] = Found(part.boxes * reach, part.scores, part.labels)
        return [found[number] for number in range(len(frames))]

    def _batches(self, frames: Sequence[Frame]) -> Iterator[tuple[list[int], list[Prepared]]]:
        waiting: dict[tuple[int, ...], tuple[list[int], list[Prepared]]] = {}
        for number, frame in enumerate(frames):
            check_stopped()
            one = self._prepare(frame)
            numbers, prepared = waiting.setdefault(one.shape, ([], []))
            numbers.append(number)
            prepared.append(one)
            pixels = one.shape[-2] * one.shape[-1]
            if self.device == "cpu" and (len(prepared) + 1) * pixels > _PIXELS_AT_ONCE:
                yield waiting.pop(one.shape)
        yield from waiting.values()

    def _find(self, inputs: Mapping[str, torch.Tensor], **options: Any) -> list[Found]:
        """Candidates of a batch, one `Found` per picture, boxes as parts of the input."""
        raise NotImplementedError

    def _limit(self, threshold: float | None) -> float:
        return self.default_threshold if threshold is None else threshold

    def _outcomes(
        self,
        frames: Sequence[Frame],
        found: Sequence[Found],
        names: Sequence[str],
        details: Mapping[str, Json],
    ) -> list[Outcome]:
        provenance = {**self._provenance(), **details}
        return [
            boxes_outcome(source_boxes(part, names, frame), provenance)
            for frame, part in zip(frames, found, strict=True)
        ]


def thickened(pixels: np.ndarray) -> np.ndarray:
    """A strip as a picture an eighth as thick as it is long, at most 2048 pixels long.

    It is stretched, so boxes as parts of its width and height are those of the strip.
    """
    height, width = pixels.shape[:2]
    longer = min(max(height, width), _LONGEST_STRIP)
    shown = cv2.resize(
        pixels, (min(width, longer), min(height, longer)), interpolation=cv2.INTER_AREA
    )
    rows, columns = (
        np.arange(new) * old // new
        for old, new in ((side, max(side, math.ceil(longer / 8))) for side in shown.shape[:2])
    )
    return np.asarray(shown[rows][:, columns])


def source_boxes(found: Found, names: Sequence[str], frame: Frame) -> list[Box]:
    """Boxes in pixels of the oriented source, clipped to it; what has no area left is dropped."""
    width, height = frame.size
    edges = np.array([width, height, width, height], np.float64)
    boxes = np.clip(found.boxes.astype(np.float64) * edges, 0, edges)
    sound = (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])
    names_of = [names[int(number)] for number in found.labels]
    return [
        Box(x1, y1, x2, y2, name, score)
        for (x1, y1, x2, y2), name, score, whole in zip(
            boxes.tolist(), names_of, found.scores.tolist(), sound, strict=True
        )
        if whole
    ]


def corners(boxes: torch.Tensor) -> torch.Tensor:
    """(..., 4) centre x, y, width, height as xyxy."""
    x, y, width, height = boxes.float().unbind(-1)
    return torch.stack([x - width / 2, y - height / 2, x + width / 2, y + height / 2], dim=-1)


def found_above(
    boxes: torch.Tensor, scores: torch.Tensor, labels: torch.Tensor, limit: float
) -> list[Found]:
    """One `Found` per picture of the candidates that score `limit` or more.

    boxes : (batch, n, 4) xyxy; scores, labels : (batch, n)
    """
    arrays = boxes.cpu().numpy(), scores.float().cpu().numpy(), labels.cpu().numpy()
    return [
        Found(box, score, label).only(score >= limit)
        for box, score, label in zip(*arrays, strict=True)
    ]


def _matching(model: torch.nn.Module, patterns: Sequence[str]) -> list[torch.nn.Module]:
    """The modules whose names match, without those inside another one that does."""
    found: dict[str, torch.nn.Module] = {}
    for name, module in model.named_modules():
        inside = any(name.startswith(f"{outer}.") for outer in found)
        if not inside and any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns):
            found[name] = module
    return list(found.values())


def run_in(module: torch.nn.Module, dtype: torch.dtype) -> None:
    """Let a module compute in `dtype`: floats are cast on the way in, and to float32 on the way
    out."""
    module.to(dtype)

    def enter(_: Any, args: Any, kwargs: Any) -> Any:
        return _cast(args, dtype), _cast(kwargs, dtype)

    def leave(_: Any, __: Any, output: Any) -> Any:
        return _cast(output, torch.float32)

    module.register_forward_pre_hook(enter, with_kwargs=True)
    module.register_forward_hook(leave)


def _cast(value: Any, dtype: torch.dtype) -> Any:
    """All float tensors in nested containers as `dtype`."""
    if isinstance(value, torch.Tensor):
        return value.to(dtype) if value.is_floating_point() else value
    if isinstance(value, dict):
        parts = {key: _cast(part, dtype) for key, part in value.items()}
        return parts if type(value) is dict else type(value)(**parts)
    if isinstance(value, list | tuple):
        return type(value)(_cast(part, dtype) for part in value)
    return value


def own_classes(
    labels: Sequence[Label] | None, classes: Mapping[int, str], pack_id: str
) -> dict[int, str]:
    """Which of a model's own classes are wanted: its number to the name to report.

    A label stands for the class of its own name, else for the classes that its prompts name;
    upper and lower case and `_` do not matter. All classes when there are no labels.

    Raises
    ------
    UsageError : a label that is no class of the model; it names the closest ones.
    """
    if labels is None:
        return dict(classes)
    numbers: dict[str, list[int]] = {}
    for number, name in classes.items():
        numbers.setdefault(_plain_name(name), []).append(number)
    wanted: dict[int, str] = {}
    for label in labels:
        texts = [label.name] if _plain_name(label.name) in numbers else label.prompts
        found = [n for text in texts for n in numbers.get(_plain_name(text), ())]
        if not found:
            raise _unknown_class(label, classes.values(), pack_id)
        for number in found:
            wanted.setdefault(number, label.name)
    return wanted


def _unknown_class(label: Label, classes: Any, pack_id: str) -> UsageError:
    plain = {_plain_name(name): name for name in classes}
    close = difflib.get_close_matches(_plain_name(label.name), list(plain), n=3, cutoff=0.6)
    some = [plain[name] for name in close] or list(plain.values())[:5]
    start = "Close ones" if close else "Some of its classes"
    return UsageError(
        f"{pack_id} has no class {label.name[:80]!r} among its {len(plain)}",
        field="labels",
        remedy=f"{start}: {', '.join(some)}. Or choose an open-vocabulary model.",
    )


def _plain_name(name: str) -> str:
    return " ".join(name.replace("_", " ").casefold().split())


@dataclass(frozen=True, slots=True)
class Texts:
    """What an open-vocabulary model is asked for.

    texts : the distinct texts; owners : for each, the number of the first label that it stands for
    """

    texts: tuple[str, ...]
    owners: tuple[int, ...]


def label_queries(labels: Sequence[Label] | None, pack_id: str, *, lower: bool = False) -> Texts:
    """The texts of all labels: their prompts, or their names where they have none.

    Raises
    ------
    UsageError : no labels, or one that holds nothing an English text encoder reads.
    """
    if not labels:
        raise UsageError(
            f"{pack_id} has no classes of its own", field="labels", remedy="Give labels."
        )
    owners: dict[str, int] = {}
    for number, label in enumerate(labels):
        prompts = [text for text in map(_spoken, label.prompts) if _readable(text)]
        name = _spoken(label.name)
        readable = prompts or ([name] if _readable(name) else [])
        if not readable:
            raise not_understood(pack_id, label.name)
        for text in readable:
            owners.setdefault(text.lower() if lower else text, number)
    return Texts(tuple(owners), tuple(owners.values()))


def not_understood(pack_id: str, name: str) -> UsageError:
    """The error for a label of which a text encoder makes nothing."""
    return UsageError(
        f"{pack_id} reads English only and cannot understand the label {name[:80]!r}",
        field="labels",
        remedy="Give the label an English prompt.",
    )


def _readable(text: str) -> bool:
    return any(character.isascii() and character.isalnum() for character in text)


def _spoken(name: str) -> str:
    return " ".join(name.replace("_", " ").split())
