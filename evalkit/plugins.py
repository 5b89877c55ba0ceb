"""What other packages add by entry points: formats, matchers, figures, exporters. None is loaded before it is named."""

from __future__ import annotations

from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Literal

from evalkit.errors import InputError

Kind = Literal["formats", "matchers", "figures", "exporters"]
KINDS: tuple[Kind, ...] = ("formats", "matchers", "figures", "exporters")


@lru_cache(maxsize=len(KINDS))
def _found(kind: Kind) -> dict[str, EntryPoint]:
    """Return the entry points of a kind by name; of two with one name, that of the package first by name."""
    points = sorted(entry_points(group=f"evalkit.{kind}"), key=lambda point: (point.name, _package(point)))
    return {point.name: point for point in reversed(points)}


def _package(point: EntryPoint) -> str:
    return f"{point.dist.name}=={point.dist.version}" if point.dist else "a package without a name"


def plugin_names(kind: Kind) -> tuple[str, ...]:
    """Return the names of the plug-ins of a kind; none is loaded."""
    return tuple(sorted(_found(kind)))


def plugin_package(kind: Kind, name: str) -> str:
    """Return the package that a plug-in comes from, with its version."""
    return _package(_found(kind)[name])


def load_plugin(kind: Kind, name: str) -> Any:
    """Return what a plug-in offers."""
    try:
        return _found(kind)[name].load()
    except Exception as error:  # whatever somebody else's module raises on import
        package = plugin_package(kind, name)
        raise InputError(f"{name!r} of {package} cannot be loaded: {type(error).__name__}: {error}") from error
