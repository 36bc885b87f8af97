"""Research over backtests: sweeps of parameters, and proofs that a strategy cannot see the future.

Names are imported when they are first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from framework.research.models import compare_models
    from framework.research.proofs import Proof, check_lookahead
    from framework.research.sweep import sweep

_HOME = {"Proof": "proofs", "check_lookahead": "proofs", "compare_models": "models"}

__all__ = ["Proof", "check_lookahead", "compare_models", "sweep"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME.get(name, name)}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
