"""Draws answer sheets, fills them in by a known key, and photographs them: for demo and tests."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from vlmtool_core.api import write_atomically
from vlmtool_education.template import Template, read_template

Picture = NDArray[np.uint8]

MARKER_NAME = "corner-marker.png"
MARKER_SIDE = 64  # px on the drawn sheet
PAPER, INK = 250, 40


@dataclass(frozen=True)
class DemoSheets:
    """truth : file name to the right reading of each column of the template ("" is blank)."""

    template_path: Path
    key_path: Path
    sheet_paths: tuple[Path, ...]
    truth: Mapping[str, Mapping[str, str]]


@dataclass(frozen=True)
class Camera:
    """How a photograph differs from the sheet.

    perspective : how far a corner moves, as a share of the sheet; turn_deg : rotation
    blur : sigma in px; noise : sigma in grey levels; shadow : share of light lost at one side
    size : (width, height) of the photograph; table : brightness around the sheet
    """

    perspective: float = 0.03
    turn_deg: float = 3.0
    blur: float = 0.8
    noise: float = 4.0
    shadow: float = 0.3
    size: tuple[int, int] = (1300, 1700)
    table: int = 45


def demo_template(questions: int = 20, digits: int = 4, *, markers: bool = True) -> dict[str, Any]:
    """A template as JSON: a roll number of `digits` and `questions` with four choices each.

    markers : with corner markers, else the corners of the paper are the page
    """
    width, height = 1000, 1400
    rows = (questions + 1) // 2
    blocks: dict[str, Any] = {
        "Roll": {
            "fieldType": "QTYPE_INT",
            "fieldLabels": [f"roll1..{digits}"],
            "bubblesGap": 42,
            "labelsGap": 56,
            "origin": [110, 120],
        }
    }
    gap = min(56, 680 // max(1, rows))
    for index, first in enumerate((1, rows + 1)):
        last = rows if index == 0 else questions
        if first <= last:
            blocks[f"Questions{index + 1}"] = {
                "fieldType": "QTYPE_MCQ4",
                "fieldLabels": [f"q{first}..{last}" if first < last else f"q{first}"],
                "bubblesGap": 62,
                "labelsGap": gap,
                "origin": [150 + 430 * index, 620],
            }
    step: dict[str, Any] = {"name": "CropPage", "options": {}}
    steps = [step]
    if markers:
        ratio = (width + 3 * MARKER_SIDE) / MARKER_SIDE
        options = {"relativePath": MARKER_NAME, "sheetToMarkerWidthRatio": round(ratio, 3)}
        steps.append({"name": "CropOnMarkers", "options": options})
    return {
        "pageDimensions": [width, height],
        "bubbleDimensions": [30, 30],
        "customLabels": {"Roll": [f"roll1..{digits}"]},
        "fieldBlocks": blocks,
        "preProcessors": steps,
    }


def write_template(folder: Path, template: Mapping[str, Any]) -> Path:
    """Write `template.json`, and beside it the marker that it may name."""
    folder.mkdir(parents=True, exist_ok=True)
    ok, data = cv2.imencode(".png", draw_marker(2 * MARKER_SIDE))
    if not ok:
        raise ValueError("the marker cannot be coded")
    write_atomically(folder / MARKER_NAME, data.tobytes())
    path = folder / "template.json"
    write_atomically(path, json.dumps(template, indent=2).encode())
    return path


def draw_marker(side: int) -> Picture:
    """A disc in a ring in a square: uint8 (side, side)."""
    marker = np.full((side, side), PAPER, np.uint8)
    middle = (side - 1) / 2
    y, x = np.mgrid[0:side, 0:side]
    distance = np.hypot(x - middle, y - middle) / (side / 2)
    marker[(distance < 0.32) | ((distance > 0.55) & (distance < 0.85))] = 20
    border = max(1, side // 16)
    marker[:border] = marker[-border:] = marker[:, :border] = marker[:, -border:] = 20
    return marker


def margin_of(template: Template) -> int:
    """Paper around the template's page, in px: room for markers, none without them."""
    return round(1.5 * MARKER_SIDE) if template.marker else 0


def draw_blank(template: Template) -> Picture:
    """The printed sheet, uint8 (h, w), one px per template pixel."""
    margin = margin_of(template)
    width, height = (round(side) + 2 * margin for side in template.size)
    sheet = np.full((height, width), PAPER, np.uint8)
    _text(sheet, "Answer sheet", (margin + 100, margin + 80), 1.4)
    for field in template.fields:
        first = field.centres[0]
        place = (margin + first[0], margin + first[1])
        across = len(field.centres) < 2 or field.centres[1][0] != first[0]
        offset = (-75.0, 8.0) if across else (-12.0, -24.0)
        name = field.name if across else field.name[-1]
        _text(sheet, name, (place[0] + offset[0], place[1] + offset[1]), 0.6)
        for value, (x, y) in zip(field.values, field.centres, strict=True):
            axes = (round(field.bubble_size[0] / 2 * 16), round(field.bubble_size[1] / 2 * 16))
            centre = (round((margin + x - 0.5) * 16), round((margin + y - 0.5) * 16))
            cv2.ellipse(sheet, centre, axes, 0, 0, 360, INK, 2, cv2.LINE_AA, 4)
            _text(sheet, value, (margin + x - 6, margin + y + 6), 0.5, 110)
    if template.marker:
        marker, half = draw_marker(MARKER_SIDE), MARKER_SIDE // 2
        for x in (margin, width - margin):
            for y in (margin, height - margin):
                sheet[y - half : y + half, x - half : x + half] = marker
    return sheet


def fill_in(
    sheet: Picture,
    template: Template,
    marks: Mapping[str, str],
    rng: np.random.Generator,
    *,
    ink: float = 0.75,
    coverage: float = 1.0,
) -> Picture:
    """A copy with the bubbles of `marks` (field to values) filled in by hand.

    ink : how dark the pen is, 0 to 1; coverage : how much of a bubble's width is filled
    """
    filled = sheet.copy()
    margin = margin_of(template)
    for field in template.fields:
        for value, (x, y) in zip(field.values, field.centres, strict=True):
            if value in marks.get(field.name, ""):
                centre = np.array([x, y]) + margin + rng.normal(0, 1.2, 2)
                _scribble(filled, centre, min(field.bubble_size) * coverage, ink, rng)
    return filled


def photograph(sheet: Picture, camera: Camera, rng: np.random.Generator) -> Picture:
    """The sheet on a dark table, uint8 (h, w, 3) RGB."""
    height, width = sheet.shape
    columns, rows = camera.size
    scale = 0.8 * min(columns / width, rows / height)
    corners = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * (width, height) * scale / 2
    angle = np.deg2rad(rng.uniform(-camera.turn_deg, camera.turn_deg))
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    reach = camera.perspective * scale * min(width, height)
    target = corners @ turn + rng.uniform(-reach, reach, (4, 2)) + (columns / 2, rows / 2)
    source = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    matrix = cv2.getPerspectiveTransform(source, target.astype(np.float32))
    # Drawn larger and averaged, as the pixels of a sensor do.
    double = np.diag([2.0, 2.0, 1.0]) @ matrix
    photo = cv2.warpPerspective(
        sheet, double, (2 * columns, 2 * rows), borderValue=(camera.table,) * 3
    )
    small = cv2.resize(photo, (columns, rows), interpolation=cv2.INTER_AREA)
    light = np.asarray(small, np.float32)
    direction = rng.uniform(0, 2 * np.pi)
    y, x = np.mgrid[0:rows, 0:columns].astype(np.float32)
    ramp = np.cos(direction) * (x / columns - 0.5) + np.sin(direction) * (y / rows - 0.5) + 0.5
    light = light * (1 - camera.shadow * np.clip(ramp, 0, 1))
    if camera.blur > 0:
        light = np.asarray(cv2.GaussianBlur(light, (0, 0), camera.blur), np.float32)
    noisy = light + rng.normal(0, camera.noise, light.shape)
    grey = np.clip(noisy, 0, 255).astype(np.uint8)
    return np.ascontiguousarray(np.repeat(grey[:, :, None], 3, axis=2))


def random_marks(
    template: Template, rng: np.random.Generator, *, blank: float = 0.05, double: float = 0.05
) -> dict[str, str]:
    """Marks for every field: one value each, with shares of blank and double ones in questions."""
    joined = {part for _, parts in template.outputs if len(parts) > 1 for part in parts}
    marks = {}
    for field in template.fields:
        chance = 1.0 if field.name in joined else rng.random()
        count = 0 if chance < blank else 2 if chance < blank + double else 1
        chosen = rng.choice(len(field.values), count, replace=False)
        marks[field.name] = "".join(field.values[i] for i in sorted(chosen))
    return marks


def readings(template: Template, marks: Mapping[str, str]) -> dict[str, str]:
    """The right reading of each column for the marks of each field."""
    return {name: "".join(marks[part] for part in parts) for name, parts in template.outputs}


def draw_demo_sheets(folder: Path, *, students: int = 4, seed: int = 0) -> DemoSheets:
    """Write a template with its marker, a key and one photographed sheet per student.

    The last student leaves a question blank, marks two choices in another and writes faintly in
    a third, so that there is something to review.
    """
    rng = np.random.default_rng(seed)
    template_path = write_template(folder, demo_template())
    template = read_template(template_path)
    questions = [field.name for field in template.fields if field.name.startswith("q")]
    key = {name: "ABCD"[rng.integers(4)] for name in questions}
    key_path = folder / "key.csv"
    lines = ["question,answer,points", *(f"{name},{answer},1" for name, answer in key.items())]
    write_atomically(key_path, ("\n".join(lines) + "\n").encode())
    blank = draw_blank(template)
    truth: dict[str, dict[str, str]] = {}
    paths = []
    for student in range(students):
        marks = random_marks(template, rng, blank=0, double=0)
        marks |= {name: answer for name, answer in key.items() if rng.random() < 0.7}
        faint: dict[str, str] = {}
        if student == students - 1:
            marks |= {"q3": "", "q8": "BC"}
            faint = {"q12": marks.pop("q12")}
        sheet = fill_in(blank, template, marks, rng, ink=float(rng.uniform(0.6, 0.85)))
        sheet = fill_in(sheet, template, faint, rng, ink=0.3, coverage=0.8)
        photo = photograph(sheet, Camera(), rng)
        path = folder / "sheets" / f"student-{student + 1}.jpg"
        write_picture(path, photo)
        paths.append(path)
        truth[path.name] = readings(template, marks | faint)
    return DemoSheets(template_path, key_path, tuple(paths), truth)


def write_picture(path: Path, picture: Picture) -> None:
    """Write uint8 (h, w, 3) RGB as a JPEG or, by the ending, a PNG."""
    quality = [] if path.suffix == ".png" else [cv2.IMWRITE_JPEG_QUALITY, 90]
    ok, data = cv2.imencode(path.suffix, picture[:, :, ::-1], quality)
    if not ok:
        raise ValueError(f"{path.name} cannot be coded")
    write_atomically(path, data.tobytes())


def _text(sheet: Picture, text: str, at: tuple[float, float], size: float, grey: int = INK) -> None:
    place = (round(at[0]), round(at[1]))
    cv2.putText(sheet, text, place, cv2.FONT_HERSHEY_SIMPLEX, size, grey, 1, cv2.LINE_AA)


def _scribble(
    sheet: Picture,
    centre: NDArray[np.float64],
    side: float,
    ink: float,
    rng: np.random.Generator,
) -> None:
    """Hatch a disc with a pen, so that edges are ragged and little paper shows through."""
    mask = np.zeros_like(sheet)
    radius = side / 2 * 0.85
    thickness = max(2, round(side / 7))
    for offset in np.arange(-radius, radius, max(1.0, thickness * 0.7)):
        half = np.sqrt(max(0.0, radius**2 - offset**2)) + rng.normal(0, side / 20)
        start = centre + np.array([-half, offset + rng.normal(0, side / 30)])
        end = centre + np.array([half, offset + rng.normal(0, side / 30)])
        first, second = np.round(start).astype(int), np.round(end).astype(int)
        cv2.line(mask, first.tolist(), second.tolist(), 255, thickness, cv2.LINE_AA)
    darker = sheet * (1 - ink * mask.astype(np.float32) / 255)
    np.copyto(sheet, darker.astype(np.uint8))
