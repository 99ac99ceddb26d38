"""The motion gate: compares grey pictures with a learned background, robust to light and noise.

The background is a running mean and variance per pixel. Before the comparison it is fitted
to the exposure of the frame (gain and offset over the pixels that belong to the background),
so that automatic exposure is no movement. What rests for long becomes background.
"""

from __future__ import annotations

import copy
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from vlmtool_security.spans import Rectangle, Sample

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vlmtool_core.api import Region


@dataclass(frozen=True)
class GateSettings:
    """How keen the gate is.

    enter : area that begins an event, as a part of the watched area
    grey_levels : least difference from the background that counts
    noise_factor : and at least so many standard deviations of the pixel's own noise
    adapt_s : time constant with which the background follows slow changes, seconds
    settle_s : what has not moved for so long becomes background, seconds
    ghost_s : the same for the hole that something leaves behind, seconds
    change_s : movement is a change within so many seconds
    relit_area : changed part of the picture from which a change of light is considered
    """

    enter: float = 0.005
    grey_levels: float = 22.0
    noise_factor: float = 4.0
    adapt_s: float = 8.0
    settle_s: float = 30.0
    ghost_s: float = 3.0
    change_s: float = 0.4
    relit_area: float = 0.35


SENSITIVITY = {
    "low": GateSettings(enter=0.015, grey_levels=30.0),
    "normal": GateSettings(enter=0.005, grey_levels=22.0),
    "high": GateSettings(enter=0.0015, grey_levels=15.0),
}

_LEAST_PIXELS = 12
_FIRST_VARIANCE = 9.0
# Similarity of local structure above which a changed pixel is the old surface in a new light.
_SAME_STRUCTURE = 0.6


class MotionGate:
    """Says of each grey picture what differs from the background.

    mask : uint8 (h, w), 1 where to look; None for everywhere
    scale : (x, y) factors from pixels of the grey picture to source pixels
    """

    def __init__(
        self,
        settings: GateSettings,
        *,
        mask: np.ndarray | None = None,
        scale: tuple[float, float] = (1.0, 1.0),
    ) -> None:
        self.settings = settings
        self._mask = mask
        self._scale = scale
        self._mean: np.ndarray | None = None
        self._variance: np.ndarray = np.empty(0)
        self._moved_s: np.ndarray = np.empty(0)
        self._foreground: np.ndarray = np.empty(0)
        self._recent: deque[tuple[float, np.ndarray]] = deque()
        self._time_s = 0.0

    def copy(self) -> MotionGate:
        """A gate that goes on from this state by itself."""
        other = copy.copy(self)
        other._variance = self._variance.copy()
        other._moved_s = self._moved_s.copy()
        other._mean = None if self._mean is None else self._mean.copy()
        other._recent = deque(self._recent)
        return other

    def update(self, luma: np.ndarray, time_s: float) -> Sample:
        """Take in the next picture, uint8 (h, w), and say what moves in it."""
        import cv2

        grey = cv2.GaussianBlur(luma, (5, 5), 0).astype(np.float32)
        if self._mean is None or self._mean.shape != grey.shape:
            return self._start(grey, time_s)
        gain, offset = fit_exposure(self._mean, grey, self._foreground == 0)
        expected = gain * self._mean + offset
        foreground = self._differs(grey, expected, gain)
        light = (gain - 1.0) * 128.0 + offset
        if self._is_relit(grey, expected, foreground):
            self._relearn(grey, gain, offset)
            self._note_time(grey, time_s)
            return Sample(time_s, light=light, relit=True)
        changed = self._changed(grey, time_s)
        self._moved_s[changed > 0] = time_s
        areas = self._sort_blobs(foreground, grey, expected, time_s)
        self._adapt(grey, gain, offset, areas.kept, time_s)
        if areas.settled_mask is not None:
            self._mean[areas.settled_mask] = grey[areas.settled_mask]
        self._foreground = foreground
        self._note_time(grey, time_s)
        watched = self._watched(grey)
        return Sample(
            time_s,
            area=areas.area / watched,
            moving=float(np.count_nonzero(changed & areas.kept)) / watched,
            box=areas.box,
            light=light,
            settled=None if areas.settled is None else (areas.settled / watched, areas.since_s),
        )

    def _start(self, grey: np.ndarray, time_s: float) -> Sample:
        self._mean = grey.copy()
        self._variance = np.full_like(grey, _FIRST_VARIANCE)
        self._moved_s = np.full(grey.shape, time_s, np.float64)
        self._foreground = np.zeros(grey.shape, np.uint8)
        self._recent.clear()
        self._note_time(grey, time_s)
        return Sample(time_s)

    def _note_time(self, grey: np.ndarray, time_s: float) -> None:
        self._recent.append((time_s, grey))
        while len(self._recent) > 1 and self._recent[1][0] <= time_s - self.settings.change_s:
            self._recent.popleft()
        self._time_s = time_s

    def _watched(self, grey: np.ndarray) -> int:
        return grey.size if self._mask is None else max(1, int(np.count_nonzero(self._mask)))

    def _differs(self, grey: np.ndarray, expected: np.ndarray, gain: float) -> np.ndarray:
        import cv2

        # In a darker exposure everything, also a real difference, is darker.
        least = self.settings.grey_levels * float(np.clip(gain, 0.5, 1.0))
        threshold = np.maximum(least, self.settings.noise_factor * np.sqrt(self._variance))
        # Compared with the whole neighbourhood, so that a camera that trembles by a pixel, or an
        # edge that the codec moves, is no difference.
        around = np.ones((3, 3), np.uint8)
        above = grey - cv2.dilate(expected, around)
        below = cv2.erode(expected, around) - grey
        foreground = (np.maximum(above, below) > threshold).astype(np.uint8)
        if self._mask is not None:
            foreground &= self._mask
        foreground = cv2.morphologyEx(foreground, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
        return cv2.dilate(foreground, np.ones((5, 5), np.uint8))

    def _changed(self, grey: np.ndarray, time_s: float) -> np.ndarray:
        while len(self._recent) > 1 and self._recent[1][0] <= time_s - self.settings.change_s:
            self._recent.popleft()
        before = self._recent[0][1]
        shift = float(np.median(grey[::4, ::4] - before[::4, ::4]))
        least = np.maximum(self.settings.grey_levels / 2, 2.0 * np.sqrt(self._variance))
        changed: np.ndarray = (np.abs(grey - before - shift) > least).astype(np.uint8)
        return changed

    def _is_relit(self, grey: np.ndarray, expected: np.ndarray, foreground: np.ndarray) -> bool:
        """Most of the picture differs, yet shows the same structure: only the light changed."""
        if np.count_nonzero(foreground) < self.settings.relit_area * grey.size:
            return False
        similarity, textured = structure_similarity(grey, expected)
        judged = textured & (foreground > 0)
        if np.count_nonzero(judged) < 0.02 * grey.size:
            # A plain scene has no structure to compare: a jump of nearly all of it is light.
            return bool(np.count_nonzero(foreground) > 0.9 * grey.size)
        return float(np.mean(similarity[judged] > _SAME_STRUCTURE)) > 0.6

    def _relearn(self, grey: np.ndarray, gain: float, offset: float) -> None:
        assert self._mean is not None
        # Under what was in front before, the background is not to be seen: only estimate it.
        hidden = self._foreground > 0
        self._mean = np.where(hidden, gain * self._mean + offset, grey).astype(np.float32)
        self._recent.clear()

    def _adapt(
        self, grey: np.ndarray, gain: float, offset: float, kept: np.ndarray, time_s: float
    ) -> None:
        assert self._mean is not None
        step = min(1.0, max(0.0, time_s - self._time_s))
        rate = float(1.0 - np.exp(-step / self.settings.adapt_s))
        seen = kept == 0
        expected = gain * self._mean + offset
        deviation = (grey - expected) ** 2
        # Frequent small flicker raises its own threshold; a passing event must not.
        calm = np.minimum(deviation, 25.0 * np.maximum(self._variance, 1.0))
        self._variance = np.where(
            seen, self._variance + rate * (calm - self._variance), self._variance
        )
        followed = self._mean + rate * (expected - self._mean)
        mean = np.where(seen, self._mean + rate * (grey - self._mean), followed)
        self._mean = mean.astype(np.float32)

    def _sort_blobs(
        self, foreground: np.ndarray, grey: np.ndarray, expected: np.ndarray, time_s: float
    ) -> _Blobs:
        import cv2

        blobs = _Blobs(np.zeros_like(foreground))
        least = max(_LEAST_PIXELS, self.settings.enter / 2 * self._watched(grey))
        if np.count_nonzero(foreground) < least:
            return blobs
        count, labels, stats, _ = cv2.connectedComponentsWithStats(foreground, connectivity=8)
        for number in range(1, count):
            x, y, width, height, area = (int(value) for value in stats[number])
            if area < least:
                continue
            part = slice(y, y + height), slice(x, x + width)
            inside = labels[part] == number
            moved_s = float(self._moved_s[part][inside].max())
            if self._has_settled(time_s - moved_s, grey[part], expected[part], inside):
                blobs.settle(part, inside, area, moved_s)
            else:
                blobs.keep(part, inside, area, self._to_source(x, y, x + width, y + height))
        return blobs

    def _has_settled(
        self, rest_s: float, grey: np.ndarray, expected: np.ndarray, inside: np.ndarray
    ) -> bool:
        if rest_s >= self.settings.settle_s:
            return True
        return rest_s >= self.settings.ghost_s and is_ghost(grey, expected, inside)

    def _to_source(self, x1: float, y1: float, x2: float, y2: float) -> Rectangle:
        across, down = self._scale
        return x1 * across, y1 * down, x2 * across, y2 * down


class _Blobs:
    """The connected regions of one frame, sorted into those in motion and those at rest."""

    def __init__(self, kept: np.ndarray) -> None:
        self.kept = kept
        self.area = 0
        self.box: Rectangle | None = None
        self._largest = 0
        self.settled: int | None = None
        self.settled_mask: np.ndarray | None = None
        self.since_s = 0.0

    def keep(
        self, part: tuple[slice, slice], inside: np.ndarray, area: int, box: Rectangle
    ) -> None:
        self.kept[part][inside] = 1
        self.area += area
        if area > self._largest:
            self._largest, self.box = area, box

    def settle(
        self, part: tuple[slice, slice], inside: np.ndarray, area: int, moved_s: float
    ) -> None:
        if self.settled_mask is None:
            self.settled_mask = np.zeros(self.kept.shape, bool)
        self.settled_mask[part] |= inside
        self.settled = (self.settled or 0) + area
        self.since_s = max(self.since_s, moved_s)


def fit_exposure(
    background: np.ndarray, grey: np.ndarray, usable: np.ndarray
) -> tuple[float, float]:
    """(gain, offset) with which `background` best explains `grey`, both float32 (h, w).

    Least squares over a fifth of the rows and columns, three rounds without the worst pixels;
    a background without contrast gives gain 1.
    """
    x, y = background[::5, ::5].ravel(), grey[::5, ::5].ravel()
    # Black and burnt-out pixels do not follow the exposure.
    good = usable[::5, ::5].ravel() & (y > 3) & (y < 250)
    if np.count_nonzero(good) < 50:
        good = np.ones_like(good)
    gain, offset = 1.0, float(np.median(y[good] - x[good]))
    for _ in range(3):
        rest = y - (gain * x + offset)
        middle = float(np.median(rest[good]))
        spread = 1.5 * float(np.median(np.abs(rest[good] - middle))) + 1.0
        chosen = good & (np.abs(rest - middle) < 2.5 * spread)
        if np.count_nonzero(chosen) < 50:
            break
        xs, ys = x[chosen], y[chosen]
        contrast = float(xs.var())
        gain = 1.0
        if contrast >= 20.0:
            slope = float(((xs - xs.mean()) * (ys - ys.mean())).mean()) / contrast
            gain = float(np.clip(slope, 0.4, 2.5))
        offset = float(ys.mean()) - gain * float(xs.mean())
    return gain, offset


def structure_similarity(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Local correlation (9x9) of two float32 pictures, and where both have structure to compare."""
    import cv2

    size = (9, 9)
    mean1, mean2 = cv2.blur(first, size), cv2.blur(second, size)
    variance1 = np.maximum(cv2.blur(first * first, size) - mean1 * mean1, 0.0)
    variance2 = np.maximum(cv2.blur(second * second, size) - mean2 * mean2, 0.0)
    covariance = cv2.blur(first * second, size) - mean1 * mean2
    similarity = covariance / np.sqrt(np.maximum(variance1 * variance2, 1e-3))
    return similarity, variance2 > 16.0


def is_ghost(grey: np.ndarray, background: np.ndarray, inside: np.ndarray) -> bool:
    """Whether a resting region is the hole of something gone: its outline is in the background
    picture, not in the frame."""
    import cv2

    kernel = np.ones((5, 5), np.uint8)
    rim = cv2.morphologyEx(np.pad(inside.astype(np.uint8), 2), cv2.MORPH_GRADIENT, kernel)
    ring = rim[2:-2, 2:-2] > 0

    def edges(picture: np.ndarray) -> float:
        dx = cv2.Sobel(picture, cv2.CV_32F, 1, 0)
        dy = cv2.Sobel(picture, cv2.CV_32F, 0, 1)
        return float(np.mean(np.hypot(dx, dy)[ring])) if ring.any() else 0.0

    return edges(background) > 1.5 * edges(grey) + 4.0


def watch_mask(
    regions: Sequence[Region], size: tuple[int, int], source_size: tuple[int, int]
) -> np.ndarray | None:
    """uint8 (h, w), 1 where to look; None when no region is drawn.

    size : (width, height) of the grey picture; source_size : of the source, as the regions are
    """
    import cv2

    if not regions:
        return None
    width, height = size
    factor = np.array([width / source_size[0], height / source_size[1]])
    watched = [r for r in regions if r.role == "watch-area"]
    mask = np.zeros((height, width), np.uint8) if watched else np.ones((height, width), np.uint8)
    for region in [*watched, *(r for r in regions if r.role == "ignore-area")]:
        corners = np.rint(np.asarray(region.points, float) * factor).astype(np.int32)
        cv2.fillPoly(mask, [corners], int(region.role == "watch-area"))
    return mask
