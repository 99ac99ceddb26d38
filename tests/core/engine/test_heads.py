"""Trained heads: the mathematics, the round trip, and what is refused."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vlmtool_core.engine.heads import ProbeHead, sigmoid
from vlmtool_core.errors import FormatError, PackIntegrityError


def make_head(labels=("cat", "狗", "bird"), d=8, *, exclusive=True, temperature=1.5) -> ProbeHead:
    rng = np.random.default_rng(0)
    return ProbeHead(
        labels=labels,
        weight=rng.normal(size=(len(labels), d)).astype(np.float32),
        bias=rng.normal(size=len(labels)).astype(np.float32),
        temperature=temperature,
        exclusive=exclusive,
        pack="starter-vision",
        pack_fingerprint="abc",
    )


def test_round_trip_keeps_everything(tmp_path):
    head = make_head()
    head.save(tmp_path / "v1")
    loaded = ProbeHead.load(tmp_path / "v1")
    assert loaded.labels == head.labels
    assert loaded.fingerprint == head.fingerprint
    features = np.random.default_rng(1).normal(size=(5, 8)).astype(np.float32)
    np.testing.assert_array_equal(loaded.probabilities(features), head.probabilities(features))


@given(st.booleans(), st.floats(0.05, 20), st.integers(0, 1000))
def test_probabilities_are_probabilities(exclusive, temperature, seed):
    head = make_head(exclusive=exclusive, temperature=temperature)
    features = np.random.default_rng(seed).normal(size=(4, 8)).astype(np.float32) * 100
    got = head.probabilities(features)
    assert got.shape == (4, 3)
    assert got.dtype == np.float32
    assert np.isfinite(got).all()
    assert (got >= 0).all()
    assert (got <= 1).all()
    if exclusive:
        np.testing.assert_allclose(got.sum(axis=1), 1, rtol=1e-5)


def test_temperature_softens(tmp_path):
    features = np.eye(8, dtype=np.float32)
    sharp = make_head(temperature=0.5).probabilities(features)
    soft = make_head(temperature=5).probabilities(features)
    assert sharp.max(axis=1).mean() > soft.max(axis=1).mean()
    assert (sharp.argmax(axis=1) == soft.argmax(axis=1)).all()


def test_sigmoid_does_not_overflow():
    np.testing.assert_array_equal(sigmoid(np.array([-1e6, 0.0, 1e6])), [0, 0.5, 1])


@pytest.mark.parametrize("name", ["head.safetensors", "head.json"])
def test_a_missing_file_is_named(tmp_path, name):
    make_head().save(tmp_path)
    (tmp_path / name).unlink()
    with pytest.raises(PackIntegrityError, match="cannot be read") as caught:
        ProbeHead.load(tmp_path)
    assert name in (caught.value.path or "")


def test_a_flipped_byte_is_seen(tmp_path):
    make_head().save(tmp_path)
    data = bytearray((tmp_path / "head.safetensors").read_bytes())
    data[-1] ^= 1
    (tmp_path / "head.safetensors").write_bytes(data)
    with pytest.raises(PackIntegrityError, match="changed"):
        ProbeHead.load(tmp_path)


@pytest.mark.parametrize(
    "change",
    [
        {"format": 99},
        {"labels": ["one"]},
        {"temperature": 0},
        {"temperature": None},
        {"pack": None},
    ],
)
def test_a_wrong_card_is_refused_or_changes_the_identity(tmp_path, change):
    head = make_head()
    head.save(tmp_path)
    card = json.loads((tmp_path / "head.json").read_text())
    (tmp_path / "head.json").write_text(json.dumps(card | change))
    if change == {"pack": None}:
        assert ProbeHead.load(tmp_path).fingerprint != head.fingerprint
    else:
        with pytest.raises(FormatError):
            ProbeHead.load(tmp_path)


def test_shapes_are_checked():
    with pytest.raises(ValueError, match="expected weight"):
        ProbeHead(("a", "b"), np.zeros((3, 4)), np.zeros(2), 1.0, True, "p", "f")
