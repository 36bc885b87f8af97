"""Orders in a frame: times that cannot be meant are refused, prices on the grid are exactly there."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

from framework import Instrument, Market, Strategy, backtest, replay_orders
from framework.errors import DataError
from framework.times import DAY, HOUR, MINUTE
from tests.market_frames import T0, candles, market

ONE = market(120)
AT = T0 + 10 * MINUTE


def frame(**more: Any) -> dict[str, Any]:
    """Two orders."""
    return {"ts": [AT, AT + HOUR], "side": ["buy", "sell"], "qty": [1.0, 1.0], **more}


def refused(orders: Any) -> str:
    """The one line of an error."""
    with pytest.raises(DataError) as caught:
        replay_orders(orders, ONE)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_times_long_before_the_market_are_refused() -> None:
    ms = AT // 1_000_000
    assert refused(frame(ts=[AT, ms])) == (
        f"orders row 2, ts: {ms} is 1970-01-01T00:28:24.0678Z, long before the market's first open "
        "2024-01-01T00:00:00Z; integers are ns: is it ms?"
    )
    assert "orders row 1, expire_ts" in refused(frame(expire_ts=[ms, None]))
    assert "orders row 2, cancel_ts" in refused(frame(cancel_ts=[None, ms]))
    old = refused(frame(ts=[datetime(2023, 1, 1, tzinfo=UTC), datetime(2024, 1, 1, tzinfo=UTC)]))
    assert "orders row 1, ts: 2023-01-01T00:00:00Z, long before" in old
    assert "leave the row out" in old
    replay_orders(frame(ts=[T0 - DAY, AT]), ONE)
    assert "row 1" in refused(frame(ts=[T0 - DAY - 1, AT]))


def test_times_without_a_zone_are_refused() -> None:
    naive = [datetime(2024, 1, 1, 0, 10), datetime(2024, 1, 1, 1)]  # noqa: DTZ001
    for given in (frame(ts=naive), pd.DataFrame(frame(ts=naive)), pl.DataFrame(frame(ts=naive))):
        assert "orders row 1, ts: 2024-01-01 00:10:00 has no time zone; say which" in refused(given)
    text = refused(frame(ts=["2024-01-01T00:10Z", "2024-01-01 01:00"]))
    assert text.startswith("orders row 2, ts: '2024-01-01 01:00' has no time zone; add Z")
    assert "is no ISO date" in refused(frame(ts=["2024-01-01T00:10Z", "soon"]))


def test_every_way_to_write_a_time_means_the_same() -> None:
    zoned = [datetime(2024, 1, 1, 0, 10, tzinfo=UTC), datetime(2024, 1, 1, 1, 10, tzinfo=UTC)]
    want = replay_orders(frame(), ONE).fingerprint
    for given in (
        frame(ts=zoned),
        frame(ts=["2024-01-01T00:10Z", "2024-01-01T02:10+01:00"]),
        pd.DataFrame(frame(ts=zoned)),
        pd.DataFrame(frame()).assign(ts=lambda f: f["ts"].astype("Int64")),
        pl.DataFrame(frame()).with_columns(pl.from_epoch("ts", "ns").dt.replace_time_zone("UTC")),
    ):
        assert replay_orders(given, ONE).fingerprint == want
    fine = pd.to_datetime([AT + 123, AT + HOUR + 7], unit="ns", utc=True)
    told = replay_orders(pd.DataFrame(frame(ts=fine)), ONE).orders["ts"].to_list()
    assert told == [AT + 123, AT + HOUR + 7]


def test_float_times_are_exact_or_refused() -> None:
    holes = pd.DataFrame(frame(cancel_ts=[AT + 1, None]))  # pandas makes floats of it
    assert holes["cancel_ts"].dtype == float
    words = refused(holes)
    assert "orders row 1, cancel_ts" in words
    assert 'astype("Int64")' in words
    whole = holes.assign(cancel_ts=pd.array([AT + HOUR, None], dtype="Int64"))
    assert replay_orders(whole, ONE).orders.height == 2
    early = Market.from_candles(
        candles(60, start=0).rename({"open_time_ms": "t_ms"}), "binance:BTCUSDT", "1m", "open", time="t_ms"
    )
    small = {"ts": [60e9, 120e9], "side": ["buy", "sell"], "qty": [1.0, 1.0]}
    assert replay_orders(small, early).orders["ts"].to_list() == [60 * 10**9, 120 * 10**9]
    with pytest.raises(DataError, match=r"row 2, ts: 120000000000\.5 as a float is no exact time"):
        replay_orders({**small, "ts": [60e9, 120e9 + 0.5]}, early)


def test_values_are_shown_plainly() -> None:
    assert refused(frame(qty=[0.0, 1.0])).startswith("orders row 1, qty: 0.0 must be finite")
    assert refused(frame(qty=[1.0, 1e-6])).startswith("orders row 2, qty: 1e-06 is off the grid")


def test_columns_of_two_types_are_refused() -> None:
    assert "orders, side: holds values of several types" in refused(pd.DataFrame(frame(side=["buy", 1])))


class Limits(Strategy):
    """Send the same orders through the broker."""

    def setup(self):
        self.is_sent = False

    def on_bar(self, bar, broker):
        if not self.is_sent:
            self.is_sent = True
            broker.buy(qty=3 * 0.1, price=3 * 0.1)
            broker.sell(qty=0.7, trigger=7 * 0.1, reduce_only=True)


def test_prices_within_tolerance_are_on_the_grid_exactly() -> None:
    rng = np.random.default_rng(2)
    close = np.round(0.4 + 0.3 * rng.random(60), 1)
    rows = {
        "open_time_ms": T0 // 10**6 + 60_000 * np.arange(60), "open": close, "close": close,
        "high": np.round(close + 0.1, 1), "low": np.round(close - 0.1, 1), "volume": np.full(60, 9.0),
    }  # fmt: skip
    coin = Instrument("binance:ABCUSDT", tick_size=0.1, lot_size=0.1)
    one = Market.from_candles(rows, coin, "1m", "open")
    assert 3 * 0.1 != 0.3
    sent = T0 + MINUTE
    orders = {
        "ts": [sent, sent], "side": ["buy", "sell"], "qty": [3 * 0.1, 0.7], "price": [3 * 0.1, None],
        "trigger": [None, 7 * 0.1], "reduce_only": [False, True],
    }  # fmt: skip
    told, sent_by_hand = replay_orders(orders, one), backtest(Limits, one)
    assert told.fills["price"].to_list()[0] == 0.3
    assert told.fingerprint == sent_by_hand.fingerprint
    assert told.orders["price"][0] == 3 * 0.1  # the row keeps what was asked
