"""What users' own tests can start too: loopback HolySheep, Tardis and tardis-machine, checks of strategies.

Names are imported when they are first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from framework.testing.holysheep import HolySheepServer, Scripted
    from framework.testing.machine import MachineServer, Play
    from framework.testing.rehearsal import Report, check_strategy
    from framework.testing.tardis import Fault, TardisServer

_HOME = {
    "Fault": "tardis", "HolySheepServer": "holysheep", "MachineServer": "machine", "Play": "machine",
    "Report": "rehearsal", "Scripted": "holysheep", "TardisServer": "tardis", "check_strategy": "rehearsal",
}  # fmt: skip

__all__ = [
    "Fault", "HolySheepServer", "MachineServer", "Play", "Report", "Scripted", "TardisServer",
    "check_strategy",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
