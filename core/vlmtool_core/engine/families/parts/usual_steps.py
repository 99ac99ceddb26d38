"""The usual steps of image processors (resize, crop, normalise), run where they cost least.

Resizing and cropping work on uint8 and on one picture, so decoding threads do them; normalisation
is left to the model's device. Each step is the processor's own, so inputs equal its outputs.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from transformers.image_processing_backends import TorchvisionBackend

# So many times longer than wide, only the middle of a picture is looked at.
_STRIP = 64


class UsualSteps:
    """Of one image processor.

    side : shorter side in pixels of what is resized
    """

    def __init__(self, processor: Any) -> None:
        self._processor = processor
        size = processor.size
        self.side = int(size.shortest_edge or min(size.height, size.width))

    @classmethod
    def of(cls, processor: Any) -> UsualSteps | None:
        """The steps, or None where the processor takes others or makes inputs of several sizes."""
        if getattr(type(processor), "_preprocess", None) is not TorchvisionBackend._preprocess:
            return None
        steps = (processor.do_resize, processor.do_rescale, processor.do_normalize)
        if not all(steps) or processor.do_pad:
            return None
        size = processor.size
        cropped = processor.do_center_crop and processor.crop_size
        fixed = bool(cropped) or bool(size.height and size.width)
        sized = bool(size.shortest_edge) != bool(size.height and size.width)
        return cls(processor) if fixed and sized else None

    def square(self, pixels: np.ndarray) -> np.ndarray:
        """uint8 (height, width, 3), the network's input before normalisation, of a picture."""
        own = self._processor
        # A view with channels last in memory is resized many times faster than a copy.
        seen = middle_of_strip(pixels) if cuts_middle(own) else pixels
        image = torch.from_numpy(np.require(seen, requirements="W")).permute(2, 0, 1)
        image = own.resize(image, own.size, own.resample)
        if own.do_center_crop:
            image = own.center_crop(image, own.crop_size)
        made: np.ndarray = image.permute(1, 2, 0).contiguous().numpy()
        return made

    def normalised(self, stack: np.ndarray, device: str, dtype: torch.dtype) -> torch.Tensor:
        """(n, 3, h, w) on `device` of uint8 (n, h, w, 3), channels last in memory.

        To an accelerator, bytes are copied from pinned memory while the next step is queued.
        """
        own = self._processor
        tensor = torch.from_numpy(stack)
        if device != "cpu":
            tensor = tensor.pin_memory().to(device, non_blocking=True)
        mean, std = tuple(own.image_mean), tuple(own.image_std)
        pixels: torch.Tensor = own.rescale_and_normalize(
            tensor.permute(0, 3, 1, 2), True, own.rescale_factor, True, mean, std
        )
        return pixels.to(dtype)


def cuts_middle(processor: Any) -> bool:
    """Whether the processor cuts the middle out of what it resized by its shorter side."""
    size = getattr(processor, "size", None) or {}
    by_shorter = bool(size.get("shortest_edge")) and not size.get("longest_edge")
    crops = getattr(processor, "do_center_crop", False) or hasattr(processor, "crop_pct")
    return by_shorter and bool(crops)


def middle_of_strip(pixels: np.ndarray) -> np.ndarray:
    """What the centre crop of a very long picture can see, the picture itself when it is not.

    Resized as a whole, a strip of 1 × 20,000 pixels would take gigabytes, all of it to be cut off.
    """
    height, width = pixels.shape[:2]
    shorter, longer = sorted((height, width))
    if longer <= _STRIP * shorter:
        return pixels
    # An even number is cut off in all, so that the centre stays where it was.
    kept = _STRIP * shorter + (longer - _STRIP * shorter) % 2
    start = (longer - kept) // 2
    return pixels[:, start : start + kept] if width > height else pixels[start : start + kept]
