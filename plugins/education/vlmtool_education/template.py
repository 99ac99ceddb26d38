"""Templates of answer sheets in the JSON kind of OMRChecker: where each bubble lies."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from vlmtool_core.api import natural_key
from vlmtool_education.jsonfile import Node, load_object

FIELD_TYPES: dict[str, tuple[tuple[str, ...], str]] = {
    "QTYPE_MCQ4": (tuple("ABCD"), "horizontal"),
    "QTYPE_MCQ5": (tuple("ABCDE"), "horizontal"),
    "QTYPE_INT": (tuple("0123456789"), "vertical"),
    "QTYPE_INT_FROM_1": (tuple("1234567890"), "vertical"),
}
DIRECTIONS = ("horizontal", "vertical")
IGNORED_KEYS = ("fieldBlocksOffset", "alignment", "processingImageShape", "outputs")
MAXIMUM_BUBBLES = 20_000


@dataclass(frozen=True)
class Field:
    """One row or column of bubbles: the choices of one question or one digit.

    centres : (x, y) of each bubble in template pixels; values : what each bubble means
    """

    name: str
    block: str
    values: tuple[str, ...]
    centres: tuple[tuple[float, float], ...]
    bubble_size: tuple[float, float]
    empty_value: str


@dataclass(frozen=True)
class Marker:
    """Four equal pictures printed around the page area; their centres are its corners.

    width_ratio : width of the sheet divided by the width of the marker
    """

    path: Path
    width_ratio: float
    minimum_match: float


@dataclass(frozen=True)
class PixelFilter:
    """A change of the pixels before the bubbles are measured; `values` depend on `name`."""

    name: str
    values: tuple[float, ...]


@dataclass(frozen=True)
class Template:
    """A sheet layout.

    size : (width, height) of the page, or of the area between the markers, in template pixels
    outputs : columns of the result, each a question or a joined value, and the fields it is of
    warnings : parts of the file that were left aside
    """

    path: Path
    size: tuple[float, float]
    fields: tuple[Field, ...]
    outputs: tuple[tuple[str, tuple[str, ...]], ...]
    marker: Marker | None
    filters: tuple[PixelFilter, ...]
    warnings: tuple[str, ...]

    def blocks(self) -> dict[str, list[Field]]:
        blocks: dict[str, list[Field]] = {}
        for field in self.fields:
            blocks.setdefault(field.block, []).append(field)
        return blocks

    def turns_onto_itself(self) -> bool:
        """True when the bubbles alone cannot tell the sheet from one turned by 180 degrees."""
        width, height = self.size
        points = [c for field in self.fields for c in field.centres]
        near = min(min(field.bubble_size) for field in self.fields) / 2
        cells = {(round(x / near), round(y / near)) for x, y in points}

        def covered(x: float, y: float) -> bool:
            column, row = round((width - x) / near), round((height - y) / near)
            return any((column + i, row + j) in cells for i in (-1, 0, 1) for j in (-1, 0, 1))

        return sum(covered(x, y) for x, y in points) > 0.9 * len(points)


def read_template(path: Path) -> Template:
    """Read and check a template file.

    Raises
    ------
    FormatError : the file is no JSON or breaks the format; path and field are named.
    """
    root = load_object(path)
    size = root.need("pageDimensions").pair(above=0)
    bubble = root.need("bubbleDimensions").pair(above=0)
    empty = root.get("emptyValue", "").text()
    fields: list[Field] = []
    for name, node in root.need("fieldBlocks").items():
        fields += _block(name, node, bubble, empty, root)
    if not fields:
        raise root.need("fieldBlocks").error("has no block")
    _check_fields(root, fields, size)
    marker, filters, warnings = _preprocessors(root.get("preProcessors", []))
    warnings += [f"{key} is ignored" for key in IGNORED_KEYS if root.has(key)]
    return Template(
        path, size, tuple(fields), _outputs(root, fields), marker, tuple(filters), tuple(warnings)
    )


def _block(
    name: str, node: Node, bubble: tuple[float, float], empty: str, root: Node
) -> list[Field]:
    values, direction = _field_type(node, root)
    if node.has("bubbleValues"):
        values = tuple(element.text() for element in node.get("bubbleValues").elements())
        if not values or len(set(values)) != len(values):
            raise node.get("bubbleValues").wrong("at least one value, none twice")
    if node.has("direction"):
        direction = node.get("direction").text()
    if direction not in DIRECTIONS:
        raise node.get("direction").wrong("horizontal or vertical")
    if not values:
        raise node.error("needs fieldType or bubbleValues")
    labels = node.need("fieldLabels").labels()
    size = node.get("bubbleDimensions", list(bubble)).pair(above=0)
    x, y = node.need("origin").pair()
    bubbles_gap = node.need("bubblesGap").number(above=0)
    labels_gap = node.get("labelsGap", 0).number(above=-1e-9) if len(labels) == 1 else 0.0
    if len(labels) > 1:
        labels_gap = node.need("labelsGap").number(above=0)
    across = direction == "horizontal"
    fields = []
    for row, label in enumerate(labels):
        centres = []
        for column in range(len(values)):
            along, beside = column * bubbles_gap, row * labels_gap
            dx, dy = (along, beside) if across else (beside, along)
            centres.append((x + dx + size[0] / 2, y + dy + size[1] / 2))
        empty_value = node.get("emptyValue", empty).text()
        fields.append(Field(label, name, values, tuple(centres), size, empty_value))
    return fields


def _field_type(node: Node, root: Node) -> tuple[tuple[str, ...], str]:
    for key in ("fieldType", "bubbleFieldType"):
        if node.has(key):
            name = node.get(key).text()
            custom = root.get("customFieldTypes", root.get("customBubbleFieldTypes", {}).value)
            if custom.has(name):
                kind = custom.get(name)
                values = tuple(e.text() for e in kind.need("bubbleValues").elements())
                return values, kind.get("direction", "horizontal").text()
            if name not in FIELD_TYPES:
                raise node.get(key).wrong("one of " + ", ".join(FIELD_TYPES))
            return FIELD_TYPES[name]
    return (), "horizontal"


def _check_fields(root: Node, fields: list[Field], size: tuple[float, float]) -> None:
    names: set[str] = set()
    for field in fields:
        where = Node(root.path, f"fieldBlocks.{field.block}", None)
        if field.name in names:
            raise where.error(f"field {field.name} is there twice")
        names.add(field.name)
        half_width, half_height = field.bubble_size[0] / 2, field.bubble_size[1] / 2
        for x, y in field.centres:
            inside = x - half_width >= -1 and x + half_width <= size[0] + 1
            if not (inside and y - half_height >= -1 and y + half_height <= size[1] + 1):
                raise where.error(f"bubbles of {field.name} lie outside pageDimensions")
    if sum(len(field.values) for field in fields) > MAXIMUM_BUBBLES:
        raise root.get("fieldBlocks").error(f"has more than {MAXIMUM_BUBBLES} bubbles")


def _outputs(root: Node, fields: list[Field]) -> tuple[tuple[str, tuple[str, ...]], ...]:
    known = {field.name for field in fields}
    joined: dict[str, tuple[str, ...]] = {}
    used: set[str] = set()
    for name, node in root.get("customLabels", {}).items():
        parts = node.labels()
        for part in parts:
            if part not in known:
                raise node.error(f"names the field {part}, which no block has")
            if part in used:
                raise node.error(f"uses the field {part} a second time")
        if name in known and name not in parts:
            raise node.error("has the name of a field")
        used.update(parts)
        joined[name] = parts
    rest = [field.name for field in fields if field.name not in used]
    columns = {**joined, **{name: (name,) for name in rest}}
    order = root.get("outputColumns", []).labels()
    for name in order:
        if name not in columns:
            raise root.get("outputColumns").error(f"names {name}, which is no field or label")
    plain = sorted((n for n in rest if n not in order), key=natural_key)
    # A joined label such as q5 (two digits) stands among its like; identities come first.
    numbered = {name.rstrip("0123456789") for name in plain}
    like = [n for n in joined if n not in order and n.rstrip("0123456789") in numbered]
    first = [n for n in joined if n not in order and n not in like]
    last = sorted([*plain, *like], key=natural_key)
    return tuple((name, columns[name]) for name in (*order, *first, *last))


def _preprocessors(
    node: Node,
) -> tuple[Marker | None, list[PixelFilter], list[str]]:
    marker: Marker | None = None
    filters: list[PixelFilter] = []
    warnings: list[str] = []
    for entry in node.elements():
        name = entry.need("name").text()
        options = entry.get("options", {}).mapping()
        if name == "CropPage":
            continue
        if name == "CropOnMarkers":
            marker = _marker(options)
        elif name in ("GaussianBlur", "MedianBlur", "Levels"):
            filters.append(_filter(name, options))
        elif name in ("FeatureBasedAlignment", "WarpOnPoints", "CropOnCustomMarkers"):
            raise entry.error(
                f"the step {name} places the sheet in a way that is not supported; "
                "use CropPage or CropOnMarkers"
            )
        else:
            warnings.append(f"preProcessors step {name} is ignored")
    return marker, filters, warnings


def _marker(options: Node) -> Marker:
    node = options.get("relativePath", "omr_marker.jpg")
    path = options.path.parent / node.text()
    if not path.is_file():
        raise node.error(f"there is no marker picture {node.text()} beside the template")
    ratio = options.get("sheetToMarkerWidthRatio", 17).number(above=1)
    minimum = options.get("min_matching_threshold", 0.3).number(above=0)
    return Marker(path, ratio, minimum)


def _filter(name: str, options: Node) -> PixelFilter:
    if name == "Levels":
        low, high = options.get("low", 0).number(), options.get("high", 1).number()
        gamma = options.get("gamma", 1).number(above=0)
        if not 0 <= low < high <= 1:
            raise options.wrong("0 <= low < high <= 1")
        return PixelFilter(name, (low, high, gamma))
    node = options.get("kSize", [3, 3] if name == "GaussianBlur" else 5)
    sides = node.pair(above=0) if isinstance(node.value, list) else (node.number(above=0),) * 2
    if any(side % 2 != 1 or side > 99 for side in sides):
        raise node.wrong("odd numbers up to 99")
    sigma = options.get("sigmaX", 0).number(above=-1e-9) if name == "GaussianBlur" else 0.0
    return PixelFilter(name, (*sides, sigma))
