"""Where market data comes from: files, generators, downloads. Knows nothing of the engine."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from framework.data.recorder import record
    from framework.data.stream import connect
    from framework.data.tardis_csv import from_tardis

_HOME = {"connect": "stream", "from_tardis": "tardis_csv", "record": "recorder"}

__all__ = ["connect", "from_tardis", "record"]


def __getattr__(name: str) -> Any:
    """Import the readers when they are first used: they compile kernels."""
    if name not in _HOME:
        raise AttributeError(f"module 'framework.data' has no attribute {name!r}")
    return getattr(importlib.import_module(f"framework.data.{_HOME[name]}"), name)
