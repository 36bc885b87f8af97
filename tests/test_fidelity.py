"""fidelity: the same strategy on candles, trades and books; what cannot run says so in its row."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import framework
from framework import Costs, Market, Strategy, backtest, samples
from framework.errors import ConfigError
from framework.research.fidelity import COLUMNS, told
from tests.made_ticks import made_market

FREE: dict[str, Any] = {"costs": Costs(maker=1e-4, taker=5e-4, slippage=0.0), "cash": 1e6}


class InAndOut(Strategy):
    """Buy at each bar with a limit below, sell what is there at the market."""

    bars = "1s"
    depth: float = 0.3

    def setup(self):
        self.turn = 0

    def on_bar(self, bar, broker):
        self.turn += 1
        broker.cancel_all()
        if broker.position > 0.0:
            broker.close()
        else:
            broker.buy(qty=0.01, price=bar.close - self.depth)


class Booked(Strategy):
    """Look at the book."""

    def on_book(self, book, broker):
        pass


class Barred(Strategy):
    """Look at bars."""

    def on_bar(self, bar, broker):
        pass


@pytest.fixture(scope="module")
def market() -> Market:
    return made_market(np.random.default_rng(11), 4_000)


def test_one_row_for_each_fidelity(market: Market) -> None:
    frame = framework.fidelity(InAndOut, market, "1s", **FREE)
    assert frame.columns == list(COLUMNS)
    assert frame["fidelity"].to_list() == ["candles", "trades", "books"]
    assert frame["error"].null_count() == 3
    assert set(frame["status"]) == {"done"}
    for row, of in zip(frame.rows(named=True), (market.as_candles("1s"), None, market), strict=True):
        if of is None:
            continue
        alone = backtest(InAndOut, of, **FREE)
        assert row["final_equity"] == alone.metrics["final_equity"]
        assert row["orders"] == alone.orders.height > 20
        asked = alone.orders["qty"].fill_nan(0.0).sum()  # of a close that found nothing: not known
        assert row["fill_rate"] == pytest.approx(alone.orders["filled_qty"].sum() / asked)
    text = told(frame)
    assert text.splitlines()[0].split() == ["candles", "trades", "books"]
    assert "fill rate" in text


def test_what_cannot_run_says_so_in_its_row(market: Market) -> None:
    frame = framework.fidelity(Booked, market, **FREE)
    candles, _, books = frame.rows(named=True)
    assert candles["status"] == "failed"
    assert "on_book" in candles["error"]
    assert candles["orders"] is None
    assert (books["status"], books["error"], books["orders"]) == ("done", None, 0)
    assert math.isnan(books["fill_rate"])
    assert f"candles: {candles['error']}" in told(frame)


def test_a_market_without_books_has_two_rows(market: Market) -> None:
    frame = framework.fidelity(InAndOut(depth=0.1), market.as_trades(), "1s", **FREE)
    assert frame["fidelity"].to_list() == ["candles", "trades"]


def test_refusals(market: Market) -> None:
    with pytest.raises(ConfigError, match="did you mean leverage"):
        framework.fidelity(InAndOut, market, leverag=2.0)
    with pytest.raises(ConfigError, match="has bars only"):
        framework.fidelity(InAndOut, samples.load("majors-1d"))
    with pytest.raises(ConfigError, match='bars = "5s"'):
        framework.fidelity(Barred, market, "5s")
    with pytest.raises(ConfigError, match="interval"):
        framework.fidelity(InAndOut, market, "1 fortnight")
