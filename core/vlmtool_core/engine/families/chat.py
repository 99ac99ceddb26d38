"""Chat models that see: everything that transformers loads as image-text-to-text and that brings
a chat template (SmolVLM, Idefics3, Qwen-VL, InternVL, Gemma 3, LFM2-VL, LLaVA and more)."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import torch
from transformers import LogitsProcessorList

from vlmtool_core.engine.families.parts.answer_decoding import AnswerGrammars, check_wording
from vlmtool_core.engine.families.parts.chat_prompt import ChatPrompts
from vlmtool_core.engine.families.parts.generation import (
    StopWhenAsked,
    generation_settings,
    make_greedy,
)
from vlmtool_core.engine.families.parts.option_scores import most_likely, option_scores
from vlmtool_core.engine.families.parts.streaming import TextPieces, byte_tokens
from vlmtool_core.engine.families.parts.transformers_base import TransformersFamily
from vlmtool_core.engine.family import Surroundings
from vlmtool_core.engine.packs.model_folder import ModelFolder
from vlmtool_core.engine.packs.pack import Pack
from vlmtool_core.engine.registry import register_family
from vlmtool_core.engine.runtime.stopping import check_stopped, stopped
from vlmtool_core.engine.texts.answers import AnswerShape, validated
from vlmtool_core.errors import InferenceError, UsageError
from vlmtool_core.records import ChatTurn, Frame, Json, Outcome, OutcomeStatus, Task

DEFAULT_PROMPT = "Describe this picture in one or two sentences."
MOST_NEW_TOKENS = 256
_MOST_STRUCTURED_TOKENS = 4096

OnText = Callable[[str], None]


@register_family("transformers-chat")
class TransformersChat(TransformersFamily):
    """Any model with a chat template (SmolVLM, Qwen-VL, InternVL, Gemma 3, LLaVA and others).

    Captions, answers and conversations are greedy, so that the same picture gives the same words.
    Options of the pack: `max_new_tokens` (256).
    """

    tasks = (Task.CAPTION, Task.ASK)
    fallback = True
    auto_class = "AutoModelForImageTextToText"
    processor_class = "AutoProcessor"

    def __init__(self, pack: Pack, surroundings: Surroundings) -> None:
        super().__init__(pack, surroundings)
        make_greedy(self._model)
        self._prompts = ChatPrompts(self._processor)
        self._tokenizer: Any = self._processor.tokenizer

    @classmethod
    def serves(cls, folder: ModelFolder) -> bool:
        from transformers.models.auto.modeling_auto import (
            MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES as KNOWN,
        )

        writes_on = not folder.config.get("is_encoder_decoder")
        return folder.chat_template and writes_on and folder.model_type in KNOWN

    def caption(self, frames: Sequence[Frame], *, prompt: str | None) -> list[Outcome]:
        text = (prompt or "").strip() or DEFAULT_PROMPT
        return self._about_each(frames, text, None)

    def ask(self, frames: Sequence[Frame], question: str) -> list[Outcome]:
        return self._about_each(frames, question, None)

    def answer(
        self, frames: Sequence[Frame], question: str, shape: AnswerShape | None
    ) -> list[Outcome]:
        """One answer per frame; a form is kept while the model writes, and checked once more."""
        return self._about_each(frames, question, shape)

    def chat(
        self,
        turns: Sequence[ChatTurn],
        *,
        answer: AnswerShape | None,
        most_tokens: int | None,
        on_text: OnText | None,
    ) -> Outcome:
        """The next turn; cancelled, with what was said so far, when the inference is stopped.

        Raises
        ------
        UsageError : the conversation does not fit in the model, or its template refuses it.
        """
        return self._reply([turns], answer, most_tokens, on_text or _nobody, UsageError)[0]

    def _about_each(
        self, frames: Sequence[Frame], text: str, shape: AnswerShape | None
    ) -> list[Outcome]:
        talks = [[ChatTurn("user", text, (frame,))] for frame in frames]
        outcomes = self._reply(talks, shape, None, None, InferenceError)
        check_stopped()
        return outcomes

    @torch.inference_mode()
    def _reply(
        self,
        talks: Sequence[Sequence[ChatTurn]],
        shape: AnswerShape | None,
        most_tokens: int | None,
        on_text: OnText | None,
        too_long: type[UsageError | InferenceError],
    ) -> list[Outcome]:
        """One outcome per conversation.

        on_text : somebody listens to the only one of them and may stop it in the middle
        too_long : raised when a conversation does not fit in the model
        """
        if shape is not None:
            check_wording(shape, self._tokenizer)
        inputs = self._prompts.inputs(talks, shape)
        inputs = inputs.to(self.device, dtype=self._model.dtype)
        room = self._room(inputs, talks, too_long)
        facts = self._facts(talks, inputs)
        if shape is not None and shape.choices:
            return self._choices(inputs, shape, on_text, facts)
        wanted = most_tokens or int(self.pack.options.get("max_new_tokens", MOST_NEW_TOKENS))
        if shape is not None:
            wanted = max(wanted, min(2 * shape.most_characters, _MOST_STRUCTURED_TOKENS))
        return self._written(inputs, shape, on_text, min(wanted, room), facts)

    def _written(
        self,
        inputs: Any,
        shape: AnswerShape | None,
        on_text: OnText | None,
        most_tokens: int,
        facts: Sequence[dict[str, Json]],
    ) -> list[Outcome]:
        """What the model writes, token by token."""
        pieces = TextPieces(self._decode, on_text, self._bytes) if on_text is not None else None
        constraints = [self._grammars.constraint(shape)] if shape is not None else []
        tokens = self._model.generate(
            **inputs,
            max_new_tokens=most_tokens,
            stopping_criteria=[StopWhenAsked()],
            logits_processor=LogitsProcessorList(constraints),
            streamer=pieces,
            pad_token_id=self._tokenizer.pad_token_id,
        )
        if on_text is None:
            check_stopped()
        settings: dict[str, Json] = {"generation": generation_settings(self._model, most_tokens)}
        new = tokens[:, inputs["input_ids"].shape[1] :].tolist()
        return [
            validated(self._outcome(row, {**fact, **settings}), shape)
            for row, fact in zip(new, facts, strict=True)
        ]

    def _outcome(self, tokens: list[int], facts: dict[str, Json]) -> Outcome:
        end = next((n for n, token in enumerate(tokens) if token in self._ends), None)
        said = tokens[:end]
        text = self._decode(said)
        facts = {**facts, "new_tokens": len(said)}
        if end is None and stopped():
            return Outcome(OutcomeStatus.CANCELLED, text=text, provenance=facts)
        if end is None:
            facts["cut_off"] = True
        status = OutcomeStatus.OK if text else OutcomeStatus.EMPTY
        return Outcome(status, text=text, provenance=facts)

    def _choices(
        self,
        inputs: Any,
        shape: AnswerShape,
        on_text: OnText | None,
        facts: Sequence[dict[str, Json]],
    ) -> list[Outcome]:
        """The option that the model finds most likely, with the probability of each."""
        rows = option_scores(self._model, inputs, self._tokenizer, shape.choices, self._ends)
        settings: dict[str, Json] = {"generation": {"method": "most likely option"}}
        outcomes = [
            most_likely(shape, row, {**fact, **settings})
            for row, fact in zip(rows, facts, strict=True)
        ]
        if on_text is not None:
            on_text(outcomes[0].text or "")
        return outcomes

    def _room(
        self,
        inputs: Any,
        talks: Sequence[Sequence[ChatTurn]],
        too_long: type[UsageError | InferenceError],
    ) -> int:
        """How many tokens may follow the longest conversation."""
        longest = int(inputs["attention_mask"].sum(dim=1).max())
        if self._context is None:
            return _MOST_STRUCTURED_TOKENS
        if longest >= self._context:
            pictures = max(sum(len(turn.frames) for turn in turns) for turns in talks)
            raise too_long(
                f"the text and its pictures ({pictures}) are {longest:,} tokens; "
                f"{self.pack.id} takes {self._context:,}",
                field="turns",
                remedy="Use fewer or smaller pictures, or a shorter text.",
            )
        return self._context - longest

    def _facts(self, talks: Sequence[Sequence[ChatTurn]], inputs: Any) -> list[dict[str, Json]]:
        """For provenance: which pictures the model was given, and what it saw of them."""
        return [
            {
                "prompt": turns[-1].text,
                "pictures": [list(f.pixels.shape[1::-1]) for turn in turns for f in turn.frames],
                "prompt_tokens": int(mask.sum()),
                "picture_tokens": int((row == self._picture_token).sum()),
                "seen": seen,
                "processor": self._prompts.picture_settings,
            }
            for turns, row, mask, seen in zip(
                talks,
                inputs["input_ids"],
                inputs["attention_mask"],
                self._prompts.sizes_seen(talks, inputs),
                strict=True,
            )
        ]

    def _decode(self, tokens: Sequence[int]) -> str:
        text = self._tokenizer.decode(
            tokens, skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        return str(text).strip()

    @functools.cached_property
    def _ends(self) -> frozenset[int]:
        """Ids of the tokens that end a turn, as `generate` sees them."""
        found = self._model.generation_config.eos_token_id
        if found is None:
            found = self._tokenizer.eos_token_id
            self._model.generation_config.eos_token_id = found
        return frozenset([found] if isinstance(found, int) else found or [])

    @functools.cached_property
    def _bytes(self) -> frozenset[int]:
        return byte_tokens(self._tokenizer)

    @functools.cached_property
    def _grammars(self) -> AnswerGrammars:
        size = self._model.get_output_embeddings().weight.shape[0]
        return AnswerGrammars(self._tokenizer, self._ends, size)

    @functools.cached_property
    def _context(self) -> int | None:
        """Most tokens that the model takes, where it says so."""
        return getattr(self._model.config.get_text_config(), "max_position_embeddings", None)

    @functools.cached_property
    def _picture_token(self) -> int:
        config = self._model.config
        names = ("image_token_id", "image_token_index")
        found = next((getattr(config, name, None) for name in names if hasattr(config, name)), None)
        return -1 if found is None else int(found)


def _nobody(_text: str) -> None:
    """A conversation that nobody listens to can be stopped in the middle all the same."""
