"""What a folder in the layout of transformers says of its model, read without importing it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vlmtool_core.errors import UsageError
from vlmtool_core.records import Json

_MOST_BYTES = 16 << 20


@dataclass(frozen=True, slots=True)
class ModelFolder:
    """A model's `config.json` and the names of the files beside it.

    config : the whole `config.json`
    files : names relative to the folder, posix
    chat_template : whether its processor or tokenizer brings one
    """

    config: Mapping[str, Json]
    files: frozenset[str] = field(default_factory=frozenset)
    chat_template: bool = False

    @property
    def model_type(self) -> str:
        return str(self.config.get("model_type") or "")

    @property
    def architectures(self) -> tuple[str, ...]:
        return tuple(str(name) for name in self.config.get("architectures") or ())


def read_model_folder(folder: Path) -> ModelFolder:
    """Read `config.json` and look at what lies beside it.

    Raises
    ------
    UsageError : no such file, or no JSON object in it.
    """
    config = read_json(folder / "config.json", "This is no folder in the layout of transformers.")
    names = frozenset(
        path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()
    )
    return ModelFolder(config, names, _has_chat_template(folder, names))


def _has_chat_template(folder: Path, names: frozenset[str]) -> bool:
    if names & {"chat_template.json", "chat_template.jinja"}:
        return True
    settings = [n for n in ("processor_config.json", "tokenizer_config.json") if n in names]
    return any("chat_template" in read_json(folder / name) for name in settings)


def read_json(
    path: Path, remedy: str | None = None, *, most_bytes: int = _MOST_BYTES
) -> dict[str, Any]:
    """The JSON object in a file of a model's folder.

    most_bytes : a larger file is refused

    Raises
    ------
    UsageError : no such file, damaged, too large or too deeply nested, numbers that JSON does not
        have (NaN, Infinity), or something else than an object.
    """
    try:
        if path.stat().st_size > most_bytes:
            raise UsageError(
                f"is larger than {most_bytes >> 20} MB, which no model needs", path=path
            )
        value = json.loads(path.read_text(encoding="utf-8"), parse_constant=_refuse_constant)
    except FileNotFoundError as error:
        raise UsageError("there is no such file", path=path, remedy=remedy) from error
    except RecursionError as error:
        raise UsageError(
            "cannot be read: it is nested too deeply", path=path, remedy=remedy
        ) from error
    except (OSError, ValueError) as error:
        raise UsageError(f"cannot be read: {error}", path=path, remedy=remedy) from error
    if not isinstance(value, dict):
        raise UsageError("holds no JSON object", path=path, remedy=remedy)
    return value


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is no number of JSON")
