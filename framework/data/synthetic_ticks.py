"""Seeded SYNTHETIC tick markets: trades and order books of one perpetual, alone or with its spot."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from framework.arena import register
from framework.data.synthetic import uniforms
from framework.data.synthetic_flow import CHANNEL, GRID, NOW, RULE, WIDTH, Flow, run_flow
from framework.errors import ConfigError
from framework.instruments import Instrument
from framework.market import Market
from framework.market_ticks import Book
from framework.records import FUNDING, MARK, MESSAGE, NEVER, TRADE
from framework.times import HOUR, MINUTE, parse_time

Longs = NDArray[np.int64]

START = "2024-01-01 07:50"  # funding falls due ten minutes later
PRICE = 42_000  # ticks of 1.0
STEPS = 600  # of the grid, in a minute
PERP = Instrument(
    "synthetic:BTCUSDT-PERP", "linear", 1.0, 0.001, min_notional=5.0, maker=1e-5, taker=4e-4, settle="USDT"
)
SPOT = Instrument(
    "synthetic:BTCUSDT", "spot", 1.0, 0.001, min_notional=5.0, maker=0.0, taker=1e-4, settle="USDT"
)
PERP_FLOW = {
    "middle": PRICE, "takes": 1.6, "echo": 1.5, "news": 8.0, "moves": 520.0, "stir": 30.0, "sweeps": 0.1,
    "taken": 100.0, "placed": 220.0, "queue": 2200.0, "weigh": 0.45, "pull": 0.08, "drift": 0.08,
    "heal": 0.05, "wander": 0.32, "home": 0.002, "offset": 0.0, "jump": 0.001,
}  # fmt: skip
SPOT_FLOW = {
    **PERP_FLOW, "middle": PRICE - 12, "takes": 1.0, "echo": 1.3, "moves": 300.0, "stir": 20.0, "taken": 70.0,
    "placed": 150.0, "queue": 1300.0, "wander": 0.35, "home": 0.003, "offset": -12.0, "jump": 0.0,
}  # fmt: skip
LAG = 1  # steps of the grid the spot comes after the perpetual


def ticks(minutes: int = 20, seed: int = 7, start: Any = START) -> Market:
    """Return a SYNTHETIC linear perpetual: trades, book, a mark price each second, funding each 8 hours.

    Parameters
    ----------
    minutes : int
        Length, at most 1440; a minute has about 10,000 rows.
    seed : int
        Equal seeds give equal markets, whatever the machine and the versions of numpy and Python.
    start : date, str or ns
        Time of the first message, floored to the minute.

    Notes
    -----
    Tick 1.0 (0.24 bp), lot 0.001, maker fee 0.1 bp: an instrument of its own. Market orders come in bursts
    and lean to the thicker side of the book, so that imbalance says something of the next second; the price
    goes back to a slow fair price that at times jumps. A message comes at once where a best price changes and
    else each 0.1 s; after it the book is the exchange's.
    """
    first = check_range(minutes, start)
    return market_of("ticks", seed, (PERP,), (perp_flow(minutes, seed, first),), first)


def ticks_hedge(minutes: int = 20, seed: int = 7, start: Any = START) -> Market:
    """Return the perpetual of `ticks` and a SYNTHETIC spot instrument that follows it.

    The spot's fair price is the perpetual's mid of 0.1 s ago less a basis that wanders about 12 USDT (3 bp).
    """
    first = check_range(minutes, start)
    made = perp_flow(minutes, seed, first)
    mids = made.mids / 2.0
    leader = np.concatenate((np.full(LAG, mids[0]), mids[:-LAG]))
    spot = flow({**SPOT_FLOW, "start": first}, leader, seed, 12)
    return market_of("ticks-hedge", seed, (PERP, SPOT), (made, spot), first)


def perp_flow(minutes: int, seed: int, first: int) -> Flow:
    """Run the perpetual's order flow: it leads."""
    return flow({**PERP_FLOW, "start": first}, np.full(minutes * STEPS, float(PRICE)), seed, 11)


def check_range(minutes: int, start: Any) -> int:
    """Return the start in ns; refuse lengths that are none."""
    if isinstance(minutes, bool) or not isinstance(minutes, int) or not 1 <= minutes <= 1440:
        raise ConfigError(f"minutes: {minutes!r} is no whole number from 1 to 1440")
    return parse_time(start) // MINUTE * MINUTE


def waiting_times() -> Longs:
    """Return quantiles of the exponential distribution, rounded: no library's last digit decides."""
    waits = -np.log1p(-(np.arange(4096) + 0.5) / 4096.0)
    return np.asarray(np.round(waits * 1e6), dtype=np.int64)


def flow(values: Mapping[str, float], leader: NDArray[np.float64], seed: int, stream: int) -> Flow:
    """Run one instrument's order flow for as many steps of the grid as `leader` has prices."""
    room = 260 * len(leader) + 8_000  # numbers; a guess that is doubled where it does not last
    while True:
        out = tables(values, leader, uniforms(room, seed, stream))
        addresses = np.array([a.ctypes.data for a in out], dtype=np.int64)
        address, held = register(addresses.ctypes.data, out)
        short = run_flow(address)
        del held
        if not short:
            return out
        room *= 2


def tables(values: Mapping[str, float], leader: NDArray[np.float64], numbers: NDArray[np.float64]) -> Flow:
    """Return a run's tables, empty but for its rule and its numbers."""
    rows = len(numbers) // 4 + 4_000
    rule = np.zeros(1, RULE)
    for name, value in values.items():
        rule[name] = value
    rule["length"], rule["room"], rule["rows"] = len(leader) * GRID, len(numbers), rows
    lots, told, marked, changed = np.zeros((4, 2 * WIDTH), np.int64)
    return Flow(
        rule, np.zeros(1, NOW), np.zeros(2, CHANNEL), numbers, waiting_times(), leader, lots, told, marked,
        changed, np.zeros(rows, TRADE), np.zeros(rows, MESSAGE), np.zeros(rows, np.int32),
        np.zeros(rows, np.int64), np.zeros(len(leader), np.int64),
    )  # fmt: skip


def market_of(
    name: str, seed: int, instruments: tuple[Instrument, ...], flows: tuple[Flow, ...], first: int
) -> Market:
    """Return a market of finished order flows; the first instrument is a perpetual."""
    words = f"SYNTHETIC data of a seeded generator (seed {seed}), no real market"
    return Market(
        instruments,
        funding={0: funding_rows(first, len(flows[0].mids) * GRID * 1_000, seed)},
        mark={0: mark_rows(flows[0].mids, first)},
        trades={k: frozen(made.trades[: made.now[0]["trades"]]) for k, made in enumerate(flows)},
        books={k: book_of(made) for k, made in enumerate(flows)},
        name=f"SYNTHETIC {name}",
        remarks=tuple(f"{what.id}: {words}" for what in instruments),
    )


def book_of(made: Flow) -> Book:
    """Return the depth messages, closed by the sentinel row."""
    count, rows = int(made.now[0]["messages"]), int(made.now[0]["rows"])
    messages = made.messages[: count + 1]
    messages[count] = (NEVER, NEVER, rows)
    return Book(frozen(messages), frozen(made.keys[:rows]), frozen(made.sizes[:rows]))


def mark_rows(mids: Longs, first: int) -> Any:
    """Return a MARK row each second: the mean mid of the second before, in hundredths."""
    seconds = len(mids) // 10
    marks = np.empty(seconds, dtype=MARK)
    marks["ts"] = first + np.arange(seconds) * 1_000_000_000
    sums = np.concatenate((mids[:1] * 10, mids.reshape(-1, 10).sum(axis=1)))[:seconds]  # of 10 x (bid + ask)
    marks["price"] = sums * 5 / 100.0
    return frozen(marks)


def funding_rows(first: int, length: int, seed: int) -> Any:
    """Return FUNDING rows each 8 hours: about 0.01 %."""
    times = np.arange(-(-first // (8 * HOUR)) * (8 * HOUR), first + length, 8 * HOUR, dtype=np.int64)
    rows = np.empty(len(times), dtype=FUNDING)
    rows["ts"] = times
    rows["rate"] = (10_000 + np.floor(4_000 * uniforms(len(times), seed, 13))) / 1e8
    return frozen(rows)


def frozen(rows: Any) -> Any:
    """Return rows of their own that cannot be written: the room beyond them is given back."""
    rows = rows.copy()
    rows.setflags(write=False)
    return rows
