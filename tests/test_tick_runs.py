"""Strategies over ticks: who is woken when, and that every driver and every view tells the same."""

from __future__ import annotations

import math
from typing import Any

import polars as pl
import pytest

from framework import (
    Costs,
    Fills,
    Latency,
    Market,
    Strategy,
    backtest,
    book_at,
    compiled,
    replay_orders,
    sweep,
)
from framework.errors import OrderRejected, StrategyError
from framework.options import Latency as Delays
from framework.samples import load
from framework.times import SECOND
from tests.golden import t
from tests.small import made
from tests.tick_frames import ms, tick_market

CALLS: list[Any] = []
FREE = {"costs": Costs(maker=0.0, taker=0.0, slippage=0.0), "latency": Latency(order=0, response=0)}


def minute(name: str = "ticks", seconds: int = 40) -> Market:
    """Return the first part of a sample."""
    market = load(name)
    return market.slice(None, market.start + seconds * SECOND)


class Listener(Strategy):
    """Remember every call, in plain Python."""

    timer = "50ms"

    def setup(self) -> None:
        CALLS.clear()

    def on_trade(self, trade: Any, broker: Any) -> None:
        CALLS.append(("trade", broker.now, trade.price, trade.qty, trade.side, broker.book.trade(0)))

    def on_book(self, book: Any, broker: Any) -> None:
        CALLS.append(("book", broker.now, book.bid, book.ask, book.age))

    def on_timer(self, now: int, broker: Any) -> None:
        CALLS.append(("timer", now, broker.price))


def small() -> Market:
    """Return three messages and two trades."""
    return tick_market(
        messages=[
            (ms(0), ms(5), [("bid", 99, 4), ("ask", 101, 6)]),
            (ms(10), ms(20), [("bid", 100, 2)]),
            (ms(11), ms(20), [("ask", 101, 0), ("ask", 102, 3)]),
        ],
        trades=[(ms(9), ms(20), 101, 1, 1), (ms(60), ms(70), 100, 2, -1)],
    )


def test_who_is_woken_when() -> None:
    """All rows of one local time are applied before any hook; trades, then messages, then the timer."""
    backtest(Listener, small(), **FREE)
    trade = CALLS[1][5]
    assert (trade.price, trade.qty, trade.side, trade.ts, trade.local_ts) == (101.0, 1.0, 1, ms(9), ms(20))
    assert [(c[0], c[1] - ms(0), *c[2:5]) for c in CALLS] == [
        ("book", 5_000_000, 99.0, 101.0, 0),
        ("trade", 20_000_000, 101.0, 1.0, 1),
        ("book", 20_000_000, 100.0, 102.0, 0),  # both messages of 20 ms are known to both calls
        ("book", 20_000_000, 100.0, 102.0, 0),
        ("timer", 50_000_000, 101.0),
        ("trade", 70_000_000, 100.0, 2.0, -1),
    ]  # the timer begins at the first multiple after the first row, and ends with the last


class Mixed(Strategy):
    """Act on everything; one source for the compiled and the plain run."""

    timer = "250ms"
    bars = "1m"

    def setup(self) -> None:
        self.seen = 0.0
        self.order_id = 0
        self.bar_count = 0

    def on_trade(self, trade: Any, broker: Any) -> None:
        self.seen += trade.price * trade.qty * trade.side

    def on_book(self, book: Any, broker: Any) -> None:
        self.seen += book.imbalance(5) + book.microprice - book.mid + 0.001 * book.size_to(1, book.bid)

    def on_bar(self, bar: Any, broker: Any) -> None:
        self.seen += bar.close - bar.open + bar.volume
        self.bar_count += 1

    def on_fill(self, fill: Any, broker: Any) -> None:
        self.seen += fill.price * fill.qty
        if fill.maker == 1 and broker.position != 0.0:
            broker.close()

    def on_order(self, order: Any, broker: Any) -> None:
        self.seen += order.status

    def on_timer(self, now: int, broker: Any) -> None:
        book = broker.book
        self.seen += broker.equity + broker.price + book.depth(-1, 3) + book.price(1, 2) + book.size(-1, 2)
        if broker.orders > 0:
            broker.amend(self.order_id, price=book.bid)
        elif book.buy_pressure(50) > 0.4 and book.trade(0).side != 0:
            self.order_id = broker.buy(qty=0.01, price=book.bid, stop=book.bid - 6.0, target=book.ask + 2.0)


MixedCompiled = compiled(type("MixedCompiled", (Mixed,), {"__module__": __name__}))


@pytest.mark.parametrize(
    "fills", [Fills(), Fills(queue="power:2", trigger="quote"), Fills(queue="log", partial=False)]
)
def test_compiled_and_plain_are_one(fills: Fills) -> None:
    market = minute(seconds=90)
    one, other = (backtest(cls, market, fills=fills, strict=True) for cls in (Mixed, MixedCompiled))
    assert one.fingerprint == other.fingerprint
    assert one.fills.height > 4
    assert one.equity.equals(other.equity)


def test_books_of_hooks_are_books_of_views() -> None:
    """The engine's book, the market's view and `book_at` are three readings of the same rows."""
    market, found = minute(seconds=20), []

    class Looker(Strategy):
        """Compare at every half second."""

        timer = "500ms"

        def on_timer(self, now: int, broker: Any) -> None:
            mine, snapshot = broker.book, broker.book.snapshot(20)
            known = book_at(market, 0, now)
            assert snapshot == known.snapshot(20)
            assert (mine.bid, mine.ask, mine.bid_size, mine.ask_size) == (
                known.bid, known.ask, known.bid_size, known.ask_size
            )  # fmt: skip
            assert mine.microprice == pytest.approx(known.microprice)
            assert mine.imbalance(10) == pytest.approx(known.imbalance(10))
            trades = self.view.at(now).trades(5)
            assert [t.price for t in mine.trades(5)] == trades["price"].tolist()
            found.append(now)

    backtest(Looker, market)
    assert len(found) > 30


def test_bars_of_ticks_are_shown_when_they_can_be_known() -> None:
    market, calls = load("ticks"), []

    class Bars(Strategy):
        """Remember bars."""

        bars = "1m"

        def on_bar(self, bar: Any, broker: Any) -> None:
            calls.append((broker.now, bar.open_ts, bar.close, bar.volume))

    result = backtest(Bars, market)
    bars, shown = market.shown_bars(0, 60 * SECOND)
    assert [c[0] for c in calls] == shown.tolist()
    assert [c[1:] for c in calls] == [(b["open_ts"], b["close"], b["volume"]) for b in bars]
    assert all(now >= opened + 60 * SECOND for now, opened, *_ in calls)
    assert result.equity.height > 1000  # a row each second


def test_a_book_and_candles_share_an_account() -> None:
    """An instrument of bars and one of ticks in one run: both fill, one cash, strict all the way."""
    ticks = small()
    first = (ms(0) - t(0)) // (60 * SECOND)
    market = ticks + made("99 103 98 101", "101 103 98 100", first=first, id="made:BBB")
    rows = {
        "ts": [ms(6), ms(6)], "instrument": ["made:AAA", "made:BBB"], "side": ["buy", "sell"],
        "type": ["market", "market"], "qty": [2.0, 1.0], "id": [1, 2],
    }  # fmt: skip
    result = replay_orders(pl.DataFrame(rows), market, strict=True, **FREE)
    assert result.orders["status"].to_list() == ["filled", "filled"]
    assert result.fills["bar_open_ts"].null_count() == 1
    assert result.fills["price"][0] == 101.0


def test_hooks_of_ticks_need_ticks() -> None:
    market = made("99 103 98 101", "101 103 98 100")

    class Asks(Strategy):
        """Look at a book that is not there."""

        def on_bar(self, bar: Any, broker: Any) -> None:
            broker.buy(1.0, price=broker.book.bid)

    with pytest.raises(StrategyError, match="on_book: the market has bars only"):
        backtest(Listener, market)
    with pytest.raises(OrderRejected, match="the market has bars only"):
        backtest(Asks, market)
    with pytest.raises(StrategyError, match=r"uses broker\.book, and the market has bars only"):
        backtest(compiled(Asks), market)


def test_sweeps_run_over_ticks() -> None:
    market = minute(seconds=30)
    table = sweep(MixedCompiled, market)
    assert table["fingerprint"].to_list() == [backtest(MixedCompiled, market).fingerprint]


def test_latencies_of_a_feed_lie_between_its_own() -> None:
    market = minute(seconds=30)
    delays = Delays.of_feed(market, order=2.0)
    rows = delays.rows("")
    took = market.books[0].messages[:-1]["local_ts"] - market.books[0].messages[:-1]["ts"]
    assert took.min() <= rows["response"].min() <= rows["response"].max() <= took.max()
    assert (rows["order"] - 2 * rows["response"] == 0).all()
    slow = backtest(MixedCompiled, market, latency=delays).orders
    sent = slow.filter(slow["reason"].is_in(["", "cancelled by strategy"]))  # exits are born at the exchange
    travelled = sent["arrival_ts"] - sent["ts"]
    assert travelled.max() > travelled.min() >= rows["order"].min()


@pytest.mark.parametrize(("interpolate", "due"), [(False, 10), (True, 15)])
def test_a_table_is_a_staircase_or_a_line(interpolate: bool, due: int) -> None:
    table = [(ms(0), 10_000_000, 0), (ms(20), 20_000_000, 0)]
    orders = pl.DataFrame({"ts": [ms(10)], "side": ["buy"], "type": ["market"], "qty": [1.0]})
    result = replay_orders(orders, small(), latency=Latency(table=table, interpolate=interpolate))
    assert result.orders["arrival_ts"][0] - ms(10) == due * 1_000_000


def test_an_unknown_book_lets_orders_wait() -> None:
    """Sent before the first message, an order looks at the book when there is one."""
    orders = pl.DataFrame({"ts": [ms(-1)], "side": ["sell"], "type": ["market"], "qty": [1.0]})
    result = replay_orders(orders, small(), **FREE)
    assert result.fills["ts"].to_list() == [ms(0)]
    assert math.isclose(result.fills["price"][0], 99.0)
