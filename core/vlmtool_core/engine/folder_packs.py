"""Local folders in the layout of transformers as packs: what is taken, and what is refused."""

from __future__ import annotations

import hashlib
from pathlib import Path

from vlmtool_core.engine.model_folder import read_model_folder
from vlmtool_core.engine.packs import Pack, PackFile, hash_file
from vlmtool_core.engine.registry import family_of_folder
from vlmtool_core.errors import UsageError

_PICKLES = {".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt"}
_KEPT = {".json", ".safetensors", ".txt", ".model", ".jinja", ".md"}
_LICENCES = ("LICENSE", "LICENSE.txt", "LICENSE.md", "LICENCE", "COPYING")


def describe_folder(folder: Path, pack_id: str) -> Pack:
    """The pack that a folder would be, hashed; nothing is written.

    Raises
    ------
    UsageError : not that layout, pickled weights only, remote code, or no family for it.
    """
    model = read_model_folder(folder)
    _refuse_code(folder)
    _require_safetensors(folder)
    family = family_of_folder(model)
    if family is None:
        raise UsageError(
            f"no family serves {', '.join(model.architectures) or 'a model without a name'}",
            path=folder / "config.json",
            field="architectures",
            remedy="See which models can be used: vlmtool-cli models families",
        )
    files = tuple(
        PackFile(path.relative_to(folder).as_posix(), hash_file(path), path.stat().st_size)
        for path in sorted(folder.iterdir())
        if path.is_file() and (path.suffix in _KEPT or path.name in _LICENCES)
    )
    digest = hashlib.sha256("".join(f"{f.name}:{f.sha256}\n" for f in files).encode())
    return Pack(
        id=pack_id,
        version=digest.hexdigest()[:12],
        title=str(model.config.get("_name_or_path") or folder.name),
        family=family.name,
        tasks=family.tasks_of(model),
        licence=_licence(folder),
        licence_files=tuple(f.name for f in files if f.name in _LICENCES),
        source=f"folder {folder}",
        input=f"{model.model_type or 'transformers'} model",
        files=files,
        path=folder,
        location=folder,
    )


def _refuse_code(folder: Path) -> None:
    for path in sorted(folder.glob("*.json")):
        if path.name.endswith(".index.json") or path.name == "tokenizer.json":
            continue
        text = path.read_text(encoding="utf-8", errors="replace")
        if '"auto_map"' in text:
            raise UsageError(
                "the model asks to run code of its own, which is never done here",
                path=path,
                field="auto_map",
                remedy="Choose a model that transformers serves without remote code.",
            )


def _require_safetensors(folder: Path) -> None:
    if any(folder.glob("*.safetensors")):
        return
    pickles = sorted(p.name for p in folder.iterdir() if p.suffix in _PICKLES)
    if pickles:
        raise UsageError(
            f"the weights are pickles ({', '.join(pickles[:3])}), which may run code when loaded",
            path=folder,
            remedy="Save the model with safe_serialization=True and add that folder.",
        )
    raise UsageError(
        "there are no weights (*.safetensors)", path=folder, remedy="Choose another folder."
    )


def _licence(folder: Path) -> str:
    """The licence that the model card's head states, if there is one."""
    card = folder / "README.md"
    if card.is_file():
        for line in card.read_text(encoding="utf-8", errors="replace").splitlines()[:60]:
            if line.startswith("license:"):
                return line.partition(":")[2].strip().strip("\"'") or "unknown"
    return "unknown"
