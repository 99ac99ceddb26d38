"""Reads JSON files strictly: every complaint names the file and the field."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vlmtool_core.api import FormatError

_RANGE = re.compile(r"^(?P<stem>.*?)(?P<first>\d+)\.{2,3}(?P<last>\d+)$")
MAXIMUM_RANGE = 2000
MAXIMUM_BYTES = 20_000_000


def load_object(path: Path) -> Node:
    """The JSON object in `path`.

    Raises
    ------
    FormatError : the file cannot be read, is no JSON, or holds something other than an object.
    """
    try:
        if path.stat().st_size > MAXIMUM_BYTES:
            raise FormatError("is far too large for a template or key", path=path)
        value = json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise FormatError(f"cannot be read: {error.strerror}", path=path) from error
    except (ValueError, RecursionError) as error:
        raise FormatError(f"is no valid JSON: {error}", path=path) from error
    return Node(path, "", value).mapping()


@dataclass(frozen=True)
class Node:
    """A value of a JSON file that knows where it stands (`fieldBlocks.MCQ.origin`)."""

    path: Path
    where: str
    value: Any

    def wrong(self, expected: str) -> FormatError:
        shown = json.dumps(self.value, ensure_ascii=False)
        shown = shown if len(shown) <= 60 else shown[:57] + "..."
        return self.error(f"expected {expected}, got {shown}")

    def error(self, message: str) -> FormatError:
        return FormatError(message, path=self.path, field=self.where or None)

    def _child(self, key: str | int, value: Any) -> Node:
        return Node(self.path, f"{self.where}.{key}" if self.where else str(key), value)

    def mapping(self) -> Node:
        if not isinstance(self.value, Mapping):
            raise self.wrong("an object")
        return self

    def has(self, key: str) -> bool:
        return key in self.mapping().value

    def get(self, key: str, default: Any = None) -> Node:
        """The value under `key`, or a node of `default` when it is absent."""
        return self._child(key, self.mapping().value.get(key, default))

    def need(self, key: str) -> Node:
        if not self.has(key):
            raise self._child(key, None).error("is missing")
        return self.get(key)

    def items(self) -> list[tuple[str, Node]]:
        return [(key, self._child(key, value)) for key, value in self.mapping().value.items()]

    def elements(self) -> list[Node]:
        if not isinstance(self.value, list):
            raise self.wrong("a list")
        return [self._child(index, value) for index, value in enumerate(self.value)]

    def text(self) -> str:
        if not isinstance(self.value, str):
            raise self.wrong("a text")
        return self.value

    def number(self, *, above: float = -math.inf) -> float:
        value = self.value
        ok = isinstance(value, int | float) and not isinstance(value, bool)
        if not ok or not math.isfinite(value) or value <= above:
            raise self.wrong("a number" if above == -math.inf else f"a number above {above:g}")
        return float(value)

    def pair(self, *, above: float = -math.inf) -> tuple[float, float]:
        elements = self.elements()
        if len(elements) != 2:
            raise self.wrong("two numbers")
        return elements[0].number(above=above), elements[1].number(above=above)

    def labels(self) -> tuple[str, ...]:
        """Names, with ranges spelt out: `["q1..3", "x"]` is q1, q2, q3, x."""
        return tuple(name for element in self.elements() for name in element.expanded())

    def expanded(self) -> tuple[str, ...]:
        text = self.text().strip()
        if not text:
            raise self.wrong("a name")
        match = _RANGE.match(text)
        if match is None:
            return (text,)
        first, last = int(match["first"]), int(match["last"])
        if not first <= last < first + MAXIMUM_RANGE:
            raise self.wrong("a rising range such as q1..10")
        return tuple(f"{match['stem']}{number}" for number in range(first, last + 1))
