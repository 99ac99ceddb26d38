"""What happens to a pack's files once, when it is installed: weights become safetensors."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

from vlmtool_core.engine.packs.pack import Card
from vlmtool_core.engine.runtime.quiet import quiet_transformers
from vlmtool_core.errors import PackError, PackIntegrityError

Converter = Callable[[Path, Card], None]
_CONVERTERS: dict[str, Converter] = {}


def converter(name: str) -> Callable[[Converter], Converter]:
    """Register a function that changes the files in a pack's folder in place."""

    def register(function: Converter) -> Converter:
        _CONVERTERS[name] = function
        return function

    return register


def knows(name: str) -> bool:
    """Whether there is a converter of this name."""
    return name in _CONVERTERS


def convert(folder: Path, card: Card) -> None:
    """Run the card's converter over the extracted files.

    Raises
    ------
    PackError : the card names a converter that does not exist.
    PackIntegrityError : the weights are not what the card says.
    """
    if card.converter not in _CONVERTERS:
        raise PackError(f"pack {card.id} needs a newer program", field=card.converter)
    _CONVERTERS[card.converter](folder, card)


@converter("none")
def _keep(_folder: Path, _card: Card) -> None:
    """The files are already what the family loads."""


@converter("timm-by-order")
def _timm_by_order(folder: Path, card: Card) -> None:
    """A state dict with other names but the same order as timm's model, to safetensors."""
    import timm
    import torch
    from safetensors.torch import save_file

    source = folder / "model.pth"
    try:
        loaded: dict[str, Any] = torch.load(source, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
        raise PackIntegrityError("no plain weights, or damaged ones", path=source) from error
    with torch.device("meta"):
        expected = timm.create_model(card.options["architecture"]).state_dict()
    if len(loaded) != len(expected):
        raise PackIntegrityError(
            f"{len(loaded)} tensors, expected {len(expected)}", path=source, field="state dict"
        )
    tensors = {}
    for (old, value), (new, like) in zip(loaded.items(), expected.items(), strict=True):
        if value.shape != like.shape:
            raise PackIntegrityError(
                f"shape {tuple(value.shape)}, expected {tuple(like.shape)} of {new}",
                path=source,
                field=old,
            )
        tensors[new] = value.contiguous()
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    source.unlink()


@converter("gguf-to-safetensors")
def _gguf_to_safetensors(folder: Path, _card: Card) -> None:
    """A quantised GGUF file to bfloat16 safetensors, configuration and tokenizer."""
    import torch
    import transformers

    source = folder / "model.gguf"
    options: dict[str, Any] = {"gguf_file": source.name, "local_files_only": True}
    # Newer transformers keep the blocks packed, which cannot be saved; older ones always unpack.
    quantisation = getattr(transformers, "GgufConfig", None)
    extra = {"quantization_config": quantisation(dequantize=True)} if quantisation else {}
    with quiet_transformers(captured=True):
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder, **options)
        model = transformers.AutoModelForCausalLM.from_pretrained(
            folder, dtype=torch.bfloat16, **options, **extra
        )
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    source.unlink()


@converter("onnx-dynamic-size")
def _onnx_dynamic_size(folder: Path, card: Card) -> None:
    """Let a fully convolutional ONNX model take any batch and picture size."""
    from vlmtool_core.engine.packs.onnx_shapes import free_dimensions

    for file in card.source.files:
        path = folder / file.name
        path.write_bytes(free_dimensions(path.read_bytes()))
