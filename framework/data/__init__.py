"""Where market data comes from: files, a store, downloads, streams. Knows nothing of the engine.

Names are imported when they are first used: readers compile kernels, clients import libraries.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from framework.data.ask import market_data, order_book, recent_trades
    from framework.data.bars import BarMaker, Bars
    from framework.data.bars_range import candles, day_bars
    from framework.data.bars_sources import trade_bars
    from framework.data.doctor import check
    from framework.data.loading import load
    from framework.data.metadata import instrument
    from framework.data.recorder import record
    from framework.data.store import Part, Store
    from framework.data.stream import connect
    from framework.data.tardis import download
    from framework.data.tardis_csv import from_tardis
    from framework.data.waivers import waive

_HOME = {
    "BarMaker": "bars", "Bars": "bars", "Part": "store", "Store": "store", "candles": "bars_range",
    "check": "doctor", "connect": "stream", "day_bars": "bars_range", "download": "tardis",
    "from_tardis": "tardis_csv", "instrument": "metadata", "load": "loading", "market_data": "ask",
    "order_book": "ask", "recent_trades": "ask", "record": "recorder", "trade_bars": "bars_sources",
    "waive": "waivers",
}  # fmt: skip

__all__ = [
    "BarMaker", "Bars", "Part", "Store", "candles", "check", "connect", "day_bars", "download", "from_tardis",
    "instrument", "load", "market_data", "order_book", "recent_trades", "record", "trade_bars", "waive",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
