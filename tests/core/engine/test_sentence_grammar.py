"""Whatever a model prefers, a sentence of the grammar ends and says nothing but the evidence."""

from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from vlmtool_core.engine.families.evidence_writer import is_sound
from vlmtool_core.engine.texts.evidence import Known
from vlmtool_core.engine.texts.sentence_grammar import SentenceGrammar
from vlmtool_core.engine.texts.wording import (
    invented_words,
    phrases_of,
    template_sentence,
    with_article,
    with_quotation,
    words_of,
)
from vlmtool_core.records import Box, Evidence

END = 0
_phrase = st.sampled_from(
    ["cat", "cup of coffee", "espresso", "one face", "possibly a moped", "the chest", "X-ray"]
)


def _encode(text: str) -> list[int]:
    return [ord(character) for character in text]


def _write(phrases: list[str], seed: int) -> str:
    """A sentence by a model that prefers tokens at random."""
    chooser = random.Random(seed)
    grammar = SentenceGrammar(phrases, _encode, END)
    written: list[int] = []
    while (token := chooser.choice(grammar.next_tokens(written))) != END:
        written.append(token)
        assert len(written) < 500
    return "".join(map(chr, written))


@settings(max_examples=60)
@given(st.lists(_phrase, min_size=1, max_size=4, unique=True), st.integers())
def test_any_sentence_is_finished_and_invents_nothing(phrases, seed):
    sentence = _write(phrases, seed)
    assert sentence.endswith(".")
    assert sentence[0].isupper()
    assert invented_words(sentence, phrases) == []
    for phrase in phrases:
        assert sentence.lower().count(phrase.lower()) <= 1 or phrase in "".join(phrases)


def test_a_header_fact_opens_the_sentence():
    sentences = {_write(["CT picture", "the chest"], seed) for seed in range(40)}
    assert sentences == {"A CT picture.", "A CT picture of the chest."}


def test_invented_words_are_seen():
    assert invented_words("A dog on a sofa.", ["dog"]) == ["on", "sofa"]
    assert not is_sound("A picture of a dog and a sofa.", ["dog"])
    assert not is_sound("A picture of a dog", ["dog"])
    assert is_sound("A picture of a dog.", ["dog"])


@given(st.lists(_phrase, min_size=1, max_size=4, unique=True))
def test_the_template_says_every_phrase(phrases):
    sentence = template_sentence(phrases)
    assert invented_words(sentence, phrases) == []
    assert all(word in words_of(sentence) for phrase in phrases for word in words_of(phrase))


def test_articles():
    wanted = ["an espresso", "a cup", "an X-ray picture", "an MR picture", "a CT picture"]
    phrases = ["espresso", "cup", "X-ray picture", "MR picture", "CT picture"]
    assert [with_article(phrase) for phrase in phrases] == wanted
    assert with_article("two faces") == "two faces"


def test_facts_faces_and_quotation_become_one_sentence():
    box = Box(0, 0, 5, 5, "face", 0.9)
    known = Known(
        facts={"modality": "X-ray", "body_part": "hand", "view": "lateral"},
        tags=(),
        faces=(Evidence("face", "face", 0.9, box),) * 2,
        lines=(Evidence("text", 'L "1"', 0.9),),
    )
    phrases = phrases_of(known)
    assert phrases == ["lateral X-ray picture", "the hand", "two faces"]
    sentence = with_quotation(template_sentence(phrases), known)
    assert sentence == (
        "A lateral X-ray picture of the hand and two faces, with the text \"L '1'\"."
    )


def test_weak_tags_are_no_part_of_a_sentence():
    tags = (Evidence("tag", "cat", 0.9), Evidence("tag", "sofa", 0.5), Evidence("tag", "cup", 0.3))
    assert phrases_of(Known({}, tags, (), ())) == ["cat", "possibly a sofa"]
    assert phrases_of(Known({}, tags[2:], (), ())) == []
