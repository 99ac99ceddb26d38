"""torchvision's own detectors: made from its state dicts, the same boxes, harmful files refused."""

from __future__ import annotations

import json
import pickle

import numpy as np
import pytest
import torch
from agreement import assert_agree, expected_boxes, lively
from click.testing import CliRunner

from vlmtool_core.engine.packs.torchvision_folders import class_names, make_detector_folder
from vlmtool_core.engine.runtime.numerics import BFLOAT16, Place
from vlmtool_core.errors import PackIntegrityError, UsageError
from vlmtool_core.records import Frame, Label, OutcomeStatus, Task

LABELS = ["cat", "dog", "remote"]
SMALL = {"min_size": 64, "max_size": 128}
THRESHOLD = 0.3


def _alive(model, pictures=4):
    """Norms that fit the weights, as training leaves them; else all pictures look the same."""
    lively(model, 5)
    norms = [m for m in model.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    for norm in norms:
        norm.train()
        norm.momentum = 1.0
    noise = torch.nn.functional.interpolate(torch.rand(pictures, 3, 12, 16), (96, 128))
    with torch.no_grad():
        model(list(noise))
    return model.eval()


def _published(architecture, path, **options):
    """A state dict as torchvision would publish it; returns the network that it belongs to."""
    from torchvision.models import get_model

    model = get_model(
        architecture, weights=None, weights_backbone=None, num_classes=len(LABELS) + 1, **options
    )
    torch.save(_alive(model).state_dict(), path)
    return model


def _set_options(folder, options):
    file = folder / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "options": options}))


@pytest.fixture(
    scope="module",
    params=[
        ("ssdlite320_mobilenet_v3_large", {}),
        ("fasterrcnn_mobilenet_v3_large_320_fpn", SMALL),
    ],
    ids=["ssdlite", "fasterrcnn"],
)
def made(request, tmp_path_factory):
    """The folder, and torchvision's own network."""
    name, options = request.param
    root = tmp_path_factory.mktemp("torchvision")
    model = _published(name, root / "weights.pth", **options)
    make_detector_folder(root / "weights.pth", root / "detector", name, LABELS)
    _set_options(root / "detector", options)
    return root / "detector", model


@torch.inference_mode()
def _their_boxes(model, frame):
    picture = torch.tensor(frame.pixels).permute(2, 0, 1) / 255
    [result] = model([picture])
    keep = result["scores"] >= THRESHOLD
    result = {name: result[name][keep] for name in ("boxes", "scores", "labels")}
    names = [LABELS[int(n) - 1] for n in result["labels"]]
    return expected_boxes(result, names, frame)


def test_the_boxes_are_those_of_torchvision(made, engine_of, odd_pictures):
    folder, model = made
    outcomes = engine_of(folder).detect(odd_pictures, threshold=THRESHOLD, model="detector")
    compared = 0
    for frame, outcome in zip(odd_pictures, outcomes, strict=True):
        assert outcome.status is not OutcomeStatus.FAILED, outcome.error
        if frame.size == (200, 1) and model.transform.fixed_size is None:
            with pytest.raises(RuntimeError):  # it would be 0 pixels high
                _their_boxes(model, frame)
            continue
        expected = _their_boxes(model, frame)
        assert_agree(outcome, expected)
        compared += len(expected)
    assert compared


def test_one_by_one_and_together_are_the_same(made, engine_of, odd_pictures):
    engine = engine_of(made[0])
    options = {"threshold": THRESHOLD, "model": "detector"}
    frames = [*odd_pictures, odd_pictures[0]]
    for frame, outcome in zip(frames, engine.detect(frames, **options), strict=True):
        assert_agree(engine.detect([frame], **options)[0], outcome.boxes)


def test_labels_select_among_the_own_classes(made, engine_of, odd_pictures):
    engine, options = engine_of(made[0]), {"threshold": 0.0, "model": "detector"}
    [every] = engine.detect([odd_pictures[0]], **options)
    [dogs] = engine.detect([odd_pictures[0]], [Label("Dog")], **options)
    assert [b.xyxy for b in dogs.boxes] == [b.xyxy for b in every.boxes if b.label == "dog"]
    assert every.provenance["suppression"] in {0.5, 0.55}
    with pytest.raises(UsageError, match="no class 'cats' among its 3") as error:
        engine.detect([odd_pictures[0]], [Label("cats")], **options)
    assert "cat" in error.value.remedy


def test_a_strip_and_a_dot_are_looked_at(made, engine_of):
    shapes = [(1, 20000, 3), (20000, 1, 3), (1, 1, 3)]
    frames = [Frame(np.full(shape, 90, np.uint8)) for shape in shapes]
    for outcome in engine_of(made[0]).detect(frames, threshold=0.0, model="detector"):
        assert outcome.status is not OutcomeStatus.FAILED, outcome.error


def test_pictures_are_decoded_no_larger_than_needed(made, engine_of):
    side = engine_of(made[0]).family("detector").decode_side(Task.DETECT)
    assert side == (640 if made[1].transform.fixed_size else 128)


def test_half_precision_keeps_scores_close(made, engine_of, odd_pictures):
    engine = engine_of(made[0])
    plain = engine.family("detector")
    half = type(plain)(plain.pack, Place(engine, BFLOAT16))
    one, other = (f.detect(odd_pictures[:1], None, threshold=0.0)[0] for f in (plain, half))
    # Random weights through seventy layers make more of a rounding than trained ones do.
    assert one.boxes[0].score == pytest.approx(other.boxes[0].score, abs=0.25)


@pytest.mark.slow
def test_published_weights_with_bare_variances_are_read_so(tmp_path, engine_of, odd_pictures):
    """torchvision sets the epsilon of the frozen norms to 0 when it loads these; else all boxes
    move."""
    from torchvision.models.detection import FasterRCNN
    from torchvision.models.detection._utils import overwrite_eps
    from torchvision.models.detection.backbone_utils import resnet_fpn_backbone

    backbone = resnet_fpn_backbone(backbone_name="resnet50", weights=None, trainable_layers=3)
    model = lively(FasterRCNN(backbone, num_classes=91, **SMALL), 5)
    with torch.no_grad():
        for module in model.modules():
            if hasattr(module, "running_var"):  # so small that any epsilon counts
                module.running_var.fill_(1e-4)
                module.weight.fill_(0.005)
    overwrite_eps(model, 0.0)
    torch.save(model.state_dict(), tmp_path / "weights.pth")
    folder = tmp_path / "detector"
    name = "fasterrcnn_resnet50_fpn"
    config = make_detector_folder(tmp_path / "weights.pth", folder, name).config
    _set_options(folder, SMALL)
    assert config["batch_norm_eps"] == 0.0
    classes = class_names(config)
    assert len(classes) == 80
    assert classes[1] == "person"
    wide = odd_pictures[0]
    with torch.inference_mode():
        [result] = model([torch.tensor(wide.pixels).permute(2, 0, 1) / 255])
    names = [classes.get(int(n), "N/A") for n in result["labels"]]
    expected = [b for b in expected_boxes(result, names, wide) if b.label != "N/A"]
    assert expected
    [outcome] = engine_of(folder).detect([wide], threshold=0.0, model="detector")
    assert_agree(outcome, expected)


def test_the_command_makes_a_folder_that_can_be_added(tmp_path, engine_of):
    from vlmtool_core.cli.models_torchvision import torchvision

    name = "ssdlite320_mobilenet_v3_large"
    _published(name, tmp_path / "weights.pth")
    folder = tmp_path / "mine"
    labels = [part for label in LABELS for part in ("--label", label)]
    args = [str(tmp_path / "weights.pth"), str(folder), "--architecture", name, *labels]
    result = CliRunner().invoke(torchvision, args, catch_exceptions=False)
    assert result.exit_code == 0
    assert sorted(path.name for path in folder.iterdir()) == ["config.json", "model.safetensors"]
    pack = engine_of(folder).store.pack("mine")
    assert pack.tasks == (Task.DETECT,)
    assert pack.family == "torchvision-detector"
    with pytest.raises(UsageError, match="not empty"):
        make_detector_folder(tmp_path / "weights.pth", folder, name, LABELS)


class _Payload:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def test_a_pickle_with_code_is_refused_and_not_run(tmp_path):
    (tmp_path / "bad.pth").write_bytes(pickle.dumps(_Payload(tmp_path / "ran")))
    torch.save({"x": _Payload(tmp_path / "ran")}, tmp_path / "worse.pth")
    for name in ("bad.pth", "worse.pth"):
        with pytest.raises(PackIntegrityError, match="no plain weights"):
            make_detector_folder(tmp_path / name, tmp_path / "out", "ssd300_vgg16")
    assert not (tmp_path / "ran").exists()
    assert not (tmp_path / "out").exists()


def test_weights_of_another_network_are_refused(tmp_path):
    torch.save({"x": torch.zeros(2)}, tmp_path / "other.pth")
    with pytest.raises(PackIntegrityError, match="not of this network"):
        make_detector_folder(
            tmp_path / "other.pth", tmp_path / "out", "ssdlite320_mobilenet_v3_large"
        )
    torch.save([torch.zeros(2)], tmp_path / "list.pth")
    with pytest.raises(PackIntegrityError, match="no state dict"):
        make_detector_folder(tmp_path / "list.pth", tmp_path / "out", "ssd300_vgg16")
    with pytest.raises(UsageError, match="no detector 'yolov8'"):
        make_detector_folder(tmp_path / "other.pth", tmp_path / "out", "yolov8")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"options": {"rpn_head": "x"}}, "unknown: rpn_head"),
        ({"architecture": "resnet18"}, "no detector 'resnet18'"),
        ({"weights": "../model.safetensors"}, "beside config.json"),
    ],
)
def test_a_config_that_asks_for_something_else_is_refused(tmp_path, engine_of, change, words):
    name = "ssdlite320_mobilenet_v3_large"
    _published(name, tmp_path / "weights.pth")
    folder = tmp_path / "detector"
    make_detector_folder(tmp_path / "weights.pth", folder, name, LABELS)
    file = folder / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **change}))
    with pytest.raises(Exception, match=words):
        engine_of(folder).family("detector")
