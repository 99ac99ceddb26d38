"""GOT-OCR 2: reads a whole page at once, as plain text or with its formatting as LaTeX and
Markdown. It tells no places.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

from vlmtool_core.engine.families.parts.writing import WritingFamily
from vlmtool_core.engine.family import DECODE_SIDE
from vlmtool_core.engine.registry import register_family
from vlmtool_core.errors import UsageError
from vlmtool_core.records import Frame, Outcome, Task

PLAIN, FORMATTED = "plain", "formatted"
_END = "<|im_end|>"
# Patches of the vision tower that one token of the language model stands for, along each side.
_PATCHES_PER_TOKEN = 4


@register_family("got-ocr2")
class GotOcr2(WritingFamily):
    """Text of a page, in one piece."""

    tasks = (Task.READ,)
    model_types = ("got_ocr2",)
    architectures = ("GotOcr2ForConditionalGeneration",)
    most_tokens = 4096

    def decode_side(self, task: Task) -> int:
        """Full detail: letters are small."""
        return DECODE_SIDE[task]

    def read(self, frames: Sequence[Frame]) -> list[Outcome]:
        return self.read_as(frames, None)

    def read_as(self, frames: Sequence[Frame], prompt: str | None) -> list[Outcome]:
        """Text of each frame; the prompt says how: "plain" (as without one) or "formatted".

        Raises
        ------
        UsageError : another prompt.
        """
        kind = PLAIN if prompt is None else prompt.strip().casefold()
        if kind not in (PLAIN, FORMATTED):
            raise UsageError(
                f"{self.pack.id} reads {PLAIN} or {FORMATTED} text, not {prompt!r}",
                field="prompt",
                remedy=f"Use --prompt {FORMATTED}, or leave it out.",
            )
        inputs = self._pages(frames, formatted=kind == FORMATTED)
        length = inputs["input_ids"].shape[1]
        limit = int(self._model.config.text_config.max_position_embeddings) - length
        written = self._write(inputs, length, most=min(self.most_tokens, limit))
        provenance = self._described(text=kind, places=False)
        return [
            self._outcome(text, provenance, finished=finished)
            for text, finished in zip(self._decoded(written.new), written.finished, strict=True)
        ]

    def _pages(self, frames: Sequence[Frame], *, formatted: bool) -> dict[str, Any]:
        vision = self._model.config.vision_config
        side = int(vision.image_size) // int(vision.patch_size) // _PATCHES_PER_TOKEN
        return self._inputs(frames, format=formatted, num_image_tokens=side * side)

    @functools.cached_property
    def _input_size(self) -> tuple[int, int]:
        side = int(self._model.config.vision_config.image_size)
        return side, side

    @functools.cached_property
    def _ends(self) -> frozenset[int]:
        """The turn ends where the model's own end mark of a message stands."""
        end = self._tokenizer.convert_tokens_to_ids(_END)
        return frozenset({*super()._ends, *([] if end is None else [end])})
