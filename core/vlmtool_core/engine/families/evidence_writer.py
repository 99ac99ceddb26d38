"""A small language model that puts evidence into one sentence, and can put nothing else into it.

Decoding is greedy and constrained: the model chooses the order and the glue words, every other
word comes from the evidence. The sentence is checked once more as text; if anything is wrong
with it, a plain sentence without the model takes its place.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar

import torch

from vlmtool_core.engine import wording
from vlmtool_core.engine.evidence import PARTS, Known, gather
from vlmtool_core.engine.family import Family, Surroundings
from vlmtool_core.engine.packs import Pack
from vlmtool_core.engine.registry import register_family
from vlmtool_core.engine.sentence_grammar import SentenceGrammar
from vlmtool_core.records import Frame, Json, Outcome, OutcomeStatus, Task

_SYSTEM = "You write one short sentence that says what a picture shows."
_EXAMPLES = (
    ("dog; sofa", "A picture of a dog and a sofa."),
    ("possibly a mountain bike; two faces", "A picture of two faces and possibly a mountain bike."),
    ("CT picture; the chest", "A CT picture of the chest."),
    ("street; bus; one face", "A picture of a street with a bus and one face."),
)
_MOST_NEW_TOKENS = 48


@register_family("evidence-writer")
class EvidenceWriter(Family):
    """Captions from tags, faces, read text and header facts."""

    tasks = (Task.CAPTION,)
    parts: ClassVar = {Task.CAPTION: PARTS}

    def __init__(self, pack: Pack, surroundings: Surroundings) -> None:
        super().__init__(pack, surroundings)
        from transformers import AutoModelForCausalLM, AutoTokenizer

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

    def caption(self, frames: Sequence[Frame], *, prompt: str | None) -> list[Outcome]:
        """One sentence per frame; empty where nothing was recognised.

        The starter cannot follow a prompt; it is recorded and not used.
        """
        known = gather(self.surroundings, frames)
        phrases = [wording.phrases_of(k) if isinstance(k, Known) else [] for k in known]
        asked = [n for n, found in enumerate(phrases) if found]
        written = self._write([phrases[n] for n in asked])
        sentences = dict(zip(asked, written, strict=True))
        provenance: dict[str, Json] = {"prompt": prompt, "prompt_used": False} if prompt else {}
        return [
            k if isinstance(k, Outcome) else _outcome(k, phrases[n], sentences.get(n), provenance)
            for n, k in enumerate(known)
        ]

    def _write(self, phrases: Sequence[Sequence[str]]) -> list[str]:
        """A sentence per list of phrases, as the model wrote it."""
        if not phrases:
            return []
        prompts = [self._prompt(found) for found in phrases]
        inputs = self._tokenizer(
            prompts, return_tensors="pt", padding=True, add_special_tokens=False
        ).to(self.device)
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

    def _prompt(self, phrases: Sequence[str]) -> str:
        messages = [{"role": "system", "content": _SYSTEM}]
        for evidence, sentence in _EXAMPLES:
            messages.append({"role": "user", "content": f"Evidence: {evidence}"})
            messages.append({"role": "assistant", "content": sentence})
        messages.append({"role": "user", "content": f"Evidence: {'; '.join(phrases)}"})
        return str(
            self._tokenizer.apply_chat_template(
                messages, add_generation_prompt=True, tokenize=False
            )
        )


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
