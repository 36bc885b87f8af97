"""Where market data comes from: files, generators, downloads. Knows nothing of the engine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from framework.data.tardis_csv import from_tardis

__all__ = ["from_tardis"]


def __getattr__(name: str) -> Any:
    """Import the readers when they are first used: they compile kernels."""
    if name != "from_tardis":
        raise AttributeError(f"module 'framework.data' has no attribute {name!r}")
    from framework.data.tardis_csv import from_tardis

    return from_tardis
