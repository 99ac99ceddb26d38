"""What families of transformers models share: loading from a folder, preprocessing, pooling."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from vlmtool_core.engine.family import Family, Surroundings
from vlmtool_core.engine.packs import Pack
from vlmtool_core.engine.quiet import quiet_transformers
from vlmtool_core.records import Frame, Json

_STEPS = ("size", "crop_size", "do_center_crop", "resample", "image_mean", "image_std")


class TransformersFamily(Family):
    """A model in a local folder; nothing is fetched and no code of the folder is run.

    auto_class : the class of transformers that loads the model
    processor_class : the class that loads what makes its inputs
    """

    auto_class: str
    processor_class: str = "AutoImageProcessor"

    def __init__(self, pack: Pack, surroundings: Surroundings) -> None:
        super().__init__(pack, surroundings)
        self._processor = self._load(self.processor_class)
        dtype = getattr(torch, surroundings.dtype)
        model = self._load(self.auto_class, use_safetensors=True, dtype=dtype)
        self._model = model.eval().to(self.device)

    def _load(self, class_name: str, **options: Any) -> Any:
        """What `class_name` of transformers makes of the pack's folder."""
        import transformers

        loader: Any = getattr(transformers, class_name)
        with quiet_transformers():
            return loader.from_pretrained(
                self.pack.location, local_files_only=True, trust_remote_code=False, **options
            )

    def _pixels(self, frames: Sequence[Frame]) -> torch.Tensor:
        """float32 (n, 3, h, w), by the model's own image processor."""
        images = [frame.pixels for frame in frames]
        inputs = self._processor(
            images=images, return_tensors="pt", input_data_format="channels_last"
        )
        pixels: torch.Tensor = inputs["pixel_values"].to(self.device)
        return pixels

    def _provenance(self) -> dict[str, Json]:
        settings = self._processor.to_dict()
        kept = {step: settings.get(step) for step in _STEPS}
        return {
            "processor": {step: _plain(value) for step, value in kept.items() if value is not None}
        }


def _plain(value: Any) -> Json:
    """What JSON takes: sizes are objects, resampling is an enumeration."""
    if isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    items = getattr(value, "items", None)
    if items is not None:
        return {str(key): _plain(part) for key, part in items() if part is not None}
    return str(value)


def pooled(output: Any) -> torch.Tensor:
    """(n, d) of a vision model's output: its pooled features, else the mean over places."""
    if isinstance(output, torch.Tensor):
        return output
    features = getattr(output, "pooler_output", None)
    if features is None:
        hidden = output.last_hidden_state
        features = hidden.mean(dim=1) if hidden.ndim == 3 else hidden
    return features.flatten(2).mean(dim=2) if features.ndim == 4 else features
