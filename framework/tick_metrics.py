"""How orders were executed on recorded trades and books: pure functions on arrays, each with its definition.

Times are int64 ns. What is undefined is NaN, never an exception and never infinity.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from framework.engine.touch import EMPTY, own_touch, tape_touches, touches
from framework.instruments import price_of
from framework.market import Market
from framework.market_source import Tape, tape_of
from framework.records import TRADE

Rows = NDArray[Any]
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
NAN = float("nan")
SECOND = 10**9
HORIZONS = {"100ms": SECOND // 10, "1s": SECOND, "5s": 5 * SECOND, "10s": 10 * SECOND}


class Prices(NamedTuple):
    """What a market showed of one instrument: each row holds from its time to the next one's, the last to
    `end`.

    `mid` is the middle of best bid and ask, NaN while a side is empty; without a book the last trade's price,
    and `bid` and `ask` are NaN.
    """

    ts: Ints
    mid: Floats
    bid: Floats
    ask: Floats
    end: int


def prices(market: Market, k: int, clock: str = "ts") -> Prices:
    """Return the prices of instrument `k` by the exchange's clock ("ts") or ours ("local_ts").

    The book as it was recorded: what an own taker took in a simulation is still in it.
    """
    tick = market.instruments[k].tick_size or NAN
    tape = tape_of(market, "books", k)
    if tape is not None or len(market.books.get(k, ())):
        rows = touches(market.books[k]) if tape is None else tape_touches(tape)
        ticks = {side: rows[side].astype(np.int64) for side in ("bid", "ask")}
        bid, ask = (np.where(at == EMPTY, NAN, price_of(at, tick)) for at in ticks.values())
        end = int(market.books[k].messages[clock][-2]) if tape is None else tape.last(clock)
        return Prices(rows[clock], (bid + ask) / 2.0, bid, ask, end)
    rows = market.trades.get(k, np.zeros(0, TRADE))
    if (tape := tape_of(market, "trades", k)) is not None:
        rows = price_changes(tape)
    mid = np.asarray(price_of(rows["tick"].astype(np.int64), tick), dtype=np.float64)
    none = np.full(len(rows), NAN)
    ts = np.ascontiguousarray(rows[clock])
    end = tape.last(clock) if tape is not None else int(ts[-1]) if len(ts) else 0
    return Prices(ts, mid, none, none, end)


def price_changes(tape: Tape) -> Rows:
    """Return the trades of a tape but those that repeat the price before them."""
    kept: list[Rows] = []
    price = 0  # no trade has it
    for piece in tape.read():
        rows = np.asarray(piece)
        kept.append(rows[np.append(price, rows["tick"][:-1]) != rows["tick"]])
        price = rows["tick"][-1]
    return np.concatenate(kept)


def sample(ts: Ints, values: Floats, times: ArrayLike, end: int, before: bool = False) -> Floats:
    """Return the values of a step function at some times: NaN before its first row and after `end`.

    A row counts from its own time on; with `before` only after it.
    """
    at = np.asarray(times, dtype=np.int64)
    row = np.searchsorted(ts, at, side="left" if before else "right") - 1
    if not len(ts):
        return np.full(at.shape, NAN)
    return np.where((row >= 0) & (at <= end), values[np.maximum(row, 0)], NAN)


def step_means(ts: Ints, values: Floats, edges: Ints) -> Floats:
    """Return the time-weighted mean of a step function between neighbouring edges, shape (edges - 1,).

    Time without a value (before the first row, or NaN) does not count; NaN where no time is left.
    """
    area, time = step_integrals(ts, values, edges)
    result = np.full(max(len(edges) - 1, 0), NAN)
    np.divide(np.diff(area), np.diff(time), out=result, where=np.diff(time) > 0.0)
    return result


def step_integrals(ts: Ints, values: Floats, edges: Ints) -> tuple[Floats, Floats]:
    """Return value x time and time with a value up to each edge, from the first edge on, in ns."""
    at = np.asarray(edges, dtype=np.int64)
    if not len(ts) or not len(at):
        return np.zeros(len(at)), np.zeros(len(at))
    knots = np.concatenate((np.clip(ts, at[0], at[-1]) - at[0], [at[-1] - at[0]])).astype(np.float64)
    known = np.isfinite(values)
    spans = np.diff(knots)
    area = np.concatenate(([0.0], np.cumsum(np.where(known, values, 0.0) * spans)))
    time = np.concatenate(([0.0], np.cumsum(known * spans)))
    where = (at - at[0]).astype(np.float64)
    return np.interp(where, knots, area), np.interp(where, knots, time)


def step_mean(ts: Ints, values: Floats, start: int, stop: int) -> float:
    """Return the time-weighted mean of a step function over [start, stop)."""
    found = step_means(ts, values, np.array([start, stop], dtype=np.int64))
    return float(found[0]) if start < stop else NAN


def share_of_time(ts: Ints, is_so: NDArray[np.bool_], start: int, stop: int, at_first: bool) -> float:
    """Return the share of [start, stop) in which a step function is true, before its first row
    `at_first`.
    """
    if start >= stop:
        return NAN
    times = np.concatenate(([start], ts))
    return step_mean(times, np.concatenate(([at_first], is_so)).astype(np.float64), start, stop)


def fill_rate(asked: ArrayLike, filled: ArrayLike, value: ArrayLike = 1.0) -> float:
    """Filled / asked quantity of orders; `value` = money per unit, where several instruments are added up.

    Orders whose quantity was never known (sized by share, and never filled) do not count.
    """
    given = (np.asarray(one, dtype=np.float64) for one in (asked, filled, value))
    wanted, got, unit = np.broadcast_arrays(*given)
    known = np.isfinite(wanted * unit) & (wanted > 0.0)
    total = float((wanted * unit)[known].sum())
    return float((got * unit)[known].sum()) / total if total > 0.0 else NAN


def share(part: ArrayLike, whole: ArrayLike) -> float:
    """Sum of `part` / sum of `whole`, NaN when that is 0: maker share of traded value, cancels per fill."""
    total = float(np.sum(whole))
    return float(np.sum(part)) / total if total != 0.0 else NAN


def queue_waits(orders: Ints, arrival: ArrayLike, order: ArrayLike, ts: ArrayLike, maker: ArrayLike) -> Ints:
    """Return ns from the arrival of each order to its first fill, of orders whose first fill is a maker's.

    `orders`, `arrival` : order numbers and when each reached the exchange. `order`, `ts`, `maker` : the
    fills, in time order.
    """
    number, at, made = np.asarray(order), np.asarray(ts, dtype=np.int64), np.asarray(maker, dtype=bool)
    who, first = np.unique(number, return_index=True)
    who, first = who[made[first]], first[made[first]]
    by_number = np.argsort(orders, kind="stable")
    place = by_number[np.searchsorted(orders, who, sorter=by_number)] if len(who) else by_number[:0]
    return np.asarray(at[first] - np.asarray(arrival, dtype=np.int64)[place])


class Moves(NamedTuple):
    """How the mid moved after fills, positive in favour of the side that was filled; one row per fill."""

    bps: Floats
    money: Floats


def mid_moves(
    shown: Prices, ts: Ints, side: Ints, qty: Floats, after: int, multiplier: float, inverse: bool
) -> Moves:
    """Return the signed move of the mid from just before each fill to `after` ns later, by exchange time.

    In bps of the mid before, and in money: that move times the quantity. NaN where the later time lies
    beyond the data, or a side of the book was empty. A taker pays the half spread in between as well: it is
    not in here.
    """
    then = sample(shown.ts, shown.mid, ts, shown.end, before=True)
    later = sample(shown.ts, shown.mid, np.asarray(ts, dtype=np.int64) + after, shown.end)
    with np.errstate(invalid="ignore", divide="ignore"):
        change = 1.0 / then - 1.0 / later if inverse else later - then
        bps = side * (later / then - 1.0) * 1e4
    return Moves(np.asarray(bps), np.asarray(side * change * qty * multiplier))


def mean(values: Floats) -> float:
    """Mean of the finite values."""
    known = values[np.isfinite(values)]
    return float(known.mean()) if known.size else NAN


def t_value(values: Floats) -> float:
    """Mean / (std (ddof 1) / √n) of the finite values: fills are taken as independent."""
    known = values[np.isfinite(values)]
    spread = float(known.std(ddof=1)) if known.size > 1 else 0.0
    return float(known.mean()) / spread * float(np.sqrt(known.size)) if spread > 0.0 else NAN


class Quotes(NamedTuple):
    """The best own resting bid and ask over time, each row until the next; NaN where none rests."""

    ts: Ints
    bid: Floats
    ask: Floats


def quotes(resting: Rows) -> Quotes:
    """Return the own touch from RESTING rows (`framework.engine.touch`)."""
    rows = own_touch(resting)
    return Quotes(rows["ts"].copy(), rows["bid"].copy(), rows["ask"].copy())


def spread_bps(bid: Floats, ask: Floats) -> Floats:
    """Return the spread in bps of its middle."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray((ask - bid) / ((ask + bid) / 2.0) * 1e4)


__all__ = [
    "HORIZONS", "Moves", "Prices", "Quotes", "fill_rate", "mean", "mid_moves", "prices", "queue_waits",
    "quotes", "sample", "share", "share_of_time", "spread_bps", "step_integrals", "step_mean", "step_means",
    "t_value",
]  # fmt: skip
