"""Icons, themes, translations, help pages and tables, read through `files()`."""

from importlib.resources import files as _files
from importlib.resources.abc import Traversable


def files() -> Traversable:
    """The root of the resources, in a checkout, a wheel or a frozen program alike."""
    return _files("vlmtool_resources")
