"""The base of all families: one method per task, and what a loaded model may ask the engine for."""

# ruff: noqa: ARG002  (the base refuses; its subclasses use the arguments)
from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar, Protocol

from vlmtool_core.engine.packs.model_folder import ModelFolder
from vlmtool_core.engine.packs.pack import Pack
from vlmtool_core.engine.texts.answers import AnswerShape, validated
from vlmtool_core.errors import TaskNotServedError, UsageError
from vlmtool_core.records import (
    ChatTurn,
    Enhanced,
    Frame,
    Json,
    Label,
    Outcome,
    SegmentPrompt,
    Task,
)

if TYPE_CHECKING:
    import numpy as np

    from vlmtool_core.engine.pictures.image_input import ImageInput


# Longer side in pixels that is enough for a task, where a family does not know its own; boxes
# still refer to the source's pixels.
DECODE_SIDE: Mapping[Task, int] = {
    Task.CLASSIFY: 640,
    Task.EMBED: 640,
    Task.DETECT: 2048,
    Task.CAPTION: 2048,
    Task.ASK: 2048,
    Task.READ: 2560,
    Task.SEGMENT: 2048,
    Task.ENHANCE: 2048,
}


class Surroundings(Protocol):
    """What a family gets from the engine: the device and the other loaded packs.

    device : "cpu" or "cuda"
    dtype : what weights are loaded in: "float32" or "bfloat16"
    backend : "torch", or the runtime for the parts that the family can run elsewhere
    compiled : whether torch compiles those parts
    """

    @property
    def device(self) -> str: ...

    @property
    def dtype(self) -> str: ...

    @property
    def backend(self) -> str: ...

    @property
    def compiled(self) -> bool: ...

    def family(self, pack_id: str) -> Family:
        """The loaded family of another pack; `MissingPackError` if it is not installed."""
        ...


class Family:
    """A loaded model. Subclasses override the methods of the tasks that they serve.

    Every method takes frames and returns one `Outcome` per frame, in order; what fails for one
    frame is `Outcome.failed` for that frame only.

    parts : ids of the other packs whose weights also decide the outcome, by task
    rescores : whether labels are scored from embeddings alone (`label_scores`)
    dtypes, backends : what it can compute in, and with
    model_types : `model_type`s of transformers whose folders belong to this family
    architectures : endings of the architecture's name that it must have, any when empty
    fallback : asked only when no other family serves a folder
    """

    name: ClassVar[str] = ""
    tasks: ClassVar[tuple[Task, ...]] = ()
    model_types: ClassVar[tuple[str, ...]] = ()
    architectures: ClassVar[tuple[str, ...]] = ()
    fallback: ClassVar[bool] = False
    parts: ClassVar[Mapping[Task, tuple[str, ...]]] = {}
    rescores: ClassVar[bool] = False
    dtypes: ClassVar[tuple[str, ...]] = ("float32",)
    backends: ClassVar[tuple[str, ...]] = ("torch",)

    def __init__(self, pack: Pack, surroundings: Surroundings) -> None:
        self.pack = pack
        self.surroundings = surroundings
        self.device = surroundings.device

    @property
    def fingerprint(self) -> str:
        """The pack's, another one where the family computes otherwise than float32 in torch."""
        from vlmtool_core.engine.runtime.loading import fingerprint_in

        return fingerprint_in(self.pack, self.dtype, self.backend)

    @property
    def dtype(self) -> str:
        """What it computes in: "float32" or "bfloat16"."""
        wanted = self.surroundings.dtype
        return wanted if wanted in self.dtypes else "float32"

    @property
    def backend(self) -> str:
        """What runs it: "torch", or another runtime for a part of it."""
        wanted = self.surroundings.backend
        return wanted if wanted in self.backends else "torch"

    @property
    def numerics(self) -> dict[str, Json]:
        """What differs from float32 in torch, for provenance."""
        plain = {"dtype": "float32", "backend": "torch"}
        used = {"dtype": self.dtype, "backend": self.backend}
        return {key: value for key, value in used.items() if value != plain[key]}

    @classmethod
    def serves(cls, folder: ModelFolder) -> bool:
        """Whether this folder of a model belongs to this family."""
        if cls.model_types and folder.model_type not in cls.model_types:
            return False
        if cls.architectures:
            return any(name.endswith(cls.architectures) for name in folder.architectures)
        return bool(cls.model_types)

    @classmethod
    def tasks_of(cls, folder: ModelFolder) -> tuple[Task, ...]:  # noqa: ARG003
        """The tasks that this model serves; all of the family's unless it has no head for some."""
        return cls.tasks

    def decode_side(self, task: Task) -> int:
        """Longer side in pixels at which pictures are decoded for a task: what is enough for it.

        Families whose input is small override it, so that less is decoded.
        """
        return DECODE_SIDE[task]

    def image_input(self, task: Task) -> ImageInput | None:
        """How pictures become the network's input where that needs nothing but the picture; the
        threads that decode then do it. None: `decode_side` says how large pictures come.
        """
        return None

    def classify(
        self, frames: Sequence[Frame], labels: Sequence[Label] | None, *, exclusive: bool
    ) -> list[Outcome]:
        """All scores, best first: over the model's own classes, or over `labels`."""
        raise self._not_served(Task.CLASSIFY)

    def detect(
        self,
        frames: Sequence[Frame],
        labels: Sequence[Label] | None,
        *,
        threshold: float | None,
    ) -> list[Outcome]:
        raise self._not_served(Task.DETECT)

    def caption(self, frames: Sequence[Frame], *, prompt: str | None) -> list[Outcome]:
        raise self._not_served(Task.CAPTION)

    def ask(self, frames: Sequence[Frame], question: str) -> list[Outcome]:
        raise self._not_served(Task.ASK)

    def answer(
        self, frames: Sequence[Frame], question: str, shape: AnswerShape | None
    ) -> list[Outcome]:
        """`ask`, with answers of a form; those that are not of it have failed."""
        return [validated(outcome, shape) for outcome in self.ask(frames, question)]

    def chat(
        self,
        turns: Sequence[ChatTurn],
        *,
        answer: AnswerShape | None,
        most_tokens: int | None,
        on_text: Callable[[str], None] | None,
    ) -> Outcome:
        """The next turn of a conversation, told in pieces while it is written.

        Models that cannot converse answer one question about one picture.
        """
        if len(turns) != 1 or len(turns[0].frames) != 1:
            raise UsageError(
                f"{self.pack.id} answers one question about one picture at a time",
                field="turns",
                remedy="Give one picture, or choose a chat model with --model.",
            )
        outcome = self.answer(turns[0].frames, turns[0].text, answer)[0]
        if on_text is not None and outcome.text:
            on_text(outcome.text)
        return outcome

    def read(self, frames: Sequence[Frame]) -> list[Outcome]:
        raise self._not_served(Task.READ)

    def read_as(self, frames: Sequence[Frame], prompt: str | None) -> list[Outcome]:
        """`read`, in the way that the prompt names where a model reads in several ways."""
        if prompt is not None:
            raise UsageError(
                f"{self.pack.id} reads in one way only",
                field="prompt",
                remedy="Leave the prompt out.",
            )
        return self.read(frames)

    def segment(self, frame: Frame, prompts: Sequence[SegmentPrompt]) -> Outcome:
        """One mask per prompt, at the size of the oriented source."""
        raise self._not_served(Task.SEGMENT)

    def enhance(self, frame: Frame, options: Mapping[str, Json]) -> Enhanced:
        """A derived picture; `options` are the method's own, and unknown ones are refused."""
        raise self._not_served(Task.ENHANCE)

    def embed(self, frames: Sequence[Frame]) -> list[Outcome]:
        """Outcomes with float32 (d,), L2-normalised."""
        raise self._not_served(Task.EMBED)

    @property
    def embedding_size(self) -> int:
        raise self._not_served(Task.EMBED)

    def text_weights(self, labels: Sequence[Label]) -> np.ndarray:
        """float32 (k, d), rows L2-normalised: a linear classifier over `embed` made from texts."""
        raise self._not_served(Task.EMBED)

    def label_scores(
        self, embeddings: np.ndarray, labels: Sequence[Label], *, exclusive: bool
    ) -> np.ndarray:
        """float32 (n, k), as `classify` scores pictures whose `embed` is float32 (n, d)."""
        raise self._not_served(Task.CLASSIFY)

    def classify_embedded(
        self, embeddings: np.ndarray, labels: Sequence[Label], *, exclusive: bool
    ) -> list[Outcome]:
        """`classify` of pictures whose `embed` is float32 (n, d), without the pictures."""
        raise self._not_served(Task.CLASSIFY)

    def encode_texts(self, texts: Sequence[str]) -> np.ndarray:
        """float32 (n, d), L2-normalised."""
        raise TaskNotServedError(f"{self.pack.id} has no text encoder", field="model")

    def _not_served(self, task: Task) -> TaskNotServedError:
        return TaskNotServedError(f"{self.pack.id} does not serve {task.value}", field="model")
