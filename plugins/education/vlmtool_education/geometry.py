"""Perspective between the template, the straightened page and the photograph."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from vlmtool_education.pages import Grey, Quad
from vlmtool_education.template import Template

Matrix = NDArray[np.float64]  # (3, 3)

BUBBLE_SIDE = 30.0  # px that the smaller side of a bubble gets in the straightened page
LONGEST_SIDE = 2600


@dataclass(frozen=True)
class Page:
    """A sheet straightened to the template's shape.

    pixels : uint8 (h, w); scale : straightened pixels per template pixel
    to_photo : straightened pixels to pixels of the photograph
    """

    pixels: Grey
    scale: float
    to_photo: Matrix


def working_scale(template: Template) -> float:
    side = min(min(field.bubble_size) for field in template.fields)
    return float(min(BUBBLE_SIDE / side, LONGEST_SIDE / max(template.size)))


def corners(template: Template) -> Quad:
    """The page's corners in template pixels, clockwise from the top left."""
    width, height = template.size
    return np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float64)


def straighten(photo: Grey, quad: Quad, size: tuple[float, float], scale: float) -> Page:
    """The area inside `quad` (clockwise, pixels of `photo`) as an upright page.

    size : (width, height) of the page in template pixels
    """
    width, height = max(8, round(size[0] * scale)), max(8, round(size[1] * scale))
    target = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float64) - 0.5
    to_photo = homography(target, quad)
    sides = np.hypot(*(np.roll(quad, -1, axis=0) - quad).T)
    shrink = min(width / sides[[0, 2]].mean(), height / sides[[1, 3]].mean())
    source, matrix = photo, to_photo
    if shrink < 0.7:
        # Averaging before the warp keeps thin outlines that plain sampling would lose.
        source = np.asarray(
            cv2.resize(photo, None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA), np.uint8
        )
        fx, fy = source.shape[1] / photo.shape[1], source.shape[0] / photo.shape[0]
        shift = np.array([[fx, 0, fx / 2 - 0.5], [0, fy, fy / 2 - 0.5], [0, 0, 1.0]])
        matrix = shift @ to_photo
    pixels = cv2.warpPerspective(
        source,
        matrix,
        (width, height),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )
    return Page(np.asarray(pixels, np.uint8), scale, to_photo)


def homography(source: Quad, target: Quad) -> Matrix:
    """The perspective that takes four points to four points."""
    matrix = cv2.getPerspectiveTransform(source.astype(np.float32), target.astype(np.float32))
    return np.asarray(matrix, np.float64)


def apply(matrix: Matrix, points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Map points (n, 2)."""
    mapped = np.column_stack([points, np.ones(len(points))]) @ matrix.T
    return np.asarray(mapped[:, :2] / mapped[:, 2:], np.float64)


def darkness(page: Grey, bubble_side: float) -> NDArray[np.float32]:
    """How much darker than the paper around it each pixel is, 0 (paper) to 1 (no light).

    The paper's brightness is taken from a neighbourhood of several bubbles, so that shadows and
    uneven light cancel out.
    """
    reduce = max(1, round(bubble_side / 6))
    small = cv2.resize(page, None, fx=1 / reduce, fy=1 / reduce, interpolation=cv2.INTER_AREA)
    reach = 2 * round(1.8 * bubble_side / reduce) + 1
    paper = cv2.morphologyEx(
        cv2.medianBlur(small, 3),
        cv2.MORPH_CLOSE,
        cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach)),
    )
    paper = cv2.GaussianBlur(paper, (0, 0), bubble_side / reduce)
    paper = cv2.resize(paper, (page.shape[1], page.shape[0]), interpolation=cv2.INTER_LINEAR)
    ratio = page.astype(np.float32) / np.maximum(paper.astype(np.float32), 1.0)
    return np.clip(1.0 - ratio, 0.0, 1.0)
