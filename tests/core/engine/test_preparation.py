"""What is encoded when the starter packs are installed is all that tags and labels wait for."""

from __future__ import annotations

import numpy as np
import pytest

from vlmtool_core.engine import ModelStore
from vlmtool_core.engine.packs.preparation import prepare
from vlmtool_core.engine.texts import evidence, text_space


@pytest.mark.model
def test_after_preparation_no_class_or_tag_is_encoded(engine, photo, home, monkeypatch):
    encoder, vision = engine.family("starter-text"), engine.family("starter-vision")
    size = encoder.encode_texts(["cup"]).shape[1]
    asked: list[str] = []

    def count(texts):
        # Encoding all of them takes ten seconds; which ones are asked for is the point.
        asked.extend(texts)
        rows = np.random.default_rng(len(asked)).normal(size=(len(texts), size))
        return text_space.normalise(rows.astype(np.float32))

    monkeypatch.setattr(encoder, "encode_texts", count)
    monkeypatch.setattr(text_space, "_memory", {})
    monkeypatch.delitem(vision.__dict__, "space", raising=False)
    evidence.prepare_texts(engine)
    assert "Egyptian cat" in asked
    assert len(list((home / "cache" / "texts").glob("*.npy"))) == 3
    asked.clear()
    # As in a program that is started anew.
    text_space._memory.clear()
    vision.__dict__.pop("space")
    engine.caption([photo("coffee")])
    assert asked == []
    vision.__dict__.pop("space")


def test_nothing_is_prepared_while_a_pack_is_missing(tmp_path, home):
    prepare(ModelStore(tmp_path / "models"), {"starter-text"})
    prepare(ModelStore(tmp_path / "models"), {"another"})
    assert not (home / "cache" / "texts").exists()
