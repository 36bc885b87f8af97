"""The execution metrics of a whole run: added up again by hand, named, and none of them on candles."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import polars as pl
import pytest

from framework import samples
from framework.execution import curves, execution
from framework.records import LIMIT, MARKET, NEVER, ORDER
from framework.report.compare import define
from framework.result import Result
from tests.made_ticks import SECOND, fill_rows, made_market, made_run, outcome_of
from tests.naive import tick_metrics as naive
from tests.tick_frames import coin, ms, tick_market, trade_rows


def test_metrics_of_orders_and_fills_added_up_again() -> None:
    result, outcome = made_run(seed=8, count=4_000)
    found, orders = execution(outcome), result.orders.rows(named=True)
    fills = result.fills.rows(named=True)
    there = orders[:-1]  # the last one is still on its way
    assert found["fill_rate"] == pytest.approx(
        sum(o["filled_qty"] for o in there) / sum(o["qty"] for o in there)
    )
    assert found["orders_with_fill"] == pytest.approx(sum(o["n_fills"] > 0 for o in there) / len(there))
    value = [f["qty"] * f["price"] for f in fills]
    made = sum(v for v, f in zip(value, fills, strict=True) if f["maker"])
    assert found["maker_share"] == pytest.approx(made / sum(value))
    waits = sorted(f["ts"] - orders[f["order_id"] - 1]["arrival_ts"] for f in fills if f["maker"])
    assert found["queue_wait_median"] == pytest.approx(float(np.median(waits)) / SECOND)
    cancels = sum(o["reason"] == "cancelled by strategy" for o in there)
    assert found["cancels_per_fill"] == pytest.approx(cancels / len(fills))


def test_inventory_and_quotes_added_up_again() -> None:
    result, outcome = made_run(seed=8, count=4_000)
    found, market = execution(outcome), outcome.tables.market
    position, area, flat, most, last = 0.0, 0.0, 0, 0.0, market.start
    for f in [*result.fills.rows(named=True), {"ts": market.stop, "side": "buy", "qty": 0.0}]:
        area += position * (f["ts"] - last)
        flat += (f["ts"] - last) * (position == 0.0)
        last = f["ts"]
        position = round(position + (1 if f["side"] == "buy" else -1) * f["qty"], 9)
        most = max(most, abs(position))
    assert found["inventory_mean"] == pytest.approx(area / (market.stop - market.start))
    assert found["inventory_max"] == pytest.approx(most)
    assert found["flat_time"] == pytest.approx(flat / (market.stop - market.start))
    rows = [
        (o["arrival_ts"], market.stop if o["end_ts"] is None else o["end_ts"], sign, o["price"])
        for o in result.orders.rows(named=True)[:-1]
        for sign in [1 if o["side"] == "buy" else -1]
    ]
    times = sorted({t for begin, end, *_ in rows for t in (begin, end)})
    area = time = 0.0
    for now, then in pairwise(times):
        bid, ask = naive.own_touch_at(rows, now)
        if not math.isnan(bid + ask):
            area, time = area + (ask - bid) * (then - now), time + then - now
    assert found["quoted_spread_ticks"] == pytest.approx(area / time / 0.1)
    assert found["quoted_time"] == pytest.approx(time / (market.stop - market.start))
    quoted = curves(outcome, 0, 50)["quoted"].to_numpy()
    assert np.nanmin(quoted) > 0.0


def test_market_spread_and_curves() -> None:
    market = tick_market([
        (ms(0), ms(0), [("bid", 99, 1), ("ask", 101, 1)]),
        (ms(2), ms(2), [("ask", 101, 0)]),
        (ms(5), ms(5), [("ask", 103, 1)]),
        (ms(6) - 1, ms(6) - 1, [("bid", 99, 2)]),
    ])  # fmt: skip
    none = outcome_of(market, np.zeros(0, ORDER), fill_rows([]))
    found = execution(none)
    assert found["market_spread_ticks"] == pytest.approx((2 * 2 + 4 * 1) / 3)  # the time without asks is out
    assert found["market_spread_bps"] == pytest.approx((2 * 200.0 + 1 * 4 / 101 * 1e4) / 3)
    assert (found["inventory_max"], found["flat_time"], found["quoted_time"]) == (0.0, 1.0, 0.0)
    for name in ("fill_rate", "maker_share", "queue_wait_p90", "move_1s_taker_bps", "quoted_spread_bps"):
        assert math.isnan(found[name]), name
    frame = curves(none, 0, 6)
    assert frame["close"].to_list() == [100.0, 101.0, 101.0]  # not where a side was empty
    np.testing.assert_allclose(frame["spread"].to_numpy(), [2.0, math.nan, 4.0])


def test_further_instruments_have_their_id_behind_the_name() -> None:
    market = made_market(np.random.default_rng(3), 500)
    trades = trade_rows([(ms(1), ms(1), 50, 4, 1), (ms(9_000), ms(9_001), 52, 4, -1)])
    both = (*market.instruments, coin("made:B"))
    two = replace(market, instruments=both, trades={**market.trades, 1: trades})
    orders = np.zeros(2, ORDER)
    orders["id"], orders["instrument"], orders["kind"] = [1, 2], [0, 1], [LIMIT, MARKET]
    orders["status"], orders["arrival_ts"], orders["end_ts"] = 2, ms(1), NEVER
    orders["qty"], orders["filled"], orders["n_fills"], orders["price"] = [2.0, 8.0], [0.0, 8.0], [0, 1], 1.0
    fills = fill_rows([(ms(2), 1, 1, 51.0, 8.0, 0)])
    fills["instrument"] = 1
    found = execution(outcome_of(two, orders, fills))
    assert (found["inventory_max"], found["inventory_max:made:B"]) == (0.0, 8.0)
    assert "quoted_time:made:B" in found
    assert math.isnan(found["market_spread_ticks:made:B"])  # trades only
    last = 30_000.0
    assert found["fill_rate"] == pytest.approx(8 * 52 / (8 * 52 + 2 * last), rel=1e-3)  # by value
    assert found["move_5s_taker_bps"] == pytest.approx(0.0)  # no trade within 5 s: the last one's price
    assert math.isnan(found["move_10s_taker_bps"])  # beyond the data
    assert define("inventory_max:made:B").label == "Largest inventory made:B"


def test_every_execution_metric_is_defined_and_none_is_on_candles() -> None:
    from framework import Strategy, backtest

    class Idle(Strategy):
        """Hold nothing."""

        def on_bar(self, bar, broker):
            pass

    _, outcome = made_run(count=500)
    names = list(execution(outcome))
    assert [name for name in names if define(name).group != "Execution"] == []
    result = backtest(Idle, samples.load("perp-1m").slice(None, "2024-01-02"))
    assert not set(names) & set(result.metrics)
    assert result.price.columns == ["ts", "close", "instrument"]


def test_spreads_are_saved_with_the_price(tmp_path) -> None:
    result, _ = made_run(count=500)
    again = Result.load(result.save(tmp_path / "x"))
    assert again.diff(result) == []
    assert again.price.equals(result.price)
    assert again.price.schema["spread"] == pl.Float64


