"""Drawn sheets and their templates, shared by the tests of the education plugin."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vlmtool_core.api import WorkflowContext, WorkflowResult
from vlmtool_education.batch import run
from vlmtool_education.drawing import (
    demo_template,
    draw_blank,
    write_template,
)
from vlmtool_education.reading import Thresholds
from vlmtool_education.sheets import SheetReader
from vlmtool_education.template import Template, read_template
from vlmtool_education.workflow import PARAMETERS


@dataclass(frozen=True)
class Layout:
    """A template, its printed sheet and a reader for it."""

    template: Template
    blank: np.ndarray
    reader: SheetReader


def make_layout(folder: Path, template: dict[str, Any]) -> Layout:
    read = read_template(write_template(folder, template))
    return Layout(read, draw_blank(read), SheetReader(read, Thresholds()))


@pytest.fixture(scope="module")
def with_markers(tmp_path_factory: pytest.TempPathFactory) -> Layout:
    return make_layout(tmp_path_factory.mktemp("markers"), demo_template())


@pytest.fixture(scope="module")
def by_page(tmp_path_factory: pytest.TempPathFactory) -> Layout:
    return make_layout(tmp_path_factory.mktemp("page"), demo_template(16, 3, markers=False))


@pytest.fixture
def layout_in() -> Callable[[Path, dict[str, Any]], Layout]:
    return make_layout


@pytest.fixture
def grade_files() -> Callable[..., WorkflowResult]:
    """Run the workflow as the command line does, with the defaults of its parameters."""

    def call(inputs: Sequence[Path], template: Path, out: Path, **values: Any) -> WorkflowResult:
        defaults = {parameter.name: parameter.default for parameter in PARAMETERS}
        given = {**defaults, "template": template, "out": out, **values}
        context = WorkflowContext(tuple(inputs), out.parent, given, engine=_no_engine)
        return run(context)

    return call


def _no_engine() -> Any:
    raise AssertionError("grading needs no model")
