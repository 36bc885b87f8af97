"""Where market data comes from: files, generators, downloads. Knows nothing of the engine."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from framework.data.ask import market_data, order_book, recent_trades
    from framework.data.bars import BarMaker, Bars
    from framework.data.bars_range import candles, day_bars
    from framework.data.bars_sources import trade_bars
    from framework.data.tardis_csv import from_tardis

_HOME = {
    "BarMaker": "bars",
    "Bars": "bars",
    "candles": "bars_range",
    "day_bars": "bars_range",
    "from_tardis": "tardis_csv",
    "market_data": "ask",
    "order_book": "ask",
    "recent_trades": "ask",
    "trade_bars": "bars_sources",
}
__all__ = [
    "BarMaker", "Bars", "candles", "day_bars", "from_tardis", "market_data", "order_book", "recent_trades",
    "trade_bars",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    """Import a name when it is first used: readers compile kernels."""
    if name not in _HOME:
        raise AttributeError(f"module 'framework.data' has no attribute {name!r}")
    return getattr(importlib.import_module(f"framework.data.{_HOME[name]}"), name)
