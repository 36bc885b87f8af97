"""Market: higher timeframes, the composite stream, what a View shows, and speed."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from framework.errors import ConfigError, DataError, FrameworkError
from framework.market import TIES, Market, View
from framework.records import BAR
from framework.times import DAY, HOUR, MINUTE, MONTH, WEEK, floor_time
from tests.golden import t
from tests.market_frames import ID, PERP, T0, candles, features, funding, market
from tests.small import FLAT, buy, made, replay, sell


def polars_resample(rows, every):
    """Reference: polars' own calendar grouping."""
    return (
        pl.DataFrame(rows)
        .with_columns(at=pl.from_epoch("open_ts", "ns"))
        .group_by_dynamic("at", every=every)
        .agg(
            pl.col("open").first(),
            pl.col("high").max(),
            pl.col("low").min(),
            pl.col("close").last(),
            pl.col("volume").sum(),
        )
        .with_columns(open_ts=pl.col("at").dt.epoch("ns"))
    )


@pytest.mark.parametrize(
    ("text", "length"), [("15m", 15 * MINUTE), ("4h", 4 * HOUR), ("1d", DAY), ("1w", WEEK), ("1mo", MONTH)]
)
def test_resample_equals_polars_groups(text, length, seed):
    rng = np.random.default_rng(seed)
    keep = np.sort(rng.choice(4000, 3000, replace=False))
    base = Market.from_candles(
        candles(4000, 15 * MINUTE if text != "15m" else MINUTE, seed=seed, keep=keep),
        ID,
        base_of(text),
        "open",
    )
    m = base.resample(text)
    rows, want = m.bars[0, length], polars_resample(base.match_bars(0), text)
    assert len(want) - 1 <= len(rows) <= len(want)
    want = want[: len(rows)]
    for name in ("open_ts", "open", "high", "low", "close"):
        assert np.array_equal(rows[name], want[name].to_numpy()), name
    assert np.allclose(rows["volume"], want["volume"].to_numpy(), rtol=1e-12, atol=1e-9)
    assert rows["close_ts"][-1] <= base.stop
    assert np.array_equal(floor_time(rows["open_ts"], length), rows["open_ts"])
    assert "resampled" in m.notes[0]
    assert m.match_bars(0) is base.match_bars(0) or np.array_equal(m.match_bars(0), base.match_bars(0))


def base_of(text):
    return "1m" if text == "15m" else "15m"


def test_a_higher_bar_is_seen_only_when_closed():
    m = market(150).resample("1h")
    view = View(m, T0)
    for ts in range(T0, m.stop + 1, MINUTE // 2):
        rows = view.at(ts).bars(9, "1h")
        assert len(rows) == (ts - T0) // HOUR
        assert (rows["close_ts"] <= ts).all()
    assert len(m.bars[0, HOUR]) == 2


def test_resample_refusals_and_repeats():
    m = market(150)
    with pytest.raises(ConfigError, match="needs bars shorter"):
        m.resample("30s")
    with pytest.raises(ConfigError, match="choose a multiple of 1h"):
        market(9, "1h", HOUR).resample("90m")
    once = m.resample("5m")
    assert once.resample("5m").content_hash() == once.content_hash()
    assert once.resample("15m").bars[0, 15 * MINUTE]["open_ts"].tolist() == [
        T0 + k * 15 * MINUTE for k in range(10)
    ]


def test_match_bars_of_one_interval_is_the_same_array():
    m = market(60)
    assert m.match_bars(0) is m.bars[0, MINUTE]
    assert m.resample("5m").match_bars(0) is m.bars[0, MINUTE]


def test_match_bars_takes_coarse_bars_where_fine_ones_are_missing():
    fine = Market.from_candles(candles(180, keep=[*range(60, 100), *range(101, 120)]), ID, "1m", "open")
    coarse = market(3, "1h", HOUR)
    rows = Market.join(fine, coarse).match_bars(0)
    assert rows["open_ts"].tolist() == [T0, T0 + HOUR, T0 + 2 * HOUR]
    whole = Market.from_candles(candles(180, keep=range(60, 120)), ID, "1m", "open")
    rows = Market.join(coarse, whole).match_bars(0)
    assert rows["open_ts"].tolist() == [T0, *(T0 + k * MINUTE for k in range(60, 120)), T0 + 2 * HOUR]
    assert (rows["open_ts"][1:] >= rows["close_ts"][:-1]).all()


@settings(max_examples=40, deadline=None)
@given(st.sets(st.integers(0, 239), min_size=1), st.sets(st.integers(0, 3), min_size=1))
def test_composite_against_a_naive_twin(minutes, hours):
    fine = Market.from_candles(own_rows(sorted(minutes), MINUTE), ID, "1m")
    coarse = Market.from_candles(own_rows(sorted(hours), HOUR), ID, "1h")
    want = []
    for hour in range(4):
        inside = sorted(k for k in minutes if k // 60 == hour)
        if hour in hours and len(inside) < 60:
            want.append(T0 + hour * HOUR)
        else:
            want += [T0 + k * MINUTE for k in inside]
    assert Market.join(coarse, fine).match_bars(0)["open_ts"].tolist() == want


def own_rows(places, step):
    rows = np.zeros(len(places), dtype=BAR)
    rows["open_ts"] = T0 + np.array(places) * step
    rows["close_ts"] = rows["open_ts"] + step
    for name in ("open", "high", "low", "close"):
        rows[name] = 100.0
    return rows


# the view


def test_view_against_a_naive_twin(seed):
    rng = np.random.default_rng(seed)
    m = (
        market(400, id=PERP)
        .resample("5m")
        .with_features(features(300))
        .with_funding(funding(6), unit="ns")
        .with_mark(candles(50))
    )
    feed = 3_000_000
    view = View(m, T0, feed)
    moments = np.sort(rng.integers(T0 - MINUTE, m.stop + MINUTE, 500))
    for now in [*moments.tolist(), *rng.permutation(moments)[:200].tolist()]:
        view.at(now)
        assert view.now == now
        n = int(rng.integers(1, 20))
        for text, length in ((None, MINUTE), ("5m", 5 * MINUTE), (MINUTE, MINUTE)):
            rows = m.bars[0, length]
            want = rows[rows["close_ts"] + feed <= now][-n:]
            assert np.array_equal(view.bars(n, text), want)
        closed = m.match_bars(0)
        closed = closed[closed["close_ts"] + feed <= now]
        assert np.array_equal(view.price(), closed["close"][-1] if len(closed) else np.nan, equal_nan=True)
        known = m.features["slow"][1]
        known = known[known["ts"] <= now]
        assert np.array_equal(
            view.feature("slow"), known["value"][-1] if len(known) else np.nan, equal_nan=True
        )
        rates = m.funding[0]
        assert np.array_equal(view.funding(n), rates[rates["ts"] + feed <= now][-n:])
        marks = m.mark[0]
        marks = marks[marks["ts"] + feed <= now]
        assert np.array_equal(view.mark(), marks["price"][-1] if len(marks) else np.nan, equal_nan=True)


def test_view_is_read_only_and_names_what_is_not_there():
    view = View(market(60), T0 + HOUR)
    rows = view.bars(5)
    assert np.shares_memory(rows, view._market.match_bars(0))
    with pytest.raises(ValueError, match="read-only"):
        rows["close"][0] = 1.0
    with pytest.raises(ConfigError, match="resample to 30s needs bars shorter than that"):
        view.bars(5, "30s")
    with pytest.raises(ConfigError, match="at least one bar"):
        view.bars(0)
    with pytest.raises(ConfigError, match="is none of this market's"):
        view.bars(5, instrument=1)
    with pytest.raises(ConfigError, match="there is no 'slwo' in this market; did you mean slow"):
        View(market(60).with_features(features(9)), T0).feature("slwo")
    with pytest.raises(AttributeError):
        view.now = 5
    assert np.isnan(view.mark())
    assert len(view.funding(3)) == 0


def test_view_builds_higher_bars_that_were_not_loaded():
    m = market(400)
    ready = m.resample("1h")
    for feed in (0, 3_000_000):
        plain, other = View(m, T0, feed), View(ready, T0, feed)
        for now in range(T0, m.stop + HOUR, 7 * MINUTE):
            assert np.array_equal(plain.at(now).bars(4, "1h"), other.at(now).bars(4, "1h"))
    assert np.array_equal(View(m, m.stop, 0, "1h").bars(9), ready.bars[0, HOUR])


def ties(side, *names):
    """Names of one side in the order of the table."""
    assert {(side, name) for name in names} <= set(TIES)
    return [name for one, name in TIES if one == side and name in names]


def test_the_table_of_ties():
    """house 2: what the engine does at one stamp, t(2), comes in the order the table says."""
    sides = [side for side, _ in TIES]
    assert sides == sorted(sides), "the exchange comes before the strategy"
    rows = (FLAT, "100 101 97 100", "103 103 103 103")
    market = made(*rows).with_funding({"ts": [t(2)], "rate": [0.01]}, unit="ns")
    said = {1: "order arrival", 2: "bar open", 3: "bar close"}  # what each order waits for
    result = replay(
        market, {**buy(t(2), 16.0), "id": 1}, {**buy(t(1), 8.0, "stop", trigger=102.0), "id": 2},
        {**buy(t(1), 4.0, "limit", price=98.0), "id": 3}, {**buy(t(1), 2.0), "id": 4},
    )  # fmt: skip
    assert result.fills["ts"].to_list() == [t(1), t(2), t(2), t(2)]
    order = [said[number] for number in result.fills["order_id"].to_list()[1:]]
    assert result.equity["funding"][-1] == pytest.approx(-2 * 103 * 0.01), "on the two held before all else"
    assert ["funding", *order] == ties("exchange", "funding", *order)


def test_ties_of_marks_and_liquidation():
    """house 2: a mark is before what fills inside the bar, a bust after it and before the next open."""
    tiers = ((1e12, 0.05, 0.0),)
    market = made(FLAT, "100 106 99 100", FLAT, tiers=tiers)
    market = market.with_mark({"ts": [t(2)], "price": [84.0]}, unit="ns")
    marked = replay(market, buy(t(1), 50.0, target=105.0), cash=1_000.0, leverage=10.0)
    assert marked.fills.select("ts", "price").rows() == [(t(1), 100.0), (t(2), 84.0)]
    assert marked.orders["reason"].to_list() == ["", "liquidation", "liquidation"]
    assert ties("exchange", "mark", "bar close") == ["mark", "bar close"]
    busted = replay(
        made(FLAT, "100 101 78 79", "120 120 120 120"), buy(t(1), 50.0),
        sell(t(1), 1.0, "limit", price=101.0), buy(t(1), 1.0, "stop", trigger=110.0), buy(t(2)),
        cash=1_000.0, leverage=10.0,
    )  # fmt: skip
    assert busted.orders["reason"].to_list() == ["", "", "bust", "account is bust", "bust"]
    assert busted.fills["order_id"].to_list() == [1, 2, 5]
    names = ["bar close", "liquidation", "bar open", "order arrival"]
    assert ties("exchange", *names) == names


def test_importing_the_market_is_light():
    heavy = ("polars", "pandas", "numba", "matplotlib")
    code = f"import sys, framework.market; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-B", "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "[]"


def test_errors_are_the_frameworks_own():
    assert issubclass(DataError, FrameworkError)
    assert DataError.exit_code == 3
