"""Draws overlay planes onto a frame that is to be looked at; never onto one for a model."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from vlmtool_core.media.base import MediaSource
from vlmtool_core.records import Frame

WHITE = 255


def with_overlays(frame: Frame, source: MediaSource) -> Frame:
    """The frame with the overlay planes of its source in white; itself where there are none.

    Raises
    ------
    MediaError : a plane cannot be read
    """
    planes = getattr(source, "overlays", None)
    masks = [plane.mask for plane in planes(frame.index)] if planes is not None else []
    if not masks:
        return frame
    pixels = frame.pixels.copy()
    for mask in masks:
        pixels[_fitted(mask, pixels.shape[:2])] = WHITE
    return replace(frame, pixels=pixels, provenance={**frame.provenance, "overlays": len(masks)})


def _fitted(mask: Any, shape: tuple[int, ...]) -> Any:
    """The mask at another size, thin lines kept: a pixel is drawn if any of its parts is."""
    if mask.shape == shape:
        return mask
    import cv2
    import numpy as np

    size = (shape[1], shape[0])
    return cv2.resize(mask.astype(np.float32), size, interpolation=cv2.INTER_AREA) > 0
