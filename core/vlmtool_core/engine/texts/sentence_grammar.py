"""Which tokens a language model may write next, so that it cannot say what was not found.

A sentence is an opening, then phrases of the evidence, each at most once, with glue words
between them, then a full stop.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from vlmtool_core.engine.texts.wording import capital, with_article

Tokens = tuple[int, ...]

_OPENINGS = ("A picture of", "The picture shows")
_LINKS = (" and", " with")


@dataclass(frozen=True, slots=True)
class _State:
    """Where a sentence stands.

    rest : what is still to be written of the unit that was begun
    spoken : the phrases begun or written so far, as a bit set
    last : the kind of that unit: opening, phrase, comma, link or stop
    """

    rest: Tokens
    spoken: int
    last: str


class SentenceGrammar:
    """The sentences over some phrases, as tokens.

    Parameters
    ----------
    phrases : what may be said; one that ends with "picture" ("CT picture") comes first and
        takes the place of the opening
    encode : text to token ids, without special tokens
    end : the id of the end-of-sequence token
    """

    def __init__(
        self, phrases: Sequence[str], encode: Callable[[str], Sequence[int]], end: int
    ) -> None:
        spoken = [with_article(phrase) for phrase in phrases]
        self._names_picture = phrases[0].endswith("picture")
        self._phrases = [tuple(encode(f" {phrase}")) for phrase in spoken]
        self._first = [tuple(encode(capital(phrase))) for phrase in spoken]
        self._openings = [tuple(encode(text)) for text in _OPENINGS]
        self._links = [tuple(encode(text)) for text in _LINKS]
        self._of, self._comma, self._stop = (tuple(encode(text)) for text in (" of", ",", "."))
        self._all = (1 << len(phrases)) - 1
        self._end = end
        self._seen: dict[Tokens, frozenset[_State]] = {(): frozenset(self._start())}

    def next_tokens(self, written: Sequence[int]) -> list[int]:
        """Ids that may follow what was written; the end token when the sentence is over."""
        states = self._states(tuple(written))
        return sorted({state.rest[0] for state in states if state.rest}) or [self._end]

    def _start(self) -> Iterator[_State]:
        if self._names_picture:
            yield _State(self._first[0], 1, "phrase")
            return
        for unit in self._openings:
            yield _State(unit, 0, "opening")
        for n, phrase in enumerate(self._first):
            yield _State(phrase, 1 << n, "phrase")

    def _states(self, written: Tokens) -> frozenset[_State]:
        if written not in self._seen:
            self._seen[written] = frozenset(
                following
                for state in self._states(written[:-1])
                if state.rest and state.rest[0] == written[-1]
                for following in self._after(state)
            )
        return self._seen[written]

    def _after(self, state: _State) -> Iterator[_State]:
        rest = state.rest[1:]
        if rest or state.last == "stop":
            yield _State(rest, state.spoken, state.last)
            return
        if state.last != "phrase":
            for n, phrase in enumerate(self._phrases):
                if not state.spoken >> n & 1:
                    yield _State(phrase, state.spoken | 1 << n, "phrase")
        if state.last == "phrase":
            yield _State(self._stop, state.spoken, "stop")
        if state.spoken != self._all:
            yield from self._between(state)

    def _between(self, state: _State) -> Iterator[_State]:
        """What may stand between two phrases."""
        if self._names_picture and state.spoken == 1 and state.last == "phrase":
            yield _State(self._of, state.spoken, "link")
            return
        if state.last == "phrase":
            yield _State(self._comma, state.spoken, "comma")
        if state.last in {"phrase", "comma"}:
            for unit in self._links:
                yield _State(unit, state.spoken, "link")
