"""Pictures as the input of a network, made where they are decoded and shipped as uint8."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from vlmtool_core.records import Frame

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True, slots=True)
class ImageInput:
    """How the pictures of one model are resized and cropped; pure, and used by many threads.

    key : the model, as `Frame.input_of` names it
    side : shorter side in pixels to which pictures are resized
    square : uint8 (h, w, 3) of any size to uint8 of the network's size
    """

    key: str
    side: int
    square: Callable[[np.ndarray], np.ndarray]

    def frame(self, frame: Frame) -> Frame:
        """The frame with the network's input in place of its pixels."""
        if frame.input_of == self.key:
            return frame
        pixels = self.square(frame.pixels)
        return replace(frame, pixels=pixels, source_size=frame.size, input_of=self.key)

    def stack(self, frames: Sequence[Frame]) -> np.ndarray:
        """uint8 (n, height, width, 3) of frames that are the input already, or become it now."""
        import numpy as np

        return np.stack([self.frame(frame).pixels for frame in frames])
