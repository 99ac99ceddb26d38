"""Evidence as phrases, sentences from phrases, and the check that no word was invented."""

from __future__ import annotations

import re
from collections.abc import Sequence

from vlmtool_core.engine.texts.evidence import Known

# Words that say nothing about the picture; every other word must stem from the evidence.
GLUE_WORDS = frozenset({"a", "an", "the", "of", "and", "with", "picture", "shows"})
# The least score of a tag that a sentence may name, and that it may name without "possibly".
_SPOKEN, _CERTAIN = 0.4, 0.6
NO_SUBJECT = "No clear subject was found by this model."
_MOST_QUOTED_WORDS = 10
_NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")


def phrases_of(known: Known) -> list[str]:
    """What a sentence may say, most certain first: "cup of coffee", "two faces", "CT", ...

    Tags below 0.4 are evidence that is too weak to be said; below 0.6 they are "possibly" there.
    """
    phrases = []
    facts = known.facts
    if "modality" in facts:
        view = " ".join(facts[name] for name in ("laterality", "view") if name in facts)
        phrases.append(f"{view} {facts['modality']} picture".strip())
        if "body_part" in facts:
            phrases.append(f"the {facts['body_part']}")
    phrases += [
        tag.text if (tag.score or 0) >= _CERTAIN else f"possibly {with_article(tag.text)}"
        for tag in known.tags
        if (tag.score or 0) >= _SPOKEN
    ]
    if known.faces:
        count = len(known.faces)
        phrases.append("one face" if count == 1 else f"{number_word(count)} faces")
    return phrases


def number_word(count: int) -> str:
    return _NUMBERS[count] if count < len(_NUMBERS) else str(count)


def with_article(phrase: str) -> str:
    """`phrase` with "a" or "an", unless it brings its own determiner."""
    first = phrase.split()[0].lower()
    if first in {"the", "possibly", "a", "an"} or first in _NUMBERS or first.isdigit():
        return phrase
    # Abbreviations are spelled out: an X-ray, an MR picture.
    spelled = first[:2].isupper() or len(first.split("-")[0]) == 1 or phrase.split()[0].isupper()
    vowels = "aefhilmnorsx" if spelled else "aeiou"
    return f"{'an' if first[0] in vowels else 'a'} {phrase}"


def template_sentence(phrases: Sequence[str]) -> str:
    """ "A picture of a cup and one face": the sentence that needs no language model; no stop."""
    if not phrases:
        return "A picture"
    if phrases[0].endswith("picture"):
        rest = _joined(phrases[1:])
        return capital(with_article(phrases[0]) + (f" of {rest}" if rest else ""))
    return f"A picture of {_joined(phrases)}"


def _joined(phrases: Sequence[str]) -> str:
    parts = [with_article(phrase) for phrase in phrases]
    if len(parts) < 2:
        return "".join(parts)
    return f"{', '.join(parts[:-1])} and {parts[-1]}"


def capital(text: str) -> str:
    """`text` with its first letter in upper case."""
    return text[:1].upper() + text[1:]


def with_quotation(sentence: str, known: Known) -> str:
    """The sentence with the read text quoted, and its full stop."""
    words = " ".join(line.text for line in known.lines).split()
    if not words:
        return f"{sentence.rstrip('.')}."
    quoted = " ".join(words[:_MOST_QUOTED_WORDS]) + (" …" if words[_MOST_QUOTED_WORDS:] else "")
    quoted = quoted.replace('"', "'")
    return f'{sentence.rstrip(".")}, with the text "{quoted}".'


def words_of(text: str) -> list[str]:
    """Words in lower case; hyphens and apostrophes stay inside."""
    return [word.lower() for word in _WORD.findall(text)]


def invented_words(sentence: str, evidence: Sequence[str]) -> list[str]:
    """Content words of the sentence that are in none of the evidence's texts."""
    allowed = {word for text in evidence for word in words_of(text)} | GLUE_WORDS
    return [word for word in words_of(sentence) if word not in allowed]
