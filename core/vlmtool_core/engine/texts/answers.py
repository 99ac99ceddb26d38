"""The form that an answer must have: yes or no, one of a list, or JSON by a small schema."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from vlmtool_core.engine.texts.answer_schema import check_schema, mismatch, most_characters
from vlmtool_core.errors import AnswerError, FormatError, UsageError
from vlmtool_core.records import ErrorInfo, Json, Outcome, OutcomeStatus

AnswerKind = Literal["yes/no", "one of", "json"]
MOST_OPTIONS = 500
_MOST_OPTION_LENGTH = 200
_ONE_OF = "one of:"
_FORMS = 'Use yes/no, "one of: a|b|c", or the path of a JSON schema (schema.json).'
_FENCED = re.compile(r"\A```[a-z]*\s*\n(.*?)\n?```\Z", re.DOTALL | re.IGNORECASE)
# "No face was found." is a no, though a word follows the first one.
_NOTHING = re.compile(r"no\b[\w '-]{1,60}\b(?:was|were) found\W*", re.IGNORECASE)
_ARTICLE = re.compile(r"^(?:an?|the)\s+")


@dataclass(frozen=True, slots=True)
class AnswerShape:
    """What counts as an answer. Made by `yes_no`, `one_of` and `of_schema`.

    options : the answers of "one of", in the user's order
    schema : the JSON schema as text, properties in the order in which they are written
    """

    kind: AnswerKind
    options: tuple[str, ...] = ()
    schema: str = ""

    @classmethod
    def yes_no(cls) -> AnswerShape:
        """`Outcome.data` is true or false."""
        return cls("yes/no")

    @classmethod
    def one_of(cls, options: Sequence[str]) -> AnswerShape:
        """`Outcome.data` is one of the options, as it was given.

        Raises
        ------
        UsageError : fewer than two, more than 500, empty, repeated or overlong options.
        """
        given = tuple(" ".join(option.split()) for option in options)
        folded = {option.casefold() for option in given}
        if not 2 <= len(given) <= MOST_OPTIONS:
            raise UsageError(f"expected 2 to {MOST_OPTIONS} options, got {len(given)}",
                             field="answer", remedy=_FORMS)  # fmt: skip
        if "" in folded or len(folded) < len(given):
            raise UsageError("options must be different and not empty", field="answer")
        if max(map(len, given)) > _MOST_OPTION_LENGTH:
            most = f"an option may have at most {_MOST_OPTION_LENGTH} characters"
            raise UsageError(most, field="answer")
        return cls("one of", options=given)

    @classmethod
    def of_schema(cls, schema: Json) -> AnswerShape:
        """`Outcome.data` is a value that fits the schema (see `answer_schema` for what it may say).

        Raises
        ------
        UsageError : the schema says something that is not supported; names where.
        """
        check_schema(schema)
        return cls("json", schema=json.dumps(schema, ensure_ascii=False))

    @property
    def choices(self) -> tuple[str, ...]:
        """The texts that may be answered, none for JSON."""
        return ("yes", "no") if self.kind == "yes/no" else self.options

    @property
    def most_characters(self) -> int:
        """No answer of this form is longer."""
        if self.kind == "json":
            return most_characters(json.loads(self.schema))
        return max(map(len, self.choices))

    def instruction(self) -> str:
        """What the model is told of the form, to stand behind the question."""
        if self.kind == "json":
            return f"Answer only with JSON that fits this schema: {self.schema}"
        if self.kind == "yes/no":
            return "Answer only yes or no."
        return f"Answer only with one of these: {'; '.join(self.options)}"

    def read(self, text: str) -> Json:
        """The value that a model's words stand for.

        Raises
        ------
        AnswerError : they are no answer of this form.
        """
        if self.kind == "json":
            return self._read_json(text)
        found = _first_word(text) if self.kind == "yes/no" else _folded(text)
        for choice in self.choices:
            if found in (choice.casefold(), _folded(choice)):
                return choice == "yes" if self.kind == "yes/no" else choice
        expected = "yes or no" if self.kind == "yes/no" else f"one of {', '.join(self.options)}"
        raise AnswerError(f"expected {expected}, the model wrote: {_short(text)}")

    def value_of(self, choice: str) -> Json:
        """`Outcome.data` of one of `choices`."""
        return choice == "yes" if self.kind == "yes/no" else choice

    def _read_json(self, text: str) -> Json:
        fenced = _FENCED.match(text.strip())
        written = fenced[1] if fenced else text.strip()
        try:
            value = json.loads(written, parse_constant=_no_constant)
        except (ValueError, RecursionError) as error:
            raise AnswerError(f"expected JSON, the model wrote: {_short(text)}") from error
        wrong = mismatch(value, json.loads(self.schema))
        if wrong is not None:
            where, expected = wrong
            raise AnswerError(f"expected {expected} at {where}, the model wrote: {_short(text)}")
        return value

    def to_json(self) -> dict[str, Json]:
        """`from_json` gives the same shape back."""
        if self.kind == "json":
            return {"kind": self.kind, "schema": json.loads(self.schema)}
        return {"kind": self.kind} | ({"options": list(self.options)} if self.options else {})

    @classmethod
    def from_json(cls, value: Json) -> AnswerShape:
        """The shape that `to_json` wrote.

        Raises
        ------
        FormatError, UsageError
        """
        entry = value if isinstance(value, Mapping) else {}
        kind, options = entry.get("kind"), entry.get("options", [])
        if kind == "yes/no":
            return cls.yes_no()
        if kind == "json":
            return cls.of_schema(entry.get("schema"))
        if kind == "one of" and all(isinstance(option, str) for option in options):
            return cls.one_of(options)
        raise FormatError(f"expected the form of an answer, got {value!r}", field="answer")


def answer_shape(text: str) -> AnswerShape:
    """The form that a person typed: `yes/no`, `one of: a|b|c`, or the path of a schema.

    Raises
    ------
    UsageError : none of these, or the file is missing or no supported schema.
    """
    given = text.strip()
    if given.casefold().replace(" ", "") in ("yes/no", "yesno", "yes|no"):
        return AnswerShape.yes_no()
    if given.casefold().startswith(_ONE_OF):
        return AnswerShape.one_of(given[len(_ONE_OF) :].split("|"))
    if not given.endswith(".json"):
        raise UsageError(f"no form of an answer: {given!r}", field="answer", remedy=_FORMS)
    path = Path(given)
    try:
        schema = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise UsageError(
            f"cannot be read: {error}", path=path, field="answer", remedy=_FORMS
        ) from error
    return AnswerShape.of_schema(schema)


def validated(outcome: Outcome, shape: AnswerShape | None) -> Outcome:
    """The outcome with its words read into `data`; failed, with its words kept in `text`, when
    they are no answer of this form. An outcome that is not ok, or has `data`, stays as it is."""
    unread = outcome.status is OutcomeStatus.OK and outcome.data is None
    if shape is None or not unread:
        return outcome
    try:
        return replace(outcome, data=shape.read(outcome.text or ""))
    except AnswerError as error:
        return replace(outcome, status=OutcomeStatus.FAILED, error=ErrorInfo.from_exception(error))


def _first_word(text: str) -> str:
    """The first word of "Yes: two faces." and the like; a clause must end there."""
    if _NOTHING.fullmatch(text.strip()):
        return "no"
    found = re.match(r"[\s\"'*]*(\w+)[\"'*]*(?=[.,:;!\n]|\s*$)", text)
    return found[1].casefold() if found else ""


def _folded(text: str) -> str:
    """Without the quotes, the full stop and the article around an option."""
    bare = " ".join(text.split()).strip("\"'`* ").rstrip(".!\"'`* ").casefold()
    return _ARTICLE.sub("", bare)


def _short(text: str) -> str:
    one_line = " ".join(text.split())
    return repr(one_line if len(one_line) <= 80 else f"{one_line[:79]}…")


def _no_constant(name: str) -> Json:
    raise ValueError(f"{name} is no JSON number")
