"""Conversations as a chat model's own inputs: its template, and nobody else's control tokens."""

from __future__ import annotations

import functools
import itertools
import re
import unicodedata
from collections.abc import Sequence
from typing import Any

from vlmtool_core.engine.texts.answers import AnswerShape
from vlmtool_core.engine.texts.prompt_text import plain_text
from vlmtool_core.errors import UsageError
from vlmtool_core.records import ChatTurn, Frame, Json

_KEPT = ("size", "crop_size", "max_image_size", "do_image_splitting", "do_pan_and_scan",
         "crop_to_patches", "min_patches", "max_patches", "min_tiles", "max_tiles",
         "min_image_tokens", "max_image_tokens", "min_pixels", "max_pixels", "patch_size",
         "merge_size", "image_grid_pinpoints", "resample", "tile_size",
         "encoder_patch_size")  # fmt: skip
_ASKED, _SAID = "fsthtwq", "kvzxqj"
_ROLE = re.compile(r"\w[\w ]*:")


class ChatPrompts:
    """Makes the inputs of one model.

    processor : of transformers, with a tokenizer and a chat template
    """

    def __init__(self, processor: Any) -> None:
        self._processor = processor
        tokenizer = processor.tokenizer
        tokenizer.padding_side = "left"  # what is written goes on where the prompt ends
        if tokenizer.pad_token_id is None:
            tokenizer.pad_token = tokenizer.eos_token

    def inputs(self, talks: Sequence[Sequence[ChatTurn]], shape: AnswerShape | None) -> Any:
        """What `generate` takes, of a batch of conversations, padded on the left.

        shape : told to the model behind each conversation's last text

        Raises
        ------
        UsageError : the model's template refuses the conversation, most often its roles.
        """
        import jinja2

        messages = [self._messages(turns, shape) for turns in talks]
        try:
            return self._processor.apply_chat_template(
                messages,
                add_generation_prompt=True,
                tokenize=True,
                return_dict=True,
                return_tensors="pt",
                processor_kwargs={"padding": True},
            )
        except jinja2.TemplateError as error:
            raise UsageError(
                f"the model's chat template refuses the conversation: {error}",
                field="turns",
                remedy="Leave out system turns, and let user and assistant take turns.",
            ) from error

    def _messages(
        self, turns: Sequence[ChatTurn], shape: AnswerShape | None
    ) -> list[dict[str, Any]]:
        messages = []
        for number, turn in enumerate(turns):
            text = turn.text
            if shape is not None and number == len(turns) - 1:
                text = f"{text}\n{shape.instruction()}"
            pictures = [{"type": "image", "image": _picture(frame)} for frame in turn.frames]
            words = {"type": "text", "text": self.plain(text)}
            messages.append({"role": turn.role, "content": [*pictures, words]})
        return messages

    def plain(self, text: str) -> str:
        """The text with nothing in it that the model could take for a token or a role of its own:
        `<image>` becomes `< image>`, and `ASSISTANT:` becomes `ASSISTANT :`.

        Raises
        ------
        UsageError : the tokenizer makes a token of its own of characters that look otherwise.
        """
        text = self._broken(text)
        if self._commands(text):  # some tokenizers take other forms of the same characters, too
            text = self._broken(unicodedata.normalize("NFKC", text))
        if self._commands(text):
            raise UsageError(
                "the text holds what this model takes for a command",
                field="text",
                remedy="Write it without unusual characters and brackets.",
            )
        return text

    def _broken(self, text: str) -> str:
        text = plain_text(text, self._processor.tokenizer, also=self._own_tokens)
        for role in self._roles:
            text = text.replace(role, f"{role[:-1]} :")
        return text

    def _commands(self, text: str) -> bool:
        """Whether the tokenizer finds a special token in a text."""
        tokenizer = self._processor.tokenizer
        special = set(tokenizer.all_special_ids) - {tokenizer.unk_token_id}
        return not special.isdisjoint(tokenizer.encode(text, add_special_tokens=False))

    @functools.cached_property
    def _own_tokens(self) -> tuple[str, ...]:
        """Strings that the processor itself looks for in a prompt."""
        named = vars(self._processor).items()
        return tuple(value for name, value in named if "token" in name and isinstance(value, str))

    @functools.cached_property
    def _roles(self) -> tuple[str, ...]:
        """How the template marks who speaks, where it does so in plain words ("USER:")."""
        import jinja2

        said = [("user", _ASKED), ("assistant", _SAID), ("user", _ASKED)]
        messages = [
            {"role": role, "content": [{"type": "text", "text": text}]} for role, text in said
        ]
        try:
            prompt = str(
                self._processor.apply_chat_template(
                    messages, add_generation_prompt=True, tokenize=False
                )
            )
        except jinja2.TemplateError:
            return ()  # it takes no conversation like this one
        between = re.split(f"{_ASKED}|{_SAID}", prompt)
        return tuple({found.strip() for text in between for found in _ROLE.findall(text)})

    def sizes_seen(self, talks: Sequence[Sequence[ChatTurn]], inputs: Any) -> list[Json]:
        """Per conversation, [width, height] in pixels of each picture as the model got it; of one
        tile, the same for all, where pictures are cut into tiles or squares."""
        counts = [sum(len(turn.frames) for turn in turns) for turns in talks]
        if "image_grid_thw" in inputs:
            patch = self._processor.image_processor.patch_size
            sizes = [[int(w) * patch, int(h) * patch] for _, h, w in inputs["image_grid_thw"]]
            ends = list(itertools.accumulate(counts))
            return [sizes[end - count : end] for count, end in zip(counts, ends, strict=True)]
        pixels = inputs.get("pixel_values")
        if pixels is not None and pixels.ndim >= 4:
            return [[list(pixels.shape[:-3:-1])] if count else [] for count in counts]
        tile = getattr(self._processor.image_processor, "tile_size", None)
        return [[[tile, tile]] if count and tile else [] for count in counts]

    @functools.cached_property
    def picture_settings(self) -> dict[str, Json]:
        """How pictures are made ready, for provenance."""
        from vlmtool_core.engine.families.parts.transformers_base import _plain

        settings = self._processor.image_processor.to_dict()
        return {name: _plain(settings[name]) for name in _KEPT if settings.get(name) is not None}


def _picture(frame: Frame) -> Any:
    """A picture of PIL: an array one or three pixels high is taken for channels first."""
    from PIL import Image

    return Image.fromarray(frame.pixels)
