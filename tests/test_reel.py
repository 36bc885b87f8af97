"""Streamed markets: replayed piece by piece they give what they give in memory, to the bit."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from framework import (
    Instrument,
    Strategy,
    backtest,
    book_at,
    check_lookahead,
    compiled,
    fidelity,
    market_brief,
    sweep,
)
from framework.errors import ConfigError, DataError
from framework.market import Market, View
from framework.market_source import Changes, Chunk, Piece, Tape
from framework.records import MESSAGE
from framework.samples import load
from tests.naive import tick_compare
from tests.naive.tick_cases import random_tick_case

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def ticks() -> Market:
    return load("ticks").slice("2024-01-01 08:00", "2024-01-01 08:03")


@pytest.mark.parametrize("rows", [1, 7, 1000, 10**9])
def test_tapes_hold_what_the_market_holds(ticks: Market, rows: int) -> None:
    taped = ticks.as_tapes(rows)
    assert taped.is_streamed
    assert not taped.books
    assert (taped.start, taped.stop, taped.notes) == (ticks.start, ticks.stop, ticks.notes)
    assert taped.content_hash() == ticks.content_hash() == taped.loaded().content_hash()
    for mine, theirs in zip(taped.shown_bars(0, "10s"), ticks.shown_bars(0, "10s"), strict=True):
        assert np.array_equal(mine, theirs)
    book = taped.loaded().books[0]
    assert np.array_equal(book.messages, ticks.books[0].messages)


@pytest.mark.parametrize("seed", range(40))
def test_random_cases(seed: int) -> None:
    """Scripted orders over random books and trades, in pieces of very few rows."""
    case = random_tick_case(seed)
    whole = repr(tick_compare.engine(case))
    for rows in (1, 5):
        assert repr(tick_compare.engine(case, lambda market, n=rows: market.as_tapes(n))) == whole


class Looker(Strategy):
    """Reads everything plain Python can see, and trades on it now and then."""

    timer = "700ms"
    bars = "10s"
    seen: int = 0

    def setup(self) -> None:
        self.told: list[object] = []

    def on_timer(self, now: int, broker: object) -> None:
        view = self.view.at(now)
        self.told.append((now, view.book().snapshot(3), view.trades(5).tolist(), view.bars(2).tolist()))
        self.told.append((broker.book.snapshot(2), [t.ts for t in broker.book.trades(3)], broker.book.age))
        if now // 10**9 % 7 == 0:
            broker.buy(0.01) if broker.position <= 0.0 else broker.sell(0.01)

    def on_bar(self, bar: object, broker: object) -> None:
        self.told.append((bar.open_ts, bar.close, bar.volume))


class Echo(Strategy):
    """Hears every trade and message."""

    def setup(self) -> None:
        self.told: list[object] = []

    def on_trade(self, trade: object, broker: object) -> None:
        self.told.append((trade.ts, trade.price, trade.qty))

    def on_book(self, book: object, broker: object) -> None:
        self.told.append((book.now, book.bid, book.ask))
        if len(self.told) % 500 == 0:
            broker.buy(0.01, price=book.bid) if broker.position <= 0.0 else broker.close()


@compiled
class Joiner(Strategy):
    """Joins the touch, compiled."""

    timer = "300ms"

    def on_timer(self, now, broker):
        broker.cancel_all()
        if broker.position <= 0.0:
            broker.buy(0.01, price=broker.book.bid)
        else:
            broker.sell(0.01, price=broker.book.ask)


@compiled
class Quoter(Strategy):
    """Buys at the bid."""

    size: float = 0.01
    timer = "500ms"

    def on_timer(self, now, broker):
        broker.cancel_all()
        broker.buy(self.size, price=broker.book.bid)


class Both(Strategy):
    """Trades two instruments."""

    timer = "500ms"

    def on_timer(self, now: int, broker: object) -> None:
        one, other = broker.at(0), broker.at(1)
        if one.position <= 0.0:
            one.buy(0.01)
            other.sell(0.01, price=other.book.ask)
        else:
            one.close()
            other.cancel_all()


@pytest.mark.parametrize("cls", [Looker, Echo, Joiner])
def test_strategies(ticks: Market, cls: type[Strategy], monkeypatch: pytest.MonkeyPatch) -> None:
    """Hooks see the same rows, and orders, fills, equity, metrics and fingerprint are equal."""
    made: list[Strategy] = []
    setup = cls.setup
    if cls is not Joiner:
        monkeypatch.setattr(cls, "setup", lambda self: (setup(self), made.append(self))[0])
    whole = backtest(cls, ticks)
    parts = backtest(cls, ticks.as_tapes(3000))
    assert parts.fingerprint == whole.fingerprint
    assert parts.equity.equals(whole.equity)
    assert repr(parts.metrics) == repr(whole.metrics)
    assert parts.table() == whole.table()
    assert len(parts.fills) > 3
    assert cls is Joiner or (made[0].told == made[-1].told and len(made[0].told) > 100)
    first = int(whole.fills["order_id"][0])
    assert parts.explain(first) == whole.explain(first)


class Asker(Strategy):
    """Asks about the market every half minute."""

    ask_every = "30s"

    def ask(self, view: object) -> object:
        return market_brief(view, interval="10s")

    def on_signal(self, signal: object, broker: object) -> None:
        broker.order(signal.direction or 1, share=0.1)


def test_questions_see_the_same(ticks: Market) -> None:
    """A view that is moved by the questions, and by no engine, follows the reel."""
    whole, parts = backtest(Asker, ticks), backtest(Asker, ticks.as_tapes(500))
    assert parts.fingerprint == whole.fingerprint
    assert len(whole.orders) > 2
    assert parts.decisions.equals(whole.decisions)


def test_a_view_has_no_way_back(ticks: Market) -> None:
    view = View(ticks.as_tapes(500), ticks.start)
    view.at(ticks.stop).book()
    with pytest.raises(ConfigError, match="earlier time"):
        view.at(ticks.start + 10**9).book()


def test_what_needs_the_whole_market_says_so(ticks: Market) -> None:
    taped = ticks.as_tapes(1000)
    for call in (
        lambda: taped.slice(None, taped.stop - 1), lambda: taped.split(0.5), lambda: taped.as_candles(),
        lambda: taped.as_trades(), lambda: taped.as_tapes(), lambda: book_at(taped, 0, taped.stop),
        lambda: check_lookahead(Joiner, taped), lambda: fidelity(Joiner, taped),
    ):  # fmt: skip
        with pytest.raises(ConfigError, match=r"streamed.*loaded\(\)"):
            call()
    with pytest.raises(ConfigError, match="whole range in one call"):
        Market.join(taped, replace(ticks, funding={}, mark={}, features={}))


def test_a_tape_that_breaks_ends_the_run(ticks: Market) -> None:
    """What a tape raises comes out of the backtest, and nothing stays behind."""
    taped = ticks.as_tapes(2000)

    def broken(tape: Tape) -> Iterator[Piece]:
        for n, piece in enumerate(tape.read()):
            if n == 2:
                raise DataError("day.book: is damaged")
            yield piece

    tapes = tuple(replace(tape, read=lambda t=tape: broken(t)) for tape in taped.tapes)
    with pytest.raises(DataError, match="is damaged"):
        backtest(Joiner, replace(taped, tapes=tapes))


def test_sweeps_on_threads(ticks: Market) -> None:
    """Every run has a reel of its own."""
    table = sweep(Quoter, ticks.as_tapes(3000), size=[0.01, 0.02, 0.03, 0.04])
    whole = sweep(Quoter, ticks, size=[0.01, 0.02, 0.03, 0.04])
    assert table["fingerprint"].to_list() == whole["fingerprint"].to_list()
    assert len(set(table["fingerprint"])) == 4


def test_two_instruments_join(ticks: Market) -> None:
    """Streamed instruments come together in one account."""
    pair = load("ticks-hedge")
    ids = [one.id for one in pair.instruments]
    alone = [
        Market(
            (one,), trades={0: pair.trades[k]}, books={0: pair.books[k]}, name=ids[k],
        ).slice("2024-01-01 08:00", "2024-01-01 08:02")
        for k, one in enumerate(pair.instruments)
    ]  # fmt: skip
    whole = Market.join(*alone)
    parts = Market.join(*(one.as_tapes(2000) for one in alone))
    assert parts.content_hash() == whole.content_hash()
    assert backtest(Both, parts).fingerprint == backtest(Both, whole).fingerprint


def test_memory_stays_flat(tmp_path: Path) -> None:
    """Of eight times the rows a run holds no more than of one: pages are given back."""
    code = (
        "import numpy as np, resource, sys\n"
        "from dataclasses import replace\n"
        "from framework.market_reel import Reel\n"
        "from tests.test_reel import endless\n"
        "def rss(): return int(open('/proc/self/statm').read().split()[1]) * resource.getpagesize() / 2**20\n"
        "reel = Reel(endless(int(sys.argv[1])))\n"
        "low = rss(); high = low\n"
        "while reel.horizon < reel.source.stop:\n"
        "    reel.follow(min(reel.horizon + 1, reel.source.stop))\n"
        "    high = max(high, rss())\n"
        "print(high - low)\n"
    )
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    grown = []
    for count in ("4", "20"):
        done = subprocess.run([sys.executable, "-c", code, count], env=env, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        grown.append(float(done.stdout))
    assert grown[1] < grown[0] + 30, grown


def endless(count: int) -> Market:
    """A market of `count` pieces of a quarter million rows of a book, each made when it is asked for."""
    rows, step = 1 << 18, 1_000_000

    def pieces() -> Iterator[Piece]:
        for i in range(count):
            heads = np.zeros(rows, MESSAGE)
            heads["ts"] = heads["local_ts"] = 10**18 + (np.arange(rows) + i * rows) * step
            heads["first"] = np.arange(rows) + i * rows
            yield Changes(heads, np.full(rows, 2000 + i % 2, np.int32), np.full(rows, i + 1))

    chunks = tuple(
        Chunk(rows, rows, 10**18 + i * rows * step, 10**18 + i * rows * step,
              10**18 + ((i + 1) * rows - 1) * step, step)
        for i in range(count)
    )  # fmt: skip
    levels = np.array([2000, 2001], np.int32)
    tape = Tape("books", 0, chunks, pieces, chunks[-1].last_local, levels, digests=[b"known"])
    what = Instrument("synthetic:BTCUSD-PERP", "linear", 0.1, 0.001)
    return Market((what,), tapes=(tape,), name="endless")
