"""Finds the outline of a sheet of paper in a photograph, as corners clockwise from top left."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Quad = NDArray[np.float64]  # (4, 2): top left, top right, bottom right, bottom left
Grey = NDArray[np.uint8]  # (h, w)

SEARCH_SIDE = 900  # px: outlines are looked for in a picture of this longer side
MINIMUM_AREA = 0.06  # of the picture
MINIMUM_FILL = 0.88  # of the quadrilateral that the outline must fill


def page_quads(grey: Grey, *, limit: int = 3) -> list[Quad]:
    """The likeliest outlines of a bright sheet, largest first; empty when there is none.

    grey : uint8 (h, w). The quads are in its pixels.
    """
    scale = min(1.0, SEARCH_SIDE / max(grey.shape))
    small = cv2.resize(grey, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    small = cv2.GaussianBlur(small, (5, 5), 0)
    found: list[Quad] = []
    for mask in _masks(np.asarray(small, np.uint8)):
        for quad in _quads_of(mask):
            full = (quad + 0.5) / scale - 0.5
            if all(np.abs(full - other).max() > 0.006 * max(grey.shape) for other in found):
                found.append(full)
    found.sort(key=lambda quad: -float(cv2.contourArea(quad.astype(np.float32))))
    return found[:limit]


def whole_picture(grey: Grey) -> Quad:
    """The frame of the picture itself: what a flatbed scan of a sheet is."""
    height, width = grey.shape
    return np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float64) - 0.5


def _masks(small: Grey) -> Iterator[Grey]:
    otsu, _ = cv2.threshold(small, 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (9, 9))
    for level in (otsu, 0.75 * otsu, otsu + 0.35 * (255 - otsu)):
        mask = ((small > level) * np.uint8(255)).astype(np.uint8)
        yield np.asarray(cv2.morphologyEx(mask, cv2.MORPH_OPEN, kernel), np.uint8)
    edges = cv2.dilate(cv2.Canny(small, 40, 120), np.ones((3, 3), np.uint8))
    yield np.asarray(edges, np.uint8)


def _quads_of(mask: Grey) -> Iterator[Quad]:
    contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    smallest = MINIMUM_AREA * mask.size
    for contour in sorted(contours, key=cv2.contourArea, reverse=True)[:4]:
        hull = cv2.convexHull(contour)
        area = cv2.contourArea(hull)
        if area < smallest:
            return
        corners = _four_corners(hull)
        if corners is None:
            continue
        quad = _straightened(clockwise(corners), contour.reshape(-1, 2))
        if area > MINIMUM_FILL * cv2.contourArea(quad.astype(np.float32)) and _is_convex(quad):
            yield quad


def _four_corners(hull: Any) -> Quad | None:
    length = cv2.arcLength(hull, True)
    for tolerance in (0.01, 0.02, 0.03, 0.045, 0.06):
        polygon = cv2.approxPolyDP(hull, tolerance * length, True)
        if len(polygon) == 4:
            return np.asarray(polygon, np.float64).reshape(4, 2)
        if len(polygon) < 4:
            return None
    return None


def clockwise(corners: Quad) -> Quad:
    """Order four corners clockwise on screen, from the one nearest to the top left."""
    centre = corners.mean(axis=0)
    angles = np.arctan2(corners[:, 1] - centre[1], corners[:, 0] - centre[0])
    ordered = corners[np.argsort(angles)]
    return np.asarray(np.roll(ordered, -int(np.argmin(ordered.sum(axis=1))), axis=0), np.float64)


def _straightened(quad: Quad, outline: NDArray[Any]) -> Quad:
    """Move the corners to where straight lines along the four edges meet."""
    points = outline.astype(np.float64)
    lines = []
    for index in range(4):
        start, end = quad[index], quad[(index + 1) % 4]
        along = end - start
        length = float(np.hypot(*along)) or 1.0
        unit = along / length
        relative = points - start
        position, distance = relative @ unit, relative @ np.array([-unit[1], unit[0]])
        near = (np.abs(distance) < 0.02 * length + 2) & (position > 0.05 * length)
        near &= position < 0.95 * length
        if near.sum() < 8:
            return quad
        vx, vy, x, y = cv2.fitLine(
            points[near].astype(np.float32), cv2.DIST_HUBER, 0, 0.01, 0.01
        ).ravel()
        lines.append(np.cross([x, y, 1.0], [x + vx, y + vy, 1.0]))
    corners = []
    for index in range(4):
        x, y, w = np.cross(lines[index - 1], lines[index])
        if abs(w) < 1e-9:
            return quad
        corners.append((x / w, y / w))
    moved = np.array(corners)
    return moved if np.abs(moved - quad).max() < 0.05 * np.ptp(quad, axis=0).max() else quad


def _is_convex(quad: Quad) -> bool:
    edges = np.roll(quad, -1, axis=0) - quad
    following = np.roll(edges, -1, axis=0)
    turns = edges[:, 0] * following[:, 1] - edges[:, 1] * following[:, 0]
    sine = turns / (np.hypot(*edges.T) * np.hypot(*following.T) + 1e-9)
    return bool((sine > 0.5).all())
