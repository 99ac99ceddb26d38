"""Families compute in bfloat16 where they are asked to: inputs follow the model's numbers."""

from __future__ import annotations

from pathlib import Path

import contrastive_models
import numpy as np
import pytest
import segment_models
from test_classifiers import CLASSES, HEADED, HEADLESS, save, timm_folder
from test_enhance import swin2sr

from vlmtool_core.engine import Engine
from vlmtool_core.engine.pictures.rle import decode_mask
from vlmtool_core.engine.runtime.numerics import Numerics
from vlmtool_core.records import Label, OutcomeStatus, SegmentPrompt, Task


def halved(engine: Engine) -> Engine:
    return Engine(engine.store, device="cpu", numerics=Numerics("bfloat16"))


def folder_named(path: Path) -> Path:
    path.mkdir()
    return path


@pytest.mark.parametrize("name", contrastive_models.BUILDERS)
def test_zero_shot(name, tmp_path, engine_of, odd_pictures):
    engine = engine_of(contrastive_models.BUILDERS[name](folder_named(tmp_path / name)))
    labels = [Label("cat"), Label("dog")]
    for options in ({"exclusive": True}, {"exclusive": False}):
        whole = engine.classify(odd_pictures, labels, model=name, **options)
        half = halved(engine).classify(odd_pictures, labels, model=name, **options)
        for one, other in zip(whole, half, strict=True):
            assert other.status is OutcomeStatus.OK
            by_label = {score.label: score.score for score in other.scores}
            assert all(abs(s.score - by_label[s.label]) < 0.3 for s in one.scores)


@pytest.mark.parametrize("name", ["vit", "dinov2", "swin", "resnet", "siglip", "timm", "rad-dino"])
def test_embeddings(name, tmp_path, engine_of, odd_pictures):
    if name == "timm":
        folder = timm_folder(tmp_path / name, classes=3, published=True)
    elif name in HEADED:
        folder = save(tmp_path / name, HEADED[name], "ForImageClassification", **CLASSES)
    else:
        folder = save(tmp_path / name, HEADLESS[name], "Model")
    engine = engine_of(folder)
    whole = engine.embed(odd_pictures, model=name)
    half = halved(engine).embed(odd_pictures, model=name)
    for one, other in zip(whole, half, strict=True):
        assert other.embedding.dtype == np.float32
        assert one.embedding @ other.embedding > 0.97
    if Task.CLASSIFY in engine.store.pack(name).tasks:
        outcomes = halved(engine).classify(odd_pictures, model=name)
        assert {outcome.status for outcome in outcomes} == {OutcomeStatus.OK}


@pytest.mark.parametrize("name", ["sam", "sam-hq", "sam2"])
def test_masks(name, tmp_path, engine_of, odd_pictures):
    engine = engine_of(segment_models.BUILDERS[name](folder_named(tmp_path / name)))
    frame = odd_pictures[0]
    prompts = [SegmentPrompt(((50, 30, True),)), SegmentPrompt(box=(20, 10, 90, 50))]
    outcome = halved(engine).segment(frame, prompts, model=name)
    assert outcome.error is None
    assert [decode_mask(mask).shape for mask in outcome.masks] == [(60, 140)] * 2


def test_super_resolution(tmp_path, engine_of, odd_pictures):
    engine = engine_of(swin2sr(tmp_path / "swin"))
    whole = engine.enhance(odd_pictures[0], model="swin").pixels
    half = halved(engine).enhance(odd_pictures[0], model="swin").pixels
    assert np.abs(whole.astype(int) - half).mean() < 6
