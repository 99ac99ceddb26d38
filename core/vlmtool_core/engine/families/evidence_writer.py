"""A small language model that puts evidence into one sentence, and can put nothing else into it.

Decoding is greedy and constrained: the model chooses the order and the glue words, every other
word comes from the evidence. The sentence is checked once more as text; if anything is wrong
with it, a plain sentence without the model takes its place.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar

import torch

from vlmtool_core.engine.family import Family, Surroundings
from vlmtool_core.engine.packs.pack import Pack
from vlmtool_core.engine.registry import register_family
from vlmtool_core.engine.runtime.quiet import quiet_transformers
from vlmtool_core.engine.texts import wording
from vlmtool_core.engine.texts.evidence import PARTS, Known, gather
from vlmtool_core.engine.texts.sentence_grammar import SentenceGrammar
from vlmtool_core.records import Frame, Json, Outcome, OutcomeStatus, Task

_SYSTEM = "You write one short sentence that says what a picture shows."
_EXAMPLES = (
    ("dog; sofa", "A picture of a dog and a sofa."),
    ("possibly a mountain bike; two faces", "A picture of two faces and possibly a mountain bike."),
    ("CT picture; the chest", "A CT picture of the chest."),
    ("street; bus; one face", "A picture of a street with a bus and one face."),
)
_MOST_NEW_TOKENS = 48
_PLACE = "{phrases}"
_MOST_REMEMBERED = 10_000


@register_family("evidence-writer")
class EvidenceWriter(Family):
    """Captions from tags, faces, read text and header facts."""

    tasks = (Task.CAPTION,)
    parts: ClassVar = {Task.CAPTION: PARTS}

    def __init__(self, pack: Pack, surroundings: Surroundings) -> None:
        super().__init__(pack, surroundings)
        from transformers import AutoModelForCausalLM, AutoTokenizer

        with quiet_transformers():
            self._tokenizer: Any = AutoTokenizer.from_pretrained(
                pack.location, local_files_only=True, padding_side="left"
            )
            model: Any = AutoModelForCausalLM.from_pretrained(
                pack.location,
                local_files_only=True,
                use_safetensors=True,
                # Many processors have no fast bfloat16.
                dtype=torch.bfloat16 if self.device == "cuda" else torch.float32,
            )
        self._model = model.eval().to(self.device)
        self._start, self._question = self._prompt_parts()
        self._begun = self._read_start()
        self._written: dict[tuple[str, ...], str] = {}

    def caption(self, frames: Sequence[Frame], *, prompt: str | None) -> list[Outcome]:
        """One sentence per frame, which says so where the evidence is too weak to name a subject;
        empty where there is no evidence at all.

        The starter cannot follow a prompt; it is recorded and not used.
        """
        known = gather(self.surroundings, frames)
        phrases = [wording.phrases_of(k) if isinstance(k, Known) else [] for k in known]
        # A single phrase leaves the model nothing to order or to join.
        sentences = self._sentences({tuple(found) for found in phrases if len(found) > 1})
        provenance: dict[str, Json] = {"prompt": prompt, "prompt_used": False} if prompt else {}
        return [
            k
            if isinstance(k, Outcome)
            else _outcome(k, phrases[n], sentences.get(tuple(phrases[n])), provenance)
            for n, k in enumerate(known)
        ]

    def _sentences(self, wanted: set[tuple[str, ...]]) -> dict[tuple[str, ...], str]:
        """What the model writes of each list of phrases; written once, as it is always the same."""
        if len(self._written) > _MOST_REMEMBERED:
            self._written.clear()
        new = sorted(wanted - self._written.keys())
        self._written.update(zip(new, self._write(new), strict=True))
        return {phrases: self._written[phrases] for phrases in wanted}

    def _write(self, phrases: Sequence[Sequence[str]]) -> list[str]:
        """A sentence per list of phrases, as the model wrote it."""
        if not phrases:
            return []
        inputs = self._inputs(phrases)
        start = inputs["input_ids"].shape[1]
        end = self._tokenizer.eos_token_id
        grammars = [SentenceGrammar(found, self._encode, end) for found in phrases]

        def allowed(row: int, tokens: torch.Tensor) -> list[int]:
            return grammars[row].next_tokens(tokens[start:].tolist())

        with torch.inference_mode(), _one_thread():
            output = self._model.generate(
                **inputs,
                max_new_tokens=_MOST_NEW_TOKENS,
                do_sample=False,
                pad_token_id=end,
                prefix_allowed_tokens_fn=allowed,
            )
        texts = self._tokenizer.batch_decode(output[:, start:], skip_special_tokens=True)
        return [str(text).strip() for text in texts]

    def _encode(self, text: str) -> list[int]:
        ids: list[int] = self._tokenizer.encode(text, add_special_tokens=False)
        return ids

    def _inputs(self, phrases: Sequence[Sequence[str]]) -> dict[str, Any]:
        """Tokens of the whole prompts, and what the model remembers of their common start."""
        questions = [self._question.replace(_PLACE, "; ".join(found)) for found in phrases]
        ends = self._tokenizer(
            questions, return_tensors="pt", padding=True, add_special_tokens=False
        ).to(self.device)
        count = len(phrases)
        begun = copy.deepcopy(self._begun)
        begun.batch_repeat_interleave(count)
        starts = torch.tensor([self._start] * count, device=self.device)
        return {
            "input_ids": torch.cat([starts, ends["input_ids"]], dim=1),
            "attention_mask": torch.cat([torch.ones_like(starts), ends["attention_mask"]], dim=1),
            "past_key_values": begun,
        }

    @torch.inference_mode()
    def _read_start(self) -> Any:
        """The model's memory of the instruction and examples, which all prompts begin with."""
        from transformers import DynamicCache

        tokens = torch.tensor([self._start], device=self.device)
        return self._model(
            input_ids=tokens, past_key_values=DynamicCache(), use_cache=True
        ).past_key_values

    def _prompt_parts(self) -> tuple[list[int], str]:
        """Tokens that every prompt begins with, and the rest of it with `_PLACE` for phrases."""
        messages = [{"role": "system", "content": _SYSTEM}]
        for evidence, sentence in _EXAMPLES:
            messages.append({"role": "user", "content": f"Evidence: {evidence}"})
            messages.append({"role": "assistant", "content": sentence})
        messages.append({"role": "user", "content": f"Evidence: {_PLACE}"})
        prompt = str(
            self._tokenizer.apply_chat_template(
                messages, add_generation_prompt=True, tokenize=False
            )
        )
        # Cut where a turn begins: there, tokens of the parts are the tokens of the whole.
        cut = prompt.rindex(f"{self._tokenizer.bos_token}user")
        return self._encode(prompt[:cut]), prompt[cut:]


@contextmanager
def _one_thread() -> Iterator[None]:
    """The layers are so small that threads wait for each other longer than they work."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _outcome(
    known: Known, phrases: Sequence[str], written: str | None, provenance: dict[str, Json]
) -> Outcome:
    if not known.all:
        return Outcome(OutcomeStatus.EMPTY, provenance=provenance)
    if not phrases and not known.lines:
        return Outcome(
            OutcomeStatus.OK,
            text=wording.NO_SUBJECT,
            evidence=known.all,
            provenance={**provenance, "written_by": "template"},
        )
    good = written is not None and is_sound(written, phrases)
    sentence = written if good and written else wording.template_sentence(phrases)
    return Outcome(
        OutcomeStatus.OK,
        text=wording.with_quotation(sentence, known),
        evidence=known.all,
        provenance={**provenance, "written_by": "model" if good else "template"},
    )


def is_sound(sentence: str, phrases: Sequence[str]) -> bool:
    """One finished sentence that says the first phrase and no word beyond the evidence."""
    return (
        sentence.endswith(".")
        and sentence.count(".") == 1
        and wording.words_of(phrases[0])[-1] in wording.words_of(sentence)
        and not wording.invented_words(sentence, phrases)
    )
