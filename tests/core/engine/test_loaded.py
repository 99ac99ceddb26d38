"""Several models within a memory budget: who leaves, who stays, and what is told beforehand."""

from __future__ import annotations

import pickle
import sys
import threading
import time
import weakref
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch
from transformers import ViTConfig, ViTForImageClassification, ViTImageProcessor

from vlmtool_core.engine import Engine, ModelStore
from vlmtool_core.engine.family import Family
from vlmtool_core.engine.packs.pack import Pack, PackFile
from vlmtool_core.engine.runtime import memory
from vlmtool_core.engine.runtime.loaded import LoadedModels
from vlmtool_core.engine.runtime.memory import Memory, memory_needed
from vlmtool_core.errors import EngineMemoryError, InferenceError, NotEnoughMemoryError
from vlmtool_core.records import Frame, Label
from vlmtool_core.settings import Settings, save_settings

Build = Callable[..., Path]
FRAME = Frame(np.full((24, 24, 3), 90, np.uint8))


def save_model(
    folder: Path,
    *,
    width: int = 16,
    layers: int = 1,
    side: int = 16,
    dtype: torch.dtype = torch.float32,
) -> Path:
    torch.manual_seed(3)
    config = ViTConfig(
        hidden_size=width, num_hidden_layers=layers, num_attention_heads=2, intermediate_size=32,
        image_size=side, patch_size=8, num_labels=3,
    )  # fmt: skip
    ViTForImageClassification(config).to(dtype).save_pretrained(folder)
    ViTImageProcessor(size={"height": side, "width": side}).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Three models of one size and a larger one."""
    root = tmp_path_factory.mktemp("models")
    found = {name: save_model(root / name) for name in ("one", "two", "three")}
    return {**found, "large": save_model(root / "large", width=128)}


@pytest.fixture
def store(tmp_path: Path, folders: dict[str, Path]) -> ModelStore:
    store = ModelStore(tmp_path / "models")
    for name, folder in folders.items():
        store.add_folder(folder, name)
    return store


@pytest.fixture
def size(store: ModelStore) -> int:
    """What each of the small models is reckoned to take."""
    return memory_needed(store.pack("one"), "float32")


def names(engine: Engine) -> list[str]:
    return [model.pack_id for model in engine.loaded()]


def test_the_model_not_used_for_longest_leaves(store: ModelStore, size: int) -> None:
    engine = Engine(store, device="cpu", memory_budget=2 * size)
    engine.load("one")
    engine.load("two")
    assert engine.classify([FRAME], model="one")[0].scores
    engine.load("three")
    assert names(engine) == ["three", "one"]
    assert all(model.bytes == size and model.last_used > 0 for model in engine.loaded())
    assert engine.classify([FRAME], model="two")[0].scores
    assert names(engine) == ["two", "three"]


def test_an_unloaded_model_gives_its_weights_back(store: ModelStore) -> None:
    engine = Engine(store, device="cpu")
    weights = weakref.ref(engine.load("one"))
    engine.load("two")
    assert engine.unload("one") == ["one"]
    assert weights() is None
    assert engine.unload("one") == []
    assert engine.unload() == ["two"]
    assert engine.loaded() == []


def test_what_cannot_fit_is_told_before_anything_is_touched(store: ModelStore, size: int) -> None:
    engine = Engine(store, device="cpu", memory_budget=size + 10)
    engine.load("one")
    with pytest.raises(NotEnoughMemoryError) as caught:
        engine.classify([FRAME, FRAME], model="large")
    error = caught.value
    assert (error.pack, error.available) == ("large", size + 10)
    assert error.needed > size
    assert "large needs about" in error.message
    assert "one" in error.remedy
    assert "memory_budget_gb" in error.remedy
    assert names(engine) == ["one"]
    again = pickle.loads(pickle.dumps(error))
    assert (again.remedy, again.needed) == (error.remedy, error.needed)


def test_memory_that_other_programs_hold_counts(
    store: ModelStore, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = Engine(store, device="cpu", memory_budget=100 * size)
    found = Memory(100 * size, size - 1)
    monkeypatch.setattr("vlmtool_core.engine.engine.memory_of", lambda _device: found)
    with pytest.raises(NotEnoughMemoryError, match="MB can be used") as caught:
        engine.load("one")
    assert "close other programs" in caught.value.remedy
    assert engine.loaded() == []


def test_a_pack_that_was_replaced_is_loaded_again(store: ModelStore, tmp_path: Path) -> None:
    engine = Engine(store, device="cpu")
    first = engine.load("one")
    assert engine.load("one") is first
    store.remove("one")
    store.add_folder(save_model(tmp_path / "newer", width=32), "one")
    assert engine.load("one") is not first
    assert len(engine.loaded()) == 1


class Parts:
    """`LoadedModels` with families that weigh what the test says."""

    def __init__(self, budget: int = 100, available: int = 10_000) -> None:
        self.available = available
        self.loads: list[str] = []
        self.freed = 0
        self.models = LoadedModels(
            budget=lambda: budget,
            memory=lambda: Memory(10_000, self.available),
            free=self._free,
            smaller=lambda _pack, _size: (),
        )

    def _free(self) -> None:
        self.freed += 1

    def get(self, name: str, size: int, load: Callable[[], None] = lambda: None) -> Family:
        def make(pack: Pack) -> Family:
            self.loads.append(pack.id)
            load()
            return object.__new__(Family)

        return self.models.get(pack_named(name), lambda _pack: size, make)

    def names(self) -> set[str]:
        return {model.pack_id for model in self.models.listing()}


def pack_named(name: str, files: tuple[PackFile, ...] = (), path: Path = Path()) -> Pack:
    return Pack(
        name, "1", name, "none", (), "MIT", (), "test", "", files, path=path, location=path
    )  # fmt: skip


def test_what_a_call_uses_stays_until_its_end() -> None:
    parts = Parts(budget=100)
    parts.get("old", 30)
    with parts.models.use():
        parts.get("composed", 1)
        parts.get("part", 60)
        parts.get("part", 60)
        parts.get("other", 30)
        assert parts.names() == {"composed", "part", "other"}
        with pytest.raises(NotEnoughMemoryError):
            parts.get("fourth", 20)
        assert parts.names() == {"composed", "part", "other"}
    parts.get("fourth", 40)
    assert parts.names() == {"other", "fourth"}


def test_loading_waits_for_the_end_of_another_call() -> None:
    parts = Parts(budget=100)
    waiting = threading.Event()
    with parts.models.use():
        parts.get("busy", 60)
        thread = threading.Thread(
            target=lambda: (waiting.set(), parts.get("next", 60)), daemon=True
        )
        thread.start()
        assert waiting.wait(10)
        assert parts.models.find("busy")
        assert parts.names() == {"busy"}
    thread.join(10)
    assert not thread.is_alive()
    assert parts.names() == {"next"}


def test_a_run_lets_go_of_its_model_between_two_batches() -> None:
    parts = Parts(budget=100)
    one_call, over = threading.RLock(), threading.Event()
    loaded = threading.Event()

    def run() -> None:
        while not over.is_set():
            with one_call, parts.models.use():
                parts.get("run's", 60)
                loaded.set()
                over.wait(0.02)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    assert loaded.wait(10)
    asked = time.monotonic()
    for _ in range(3):
        parts.get("looked at", 60)
    waited = time.monotonic() - asked
    over.set()
    thread.join(10)
    assert waited < 5
    assert parts.loads.count("looked at") >= 1
    assert not parts.models._wanted


def test_a_loaded_model_is_there_while_another_one_is_loading() -> None:
    parts = Parts()
    began, go_on = threading.Event(), threading.Event()
    seen: list[str] = []
    parts.models.loading_changed.connect(seen.append)
    parts.get("ready", 10)

    def slow() -> None:
        began.set()
        assert go_on.wait(10)

    threads = [
        threading.Thread(target=lambda: parts.get("slow", 20, slow), daemon=True) for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    assert began.wait(10)
    assert parts.models.loading == "slow"
    assert parts.models.find("ready")
    assert parts.get("ready", 10)
    go_on.set()
    for thread in threads:
        thread.join(10)
    assert parts.loads == ["ready", "slow"]
    assert seen == ["ready", "", "slow", ""]


def test_a_failed_load_leaves_nothing_behind() -> None:
    parts = Parts(budget=100)

    def broken() -> None:
        raise InferenceError("damaged")

    with pytest.raises(InferenceError):
        parts.get("bad", 80, broken)
    assert parts.models.loading == ""
    parts.get("good", 80)
    assert parts.names() == {"good"}


def test_a_part_loaded_while_its_whole_is_loading_counts_with_it() -> None:
    parts = Parts(budget=100)
    with pytest.raises(NotEnoughMemoryError):
        parts.get("whole", 60, lambda: parts.get("part", 50))
    parts.get("whole", 60, lambda: parts.get("part", 40))
    assert parts.names() == {"whole", "part"}


@pytest.mark.parametrize(
    "failure",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
    ],
)
def test_memory_that_runs_out_while_loading_names_the_model(
    store: ModelStore, monkeypatch: pytest.MonkeyPatch, failure: Exception
) -> None:
    engine = Engine(store, device="cpu")

    def refuse(*_args: object, **_more: object) -> None:
        raise failure

    monkeypatch.setattr(ViTForImageClassification, "from_pretrained", refuse)
    with pytest.raises(NotEnoughMemoryError, match="while one was loaded"):
        engine.load("one")
    assert engine.loaded() == []


def test_out_of_memory_in_a_call_is_not_the_end_of_the_model(store: ModelStore) -> None:
    engine = Engine(store, device="cpu")
    family = engine.load("one")

    def refuse(*_args: object, **_more: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")

    whole, family.classify = family.classify, refuse  # type: ignore[method-assign, assignment]
    with pytest.raises(EngineMemoryError):
        engine.classify([FRAME, FRAME], model="one")
    family.classify = whole  # type: ignore[method-assign]
    assert engine.classify([FRAME], model="one")[0].scores


def test_many_threads_over_a_tight_budget(store: ModelStore, size: int) -> None:
    engine = Engine(store, device="cpu", memory_budget=2 * size)
    failures: list[BaseException] = []

    def work(start: int) -> None:
        try:
            for step in range(6):
                name = ("one", "two", "three")[(start + step) % 3]
                assert engine.classify([FRAME], model=name)[0].scores
        except BaseException as error:  # noqa: BLE001
            failures.append(error)

    threads = [threading.Thread(target=work, args=(n,), daemon=True) for n in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not failures
    assert not any(thread.is_alive() for thread in threads)
    assert sum(model.bytes for model in engine.loaded()) <= 2 * size


def test_the_need_is_what_the_weights_take_when_loaded(store: ModelStore, tmp_path: Path) -> None:
    model = ViTForImageClassification.from_pretrained(store.pack("one").location)
    weights = sum(parameter.numel() for parameter in model.parameters())
    assert memory_needed(store.pack("one"), "float32") == int(weights * 4 * 1.2)
    assert memory_needed(store.pack("one"), "bfloat16") == int(weights * 2 * 1.2)
    store.add_folder(save_model(tmp_path / "half", dtype=torch.float16), "half")
    assert memory_needed(store.pack("half"), "float32") == int(weights * 4 * 1.2)


def test_the_card_is_believed_and_odd_files_are_reckoned(tmp_path: Path) -> None:
    (tmp_path / "broken.safetensors").write_bytes(b"\xff" * 90)
    broken = pack_named("b", (PackFile("broken.safetensors", "", 90),), tmp_path)
    assert memory_needed(broken, "float32") == 108
    gone = pack_named("g", (PackFile("gone.safetensors", "", 50),), tmp_path)
    assert memory_needed(gone, "float32") == 60
    onnx = pack_named("o", (PackFile("m.onnx", "", 100), PackFile("LICENSE", "", 9)), tmp_path)
    assert memory_needed(onnx, "float32") == 240
    assert memory_needed(pack_named("composed"), "float32") == 0


def test_a_containers_limit_counts(tmp_path: Path) -> None:
    (tmp_path / "memory.max").write_text("max\n")
    (tmp_path / "memory.current").write_text("5000\n")
    assert memory._container_limits(tmp_path) == []
    (tmp_path / "memory.max").write_text("8000\n")
    (tmp_path / "memory.stat").write_text("anon 1\ninactive_file 3000\n")
    assert memory._container_limits(tmp_path) == [(8000, 2000)]


def test_the_budget_is_a_part_of_the_memory_unless_it_is_set() -> None:
    total = memory.memory_of("cpu").total
    assert Engine(device="cpu").memory_budget == int(total * 0.6)
    save_settings(Settings(memory_budget_gb=3))
    assert Engine(device="cpu").memory_budget == 3 * 1024**3
    assert Engine(device="cpu", memory_budget=77).memory_budget == 77


@pytest.mark.skipif(sys.platform != "linux", reason="glibc keeps what is freed")
def test_freed_weights_go_back_to_the_system() -> None:
    process = psutil.Process()
    before = process.memory_info().rss
    # Among small blocks that stay, so that the heap cannot simply be cut off at its end.
    weights, staying = [], []
    for _ in range(300):
        weights.append(torch.ones(250_000))
        staying.append(bytearray(60_000))
    held = process.memory_info().rss - before
    weights.clear()
    memory.free_memory("cpu")
    left = process.memory_info().rss - before
    assert held > 250_000_000
    assert left < 80_000_000
    assert len(staying) == 300


@pytest.mark.slow
@pytest.mark.model
def test_the_parts_of_a_composed_model_stay_together(starter_home: Path) -> None:
    parts = ("starter-faces", "starter-text", "starter-vision")
    sizes = [memory_needed(ModelStore().pack(name), "float32") for name in parts]
    labels = [Label("face"), Label("dog")]
    engine = Engine(device="cpu", memory_budget=sum(sizes))
    engine.load("starter-vision")
    engine.load("rapidocr")
    (found,) = engine.detect([FRAME], labels, model="starter-detect")
    assert found.error is None
    assert set(names(engine)) == {"starter-detect", *parts}
    small = Engine(device="cpu", memory_budget=sum(sizes) - 1)
    with pytest.raises(NotEnoughMemoryError):
        small.detect([FRAME, FRAME], labels, model="starter-detect")
