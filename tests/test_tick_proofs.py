"""The proof against looking ahead on ticks: honest strategies pass, planted cheats fail."""

from __future__ import annotations

from functools import cache
from typing import Any, ClassVar

import numpy as np
import polars as pl
import pytest

from framework import Fills, Latency, Market, Strategy, book_at, check_lookahead, samples
from framework.market_book import open_book
from framework.market_ticks import Book
from framework.research.futures import last_happened, last_known, moments, scrambled, truncated
from framework.testing import check_strategy
from strategies.imbalance_maker import ImbalanceMaker
from strategies.spot_perp_hedge import SpotPerpHedge
from tests.made_ticks import slowed
from tests.market_frames import candles
from tests.tick_frames import T0, assert_not_crossed, book_of, coin, random_feed, trade_rows

SMALL: dict[str, Any] = {"cuts": 6, "scrambles": 6}
QUICK: dict[str, Any] = {**SMALL, "latency": Latency(order="2ms", response="1ms")}


@cache
def feed(seed: int = 1, count: int = 600, by: int = 20) -> Market:
    """A random book with trades, some 20 ms between its rows, seen up to 5 ms late."""
    messages, trades = random_feed(np.random.default_rng(seed), count, mid=5_000)
    rows = book_of(slowed(messages, by)), trade_rows(slowed(trades, by))
    return Market((coin(),), books={0: rows[0]}, trades={0: rows[1]}, name=f"feed {seed}")


def mixed() -> Market:
    """A book, an instrument with trades only, and one of candles over the same time."""
    one, two = feed(1), feed(2)
    rows = candles(40, 10**9, start=T0)
    bars = Market.from_candles(rows, coin("made:CCC", tick_size=0.01), "1s", "open")
    trades = Market((coin("made:BBB"),), trades=two.trades, name="trades")
    return one + trades + bars


class Quotes(Strategy):
    """Honest: quotes at the touch, moves with it, and takes now and then; with exits."""

    every = 29  # messages between orders that take

    def setup(self):
        self.count = 0
        self.ids = [-1, -1]
        self.prices = [0.0, 0.0]

    def on_book(self, book, broker):
        self.count += 1
        if not book.spread > 0.0:
            return
        if self.count % self.every == 0 and abs(broker.position + 2.0 * self.side(book, broker)) < 20.0:
            broker.order(self.side(book, broker), qty=2.0, stop=book.mid - 9.0 * self.side(book, broker))
        for k, side in enumerate((1, -1)):
            price = book.bid if side > 0 else book.ask
            if self.wants(side, book, broker) and price != self.prices[k] and side * broker.position < 20.0:
                if self.ids[k] >= 0:
                    broker.cancel(self.ids[k])
                self.ids[k] = broker.order(side, qty=5.0, price=price, post_only=True)
                self.prices[k] = price

    def wants(self, side, book, broker):
        return self.count % 3 == 0

    def side(self, book, broker):
        return 1 if book.imbalance(2) > 0.0 else -1


class Trails(Strategy):
    """Honest: amends a resting order at every trade, and holds brackets."""

    def setup(self):
        self.id = -1

    def on_trade(self, trade, broker):
        if broker.orders == 0 and broker.position == 0.0:
            self.id = broker.order(1, qty=3.0, price=trade.price - 1.0, stop=trade.price - 6.0,
                                   target=trade.price + 4.0)  # fmt: skip
        elif broker.position == 0.0:
            broker.amend(self.id, price=trade.price - 1.0)


class Clock(Strategy):
    """Honest: on bars of trades and a timer."""

    timer = "100ms"
    bars = "1s"

    def setup(self):
        self.last = 0.0

    def on_bar(self, bar, broker):
        self.last = bar.close - bar.open

    def on_timer(self, now, broker):
        if self.last != 0.0 and broker.orders == 0:
            broker.order(1 if self.last < 0.0 else -1, qty=1.0)
            self.last = 0.0


@pytest.mark.parametrize("cls", [ImbalanceMaker, SpotPerpHedge])
def test_shipped_strategies_are_clean(cls: type[Strategy]) -> None:
    market = samples.load(cls.sample).slice(None, "2024-01-01 07:52")
    proof = check_lookahead(cls, market, cuts=4, scrambles=4)
    assert proof.ok, str(proof)
    assert proof.compared > 50
    assert f"{1_992 if cls is ImbalanceMaker else 4_511} trades" in str(check_strategy(cls))


@pytest.mark.parametrize("cls", [Quotes, Trails, Clock])
@pytest.mark.parametrize(
    "options",
    [
        QUICK,
        {**SMALL, "latency": Latency(order=0, response=0)},
        {**SMALL, "latency": Latency(order="1ms", response=0), "fills": Fills(queue="front", partial=False)},
        {**QUICK, "cash": 30_000.0, "leverage": 20.0, "fills": Fills(queue="power:2", trigger="quote")},
    ],
    ids=["quick", "instant", "whole", "leverage"],
)
def test_honest_strategies_are_clean(cls: type[Strategy], options: dict[str, Any], seed: int) -> None:
    proof = check_lookahead(cls, feed(), **options, seed=seed)
    assert proof.ok, str(proof)
    assert proof.compared > 20
    assert (proof.cuts, proof.scrambles) == (6, 6)


@pytest.mark.parametrize("cls", [Quotes, Trails, Clock])
def test_mixed_markets_are_clean(cls: type[Strategy], seed: int) -> None:
    class Also(cls):  # type: ignore[misc, valid-type]
        def on_fill(self, fill, broker):
            if fill.instrument == 0 and broker.at(2).orders == 0:
                broker.at(2).order(-fill.side, qty=1.0)
                broker.at(1).order(-fill.side, qty=1.0)

    proof = check_lookahead(Also, mixed(), **QUICK, seed=seed)
    assert proof.ok, str(proof)
    trades = check_lookahead(Trails, feed().as_trades(), **QUICK, seed=seed)
    assert trades.ok, str(trades)


# ---- planted cheats ----------------------------------------


class KeepsBook(Quotes):
    """Takes by the mid of half a second ahead, read from a market of its own."""

    whole: ClassVar[Market] = feed()

    every = 3

    def side(self, book, broker):
        return 1 if book_at(self.whole, 0, broker.now + 500_000_000).mid > book.mid else -1


class ReachesIntoView(Quotes):
    """Goes round the view's clock, to the next message."""

    every = 3

    def side(self, book, broker):
        later = open_book(self.view._market, 0)
        times = later.book.messages["local_ts"]
        at = int(np.searchsorted(times[:-1], broker.now, side="right"))
        return 1 if later.view(int(times[min(at, len(times) - 2)])).mid > book.mid else -1


class NextTrade(Trails):
    """Puts its limit where the next trade will be."""

    def on_trade(self, trade, broker):
        rows = self.view._market.trades[0]
        at = int(np.searchsorted(rows["local_ts"], trade.local_ts, side="right"))
        if broker.orders == 0 and at < len(rows):
            broker.order(1 if broker.position <= 0.0 else -1, qty=1.0, price=float(rows["tick"][at]))


class PullsAhead(Quotes):
    """Its quotes are honest; it cancels them when the next trade would fill them."""

    def on_timer(self, now, broker):
        rows = self.view._market.trades[0]
        at = int(np.searchsorted(rows["local_ts"], now, side="right"))
        for k, side in enumerate((1, -1)):
            if self.ids[k] >= 0 and at < len(rows) and rows["side"][at] == -side:
                broker.cancel(self.ids[k])
                self.ids[k] = -1

    timer = "20ms"


class Keeper(Quotes):
    """Reads the bars of its own market, that were made before."""

    whole: ClassVar[Market] = feed()

    every = 3

    def side(self, book, broker):
        bars, times = self.whole.shown_bars(0, "1s")
        at = int(np.searchsorted(times, broker.now, side="right"))
        return 1 if bars["close"][min(at + 1, len(bars) - 1)] > book.mid else -1


@pytest.mark.parametrize(
    ("cls", "slow"),
    [(KeepsBook, False), (ReachesIntoView, True), (NextTrade, False), (NextTrade, True), (PullsAhead, False),
     (Keeper, False)],
)  # fmt: skip
def test_cheats_are_caught(cls: type[Strategy], slow: bool, seed: int) -> None:
    """Also with slow orders, where what the cheat knows early has happened before they arrive."""
    latency = {"latency": Latency(order="30ms", response="1ms")} if slow else {}
    proof = check_lookahead(cls, feed(), **{**QUICK, **latency, "cuts": 10, "scrambles": 10}, seed=seed)
    assert proof.verdict == "LOOK-AHEAD", str(proof)


class OnFeature(Quotes):
    features = ("edge",)

    def wants(self, side, book, broker):
        return self.count % 2 == 0 and broker.feature("edge") * side > 0.0


def mids(market: Market) -> pl.DataFrame:
    """Arrival and mid of each message."""
    cursor, times = open_book(market, 0), np.unique(market.books[0].messages["local_ts"][:-1])
    return pl.DataFrame({"ts": times, "mid": [cursor.view(ts).mid for ts in times.tolist()]})


def ahead(market: Market) -> Market:
    """Leak: the mid ten messages on, as if it were known."""
    edge = pl.col("mid").shift(-10) - pl.col("mid")
    return market.with_features(mids(market).select("ts", edge=edge).drop_nulls())


def centred(market: Market) -> Market:
    """Leak: the mid against a mean that reaches as far ahead as back."""
    edge = pl.col("mid") - pl.col("mid").rolling_mean(21, center=True, min_samples=1)
    return market.with_features(mids(market).select("ts", edge=edge))


def at_exchange(market: Market) -> Market:
    """Leak: trades known at the exchange's time and not at their arrival."""
    rows = market.trades[0]
    frame = pl.DataFrame({"ts": rows["ts"], "edge": rows["side"].astype(float)})
    return market.with_features(frame.group_by("ts", maintain_order=True).last())


def honest(market: Market) -> Market:
    """The last move of the mid."""
    edge = pl.col("mid") - pl.col("mid").shift(3)
    return market.with_features(mids(market).select("ts", edge=edge).drop_nulls())


class Early(Strategy):
    """Follows the last trade."""

    features = ("edge",)
    timer = "1ms"

    def setup(self):
        self.last = 0.0

    def on_timer(self, now, broker):
        edge = broker.feature("edge")
        if edge * edge > 0.0 and edge != self.last and broker.orders == 0:
            broker.order(1 if edge > 0.0 else -1, qty=1.0)
            self.last = edge


@pytest.mark.parametrize(("cls", "build"), [(OnFeature, ahead), (OnFeature, centred), (Early, at_exchange)])
def test_leaking_features_are_caught(cls: type[Strategy], build: Any, seed: int) -> None:
    proof = check_lookahead(cls, feed(), features=build, **{**QUICK, "scrambles": 10}, seed=seed)
    assert proof.verdict == "LOOK-AHEAD", str(proof)


def test_features_that_know_nothing_are_clean(seed: int) -> None:
    proof = check_lookahead(OnFeature, feed(), features=honest, **QUICK, seed=seed)
    assert proof.ok, str(proof)
    assert check_lookahead(OnFeature, honest(feed()), **QUICK).verdict == "UNPROVED"


def test_a_copy_of_the_book_is_unproved() -> None:
    copied = feed(1, 599)

    class Copied(Quotes):
        def side(self, book, broker):
            return 1 if book_at(copied, 0, broker.now).mid > book.mid else -1

    class Arrays(Quotes):
        held = copied.books[0]

    for cls, words in ((Copied, "'copied' (Market)"), (Arrays, "Arrays.held (Book)")):
        proof = check_lookahead(cls, feed(), cuts=1, scrambles=1, latency=QUICK["latency"])
        assert proof.verdict == "UNPROVED", str(proof)
        assert words in str(proof)


# ---- the futures ----------------------------------------


def assert_valid(book: Book, market: Market) -> None:
    """Never crossed, every row changes its level, each level once in a message, prices above 0."""
    known: dict[int, int] = {}
    first = book.messages["first"]
    for begin, end in zip(first[:-1].tolist(), first[1:].tolist(), strict=True):
        keys, lots = book.keys[begin:end].tolist(), book.lots[begin:end].tolist()
        assert len(set(keys)) == len(keys)
        for key, size in zip(keys, lots, strict=True):
            assert known.get(key, 0) != size, (key, size)
            assert key > 1
            known[key] = size
        assert_not_crossed(known)
    assert (np.diff(book.messages["ts"]) >= 0).all()


@pytest.mark.parametrize("unseen", [0.0, 0.2])
def test_futures_are_valid_and_keep_the_past(unseen: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    messages, trades = random_feed(rng, 300, unseen=unseen)
    messages[0][2].extend([("ask", 9_000, 5), ("bid", 5, 7)])  # levels that find no place in some futures
    market = Market((coin(),), books={0: book_of(messages)}, trades={0: trade_rows(trades)})
    before = market.content_hash()
    told = {"other": 0, "cut": 0}
    for cut in [*rng.choice(moments(market), 25).tolist(), int(moments(market)[-1])]:
        past = market.slice(None, cut + 1).content_hash()
        assert last_happened(market, cut) < cut <= last_known(market, cut)
        assert truncated(market, cut).content_hash() == past
        told["cut"] += len(truncated(market, cut).books[0]) < len(market.books[0])
        with scrambled(market, cut, rng) as other:
            assert other.slice(None, cut + 1).content_hash() == past
            assert_valid(other.books[0], other)
            after = other.trades[0][other.trades[0]["local_ts"] > cut]
            assert (after["tick"] > 0).all()
            assert (after["lots"] > 0).all()
            whole = Market(market.instruments, books=market.books, trades=market.trades)
            told["other"] += whole.content_hash() != before
    assert min(told.values()) >= 25
    assert Market(market.instruments, books=market.books, trades=market.trades).content_hash() == before
