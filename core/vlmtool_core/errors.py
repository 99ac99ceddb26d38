"""The error tree: every error says what happened, where, and what to do about it.

VlmtoolError
├── UsageError                    exit 2: the call itself is wrong
├── CancelledError                exit 130: the user stopped it
├── MissingError                  exit 3: something is not installed
│   ├── MissingPackError
│   └── MissingDependencyError
├── StorageError                  a disk is full or read-only
├── MediaError
│   ├── MediaNotFoundError
│   ├── UnsupportedMediaError
│   ├── DamagedMediaError
│   └── BudgetExceededError
├── PackError
│   ├── PackDownloadError
│   ├── PackAccessError           its owner must let this user in first
│   ├── LicenceError              its terms must be accepted first
│   └── PackIntegrityError
├── EngineError
│   ├── TaskNotServedError
│   ├── InferenceError
│   ├── AnswerError               what a model wrote is not of the form that was asked for
│   ├── EngineMemoryError         a smaller batch may help
│   ├── WorkerDiedError
│   ├── NotEnoughMemoryError      the model does not fit; nothing was loaded
│   └── HostError
│       └── HostRestartedError    not the request's fault: ask again
├── ProjectError
│   ├── ProjectNotFoundError
│   ├── ProjectExistsError
│   ├── ProjectBusyError
│   ├── NewerProjectError
│   ├── CorruptProjectError
│   └── RecordNotFoundError
├── FormatError                   a file to import has a wrong field
├── TrainingError
│   ├── NotEnoughLabelsError
│   └── GateRefusedError
└── PluginError
    └── WorkflowError

Only the edges (command line, window, engine host) turn these into text, exit codes or
messages; nobody else catches broadly.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path


class VlmtoolError(Exception):
    """Base of every error a user may see.

    Parameters
    ----------
    message : what happened, as a sentence without the path.
    remedy : what the user can do, as an imperative sentence or a command.
    path : the file or folder concerned.
    field : the field, column, tag or option concerned.
    """

    code = "error"
    exit_code = 1
    default_remedy = "Run the command again with --debug and read the log."

    def __init__(
        self,
        message: str,
        *,
        remedy: str | None = None,
        path: Path | str | None = None,
        field: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy or self.default_remedy
        self.path = None if path is None else str(path)
        self.field = field

    def __str__(self) -> str:
        where = f"{self.path}: " if self.path else ""
        field = f"[{self.field}] " if self.field else ""
        return f"{where}{field}{self.message}"


class UsageError(VlmtoolError):
    """The call is wrong: an option, a value or a combination of them."""

    code = "usage"
    exit_code = 2
    default_remedy = "See --help."


class CancelledError(VlmtoolError):
    """The user stopped the job; what was finished is kept."""

    code = "cancelled"
    exit_code = 130
    default_remedy = "Run it again: it goes on where it stopped."


class MissingError(VlmtoolError):
    """Something that the job needs is not installed."""

    code = "missing"
    exit_code = 3


class MissingPackError(MissingError):
    """A model pack is not in the local model store."""

    code = "missing-pack"
    default_remedy = "Run: vlmtool-cli models pull starter"


class MissingDependencyError(MissingError):
    """A library (Python package or shared library) is not installed."""

    code = "missing-dependency"
    default_remedy = "Run: vlmtool-cli doctor"


class StorageError(VlmtoolError):
    """A disk is full, read-only or refuses access."""

    code = "storage"
    default_remedy = "Free some space or choose a folder that you may write to."


class MediaError(VlmtoolError):
    """A picture, DICOM object or video cannot be used."""

    code = "media"
    default_remedy = "Check the file in the program that made it."


class MediaNotFoundError(MediaError):
    """The file is not there or may not be read."""

    code = "media-not-found"
    default_remedy = "Check the path and its permissions."


class UnsupportedMediaError(MediaError):
    """The file is of a kind, or in a coding, that nothing here decodes."""

    code = "media-unsupported"


class DamagedMediaError(MediaError):
    """The file is truncated, empty or contradicts its own header."""

    code = "media-damaged"
    default_remedy = "Copy the file again from its source."


class BudgetExceededError(MediaError):
    """Decoding would take more memory, pixels or frames than allowed."""

    code = "media-budget"
    default_remedy = "Raise the limit in the settings (media.*), if you trust the file."


class PackError(VlmtoolError):
    """A model pack cannot be used."""

    code = "pack"


class PackDownloadError(PackError):
    """A pack's source could not be fetched."""

    code = "pack-download"
    default_remedy = "Check the network and pip's configuration, then pull again."


class PackAccessError(PackError):
    """The hub gives a repository only to users who were let in, or not with this token."""

    code = "pack-access"
    default_remedy = "Ask for access on the repository's page, then set HF_TOKEN to your token."


class LicenceError(PackError):
    """A pack's terms ask for the user's consent, which was not given."""

    code = "licence"
    default_remedy = "Read the terms; if you accept them, pull again with --accept-licence."


class PackIntegrityError(PackError):
    """A pack's file is missing or its SHA-256 is not the one on the card."""

    code = "pack-integrity"
    default_remedy = "Pull the pack again: only the broken files are fetched."


class EngineError(VlmtoolError):
    """Inference cannot go on."""

    code = "engine"


class TaskNotServedError(EngineError):
    """The chosen model does not serve the task."""

    code = "task-not-served"
    exit_code = 2
    default_remedy = "Choose another model: vlmtool-cli models list"


class InferenceError(EngineError):
    """The model failed on this frame."""

    code = "inference"


class AnswerError(EngineError):
    """What the model wrote is not of the form that was asked for."""

    code = "answer"
    default_remedy = "Ask in other words, allow a simpler form, or choose another model."


class EngineMemoryError(EngineError):
    """Memory ran out during inference; the same frames in smaller batches may fit."""

    code = "engine-memory"
    default_remedy = "Use a smaller batch (settings: batch_size) or close other programs."


class NotEnoughMemoryError(EngineError):
    """A model needs more memory than it may take; told before anything is loaded.

    pack : its id; needed, available : bytes, `available` when all other models are unloaded
    """

    code = "not-enough-memory"
    default_remedy = "Choose a smaller model, or close other programs."
    pack = ""
    needed = 0
    available = 0

    @classmethod
    def of(
        cls, pack: str, *, needed: int, available: int, budget: int, smaller: Sequence[str] = ()
    ) -> NotEnoughMemoryError:
        """budget : bytes that models may take at all; smaller : packs that would fit"""
        others = ", ".join(smaller) or "vlmtool-cli models recommend"
        if needed > budget:
            way_out = "raise memory_budget_gb in the settings"
        else:
            way_out = "close other programs"
        error = cls(
            f"{pack} needs about {in_gb(needed)} of memory, and {in_gb(available)} can be used",
            remedy=f"Choose a smaller model ({others}), or {way_out}.",
            field="model",
        )
        error.pack, error.needed, error.available = pack, needed, available
        return error


def in_gb(size: int) -> str:
    """ "1.5 GB" of bytes, "40 MB" where that is less than half a gigabyte."""
    return f"{size / 1024**3:.1f} GB" if size >= 1 << 29 else f"{size / 1024**2:.0f} MB"


class WorkerDiedError(EngineError):
    """A process that worked on a run was killed or crashed."""

    code = "worker-died"
    default_remedy = "Try the item by itself; if memory ran out, use fewer workers."


class HostError(EngineError):
    """The engine host died, did not answer or broke the protocol."""

    code = "host"
    default_remedy = "The engine was restarted; run the request again."


class HostRestartedError(HostError):
    """The engine host was ended because of another request; this one may be repeated as it is."""

    code = "host-restarted"
    default_remedy = "Run it again: it was not the reason."


class ProjectError(VlmtoolError):
    """A project cannot be used."""

    code = "project"


class ProjectNotFoundError(ProjectError):
    """The folder holds no project."""

    code = "project-not-found"
    exit_code = 2
    default_remedy = "Create one: vlmtool-cli project new DIR"


class ProjectExistsError(ProjectError):
    """The folder already holds a project."""

    code = "project-exists"
    exit_code = 2
    default_remedy = "Open it, or choose another folder."


class ProjectBusyError(ProjectError):
    """Another process is writing and did not finish in time."""

    code = "project-busy"
    default_remedy = "Wait for the other job to finish, then try again."


class NewerProjectError(ProjectError):
    """The database was written by a newer version of the program."""

    code = "project-newer"
    default_remedy = "Update vlmtool; the project was not changed."


class CorruptProjectError(ProjectError):
    """The database fails its integrity check."""

    code = "project-corrupt"
    default_remedy = "Restore one of the backups in the project's backups folder."


class RecordNotFoundError(ProjectError):
    """No item, label, run, finding or version of that name or number."""

    code = "not-found"
    exit_code = 2


class FormatError(VlmtoolError):
    """A file to import breaks its format; nothing of it was taken in."""

    code = "format"
    default_remedy = "Correct the field and import again."


class TrainingError(VlmtoolError):
    """A training cannot start or go on; the active model is unchanged."""

    code = "training"


class NotEnoughLabelsError(TrainingError):
    """There are too few labels, classes or groups to learn and to prove."""

    code = "not-enough-labels"
    default_remedy = "Label more items of the classes named, then train again."


class GateRefusedError(TrainingError):
    """The new version is worse on the hold-out and was not activated."""

    code = "gate-refused"
    default_remedy = "Label more items, or activate it by name if you accept the loss."


class PluginError(VlmtoolError):
    """A plugin cannot be loaded or broke its contract."""

    code = "plugin"
    default_remedy = "Update or uninstall the plugin; the rest of the program works without it."


class WorkflowError(PluginError):
    """A workflow cannot run with these inputs or parameters."""

    code = "workflow"
