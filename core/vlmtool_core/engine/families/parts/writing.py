"""What captioners and readers that take plain prompts share: pictures and texts in, words out."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from PIL import Image

from vlmtool_core.engine.families.parts.generation import (
    Written,
    generation_settings,
    make_greedy,
    write,
)
from vlmtool_core.engine.families.parts.transformers_base import TransformersFamily
from vlmtool_core.engine.families.parts.transformers_base import _plain as json_value
from vlmtool_core.engine.family import DECODE_SIDE, Surroundings
from vlmtool_core.engine.packs.model_folder import read_model_folder
from vlmtool_core.engine.packs.pack import Pack
from vlmtool_core.engine.texts.prompt_text import plain_text, require_readable, require_room
from vlmtool_core.errors import UsageError
from vlmtool_core.records import Evidence, Frame, Json, Outcome, OutcomeStatus, Task

# A model that squashes a picture to a square still sees details of one three times as long.
_LONGER_PER_INPUT = 3
# Ratio of the sides that is kept of a strip where only its middle is seen.
_MOST_SLENDER = 16
# For what depends on the text alone.
BLANK = Frame(np.full((32, 32, 3), 127, np.uint8))
_STEPS = ("size", "crop_size", "do_resize", "do_center_crop", "resample", "image_mean", "image_std")


class WritingFamily(TransformersFamily):
    """A model that writes about a picture, after a plain prompt or after none.

    padding_side : where shorter prompts of a batch are filled up: "left" where the text follows
        the prompt in the same sequence, "right" where an encoder reads the prompt
    most_tokens : how long a text may become
    """

    processor_class = "AutoProcessor"
    padding_side: ClassVar[str] = "left"
    most_tokens: ClassVar[int] = 64

    def __init__(self, pack: Pack, surroundings: Surroundings) -> None:
        names = read_model_folder(pack.location).architectures
        self.auto_class = next(name for name in names if name in self.architectures)
        super().__init__(pack, surroundings)
        own = getattr(self._processor, "tokenizer", None)
        self._tokenizer: Any = self._load("AutoTokenizer") if own is None else own
        self._tokenizer.padding_side = self.padding_side
        make_greedy(self._model)

    def decode_side(self, task: Task) -> int:
        return min(DECODE_SIDE[task], _LONGER_PER_INPUT * max(self._input_size))

    @functools.cached_property
    def _image_processor(self) -> Any:
        return getattr(self._processor, "image_processor", self._processor)

    @functools.cached_property
    def _sees_centre(self) -> bool:
        """Whether the shorter side is resized and the middle of the longer one is seen."""
        size = getattr(self._image_processor, "size", None) or {}
        crops = getattr(self._image_processor, "do_center_crop", False)
        return bool(crops and size.get("shortest_edge"))

    @functools.cached_property
    def _input_size(self) -> tuple[int, int]:
        """(width, height) of what the network sees, in pixels."""
        pixels = self._inputs([BLANK])["pixel_values"]
        return int(pixels.shape[-1]), int(pixels.shape[-2])

    def _inputs(
        self, frames: Sequence[Frame], texts: Sequence[str] | None = None, **options: Any
    ) -> dict[str, Any]:
        """What the processor makes of pictures and texts, on the device of the model."""
        cut = self._sees_centre
        pictures = [Image.fromarray(centre(f.pixels) if cut else f.pixels) for f in frames]
        if texts is not None:
            options |= {"text": list(texts), "padding": True}
        inputs = self._processor(images=pictures, return_tensors="pt", **options)
        return {name: self._placed(value) for name, value in inputs.items()}

    def _placed(self, value: Any) -> Any:
        if not isinstance(value, torch.Tensor):
            return value
        dtype = self._model.dtype if value.is_floating_point() else value.dtype
        return value.to(self.device, dtype)

    def _write(
        self, inputs: dict[str, Any], prompt_tokens: int, *, most: int | None = None, **options: Any
    ) -> Written:
        return write(
            self._model,
            inputs,
            most_tokens=most or self.most_tokens,
            prompt_tokens=prompt_tokens,
            ends=self._ends,
            **options,
        )

    @functools.cached_property
    def _ends(self) -> frozenset[int]:
        """Ids of the tokens that end a text."""
        found: set[int] = set()
        for config in (self._model.generation_config, self._model.config.get_text_config()):
            ends = getattr(config, "eos_token_id", None)
            if ends is not None:
                found |= set(ends) if isinstance(ends, list | tuple) else {int(ends)}
        return frozenset(found)

    def _decoded(self, tokens: torch.Tensor, *, special: bool = False) -> list[str]:
        """Texts of rows of tokens; with the model's own tokens in them when `special`."""
        texts = self._tokenizer.batch_decode(tokens, skip_special_tokens=not special)
        return [str(text).strip() for text in texts]

    def _safe(self, text: str, field: str, most_tokens: int) -> str:
        """A prompt or question, safe to be put in front of the model.

        Raises
        ------
        UsageError : empty, in no language that the tokenizer reads, or too long.
        """
        plain = plain_text(text.strip(), self._tokenizer, also=self._marks())
        require_room(require_readable(plain, self._tokenizer, field), most_tokens, field)
        return plain

    def _marks(self) -> Sequence[str]:
        """Strings that the processor gives a meaning, beyond the tokenizer's own tokens."""
        return ()

    def _needs_labels(self) -> UsageError:
        return UsageError(
            f"{self.pack.id} must be told what to look for", field="labels", remedy="Give labels."
        )

    def _outcome(
        self,
        text: str,
        provenance: dict[str, Json],
        *,
        finished: bool = True,
        evidence: Sequence[Evidence] = (),
    ) -> Outcome:
        """The text; one that the model did not end itself is marked as cut off."""
        status = OutcomeStatus.OK if text.strip() or evidence else OutcomeStatus.EMPTY
        said = provenance if finished else {**provenance, "cut_off": True}
        return Outcome(status, text=text.strip(), evidence=tuple(evidence), provenance=said)

    def _described(self, **more: Json) -> dict[str, Json]:
        """Provenance: preprocessing, input size, how words are chosen, and `more` of the call."""
        settings = self._image_processor.to_dict()
        kept = {step: settings.get(step) for step in _STEPS}
        return {
            "processor": {
                name: json_value(value) for name, value in kept.items() if value is not None
            },
            "input": list(self._input_size),
            "dtype": str(self._model.dtype).removeprefix("torch."),
            "generation": generation_settings(self._model, self.most_tokens),
            **more,
        }


def centre(pixels: np.ndarray) -> np.ndarray:
    """A strip without its ends, of which a centre crop sees nothing: resized whole, a picture of
    1 × 20,000 pixels would take gigabytes."""
    height, width = pixels.shape[:2]
    most = _MOST_SLENDER * min(height, width)
    ends_x, ends_y = (max(0, side - most) // 2 for side in (width, height))
    return np.ascontiguousarray(pixels[ends_y : height - ends_y, ends_x : width - ends_x])


def refuse_threshold(threshold: float | None, pack_id: str) -> None:
    """Raise `UsageError` for a threshold where a model's boxes have no scores."""
    if threshold is not None:
        raise UsageError(
            f"{pack_id} gives boxes without scores, so a threshold has no meaning",
            field="threshold",
            remedy="Leave the threshold out, or choose a detector.",
        )
