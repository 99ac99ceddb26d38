"""The settings of a method, checked: unknown names and values out of range are refused."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from vlmtool_core.errors import UsageError
from vlmtool_core.records import Json


@dataclass(frozen=True, slots=True)
class NumberOption:
    """A number from `low` to `high`, both included; whole ones only when `whole`."""

    default: float
    low: float
    high: float
    whole: bool = False


def read_options(
    options: Mapping[str, Json], known: Mapping[str, NumberOption]
) -> dict[str, float]:
    """All of `known`, as given or by default.

    Raises
    ------
    UsageError : an unknown name, no number, or one out of range.
    """
    for name in options:
        if name not in known:
            names = ", ".join(known) or "none"
            raise UsageError(
                "there is no such option", field=name, remedy=f"This method knows: {names}"
            )
    return {name: _number(name, options.get(name), kind) for name, kind in known.items()}


def _number(name: str, value: Json, kind: NumberOption) -> float:
    if value is None:
        return kind.default
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not kind.low <= number <= kind.high or (kind.whole and number != int(number)):
        what = "a whole number" if kind.whole else "a number"
        raise UsageError(
            f"expected {what} from {kind.low:g} to {kind.high:g}, got {str(value)[:40]!r}",
            field=name,
        )
    return number
