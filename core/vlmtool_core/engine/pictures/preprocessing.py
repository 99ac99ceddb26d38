"""Frames to network input: one resize and centre crop, recorded so that it can be shown again."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vlmtool_core.errors import InferenceError
from vlmtool_core.records import Frame, Json

if TYPE_CHECKING:
    import numpy as np
    import torch


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """How pictures are made ready: the centre crop of a resize, then normalisation.

    image_size : side of the square input, in pixels
    crop : part of the shorter side that the crop keeps, 0 to 1
    interpolation : "bicubic" or "bilinear", antialiased
    mean, std : of RGB in [0, 1]
    """

    image_size: int
    crop: float = 1.0
    interpolation: str = "bicubic"
    mean: tuple[float, float, float] = (0.5, 0.5, 0.5)
    std: tuple[float, float, float] = (0.5, 0.5, 0.5)

    @classmethod
    def from_options(cls, options: Mapping[str, Json]) -> Preprocessing:
        return cls(
            image_size=int(options["image_size"]),
            crop=float(options.get("crop", 1.0)),
            interpolation=str(options.get("interpolation", "bicubic")),
            mean=_triple(options.get("mean", (0.5, 0.5, 0.5))),
            std=_triple(options.get("std", (0.5, 0.5, 0.5))),
        )

    def crop_box(self, width: int, height: int) -> tuple[float, float, float, float]:
        """The part of a `width` × `height` picture that the network sees, xyxy in its pixels."""
        shorter = math.floor(self.image_size / self.crop)
        # Whole pixels of the resized picture, as the network was trained.
        factor = shorter / min(width, height)
        resized = (max(shorter, int(width * factor)), max(shorter, int(height * factor)))
        left, top = (round((side - self.image_size) / 2) for side in resized)
        sx, sy = width / resized[0], height / resized[1]
        x1, y1 = left * sx, top * sy
        return x1, y1, x1 + self.image_size * sx, y1 + self.image_size * sy

    def square(self, pixels: np.ndarray) -> np.ndarray:
        """uint8 (image_size, image_size, 3) of a uint8 (h, w, 3) picture."""
        height, width = pixels.shape[:2]
        size = (self.image_size, self.image_size)
        return resize(pixels, size, self.interpolation, self.crop_box(width, height))

    def provenance(self, frame: Frame) -> dict[str, Json]:
        """What was done to this frame; the crop in pixels of the oriented source image."""
        height, width = frame.pixels.shape[:2]
        sx, sy = scale_to_source(frame)
        x1, y1, x2, y2 = self.crop_box(width, height)
        return {
            "input": [self.image_size, self.image_size],
            "crop": [round(v, 2) for v in (x1 * sx, y1 * sy, x2 * sx, y2 * sy)],
            "interpolation": self.interpolation,
            "mean": list(self.mean),
            "std": list(self.std),
        }

    def batch(self, frames: Sequence[Frame], device: str) -> torch.Tensor:
        """float32 (n, 3, image_size, image_size) on `device`, normalised, channels last."""
        import numpy as np

        return self.normalise(np.stack([self.square(frame.pixels) for frame in frames]), device)

    def normalise(self, pictures: np.ndarray, device: str) -> torch.Tensor:
        """uint8 (n, h, w, 3) to normalised float32 (n, 3, h, w), channels last."""
        import torch

        tensor = torch.from_numpy(pictures).to(device, non_blocking=True).permute(0, 3, 1, 2)
        mean = torch.tensor(self.mean, device=device).view(1, 3, 1, 1) * 255
        std = torch.tensor(self.std, device=device).view(1, 3, 1, 1) * 255
        return (tensor.float() - mean) / std


def _triple(values: Sequence[float]) -> tuple[float, float, float]:
    red, green, blue = (float(value) for value in values)
    return red, green, blue


def resize(
    pixels: np.ndarray,
    size: tuple[int, int],
    interpolation: str = "bicubic",
    box: tuple[float, float, float, float] | None = None,
) -> np.ndarray:
    """`box` of a uint8 (h, w, 3) picture at `size` (width, height), antialiased; uint8."""
    import numpy as np
    from PIL import Image

    method = getattr(Image.Resampling, interpolation.upper())
    return np.array(Image.fromarray(pixels).resize(size, method, box))


def scale_to_source(frame: Frame) -> tuple[float, float]:
    """Factors (x, y) from pixels of `frame.pixels` to pixels of the oriented source."""
    width, height = frame.size
    return width / frame.pixels.shape[1], height / frame.pixels.shape[0]


def check_frame(frame: Frame) -> None:
    """Raise `InferenceError` unless the pixels are uint8 (h, w, 3) and not empty."""
    pixels = frame.pixels
    if pixels.ndim != 3 or pixels.shape[2] != 3 or str(pixels.dtype) != "uint8":
        raise InferenceError(
            f"expected uint8 pixels (height, width, 3), got {pixels.dtype} {pixels.shape}",
            remedy="Open the picture through vlmtool, which converts it.",
        )
    if pixels.size == 0:
        raise InferenceError("the picture has no pixels", remedy="Check the file.")
