"""Clearer copies of many pictures: each says that it is derived, and nothing is overwritten."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from vlmtool_core.engine.runtime.stopping import stoppable
from vlmtool_core.errors import CancelledError, EngineError, MediaError, StorageError
from vlmtool_core.jobs import CancelToken, ProgressCallback, ProgressMeter, no_progress
from vlmtool_core.media import Discovered, open_media
from vlmtool_core.media.hashing import sha256_of_item
from vlmtool_core.media.pictures.derived import Derivation, derivation_of, derived_png
from vlmtool_core.paths import write_atomically
from vlmtool_core.records import Enhanced, ErrorInfo, Json, ModelIdentity, Task

if TYPE_CHECKING:
    from vlmtool_core.engine import Engine


@dataclass
class EnhanceReport:
    """made : the new pictures; kept : those that were there already, made in the same way
    derived : names of items left out because they are derived pictures themselves
    partly : names of items of which only one frame was taken
    """

    made: list[Path] = field(default_factory=list)
    kept: list[Path] = field(default_factory=list)
    derived: list[str] = field(default_factory=list)
    partly: list[str] = field(default_factory=list)
    failures: list[tuple[str, ErrorInfo]] = field(default_factory=list)
    cancelled: bool = False

    def to_json(self) -> dict[str, Json]:
        return {
            "made": [str(path) for path in self.made],
            "kept": [str(path) for path in self.kept],
            "derived": self.derived,
            "partly": self.partly,
            "failed": [{"item": n, "error": e.message, "remedy": e.remedy}
                       for n, e in self.failures],
            "cancelled": self.cancelled,
        }  # fmt: skip


@dataclass(frozen=True)
class Enhancer:
    """One method with its settings, writing into one folder.

    frame : which frame of items that have several, from 0
    """

    engine: Engine
    method: str
    folder: Path
    options: Mapping[str, Json] = field(default_factory=dict)
    frame: int = 0

    def run(
        self,
        items: Sequence[Discovered],
        *,
        progress: ProgressCallback = no_progress,
        cancel: CancelToken | None = None,
    ) -> EnhanceReport:
        """Make a derived picture of each item; what fails is listed and the rest goes on.

        Raises
        ------
        UsageError : an option that the method does not have.
        MissingPackError, TaskNotServedError
        """
        cancel = cancel or CancelToken()
        model = self.engine.identity(Task.ENHANCE, self.method)
        report = EnhanceReport()
        meter = ProgressMeter(progress, len(items))
        with stoppable(cancel):
            for item in items:
                if cancel.cancelled or report.cancelled:
                    report.cancelled = True
                    break
                failed_before = len(report.failures)
                self._one(item, model, report)
                meter.step(failed=len(report.failures) - failed_before, message=item.name)
        return report

    def _one(self, item: Discovered, model: ModelIdentity, report: EnhanceReport) -> None:
        if item.error is not None:
            report.failures.append((item.name, item.error))
            return
        try:
            self._make(item, model, report)
        except CancelledError:
            report.cancelled = True
        except (MediaError, EngineError, StorageError) as error:
            report.failures.append((item.name, ErrorInfo.from_exception(error)))

    def _make(self, item: Discovered, model: ModelIdentity, report: EnhanceReport) -> None:
        with open_media(item.path, item.files) as source:
            info = source.info
            if "derived" in info.facts:
                report.derived.append(item.name)
                return
            several = (info.frame_count or 2) > 1
            number = self.frame if several else 0
            sha256 = sha256_of_item(item.path, item.files)
            derivation = Derivation(
                model.id, model.version, item.path.name, sha256, number, dict(self.options)
            )
            target = self._target(item, number if several else None)
            if target.exists():
                _require_same(target, derivation)
                report.kept.append(target)
                return
            try:
                shown = source.frame(number)
            except IndexError as error:
                raise MediaError(f"there is no frame {number}", path=item.path) from error
        made = self.engine.enhance(shown, model=self.method, options=self.options)
        _write(target, made, derivation, item.path)
        report.made.append(target)
        if several:
            report.partly.append(item.name)

    def _target(self, item: Discovered, frame: int | None) -> Path:
        """Beside the others, under the whole name of its source: `a.jpg` and `a.png` differ."""
        part = "" if frame is None else f".frame{frame}"
        return self.folder / f"{item.name}{part}.enhanced-{self.method}.png"


def _require_same(target: Path, derivation: Derivation) -> None:
    from vlmtool_core.media.pictures.images import open_pillow

    with open_pillow(target) as image:
        found = derivation_of(image.info)
    if found != derivation:
        raise StorageError(
            "is there already and was made from something else, or in another way",
            path=target,
            remedy="Choose another folder, or move that file away.",
        )


def _write(target: Path, made: Enhanced, derivation: Derivation, source: Path) -> None:
    height, width = made.pixels.shape[:2]
    beside = {
        **derivation.to_json(),
        "picture": target.name,
        "path": str(source.absolute()),
        "width": width,
        "height": height,
        "provenance": dict(made.provenance),
    }
    text = json.dumps(beside, ensure_ascii=False, indent=2, default=str) + "\n"
    # The picture comes last: where it is, its description is.
    write_atomically(target.with_suffix(".json"), text.encode("utf-8", "backslashreplace"))
    write_atomically(target, derived_png(made.pixels, derivation))
