"""How fast trades become bars: the kernels, a polars frame, a csv file; beside polars' own grouping."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from framework.data import BarMaker, trade_bars
from framework.data.bars import Trades
from framework.times import MICROSECOND, parse_time

TRADES = 50_000_000
CHUNK = 1 << 20
START = parse_time("2024-08-01")
SIZES = ("1s", "1m", "1h", "1d", "1mo", "1000ticks", "500vol", "30000000dollars")


class Row(NamedTuple):
    """One measured thing."""

    what: str
    trades: int
    seconds: float  # of this thread's CPU, the best repeat
    note: str = ""

    @property
    def rate(self) -> float:
        """Million trades a second."""
        return self.trades / self.seconds / 1e6


def chunk(n: int = CHUNK, seed: int = 1) -> Trades:
    """Return made trades of about half an hour: 1 % late, ids, both sides, 5 decimals."""
    rng = np.random.default_rng(seed)
    ts = START + np.cumsum(rng.integers(0, 4000, n)) * MICROSECOND
    local = ts + 5000 * MICROSECOND
    late = rng.random(n) < 0.01
    ts = np.where(late, ts - rng.integers(0, 50_000, n) * MICROSECOND, ts)
    price = 60_000.0 + np.round(np.cumsum(rng.integers(-1, 2, n)) * 0.1, 1)
    amount = rng.integers(1, 100_000, n) / 1e5
    side = rng.choice(np.array([1, -1], np.int8), n)
    return Trades(ts, local, price, amount, side, np.arange(n), np.ones(n, np.uint8))


def made_frame(n: int) -> pl.DataFrame:
    """Return made trades as raw rows of the store."""
    trades = chunk(n)
    times = {
        name: pl.Series(name, values // MICROSECOND).cast(pl.Datetime("us", "UTC"))
        for name, values in (("timestamp", trades.ts), ("local_timestamp", trades.local_ts))
    }
    side = pl.Series("side", trades.side == 1).replace_strict({True: "buy", False: "sell"})
    columns = {
        **times, "id": pl.Series(trades.id).cast(pl.String),
        "side": side.cast(pl.Enum(["buy", "sell", "unknown"])),
        "price": trades.price, "amount": trades.amount,
    }  # fmt: skip
    return pl.DataFrame(columns)


def best_of(
    function: Callable[[], Any], repeats: int = 3, clock: Callable[[], float] = time.perf_counter
) -> float:
    """Return the shortest time of a call."""
    times = []
    for _ in range(repeats):
        start = clock()
        function()
        times.append(clock() - start)
    return min(times)


def kernel_row(size: str, total: int = TRADES) -> Row:
    """Measure the kernel over `total` trades, chunk by chunk, time and ids going on."""
    first = chunk()
    span = int(first.local_ts[-1] - START) + MICROSECOND
    maker = BarMaker(size)
    seconds, done = 0.0, 0
    while done < total:
        n = done // CHUNK
        part = first._replace(ts=first.ts + n * span, local_ts=first.local_ts + n * span, id=first.id + done)
        start = time.thread_time()
        maker.add(part)
        seconds += time.thread_time() - start
        done += CHUNK
    counts = maker.counts()
    note = f"{len(maker.done())} bars, {counts['late']} late; holds {maker.bars.nbytes / 1e6:.1f} MB"
    return Row(f"bars of {size}", done, seconds, note)


def rows(total: int = TRADES) -> list[Row]:
    """Return the figures: kernels a core, then a frame of 5 million raw rows against polars' grouping."""
    kernel_row("1m", CHUNK)  # compiled and loaded
    measured = [kernel_row(size, total) for size in SIZES]
    n = min(5_000_000, total)
    frame = made_frame(n)
    measured.append(
        Row("frame with text ids to 1m bars", n, best_of(lambda: trade_bars(frame, "1m")), "wall")
    )
    ordered = frame.sort("timestamp")
    price, amount = pl.col("price"), pl.col("amount")

    def group() -> pl.DataFrame:
        return ordered.group_by_dynamic("timestamp", every="1m").agg(
            open=price.first(), high=price.max(), low=price.min(), close=price.last(), volume=amount.sum(),
            buy_volume=amount.filter(pl.col("side") == "buy").sum(), trades=pl.len(),
            vwap=(price * amount).sum() / amount.sum(),
        )  # fmt: skip

    note = "wall; sorted before, repeated ids not looked for"
    measured.append(Row("polars group_by_dynamic 1m, all cores", n, best_of(group), note))
    return measured


if __name__ == "__main__":
    for row in rows():
        print(f"{row.what:40} {row.rate:7.1f} M trades/s   {row.note}")
