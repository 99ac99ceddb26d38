"""Answer keys and marking: evaluation.json of the OMRChecker kind, or a table of answers."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from vlmtool_core.api import FormatError
from vlmtool_education.jsonfile import Node, load_object

MAXIMUM_BYTES = 20_000_000
QUESTION_COLUMNS = ("question", "q", "field")
ANSWER_COLUMNS = ("answer", "answers", "key")
POINTS_COLUMNS = ("points", "point", "marks", "mark", "score")


@dataclass(frozen=True)
class Scheme:
    """Points for a right, a wrong and a missing answer."""

    correct: Fraction = Fraction(1)
    incorrect: Fraction = Fraction(0)
    unmarked: Fraction = Fraction(0)


@dataclass(frozen=True)
class Verdict:
    """outcome : correct, incorrect or unmarked."""

    outcome: str
    points: Fraction


@dataclass(frozen=True)
class Question:
    """answers : accepted readings; weights : points of those that have points of their own."""

    name: str
    answers: tuple[str, ...]
    scheme: Scheme
    weights: Mapping[str, Fraction]

    @property
    def maximum(self) -> Fraction:
        best = [self.weights.get(a, self.scheme.correct) for a in self.answers]
        return max([*best, self.scheme.incorrect, self.scheme.unmarked])

    def judge(self, reading: str, *, blank: bool) -> Verdict:
        """The verdict on what was read; `blank` when nothing is marked."""
        if reading in self.answers:
            points = self.weights.get(reading, self.scheme.correct)
            return Verdict("correct", points)
        if blank:
            return Verdict("unmarked", self.scheme.unmarked)
        return Verdict("incorrect", self.scheme.incorrect)


@dataclass(frozen=True)
class Key:
    """The questions in order, and parts of the file that were left aside."""

    path: Path
    questions: Mapping[str, Question]
    warnings: tuple[str, ...] = ()

    @property
    def maximum(self) -> Fraction:
        return sum((question.maximum for question in self.questions.values()), Fraction(0))

    def check_against(self, columns: Iterable[str]) -> None:
        """Raise `FormatError` when the key asks for a question that the template does not have."""
        known = set(columns)
        unknown = [name for name in self.questions if name not in known]
        if unknown:
            raise FormatError(
                f"the template has no {', '.join(unknown[:5])}",
                path=self.path,
                field=unknown[0],
                remedy="Use the names of the template's fieldLabels and customLabels.",
            )


def read_key(path: Path) -> Key:
    """Read a key: JSON by its ending or first character, else a table.

    Raises
    ------
    FormatError : the file breaks its format; path and field are named.
    """
    try:
        if path.stat().st_size > MAXIMUM_BYTES:
            raise FormatError("is far too large for an answer key", path=path)
        start = path.read_bytes()[:64].removeprefix(b"\xef\xbb\xbf").lstrip()
    except OSError as error:
        raise FormatError(f"cannot be read: {error.strerror}", path=path) from error
    if path.suffix.lower() == ".json" or start.startswith(b"{"):
        return _from_json(load_object(path))
    return _from_table(path)


def _from_json(root: Node) -> Key:
    source = root.need("source_type")
    options = root.need("options").mapping()
    if source.text() in ("custom", "local"):
        names = options.need("questions_in_order").labels()
        answers = options.need("answers_in_order").elements()
        if len(names) != len(answers):
            raise options.get("answers_in_order").error(
                f"has {len(answers)} answers for {len(names)} questions"
            )
        accepted = {name: _answer(node) for name, node in zip(names, answers, strict=True)}
        if len(accepted) != len(names):
            raise options.get("questions_in_order").error("names a question twice")
    elif source.text() == "csv":
        accepted = _from_named_table(options)
    else:
        raise source.wrong("custom or csv")
    schemes = _schemes(root.need("marking_schemes"), accepted)
    warnings = ("conditionalSets is ignored",) if root.has("conditionalSets") else ()
    questions = {
        name: Question(name, tuple(points), schemes[name], _own_points(points))
        for name, points in accepted.items()
    }
    return Key(root.path, questions, warnings)


def _from_named_table(options: Node) -> dict[str, dict[str, Fraction | None]]:
    node = options.need("answer_key_csv_path")
    path = options.path.parent / node.text()
    if not path.is_file():
        raise node.error(f"there is no {node.text()} beside the key")
    table = {name: _own_answers(q) for name, q in _from_table(path).questions.items()}
    if not options.has("questions_in_order"):
        return table
    names = options.get("questions_in_order").labels()
    for name in names:
        if name not in table:
            raise options.get("questions_in_order").error(f"names {name}, which {path.name} lacks")
    return {name: table[name] for name in names}


def _own_answers(question: Question) -> dict[str, Fraction | None]:
    return {answer: question.weights.get(answer) for answer in question.answers}


def _own_points(answers: Mapping[str, Fraction | None]) -> dict[str, Fraction]:
    return {answer: points for answer, points in answers.items() if points is not None}


def _answer(node: Node) -> dict[str, Fraction | None]:
    """Accepted readings with points of their own: "B", ["B", "C"] or [["B", 2], ["C", 0.5]]."""
    if isinstance(node.value, str):
        return {node.text(): None}
    accepted: dict[str, Fraction | None] = {}
    for element in node.elements():
        if isinstance(element.value, list):
            pair = element.elements()
            if len(pair) != 2:
                raise element.wrong("an answer and its points")
            accepted[pair[0].text()] = _points(pair[1])
        else:
            accepted[element.text()] = None
    if not accepted:
        raise node.wrong("at least one answer")
    return accepted


def _schemes(node: Node, questions: Iterable[str]) -> dict[str, Scheme]:
    names = list(questions)
    default = _scheme(node.need("DEFAULT"))
    schemes = dict.fromkeys(names, default)
    taken: dict[str, str] = {}
    for section, value in node.items():
        if section == "DEFAULT":
            continue
        scheme = _scheme(value.need("marking"))
        for name in value.need("questions").labels():
            if name not in schemes:
                raise value.get("questions").error(f"names {name}, which is no question")
            if name in taken:
                raise value.get("questions").error(f"names {name}, as {taken[name]} does")
            taken[name] = section
            schemes[name] = scheme
    return schemes


def _scheme(node: Node) -> Scheme:
    return Scheme(
        _points(node.need("correct")),
        _points(node.need("incorrect")),
        _points(node.need("unmarked")),
    )


def _points(node: Node) -> Fraction:
    """A number, or a text such as "3" or "-2/3"."""
    if isinstance(node.value, str):
        try:
            return _fraction(node.value)
        except (ValueError, ZeroDivisionError):
            raise node.wrong("points such as 3, 0.5 or -2/3") from None
    if isinstance(node.value, list):
        raise node.wrong("one number of points; streaks are not supported")
    return Fraction(str(node.number()))


def _fraction(text: str) -> Fraction:
    value = Fraction(text.replace(" ", ""))
    if abs(value) > 1_000_000 or value.denominator > 1_000_000:
        raise ValueError(text)
    return value


def _from_table(path: Path) -> Key:
    """`question,answer[,points]` with or without a header; several answers stand as `B|C|BC`."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise FormatError("is no UTF-8 text", path=path) from error
    first_line = text.split("\n", 1)[0]
    delimiter = ";" if first_line.count(";") > first_line.count(",") else ","
    rows = [
        (number, [cell.strip() for cell in row])
        for number, row in enumerate(csv.reader(io.StringIO(text), delimiter=delimiter), 1)
        if any(cell.strip() for cell in row)
    ]
    if not rows:
        raise FormatError("has no answers", path=path)
    order, body = _columns(path, rows)
    questions: dict[str, Question] = {}
    for number, row in body:
        name, question = _table_row(path, number, row, order)
        if name in questions:
            raise FormatError(f"{name} is there twice", path=path, field=f"line {number}")
        questions[name] = question
    if not questions:
        raise FormatError("has no answers", path=path)
    return Key(path, questions)


def _columns(
    path: Path, rows: list[tuple[int, list[str]]]
) -> tuple[tuple[int, int, int | None], list[tuple[int, list[str]]]]:
    header = [cell.casefold() for cell in rows[0][1]]

    def position(names: Iterable[str]) -> int | None:
        return next((header.index(name) for name in names if name in header), None)

    question, answer = position(QUESTION_COLUMNS), position(ANSWER_COLUMNS)
    if question is None and answer is None:
        return (0, 1, 2 if len(header) > 2 else None), rows
    if question is None or answer is None:
        missing = "question" if question is None else "answer"
        raise FormatError("the column is missing", path=path, field=missing)
    return (question, answer, position(POINTS_COLUMNS)), rows[1:]


def _table_row(
    path: Path, number: int, row: list[str], order: tuple[int, int, int | None]
) -> tuple[str, Question]:
    where = f"line {number}"
    question, answer, points = order
    name = row[question] if question < len(row) else ""
    accepted = tuple(a.strip() for a in (row[answer] if answer < len(row) else "").split("|"))
    if not name or not all(accepted):
        raise FormatError("needs a question and an answer", path=path, field=where)
    scheme = Scheme()
    if points is not None and points < len(row) and row[points]:
        try:
            scheme = Scheme(correct=_fraction(row[points]))
        except (ValueError, ZeroDivisionError):
            raise FormatError(
                f"expected points such as 2 or 1/3, got {row[points]}", path=path, field=where
            ) from None
    return name, Question(name, accepted, scheme, {})
