"""What the engine host does for each kind of request. Parameters and results are plain JSON."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from vlmtool_core.batch.spec import RunSpec
from vlmtool_core.batch.turns import Rank
from vlmtool_core.errors import CancelledError
from vlmtool_core.host import log_file
from vlmtool_core.host.call import Call, Handler
from vlmtool_core.host.kept_project import KeptProject
from vlmtool_core.host.lanes import Place
from vlmtool_core.host.pack_requests import PackRequests
from vlmtool_core.json_codec import (
    error_to_json,
    integer,
    mapping,
    number,
    optional,
    outcome_to_json,
    required,
    sequence,
    text,
)
from vlmtool_core.records import Json, Region
from vlmtool_core.signals import Signal

if TYPE_CHECKING:
    from vlmtool_core.engine import Engine
    from vlmtool_core.project import Project
    from vlmtool_core.project.records import AddReport
    from vlmtool_core.store.records import PredictionRecord

_PLACES = {
    "predict": Place("look", 0, abandoned=True),
    "chat": Place("talk", 0),
    "load": Place("talk", 1),
    "unload": Place("talk", 1),
    "models": Place("facts"),
    "loaded": Place("facts"),
    "log": Place("facts"),
    # Neither needs a model: files are read and packs are brought while a run goes on.
    "add": Place("files", 0),
    "pull": Place("files", 1),
    "verify_packs": Place("files", 1),
    "remove_packs": Place("files", 1),
    "export_packs": Place("files", 1),
    "import_packs": Place("files", 1),
    "catalogue": Place("facts"),
}
_AHEAD = Place("look", 1, abandoned=True)


def place_of(kind: str, params: Mapping[str, Json]) -> Place:
    """Where a request waits: for what somebody looks at, for a conversation, or for work."""
    if kind == "predict" and params.get("ahead"):
        return _AHEAD
    return _PLACES.get(kind, Place("work"))


def handlers(requests: Requests) -> dict[str, Handler]:
    """The handlers of this process, which share one engine; inference in them can be stopped."""
    named: dict[str, Handler] = {
        "predict": requests.predict,
        "chat": requests.chat,
        "load": requests.load,
        "unload": requests.unload,
        "loaded": requests.loaded,
        "log": requests.log,
        "run": requests.run,
        "train": requests.train,
        "evaluate": requests.evaluate,
        "workflow": requests.workflow,
        "add": requests.add,
        "models": requests.models,
        **PackRequests(lambda: requests.engine().store).handlers(),
    }
    return {kind: _stoppable(handler) for kind, handler in named.items()}


def _stoppable(handler: Handler) -> Handler:
    def handle(call: Call) -> Json:
        from vlmtool_core.engine.runtime.stopping import stoppable

        with stoppable(call.cancel):
            return handler(call)

    return handle


class Requests:
    """One method per kind of request; models stay loaded between them.

    loading : told the id of each pack that is being loaded, and "" when it is there
    """

    def __init__(self) -> None:
        self.loading: Signal[[str]] = Signal()
        self._engine: Engine | None = None
        self._kept = KeptProject()
        self._lock = threading.Lock()

    def engine(self) -> Engine:
        """The engine, made on first use as the settings say."""
        from vlmtool_core.engine.runtime.user_engine import engine_as_set

        with self._lock:
            if self._engine is None:
                self._engine = engine_as_set()
                self._engine.models.loading_changed.connect(self.loading.emit)
            return self._engine

    def predict(self, call: Call) -> Json:
        """{project, item_id, frame, spec, ahead?} -> {predictions: [...]}, stored in the project.

        ahead : nobody looks at it yet, so whatever somebody waits for goes before it
        """
        from vlmtool_core.project.running import predict_frame

        spec = RunSpec.from_json(required(call.params, "spec"))
        item_id = integer(required(call.params, "item_id"), "item_id")
        frame = integer(call.params.get("frame", 0), "frame")
        rank = Rank.AHEAD if call.params.get("ahead") else Rank.LOOK
        with self._kept.use(_root(call)) as project:
            found = predict_frame(project, spec, item_id, frame, engine=self.engine(), rank=rank)
        return {"predictions": [_prediction_to_json(p) for p in found]}

    def load(self, call: Call) -> Json:
        """{model} -> as `loaded`; loads the pack and those that take part in its tasks."""
        model = text(required(call.params, "model"), "model")
        engine = self.engine()
        parts = engine.load(model).parts.values()
        for part in dict.fromkeys(part for several in parts for part in several):
            engine.load(part)
        return self.loaded(call)

    def unload(self, call: Call) -> Json:
        """{model?} -> as `loaded`; without a model, all are unloaded."""
        self.engine().unload(optional(call.params.get("model"), "model", text))
        return self.loaded(call)

    def loaded(self, _call: Call) -> Json:
        """{} -> {models: [{id, bytes, last_used}], budget_bytes}, the last used first."""
        engine = self.engine()
        models = [
            {"id": model.pack_id, "bytes": model.bytes, "last_used": model.last_used}
            for model in engine.loaded()
        ]
        return {"models": models, "budget_bytes": engine.memory_budget}

    def log(self, call: Call) -> Json:
        """{lines?} -> {path, lines: [...]}: the log of this host, the newest lines last."""
        count = integer(call.params.get("lines", log_file.LAST_LINES), "lines")
        path = str(log_file.engine_log())
        return {"path": path, "lines": log_file.last_lines(max(0, count))}

    def chat(self, call: Call) -> Json:
        """{model?, turns, answer?, max_tokens?} -> the outcome; pieces of it come as `text`."""
        from vlmtool_core.host.chat import chat

        return chat(call, self.engine())

    def run(self, call: Call) -> Json:
        """{project, spec, item_ids?, resume?, retry_failed?, limit?} -> the run's report."""
        spec = RunSpec.from_json(required(call.params, "spec"))
        ids = call.params.get("item_ids")
        limit = optional(call.params.get("limit"), "limit", integer)
        with _project(call) as project:
            report = project.run(
                spec,
                item_ids=None if ids is None else sequence(ids, "item_ids", integer),
                engine=self.engine(),
                resume=bool(call.params.get("resume", True)),
                retry_failed=bool(call.params.get("retry_failed", False)),
                limit=limit,
                progress=call.progress,
                cancel=call.cancel,
            )
        if report.cancelled:
            raise CancelledError("stopped; the frames that are done are kept")
        return report.to_json()

    def train(self, call: Call) -> Json:
        """{project, settings} -> the training's report; curve points come with the progress."""
        from vlmtool_core.training.records import TrainSettings

        settings = TrainSettings.from_json(mapping(call.params.get("settings", {}), "settings"))
        with _project(call) as project:
            report = project.train(
                settings,
                engine=self.engine(),
                progress=call.progress,
                on_curve=lambda point: call.point(dataclasses.asdict(point)),
                cancel=call.cancel,
            )
        return report.to_json()

    def evaluate(self, call: Call) -> Json:
        """{project, models} -> the comparison."""
        models = sequence(required(call.params, "models"), "models", text)
        with _project(call) as project:
            report = project.evaluate(
                models, engine=self.engine(), progress=call.progress, cancel=call.cancel
            )
        return report.to_json()

    def workflow(self, call: Call) -> Json:
        """{key, inputs, values?, regions?, project?, output_dir?} -> the workflow's result."""
        from vlmtool_core.hooks.manager import plugin_manager
        from vlmtool_core.hooks.results import workflow_result_to_json
        from vlmtool_core.project.workflows import run_workflow

        workflow = plugin_manager().workflow(text(required(call.params, "key"), "key"))
        output = optional(call.params.get("output_dir"), "output_dir", text)
        project = _project(call) if call.params.get("project") is not None else None
        try:
            result = run_workflow(
                project,
                workflow,
                sequence(required(call.params, "inputs"), "inputs", text),
                mapping(call.params.get("values", {}), "values"),
                sequence(call.params.get("regions", ()), "regions", _region),
                output_dir=None if output is None else Path(output),
                engine=self.engine,
                progress=call.progress,
                cancel=call.cancel,
            )
        finally:
            if project is not None:
                project.close()
        return workflow_result_to_json(workflow, result)

    def add(self, call: Call) -> Json:
        """{project, paths, group_by?} -> what was added, by numbers and names."""
        paths = sequence(required(call.params, "paths"), "paths", text)
        group_by = optional(call.params.get("group_by"), "group_by", text)
        with _project(call) as project:
            report = project.add(
                [Path(path) for path in paths],
                group_by=group_by,
                progress=call.progress,
                cancel=call.cancel,
            )
        return _add_report_to_json(report)

    def models(self, _call: Call) -> Json:
        """{} -> {packs: [...], device: {kind, name, reason, remedy}}."""
        from vlmtool_core.engine.runtime.device_report import describe_device
        from vlmtool_core.settings import load_settings

        packs = [
            {
                "id": pack.id,
                "version": pack.version,
                "title": pack.title,
                "tasks": [task.value for task in pack.tasks],
                "size_bytes": pack.size_bytes,
                "licence": pack.licence,
                "source": pack.source,
            }
            for pack in self.engine().store.installed()
        ]
        device = dataclasses.asdict(describe_device(load_settings().device))
        return {"packs": packs, "device": device}


def _project(call: Call) -> Project:
    from vlmtool_core.project import Project

    return Project.open(_root(call))


def _root(call: Call) -> Path:
    return Path(text(required(call.params, "project"), "project"))


def _region(value: Json, field: str) -> Region:
    entry = mapping(value, field)
    return Region(
        text(required(entry, "role", field), f"{field}.role"),
        text(required(entry, "shape", field), f"{field}.shape"),
        sequence(required(entry, "points", field), f"{field}.points", _point),
    )


def _point(value: Json, field: str) -> tuple[float, float]:
    x, y = sequence(value, field, number)
    return x, y


def _prediction_to_json(prediction: PredictionRecord) -> Mapping[str, Json]:
    return {
        "id": prediction.id,
        "run_id": prediction.run_id,
        "item_id": prediction.item_id,
        "frame": prediction.frame,
        "time_s": prediction.time_s,
        "task": prediction.task.value,
        "model": prediction.model.id,
        "model_version": prediction.model.version,
        "decision": prediction.decision.value,
        **outcome_to_json(prediction.outcome),
    }


def _add_report_to_json(report: AddReport) -> Mapping[str, Json]:
    unreadable = [
        {"name": found.name, "path": str(found.path), "error": error_to_json(found.error)}
        for found in report.unreadable
        if found.error is not None
    ]
    return {
        "added": report.added,
        "unchanged": report.unchanged,
        "refound": report.refound,
        "duplicates": [list(pair) for pair in report.duplicates],
        "unreadable": unreadable,
        "changed": list(report.changed),
    }
