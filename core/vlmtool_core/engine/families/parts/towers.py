"""The image tower of a model, run by another runtime or compiled, behind the same interface."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from transformers.modeling_outputs import BaseModelOutputWithPooling

from vlmtool_core import paths
from vlmtool_core.engine.family import Family
from vlmtool_core.engine.runtime.agreement import LEAST_COSINE
from vlmtool_core.errors import MissingDependencyError, UsageError

_PRECISION = {"float32": "f32", "bfloat16": "bf16"}

log = logging.getLogger(__name__)


def accelerated(
    tower: torch.nn.Module, family: Family, pixels: Callable[[], torch.Tensor]
) -> torch.nn.Module:
    """The tower as the family's surroundings want it run; itself for plain torch.

    pixels : makes inputs (n, 3, h, w) of made-up pictures, to try a converted tower with

    Raises
    ------
    MissingDependencyError : the runtime is not installed.
    UsageError : the converted tower does not agree with the one in torch.
    """
    if family.backend == "openvino":
        return _openvino(tower, family, pixels)
    return CompiledTower(tower) if family.surroundings.compiled else tower


class CompiledTower(torch.nn.Module):
    """Compiled by torch when it first runs; where that fails it goes on uncompiled, and says so."""

    def __init__(self, tower: torch.nn.Module) -> None:
        super().__init__()
        self.tower = tower
        self._compiled: Callable[..., Any] | None = torch.compile(tower)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        from torch._dynamo.exc import TorchDynamoException
        from torch._inductor.exc import CppCompileError, InductorError

        if self._compiled is not None:
            try:
                return self._compiled(*args, **kwargs)
            except (TorchDynamoException, InductorError, CppCompileError) as error:
                log.warning("the model runs uncompiled, compiling failed: %s", error)
                self._compiled = None
        return self.tower(*args, **kwargs)


class OpenVinoTower(torch.nn.Module):
    """Pixels to pooled features, as the vision models of transformers give them."""

    def __init__(self, compiled: Any, dtype: torch.dtype) -> None:
        super().__init__()
        self._run = compiled
        self._dtype = dtype

    def forward(self, pixel_values: torch.Tensor, **_: Any) -> BaseModelOutputWithPooling:
        made = self._run([pixel_values.float().contiguous().numpy()])[0]
        return BaseModelOutputWithPooling(pooler_output=torch.from_numpy(made).to(self._dtype))


class _Pooled(torch.nn.Module):
    """What is converted: one input, one output."""

    def __init__(self, tower: torch.nn.Module) -> None:
        super().__init__()
        self.tower = tower

    def forward(self, pixel_values: torch.Tensor) -> torch.Tensor:
        pooled: torch.Tensor = self.tower(pixel_values=pixel_values).pooler_output
        return pooled


def _openvino(
    tower: torch.nn.Module, family: Family, pixels: Callable[[], torch.Tensor]
) -> torch.nn.Module:
    """The tower in OpenVINO; converted and compared with torch the first time."""
    openvino = _import_openvino()
    dtype = next(tower.parameters()).dtype
    folder = paths.cache_dir() / "openvino" / family.fingerprint
    core = openvino.Core()
    hints = {"INFERENCE_PRECISION_HINT": _PRECISION[family.dtype]}
    file = folder / "tower.xml"
    if (folder / "agreement.json").is_file():
        return OpenVinoTower(core.compile_model(file, "CPU", hints), dtype)
    # Weights travel in float32: the hint alone says what they are computed in.
    whole, inputs = _Pooled(tower.float()).eval(), pixels().float()
    with torch.no_grad():
        expected = whole(inputs)
        shape = [-1, *inputs.shape[1:]]
        made = openvino.convert_model(whole, example_input=inputs[:2], input=[shape])
    folder.mkdir(parents=True, exist_ok=True)
    openvino.save_model(made, file, compress_to_fp16=False)
    converted = OpenVinoTower(core.compile_model(file, "CPU", hints), dtype)
    found = converted(inputs).pooler_output.float()
    cosine = float(torch.nn.functional.cosine_similarity(expected, found).min())
    _require_agreement(family, cosine, folder)
    return converted


def _require_agreement(family: Family, cosine: float, folder: Path) -> None:
    name = family.pack.id
    if cosine < LEAST_COSINE:
        raise UsageError(
            f"{name} converted to OpenVINO does not agree with itself (cosine {cosine:.4f})",
            field="backend",
            remedy="Set backend = torch in the settings.",
        )
    log.info("%s was converted to OpenVINO, least cosine %.6f", name, cosine)
    text = json.dumps({"pack": name, "least_cosine": cosine})
    paths.write_atomically(folder / "agreement.json", text.encode())


def _import_openvino() -> Any:
    # Merely importing it sends usage statistics to its makers, unless this module is not there.
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    try:
        import openvino
    except ImportError as error:
        raise MissingDependencyError(
            "OpenVINO is not installed",
            field="backend",
            remedy='Install it: pip install "vlmtool[openvino]", or set backend = torch.',
        ) from error
    return openvino
