"""The order book and the trades as known at one moment, against a dict and a list."""

from __future__ import annotations

import math
from dataclasses import asdict

import numpy as np
import pytest

from framework import Market, Strategy, View, book_at, market_brief
from framework.errors import ConfigError
from framework.llm.prompt import render
from framework.market_book import BookView
from framework.market_ticks import Book
from framework.questions import prompts_of
from framework.times import MINUTE, SECOND
from tests.market_frames import market
from tests.tick_frames import T0, coin, ms, random_feed, tick_market

FINE = {"tick_size": 0.1, "lot_size": 0.001}


class Naive:
    """What was known at `now` of the rows of a feed, by going through all of them."""

    def __init__(self, messages, trades, now, tick=10, lot=1000):
        levels, self.stamps = {}, (-1, -1)
        for ts, seen, rows in messages:
            if seen <= now:
                self.stamps = (ts, seen)
                levels.update({(side, k): n for side, k, n in rows})
        there = [(side, k / tick, n / lot) for (side, k), n in sorted(levels.items()) if n > 0]
        self.bids = [(p, n) for side, p, n in there if side == "bid"][::-1]
        self.asks = [(p, n) for side, p, n in there if side == "ask"]
        self.trades = [(ts, seen, side, k / tick, n / lot) for ts, seen, k, n, side in trades if seen <= now]

    def total(self, side, n):
        return round(sum(size for _, size in side[:n]), 6)

    def to(self, price):
        asks = sum(n for p, n in self.asks if p <= price)
        return round(asks or sum(n for p, n in self.bids if p >= price), 6)


def pairs(side):
    return list(zip(side.price.tolist(), side.size.tolist(), strict=True))


def compare(book: BookView, want: Naive, n: int) -> None:
    """Assert that a view says what the reference knows."""
    assert (book.ts, book.local_ts) == want.stamps
    assert [pairs(side) for side in book.depth(n)] == [want.bids[:n], want.asks[:n]]
    bid, ask = ((side or [(math.nan, 0.0)])[0] for side in (want.bids, want.asks))
    top = (book.bid, book.bid_size, book.ask, book.ask_size)
    assert np.array_equal(top, (*bid, *ask), equal_nan=True)
    totals = want.total(want.bids, n), want.total(want.asks, n)
    snapshot = book.snapshot(n)
    assert (snapshot.bid_total, snapshot.ask_total) == pytest.approx(totals, rel=1e-12)
    assert snapshot.bids == tuple(want.bids[:n])
    assert snapshot.asks == tuple(want.asks[:n])
    if sum(totals):
        assert book.imbalance(n) == snapshot.imbalance
        assert book.imbalance(n) == pytest.approx((totals[0] - totals[1]) / sum(totals), rel=1e-12)
    for price in (99.0, 99.5, 100.0, 100.3, 101.0):
        assert book.size_to(price) == pytest.approx(want.to(price), rel=1e-12)


def test_a_view_against_a_naive_book(seed):
    rng = np.random.default_rng(seed)
    messages, trades = random_feed(rng, 150, unseen=0.2)
    m = tick_market(messages, trades, what=coin(**FINE))
    view, kept = View(m, m.start), []
    moments = np.sort(rng.integers(m.start - 9, m.stop + 9, 120)).tolist()
    exact = [seen for _, seen, _ in messages[::9]]
    for now in [*moments, *exact, *[seen - 1 for seen in exact], *rng.permutation(moments).tolist()[:40]]:
        want, n = Naive(messages, trades, now), int(rng.integers(1, 12))
        book = view.at(now).book()
        if rng.random() < 0.5:
            compare(book, want, n)
        kept.append((book, want, n))
        last = view.trades(n)
        assert last.tolist() == want.trades[-n:]
        bought, sold = (sum(t[4] for t in want.trades[-n:] if t[2] == side) for side in (1, -1))
        pressure = bought / (bought + sold) if bought + sold else math.nan
        assert view.buy_pressure(n) == pytest.approx(pressure, rel=1e-12, nan_ok=True)
        mid = view.book().mid
        price = mid if mid == mid else want.trades[-1][3] if want.trades else math.nan
        assert view.price() == pytest.approx(price, rel=1e-15, nan_ok=True)
    for book, want, n in kept:
        compare(book, want, n)  # as it was, whatever was asked since
    compare(book_at(m, 0, exact[3]), Naive(messages, trades, exact[3]), 5)
    compare(book_at(m, "AAA", "2024-01-01T00:00:00.100Z"), Naive(messages, trades, ms(100)), 5)


def test_the_numbers_of_one_book():
    rows = [("bid", 100, 6), ("bid", 98, 2), ("ask", 104, 2), ("ask", 105, 8), ("ask", 110, 1)]
    view = View(tick_market([(ms(0), ms(5), rows)]), ms(7))
    book = view.book()
    assert (book.bid, book.ask, book.bid_size, book.ask_size) == (100.0, 104.0, 6.0, 2.0)
    assert (book.mid, book.spread, book.microprice) == (102.0, 4.0, 103.0)
    assert (book.now, book.age, book.local_ts, book.ts) == (ms(7), ms(2) - T0, ms(5), ms(0))
    assert (book.imbalance(), book.imbalance(2), book.imbalance(9)) == (0.5, (8 - 10) / 18, (8 - 11) / 19)
    assert [book.size_to(p) for p in (97, 98, 99, 100, 102, 104, 104.5, 107, 200)] == [
        8, 8, 6, 6, 0, 2, 2, 10, 11
    ]  # fmt: skip
    assert asdict(book.snapshot(2)) == {
        "ts": ms(0), "local_ts": ms(5),
        "bids": ((100.0, 6.0), (98.0, 2.0)), "asks": ((104.0, 2.0), (105.0, 8.0)),
        "bid_total": 8.0, "ask_total": 10.0, "imbalance": -2 / 18, "spread": 4.0, "spread_pct": 400 / 102,
    }  # fmt: skip
    assert repr(book) == "<BookView made:AAA: 6 @ 100 | 2 @ 104>"
    for ask in (book.depth, book.snapshot, book.imbalance):
        with pytest.raises(ConfigError, match="at least one level"):
            ask(0)


def test_what_is_not_there_is_nan_and_not_zero():
    m = tick_market(
        [(ms(0), ms(5), [("bid", 100, 6)]), (ms(6), ms(6), [("bid", 100, 0)])], [(ms(8), ms(9), 99, 1, 0)]
    )
    view = View(m, ms(4))
    before, one, empty = (view.at(now).book() for now in (ms(4), ms(5), ms(6)))
    assert (before.age, before.ts, before.local_ts) == (-1, -1, -1)
    for book in (before, one, empty):
        assert np.isnan([book.ask, book.mid, book.spread, book.microprice]).all()
        assert (book.ask_size, book.size_to(200.0)) == (0.0, 0.0)
        assert math.isnan(book.snapshot(3).spread_pct)
    assert (one.bid, one.imbalance(), one.size_to(1.0)) == (100.0, 1.0, 6.0)
    assert math.isnan(empty.imbalance())
    assert math.isnan(view.price())
    assert math.isnan(view.buy_pressure(5))
    assert view.at(ms(9)).price() == 99.0
    assert math.isnan(view.buy_pressure(5)), "a taker whose side is not known says nothing"


def test_a_view_keeps_what_it_showed_when_time_goes_on():
    m = tick_market([(ms(i), ms(i), [("bid", 90 + i, 5)]) for i in range(5)])
    view = View(m, ms(0))
    books = [view.at(ms(i)).book() for i in range(5)]
    assert [book.bid for book in books] == [90.0, 91.0, 92.0, 93.0, 94.0]
    assert [book.depth(9).bids.price.size for book in books] == [1, 2, 3, 4, 5]
    with pytest.raises(ConfigError, match="has no book in this market; load incremental_book_L2"):
        View(tick_market(trades=[(ms(0), ms(0), 99, 1, 1)]), ms(0)).book()
    with pytest.raises(ConfigError, match="made:AAA has none here"):
        view.trades(3)
    with pytest.raises(ConfigError, match="one trade at least"):
        View(tick_market(trades=[(ms(0), ms(0), 99, 1, 1)]), ms(0)).trades(0)
    with pytest.raises(ConfigError, match="is none of this market's"):
        view.book(1)
    with pytest.raises(ConfigError, match="names none"):
        book_at(m, "BBB", ms(0))


def test_levels_far_apart():
    rows = [("bid", 1, 5), ("bid", 400_000_000, 3), ("ask", 1_000_000_000, 2)]
    book = View(tick_market([(ms(0), ms(0), rows)]), ms(0)).book()
    assert pairs(book.depth(5).bids) == [(4e8, 3.0), (1.0, 5.0)]
    assert book.ask == 1e9


def test_bars_of_ticks_are_seen_when_the_next_one_begins():
    trades = [(ms(t), ms(t) + 3, 90 + t // 300, 1, 1) for t in range(0, 5000, 300)]
    m = tick_market(trades=trades)
    view = View(m, T0, feed_ns=SECOND, interval="1s")
    for now in range(T0, m.stop + SECOND, 100_000_000):
        rows = view.at(now).bars(9)
        seen = [t for t in trades if t[1] <= now]
        newest = max((t[0] // SECOND for t in seen), default=T0 // SECOND)
        assert len(rows) == newest - T0 // SECOND
        assert rows["volume"].sum() == sum(t[0] // SECOND < newest for t in seen)
    assert len(View(m, m.stop).bars(9)) == 0, "a minute by default, and it is not over"
    both = Market.from_candles(market(5).bars[0, MINUTE], coin(), "1m") + m
    assert len(View(both, T0 + 2 * MINUTE).bars(9)) == 2
    assert len(View(both, T0 + 2 * MINUTE, feed_ns=1).bars(9)) == 2, "the feed of ticks has its own delay"


def test_mark_of_ticks_is_the_feature_of_its_arrival():
    m = tick_market(trades=[(ms(0), ms(1), 99, 1, 1), (ms(90), ms(91), 99, 1, 1)])
    m = m.with_mark({"ts": [ms(1)], "price": [98.0]}, unit="ns")
    assert View(m, ms(1)).mark() == 98.0
    m = m.with_features({"ts": [ms(40)], "mark_price:made:AAA": [98.5]}, instrument=0)
    view = View(m, ms(39))
    assert math.isnan(view.mark())
    assert view.at(ms(40)).mark() == 98.5


def test_going_on_costs_only_what_is_new(monkeypatch):
    applied = []
    apply = Book.apply

    def counted(book, state, first, end):
        applied.append(end - first)
        return apply(book, state, first, end)

    monkeypatch.setattr(Book, "apply", counted)
    m = tick_market([(ms(i), ms(i), [("bid", 600 + i % 400, 6 + i)]) for i in range(1000)])
    view = View(m, m.start)
    for now in range(m.start, m.stop + MINUTE, (m.stop - m.start) // 50):
        view.at(now).book()
    assert sum(applied) == len(m.books[0].keys)


# the market brief


class Asker(Strategy):
    """Asks for the brief every two seconds."""

    ask_every = "2s"
    bars = "1s"

    def ask(self, view):
        return market_brief(view)


def brief_market() -> Market:
    """Ten seconds of a book of 24 levels a side and a trade every 50 ms, on grids of 0.1 and 0.001."""
    rows = [(side, 1000 + sign * i, 10 * i) for side, sign in (("bid", -1), ("ask", 1)) for i in range(1, 25)]
    more = [(ms(t), ms(t + 5), [("bid", 999, 20 + t)]) for t in range(500, 10_000, 500)]
    trades = [(ms(t), ms(t + 5), 999 + t % 3, 1 + t // 50, 1 if t % 3 else -1) for t in range(0, 10_000, 50)]
    return tick_market([(ms(0), ms(1), rows), *more], trades, what=coin(**FINE))


def test_the_brief_of_a_tick_market():
    m = brief_market()
    brief = market_brief(View(m, ms(9_004), interval="1s"))
    assert (brief.bar_ts, brief.interval_ns) == (T0 + 8 * SECOND, SECOND), (
        "the trade of 9.000 is not seen yet"
    )
    bid = [8_520, *(10 * i for i in range(2, 25))]
    ask = [10 * i for i in range(1, 25)]
    last = [(1 + t // 50, t % 3 > 0) for t in range(0, 9_000, 50)][-100:]
    assert brief.bid_total == pytest.approx(sum(bid[:20]) / 1000)
    assert brief.ask_total == pytest.approx(sum(ask[:20]) / 1000)
    assert brief.bid_volume == pytest.approx(sum(bid[:10]) / 1000)
    assert brief.flow_pressure == pytest.approx(sum(n for n, up in last if up) / sum(n for n, _ in last))
    assert brief.buy_pressure == pytest.approx(
        sum(n for n, up in last[50:] if up) / sum(n for n, _ in last[50:])
    )
    imbalance = (sum(bid[:20]) - sum(ask[:20])) / (sum(bid[:20]) + sum(ask[:20]))
    text = render(brief)[1]
    assert text.splitlines()[-2:] == [
        f"Order book, 20 levels: mid 100.0000, spread 0.200000%, bid total {sum(bid[:20]) / 1000:.4f}, "
        f"ask total 2.1000, imbalance {imbalance:.3f}",
        f"Last 100 trades: buy pressure {100 * brief.flow_pressure:.2f}%",
    ]
    assert "Order book, 10 levels: imbalance" in text
    assert "Last 50 trades: buy pressure" in text


def test_a_brief_knows_nothing_later_than_its_time():
    m = brief_market()
    prompts = prompts_of(Asker(), m)
    assert [p.ts for p in prompts] == [ms(t) for t in (2000, 4000, 6000, 8000)]
    for p in prompts:
        cut = m.slice(None, p.ts + 1)
        assert render(market_brief(View(cut, p.ts, interval="1s")))[1] == p.text
    candle = m.as_candles("1s")
    plain = render(market_brief(View(candle, ms(9_004))))[1]
    assert "Order book" not in plain
    assert "trades" not in plain


def test_a_brief_before_the_first_message_says_nothing_of_the_book():
    m = tick_market(
        [(ms(9_000), ms(9_000), [("bid", 90, 5)])], [(ms(t), ms(t), 99, 1, 0) for t in range(0, 9_000, 400)]
    )
    text = render(market_brief(View(m, ms(3_000), interval="1s")))[1]
    assert "Order book" not in text
    assert "Last 8 trades: buy pressure n/a" in text
    late = render(market_brief(View(m, ms(9_000), interval="1s")))[1]
    assert "mid n/a, spread n/a, bid total 5.0000, ask total 0.0000, imbalance 1.000" in late
