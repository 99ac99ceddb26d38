"""Draws overlay planes onto a frame that is to be looked at; never onto one for a model."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from vlmtool_core.media.base import MediaSource
from vlmtool_core.records import Frame

if TYPE_CHECKING:
    import numpy as np

WHITE = 255


def overlay_mask(source: MediaSource, frame: Frame) -> np.ndarray | None:
    """bool (h, w) of `frame.pixels`: where any overlay plane of its source draws.

    None where there is no plane.

    Raises
    ------
    MediaError : a plane cannot be read
    """
    import numpy as np

    planes = getattr(source, "overlays", None)
    masks = [plane.mask for plane in planes(frame.index)] if planes is not None else []
    if not masks:
        return None
    return _fitted(np.logical_or.reduce(masks), frame.pixels.shape[:2])


def with_overlays(frame: Frame, source: MediaSource) -> Frame:
    """The frame with the overlay planes of its source in white; itself where there are none.

    Raises
    ------
    MediaError : a plane cannot be read
    """
    mask = overlay_mask(source, frame)
    if mask is None:
        return frame
    pixels = frame.pixels.copy()
    pixels[mask] = WHITE
    return replace(frame, pixels=pixels, provenance={**frame.provenance, "overlays": "white"})


def _fitted(mask: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """The mask at another size, thin lines kept: a pixel is drawn if any of its parts is."""
    if mask.shape == shape:
        return mask
    import cv2
    import numpy as np

    size = (shape[1], shape[0])
    covered = cv2.resize(mask.astype(np.float32), size, interpolation=cv2.INTER_AREA)
    drawn: np.ndarray = covered > 0
    return drawn
