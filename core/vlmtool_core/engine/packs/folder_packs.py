"""Folders in the layout of transformers as packs: what is taken, and what is refused."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from vlmtool_core.engine.family import Family
from vlmtool_core.engine.packs.model_folder import ModelFolder, read_model_folder
from vlmtool_core.engine.packs.pack import Pack, PackFile, hash_file, now
from vlmtool_core.engine.packs.pack_files import (
    is_licence,
    read_index,
    small_files,
    tensor_memory,
    weight_files,
)
from vlmtool_core.engine.registry import family_of_folder
from vlmtool_core.engine.runtime.memory import WORKING_ROOM
from vlmtool_core.errors import UsageError, VlmtoolError

# Files of words and merges may be tens of megabytes and hold no settings.
_NO_SETTINGS = frozenset({"tokenizer.json", "vocab.json", "added_tokens.json"})
_ADAPTER = "adapter_config.json"
_CODE_MARK = b'"auto_map"'


def describe_folder(folder: Path, pack_id: str, *, known: Mapping[str, str] | None = None) -> Pack:
    """The pack that a folder would be, hashed; nothing is written.

    known : SHA-256 of files that were hashed a moment ago, by name

    Raises
    ------
    UsageError : not that layout, pickled or damaged weights, remote code, or no family for it.
    """
    model = read_model_folder(folder)
    family = family_for(folder, model, model.files)
    weights = _weights(folder, model.files)
    memory = int(sum(tensor_memory(folder / name) for name in weights) * WORKING_ROOM)
    hashes = known or {}
    names = sorted({*small_files(model.files), *weights})
    files = tuple(
        PackFile(name, hashes.get(name) or hash_file(folder / name), (folder / name).stat().st_size)
        for name in names
    )
    digest = hashlib.sha256("".join(f"{f.name}:{f.sha256}\n" for f in files).encode())
    return Pack(
        id=pack_id,
        version=digest.hexdigest()[:12],
        title=str(model.config.get("_name_or_path") or folder.name),
        family=family.name,
        tasks=family.tasks_of(model),
        licence=licence_of(folder),
        licence_files=tuple(name for name in names if is_licence(name)),
        source=f"folder {folder}",
        input=f"{model.model_type or 'transformers'} model",
        files=files,
        path=folder,
        location=folder,
        memory_bytes=memory,
        installed_at=now(),
    )


def family_for(folder: Path, model: ModelFolder, names: Collection[str]) -> type[Family]:
    """The family that serves the model, asked before its weights are there.

    Parameters
    ----------
    folder : where `config.json` and the other small files lie
    names : all files that the model has, also those that are still to come

    Raises
    ------
    UsageError : no family serves it, or it needs code of its own.
    """
    _refuse_parts(folder, model, names)
    found = family_of_folder(ModelFolder(model.config, frozenset(names), model.chat_template))
    native = _is_native(model.model_type)
    asks = None if native and found else _file_asking_for_code(folder)
    if asks is not None:
        raise UsageError(
            "the model asks to run code of its own, which is never done here",
            path=asks,
            field="auto_map",
            remedy="Choose a model that transformers serves without remote code.",
        )
    if found is None:
        raise UsageError(
            f"no family serves {', '.join(model.architectures) or 'a model without a name'}",
            path=folder / "config.json",
            field="architectures",
            remedy="See which models are recommended: vlmtool-cli models recommend",
        )
    return found


def _refuse_parts(folder: Path, model: ModelFolder, names: Collection[str]) -> None:
    """Refuse what is no whole model in numbers that torch itself computes with."""
    if _ADAPTER in names:
        raise UsageError(
            "this is an adapter for another model, not a model of its own",
            path=folder / _ADAPTER,
            remedy="Merge it into its base model (PEFT's merge_and_unload), save that with "
            "save_pretrained, and add the folder: vlmtool-cli models add FOLDER",
        )
    quantised = model.config.get("quantization_config")
    if quantised:
        method = quantised.get("quant_method") if isinstance(quantised, dict) else None
        raise UsageError(
            f"the weights are quantised ({method or 'unknown method'}), which needs libraries "
            "that are not part of this program",
            path=folder / "config.json",
            field="quantization_config",
            remedy="Choose the repository of the same model without quantisation.",
        )


@functools.cache
def _is_native(model_type: str) -> bool:
    """Whether transformers has classes of its own for this type.

    Many repositories still carry the `auto_map` of the time before; it is never followed.
    """
    from transformers.models.auto import configuration_auto

    return model_type in vars(configuration_auto)["CONFIG_MAPPING_NAMES"]


def _file_asking_for_code(folder: Path) -> Path | None:
    for path in sorted(folder.glob("*.json")):
        if path.name.endswith(".index.json") or path.name in _NO_SETTINGS:
            continue
        if _CODE_MARK in path.read_bytes():
            return path
    return None


def _weights(folder: Path, names: Collection[str]) -> Sequence[str]:
    """The files of the weights; errors name the folder or the file in it."""
    try:
        return weight_files(names, read_index(folder, names))
    except VlmtoolError as error:
        if error.path is None or not Path(error.path).is_absolute():
            error.path = str(folder / (error.path or ""))
        raise


def licence_of(folder: Path) -> str:
    """The licence that the head of the model's page states, or "unknown"."""
    page = folder / "README.md"
    if page.is_file():
        for line in page.read_text(encoding="utf-8", errors="replace").splitlines()[:60]:
            if line.startswith("license:"):
                return line.partition(":")[2].strip().strip("\"'") or "unknown"
    return "unknown"
