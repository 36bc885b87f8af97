"""Seeded synthetic markets. Whatever is made here says SYNTHETIC in its name and notes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from framework.errors import ConfigError
from framework.instruments import Instrument, instrument, round_price
from framework.market import Market
from framework.records import BAR, FUNDING, MARK
from framework.times import DAY, HOUR, MINUTE, parse_time

Floats = NDArray[np.float64]

STEPS = 4  # price moves inside one bar
START_PRICE = 42_000.0
SIGMA = 0.00045  # deviation of a minute's return before rhythm and calm; the walk comes to about 36 % a year
FUNDING_EVERY = 8 * HOUR


def perp(
    days: int = 30, seed: int = 7, start: Any = "2024-01-01", instrument_id: str = "synthetic:BTCUSDT-PERP"
) -> Market:
    """Return a SYNTHETIC linear perpetual: 1m bars, a mark price each minute, funding each 8 hours.

    Parameters
    ----------
    days : int
        Length; bars = days * 1440.
    seed : int
        Equal seeds give equal markets, whatever the versions of numpy and Python.
    start : date, str or ns
        First bar's open, floored to the day.
    instrument_id : str
        Id of the instrument; rules as of the built-in table.

    Notes
    -----
    A random walk in the logarithm; its drift changes every two days, its volatility twice a day and with
    the hour. Prices lie on the tick grid.
    """
    if isinstance(days, bool) or not isinstance(days, int) or not 1 <= days <= 3660:
        raise ConfigError(f"days: {days!r} is no whole number from 1 to 3660")
    what = instrument(instrument_id)
    first = parse_time(start) // DAY * DAY
    bars = walk_bars(days * 1440, first, seed, what)
    marks, rates = mark_rows(bars, seed), funding_rows(bars, seed)
    remark = f"{what.id}: SYNTHETIC data of a seeded generator (seed {seed}), no real market"
    market = Market(
        (what,), {(0, MINUTE): bars}, {0: rates}, {0: marks}, name="SYNTHETIC perp-1m", remarks=(remark,)
    )
    for rows in (bars, marks, rates):
        rows.setflags(write=False)
    return market


def uniforms(count: int, seed: int, stream: int) -> Floats:
    """Return numbers in [0, 1) from raw PCG64 bits, which no numpy release may change (NEP 19)."""
    raw = np.random.PCG64(seed).jumped(stream).random_raw(count)
    return (np.asarray(raw) >> np.uint64(11)).astype(np.float64) / 2.0**53


def normals(count: int, seed: int, stream: int) -> Floats:
    """Return near-normal numbers of mean 0 and deviation 1: sums of 12 uniforms less 6, additions only."""
    return np.asarray(uniforms(count * 12, seed, stream).reshape(count, 12).sum(axis=1) - 6.0)


def walk_bars(count: int, first: int, seed: int, what: Instrument) -> NDArray[Any]:
    """Return 1m BAR rows of a random walk of `STEPS` moves a bar."""
    minute = np.arange(count)
    rhythm = 0.6 + 0.8 * np.abs((minute % 1440) / 720.0 - 1.0)  # quiet at noon, busy around midnight UTC
    blocks = minute // 720
    calm = 0.6 + 0.9 * uniforms(int(blocks[-1]) + 1, seed, 1)[blocks]
    tilt = (uniforms(int(blocks[-1]) // 4 + 1, seed, 2) - 0.5)[blocks // 4] * 2.0
    sigma = SIGMA * rhythm * calm / np.sqrt(STEPS)
    moves = (
        normals(count * STEPS, seed, 3).reshape(count, STEPS) * sigma[:, None]
        + (tilt * 2e-5 / STEPS)[:, None]
    )
    path = START_PRICE * np.exp(np.cumsum(moves.ravel()))
    ticks = np.concatenate(([START_PRICE], round_price(path, what.tick_size)))
    inside = ticks[np.arange(count)[:, None] * STEPS + np.arange(STEPS + 1)]
    bars = np.empty(count, dtype=BAR)
    bars["open_ts"] = first + minute * MINUTE
    bars["close_ts"] = bars["open_ts"] + MINUTE
    bars["open"], bars["close"] = inside[:, 0], inside[:, -1]
    bars["high"], bars["low"] = inside.max(axis=1), inside.min(axis=1)
    travelled = np.abs(np.diff(inside, axis=1)).sum(axis=1) / inside[:, 0]
    volume = (5.0 + 60.0 * uniforms(count, seed, 4)) * rhythm * (0.5 + travelled / SIGMA)
    bars["volume"] = np.floor(volume * 1000.0) / 1000.0
    return bars


def mark_rows(bars: NDArray[Any], seed: int) -> NDArray[Any]:
    """Return a MARK row at each bar's open, within a few hundredths of a percent of the open."""
    marks = np.empty(len(bars), dtype=MARK)
    marks["ts"] = bars["open_ts"]
    marks["price"] = np.floor(bars["open"] * (1.0 + 5e-5 * normals(len(bars), seed, 5)) * 100.0) / 100.0
    return marks


def funding_rows(bars: NDArray[Any], seed: int) -> NDArray[Any]:
    """Return FUNDING rows each 8 hours: 0.01 % plus a part of the last 8 hours' return, within 0.3 %."""
    at = np.flatnonzero(bars["open_ts"] % FUNDING_EVERY == 0)
    before = bars["open"][np.maximum(at - 480, 0)]
    rates = 1e-4 + 0.01 * (bars["open"][at] / before - 1.0) + 5e-5 * normals(len(at), seed, 6)
    rows = np.empty(len(at), dtype=FUNDING)
    rows["ts"] = bars["open_ts"][at]
    rows["rate"] = np.floor(np.clip(rates, -0.003, 0.003) * 1e8) / 1e8
    return rows
