"""`vlmtool-cli segment`: the mask of what is pointed at on one picture."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from vlmtool_core.cli.console import emit_json, note
from vlmtool_core.errors import UsageError
from vlmtool_core.formats import result_to_json
from vlmtool_core.media import open_media
from vlmtool_core.paths import write_atomically
from vlmtool_core.records import Frame, Mask, Outcome, ResultRow, SegmentPrompt, Task

if TYPE_CHECKING:
    from vlmtool_core.engine import Engine

_FAILED = 1
_ENDINGS = (".png", ".json")


@click.command()
@click.argument("path", type=click.Path(path_type=Path))
@click.option(
    "--point",
    "points",
    multiple=True,
    metavar="X,Y[,-]",
    help="A point on the object, in pixels from the top left; with a - one beside it. Several "
    "at once mean one object.",
)
@click.option(
    "--box",
    "boxes",
    multiple=True,
    metavar="X1,Y1,X2,Y2",
    help="A box around the object, in pixels. Several at once mean several objects.",
)
@click.option("--model", help="A segmenter's id: vlmtool-cli models list")
@click.option(
    "--frame", type=click.IntRange(min=0), default=0, show_default=True, help="Which frame, from 0."
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write the mask here: a PNG (255 is the object) or JSON (COCO run lengths).",
)
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def segment(
    path: Path,
    points: tuple[str, ...],
    boxes: tuple[str, ...],
    model: str | None,
    frame: int,
    out: Path | None,
    as_json: bool,
) -> int:
    """Find the pixels of what is pointed at on PATH: a picture, DICOM or video.

    Exit codes: 0 done, 1 the model failed, 2 wrong call, 3 a model is missing.
    """
    prompts = _prompts(points, boxes)
    _check_out(out, path, len(prompts))
    from vlmtool_core.engine.runtime.user_engine import engine_as_set

    engine = engine_as_set()
    shown = _decoded(engine, path, frame, model)
    outcome = engine.segment(shown, prompts, model=model)
    row = _row(engine, path, shown, outcome, model)
    if outcome.error is not None:
        note(f"failed: {outcome.error.message}. {outcome.error.remedy}".rstrip())
        return _FAILED
    if out is not None:
        write_atomically(out, _encoded(out, row))
        note(f"Wrote {out}")
    if as_json:
        emit_json(result_to_json(row))
    else:
        for number, mask in enumerate(outcome.masks, 1):
            click.echo(_in_words(number, mask))
    return 0


def _prompts(points: tuple[str, ...], boxes: tuple[str, ...]) -> list[SegmentPrompt]:
    placed = tuple(_point(text) for text in points)
    around = [_box(text) for text in boxes]
    if placed and len(around) > 1:
        raise UsageError(
            "points go with one box at most",
            field="--box",
            remedy="Ask for each object in a call of its own.",
        )
    if placed:
        return [SegmentPrompt(placed, around[0] if around else None)]
    if around:
        return [SegmentPrompt(box=box) for box in around]
    raise UsageError(
        "nothing is pointed at",
        field="--point",
        remedy="Give --point X,Y on the object or --box X1,Y1,X2,Y2 around it.",
    )


def _point(text: str) -> tuple[float, float, bool]:
    parts = [part.strip() for part in text.split(",")]
    beside = len(parts) == 3 and parts[2] == "-"
    if len(parts) != 2 and not beside:
        raise _wrong("--point", "X,Y or X,Y,-", text)
    x, y = _numbers(parts[:2], "--point", "X,Y or X,Y,-", text)
    return x, y, not beside


def _box(text: str) -> tuple[float, float, float, float]:
    parts = text.split(",")
    if len(parts) != 4:
        raise _wrong("--box", "X1,Y1,X2,Y2", text)
    x1, y1, x2, y2 = _numbers(parts, "--box", "X1,Y1,X2,Y2", text)
    return x1, y1, x2, y2


def _numbers(parts: list[str], field: str, form: str, text: str) -> list[float]:
    try:
        return [float(part) for part in parts]
    except ValueError as error:
        raise _wrong(field, form, text) from error


def _wrong(field: str, form: str, text: str) -> UsageError:
    return UsageError(f"expected {form} in pixels, got {text!r}", field=field)


def _check_out(out: Path | None, path: Path, objects: int) -> None:
    if out is None:
        return
    if out.suffix.lower() not in _ENDINGS:
        raise UsageError("a mask is written as .png or .json", path=out, field="--out")
    if out.exists() and path.exists() and out.samefile(path):
        raise UsageError("that is the picture itself", path=out, field="--out")
    if out.suffix.lower() == ".png" and objects > 1:
        raise UsageError(
            f"a PNG holds one mask, not {objects}", field="--out", remedy="End it in .json."
        )


def _decoded(engine: Engine, path: Path, frame: int, model: str | None) -> Frame:
    side = engine.decode_side(Task.SEGMENT, model) if model else None
    with open_media(path) as source:
        try:
            return source.frame(frame, max_side=side)
        except IndexError as error:
            raise UsageError(f"there is no frame {frame}", path=path, field="--frame") from error


def _row(
    engine: Engine, path: Path, frame: Frame, outcome: Outcome, model: str | None
) -> ResultRow:
    from vlmtool_core.media.hashing import sha256_of

    return ResultRow(
        item=path.name,
        sha256=sha256_of(path) if path.is_file() else "",
        frame=frame.index,
        time_s=frame.time_s,
        task=Task.SEGMENT,
        model=engine.identity(Task.SEGMENT, model),
        outcome=outcome,
        size=frame.size,
    )


def _encoded(out: Path, row: ResultRow) -> bytes:
    if out.suffix.lower() == ".json":
        return (json.dumps(result_to_json(row), ensure_ascii=False, indent=2) + "\n").encode()
    import numpy as np
    from PIL import Image

    from vlmtool_core.engine.pictures.rle import decode_mask

    buffer = io.BytesIO()
    pixels = decode_mask(row.outcome.masks[0])
    Image.fromarray(np.where(pixels, 255, 0).astype(np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def _in_words(number: int, mask: Mask) -> str:
    from vlmtool_core.engine.pictures.rle import decode_mask

    pixels = decode_mask(mask)
    ys, xs = pixels.nonzero()
    if not len(xs):
        return f"{number}: nothing is there"
    box = f"{xs.min()},{ys.min()} to {xs.max() + 1},{ys.max() + 1}"
    sure = "" if mask.score is None else f", quality {mask.score:.0%}"
    return f"{number}: {len(xs)} pixels ({len(xs) / pixels.size:.1%}) within {box}{sure}"
