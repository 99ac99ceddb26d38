"""COCO detection JSON. What COCO has no place for is kept under the key `vlmtool`.

`images` has one entry for each frame, `file_name` is the item's name. `bbox` is
[x, y, width, height]; since x + width is not exact in floating point, the corners are kept
beside it and used again as long as they agree with `bbox`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from vlmtool_core.errors import FormatError
from vlmtool_core.formats.fields import (
    annotation_from_json,
    annotation_to_json,
    check_annotation,
    located,
    read_text,
)
from vlmtool_core.formats.records import AnnotationRow
from vlmtool_core.formats.results import result_from_json, result_to_json
from vlmtool_core.json_codec import integer, mapping, number, required, sequence, text
from vlmtool_core.records import Box, Json, ResultRow

OWN = "vlmtool"
UNLABELLED = "unlabelled"
_TOLERANCE = 1e-6


@dataclass
class _Document:
    """A COCO document while it is built."""

    categories: dict[str, int] = field(default_factory=dict)
    images: dict[tuple[str, int], dict[str, Json]] = field(default_factory=dict)
    annotations: list[dict[str, Json]] = field(default_factory=list)

    def image(self, item: str, frame: int, size: tuple[int, int] | None) -> dict[str, Json]:
        key = (item, frame)
        if key not in self.images:
            width, height = size or (0, 0)
            self.images[key] = {
                "id": len(self.images) + 1,
                "file_name": item,
                "width": width,
                "height": height,
                OWN: {"frame": frame},
            }
        return self.images[key]

    def category(self, name: str) -> int:
        return self.categories.setdefault(name or UNLABELLED, len(self.categories) + 1)

    def add_box(self, image: Mapping[str, Json], box: Box, own: dict[str, Json]) -> None:
        x1, y1, x2, y2 = box.xyxy
        width, height = x2 - x1, y2 - y1
        entry: dict[str, Json] = {
            "id": len(self.annotations) + 1,
            "image_id": image["id"],
            "category_id": self.category(box.label),
            "bbox": [x1, y1, width, height],
            "area": width * height,
            "iscrowd": 0,
        }
        if box.score is not None:
            entry["score"] = box.score
        if not box.label:
            own = {**own, "unlabelled": True}
        entry[OWN] = {**own, "xyxy": [x1, y1, x2, y2]}
        self.annotations.append(entry)

    def text(self) -> str:
        categories = [
            {"id": number, "name": name, "supercategory": ""}
            for name, number in self.categories.items()
        ]
        document = {
            "info": {"description": "vlmtool", "version": "1"},
            "licenses": [],
            "images": list(self.images.values()),
            "categories": categories,
            "annotations": self.annotations,
        }
        return json.dumps(document, ensure_ascii=False, allow_nan=False, indent=1) + "\n"


def write_annotations(rows: Iterable[AnnotationRow], labels: Sequence[str] = ()) -> Iterator[str]:
    """The document; `labels` fixes the order of the categories, unused ones included."""
    document = _Document()
    for name in labels:
        document.category(name)
    for row in rows:
        image = document.image(row.item, row.frame, row.size)
        own = annotation_to_json(row)
        shared = {key: own.pop(key) for key in ("sha256", "group", "size") if key in own}
        image[OWN].update(shared)
        for key in ("item", "frame"):
            own.pop(key)
        if row.box is not None:
            for key in ("kind", "label", "bbox"):
                own.pop(key)
            document.add_box(image, replace(row.box, label=row.label), own)
        else:
            image[OWN].setdefault("annotations", []).append(own)
    yield document.text()


def read_annotations(path: Path) -> Iterator[AnnotationRow]:
    """The annotations in a document, those of other programs included.

    Raises
    ------
    FormatError : naming the entry and the field
    """
    with located(path):
        document = _load(path)
        categories = _categories(document)
        images = _images(document)
        rows = [row for image in images.values() for row in _of_image(image)]
        entries = required(document, "annotations")
        rows += sequence(
            entries, "annotations", lambda value, at: _box_row(value, at, images, categories)
        )
    yield from rows


def _load(path: Path) -> Mapping[str, Json]:
    try:
        return mapping(json.loads(read_text(path)), "")
    except ValueError as error:
        raise FormatError(f"not valid JSON: {error}") from error


def _categories(document: Mapping[str, Json]) -> dict[int, str]:
    found: dict[int, str] = {}

    def read(value: Json, at: str) -> None:
        entry = mapping(value, at)
        number_ = integer(required(entry, "id", at), f"{at}.id")
        if number_ in found:
            raise FormatError(f"the category {number_} is there twice", field=f"{at}.id")
        found[number_] = text(required(entry, "name", at), f"{at}.name").strip()

    sequence(document.get("categories", []), "categories", read)
    return found


@dataclass(frozen=True)
class _Image:
    row: dict[str, Json]
    own: Mapping[str, Json]
    at: str


def _images(document: Mapping[str, Json]) -> dict[int, _Image]:
    found: dict[int, _Image] = {}

    def read(value: Json, at: str) -> None:
        entry = mapping(value, at)
        number_ = integer(required(entry, "id", at), f"{at}.id")
        if number_ in found:
            raise FormatError(f"the image {number_} is there twice", field=f"{at}.id")
        own = mapping(entry.get(OWN, {}), f"{at}.{OWN}")
        row: dict[str, Json] = {
            "item": text(required(entry, "file_name", at), f"{at}.file_name"),
            "frame": integer(own.get("frame", 0), f"{at}.{OWN}.frame"),
        }
        row |= {key: own[key] for key in ("sha256", "group", "size") if key in own}
        found[number_] = _Image(row, own, at)

    sequence(required(document, "images"), "images", read)
    return found


def _of_image(image: _Image) -> tuple[AnnotationRow, ...]:
    field_ = f"{image.at}.{OWN}.annotations"

    def read(value: Json, at: str) -> AnnotationRow:
        return _row({**image.row, **mapping(value, at)}, at)

    return sequence(image.own.get("annotations", []), field_, read)


def _row(entry: Mapping[str, Json], at: str) -> AnnotationRow:
    try:
        return annotation_from_json(entry, at)
    except FormatError as error:
        raise FormatError(
            error.message, remedy=error.remedy, field=f"{at}.{error.field}"
        ) from error


def _box_row(
    value: Json, at: str, images: Mapping[int, _Image], categories: Mapping[int, str]
) -> AnnotationRow:
    entry = mapping(value, at)
    image_id = integer(required(entry, "image_id", at), f"{at}.image_id")
    if image_id not in images:
        raise FormatError(f"there is no image {image_id}", field=f"{at}.image_id")
    category = integer(required(entry, "category_id", at), f"{at}.category_id")
    if category not in categories:
        raise FormatError(f"there is no category {category}", field=f"{at}.category_id")
    own = dict(mapping(entry.get(OWN, {}), f"{at}.{OWN}"))
    label = "" if own.pop("unlabelled", False) else categories[category]
    box = _box(entry, own.pop("xyxy", None), at, label)
    known: dict[str, Json] = {"kind": "box", "label": label, "bbox": list(box.xyxy)}
    row = _row({**images[image_id].row, **own, **known}, at)
    check_annotation(row)
    return row


def _box(entry: Mapping[str, Json], exact: Json, at: str, label: str) -> Box:
    place = f"{at}.bbox"
    bbox = sequence(required(entry, "bbox", at), place, number)
    if len(bbox) != 4 or bbox[2] < 0 or bbox[3] < 0:
        raise FormatError(f"expected [x, y, width, height], got {list(bbox)}", field=place)
    x, y, width, height = bbox
    found = (x, y, x + width, y + height)
    if exact is not None:
        corners = sequence(exact, f"{at}.{OWN}.xyxy", number)
        scale = max(1.0, *(abs(value) for value in found))
        if len(corners) == 4 and all(
            abs(a - b) <= _TOLERANCE * scale for a, b in zip(corners, found, strict=True)
        ):
            found = (corners[0], corners[1], corners[2], corners[3])
    return Box(*found, label)


def write_results(rows: Iterable[ResultRow], labels: Sequence[str] = ()) -> Iterator[str]:
    """The document: boxes as COCO annotations with scores, the whole results beside the images."""
    document = _Document()
    for name in labels:
        document.category(name)
    for row in rows:
        image = document.image(row.item, row.frame, row.size)
        image[OWN].setdefault("results", []).append(result_to_json(row))
        for box in row.outcome.boxes:
            document.add_box(image, box, {"model": str(row.model), "task": row.task.value})
    yield document.text()


def read_results(path: Path) -> Iterator[ResultRow]:
    """The results in a document that this program wrote.

    Raises
    ------
    FormatError : naming the entry and the field, also when there are no results in it
    """
    with located(path):
        found: list[ResultRow] = []
        for image in _images(_load(path)).values():
            field_ = f"{image.at}.{OWN}.results"
            found += sequence(image.own.get("results", []), field_, _result)
        if not found:
            raise FormatError("holds no results", field="images")
    yield from found


def _result(value: Json, at: str) -> ResultRow:
    try:
        return result_from_json(mapping(value, at))
    except FormatError as error:
        raise FormatError(
            error.message, remedy=error.remedy, field=f"{at}.{error.field}"
        ) from error
