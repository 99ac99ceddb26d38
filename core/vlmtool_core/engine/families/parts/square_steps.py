"""Inputs of one fixed size made in threads as uint8, where that is what the processor does.

Whether it does is not guessed from its settings: both are run once on noise and compared.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

# What the two may differ by in a normalised input, from the order of additions alone.
_SAME = 1e-4
_PROBE_SCALE = 1.4


class SquareSteps:
    """Resizing to a fixed size, then scaling and normalising, by the processor's own functions."""

    def __init__(self, processor: Any) -> None:
        self._processor = processor
        size = processor.size
        self.height, self.width = int(size["height"]), int(size["width"])

    @classmethod
    def of(cls, processor: Any) -> SquareSteps | None:
        """The steps, or None where the processor makes something else of a picture."""
        size = getattr(processor, "size", None) or {}
        if not (size.get("height") and size.get("width")):
            return None
        if not (processor.do_resize and processor.do_rescale):
            return None
        steps = cls(processor)
        return steps if steps._makes_the_same() else None

    def square(self, pixels: np.ndarray) -> np.ndarray:
        """uint8 (height, width, 3) of a uint8 picture of any size."""
        own = self._processor
        # A view with channels last in memory is resized many times faster than a copy.
        image = torch.from_numpy(np.require(pixels, requirements="W")).permute(2, 0, 1)
        image = own.resize(image[None], own.size, own.resample)[0]
        made: np.ndarray = image.permute(1, 2, 0).contiguous().numpy()
        return made

    def normalised(self, pictures: torch.Tensor) -> torch.Tensor:
        """float32 (n, 3, height, width) of uint8 ones, on their device."""
        own = self._processor
        pixels = pictures.float()
        if not own.do_normalize:
            return pixels.mul_(own.rescale_factor)
        mean, std = (
            torch.tensor(values, device=pictures.device).view(-1, 1, 1) / own.rescale_factor
            for values in (own.image_mean, own.image_std)
        )
        return pixels.sub_(mean).div_(std)

    def _makes_the_same(self) -> bool:
        shape = (int(self.height * _PROBE_SCALE), int(self.width / _PROBE_SCALE), 3)
        noise = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
        theirs = self._processor(
            images=[noise], return_tensors="pt", input_data_format="channels_last"
        )
        expected = theirs["pixel_values"]
        mask = theirs.get("pixel_mask")
        if mask is not None and not bool(mask.all()):
            return False
        if tuple(expected.shape) != (1, 3, self.height, self.width):
            return False
        ours = torch.from_numpy(self.square(noise)).permute(2, 0, 1)[None]
        return bool((self.normalised(ours) - expected).abs().max() < _SAME)
