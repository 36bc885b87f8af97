"""Markets of the real slices: the book's top, bars of trades, two days joined, a cut joined again."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from framework import Market, View, book_at, from_tardis
from framework.times import MILLISECOND, MINUTE, SECOND
from tests.market_frames import ID

DAYS = {
    "demo": ("binance", "2024-08-08", "2024-08-09"),
    "tardis-form": ("binance-futures", "2023-04-04", "2023-04-05"),
}
KINDS = ("incremental_book_L2", "trades", "book_ticker")


@cache
def real(folder: Path, day: int | None = None) -> Market:
    """One of the slices, its two days as one stream or only one of them."""
    venue, *days = DAYS[folder.name]
    chosen = days if day is None else days[day : day + 1]
    return from_tardis({k: [folder / f"{venue}_{k}_{d}_BTCUSDT.csv.gz" for d in chosen] for k in KINDS})


@pytest.mark.parametrize("name", DAYS)
def test_the_top_of_the_book_is_the_best_bid_and_ask_of_the_venue(data_dir, name):
    """After a message the venue's own best bid and ask, sizes too, stand within 100 ms around it."""
    m = real(data_dir / name)
    view, quotes = View(m, m.start), m.quotes[0]
    fields = ("bid", "bid_size", "ask", "ask_size")
    for now in m.books[0].messages["local_ts"][:-1:20].tolist():
        book = view.at(now).book()
        near = np.searchsorted(quotes["local_ts"], [now - 100 * MILLISECOND, now + 100 * MILLISECOND])
        rows = quotes[max(near[0] - 1, 0) : near[1]]
        assert np.logical_and.reduce([rows[n] == getattr(book, n) for n in fields]).any(), (now, book)
        assert book.bid < book.ask


@pytest.mark.parametrize("name", DAYS)
def test_two_days_joined_are_the_days_read_as_one(data_dir, name):
    folder = data_dir / name
    whole, made = real(folder), real(folder, 0) + real(folder, 1)
    book, other = whole.books[0], made.books[0]
    assert np.array_equal(book.messages, other.messages)
    at = int(
        real(folder, 0).books[0].messages["first"][-1]
    )  # the midnight snapshot: net changes in any order
    end = int(book.messages["first"][len(real(folder, 0).books[0]) + 1])
    for first, last in ((0, at), (end, len(book.keys))):
        assert np.array_equal(book.keys[first:last], other.keys[first:last])
        assert np.array_equal(book.lots[first:last], other.lots[first:last])
    rows, others = (
        sorted(zip(b.keys[at:end].tolist(), b.lots[at:end].tolist(), strict=True)) for b in (book, other)
    )
    assert rows == others
    assert 0 < end - at < 500, "what is known already is not told again"
    for stream in ("trades", "quotes"):
        assert np.array_equal(getattr(whole, stream)[0], getattr(made, stream)[0]), stream


@pytest.mark.parametrize("name", DAYS)
def test_a_cut_joined_again_is_the_whole(data_dir, name, seed):
    m, rng = real(data_dir / name), np.random.default_rng(seed)
    a, b = m.split(float(rng.uniform(0.05, 0.95)))
    c, d = b.split(0.5)
    for cut in (b.start, d.start):
        one, other = (
            book_at(m, 0, cut).depth(10_000),
            book_at(b if cut == b.start else d, 0, cut).depth(10_000),
        )
        assert all(
            np.array_equal(x, y) for x, y in zip(one.bids + one.asks, other.bids + other.asks, strict=True)
        )
    assert Market.join(d, a, c).content_hash() == m.content_hash()


def test_bars_of_the_demo_are_the_candle_file(data_dir):
    m = real(data_dir / "demo")
    frame = pl.read_csv(data_dir / "demo" / "binance_BTCUSDT_1m_2024-08-03_2024-08-09.csv.gz")
    candle = Market.from_candles(frame, ID, "1m", "open").slice("2024-08-08 23:55", "2024-08-09 00:05")
    want = candle.bars[0, MINUTE]
    assert len(want) == 10
    made = m.as_candles("1m")
    assert np.array_equal(made.bars[0, MINUTE], want)
    assert "2024-08-08T23:54:00Z and 2024-08-09T00:05:00Z, left out" in made.remarks[-1]
    shown = m.shown_bars(0, "1m")
    assert np.array_equal(shown.bars[1:], want), "the first is a part of a minute, the last is never over"
    assert (shown.shown_ts >= shown.bars["close_ts"]).all()
    assert (shown.shown_ts < shown.bars["close_ts"] + SECOND).all()
