"""Bars of trades: as a strategy sees them while ticks arrive, and as candles in place of ticks."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from framework.errors import ConfigError
from framework.market import Market
from framework.times import DAY, MINUTE, MONTH, SECOND, floor_time, format_time
from tests.market_frames import PERP, funding
from tests.tick_frames import T0, coin, ms, tick_market


def late_trades(rng, count=400, step=SECOND):
    """Trades whose own stamps now and then lie before those that arrived earlier, with pauses."""
    arrival = T0 + np.cumsum(rng.integers(0, step, count) * (1 + 40 * (rng.random(count) < 0.03)))
    raw = arrival - rng.integers(0, step // 2, count) * (1 + 8 * (rng.random(count) < 0.05))
    ts = np.minimum(np.maximum.accumulate(raw), arrival)
    rows = zip(
        ts.tolist(), arrival.tolist(), rng.integers(90, 110, count).tolist(),
        rng.integers(1, 9, count).tolist(), rng.integers(-1, 2, count).tolist(), raw.tolist(), strict=True,
    )  # fmt: skip
    return list(rows)


def naive_shown(trades, length):
    """Reference: (open_ts, prices, volume, shown_ts) as the trades come in."""
    bars, bucket, prices, volume = [], None, [], 0
    for _, local, tick, lots, _, raw in trades:
        now = raw // length * length
        if now + length <= trades[0][1]:
            continue
        if bucket is None or now > bucket:
            while bucket is not None and bucket < now:
                bars.append((bucket, prices[0], max(prices), min(prices), prices[-1], volume, local))
                bucket, prices, volume = bucket + length, [prices[-1]], 0
            bucket, prices, volume = now, [], 0
        if now == bucket:
            prices.append(tick)
            volume += lots
    return bars


def test_shown_bars_against_a_naive_twin(seed):
    rng = np.random.default_rng(seed)
    for length in (SECOND, 5 * SECOND, MINUTE):
        trades = late_trades(rng)
        rows, times = tick_market(trades=trades).shown_bars(0, length)
        columns = [rows[n].tolist() for n in ("open_ts", "open", "high", "low", "close", "volume")]
        made = list(zip(*columns, times.tolist(), strict=True))
        assert made == naive_shown(trades, length)
        assert (rows["close_ts"] - rows["open_ts"] == length).all()
        if length == SECOND:
            assert (rows["volume"] == 0).any()
            assert rows["volume"].sum() < sum(t[3] for t in trades), "some came too late"


def test_shown_bars_are_read_only_kept_and_need_trades():
    m = tick_market(trades=[(ms(0), ms(0), 99, 1, 1), (ms(1000), ms(1003), 100, 1, 1)])
    rows, times = m.shown_bars(0, "1s")
    assert rows is m.shown_bars(0, SECOND).bars
    assert rows.tolist() == [(T0, T0 + SECOND, 99.0, 99.0, 99.0, 99.0, 1.0)]
    assert times.tolist() == [ms(1003)]
    assert not rows.flags.writeable
    assert not times.flags.writeable
    assert len(m.shown_bars(0, "1m")[0]) == 0, "the unfinished one is never shown"
    for asked in (lambda m: m.shown_bars(0, "1m"), Market.as_candles, Market.as_trades):
        with pytest.raises(ConfigError, match="made:AAA has a book and no trades"):
            asked(tick_market([(ms(0), ms(1), [("bid", 99, 5)])]))


def test_shown_bars_of_months():
    days = [(T0 + i * 9 * DAY, T0 + i * 9 * DAY, 90 + i, 1, 1) for i in (0, 1, 2, 14, 15)]
    rows, times = tick_market(trades=days).shown_bars(0, "1mo")
    assert (rows["open_ts"] == floor_time(rows["open_ts"], MONTH)).all()
    assert [str(month)[:7] for month in rows["open_ts"].astype("M8[ns]")] == [
        f"2024-0{i}" for i in (1, 2, 3, 4)
    ]
    assert rows["volume"].tolist() == [3.0, 0.0, 0.0, 0.0]
    assert times.tolist() == [days[3][1]] * 4
    assert rows["close"].tolist() == [92.0] * 4


def test_as_candles_against_polars(seed):
    rng = np.random.default_rng(seed)
    trades = late_trades(rng, 900)
    m = tick_market(trades=trades, what=coin(PERP)).with_funding(funding(1), unit="ns")
    made = m.as_candles("5s")
    rows = made.bars[0, 5 * SECOND]
    frame = pl.DataFrame(trades, schema=["ts", "local", "tick", "lots", "side", "raw"], orient="row")
    length, slack = 5 * SECOND, SECOND // 20
    every = frame.group_by(open=pl.col("raw") // length * length, maintain_order=True).agg(
        first=pl.col("tick").first(), high=pl.col("tick").max(), low=pl.col("tick").min(),
        close=pl.col("tick").last(), lots=pl.col("lots").sum(),
    ).sort("open").filter(pl.col("open") + length > m.start)  # fmt: skip
    whole = (pl.col("open") + slack >= m.start) & (pl.col("open") + length - slack < m.stop)
    want, partial = every.filter(whole), every.filter(~whole)["open"]
    traded = rows[rows["volume"] > 0]
    assert len(traded) == len(want)
    for name, other in (
        ("open", "first"),
        ("high", "high"),
        ("low", "low"),
        ("close", "close"),
        ("volume", "lots"),
    ):
        assert np.array_equal(traded[name], want[other].to_numpy().astype(float)), name
    assert (np.diff(rows["open_ts"]) == 5 * SECOND).all()
    flat = np.flatnonzero(rows["volume"][1:] == 0) + 1
    assert len(flat)
    assert (rows["open"][flat] == rows["close"][flat - 1]).all()
    assert (made.trades, made.books, made.is_ticks) == ({}, {}, False)
    assert made.funding is m.funding
    words = " and ".join(format_time(ts) for ts in partial)
    assert len(partial) in (1, 2)
    assert made.remarks[0].replace("bars", "bar") == (
        f"{PERP}: the ticks cover only a part of the 5s bar of {words}, left out"
    )


def test_as_candles_of_whole_buckets_drops_none():
    trades = [(ms(t), ms(t) + 1, 99, 1, 1) for t in range(1, 60_000, 50)]
    made = tick_market(trades=trades).as_candles("10s")
    assert len(made.bars[0, 10 * SECOND]) == 6
    assert made.remarks == ()
    late = tick_market([(ms(t), ms(t), [("bid", 99, 5 + t)]) for t in range(0, 60_000, 50)], trades[5:6])
    rows = late.as_candles("10s").bars[0, 10 * SECOND]
    assert rows["volume"].tolist() == [1.0, 0, 0, 0, 0, 0], "the book says that nothing traded"
