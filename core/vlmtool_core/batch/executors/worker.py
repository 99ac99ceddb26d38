"""What one worker does, in whatever process it lives: decode and predict chunks of items.

A worker gets paths and numbers and gives outcomes back. It never opens a ledger, and of the
feature cache it keeps nothing: what it embedded goes to the driver, who alone writes.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import vlmtool_core
from vlmtool_core import paths
from vlmtool_core.batch.decode import MOST_BYTES_AHEAD, Job
from vlmtool_core.batch.executors.base import Work
from vlmtool_core.batch.feature_predictor import FeaturePredictor, predictor_for
from vlmtool_core.batch.features import Kept
from vlmtool_core.batch.pipeline import Batch, Pipeline
from vlmtool_core.batch.spec import RunSpec
from vlmtool_core.engine.runtime.numerics import Numerics
from vlmtool_core.errors import PackIntegrityError, UsageError
from vlmtool_core.hooks.manager import SELECTION_VARIABLE
from vlmtool_core.jobs import CancelToken
from vlmtool_core.media.hashing import sha256_of_item
from vlmtool_core.records import ItemRef, ModelIdentity
from vlmtool_core.settings import Settings, fix_settings, load_settings

_GPUS = "CUDA_VISIBLE_DEVICES"


@dataclass(frozen=True, slots=True)
class WorkerSpec:
    """Everything that a worker needs to answer as the driver would; picklable and small.

    model : whom the driver expects to speak; a worker that finds another model refuses
    models_root : the model store, to be seen by every worker under the same path
    device : "auto", "cpu" or "cuda", chosen where the worker runs
    settings : the driver's, whatever file the worker's machine has
    numerics : what the driver's model computes in, whatever is faster where the worker runs
    home, plugins : the driver's `VLMTOOL_HOME` and `VLMTOOLSELECTION_VARIABLE`, None where not set
    cached : whether the feature cache of `home` is read (on the driver's machine)
    threads : of the model and for decoding; 0 leaves the choice to them
    bytes_ahead : of pixels that wait for the model
    gpu : number of the GPU that is the worker's own, None for all or none
    """

    spec: RunSpec
    model: ModelIdentity
    models_root: Path
    device: str
    settings: Settings
    numerics: Numerics = field(default_factory=Numerics)
    home: str | None = None
    plugins: str | None = None
    cached: bool = False
    threads: int = 0
    bytes_ahead: int = MOST_BYTES_AHEAD
    gpu: int | None = None
    version: str = vlmtool_core.__version__

    @classmethod
    def of(cls, work: Work, *, cached: bool) -> WorkerSpec:
        """What the workers of a run need."""
        head = work.spec.head
        return cls(
            spec=work.spec if head is None else replace(work.spec, head=head.absolute()),
            model=work.model,
            models_root=work.engine.store.root.absolute(),
            device=work.engine.wanted_device,
            settings=replace(load_settings(), batch_size=work.predictor.batch_size),
            numerics=work.engine.numerics_of(work.model.id),
            home=os.environ.get(paths.HOME_VARIABLE),
            plugins=os.environ.get(SELECTION_VARIABLE),
            cached=cached,
        )

    def prepare_process(self) -> None:
        """Set up the process that this worker has for itself, before anything heavy is loaded."""
        for name, value in ((paths.HOME_VARIABLE, self.home), (SELECTION_VARIABLE, self.plugins)):
            if value is not None:
                os.environ[name] = value
        if self.gpu is not None:
            # The number counts those that the driver sees, which may be some of the machine's.
            seen = [name for name in os.environ.get(_GPUS, "").split(",") if name]
            os.environ[_GPUS] = seen[self.gpu] if self.gpu < len(seen) else str(self.gpu)
        if self.threads:
            os.environ["OMP_NUM_THREADS"] = str(self.threads)
        fix_settings(self.settings)


@dataclass(frozen=True, slots=True)
class Found:
    """A batch on its way to the driver, without pixels, and the embeddings made for it."""

    batch: Batch
    features: tuple[Kept, ...] = ()


class BatchWorker:
    """A loaded model that works on chunks of items, one process's own.

    Raises
    ------
    UsageError : this machine has another version of vlmtool.
    MissingPackError, PackIntegrityError : the model is not here, or is another one.
    """

    def __init__(self, worker: WorkerSpec) -> None:
        from vlmtool_core.engine import Engine, ModelStore

        _check_version(worker)
        if worker.threads:
            import torch

            torch.set_num_threads(worker.threads)
        self._worker = worker
        store = ModelStore(worker.models_root)
        self._engine = Engine(store, device=worker.device, numerics=worker.numerics)
        size = worker.settings.batch_size
        self._predictor = predictor_for(self._engine, worker.spec, batch_size=size)
        self._made: list[Kept] = []
        if isinstance(self._predictor, FeaturePredictor):
            self._predictor.send_to(self._made.extend, read=worker.cached)
        found = self._predictor.identity()
        if found != worker.model:
            raise PackIntegrityError(
                f"{platform.node()} has another {found} than the machine that runs the driver",
                path=worker.models_root,
                remedy="Give all machines the same model store, or pull the same packs on each.",
            )

    def start(self, jobs: Sequence[Job], cancel: CancelToken) -> Iterator[Found]:
        """What becomes of the jobs, batch by batch, in their order; decoding starts at once.

        Raises (while iterating)
        ------------------------
        MissingError, PackError, TaskNotServedError, UsageError : no frame could ever succeed.
        """
        threads = self._worker.threads
        pipeline = Pipeline(
            jobs,
            self._worker.spec,
            self._predictor,
            hash_of=_hash_of,
            cancel=cancel,
            threads=max(2, threads) if threads else None,
            most_bytes=self._worker.bytes_ahead,
        )
        return self._batches(pipeline)

    def _batches(self, pipeline: Pipeline) -> Iterator[Found]:
        with pipeline:
            for batch in pipeline:
                # In place: the predictor goes on adding to the same list.
                features = tuple(self._made)
                del self._made[: len(features)]
                yield Found(batch, features)


def _hash_of(item: ItemRef) -> str:
    return item.sha256 or sha256_of_item(item.path, item.files)


def _check_version(worker: WorkerSpec) -> None:
    if worker.version != vlmtool_core.__version__:
        raise UsageError(
            f"{platform.node()} has vlmtool {vlmtool_core.__version__}, "
            f"the driver has {worker.version}",
            field="--executor",
            remedy="Install the same version on all machines.",
        )
