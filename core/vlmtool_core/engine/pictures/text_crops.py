"""Lines of text cut out of a picture: each rectified, so that it reads from left to right."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

# A line this much higher than wide is written from top to bottom.
_UPRIGHT_RATIO = 1.5


def rectified(pixels: np.ndarray, quad: np.ndarray) -> np.ndarray:
    """The text inside four corners as a rectangle, by a perspective warp.

    Parameters
    ----------
    pixels : uint8 (h, w, 3)
    quad : float (4, 2), x and y in pixels, clockwise from the top-left corner of the text

    Returns
    -------
    uint8 (height, width, 3); a line from top to bottom is turned by a quarter to the left.
    """
    import cv2
    import numpy as np

    corners = np.asarray(quad, np.float32)
    sides = np.linalg.norm(corners - np.roll(corners, -1, axis=0), axis=1)
    width = max(1, round(float(max(sides[0], sides[2]))))
    height = max(1, round(float(max(sides[1], sides[3]))))
    target = np.array([(0, 0), (width, 0), (width, height), (0, height)], np.float32)
    warped = cv2.warpPerspective(
        pixels,
        cv2.getPerspectiveTransform(corners, target),
        (width, height),
        flags=cv2.INTER_CUBIC,
        borderMode=cv2.BORDER_REPLICATE,
    )
    upright: np.ndarray = np.rot90(warped) if height >= _UPRIGHT_RATIO * width else warped
    return np.ascontiguousarray(upright)
