"""Where market data comes from: files, a store, downloads, streams. Knows nothing of the engine.

Names are imported when they are first used: readers compile kernels, clients import libraries.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from framework.data.doctor import check
    from framework.data.loading import load
    from framework.data.store import Part, Store
    from framework.data.tardis_csv import from_tardis
    from framework.data.waivers import waive

_HOME = {
    "Part": "store", "Store": "store", "check": "doctor", "from_tardis": "tardis_csv", "load": "loading",
    "waive": "waivers",
}  # fmt: skip

__all__ = ["Part", "Store", "check", "from_tardis", "load", "waive"]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
