"""What the engine host does with model packs: lists, brings, checks and removes them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from vlmtool_core.errors import PackIntegrityError
from vlmtool_core.host.call import Call, Handler
from vlmtool_core.json_codec import error_to_json, number, optional, required, sequence, text
from vlmtool_core.records import ErrorInfo, Json

if TYPE_CHECKING:
    from vlmtool_core.engine import ModelStore


class PackRequests:
    """One method per kind of request.

    store : the model store, made when it is first needed
    """

    def __init__(self, store: Callable[[], ModelStore]) -> None:
        self._store = store

    def handlers(self) -> dict[str, Handler]:
        return {
            "catalogue": self.catalogue,
            "pull": self.pull,
            "verify_packs": self.verify,
            "remove_packs": self.remove,
            "export_packs": self.export,
            "import_packs": self.import_,
        }

    def catalogue(self, call: Call) -> Json:
        """{memory_gb?, device?} -> {models: [...], memory_gb, device}; see `engine.overview`."""
        from vlmtool_core.engine.packs.overview import overview
        from vlmtool_core.engine.packs.recommendation import machine_memory
        from vlmtool_core.settings import load_settings

        memory = optional(call.params.get("memory_gb"), "memory_gb", number)
        device = text(call.params.get("device", load_settings().device), "device")
        memory_gb, device = machine_memory(memory, device)
        models = overview(self._store(), memory_gb, device)
        return {"models": models, "memory_gb": memory_gb, "device": device}

    def pull(self, call: Call) -> Json:
        """{ids, accept_licence?} -> {installed: [...]}; ids are packs of the catalogue, `starter`,
        or repositories of the hub."""
        packs = self._store().pull(
            _ids(call),
            call.progress,
            call.cancel,
            accept_licence=call.params.get("accept_licence") is True,
        )
        return {"installed": [{"id": pack.id, "version": pack.version} for pack in packs]}

    def verify(self, call: Call) -> Json:
        """{ids} -> {whole: [id...], broken: [{id, error}]}."""
        store, whole, broken = self._store(), [], []
        for pack_id in _ids(call):
            call.cancel.check()
            try:
                whole.append(store.verify(pack_id).id)
            except PackIntegrityError as error:
                info = error_to_json(ErrorInfo.from_exception(error))
                broken.append({"id": pack_id, "error": info})
        return {"whole": whole, "broken": broken}

    def remove(self, call: Call) -> Json:
        """{ids} -> {freed_bytes}."""
        return {"freed_bytes": sum(self._store().remove(pack_id) for pack_id in _ids(call))}

    def export(self, call: Call) -> Json:
        """{ids, path, key?} -> {path, size_bytes}."""
        path = Path(text(required(call.params, "path"), "path"))
        key = optional(call.params.get("key"), "key", text)
        size = self._store().export_bundle(
            _ids(call),
            path,
            key=None if key is None else Path(key),
            progress=call.progress,
            cancel=call.cancel,
        )
        return {"path": str(path), "size_bytes": size}

    def import_(self, call: Call) -> Json:
        """{path, trusted?, accept_licence?} -> {installed: [...], present: [...], signed_by}."""
        found = self._store().import_bundle(
            Path(text(required(call.params, "path"), "path")),
            trusted=[
                Path(key) for key in sequence(call.params.get("trusted", ()), "trusted", text)
            ],
            accept_licence=call.params.get("accept_licence") is True,
            progress=call.progress,
            cancel=call.cancel,
        )
        return {
            "installed": [{"id": pack.id, "version": pack.version} for pack in found.packs],
            "present": list(found.present),
            "signed_by": found.signed_by,
        }


def _ids(call: Call) -> tuple[str, ...]:
    return sequence(required(call.params, "ids"), "ids", text)
