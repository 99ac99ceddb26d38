"""Which files of a model's folder or repository a pack takes: weights as safetensors, and what
is needed to prepare its inputs. Pickles and code are never among them."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from vlmtool_core.engine.packs.model_folder import read_json
from vlmtool_core.errors import PackIntegrityError, UsageError

WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
PICKLES = frozenset({".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt"})
_KEPT = frozenset({".json", ".txt", ".model", ".jinja", ".tiktoken", ".spm", ".bpe"})
_LEFT_OUT = frozenset(
    {"trainer_state.json", "training_args.json", "all_results.json", "requirements.txt"}
)
_LICENCE = re.compile(r"(LICEN[CS]E|COPYING|NOTICE)([._-][A-Za-z0-9._-]*)?", re.IGNORECASE)
_TEMPLATES = "additional_chat_templates"
_HOSTILE = re.compile(r"[\x00-\x1f\x7f\\]")
_UNPORTABLE = re.compile(r'[:*?"<>|]')
# An index of the largest models has a few thousand tensors.
_MOST_INDEX_BYTES = 64 << 20


def is_licence(name: str) -> bool:
    """Whether a file at the top states terms (LICENSE, LICENCE.md, COPYING, NOTICE ...)."""
    return bool(_LICENCE.fullmatch(name))


def check_name(name: str) -> str:
    """Return a file's posix name, relative to its folder, if it stays inside and is portable.

    Raises
    ------
    PackIntegrityError : absolute, with "..", or with characters that some systems read otherwise.
    """
    odd = any(part.endswith((" ", ".")) for part in name.split("/"))
    if leads_out(name) or odd or _UNPORTABLE.search(name) or len(name) > 240:
        raise PackIntegrityError(
            f"the file name {name[:80]!r} is refused: it could lead out of the pack's folder",
            remedy="Do not use this pack, and tell who made it.",
        )
    return name


def leads_out(name: str) -> bool:
    """Whether a file of this name could land outside of its folder on some system."""
    return bool(_HOSTILE.search(name)) or any(p in {"", ".", ".."} for p in name.split("/"))


def matters(name: str) -> bool:
    """Whether a pack may take a file of this name, or has to say why it does not (pickles)."""
    return _is_small(name) or PurePosixPath(name).suffix in {".safetensors", *PICKLES}


def small_files(names: Iterable[str]) -> list[str]:
    """What belongs to a pack beside its weights: configuration, processor, tokenizer, templates,
    terms and the model's own page."""
    return sorted(name for name in names if _is_small(name))


def _is_small(name: str) -> bool:
    path = PurePosixPath(name)
    if len(path.parts) > 1:
        return path.parts[0] == _TEMPLATES and path.suffix == ".jinja" and len(path.parts) == 2
    if name == INDEX or name == "README.md" or is_licence(name):
        return True
    if name.startswith(".") or name.endswith(".index.json") or name in _LEFT_OUT:
        return False
    return path.suffix in _KEPT


def weight_files(names: Collection[str], index: Mapping[str, Any] | None) -> list[str]:
    """The files that hold the weights, as transformers looks for them: `model.safetensors`, else
    the shards of the index, else every safetensors file at the top.

    Parameters
    ----------
    index : the content of `model.safetensors.index.json`, None where there is none

    Raises
    ------
    UsageError : there are none, only pickles, or the index names a shard that is not there.
    """
    if WEIGHTS in names:
        return [WEIGHTS]
    if index is not None:
        return _shards(names, index)
    others = sorted(n for n in names if n.endswith(".safetensors") and "/" not in n)
    if others:
        return others
    pickles = sorted(n for n in names if PurePosixPath(n).suffix in PICKLES and "/" not in n)
    if pickles:
        raise UsageError(
            f"the weights are pickles ({', '.join(pickles[:3])}), which may run code when loaded",
            remedy="Choose a model that is offered as safetensors, or let somebody who trusts it "
            "save it with save_pretrained (which writes safetensors), and add that folder: "
            "vlmtool-cli models add FOLDER",
        )
    raise UsageError("there are no weights (*.safetensors)", remedy="Choose another model.")


def _shards(names: Collection[str], index: Mapping[str, Any]) -> list[str]:
    weight_map = index.get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise UsageError("has no list of shards", path=INDEX, field="weight_map")
    shards = sorted({str(name) for name in weight_map.values()})
    for shard in shards:
        check_name(shard)
        if not shard.endswith(".safetensors"):
            raise UsageError(f"{shard} is no safetensors file", path=INDEX, field="weight_map")
        if shard not in names:
            raise UsageError(
                f"the shard {shard} is missing",
                path=INDEX,
                field="weight_map",
                remedy="Fetch or copy the model again, with all of its files.",
            )
    return shards


def read_index(folder: Path, names: Collection[str]) -> dict[str, Any] | None:
    """The index of the shards in a folder, None where there is none or it is not needed.

    Raises
    ------
    UsageError : damaged.
    """
    if INDEX not in names or WEIGHTS in names:
        return None
    return read_json(folder / INDEX, most_bytes=_MOST_INDEX_BYTES)


def tensor_memory(path: Path) -> int:
    """Bytes that the tensors of a safetensors file need in float32 (integers as they are stored).

    Only the header is read.

    Raises
    ------
    UsageError : a pickle under another name, a damaged or truncated header.
    """
    from safetensors import SafetensorError

    remedy = "Fetch or copy the file again; a pickle must not be renamed."
    try:
        return _tensor_memory(path)
    except SafetensorError as error:
        kind = "a pickle under another name" if _is_pickle(path) else f"damaged: {error}"
        raise UsageError(f"is no safetensors file but {kind}", path=path, remedy=remedy) from error
    except OSError as error:
        raise UsageError(error.strerror or str(error), path=path, remedy=remedy) from error


def _tensor_memory(path: Path) -> int:
    from safetensors import safe_open

    # The library checks the whole header against the file's size before it answers.
    with safe_open(path, framework="np"):
        pass
    with path.open("rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
    total = 0
    for name, entry in header.items():
        if name != "__metadata__":
            start, end = entry["data_offsets"]
            total += (end - start) * _GROWTH.get(entry["dtype"], 1)
    return total


# How much larger a number is in float32 than it lies in the file.
_GROWTH = {"F16": 2, "BF16": 2, "F8_E4M3": 4, "F8_E5M2": 4}


def _is_pickle(path: Path) -> bool:
    with path.open("rb") as file:
        head = file.read(4)
    return head[:1] == b"\x80" or head == b"PK\x03\x04"
