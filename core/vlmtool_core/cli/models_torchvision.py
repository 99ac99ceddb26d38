"""`vlmtool-cli models torchvision`: a model folder of a detector that torchvision publishes."""

from __future__ import annotations

from pathlib import Path

import click

from vlmtool_core.cli.console import note


@click.command()
@click.argument("weights", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@click.option(
    "--architecture",
    required=True,
    help="torchvision's name of the network, such as fasterrcnn_resnet50_fpn_v2.",
)
@click.option(
    "--label",
    "labels",
    multiple=True,
    help="A class of your own training, in its order; COCO's classes when left out.",
)
def torchvision(weights: Path, folder: Path, architecture: str, labels: tuple[str, ...]) -> None:
    """Convert a detector's .pth file of torchvision to a folder for `models add`."""
    from vlmtool_core.engine.packs.torchvision_folders import class_names, make_detector_folder

    made = make_detector_folder(weights, folder, architecture, labels or None)
    note(f"{folder} holds {architecture} with {len(class_names(made.config))} classes.")
    note(f"Add it: vlmtool-cli models add {folder}")
