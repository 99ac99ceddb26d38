"""Reads one picture of an answer sheet: finds the page, checks the fit, reads the bubbles."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from vlmtool_core.api import VlmtoolError
from vlmtool_education import geometry, pages
from vlmtool_education.fit import SheetFit, sheet_fit
from vlmtool_education.markers import MarkerMatch, find_markers, load_marker, without
from vlmtool_education.pages import Grey, Quad
from vlmtool_education.reading import FieldReading, PageReading, Thresholds, read_page
from vlmtool_education.template import PixelFilter, Template

CORNER_NAMES = ("top left", "top right", "bottom right", "bottom left")
MINIMUM_FIT = 0.3
SURE_FIT = 0.4  # from here on no other placement is tried, and nobody is asked to check it
WEAKEST_SHARE = 0.4  # of the fit asked for, that the worst block must still reach
FARTHEST = 0.6  # of a bubble: residual from which the template is not believed
SLANT = 1.5  # factor by which perspective may change a page's width against its height
MARKER_PAGE_WIDTH = 900  # px of the straightened page that markers are looked for in


class SheetError(VlmtoolError):
    """A sheet cannot be read with this template; nothing of it is marked."""

    code = "sheet"
    default_remedy = "Check that the template belongs to this sheet, or photograph it again."


@dataclass(frozen=True)
class Placement:
    """A way to lay the template on a photograph.

    quad : corners of the template's page in pixels of the photograph, as the sheet is read
    method : "markers", "page outline" or "whole picture"
    marker_lost : name of the corner that was completed from the other three, else ""
    turned : degrees, clockwise, by which the corners were turned
    """

    quad: Quad
    method: str
    marker_lost: str = ""
    turned: int = 0


@dataclass(frozen=True)
class SheetReading:
    """size : (width, height) of the photograph in pixels; scale : straightened pixels per template
    pixel; to_photo : straightened pixels to pixels of the photograph."""

    fields: dict[str, FieldReading]
    placement: Placement
    fit: SheetFit
    scale: float
    to_photo: geometry.Matrix
    mark_level: float
    size: tuple[int, int]

    @property
    def doubts(self) -> tuple[str, ...]:
        """What makes the whole sheet worth a look, besides its answers."""
        doubts = []
        if self.placement.marker_lost:
            doubts.append(f"the {self.placement.marker_lost} marker was not found")
        if self.fit.score < SURE_FIT:
            doubts.append(f"the template fits loosely ({self.fit.score:.2f}): check every answer")
        return tuple(doubts)

    def outlines(self, name: str) -> NDArray[np.float64]:
        """Corners (n, 4, 2) of a field's bubbles in pixels of the photograph."""
        field = self.fields[name].field
        block = self.fit.blocks[field.block]
        row = [f.field.name for f in self.fields.values() if f.field.block == field.block]
        half = np.array(field.bubble_size) * self.scale / 2
        signs = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]])
        corners = block.centres[row.index(name)][:, None, :] + signs[None] * half
        return geometry.apply(self.to_photo, corners.reshape(-1, 2)).reshape(-1, 4, 2)


class SheetReader:
    """Reads pictures of sheets of one template. Thread-safe: nothing changes after it is made.

    minimum_fit : fit (0 to 1) below which a sheet is refused

    Raises
    ------
    FormatError : the template's marker picture cannot be used.
    """

    def __init__(
        self, template: Template, thresholds: Thresholds, *, minimum_fit: float = MINIMUM_FIT
    ) -> None:
        self.template = template
        self.thresholds = thresholds
        self.minimum_fit = minimum_fit
        self._scale = geometry.working_scale(template)
        self._marker = load_marker(template.marker) if template.marker else None

    def read(self, pixels: NDArray[np.uint8]) -> SheetReading:
        """Read one oriented picture, uint8 (h, w, 3) RGB.

        Raises
        ------
        SheetError : no page, no markers, or bubbles that are not where the template has them.
        """
        photo = np.asarray(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), np.uint8)
        placement, page, fit, dark = self._place(photo)
        reading = self._read(dark, fit, page)
        if reading.missing:
            raise SheetError(
                f"no bubbles are printed where the template has {'; '.join(reading.missing[:3])}: "
                "the sheet is covered, cut off or of another layout"
            )
        size = (photo.shape[1], photo.shape[0])
        return SheetReading(
            reading.fields, placement, fit, page.scale, page.to_photo, reading.mark_level, size
        )

    def _read(self, dark: NDArray[np.float32], fit: SheetFit, page: geometry.Page) -> PageReading:
        return read_page(dark, self.template, fit, page.scale, self.thresholds)

    def _place(self, photo: Grey) -> tuple[Placement, geometry.Page, SheetFit, NDArray[np.float32]]:
        best: tuple[Placement, geometry.Page, SheetFit, NDArray[np.float32]] | None = None
        tried = 0
        for placement in self._placements(photo):
            tried += 1
            page, fit, dark = self._lay(photo, placement)
            if best is None or fit.score > best[2].score:
                best = (placement, page, fit, dark)
            if fit.score >= max(SURE_FIT, self.minimum_fit) and self._whole(fit):
                break
        if best is None:
            raise SheetError(
                f"fewer than three of the four markers {self.template.marker.path.name} were found"
                if self.template.marker
                else "no sheet of paper was found"
            )
        fit = best[2]
        if fit.score < self.minimum_fit or not self._whole(fit) or not self._near(fit):
            where = f", worst in block {fit.weakest_block} ({fit.weakest:.2f})"
            raise SheetError(
                f"the sheet does not fit the template: fit {fit.score:.2f} of at least "
                f"{self.minimum_fit:.2f} asked for{where}, residual {fit.residual:.1f} px "
                f"({best[0].method}, {tried} placements tried)"
            )
        return best

    def _whole(self, fit: SheetFit) -> bool:
        return fit.weakest >= WEAKEST_SHARE * self.minimum_fit

    def _near(self, fit: SheetFit) -> bool:
        side = min(min(field.bubble_size) for field in self.template.fields)
        return fit.residual <= FARTHEST * side

    def _lay(
        self, photo: Grey, placement: Placement
    ) -> tuple[geometry.Page, SheetFit, NDArray[np.float32]]:
        page = geometry.straighten(photo, placement.quad, self.template.size, self._scale)
        pixels = _filtered(page.pixels, self.template.filters)
        dark = geometry.darkness(pixels, geometry.BUBBLE_SIDE)
        return page, sheet_fit(dark, self.template, self._scale), dark

    def _placements(self, photo: Grey) -> Iterator[Placement]:
        """Every way to lay the template on the photograph, the likeliest first."""
        outlines = pages.page_quads(photo)
        whole = pages.whole_picture(photo)
        found: list[Placement] = []
        for page, method in [*((q, "page outline") for q in outlines), (whole, "whole picture")]:
            for placement in self._on_page(photo, page, method):
                found.append(placement)
                if self._has_shape(placement.quad):
                    yield placement
        for turn in (2, 1, 3):
            for placement in found[:4]:
                quad = np.roll(placement.quad, turn, axis=0)
                if not self._has_shape(quad):
                    continue
                yield Placement(quad, placement.method, placement.marker_lost, 90 * turn)

    def _has_shape(self, quad: Quad) -> bool:
        """Whether width and height could be the template's, seen at a slant."""
        sides = np.hypot(*(np.roll(quad, -1, axis=0) - quad).T)
        shape = (sides[0] + sides[2]) / max(1e-6, sides[1] + sides[3])
        width, height = self.template.size
        return bool(1 / SLANT <= shape * height / width <= SLANT)

    def _on_page(self, photo: Grey, quad: Quad, method: str) -> list[Placement]:
        marker = self.template.marker
        if marker is None or self._marker is None:
            return [Placement(quad, method)]
        sides = np.hypot(*(np.roll(quad, -1, axis=0) - quad).T)
        height = MARKER_PAGE_WIDTH * (sides[1] + sides[3]) / max(1.0, sides[0] + sides[2])
        page = geometry.straighten(photo, quad, (MARKER_PAGE_WIDTH, height), 1.0)
        match = find_markers(page.pixels, self._marker, marker)
        if match is None:
            return []
        matches = [match]
        if all(match.found):
            # A stain may look more like a marker than the marker itself: try without each one.
            order = np.argsort(match.scores)[:2]
            matches += [without(match, int(corner)) for corner in order]
        return [_from_markers(m, page) for m in matches]


def _from_markers(match: MarkerMatch, page: geometry.Page) -> Placement:
    lost = [n for n, seen in zip(CORNER_NAMES, match.found, strict=True) if not seen]
    quad = geometry.apply(page.to_photo, match.quad)
    return Placement(quad, "markers", lost[0] if lost else "")


def _filtered(pixels: Grey, filters: tuple[PixelFilter, ...]) -> Grey:
    for step in filters:
        first, second, third = step.values
        if step.name == "GaussianBlur":
            pixels = np.asarray(
                cv2.GaussianBlur(pixels, (int(first), int(second)), third), np.uint8
            )
        elif step.name == "MedianBlur":
            pixels = np.asarray(cv2.medianBlur(pixels, int(first)), np.uint8)
        else:
            levels = np.clip((np.arange(256) / 255 - first) / (second - first), 0, 1)
            table = np.round(255 * levels ** (1 / third)).astype(np.uint8)
            pixels = np.asarray(cv2.LUT(pixels, table), np.uint8)
    return pixels
