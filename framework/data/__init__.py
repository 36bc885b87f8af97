"""Where market data comes from: files, generators, downloads. Knows nothing of the engine."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from framework.data.doctor import check
    from framework.data.tardis_csv import from_tardis
    from framework.data.waivers import waive

_HOME = {"check": "doctor", "from_tardis": "tardis_csv", "waive": "waivers"}

__all__ = ["check", "from_tardis", "waive"]


def __getattr__(name: str) -> Any:
    """Import what is public when it is first used: readers compile kernels."""
    if name not in _HOME:
        raise AttributeError(f"module 'framework.data' has no attribute {name!r}")
    return getattr(importlib.import_module(f"framework.data.{_HOME[name]}"), name)
