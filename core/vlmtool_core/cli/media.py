"""`vlmtool-cli media`: what a file is, what it shows, and whether it is whole."""

from __future__ import annotations

import io
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import click

from vlmtool_core.cli.console import emit_json, note, progress_on_stderr
from vlmtool_core.cli.identifying import identifying_option
from vlmtool_core.cli.interrupts import cancel_on_interrupt
from vlmtool_core.cli.media_contents import list_contents
from vlmtool_core.cli.media_header import header
from vlmtool_core.cli.media_measure import measure
from vlmtool_core.cli.media_objects import without_picture
from vlmtool_core.cli.media_plane import fitting_side, render_plane
from vlmtool_core.cli.media_windows import HELP, METAVAR, chosen_window, windows_json
from vlmtool_core.errors import UnsupportedMediaError, UsageError
from vlmtool_core.media import MediaInfo, MediaSource, open_media, scan
from vlmtool_core.media.drawing import as_presented, with_overlays
from vlmtool_core.paths import write_atomically
from vlmtool_core.records import Json

if TYPE_CHECKING:
    import numpy as np

    from vlmtool_core.media.verifying import Verification

_VERDICTS = ("whole", "damaged", "unsupported")
_PATH = click.Path(path_type=Path)


@click.group()
def media() -> None:
    """Look at pictures, DICOM and video without a project."""


for _command in (header, measure):
    media.add_command(_command)


@media.command()
@click.argument("path", type=_PATH)
@identifying_option("Show values that identify a person, too.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def info(path: Path, identifying: bool, as_json: bool) -> None:
    """Say what PATH is: size, frames, times, windows, warnings and facts of its header.

    PATH is a file, or a folder, zip archive or DICOMDIR; of several items in it a list is
    given, and each can be named in turn. Names, dates and numbers that identify a person are
    left out unless asked for. geometry says what lies at the edges of
    the picture (L left, R right, A front, P back, H head, F foot), where its first pixel lies
    in the patient, and how columns, rows and slices of a volume lead into it.
    """
    from vlmtool_core.media.volumes.rendering import placement_facts

    if list_contents(path, as_json=as_json):
        return
    try:
        with open_media(path) as source:
            values = _values(source.info, identifying) | {"path": str(path)}
            values["geometry"] = placement_facts(source)
            values["damage"] = _damage(source)
            # A video's warnings are complete once its index is read.
            values["warnings"] = list(source.info.warnings)
    except UnsupportedMediaError as error:
        values = without_picture(path, error, identifying=identifying)
    if as_json:
        emit_json(values)
        return
    for name, value in values.items():
        if value not in (None, [], {}, ""):
            click.echo(f"{name}: {_shown(value)}")


@media.command()
@click.argument("path", type=_PATH)
@click.option(
    "--frame", type=click.IntRange(min=0), default=0, show_default=True, help="Which frame, from 0."
)
@click.option(
    "--window",
    metavar=METAVAR,
    help=HELP,
)
@click.option("--size", metavar="WxH", help="Shrink to fit into so many pixels; keeps the aspect.")
@click.option(
    "--plane",
    type=click.Choice(["axial", "sagittal", "coronal"]),
    help="A plane through the volume in place of a frame as it was stored; --frame then counts "
    "from the foot, the right, or the front.",
)
@click.option(
    "--overlays", is_flag=True, help="Draw overlay planes and display shutter of a DICOM picture."
)
@click.option(
    "--presentation-state",
    "state",
    type=_PATH,
    help="Show it as this DICOM presentation state (PR) asks for: its window, shutter, graphics, "
    "rotation. Its texts are written with --identifying only.",
)
@identifying_option("Write texts that may identify a person, too.")
@click.option("-o", "--out", type=_PATH, required=True, help="The PNG to write.")
@click.option("--json", "as_json", is_flag=True, help="Print how the picture came to be, as JSON.")
def render(
    path: Path,
    frame: int,
    window: str | None,
    size: str | None,
    plane: str | None,
    overlays: bool,
    state: Path | None,
    identifying: bool,
    out: Path,
    as_json: bool,
) -> None:
    """Write one frame of PATH, or a plane through its volume, as the program shows it: a PNG."""
    if out.suffix.lower() != ".png":
        raise UsageError("pictures are written as PNG", path=out, field="--out")
    box = None if size is None else _size(size)
    with open_media(path) as source:
        chosen = None if window is None else chosen_window(window, source.info)
        if plane is not None:
            asked = {"--overlays": overlays, "--presentation-state": state is not None}
            shown = render_plane(source, plane, frame, chosen, box, drawn=asked)
        else:
            _check_frame(source.info, frame)
            side = box and fitting_side(source.info.width, source.info.height, box)
            if state is not None:
                shown = as_presented(
                    source, frame, state, window=chosen, max_side=side, texts=identifying
                )
            else:
                shown = source.frame(frame, max_side=side, window=chosen)
        if overlays and state is None:
            shown = with_overlays(shown, source)
    write_atomically(out, _png(shown.pixels))
    height, width = shown.pixels.shape[:2]
    if as_json:
        emit_json(
            {
                "path": str(path),
                "frame": frame,
                "time_s": shown.time_s,
                "width": width,
                "height": height,
                "source_size": list(shown.size),
                "provenance": dict(shown.provenance),
            }
        )
    note(f"Wrote {out} ({width} x {height})")


@media.command()
@click.argument("paths", nargs=-1, required=True, type=_PATH, metavar="PATH...")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def verify(ctx: click.Context, paths: tuple[Path, ...], as_json: bool) -> None:
    """Decode every frame of everything under PATH and report damage.

    Exit code 1 when something is damaged or nothing here decodes it; no file is changed.
    """
    from vlmtool_core.jobs import ProgressMeter
    from vlmtool_core.media.verifying import verify as verify_item

    found: list[Verification] = []
    with cancel_on_interrupt() as cancel, progress_on_stderr("Verifying") as progress:
        items = list(scan(paths, cancel=cancel))
        meter = ProgressMeter(progress, len(items))
        for item in items:
            result = verify_item(item, cancel)
            found.append(result)
            meter.step(failed=result.verdict != "whole", message=item.name)
    if as_json:
        emit_json([result.to_json() for result in found])
    else:
        for result in found:
            _print(result)
    counts = Counter(result.verdict for result in found)
    note(", ".join(f"{counts[verdict]} {verdict}" for verdict in _VERDICTS))
    if len(found) > counts["whole"]:
        ctx.exit(1)


def _print(result: Verification) -> None:
    frames = f"{result.delivered}/{result.expected} frames" if result.expected else "no frame"
    corrupt = f", {result.corrupt} decoded with errors" if result.corrupt else ""
    click.echo(f"{result.name}: {result.verdict}, {frames}{corrupt}")
    for problem in dict.fromkeys(problem.message for problem in result.problems):
        click.echo(f"  {problem}")
    for warning in result.warnings:
        click.echo(f"  note: {warning}")


def _values(info: MediaInfo, identifying: bool) -> dict[str, Json]:
    values: dict[str, Json] = {
        "path": str(info.path),
        "kind": info.kind.value,
        "width": info.width,
        "height": info.height,
        "frame_count": info.frame_count,
        "duration_s": info.duration_s,
        "rate": info.rate,
        "unit": info.unit,
        "windows": windows_json(info.windows),
        "warnings": list(info.warnings),
        "facts": dict(info.facts),
    }
    if identifying:
        values["identifying"] = dict(info.identifying)
    return values


def _damage(source: MediaSource) -> list[Json]:
    """Places of a video that are known not to be as recorded."""
    damage = getattr(source, "damage", None)
    return [place.to_json() for place in damage()] if damage is not None else []


def _shown(value: Json) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_shown(part)}" for name, part in value.items())
    if isinstance(value, list):
        return "; ".join(_shown(part) for part in value)
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _check_frame(info: MediaInfo, frame: int) -> None:
    count = info.frame_count
    if count is not None and frame >= count:
        raise UsageError(
            f"there is no frame {frame}; there are {count}, counted from 0",
            path=info.path,
            field="--frame",
        )


def _size(text: str) -> tuple[int, int]:
    parts = text.lower().split("x")
    if len(parts) != 2 or not all(part.isdecimal() and int(part) for part in parts):
        raise UsageError(f"expected WxH in pixels, got {text!r}", field="--size")
    return int(parts[0]), int(parts[1])


def _png(pixels: np.ndarray) -> bytes:
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()
