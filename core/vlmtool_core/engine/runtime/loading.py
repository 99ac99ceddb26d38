"""Turns an installed pack into a loaded family: hashes first, then the numbers it computes in."""

from __future__ import annotations

import hashlib
import threading
from abc import abstractmethod
from typing import TYPE_CHECKING

from vlmtool_core.engine.packs.pack import Pack, verify_pack
from vlmtool_core.engine.registry import family as family_named
from vlmtool_core.engine.runtime import precision
from vlmtool_core.engine.runtime.guarding import loading
from vlmtool_core.engine.runtime.memory import memory_needed
from vlmtool_core.engine.runtime.numerics import FLOAT32, TORCH, Numerics, Place

if TYPE_CHECKING:
    from vlmtool_core.engine.family import Family, Surroundings


class PackLoader:
    """Loads packs for one engine, each in the precision that was found to be right for it.

    wanted : what the user asks for
    """

    def __init__(self, engine: Surroundings, numerics: Numerics) -> None:
        self._engine = engine
        self.wanted = numerics
        self._lock = threading.RLock()  # a pack may load its parts

    def load(self, pack: Pack) -> Family:
        """Check the files and load them; the first time, precisions are compared.

        Raises
        ------
        PackIntegrityError, NotEnoughMemoryError
        """
        verify_pack(pack)
        with loading(pack.id):
            dtype = self.dtype_of(pack)
            if dtype is not None:
                return self._family(pack, dtype)
            with self._lock:
                dtype = self.dtype_of(pack)
                if dtype is not None:
                    return self._family(pack, dtype)
                device = self._engine.device
                _, family = precision.compare(pack, device, lambda name: self._family(pack, name))
                return family

    def dtype_of(self, pack: Pack) -> str | None:
        """ "float32" or "bfloat16"; None while it has to be found by comparing."""
        if self.wanted.precision == FLOAT32:
            return FLOAT32
        kind = family_named(pack.family)
        found = precision.known(pack, kind, self.wanted.precision, self._engine.device)
        return None if found is None else found.dtype

    def fingerprint_of(self, pack: Pack) -> str:
        """The pack's fingerprint, another one where it computes otherwise than float32 in torch.

        Loads the pack when its precision is not known yet.
        """
        used = self.numerics_of(pack)
        return fingerprint_in(pack, used.precision, used.backend)

    def numerics_of(self, pack: Pack) -> Numerics:
        """What a pack computes in and with; loads it where that is not known yet."""
        dtype = self.dtype_of(pack)
        if dtype is None:
            self._engine.family(pack.id)
            dtype = self.dtype_of(pack) or FLOAT32
        return Numerics(dtype, self._backend_of(pack), self.wanted.compiled)

    def memory_needed(self, pack: Pack) -> int:
        """Bytes that a pack takes when it is loaded here."""
        return memory_needed(pack, self.dtype_of(pack) or FLOAT32)

    def _backend_of(self, pack: Pack) -> str:
        """The runtime of the parts that may run elsewhere than in torch."""
        wanted = self.wanted.backend
        return wanted if wanted in family_named(pack.family).backends else TORCH

    def _family(self, pack: Pack, dtype: str) -> Family:
        backend, compiled = self._backend_of(pack), self.wanted.compiled
        return family_named(pack.family)(pack, Place(self._engine, dtype, backend, compiled))


class Computing:
    """The part of `Engine` that says what models compute in and with."""

    _packs: PackLoader

    @abstractmethod
    def _pack(self, pack_id: str) -> Pack: ...

    @property
    def dtype(self) -> str:
        """ "float32" or "bfloat16": of a model of which nothing else is known."""
        return self._packs.wanted.precision.replace("auto", FLOAT32)

    @property
    def backend(self) -> str:
        """The runtime that is asked for: "torch" or "openvino"."""
        return self._packs.wanted.backend

    @property
    def compiled(self) -> bool:
        """Whether torch is asked to compile models."""
        return self._packs.wanted.compiled

    def numerics_of(self, model: str) -> Numerics:
        """What a model computes in and with here; "auto" decided, if need be by loading it.

        Raises
        ------
        MissingPackError
        """
        return self._packs.numerics_of(self._pack(model))


def fingerprint_in(pack: Pack, dtype: str, backend: str) -> str:
    """The pack's fingerprint where it computes in float32 in torch, else one of both."""
    if (dtype, backend) == (FLOAT32, TORCH):
        return pack.fingerprint
    return hashlib.sha256(f"{pack.fingerprint}\n{dtype}\n{backend}".encode()).hexdigest()
