"""What all captioners and readers with plain prompts have in common."""

from __future__ import annotations

import json

import numpy as np
import pytest
import tiny_writers
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from vlmtool_core.engine.families.parts.writing import centre
from vlmtool_core.engine.packs.model_folder import ModelFolder, read_model_folder
from vlmtool_core.engine.registry import family_of_folder
from vlmtool_core.errors import PackError
from vlmtool_core.media import open_media
from vlmtool_core.records import Frame, Outcome, Task

MAKERS = {
    "blip": tiny_writers.blip,
    "git": tiny_writers.git,
    "blip-2": tiny_writers.blip2,
    "kosmos-2": tiny_writers.kosmos2,
    "paligemma": tiny_writers.paligemma,
    "florence2": tiny_writers.florence2,
    "got-ocr2": tiny_writers.got_ocr2,
    "trocr": tiny_writers.trocr,
    "encoder-decoder": tiny_writers.vit_gpt2,
}


@pytest.fixture(scope="module", params=MAKERS)
def folder(request, tmp_path_factory):
    return MAKERS[request.param](tmp_path_factory.mktemp("m") / request.param)


def said_by(family, frames) -> list[Outcome]:
    family.most_tokens = 12
    if Task.CAPTION in family.pack.tasks:
        return family.caption(frames, prompt=None)
    return family.read(frames)


def test_the_folder_is_claimed_before_any_chat_family(folder):
    model = read_model_folder(folder)
    chatty = ModelFolder(model.config, model.files | {"chat_template.jinja"}, chat_template=True)
    assert family_of_folder(model).name == folder.name
    assert family_of_folder(chatty).name == folder.name


@pytest.mark.parametrize(
    ("model_type", "architecture", "tasks"),
    [
        ("blip", "BlipForQuestionAnswering", {"ask"}),
        ("blip", "BlipForConditionalGeneration", {"caption"}),
        ("blip-2", "Blip2ForConditionalGeneration", {"caption", "ask"}),
        ("git", "GitForCausalLM", {"caption", "ask"}),
        ("kosmos-2", "Kosmos2ForConditionalGeneration", {"caption", "ask"}),
        ("paligemma", "PaliGemmaForConditionalGeneration", {"caption", "ask", "detect"}),
        ("florence2", "Florence2ForConditionalGeneration", {"caption", "detect", "read"}),
        ("got_ocr2", "GotOcr2ForConditionalGeneration", {"read"}),
    ],
)
def test_each_checkpoint_serves_what_it_has_a_head_for(model_type, architecture, tasks):
    model = ModelFolder({"model_type": model_type, "architectures": [architecture]})
    assert set(family_of_folder(model).tasks_of(model)) == tasks


def test_a_head_that_writes_nothing_is_not_taken_for_a_captioner():
    for name in ("BlipForImageTextRetrieval", "BlipModel"):
        found = family_of_folder(ModelFolder({"model_type": "blip", "architectures": [name]}))
        assert found is None or found.name != "blip"


def test_a_checkpoint_that_lacks_weights_is_refused(engine_of, tmp_path, odd_pictures):
    """transformers would fill them with random numbers, and the model would answer with noise."""
    folder = tiny_writers.florence2(tmp_path / "florence")
    weights = load_file(folder / "model.safetensors")
    other = {name.replace("model.vision_tower", "vision"): w for name, w in weights.items()}
    save_file(other, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(PackError, match=r"lacks .* such as model\.vision_tower") as caught:
        engine_of(folder).caption(odd_pictures[:1], model="florence")
    assert "layout of transformers" in caught.value.remedy


def test_a_checkpoint_without_an_unused_pooler_is_taken(engine_of, tmp_path):
    folder = tiny_writers.trocr(tmp_path / "trocr")
    weights = load_file(folder / "model.safetensors")
    kept = {name: w for name, w in weights.items() if "pooler" not in name}
    assert len(kept) < len(weights)
    save_file(kept, folder / "model.safetensors", metadata={"format": "pt"})
    assert engine_of(folder).family("trocr").tasks == (Task.READ,)


def test_a_rotated_photo_is_seen_upright(folder, engine_of, tmp_path):
    """Handed a path, some processors of transformers read a photo without its orientation."""
    y, x = np.mgrid[:48, :96]
    pixels = np.stack([x * 2, y * 5, np.full_like(x, 90)], axis=2).astype(np.uint8)
    rotated = Image.Exif()
    rotated[0x0112] = 6
    Image.fromarray(pixels).save(tmp_path / "photo.jpg", quality=100, exif=rotated)
    with open_media(tmp_path / "photo.jpg") as source:
        frame = source.frame(0)
    assert frame.size == (48, 96)
    family = engine_of(folder).family(folder.name)
    seen = family._inputs([frame])["pixel_values"]
    upright = family._inputs([Frame(np.ascontiguousarray(np.rot90(pixels, -1)))])["pixel_values"]
    lying = family._inputs([Frame(pixels)])["pixel_values"]
    assert (seen - upright).abs().mean() < 0.05
    assert (seen - lying).abs().mean() > 0.2


def test_a_picture_of_one_by_twenty_thousand_is_taken(folder, engine_of):
    strip = Frame(np.full((1, 20_000, 3), 120, np.uint8))
    family = engine_of(folder).family(folder.name)
    if folder.name == "trocr":  # as a line that was found: finding them is rapidocr's part
        family.most_tokens = 12
        assert len(family.read_lines([strip.pixels])) == 1
    else:
        assert said_by(family, [strip])[0].error is None


@pytest.mark.parametrize("shape", [(1, 20_000), (20_000, 1), (3, 20_001), (40, 30), (1, 1)])
def test_the_middle_of_a_strip_stays_in_the_middle(shape):
    rng = np.random.default_rng(1)
    pixels = rng.integers(0, 255, (*shape, 3), np.uint8)
    cut = centre(pixels)
    assert max(cut.shape) <= 16 * min(shape) + 1 or cut.shape == pixels.shape
    for whole, part in zip(pixels.shape[:2], cut.shape[:2], strict=True):
        assert (whole - part) % 2 == 0
    ends = [(whole - part) // 2 for whole, part in zip(pixels.shape, cut.shape, strict=True)]
    assert (pixels[ends[0] :, ends[1] :][: cut.shape[0], : cut.shape[1]] == cut).all()


def test_it_runs_in_bfloat16(folder, engine_of, odd_pictures):
    family = engine_of(folder).family(folder.name)
    family._model.to(torch.bfloat16)
    outcomes = said_by(family, odd_pictures[:2])
    assert all(outcome.error is None for outcome in outcomes)
    assert outcomes[0].provenance["dtype"] == "bfloat16"


def test_nothing_is_written_to_the_terminal(folder, engine_of, odd_pictures, capfd):
    family = engine_of(folder).family(folder.name)
    capfd.readouterr()
    said_by(family, odd_pictures[:2])
    assert capfd.readouterr() == ("", "")


def test_provenance_can_be_kept(folder, engine_of, odd_pictures):
    outcome = said_by(engine_of(folder).family(folder.name), odd_pictures[:1])[0]
    kept = json.loads(json.dumps(dict(outcome.provenance)))
    assert kept["generation"]["method"] == "greedy"
    assert kept["generation"]["most_tokens"] > 0
    assert len(kept["input"]) == 2
    assert kept["processor"]["size"]


def test_pictures_are_decoded_no_larger_than_needed(folder, engine_of):
    family = engine_of(folder).family(folder.name)
    if Task.READ in family.pack.tasks and Task.CAPTION not in family.pack.tasks:
        assert family.decode_side(Task.READ) == 2560
    else:
        assert family.decode_side(Task.CAPTION) == 3 * max(family._input_size) < 2048
