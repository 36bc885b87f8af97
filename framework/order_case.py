"""One order beside its market: what was shown at its price, and what traded there, while it worked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from framework.errors import ConfigError
from framework.instruments import price_of
from framework.market import Market
from framework.records import TRADE
from framework.report.compare import decimals, price

Rows = NDArray[Any]
SIDES = {"buy": 1, "sell": -1}


@dataclass(frozen=True)
class Case:
    """One order and what is known of its market; `k` is its instrument, `end` when it stopped working."""

    order: dict[str, Any]
    fills: list[dict[str, Any]]
    market: Market | None
    k: int
    end: int

    @property
    def side(self) -> int:
        """+1 of a buy, -1 of a sell, 0 of a close that found no position."""
        return SIDES.get(self.order["side"], 0)

    @property
    def on_ticks(self) -> bool:
        """True when its market has trades or a book for it."""
        return self.market is not None and self.market.has_ticks(self.k)

    @property
    def is_limit(self) -> bool:
        """True for an order whose price is a limit."""
        return self.order["type"] in ("limit", "stop_limit")

    @property
    def rests(self) -> bool:
        """True when it lay in the book for a while."""
        taken = bool(self.fills) and not self.fills[-1]["maker"] and self.order["status"] == "filled"
        return self.is_limit and self.end > self.order["arrival_ts"] and not taken

    def lots(self, count: Any) -> Any:
        """Return a number of lots as a quantity."""
        size = self.market.instruments[self.k].lot_size if self.market else None
        return price_of(count, size or 1.0)

    def price(self, value: float) -> str:
        """Return a price with the decimals of its tick."""
        tick = self.market.instruments[self.k].tick_size if self.market else None
        return price(value, decimals(tick) if tick else None)


def case_of(orders: pl.DataFrame, fills: pl.DataFrame, order_id: int, market: Market | None) -> Case:
    """Return the order of an id with its fills."""
    found = orders.filter(pl.col("id") == order_id).rows(named=True)
    if not found:
        ids = orders["id"]
        there = f"ids run from {ids.min()!r} to {ids.max()!r}" if ids.len() else "the run has no orders"
        raise ConfigError(f"order {order_id}: there is no such order; {there}")
    market = market.loaded() if market else None
    order = found[0]
    mine = fills.filter(pl.col("order_id") == order_id).rows(named=True)
    k = [one.id for one in market.instruments].index(order["instrument"]) if market else 0
    last = market.stop if market else max([order["arrival_ts"], *(fill["ts"] for fill in mine)])
    return Case(order, mine, market, k, last if order["end_ts"] is None else order["end_ts"])


def levels_at(case: Case, ts: int) -> tuple[Rows, Rows]:
    """Return keys and lots of the recorded book at an exchange time, messages of that time included."""
    assert case.market is not None
    book = case.market.books[case.k]
    return book.state_before(int(np.searchsorted(book.messages["ts"][:-1], ts, side="right")))


def tick_of(case: Case) -> float:
    """Return the tick of its instrument."""
    assert case.market is not None
    return case.market.instruments[case.k].tick_size or 1.0


def own_tick(case: Case) -> int:
    """Return the limit in ticks; what lies between two rests at the passive one."""
    steps = case.order["price"] / tick_of(case)
    slack = max(1e-9, abs(steps) * 4.5e-16)
    return int(np.floor(steps + slack) if case.side > 0 else np.ceil(steps - slack))


def own_key(case: Case) -> int:
    """Return the key of its level in the book."""
    return 2 * own_tick(case) + (0 if case.side > 0 else 1)


def trades_met(case: Case) -> tuple[Rows, Rows]:
    """Return the trades while it rested that came to its price, and of each whether it went through it."""
    assert case.market is not None
    rows = case.market.trades.get(case.k)
    if rows is None:
        return np.zeros(0, TRADE), np.zeros(0, dtype=bool)
    first = int(np.searchsorted(rows["ts"], case.order["arrival_ts"], side="right"))
    end = int(np.searchsorted(rows["ts"], case.end, side="right"))
    rows = rows[first:end]
    beyond = case.side * (rows["tick"].astype(np.int64) - own_tick(case))
    against = (rows["side"] == -case.side) | ((rows["side"] == 0) & (beyond < 0))
    if not len(case.market.books.get(case.k, ())):
        against = np.ones(len(rows), dtype=bool)  # without a book every trade is a price
    met = (beyond <= 0) & against
    return rows[met], beyond[met] < 0


def level_changes(case: Case) -> tuple[Rows, Rows]:
    """Return when the level at its price changed while it rested, and the lots shown from then on."""
    assert case.market is not None
    book = case.market.books.get(case.k)
    if book is None:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    stamps, heads = book.messages["ts"][:-1], book.messages["first"]
    edges = np.searchsorted(stamps, [case.order["arrival_ts"], case.end], side="right")
    first, end = heads[edges].tolist()
    at = first + np.flatnonzero(book.keys[first:end] == own_key(case))
    return stamps[np.searchsorted(heads[:-1], at, side="right") - 1], book.lots[at]


__all__ = ["Case", "case_of", "level_changes", "levels_at", "own_key", "tick_of", "trades_met"]
