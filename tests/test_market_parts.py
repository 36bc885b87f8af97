"""Market: joining, cutting, and the streams beside the bars."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from framework.errors import ConfigError, DataError
from framework.instruments import Instrument
from framework.market import Market, View
from framework.records import SIGNAL
from framework.times import DAY, HOUR, MINUTE
from tests.market_frames import ID, PERP, T0, candles, features, funding, market


def test_join_and_split_are_inverse():
    m = market(600, id=PERP).with_features(features(600), instrument=0).with_funding(funding(9), unit="ns")
    for at in (0.3, "2024-01-01 04:05", T0 + 77 * MINUTE):
        a, b = m.split(at)
        assert a.stop == b.start
        assert (b + a).content_hash() == m.content_hash()
        assert np.shares_memory(a.match_bars(0), m.match_bars(0))
    for bad in (0.0, 1.0, 1.5, 0.0001):
        with pytest.raises(ConfigError, match="split"):
            m.split(bad)


def test_join_numbers_instruments_and_keeps_streams_apart():
    a, b = market(60), market(60, id="binance-futures:ETHUSDT", seed=2)
    m = Market.join(a, b)
    assert [i.id for i in m.instruments] == [ID, "binance-futures:ETHUSDT"]
    assert np.array_equal(m.match_bars(1), b.match_bars(0))
    assert m.number("ETHUSDT") == 1
    with pytest.raises(ConfigError, match="several"):
        m.with_funding(funding(3), unit="ns")
    with pytest.raises(ConfigError, match="did you mean"):
        m.number("binance-futures:ETHUSD")
    assert np.array_equal(m.with_funding(funding(3), 1, unit="ns").funding[1]["ts"], T0 + np.arange(3) * HOUR)


def test_join_refuses_doubles_and_other_rules():
    m = market(60)
    with pytest.raises(DataError, match=r"two markets both have the bar of 2024-01-01T00:00:00Z"):
        m + m
    with pytest.raises(ConfigError, match="other rules"):
        m + Market.from_candles(candles(60, start=T0 + DAY), Instrument(ID, tick_size=0.5), "1m", "open")
    with pytest.raises(ConfigError, match="at least one"):
        Market.join()


def test_join_fills_holes():
    whole = candles(60)
    holes, rest = whole[[*range(20), *range(30, 60)]], whole[20:30]
    parts = [Market.from_candles(f, ID, "1m", "open") for f in (holes, rest)]
    assert Market.join(*parts).content_hash() == market(60).content_hash()


def test_slice_is_half_open_and_empty_ranges_are_refused():
    m = market(48, "1h", HOUR)
    day = m.slice("2024-01-01 06:00", "2024-01-02")
    assert (day.start, day.stop) == (T0 + 6 * HOUR, T0 + DAY)
    assert m.slice("2024-01-01 06:30", "2024-01-01 08:30").match_bars(0)["open_ts"].tolist() == [
        T0 + 7 * HOUR
    ]
    for start, stop in (
        ("2025-01-01", "2026-01-01"),
        ("2024-01-02", "2024-01-01"),
        ("2024-01-01", "2024-01-01"),
    ):
        with pytest.raises(DataError, match=r"covers 2024-01-01T00:00:00Z \.\. 2024-01-03T00:00:00Z"):
            m.slice(start, stop)


def test_slice_keeps_the_last_known_feature():
    m = market(600).with_features(features(3))
    view = View(m.slice(T0 + 100 * MINUTE), T0 + 101 * MINUTE)
    assert view.feature("slow") == 2.0


# other streams


def test_funding_and_mark():
    m = market(600, id="binance-futures:BTCUSDT")
    assert m.notes == ("binance-futures:BTCUSDT: no funding stream; positions pay no funding",)
    m = m.with_funding(funding(10), unit="ns")
    assert m.funding[0]["ts"][:3].tolist() == [T0, T0 + HOUR, T0 + 2 * HOUR]
    assert m.notes == ("binance-futures:BTCUSDT: no mark stream; funding is priced at the bar's open",)
    m = m.with_mark(candles(600).drop("volume"))
    assert np.array_equal(m.mark[0]["price"], candles(600)["open"].to_numpy())
    assert m.notes == ()
    with pytest.raises(ConfigError, match="is not known at open_time_ms"):
        m.with_mark(candles(9), price="close")
    with pytest.raises(DataError, match="give each row once"):
        m.with_funding(funding(1), unit="ns")
    for bad, words in (
        ({"ts": [1, 1], "rate": [0.0, 0.0]}, "row 2: ts"),
        ({"ts": [1], "rate": [1.5]}, "row 1: rate = 1.5"),
        ({"ts": [1], "rate": [None]}, "row 1: rate"),
        ({"ts": [1], "raet": [0.1]}, "which column is the rate"),
    ):
        with pytest.raises(DataError, match=words):
            m.with_funding(pl.DataFrame(bad, strict=False), unit="s")
    with pytest.raises(DataError, match=r"row 2: price = 0\.0"):
        m.with_mark(pl.DataFrame({"ts": [1, 2], "price": [1.0, 0.0]}), unit="s")


def test_features_need_their_time():
    m = market(60)
    with pytest.raises(DataError, match="no column 'ts'"):
        m.with_features(features(3).rename({"ts": "known"}))
    with pytest.raises(DataError, match="row 1: word = a: is no number"):
        m.with_features(features(2).with_columns(word=pl.Series(["a", "b"])))
    with pytest.raises(DataError, match="sort the rows"):
        m.with_features(features(9)[::-1])
    with pytest.raises(DataError, match="infinite"):
        m.with_features(features(9).with_columns(slow=float("inf")))
    with pytest.raises(ConfigError, match="'slow' is in the market already"):
        m.with_features(features(9)).with_features(features(9))
    with pytest.raises(DataError, match="at least one feature"):
        m.with_features(features(9)[["ts"]])


def test_signals_are_sorted_by_arrival():
    frame = pl.DataFrame(
        {
            "ts": [T0, T0 + 5, T0 + 9],
            "arrival_ts": [T0 + MINUTE, T0 + 20, T0 + MINUTE],
            "instrument": [ID, "binance:ETHUSDT", ID],
            "direction": ["long", "short", "neutral"],
            "confidence": [0.7, 0.8, 0.0],
            "size": [0.1, 0.2, 0.0],
            "entry": [100.0, 50.0, None],
            "stop": [98.0, 55.0, None],
            "target": [106.0, 40.0, None],
        }
    )
    m = Market.join(market(60), market(60, id="binance:ETHUSDT")).with_signals(frame)
    assert m.signals.dtype == SIGNAL
    assert m.signals["id"].tolist() == [1, 0, 2]
    assert m.signals["direction"].tolist() == [-1, 1, 0]
    assert m.signals["instrument"].tolist() == [1, 0, 0]
    assert m.signals["risk_reward"][:2].tolist() == [2.0, 3.0]
    assert m.with_signals(m.signals).content_hash() == m.content_hash()
    view = View(m, T0 + 20)
    assert len(view.signals(9)) == 1
    assert len(view.at(T0 + MINUTE).signals(2)) == 2
    for change, words in (
        ({"direction": "up"}, "row 1: direction = up: is unknown"),
        ({"confidence": 85.0}, "row 1: confidence = 85.0"),
        ({"arrival_ts": T0 - 1}, "is before ts"),
        ({"ts": 5}, "ts holds whole numbers; say unit="),
        ({"instrument": "x:Y"}, "row 1: instrument = x:Y"),
    ):
        with pytest.raises(DataError, match=words):
            m.with_signals(frame.with_columns(**{name: pl.lit(value) for name, value in change.items()}))
    with pytest.raises(DataError, match="no column 'size'"):
        m.with_signals(frame.drop("size"))
