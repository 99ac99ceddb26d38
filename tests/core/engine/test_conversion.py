"""Conversions at installation: only plain weights of the right shape, and free ONNX sizes."""

from __future__ import annotations

import contextlib
import dataclasses

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vlmtool_core.engine.packs.conversion import convert
from vlmtool_core.engine.packs.onnx_shapes import free_dimensions
from vlmtool_core.engine.packs.pack import catalogue
from vlmtool_core.errors import PackError, PackIntegrityError

VISION = catalogue()["starter-vision"]


class _Harm:
    def __reduce__(self):
        return (print, ("this must never run",))


@pytest.mark.parametrize(
    "content",
    [
        {"a": torch.zeros(1)},
        {f"w{n}": torch.zeros(1) for n in range(386)},
        _Harm(),
    ],
    ids=["too few", "wrong shapes", "code"],
)
def test_other_weights_are_refused(tmp_path, content, capsys):
    torch.save(content, tmp_path / "model.pth")
    with pytest.raises(PackIntegrityError):
        convert(tmp_path, VISION)
    assert "never run" not in capsys.readouterr().out
    assert not (tmp_path / "model.safetensors").exists()


def test_a_file_that_is_no_pickle(tmp_path):
    (tmp_path / "model.pth").write_bytes(b"\x00" * 100)
    with pytest.raises(PackIntegrityError):
        convert(tmp_path, VISION)


def test_an_unknown_converter(tmp_path):
    with pytest.raises(PackError, match="newer program"):
        convert(tmp_path, dataclasses.replace(VISION, converter="future"))


@given(st.binary(max_size=200))
def test_garbage_is_no_onnx_file(data):
    with contextlib.suppress(PackIntegrityError):  # and nothing else may come out
        assert isinstance(free_dimensions(data), bytes)


def _field(number: int, payload: bytes) -> bytes:
    assert len(payload) < 128
    return bytes([number << 3 | 2, len(payload)]) + payload


def test_only_batch_height_and_width_become_free():
    dims = b"".join(_field(1, bytes([1 << 3, size])) for size in (10, 3, 32, 32))
    value = _field(1, b"x") + _field(2, _field(1, bytes([1 << 3, 1]) + _field(2, dims)))
    graph = _field(2, b"name") + _field(11, value) + _field(12, value) + _field(13, value)
    model = bytes([1 << 3, 8]) + _field(7, graph)
    freed = free_dimensions(model)
    for name in (b"in_batch", b"in_height", b"in_width", b"out_batch", b"out_height"):
        assert name in freed
    assert b"in_channel" not in freed
    assert bytes([1 << 3, 3]) in freed
    assert free_dimensions(freed).count(b"in_batch") == 1
