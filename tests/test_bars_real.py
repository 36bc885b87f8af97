"""Bars of real trades equal recorded candles; those of the official npm client but for what is named here."""

from __future__ import annotations

import gzip
import json

import numpy as np
import polars as pl
import pytest

from framework import from_tardis
from framework.data import candles, day_bars, trade_bars
from framework.data.candle_files import read_frame
from framework.times import MINUTE, SECOND, parse_time
from tests import npm_peer

FIVE = ("open", "high", "low", "close", "volume")
NPM = {
    "open": "open", "high": "high", "low": "low", "close": "close", "trades": "trades", "volume": "volume",
    "buy_volume": "buyVolume", "sell_volume": "sellVolume", "vwap": "vwap", "first_ts": "openTimestamp",
    "last_ts": "closeTimestamp",
}  # fmt: skip
ROUNDED = ("volume", "buy_volume", "sell_volume", "vwap")  # summed up with rounding there


def by_open(path):
    return {row["open_time_ms"] * 1_000_000: row for row in read_frame(path).to_dicts()}


def test_demo_minutes_equal_the_candle_file(data_dir):
    known = by_open(data_dir / "demo" / "binance_BTCUSDT_1m_2024-08-03_2024-08-09.csv.gz")
    made = day_bars("binance", "BTC-USDT", "2024-08-08", "2024-08-10", "1m", files=data_dir / "demo")
    assert made.complete.tolist() == [False, *[True] * 10, False]
    for row in made.rows[1:-1]:
        for name in FIVE:
            assert row[name] == known[row["open_ts"]][name]
    frame = candles("binance", "btcusdt", "2024-08-08", "2024-08-10", "5m", files=data_dir / "demo")
    assert frame["complete"].to_list() == [False, True, True, False]
    assert frame["trades"].sum() == made.rows["trades"].sum() == 19904


def test_the_five_minutes_after_funding_equal_the_candle_file(data_dir):
    known = by_open(data_dir / "candles" / "binance-futures_BTCUSDT_5m_2023-01_2024-05.csv.gz")
    files = data_dir / "tardis-form"
    made = day_bars("binance-futures", "BTC/USDT", "2023-04-05", "2023-04-05T00:05Z", "5m", files=files)
    assert [made.rows[0][name] for name in FIVE] == [28155.1, 28159.2, 28140.0, 28140.6, 685.263]
    assert [made.rows[0][name] for name in FIVE] == [known[parse_time("2023-04-05")][n] for n in FIVE]
    assert made.complete.tolist() == [True]


def test_bars_of_a_market_are_its_candles(data_dir):
    files = [f for f in sorted((data_dir / "demo").iterdir()) if "trades" in f.name]
    market = from_tardis(files)
    made = trade_bars(market, "1m", empty="fill")
    assert (made.market("binance:BTCUSDT").slice("2024-08-08T23:55Z", "2024-08-09T00:05Z").bars[0, MINUTE]
            == market.as_candles("1m").bars[0, MINUTE]).all()  # fmt: skip
    again = trade_bars(market.trades[0], "1m", instrument=market.instruments[0])
    assert (again.rows == made.rows).all()
    assert made.rows["volume"].sum() == pytest.approx(market.trades[0]["lots"].sum() / 1e5, rel=1e-12)


def npm_row(bar):
    """A bar of the client in our names and units."""
    times = ("first_ts", "last_ts")
    return {n: parse_time(bar[m]) if n in times else bar[m] for n, m in NPM.items()}


def differences(ours, bar):
    """The fields in which a bar of ours differs from the client's, more than its own rounding."""
    theirs = npm_row(bar)
    return {
        name for name in NPM
        if not (np.isclose(ours[name], theirs[name], rtol=1e-12, atol=1e-12) if name in ROUNDED
                else ours[name] == theirs[name])
    }  # fmt: skip


def of_name(messages, name):
    return [m for m in messages if m.get("name") == name]


def test_the_client_gives_the_saved_messages(data_dir):
    folder = data_dir / "tardis-messages" / "synthetic"
    with gzip.open(folder / "machine_18.2.0_expected_2024-03-01.ndjson.gz", "rt") as file:
        saved = [json.loads(line) for line in file]
    types = ["trade", "book_change", "trade_bar_1m", "trade_bar_10ticks", "trade_bar_2vol",
             "book_snapshot_20_100ms", "book_snapshot_5_grouped1_1s", "quote", "quote_10s"]  # fmt: skip
    slices = npm_peer.synthetic(data_dir)
    made = npm_peer.messages(slices, "binance", ["btcusdt"], "2024-03-01", "2024-03-01T00:03Z", types)
    assert made == saved
    trades = pl.read_csv(folder / "binance_trades_2024-03-01_BTCUSDT.csv")
    for size, count in (("1m", 2), ("10ticks", 19), ("2vol", 23)):
        ours, theirs = trade_bars(trades, size), of_name(made, f"trade_bar_{size}")
        assert len(theirs) == count
        assert [differences(*pair) for pair in zip(ours.rows, theirs, strict=False)] == [set()] * count
        # the last bar of a replay never comes out there
        assert len(ours) - count == (0 if size == "10ticks" else 1)
        if size == "1m":
            ends = [parse_time(bar["timestamp"]) for bar in theirs]
            assert ours.rows["close_ts"][:count].tolist() == ends  # its timestamp is the end of the bar


def test_a_disconnect_throws_away_a_bar_there_and_none_here(data_dir):
    slices = npm_peer.synthetic(data_dir, "2024-04-01")
    lost, kept = (
        of_name(npm_peer.messages(slices, "binance", ["btcusdt"], "2024-04-01", "2024-04-01T00:03Z",
                                  ["trade", "trade_bar_1m"], disconnects=flag), "trade_bar_1m")
        for flag in (True, False)
    )  # fmt: skip
    assert [bar["trades"] for bar in lost] == [64, 33]
    assert [bar["trades"] for bar in kept] == [64, 65]
    rows = [json.loads(line[29:]) for part in slices.values() for line in part.decode().splitlines() if line]
    deals = [row["data"] for row in rows if row["stream"] == "btcusdt@trade"]
    ours = trade_bars(as_table(deals), "1m")
    assert [differences(*pair) for pair in zip(ours.rows, kept, strict=False)] == [set(), set()]


def as_table(deals):
    """Native Binance trades as a table."""
    return {
        "timestamp": np.array([d["T"] for d in deals]) * 1000,
        "local_timestamp": np.full(len(deals), 2 * 10**15),  # all at once: the order is what counts
        "id": np.array([d["t"] for d in deals]),
        "side": ["sell" if d["m"] else "buy" for d in deals],
        "price": np.array([float(d["p"]) for d in deals]),
        "amount": np.array([float(d["q"]) for d in deals]),
    }


START = parse_time("2024-03-01")
STORY = [  # second of the exchange, arrival, id, price, amount; what the client makes of it is named below
    (10, 10.1, 1, 100, 1), (20, 20.1, 2, 110, 1), (15, 20.2, 3, 120, 1),  # 3: late inside its bar
    (50, 50.1, 4, 105, 1), (50, 50.2, 4, 105, 1),  # 4: twice
    (61, 61.1, 5, 100, 1), (59, 61.2, 6, 50, 1), (70, 70.1, 7, 101, 1),  # 6: late, of the bar before
    (185, 185.1, 8, 100, 1),  # a minute without a trade lies between
    (200, 200.1, 9, 100, 0.1), (201, 201.1, 10, 100, 0.2), (245, 245.1, 11, 100, 1),
]  # fmt: skip


def story_slices():
    rows = []
    for at, local, id, price, amount in STORY:
        ms = START // 1_000_000 + at * 1000
        data = {
            "e": "trade",
            "E": ms,
            "s": "BTCUSDT",
            "t": id,
            "p": str(price),
            "q": str(amount),
            "T": ms,
            "m": False,
        }
        rows.append(
            (START + int(local * 10) * SECOND // 10, json.dumps({"stream": "btcusdt@trade", "data": data}))
        )
    return npm_peer.sliced(rows)


def test_the_differences_one_by_one():
    types = ["trade", "trade_bar_1m", "trade_bar_3ticks"]
    made = npm_peer.messages(story_slices(), "binance", ["btcusdt"], START, START + 5 * MINUTE, types)
    theirs = [npm_row(bar) for bar in of_name(made, "trade_bar_1m")]
    table = {
        "timestamp": np.array([START // 1000 + row[0] * 10**6 for row in STORY]),
        "local_timestamp": np.array([START // 1000 + int(row[1] * 10) * 10**5 for row in STORY]),
        "id": np.array([row[2] for row in STORY]), "side": ["buy"] * len(STORY),
        "price": np.array([float(row[3]) for row in STORY]),
        "amount": np.array([float(row[4]) for row in STORY]),
    }  # fmt: skip
    ours = trade_bars(table, "1m").rows
    # minutes: 0, 1, 3 and 4 here; there the last never comes out; a minute without a trade has no bar
    assert ((ours["open_ts"] - START) // MINUTE).tolist() == [0, 1, 3, 4]
    assert len(theirs) == 3
    first, second, third = zip(ours, theirs, strict=False)
    # a late trade inside the bar moves high and vwap and not the close, there as here
    assert first[0]["high"] == first[1]["high"] == 120.0
    # a late trade of the bar before: in the bar that is open there, in its own here
    assert (first[1]["low"], first[1]["close"], first[1]["last_ts"] - START) == (100, 105, 50 * SECOND)
    assert (first[0]["low"], first[0]["close"], first[0]["last_ts"] - START) == (50, 50, 59 * SECOND)
    assert (second[1]["low"], second[1]["trades"]) == (50, 3)
    assert (second[0]["low"], second[0]["trades"]) == (100, 2)
    # a repeated id counts twice there, once here (4 is left out, 6 is added)
    assert (first[1]["trades"], first[1]["volume"]) == (5, 5)
    assert (first[0]["trades"], first[0]["volume"]) == (5, 5)
    assert trade_bars({n: v[:5] for n, v in table.items()}, "1m").rows["trades"].tolist() == [4]
    # sums are rounded at every step there
    assert third[1]["volume"] == pytest.approx(third[0]["volume"], abs=1e-12)
    assert third[0]["volume"] == 1.3
    # bars of 3 trades: the repeated one takes a place there
    bars = of_name(made, "trade_bar_3ticks")
    assert [bar["closeTimestamp"][17:19] for bar in bars] == ["20", "01", "05", "05"]
    ticks = trade_bars(table, "3ticks", unfinished=False).rows
    assert ((ticks["last_ts"] - START) // SECOND).tolist() == [20, 61, 200]


def test_a_real_capture_through_the_client(data_dir):
    capture = npm_peer.capture(data_dir / "raw-binance" / "usdm_BTCUSDT_2023-04-05.gz", "btcusdt")
    deals = (row for row in capture if "@trade" in row[1][:30])
    types = ["trade", "trade_bar_1m", "trade_bar_100ticks"]
    slices = npm_peer.sliced(deals)
    made = npm_peer.messages(slices, "binance-futures", ["btcusdt"], "2023-04-05", "2023-04-05T00:07Z", types)
    file = data_dir / "tardis-form" / "binance-futures_trades_2023-04-05_BTCUSDT.csv.gz"
    frame = pl.read_csv(file)
    assert sum(m["type"] == "trade" for m in made) == len(frame) == 10737
    for size, count in (("1m", 6), ("100ticks", 107)):
        ours, theirs = trade_bars(frame, size).rows, of_name(made, f"trade_bar_{size}")
        assert len(theirs) == count == len(ours) - 1
        assert [differences(*pair) for pair in zip(ours, theirs, strict=False)] == [set()] * count
