"""Bars of trades: against the slow twin, against polars and pandas, and the edges."""

from __future__ import annotations

import hashlib
import json
import os
import random
import subprocess
import sys
from datetime import UTC, datetime

import numpy as np
import pandas as pd
import polars as pl
import pytest

from framework.data import BarMaker, trade_bars
from framework.data.bars import Trades, parse_size
from framework.errors import ConfigError, DataError
from framework.times import DAY, MINUTE, SECOND, parse_time
from tests.conftest import ROOT
from tests.naive import bars as naive

START = 1_709_164_795_000_000  # 2024-02-28 23:59:55 in us: a leap day and a month's end lie before it
TIMES = ("open_ts", "close_ts", "first_ts", "last_ts")
SAME = ("open", "high", "low", "close", "volume", "buy_volume", "sell_volume", "trades")


def random_trades(rng, count, span, late=0.1, repeat=0.1):
    """Rows in order of arrival over `span` us: late ones, repeated ids, no ids, unknown sides, zeros."""
    local, price, trades = START, 20_000, []
    for i in range(count):
        local += int(rng.expovariate(1) * span / count)
        price = max(price + rng.randint(-9, 9), 1)
        ts = local - rng.randint(0, 300_000)
        if rng.random() < late:
            ts -= rng.randint(0, span // 3)
        name = "" if rng.random() < 0.1 else str(i)
        amount = rng.choice(("0", "0.1", "0.2", "0.7", str(rng.randint(1, 10**6) / 1000)))
        side = rng.choice(("buy", "sell", "unknown", "buy"))
        trades.append(naive.Trade(max(ts, 0), local, name, side, str(price / 10), amount))
        if rng.random() < repeat and i:
            old = trades[-rng.randint(1, min(len(trades), 600))]
            trades.append(old._replace(local=local))
    return trades


def as_frame(trades):
    frame = pl.DataFrame(
        {
            "timestamp": [t.ts for t in trades], "local_timestamp": [t.local for t in trades],
            "id": [t.id or None for t in trades], "side": [t.side for t in trades],
            "price": [float(t.price) for t in trades], "amount": [float(t.amount) for t in trades],
        },
        schema_overrides={
            "timestamp": pl.Int64, "local_timestamp": pl.Int64, "id": pl.String, "side": pl.String,
            "price": pl.Float64, "amount": pl.Float64,
        },
    )  # fmt: skip
    return frame.with_columns(pl.col("timestamp", "local_timestamp").cast(pl.Datetime("us", "UTC")))


def check(made, expected):
    """Compare bars with the twin's: all but vwap to the last digit."""
    assert len(made.rows) == len(expected)
    for row, want in zip(made.rows, expected, strict=True):
        for name in SAME:
            assert row[name] == want[name], (name, row, want)
        for name in TIMES:
            if want.get(name) is not None:
                assert row[name] == want[name] * 1000, (name, row, want)
        if "vwap" in want:
            assert row["vwap"] == pytest.approx(want["vwap"], rel=1e-14)
        else:
            assert np.isnan(row["vwap"])


SIZES = ("1s", "7s", "1m", "15m", "1h", "1d", "1w", "1mo", "2mo", "1ticks", "10ticks", "100vol", "2.5vol",
         "150000dollars")  # fmt: skip


@pytest.mark.parametrize("size", SIZES)
def test_random_trades_against_the_slow_twin(size, seed):
    rng = random.Random(f"{seed} {size}")
    for count, span in ((1, 10**6), (40, 10**7), (700, 10**9), (700, 10**12), (300, 10**13)):
        trades = random_trades(rng, count, span)
        expected = naive.bars(trades, size)
        frame = as_frame(trades)
        check(trade_bars(frame, size), expected)
        cuts = sorted(rng.sample(range(count + 1), min(count, 5)))
        pieces = [frame[a:b] for a, b in zip([0, *cuts], [*cuts, len(frame)], strict=True)]
        check(trade_bars(iter(pieces), size), expected)
        if len(expected) < 300 and size in ("1m", "1h", "1d", "1w", "1mo") and span < 10**10:
            check(trade_bars(frame, size, empty="fill"), naive.filled(expected, size))


def digests():
    """Size to the digest of the bars of some trades."""
    frame = as_frame(random_trades(random.Random(5), 400, 10**10))
    return {size: hashlib.sha256(trade_bars(frame, size).rows.tobytes()).hexdigest() for size in SIZES}


def test_kernels_as_they_are_written_give_the_same_bars():
    code = "import json; from tests.test_bars import digests; print(json.dumps(digests()))"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], cwd=ROOT, capture_output=True, text=True, check=True,
        env={**os.environ, "NUMBA_DISABLE_JIT": "1"}, timeout=120,
    )  # fmt: skip
    assert json.loads(done.stdout) == digests()


def test_flat_bars_over_gaps_of_every_calendar():
    ts = [
        parse_time(t) // 1000 for t in ("2023-12-31T23:59Z", "2024-01-02", "2024-03-31T12:00Z", "2024-12-01")
    ]
    trades = [naive.Trade(t, t, str(t), "buy", str(i + 1), "1") for i, t in enumerate(ts)]
    for size in ("4h", "1d", "1w", "1mo", "3mo"):
        made = trade_bars(as_frame(trades), size, empty="fill")
        check(made, naive.filled(naive.bars(trades, size), size))
        assert (made.rows["open_ts"][1:] == made.rows["close_ts"][:-1]).all()


def test_polars_and_pandas_resample_agree(seed):
    rng = random.Random(seed)
    trades = random_trades(rng, 3000, 3 * 10**10, late=0, repeat=0)
    frame = as_frame([t for t in trades if t.amount != "0"]).sort("timestamp", maintain_order=True)
    frame = frame.drop("local_timestamp")
    ours = trade_bars(frame, "1m").frame()
    price, amount = pl.col("price"), pl.col("amount")
    polars = frame.group_by_dynamic("timestamp", every="1m").agg(
        open=price.first(), high=price.max(), low=price.min(), close=price.last(), volume=amount.sum(),
        buy_volume=amount.filter(pl.col("side") == "buy").sum(), trades=pl.len().cast(pl.Int64),
        vwap=(price * amount).sum() / amount.sum(), first_ts=pl.col("timestamp").first(),
    )  # fmt: skip
    assert ours["open_ts"].to_list() == polars["timestamp"].to_list()
    for name in ("open", "high", "low", "close", "trades"):
        assert ours[name].to_list() == polars[name].to_list()
    for name in ("volume", "buy_volume", "vwap"):
        assert np.allclose(ours[name], polars[name], rtol=1e-12, atol=0)
    assert ours["first_ts"].cast(pl.Datetime("us", "UTC")).to_list() == polars["first_ts"].to_list()
    table = pd.DataFrame({name: frame[name].to_numpy() for name in ("price", "amount")})
    table.index = pd.to_datetime(frame["timestamp"].dt.epoch("us").to_numpy(), unit="us", utc=True)
    candles = table["price"].resample("1min").ohlc().dropna()
    for name in ("open", "high", "low", "close"):
        assert ours[name].to_list() == candles[name].to_list()


def test_pandas_dicts_lazy_frames_and_units_give_the_same_bars(seed):
    frame = as_frame(random_trades(random.Random(seed), 500, 10**9))
    want = trade_bars(frame, "1m").rows
    plain = {
        name: frame[name].dt.epoch("us").to_numpy() if "time" in name else frame[name].to_list()
        for name in frame.columns
    }
    columns = {name: np.array(values) for name, values in plain.items()}
    table = pd.DataFrame(plain)
    stamped = table.assign(
        timestamp=pd.to_datetime(table["timestamp"], unit="us", utc=True),
        local_timestamp=pd.to_datetime(table["local_timestamp"], unit="us", utc=True),
        side=table["side"].astype("category"),
    )
    sides = pl.Enum(["buy", "sell", "unknown"])
    for other in (
        frame.with_columns(pl.col("side").cast(sides)),
        columns,
        table,
        stamped,
        frame.lazy(),
        frame.with_columns(pl.col("side").cast(pl.Categorical)),
    ):
        assert (trade_bars(other, "1m").rows == want).all()
    nanoseconds = {**columns, "timestamp": columns["timestamp"] * 1000,
                   "local_timestamp": columns["local_timestamp"] * 1000}  # fmt: skip
    assert (trade_bars(nanoseconds, "1m", unit="ns").rows == want).all()


def test_volumes_are_the_decimals_one_adds_up_by_hand():
    amounts = [0.1] * 10 + [0.7, 0.00000001]
    frame = {"timestamp": np.arange(12) * 1000 + START, "local_timestamp": np.arange(12) * 1000 + START,
             "price": np.full(12, 1.1), "amount": np.array(amounts)}  # fmt: skip
    made = trade_bars(frame, "1h").rows[0]
    assert made["volume"] == 1.70000001 != sum(amounts)
    assert made["buy_volume"] == made["sell_volume"] == 0.0  # no side is known
    third = {**frame, "amount": np.full(12, 1 / 3)}
    assert trade_bars(third, "1h").rows[0]["volume"] == 4.0  # on no grid: the sum, rounded once
    assert len(trade_bars({**frame, "amount": np.full(12, 0.1)}, "0.3vol")) == 4  # 0.1 + 0.1 + 0.1 is 0.3


def test_no_trade_and_one_trade():
    empty = as_frame([])
    for size in ("1m", "1mo", "10ticks"):
        made = trade_bars(empty, size)
        assert len(made) == 0
        assert made.frame().columns[-1] == "complete"
        assert trade_bars(iter(()), size).rows.dtype == made.rows.dtype
    one = as_frame([naive.Trade(START, START + 7, "1", "sell", "10.5", "2")])
    frame = trade_bars(one, "1d", empty="fill").frame()
    assert frame.height == 1
    row = frame.row(0, named=True)
    assert row["open_ts"] == datetime(2024, 2, 28, tzinfo=UTC)
    assert (row["open"], row["vwap"], row["sell_volume"], row["trades"]) == (10.5, 10.5, 2.0, 1)
    assert not row["complete"]


def test_what_is_seen_is_told():
    trades = [
        naive.Trade(START, START, "1", "buy", "10", "1"),
        naive.Trade(START + 60_000_000, START + 60_000_000, "2", "buy", "11", "1"),
        naive.Trade(START + 1, START + 60_000_001, "3", "buy", "12", "1"),  # late
        naive.Trade(START, START + 60_000_002, "1", "buy", "10", "1"),  # again
        naive.Trade(START + 60_000_003, START + 60_000_003, "4", "buy", "99", "0"),
    ]
    made = trade_bars(as_frame(trades), "1m")
    assert made.remarks == (
        "bars of 1m: 1 trade with a repeated id left out",
        "bars of 1m: 1 trade of amount 0 left out",
        "bars of 1m: 1 trade of an earlier bar than the newest, put into their own",
    )
    assert made.rows["close"].tolist() == [12.0, 11.0]
    assert made.rows["high"].tolist() == [12.0, 11.0]
    market = made.market("binance:BTCUSDT")
    assert market.intervals(0) == (MINUTE,)
    assert set(made.remarks) == {line.removeprefix("binance:BTCUSDT: ") for line in market.remarks}
    with pytest.raises(ConfigError, match="no interval that a Market could replay; make bars of time"):
        trade_bars(as_frame(trades), "2ticks").market("binance:BTCUSDT")


def test_equal_stamps_stand_in_the_order_of_the_file():
    trades = [naive.Trade(START, START, str(i), "buy", str(10 + i % 3), "1") for i in range(5)]
    row = trade_bars(as_frame(trades), "1m").rows[0]
    assert (row["open"], row["close"], row["high"]) == (10.0, 11.0, 12.0)


@pytest.mark.parametrize(("between", "count"), [(498, 499), (499, 500), (500, 502)])
def test_an_id_is_looked_for_in_500_rows(between, count):
    """Rows without an id do not count."""
    ids = ["x", *[str(i) for i in range(between)], "", "", "x"]
    trades = [naive.Trade(START + i, START + i, id, "buy", "10", "1") for i, id in enumerate(ids)]
    made = trade_bars(as_frame(trades), "1d")
    check(made, naive.bars(trades, "1d"))
    assert made.rows["trades"].tolist() == [count + 2]


def test_partial_bars_are_marked():
    minute = START // 60_000_000 * 60_000_000
    times = [minute + 30_000_000 + i * 10_000_000 for i in range(12)]  # half a minute, one and a half
    trades = [naive.Trade(t, t, str(t), "buy", "10", "1") for t in times]
    made = trade_bars(as_frame(trades), "1m")
    assert made.complete.tolist() == [False, True, False]
    assert trade_bars(as_frame(trades), "5ticks").complete.tolist() == [True, True, False]
    assert len(trade_bars(as_frame(trades), "5ticks", unfinished=False)) == 2


BAD = [
    (lambda f: f.drop("price"), DataError, "there is no column 'price'; its columns are timestamp"),
    (lambda f: f.rename({"amount": "amout"}), DataError, "no column 'amount'; did you mean amout"),
    (lambda f: f.with_columns(price=pl.lit(None, pl.Float64)), DataError, "row 1: price = nan: is no price"),
    (lambda f: f.with_columns(price=pl.Series([1.0, 2.0, float("nan")])), DataError, "row 3: price = nan"),
    (lambda f: f.with_columns(price=pl.Series([1.0, 0.0, 2.0])), DataError, "row 2: price = 0.0"),
    (lambda f: f.with_columns(price=pl.Series([1.0, float("inf"), 2.0])), DataError, "row 2: price = inf"),
    (lambda f: f.with_columns(amount=pl.Series([1.0, 1.0, -1.0])), DataError, "row 3: amount = -1.0: is no"),
    (
        lambda f: f.with_columns(side=pl.Series(["buy", "Sell", "buy"])),
        DataError,
        "row 2: side = Sell: is no",
    ),
    (lambda f: f.reverse(), DataError, "row 2: local_timestamp = .*: is before the row above; sort"),
    (lambda f: f.drop("local_timestamp").reverse(), DataError, "row 2: timestamp = .*sort the rows by time"),
    (lambda f: f.with_columns(pl.col("timestamp").dt.replace_time_zone(None)), DataError, "has no time zone"),
    (
        lambda f: f.with_columns(timestamp=pl.col("timestamp").dt.epoch("ms")),
        DataError,
        "no time since 2001 in us",
    ),
    (
        lambda f: f.drop("local_timestamp").with_columns(timestamp=pl.col("timestamp").dt.epoch("us")),
        DataError,
        "timestamp holds whole numbers; say unit=",
    ),
    (lambda f: f.with_columns(price=pl.lit("ten")), DataError, "row 1: price = ten: is no number"),
    (lambda f: 7, ConfigError, "a int is no table"),
    (lambda f: [f, f], DataError, "row 4: local_timestamp"),
]


@pytest.mark.parametrize(("spoil", "error", "words"), BAD)
def test_tables_that_cannot_be_used(spoil, error, words):
    trades = [naive.Trade(START + i, START + i, str(i), "buy", "10", "1") for i in range(3)]
    for size in ("1m", "2ticks"):
        with pytest.raises(error, match=words) as caught:
            trade_bars(spoil(as_frame(trades)), size)
        assert str(caught.value).startswith("trades")


@pytest.mark.parametrize(
    ("size", "words"),
    [
        ("5x", "not a bar interval"),
        ("1M", "not a bar interval"),
        ("", "not a bar interval"),
        (0, "not longer"),
        ("10tick", "unknown unit; did you mean ticks"),
        ("2volume", "did you mean vol"),
        ("0ticks", "above zero"),
        ("1.5ticks", "a whole one"),
        ("1e6dolars", "did you mean dollars"),
        (1.5, "not a bar interval"),
    ],
)
def test_unknown_sizes(size, words):
    with pytest.raises(ConfigError, match=words):
        trade_bars(as_frame([]), size)


def test_unknown_options():
    with pytest.raises(ConfigError, match="empty: unknown 'fil'; did you mean fill"):
        trade_bars(as_frame([]), "1m", empty="fil")
    with pytest.raises(ConfigError, match="bars of 10ticks are never empty"):
        trade_bars(as_frame([]), "10ticks", empty="fill")


def test_sizes_in_words():
    for text in ("1s", "5m", "1d", "1w", "1mo", "10ticks", "2.5vol", "1000000dollars"):
        assert str(parse_size(text)) == text
    assert parse_size("1e6dollars") == parse_size("1000000dollars")


def test_many_bars_need_no_trades_in_memory():
    maker = BarMaker("1s")
    n = 5000
    for day in range(3):
        ts = np.arange(n) * SECOND + day * DAY
        ones = np.ones(n)
        maker.add(Trades(ts, ts, ones, ones, ones, np.arange(n) + day * n, ones))
    assert len(maker.done()) == 3 * n
    assert maker.bars.nbytes <= 2 * 3 * n * maker.bars.itemsize
