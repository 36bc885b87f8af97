"""The state of a live stream and the recorded files of it give the same answers at the same moment."""

from __future__ import annotations

import json

import pytest
from polars.testing import assert_frame_equal

from framework.data import market_data, order_book, recent_trades
from framework.data.ask import RecentTrades
from framework.data.messages import parse
from framework.data.stream_state import State
from tests import npm_peer

STOP = "2024-03-01T00:03Z"


@pytest.fixture(scope="module")
def told(data_dir):
    """What the official client makes of the synthetic minutes, one event a message."""
    slices = npm_peer.synthetic(data_dir)
    types = ["trade", "book_change", "trade_bar_1m"]
    made = npm_peer.messages(slices, "binance", ["btcusdt"], "2024-03-01", STOP, types)
    return [parse(json.dumps(message)) for message in made]


@pytest.fixture
def folder(data_dir, tmp_path):
    """The same minutes as files."""
    for kind in ("trades", "incremental_book_L2"):
        name = f"binance_{kind}_2024-03-01_BTCUSDT.csv"
        (tmp_path / name).write_bytes((data_dir / "tardis-messages" / "synthetic" / name).read_bytes())
    return tmp_path


def test_a_moment_of_a_stream_is_that_of_its_files(told, folder):
    state, asked = State("binance"), 0
    for i, event in enumerate(told):
        state.take(event)
        following = told[i + 1].local_ts if i + 1 < len(told) else None
        if i % 97 or following == event.local_ts or not state.books:
            continue
        at = event.local_ts
        book, live = order_book("binance", "BTCUSDT", at, files=folder), state.book()
        assert (book.bids, book.asks, book.local_ts) == (live.bids, live.asks, live.local_ts)
        assert (book.bid_total, book.ask_total) == pytest.approx((live.bid_total, live.ask_total), rel=1e-14)
        assert book.imbalance == pytest.approx(live.imbalance, rel=1e-12)
        if i > 97:
            past = recent_trades("binance", "BTCUSDT", at, 50, files=folder)
            now = RecentTrades.of(state.trades(50))
            assert_frame_equal(past.rows, now.rows)
            assert (past.volume, past.imbalance) == (now.volume, now.imbalance)
        asked += 1
    assert asked > 4
    now = market_data(symbol="BTCUSDT", state=state, candles=2, trades=30)
    past = market_data("binance", "BTCUSDT", now.at, files=folder, candles=2, trades=30)
    assert now.at == past.at == told[-1].local_ts
    assert_frame_equal(now.trades.rows, past.trades.rows)
    for name in ("open_ts", "close_ts", "open", "high", "low", "close", "trades"):
        assert now.candles[name].to_list() == past.candles[name].to_list()
