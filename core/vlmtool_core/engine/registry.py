"""The families of models, by name: each declares its tasks and how it is loaded.

There is no if-ladder over model names anywhere; a new family is a new file in `families/`.
"""

from __future__ import annotations

import importlib
import importlib.util
import pkgutil
from collections.abc import Callable
from typing import TypeVar

from vlmtool_core.engine import families
from vlmtool_core.engine.family import Family
from vlmtool_core.engine.packs.model_folder import ModelFolder
from vlmtool_core.errors import PackError

_FAMILIES: dict[str, type[Family]] = {}
FamilyClass = TypeVar("FamilyClass", bound=type[Family])


def register_family(name: str) -> Callable[[FamilyClass], FamilyClass]:
    """Class decorator: packs with `family = name` are served by this class."""

    def register(cls: FamilyClass) -> FamilyClass:
        cls.name = name
        _FAMILIES[name] = cls
        return cls

    return register


def _import_declaring(name: str) -> type[Family] | None:
    """Import only the module whose source declares the family: the others' libraries take
    seconds to import. None where there is no source to look into.
    """
    for module in pkgutil.iter_modules(families.__path__):
        full_name = f"{families.__name__}.{module.name}"
        spec = importlib.util.find_spec(full_name)
        get_source = getattr(spec.loader, "get_source", None) if spec else None
        source = get_source(full_name) if get_source else None
        if source and f'@register_family("{name}")' in source:
            importlib.import_module(full_name)
            return _FAMILIES.get(name)
    return None


def _discover() -> dict[str, type[Family]]:
    for module in pkgutil.iter_modules(families.__path__):
        importlib.import_module(f"{families.__name__}.{module.name}")
    return _FAMILIES


def family(name: str) -> type[Family]:
    """The family's class.

    Raises
    ------
    PackError : a pack of a family that this version does not have.
    """
    found = _FAMILIES.get(name) or _import_declaring(name) or _discover().get(name)
    if found is None:
        raise PackError(f"no family named {name!r}", remedy="Update vlmtool.", field="family")
    return found


def all_families() -> list[type[Family]]:
    """Every family, by name; imports the libraries of all of them, which takes seconds."""
    return sorted(_discover().values(), key=lambda found: found.name)


def family_of_folder(folder: ModelFolder) -> type[Family] | None:
    """The family that serves a folder in the layout of transformers, or None."""
    found = [candidate for candidate in _discover().values() if candidate.serves(folder)]
    found.sort(key=lambda candidate: (candidate.fallback, candidate.name))
    return found[0] if found else None
