"""`Engine`: frames in, one outcome per frame out; loads families when they are first needed."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from vlmtool_core.engine.chatting import check_turns, converse
from vlmtool_core.engine.family import Family
from vlmtool_core.engine.heads import ProbeHead
from vlmtool_core.engine.one_picture import OnePictureTasks, require_task
from vlmtool_core.engine.packs import builtin_packs
from vlmtool_core.engine.packs.model_store import ModelStore
from vlmtool_core.engine.packs.pack import Pack
from vlmtool_core.engine.registry import family as family_named
from vlmtool_core.engine.rescoring import Rescoring
from vlmtool_core.engine.results import cut_scores
from vlmtool_core.engine.runtime.batch_sizes import BatchSizes
from vlmtool_core.engine.runtime.devices import choose_device
from vlmtool_core.engine.runtime.guarding import guarded, problem_of
from vlmtool_core.engine.runtime.loaded import LoadedModel, LoadedModels
from vlmtool_core.engine.runtime.loading import Computing, PackLoader
from vlmtool_core.engine.runtime.memory import free_memory, memory_budget, memory_of
from vlmtool_core.engine.runtime.numerics import Numerics, with_numerics
from vlmtool_core.engine.texts.answers import AnswerShape
from vlmtool_core.engine.texts.text_space import unique_labels
from vlmtool_core.errors import UsageError
from vlmtool_core.records import ChatTurn, Frame, Label, ModelIdentity, Outcome, Task
from vlmtool_core.settings import load_settings

if TYPE_CHECKING:
    import numpy as np

    from vlmtool_core.engine.pictures.image_input import ImageInput

# Threads that wait for work must sleep, not spin: where another program keeps a core busy,
# spinning makes inference many times slower. OpenMP reads this when torch is imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

DEFAULT_PACKS = {
    Task.CLASSIFY: "starter-vision",
    Task.EMBED: "starter-vision",
    Task.DETECT: builtin_packs.DETECT,
    Task.READ: builtin_packs.READ,
    Task.CAPTION: "starter-llm",
    Task.ASK: builtin_packs.ASK,
}
_DEFAULT_TOP = 5


class Engine(OnePictureTasks, Rescoring, BatchSizes, Computing):
    """The one way to run models. Calls from several threads are served one after the other.

    Parameters
    ----------
    store : where the packs are; the user's model store when left out
    device : "auto" (CUDA if there is one), "cpu" or "cuda"
    memory_budget : bytes that loaded models may take together; as the settings say when None
    numerics : what models compute in and with; float32 in torch when None
    """

    def __init__(
        self,
        store: ModelStore | None = None,
        *,
        device: str = "auto",
        memory_budget: int | None = None,
        numerics: Numerics | None = None,
    ) -> None:
        self.store = store or ModelStore()
        self._wanted_device = device
        self._device = ""
        self._memory_budget = memory_budget
        self._packs = PackLoader(self, numerics or Numerics())
        self._lock = threading.RLock()
        self.models = LoadedModels(
            budget=lambda: self.memory_budget,
            memory=lambda: memory_of(self.device),
            free=lambda: free_memory(self.device),
            smaller=self._packs_that_fit,
        )

    @property
    def wanted_device(self) -> str:
        """ "auto", "cpu" or "cuda", as given."""
        return self._wanted_device

    @property
    def device(self) -> str:
        """ "cpu" or "cuda"; decided on first use."""
        if not self._device:
            self._device = choose_device(self._wanted_device)
        return self._device

    @property
    def memory_budget(self) -> int:
        """Bytes that loaded models may take together."""
        if self._memory_budget is None:
            self._memory_budget = memory_budget(self.device, load_settings().memory_budget_gb)
        return self._memory_budget

    def family(self, pack_id: str) -> Family:
        """The family of a pack, loaded if it is not yet.

        Raises
        ------
        MissingPackError, PackIntegrityError, NotEnoughMemoryError
        """
        return self.models.find(pack_id) or self.load(pack_id)

    def load(self, pack_id: str) -> Family:
        """Load a pack, its hashes checked first; models that are at work are not held up.

        Others that were not used for longest are unloaded to make room.

        Raises
        ------
        MissingPackError, PackIntegrityError
        NotEnoughMemoryError : it cannot fit, even alone; nothing was loaded.
        """
        return self.models.get(self._pack(pack_id), self.memory_needed, self._packs.load)

    def unload(self, pack_id: str | None = None) -> list[str]:
        """Forget a loaded model, or all, and give the memory back; what is at work ends first.

        Returns the ids of those that were loaded.
        """
        with self._lock:
            return self.models.forget(pack_id)

    def loaded(self) -> list[LoadedModel]:
        """(pack id, bytes, last used) of the models that are loaded, the last used first."""
        return self.models.listing()

    def memory_needed(self, pack: Pack) -> int:
        """Bytes that a pack takes when it is loaded here."""
        return self._packs.memory_needed(pack)

    def classify(
        self,
        frames: Sequence[Frame],
        labels: Sequence[Label] | None = None,
        *,
        exclusive: bool = True,
        model: str | None = None,
        head: ProbeHead | None = None,
        threshold: float | None = None,
        top: int | None = None,
    ) -> list[Outcome]:
        """Scores per label: of the model's own classes, of `labels`, or of a trained head.

        Parameters
        ----------
        labels : any labels (zero-shot); None or none at all means the model's own classes.
            A repeated name counts once.
        exclusive : softmax over the labels, else each label on its own
        head : a trained head, which brings its own labels
        threshold : leave out scores below it; an outcome with none left is empty
        top : at most so many scores; 5 for the model's own classes, else all, when left out

        Raises
        ------
        UsageError : an empty label, or a head trained on another model.
        MissingPackError, TaskNotServedError, EngineMemoryError
        """
        wanted = unique_labels(labels) if labels and head is None else None

        def call(family: Family, batch: Sequence[Frame]) -> list[Outcome]:
            if head is not None:
                return head.outcomes(family.embed(batch))
            return family.classify(batch, wanted, exclusive=exclusive)

        model = model or (head.pack if head else None)
        if head is not None:
            self.check_head(head, model)
        outcomes = self._run(Task.CLASSIFY, model, frames, call)
        own_classes = wanted is None and head is None
        limit = top if top is not None else _DEFAULT_TOP if own_classes else None
        return [cut_scores(outcome, threshold, limit) for outcome in outcomes]

    def detect(
        self,
        frames: Sequence[Frame],
        labels: Sequence[Label] | None = None,
        *,
        threshold: float | None = None,
        model: str | None = None,
    ) -> list[Outcome]:
        """Boxes in pixels of the oriented source image, best first.

        The default model finds faces when `labels` is None; of labels it finds faces, text and,
        coarsely, whatever the starter's classes can express.

        Raises
        ------
        UsageError, MissingPackError, TaskNotServedError, EngineMemoryError
        """
        wanted = unique_labels(labels) if labels else None

        def call(family: Family, batch: Sequence[Frame]) -> list[Outcome]:
            return family.detect(batch, wanted, threshold=threshold)

        return self._run(Task.DETECT, model, frames, call)

    def caption(
        self, frames: Sequence[Frame], *, prompt: str | None = None, model: str | None = None
    ) -> list[Outcome]:
        """One sentence per frame, with the evidence that it rests on.

        Raises
        ------
        MissingPackError, TaskNotServedError, EngineMemoryError
        """
        return self._run(
            Task.CAPTION, model, frames, lambda family, batch: family.caption(batch, prompt=prompt)
        )

    def ask(
        self,
        frames: Sequence[Frame],
        question: str,
        *,
        model: str | None = None,
        answer: AnswerShape | None = None,
    ) -> list[Outcome]:
        """An answer per frame with its evidence, or that this model cannot tell (no evidence).

        answer : the form it must have; `Outcome.data` is then what was answered, and an outcome
            whose words are not of that form has failed

        Raises
        ------
        UsageError : an empty question.
        MissingPackError, TaskNotServedError, EngineMemoryError
        """
        if not question.strip():
            raise UsageError("the question is empty", field="question")
        asked = question.strip()
        return self._run(
            Task.ASK, model, frames, lambda family, batch: family.answer(batch, asked, answer)
        )

    def chat(
        self,
        turns: Sequence[ChatTurn],
        *,
        model: str | None = None,
        answer: AnswerShape | None = None,
        max_tokens: int | None = None,
        on_text: Callable[[str], None] | None = None,
    ) -> Outcome:
        """The next turn of a conversation about pictures.

        `on_text` gets pieces of it while it is written. Stopped in the middle
        (`engine.stopping`), it is cancelled, with what was said so far.

        Raises
        ------
        UsageError : the last turn asks nothing, or the model cannot hold this conversation.
        MissingPackError, TaskNotServedError
        """
        check_turns(turns)
        pack_id = model or DEFAULT_PACKS[Task.ASK]
        require_task(self._pack(pack_id), Task.ASK)
        with self._at_work(pack_id) as family:
            outcome = converse(family, turns, answer, max_tokens, on_text)
            return with_numerics(outcome, family.numerics)

    def read(
        self, frames: Sequence[Frame], *, prompt: str | None = None, model: str | None = None
    ) -> list[Outcome]:
        """Text lines in reading order, with quadrilaterals in pixels of the oriented source; or
        the text alone where a model tells no places.

        prompt : how to read, for a model that reads in several ways ("formatted")

        Raises
        ------
        UsageError, TaskNotServedError, EngineMemoryError
        """
        return self._run(Task.READ, model, frames, lambda one, batch: one.read_as(batch, prompt))

    def embed(self, frames: Sequence[Frame], *, model: str | None = None) -> list[Outcome]:
        """`Outcome.embedding`: float32 (d,), L2-normalised.

        Raises
        ------
        MissingPackError, TaskNotServedError, EngineMemoryError
        """
        return self._run(Task.EMBED, model, frames, lambda family, batch: family.embed(batch))

    def decode_side(self, task: Task, model: str | None = None) -> int:
        """Longer side in pixels at which pictures are decoded for this task; loads the model.

        Raises
        ------
        MissingPackError, PackIntegrityError
        """
        return self.family(model or DEFAULT_PACKS[task]).decode_side(task)

    def image_input(self, task: Task, model: str | None = None) -> ImageInput | None:
        """How decoding threads make the network's input for this task; loads the model."""
        return self.family(model or DEFAULT_PACKS[task]).image_input(task)

    def embedding_size(self, model: str | None = None) -> int:
        """The d of `embed`."""
        return self.family(model or DEFAULT_PACKS[Task.EMBED]).embedding_size

    def text_weights(self, labels: Sequence[Label], *, model: str | None = None) -> np.ndarray:
        """float32 (k, d), rows L2-normalised: where a probe over `embed` may start, made from
        the labels' names, prompts and definitions.

        Raises
        ------
        UsageError : a label without a name, or in a language that the encoder does not read.
        """
        unique_labels(labels)
        with self._at_work(model or DEFAULT_PACKS[Task.EMBED]) as family:
            return family.text_weights(labels)

    def _default(self, task: Task) -> str:
        """Id of the pack that serves a task when none is named; where it has none, that is said."""
        return DEFAULT_PACKS.get(task) or self._none_named(task)

    def identity(
        self, task: Task, model: str | None = None, head: ProbeHead | None = None
    ) -> ModelIdentity:
        """Which model speaks for a task; the fingerprint covers all packs that take part.

        Raises
        ------
        MissingPackError, TaskNotServedError
        """
        pack = self._pack(model or (head.pack if head else None) or self._default(task))
        family = family_named(pack.family)
        require_task(pack, task)
        parts = () if head is not None else family.parts.get(task, ())
        prints = [self._packs.fingerprint_of(p) for p in (pack, *map(self._pack, parts))]
        if head is not None:
            prints.append(head.fingerprint)
        joined = hashlib.sha256("\n".join(prints).encode()).hexdigest()
        return ModelIdentity(pack.id, pack.version, joined if len(prints) > 1 else prints[0])

    def check_head(self, head: ProbeHead, model: str | None = None) -> None:
        """Raise `UsageError` unless the head was trained on the pack `model` as it is installed.

        Raises
        ------
        UsageError, MissingPackError
        """
        pack = self._pack(model or head.pack)
        if pack.fingerprint != head.pack_fingerprint:
            raise UsageError(
                f"the trained head belongs to another model than {pack.id} {pack.version}",
                field="head",
                remedy=f"Install the {head.pack} it was trained on, or train again.",
            )

    def _pack(self, pack_id: str) -> Pack:
        return builtin_packs.find(pack_id) or self.store.pack(pack_id)

    def _packs_that_fit(self, pack: Pack, size: int) -> list[str]:
        """Ids of installed packs for the same tasks that take at most `size` bytes."""
        return [
            other.id
            for other in self.store.installed()
            if set(other.tasks) & set(pack.tasks) and self.memory_needed(other) <= size
        ]

    @contextmanager
    def _at_work(self, pack_id: str) -> Iterator[Family]:
        """The family of a pack, for the one call that runs; loaded before the turn is taken."""
        self.load(pack_id)
        with self._lock, self.models.use():
            yield self.family(pack_id)

    def _run(
        self,
        task: Task,
        model: str | None,
        frames: Sequence[Frame],
        call: Callable[[Family, Sequence[Frame]], list[Outcome]],
    ) -> list[Outcome]:
        pack_id = model or DEFAULT_PACKS[task]
        require_task(self._pack(pack_id), task)
        outcomes: list[Outcome | None] = [problem_of(frame) for frame in frames]
        good = [n for n, outcome in enumerate(outcomes) if outcome is None]
        if good:
            with self._at_work(pack_id) as family:
                results = guarded(lambda batch: call(family, batch), [frames[n] for n in good])
            for n, result in zip(good, results, strict=True):
                outcomes[n] = with_numerics(result, family.numerics)
        return [outcome for outcome in outcomes if outcome is not None]
