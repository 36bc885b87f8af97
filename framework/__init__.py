"""Sheepfold: an event-driven, backtest-first research framework for crypto trading."""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from framework.backtest import backtest, replay_orders
    from framework.data.loading import load
    from framework.data.tardis_csv import from_tardis
    from framework.errors import FrameworkError
    from framework.instruments import Instrument
    from framework.llm import AsOf, CassetteAnalyst, HolySheep, Masked, Rules, TradingSignal
    from framework.market import Market, View
    from framework.market_book import BookView, book_at
    from framework.options import Costs, Fills, Latency, Risk
    from framework.questions import market_brief, portfolio_brief
    from framework.replies import Replies
    from framework.research.fidelity import fidelity
    from framework.research.probe import probe
    from framework.research.proofs import check_lookahead
    from framework.research.sweep import sweep
    from framework.result import Result
    from framework.strategy import UNSET, Strategy, compiled
    from framework.testing.rehearsal import check_strategy

_HOME = {
    "AsOf": "llm", "BookView": "market_book", "CassetteAnalyst": "llm", "Costs": "options",
    "Fills": "options", "FrameworkError": "errors", "HolySheep": "llm",
    "Instrument": "instruments", "Latency": "options",
    "Market": "market", "Masked": "llm", "Result": "result", "Risk": "options", "Rules": "llm",
    "Strategy": "strategy",
    "TradingSignal": "llm", "UNSET": "strategy", "View": "market", "backtest": "backtest",
    "book_at": "market_book", "check_lookahead": "research.proofs",
    "check_strategy": "testing.rehearsal", "compiled": "strategy", "fidelity": "research.fidelity",
    "from_tardis": "data.tardis_csv", "load": "data.loading", "market_brief": "questions",
    "portfolio_brief": "questions", "probe": "research.probe", "Replies": "replies",
    "replay_orders": "backtest", "sweep": "research.sweep",
}  # fmt: skip

__all__ = [
    "UNSET",
    "AsOf",
    "BookView",
    "CassetteAnalyst",
    "Costs",
    "Fills",
    "FrameworkError",
    "HolySheep",
    "Instrument",
    "Latency",
    "Market",
    "Masked",
    "Replies",
    "Result",
    "Risk",
    "Rules",
    "Strategy",
    "TradingSignal",
    "View",
    "backtest",
    "book_at",
    "check_lookahead",
    "check_strategy",
    "compiled",
    "fidelity",
    "from_tardis",
    "load",
    "market_brief",
    "portfolio_brief",
    "probe",
    "replay_orders",
    "sweep",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used: a command that needs no pictures loads none."""
    if name not in _HOME:
        raise AttributeError(f"module 'framework' has no attribute {name!r}")
    return getattr(importlib.import_module(f"framework.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])


class _Package(ModuleType):
    """The package, in which `backtest` is the function and never the module of that name."""

    def __setattr__(self, name: str, value: Any) -> None:
        if not (name in _HOME and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
