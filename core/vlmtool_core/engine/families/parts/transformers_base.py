"""What families of transformers models share: loading from a folder, preprocessing, pooling."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import torch

from vlmtool_core.engine.families.parts.completeness import require_complete
from vlmtool_core.engine.families.parts.towers import accelerated
from vlmtool_core.engine.families.parts.usual_steps import UsualSteps, cuts_middle, middle_of_strip
from vlmtool_core.engine.family import DECODE_SIDE, Family, Surroundings
from vlmtool_core.engine.packs.pack import Pack
from vlmtool_core.engine.pictures.image_input import ImageInput
from vlmtool_core.engine.runtime.agreement import pictures
from vlmtool_core.engine.runtime.quiet import quiet_transformers
from vlmtool_core.errors import UsageError
from vlmtool_core.records import Frame, Json, Task

# No less is decoded for any model, since some parts of wide and tall pictures are cut away.
_LEAST_SIDE = 448
_STEPS = ("size", "crop_size", "do_center_crop", "resample", "image_mean", "image_std")


class TransformersFamily(Family):
    """A model in a local folder; nothing is fetched and no code of the folder is run.

    auto_class : the class of transformers that loads the model
    processor_class : the class that loads what makes its inputs
    made_while_decoding : tasks that use nothing of a picture but what `_inputs` makes of it
    """

    dtypes = ("float32", "bfloat16")
    auto_class: str
    made_while_decoding: ClassVar[tuple[Task, ...]] = ()
    processor_class: str = "AutoImageProcessor"

    def __init__(self, pack: Pack, surroundings: Surroundings) -> None:
        super().__init__(pack, surroundings)
        self._processor = self._load(self.processor_class)
        dtype = getattr(torch, surroundings.dtype)
        model = self._load(self.auto_class, use_safetensors=True, dtype=dtype)
        self._model = model.eval().to(self.device)

    def _load(self, class_name: str, **options: Any) -> Any:
        """What `class_name` of transformers makes of the pack's folder.

        Raises
        ------
        PackError : a model whose checkpoint lacks weights.
        """
        import transformers

        loader: Any = getattr(transformers, class_name)
        has_weights = "use_safetensors" in options
        if has_weights:
            options["output_loading_info"] = True
        with quiet_transformers():
            loaded = loader.from_pretrained(
                self.pack.location, local_files_only=True, trust_remote_code=False, **options
            )
        if not has_weights:
            return loaded
        model, report = loaded
        require_complete(model, report["missing_keys"], self.pack)
        return model

    def _accelerate(self, name: str) -> None:
        """Hand the image tower of that name to the runtime that was asked for.

        Raises
        ------
        UsageError : that runtime cannot run it. MissingDependencyError
        """
        wanted = self.backend != "torch" or self.surroundings.compiled
        if wanted and self._image_input is None:
            raise UsageError(
                f"{self.pack.id} takes pictures of any size, which only torch runs",
                field="backend",
                remedy="Set backend = torch and compile = false in the settings.",
            )
        if wanted:
            tower = getattr(self._model, name)
            made = accelerated(tower, self, lambda: self._pixels(pictures()))
            setattr(self._model, name, made)

    def _pixels(self, frames: Sequence[Frame]) -> torch.Tensor:
        """(n, 3, h, w) on the device in the model's dtype, by the model's own image processor."""
        return self._inputs(frames)["pixel_values"]

    def _inputs(self, frames: Sequence[Frame]) -> dict[str, torch.Tensor]:
        """Everything that the model's own image processor makes, on the device.

        Where it takes the usual steps, pictures are shipped as uint8 and normalised there.
        """
        made_here = self._image_input
        if made_here is not None:
            steps = made_here[0]
            stack = made_here[1].stack(frames)
            return {"pixel_values": steps.normalised(stack, self.device, self._model.dtype)}
        seen = [frame.pixels for frame in frames]
        if cuts_middle(self._processor):
            seen = [middle_of_strip(pixels) for pixels in seen]
        # torch takes no read-only arrays, and that is what decoders give.
        images = [np.require(pixels, requirements="W") for pixels in seen]
        made = self._processor(
            images=images, return_tensors="pt", input_data_format="channels_last"
        )
        inputs: dict[str, torch.Tensor] = {
            name: value.to(self.device) for name, value in made.items()
        }
        inputs["pixel_values"] = inputs["pixel_values"].to(self._model.dtype)
        return inputs

    def image_input(self, task: Task) -> ImageInput | None:
        if task not in self.made_while_decoding or self._image_input is None:
            return None
        return self._image_input[1]

    @functools.cached_property
    def _image_input(self) -> tuple[UsualSteps, ImageInput] | None:
        steps = UsualSteps.of(self._processor)
        if steps is None:
            return None
        return steps, ImageInput(self.pack.fingerprint, steps.side, steps.square)

    def _decode_side(self, task: Task) -> int:
        """What is enough for inputs that are resized to a fixed size: twice their shorter side,
        so that a picture of 2:1 is still made smaller and never larger."""
        size = getattr(self._processor, "size", None) or {}
        sides = [size.get(name) for name in ("shortest_edge", "height", "width")]
        known = [int(side) for side in sides if side]
        return max(_LEAST_SIDE, 2 * min(known)) if known else DECODE_SIDE[task]

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
