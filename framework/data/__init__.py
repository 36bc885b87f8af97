"""Where market data comes from: files, generators, downloads. Knows nothing of the engine.

Names are imported when they are first used: some readers compile kernels.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from framework.data.metadata import instrument
    from framework.data.tardis import download
    from framework.data.tardis_csv import from_tardis

_HOME = {"download": "tardis", "from_tardis": "tardis_csv", "instrument": "metadata"}

__all__ = ["download", "from_tardis", "instrument"]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'framework.data' has no attribute {name!r}")
    return getattr(importlib.import_module(f"framework.data.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
