"""Other futures: a market that ends at a moment, and the same market going on at random after it.

Everything that could be known at the moment stays as it was to the bit, the open of the bar that begins there
included: the exchange has it before the strategy acts. Ticks are known when they arrive: what has happened at
the exchange and is still on its way is future too.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from framework.market import Market
from framework.market_parts import FIRST
from framework.market_tick_parts import sliced_ticks
from framework.records import BAR, NEVER
from framework.research.tick_futures import (
    arrivals,
    next_arrival,
    next_at_exchange,
    replayed_until,
    tick_changes,
)

Rows = NDArray[Any]
AHEAD = 256  # bars of a scrambled future that are replayed
WIDEST = 20.0  # largest |log price / start| of a scrambled future
PAYLOAD = ("regime", "direction", "confidence", "entry", "stop", "target", "size", "risk_reward")
MADE = ("_composites", "_joined", "_shown")  # what a market has made of its rows and keeps


def moments(market: Market) -> NDArray[np.int64]:
    """Return the times at which a match bar closes and another event still follows, ascending.

    In a market with ticks the times at which one arrives.
    """
    if market.is_ticks:
        return arrivals(market)[1:-1]
    closes = [market.match_bars(k)["close_ts"] for k in range(len(market.instruments))]
    every = np.unique(np.concatenate(closes)) if closes else np.zeros(0, np.int64)
    return every[1:-1]  # before the second close nothing was decided; after the last nothing follows


def last_known(market: Market, cut: int) -> int:
    """Return the last ns before anything after `cut` can show.

    Before the next close, an open after `cut`, or the arrival of the next tick.
    """
    first = next_arrival(market, cut)
    for rows in market.bars.values():
        for name in ("open_ts", "close_ts"):
            at = int(np.searchsorted(rows[name], cut, side="right"))
            if at < len(rows):
                first = min(first, int(rows[name][at]))
    return first - 1


def last_happened(market: Market, cut: int) -> int:
    """Return the last ns up to which all that happens at the exchange is decided by what is known at `cut`.

    Ticks on their way have happened already. At `cut` itself a market that ends there values the account once
    more.
    """
    until = last_known(market, cut)
    return min(until, next_at_exchange(market, cut) - 1, cut - 1) if market.is_ticks else until


def next_funding(market: Market, after: int) -> int:
    """Return when funding is due next; NEVER when it is not."""
    times = [rows["ts"] for rows in market.funding.values()]
    return min((int(ts[ts > after][0]) for ts in times if (ts > after).any()), default=NEVER)


def begun(market: Market, k: int, rows: Rows, cut: int) -> int:
    """Return the row of the match bar of instrument `k` open at `cut`, -1 when it is not in `rows`."""
    match = market.match_bars(k)
    j = int(np.searchsorted(match["close_ts"], cut, side="right"))
    if j == len(match) or match["open_ts"][j] > cut:
        return -1
    at = int(np.searchsorted(rows["close_ts"], cut, side="right"))
    same = (
        at < len(rows)
        and rows["open_ts"][at] == match["open_ts"][j]
        and rows["close_ts"][at] == match["close_ts"][j]
    )
    return at if same else -1


def truncated(market: Market, cut: int) -> Market:
    """Return the market as it was known at `cut`: of a bar that is open then, its open and nothing else."""
    until = last_known(market, cut)
    bars = {}
    for (k, interval), rows in market.bars.items():
        end = int(np.searchsorted(rows["close_ts"], cut, side="right"))
        part = rows[:end]
        if (k, interval) not in market.derived and begun(market, k, rows, cut) == end:
            stub = rows[end : end + 1].copy()
            for name in ("high", "low", "close"):
                stub[name] = stub["open"]
            part = np.concatenate((part, stub))
        bars[k, interval] = part
    return replace(
        market,
        bars=bars,
        funding={k: up_to(rows, until) for k, rows in market.funding.items()},
        mark={k: up_to(rows, until) for k, rows in market.mark.items()},
        features={name: (k, up_to(rows, until)) for name, (k, rows) in market.features.items()},
        signals=up_to(market.signals, until, "arrival_ts"),
        **sliced_ticks(market, FIRST, cut + 1),
    )


def up_to(rows: Rows, until: int, time: str = "ts") -> Rows:
    """Return the rows that are known at `until`."""
    return rows[: np.searchsorted(rows[time], until, side="right")]


@contextmanager
def scrambled(market: Market, cut: int, rng: np.random.Generator) -> Iterator[Market]:
    """Replace all after `cut` by other valid values, IN the market's arrays, and put it back afterwards.

    In place, so that a strategy that kept the market itself, or a part of it, meets the same future as
    everybody.
    """
    until = last_known(market, cut)
    changes = [
        *bar_changes(market, cut, rng), *stream_changes(market, until, rng), *tick_changes(market, cut, rng)
    ]  # fmt: skip
    before = [(rows, rows.copy()) for rows, _ in changes]
    match = market.match_bars(0)
    end = int(np.searchsorted(match["close_ts"], cut, side="right")) + AHEAD
    stop = int(match["close_ts"][end]) if end < len(match) else NEVER
    stop = min(replayed_until(market, cut), stop)
    try:
        for rows, other in changes:
            write(rows, other)
        forget(market)
        yield market.slice(None, stop if stop < NEVER else None)
    finally:
        for rows, old in before:
            write(rows, old)
        forget(market)


def forget(market: Market) -> None:
    """Drop what a market keeps that it has made of its rows: they have changed."""
    for name in MADE:
        market.__dict__.pop(name, None)
    for book in market.books.values():
        book.__dict__.pop("levels", None)


def write(rows: Rows, values: Rows) -> None:
    """Write into an array that is read-only for everybody else."""
    owners = [rows]
    while isinstance(owners[-1].base, np.ndarray):
        owners.append(owners[-1].base)
    locked = [one for one in reversed(owners) if not one.flags.writeable]
    for one in locked:
        one.setflags(write=True)
    try:
        rows[...] = values
    finally:
        for one in reversed(locked):
            one.setflags(write=False)


def bar_changes(market: Market, cut: int, rng: np.random.Generator) -> Iterator[tuple[Rows, Rows]]:
    """Yield each bar array with its future replaced."""
    for (k, _), rows in market.bars.items():
        end = int(np.searchsorted(rows["close_ts"], cut, side="right"))
        if end < len(rows):
            yield (
                rows,
                np.concatenate((rows[:end], wander(rows, end, begun(market, k, rows, cut) == end, rng))),
            )


def wander(rows: Rows, end: int, is_begun: bool, rng: np.random.Generator) -> Rows:
    """Return bars of the times of `rows[end:]` on a random walk a little wilder than the market."""
    future = rows[end:]
    made = np.zeros(len(future), BAR)
    made["open_ts"], made["close_ts"] = future["open_ts"], future["close_ts"]
    moves = np.diff(np.log(rows["close"])) if len(rows) > 1 else np.zeros(1)
    width = float(np.clip(2.0 * moves.std(), 1e-3, 0.2))
    start = float(future["open"][0]) if is_begun or end == 0 else float(rows["close"][end - 1])
    path = start * np.exp(np.clip(np.cumsum(rng.normal(0.0, width, len(future))), -WIDEST, WIDEST))
    made["open"] = np.concatenate(([start], path[:-1]))
    made["close"] = path
    reach = np.abs(rng.normal(0.0, width / 2.0, (2, len(future))))
    made["high"] = np.maximum(made["open"], path) * (1.0 + reach[0])
    made["low"] = np.minimum(made["open"], path) * (1.0 - np.minimum(reach[1], 0.5))
    made["volume"] = rng.permutation(future["volume"])
    if is_begun:
        made["volume"][0] = future["volume"][0]  # the cap and the impact of a fill at this open take it
    return made


def stream_changes(market: Market, until: int, rng: np.random.Generator) -> Iterator[tuple[Rows, Rows]]:
    """Yield each other stream with its future values in another order, times unchanged."""
    streams: list[tuple[Rows, str, tuple[str, ...]]]
    streams = [(rows, "ts", ("value",)) for _, rows in market.features.values()]
    streams += [(rows, "ts", ("rate",)) for rows in market.funding.values()]
    streams += [(rows, "ts", ("price",)) for rows in market.mark.values()]
    streams.append((market.signals, "arrival_ts", PAYLOAD))
    for rows, time, names in streams:
        end = int(np.searchsorted(rows[time], until, side="right"))
        if end == len(rows):
            continue
        made = rows.copy()
        order = end + rng.permutation(len(rows) - end)
        for name in names:
            made[name][end:] = rows[name][order]
        if len(names) == 1:
            made[names[0]][end:] *= rng.uniform(0.9, 1.1, len(rows) - end)
        yield rows, made


__all__ = ["last_happened", "last_known", "moments", "next_funding", "scrambled", "truncated"]
