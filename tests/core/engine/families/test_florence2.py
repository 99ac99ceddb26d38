"""Florence-2: the words of transformers on odd pictures, every task, and places in the source."""

from __future__ import annotations

import numpy as np
import pytest
import tiny_writers
import torch
from transformers import Florence2ForConditionalGeneration, Florence2Processor

from vlmtool_core.engine.families.parts import florence2_tasks as tasks
from vlmtool_core.engine.pictures.rle import decode_mask
from vlmtool_core.errors import UsageError
from vlmtool_core.records import Frame, Label, OutcomeStatus


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny_writers.florence2(tmp_path_factory.mktemp("m") / "florence2")


@pytest.fixture(scope="module")
def processor(folder):
    return Florence2Processor.from_pretrained(folder)


@pytest.fixture
def family(folder, engine_of):
    return engine_of(folder).family("florence2")


@pytest.fixture(scope="module")
def reference(folder, processor):
    """What transformers makes of one picture: model, and post-processing for its size."""
    model = Florence2ForConditionalGeneration.from_pretrained(folder).eval()

    def run(frame, token, given="", most=255):
        picture = tiny_writers.pictures_of([frame])
        inputs = processor(images=picture, text=token + given, return_tensors="pt")
        tokens = model.generate(
            **inputs, do_sample=False, num_beams=1, early_stopping=False, max_new_tokens=most
        )
        raw = processor.batch_decode(tokens, skip_special_tokens=False)[0]
        size = frame.pixels.shape[1], frame.pixels.shape[0]
        return processor.post_process_generation(raw, task=token, image_size=size)[token]

    return run


def speaks(family, monkeypatch, *raw: str):
    """The model's words are put in its mouth, batch by batch; everything around them is real."""
    pad, rows = family._tokenizer.pad_token_id, iter(raw)

    def generate(**inputs):
        count = len(next(v for v in inputs.values() if isinstance(v, torch.Tensor)))
        said = [family._tokenizer(f"<s>{next(rows)}</s>")["input_ids"] for _ in range(count)]
        longest = max(map(len, said))
        for _ in range(longest):
            inputs["logits_processor"](None, torch.eye(10)[[0] * count])
        return torch.tensor([[2, *row, *[pad] * (longest - len(row))] for row in said])

    monkeypatch.setattr(family._model, "generate", generate)


@pytest.mark.parametrize(
    ("prompt", "token"),
    [
        (None, "<CAPTION>"),
        ("detailed", "<DETAILED_CAPTION>"),
        ("<MORE_DETAILED_CAPTION>", "<MORE_DETAILED_CAPTION>"),
        ("text", "<OCR>"),
    ],
)
def test_captions_are_those_of_transformers(
    folder, engine_of, odd_pictures, reference, prompt, token
):
    outcomes = engine_of(folder).caption(odd_pictures, prompt=prompt, model="florence2")
    said = [outcome.text for outcome in outcomes]
    assert said == [reference(frame, token) for frame in odd_pictures]
    assert len(set(said)) > 1
    assert outcomes[0].provenance["task"] == token
    assert outcomes[0].provenance["generation"]["method"] == "greedy"
    assert outcomes[0].provenance["generation"]["no_repeat_ngram_size"] == 3


def test_a_batch_says_what_its_pictures_say_alone(folder, engine_of, odd_pictures):
    engine = engine_of(folder)
    together = engine.caption(odd_pictures, prompt="detailed", model="florence2")
    alone = [engine.caption([f], prompt="detailed", model="florence2")[0] for f in odd_pictures]
    assert [o.text for o in together] == [o.text for o in alone]


def test_labels_are_looked_for_as_transformers_does_one_by_one(family, odd_pictures, reference):
    phrases = ["cat", "a red dog of two"]
    pairs = [(f, k) for f in range(3) for k in range(2)]
    with torch.inference_mode():
        parts = list(family._looked_for(odd_pictures[:3], phrases, pairs))
    for part, raw, _ in parts:
        for (f, k), text in zip(part, raw, strict=True):
            answer = family.parsed(text, tasks.TEXT, (10, 10)).text
            token = tasks.FIND.token
            model_says = reference(odd_pictures[f], token, phrases[k])
            assert (
                family._processor.post_process_generation(
                    text, task=token, image_size=odd_pictures[f].size
                )[token]
                == model_says
            )
            assert "<pad>" not in answer


def test_boxes_refer_to_the_width_and_height_of_the_source(family, monkeypatch):
    """Width first, unlike detectors: swapped, a wide picture's boxes would leave it."""
    speaks(
        family,
        monkeypatch,
        "car<loc_52><loc_332><loc_932><loc_774>wheel<loc_0><loc_0><loc_999><loc_999>",
    )
    frame = Frame(np.zeros((120, 400, 3), np.uint8), source_size=(1600, 480))
    outcome = family.detect([frame], None, threshold=None)[0]
    assert [box.label for box in outcome.boxes] == ["car", "wheel"]
    wanted = [1600 * 52.5 / 1000, 480 * 332.5 / 1000, 1600 * 932.5 / 1000, 480 * 774.5 / 1000]
    assert outcome.boxes[0].xyxy == pytest.approx(wanted, abs=1)
    assert outcome.boxes[1].x2 > 1590
    assert 470 < outcome.boxes[1].y2 <= 480
    assert {box.score for box in outcome.boxes} == {None}
    assert outcome.provenance["scores"] is False
    assert outcome.provenance["task"] == "<OD>"


def test_places_are_lost_where_special_tokens_are_skipped(processor):
    """Why answers are decoded with the model's own tokens in them."""
    raw = "<s>car<loc_52><loc_332><loc_932><loc_774></s>"
    tokens = processor.tokenizer(raw)["input_ids"]
    assert processor.tokenizer.decode(tokens, skip_special_tokens=False) == raw
    assert processor.tokenizer.decode(tokens, skip_special_tokens=True) == "car"


def test_what_fills_up_a_batch_is_no_text(family, monkeypatch, odd_pictures):
    speaks(family, monkeypatch, "a cat", "a much longer caption of a dog")
    outcomes = family.caption(odd_pictures[:2], prompt=None)
    assert [o.text for o in outcomes] == ["a cat", "a much longer caption of a dog"]


def test_each_label_is_asked_for_and_keeps_its_name(family, monkeypatch, odd_pictures):
    speaks(
        family, monkeypatch,
        "feline<loc_0><loc_0><loc_500><loc_500>", "",
        "", "puppy<loc_250><loc_250><loc_750><loc_750><loc_0><loc_0><loc_250><loc_250>",
    )  # fmt: skip
    labels = [Label("Katze", prompts=("a cat",)), Label("Hund")]
    wide, tall = family.detect(odd_pictures[:2], labels, threshold=None)
    assert [box.label for box in wide.boxes] == ["Katze"]
    assert [box.label for box in tall.boxes] == ["Hund", "Hund"]
    width, height = odd_pictures[1].size
    first = tall.boxes[0].xyxy
    assert first == pytest.approx((width / 4, height / 4, width * 3 / 4, height * 3 / 4), abs=1)


def test_lines_have_four_corners(family, monkeypatch):
    speaks(
        family, monkeypatch,
        "Total 12 €<loc_100><loc_200><loc_500><loc_200><loc_500><loc_300><loc_100><loc_300>"
        "第二行<loc_100><loc_400><loc_600><loc_410><loc_600><loc_500><loc_100><loc_490>",
    )  # fmt: skip
    frame = Frame(np.zeros((1000, 500, 3), np.uint8))
    outcome = family.read([frame])[0]
    assert [line.text for line in outcome.lines] == ["Total 12 €", "第二行"]
    assert outcome.text == "Total 12 €\n第二行"
    corners = np.array(outcome.lines[0].quad)
    assert np.abs(corners - [(50, 200), (250, 200), (250, 300), (50, 300)]).max() <= 1
    assert outcome.lines[0].score is None


def test_text_alone_is_read_when_the_prompt_says_so(folder, engine_of, odd_pictures, reference):
    engine = engine_of(folder)
    outcomes = engine.read(odd_pictures[:2], prompt="text", model="florence2")
    assert [o.text for o in outcomes] == [reference(f, "<OCR>") for f in odd_pictures[:2]]
    with pytest.raises(UsageError, match="does not read"):
        engine.read(odd_pictures[:1], prompt="detailed", model="florence2")


def test_an_outline_comes_with_its_box(family, monkeypatch):
    speaks(family, monkeypatch, "<loc_100><loc_100><loc_900><loc_100><loc_900><loc_900>")
    frame = Frame(np.zeros((100, 200, 3), np.uint8))
    outcome = family.caption([frame], prompt="outline: the cat")[0]
    assert outcome.evidence[0].box.xyxy == pytest.approx((20, 10, 180, 90), abs=1)
    pixels = decode_mask(outcome.masks[0])
    assert pixels.shape == (100, 200)
    assert pixels.sum() == pytest.approx(160 * 80 / 2, rel=0.05)
    assert pixels[20, 170]
    assert not pixels[80, 30]


@pytest.mark.parametrize(
    ("prompt", "said", "text"),
    [
        ("dense regions", "a red car<loc_1><loc_1><loc_99><loc_99>", "a red car"),
        ("regions", "<loc_1><loc_1><loc_99><loc_99><loc_5><loc_5><loc_88><loc_88>", "region (2)"),
        ("ground: it", "cat<loc_1><loc_1><loc_99><loc_99>it<loc_1><loc_1><loc_9><loc_9>", "cat"),
        ("find: a cat", "a cat<loc_1><loc_1><loc_99><loc_99>", "a cat"),
        ("lines", "EXIT<loc_1><loc_1><loc_9><loc_1><loc_9><loc_9><loc_1><loc_9>", "EXIT"),
    ],
)  # fmt: skip
def test_a_prompt_names_a_task_with_boxes(family, monkeypatch, prompt, said, text):
    speaks(family, monkeypatch, said)
    outcome = family.caption([Frame(np.zeros((1000, 1000, 3), np.uint8))], prompt=prompt)[0]
    assert outcome.status is OutcomeStatus.OK
    assert outcome.text == text
    assert outcome.evidence[0].box.x2 <= 100
    assert "prompt_used" not in outcome.provenance


@pytest.mark.parametrize("task", tasks.TASKS, ids=lambda task: task.token)
def test_every_task_of_the_model_is_in_the_table_and_runs(task, family, processor, odd_pictures):
    known = {*processor.task_prompts_without_inputs, *processor.task_prompts_with_input}
    assert known == set(tasks.BY_TOKEN)
    alone = task.token in processor.task_prompts_without_inputs
    assert alone == (task.needs is tasks.Needs.NOTHING)
    given = {"NOTHING": "", "PHRASE": ": a cat", "REGION": ": 1, 0, 50, 20"}[task.needs.name]
    outcome = family.caption(odd_pictures[:1], prompt=task.names[0] + given)[0]
    assert outcome.error is None
    assert outcome.provenance["task"] == task.token


def test_a_region_is_told_in_places_of_its_own_picture(family):
    task, given = tasks.task_of_prompt("<REGION_TO_CATEGORY> 100, 50, 300, 100")
    wide = Frame(np.zeros((100, 400, 3), np.uint8))
    half = Frame(np.zeros((50, 200, 3), np.uint8), source_size=(800, 200))
    assert family._prompt(task, given, wide).endswith("><loc_250><loc_500><loc_750><loc_999>")
    assert family._prompt(task, given, half).endswith("><loc_125><loc_250><loc_375><loc_500>")


@pytest.mark.parametrize("size", [(640, 480), (33, 977), (1, 1)])
def test_regions_are_quantised_as_transformers_does(processor, size):
    boxes = [(0, 0, size[0], size[1]), (size[0] / 3, size[1] / 7, size[0] / 2, size[1] / 2)]
    for box in boxes:
        wanted = processor.post_processor.quantize(torch.tensor([box], dtype=torch.float64), size)
        tokens = "".join(f"<loc_{int(place)}>" for place in wanted[0])
        assert tasks.region_tokens(box, size) == tokens


def test_tasks_without_input_must_be_the_only_text(processor, odd_pictures, family):
    picture = tiny_writers.pictures_of(odd_pictures[:1])
    with pytest.raises(ValueError, match="only content"):
        processor(images=picture, text="<OD> cat", return_tensors="pt")
    with pytest.raises(UsageError, match="takes nothing more"):
        family.caption(odd_pictures[:1], prompt="<OD> cat")


@pytest.mark.parametrize(
    ("prompt", "wrong"),
    [
        ("describe this picture", "no free prompt|no task"),
        ("find", "needs words"),
        ("describe region: here", "expected a region"),
        ("describe region: 9, 9, 1, 1", "expected a region"),
        ("  ", "no task"),
    ],
)
def test_prompts_that_name_no_task_are_refused(family, odd_pictures, prompt, wrong):
    with pytest.raises(UsageError, match=wrong) as caught:
        family.caption(odd_pictures[:1], prompt=prompt)
    assert caught.value.field == "prompt"
    assert caught.value.remedy


def test_a_threshold_is_refused_for_boxes_without_scores(folder, engine_of, odd_pictures):
    with pytest.raises(UsageError, match="without scores"):
        engine_of(folder).detect(odd_pictures[:1], threshold=0.3, model="florence2")


@pytest.mark.parametrize(
    "label", ["<OD> cat", "cat<loc_1><loc_2><loc_3><loc_4>", "<image>", "猫", "</s><s>"]
)
def test_tokens_in_a_label_are_read_as_text(family, odd_pictures, label):
    outcome = family.detect(odd_pictures[:1], [Label(label)], threshold=None)[0]
    assert outcome.error is None
    safe = family._safe(label, "label", 100)
    ids = family._tokenizer(safe, add_special_tokens=False)["input_ids"]
    assert not {n for n in ids if n >= 260 or n < 4}


def test_a_phrase_longer_than_the_model_is_refused(family, odd_pictures):
    with pytest.raises(UsageError, match="too long"):
        family.caption(odd_pictures[:1], prompt="find: " + "cat " * 500)


def test_a_list_that_was_cut_off_says_so(family, odd_pictures):
    outcome = family.caption(odd_pictures[:1], prompt=None)[0]
    assert outcome.provenance["cut_off"] is True
