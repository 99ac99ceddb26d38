"""The models that are installed or offered, as the engine host lists them. No Qt."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

DOMAINS = ("general", "medical", "education", "security")


@dataclass(frozen=True)
class ModelLine:
    """A model: sizes in bytes; `consent` when its terms must be accepted before it is fetched."""

    id: str
    title: str
    version: str
    source: str
    page: str
    tasks: tuple[str, ...]
    domains: tuple[str, ...]
    size_bytes: int
    memory_bytes: int
    licence: str
    consent: bool
    accepted: str
    note: str
    scores: tuple[str, ...]
    installed: bool
    fits: bool


@dataclass(frozen=True)
class Filter:
    """What the user wants to see; an empty text, domain or task means all."""

    text: str = ""
    domain: str = ""
    task: str = ""
    fitting_only: bool = True

    def keeps(self, line: ModelLine) -> bool:
        """Installed models are always shown unless text, domain or task say otherwise."""
        words = " ".join((line.id, line.title, line.source, line.note, line.licence)).lower()
        return (
            all(part in words for part in self.text.lower().split())
            and (not self.domain or self.domain in line.domains)
            and (not self.task or self.task in line.tasks)
            and (line.installed or line.fits or not self.fitting_only)
        )


def lines_from_json(rows: Iterable[Mapping[str, Any]]) -> tuple[ModelLine, ...]:
    """The rows of the host's answer to `catalogue`."""
    return tuple(_line(row) for row in rows)


def _line(row: Mapping[str, Any]) -> ModelLine:
    return ModelLine(
        id=str(row["id"]),
        title=str(row["title"]),
        version=str(row["version"]),
        source=str(row["source"]),
        page=str(row["page"]),
        tasks=tuple(str(task) for task in row["tasks"]),
        domains=tuple(str(domain) for domain in row["domains"]),
        size_bytes=int(row["size_bytes"]),
        memory_bytes=int(row["memory_bytes"]),
        licence=str(row["licence"]),
        consent=bool(row["consent"]),
        accepted=str(row["accepted"]),
        note=str(row["note"]),
        scores=tuple(str(score) for score in row["scores"]),
        installed=bool(row["installed"]),
        fits=bool(row["fits"]),
    )


def tasks_of(lines: Sequence[ModelLine]) -> list[str]:
    """All tasks that some model serves, in the order in which they first appear."""
    return list(dict.fromkeys(task for line in lines for task in line.tasks))


def size_text(count: int) -> str:
    """`1.5 GB`, `20 MB`."""
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{max(1, round(count / 1e6))} MB"
