"""The catalogue of models: every entry is whole, served by a family, and fits where it says."""

from __future__ import annotations

import re

import pytest

from vlmtool_core.engine import catalogue
from vlmtool_core.engine.packs.hub_reference import parse_reference
from vlmtool_core.engine.packs.licences import Terms, asks_for_consent
from vlmtool_core.engine.packs.model_folder import ModelFolder
from vlmtool_core.engine.packs.pack import check_id
from vlmtool_core.engine.packs.recommendation import (
    DOMAINS,
    Recommended,
    machine_memory,
    recommend,
    recommended,
)
from vlmtool_core.engine.registry import family_of_folder
from vlmtool_core.engine.runtime.memory import GB, WORKING_ROOM
from vlmtool_core.records import Task

ALL = recommended()
MACHINES = [(8, "cpu"), (16, "cpu"), (8, "cuda"), (16, "cuda"), (24, "cuda"), (80, "cuda")]


@pytest.mark.parametrize("card", ALL, ids=lambda card: card.id)
def test_every_entry_is_whole(card: Recommended) -> None:
    assert check_id(card.id)
    assert parse_reference(card.repo).repo == card.repo
    assert card.tasks
    assert card.domains
    assert set(card.domains) <= set(DOMAINS)
    assert card.devices
    assert set(card.devices) <= {"cpu", "cuda"}
    assert card.stored in {"float32", "float16", "bfloat16"}
    assert 1 <= card.parameters_m <= 100_000
    assert re.fullmatch(r"[a-z0-9.-]+", card.licence)
    assert 10 <= len(card.note) <= 90
    assert card.title
    assert not card.gated or card.consent
    for score in card.scores:
        assert score.value > 0
        assert len(score.measure) > 5
        assert len(score.source) > 5


@pytest.mark.parametrize("card", ALL, ids=lambda card: card.id)
def test_a_family_serves_every_entry_for_its_tasks(card: Recommended) -> None:
    folder = ModelFolder(
        {
            "model_type": card.model_type,
            "architectures": [card.architecture],
            "decoder": {"model_type": card.decoder},
        },
        frozenset({"config.json", "model.safetensors"}),
        card.chat_template,
    )
    family = family_of_folder(folder)
    assert family is not None
    assert set(card.tasks) <= set(family.tasks_of(folder))


def test_names_are_nobody_elses() -> None:
    ids = [card.id for card in ALL]
    starter = catalogue()
    assert len(set(ids)) == len(ids)
    assert not set(ids) & {*starter, *(g for card in starter.values() for g in card.groups)}
    assert len({card.repo for card in ALL}) == len(ALL)


@pytest.mark.parametrize("domain", DOMAINS)
@pytest.mark.parametrize(("memory", "device"), MACHINES)
def test_every_domain_has_something_for_every_machine(domain, memory, device):
    found = recommend(memory, device, domain=domain)
    assert found
    for card in found:
        assert domain in card.domains
        assert card.memory_bytes(device) < memory * GB
    assert set(found) <= set(recommend(memory * 2, device, domain=domain))


def test_the_strongest_comes_first_within_a_task() -> None:
    found = recommend(24, "cuda", domain="general", task=Task.ASK)
    assert [card.id for card in found][:2] == ["qwen3-vl-8b", "qwen3-vl-4b"]
    assert all(Task.ASK in card.tasks for card in found)
    assert next(card.id for card in recommend(24, "cuda", task=Task.SEGMENT)) == "sam2-large"
    assert recommend(24, "cuda", task=Task.ENHANCE) == []
    assert recommend(0.5, "cpu", task=Task.ASK) == []


def test_memory_is_that_of_float32_on_a_cpu_and_half_of_it_on_an_accelerator() -> None:
    card = next(card for card in ALL if card.id == "siglip-base")
    assert card.memory_bytes("cpu") == pytest.approx(203e6 * 4 * WORKING_ROOM)
    assert card.memory_bytes("cuda") == card.memory_bytes("cpu") / 2


def test_the_memory_of_this_machine_is_found() -> None:
    memory, device = machine_memory(None, "cpu")
    assert 0.5 < memory < 10_000
    assert device == "cpu"
    assert machine_memory(12.0, "auto") == (12.0, "cpu")
    assert machine_memory(12.0, "cuda") == (12.0, "cuda")


@pytest.mark.parametrize(
    ("licence", "gated", "asked"),
    [
        ("apache-2.0", False, False), ("MIT", False, False), ("cc-by-4.0", False, False),
        ("apache-2.0", True, True), ("gemma", False, True), ("llama3", False, True),
        ("apple-amlr", False, True), ("health-ai-developer-foundations", False, True),
        ("cc-by-nc-4.0", False, True), ("other", False, True), ("", False, True),
    ],
)  # fmt: skip
def test_which_terms_ask_for_consent(licence, gated, asked):
    assert asks_for_consent(Terms(licence, "", gated)) is asked
