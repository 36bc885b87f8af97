"""Markets of ticks from plain lists, for tests whose numbers are worked out by hand; and random valid feeds.

A message is (ts, local_ts, [(side, tick, lots), ...]) with side "bid" or "ask" and lots the level's new size
(0 = gone, -1 = out of view); a trade is (ts, local_ts, tick, lots, side) with side of the taker +1, -1 or 0,
and its raw_ts as a sixth value where it differs from ts; a quote is (ts, local_ts, bid, bid_size, ask,
ask_size). Times are whole ns; `ms(3)` is 3 ms after T0.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from framework.instruments import Instrument
from framework.market import Market
from framework.market_ticks import Book
from framework.records import MESSAGE, NEVER, QUOTE, TRADE
from framework.times import MILLISECOND, parse_time

T0 = parse_time("2024-01-01")
ASK = {"bid": 0, "ask": 1}


def ms(count: float) -> int:
    """Return the time so many milliseconds after T0."""
    return T0 + round(count * MILLISECOND)


def coin(id: str = "made:AAA", **more: Any) -> Instrument:
    """Linear instrument with tick 1 and lot 1 in USD: ticks are prices and lots are sizes."""
    rules = {"kind": "linear", "tick_size": 1.0, "lot_size": 1.0, "settle": "USD"}
    return Instrument(id, **{**rules, **more})


def trade_rows(rows: Iterable[Sequence[int]]) -> np.ndarray:
    """TRADE rows of (ts, local_ts, tick, lots, side[, raw_ts])."""
    cells = [(ts, seen, raw[0] if raw else ts, lots, tick, side) for ts, seen, tick, lots, side, *raw in rows]
    return np.array(cells, dtype=TRADE)


def quote_rows(rows: Iterable[Sequence[float]]) -> np.ndarray:
    """QUOTE rows of (ts, local_ts, bid, bid_size, ask, ask_size)."""
    return np.array([tuple(row) for row in rows], dtype=QUOTE)


def book_of(messages: Iterable[tuple[int, int, Sequence[tuple[str, int, int]]]], check: bool = True) -> Book:
    """Book of messages; `check` refuses what loading could not have made: crossed, or rows in vain."""
    heads, keys, lots = [], [], []
    known: dict[int, int] = {}
    for ts, seen, rows in messages:
        heads.append((ts, seen, len(keys)))
        for side, tick, size in rows:
            key = 2 * tick + ASK[side]
            keys.append(key)
            lots.append(size)
            if check:
                assert known.get(key, 0) != size, f"{side} {tick} is {size} already"
                known[key] = size
        if check:
            assert_not_crossed(known)
    heads.append((NEVER, NEVER, len(keys)))
    return Book(np.array(heads, dtype=MESSAGE), np.array(keys, np.int32), np.array(lots, np.int64))


def assert_not_crossed(known: dict[int, int]) -> None:
    """Fail where the best bid is not below the best ask."""
    bids = [key // 2 for key, size in known.items() if size > 0 and key % 2 == 0]
    asks = [key // 2 for key, size in known.items() if size > 0 and key % 2 == 1]
    assert not bids or not asks or max(bids) < min(asks), f"crossed: {max(bids)} and {min(asks)}"


def tick_market(
    messages: Iterable[Any] | None = None,
    trades: Iterable[Any] | None = None,
    *,
    quotes: Iterable[Any] | None = None,
    liquidations: Iterable[Any] | None = None,
    what: Instrument | None = None,
    check: bool = True,
    name: str = "ticks",
) -> Market:
    """Market of one instrument's ticks; a stream that is None is not there."""
    return Market(
        (what or coin(),),
        books={} if messages is None else {0: book_of(messages, check)},
        trades={} if trades is None else {0: trade_rows(trades)},
        quotes={} if quotes is None else {0: quote_rows(quotes)},
        liquidations={} if liquidations is None else {0: trade_rows(liquidations)},
        name=name,
    )


def random_feed(
    rng: np.random.Generator,
    count: int = 200,
    mid: int = 1000,
    levels: int = 8,
    start: int = T0,
    unseen: float = 0.0,
    restless: float = 1.0,
) -> tuple[list[Any], list[Any]]:
    """Return (messages, trades) of a feed that loading could have made: never crossed, no no-op rows.

    The first message is a full book; times repeat now and then, ts never lies after local_ts, and the two
    clocks are apart by up to 5 ms. `unseen` is the chance of a message that one level leaves the view (-1),
    `restless` that of a message that may move the price.
    """
    book: dict[int, int] = {}
    messages, trades = [], []
    ts = seen = start
    for i in range(count):
        ts += int(rng.integers(0, 4)) * MILLISECOND // 2
        seen = max(seen, ts + int(rng.integers(0, 5 * MILLISECOND)))
        if i and rng.random() < 0.3:
            side = int(rng.integers(-1, 2))
            trades.append((ts, seen, mid + int(rng.integers(-2, 3)), int(rng.integers(1, 9)), side))
            continue
        if i and (restless >= 1.0 or rng.random() < restless):
            mid += int(rng.integers(-1, 2))
        changed = random_changes(rng, book, mid, levels, whole=i == 0)
        if unseen and rng.random() < unseen:
            there = [k for k, n in book.items() if n > 0 and k not in changed]
            changed.update(dict.fromkeys(there[:1], -1))
        book.update(changed)
        messages.append((ts, seen, [(("bid", "ask")[k % 2], k // 2, n) for k, n in changed.items()]))
    return messages, trades


def random_changes(
    rng: np.random.Generator, book: dict[int, int], mid: int, levels: int, whole: bool
) -> dict[int, int]:
    """Return new sizes by key around `mid`; levels on the wrong side of it are removed."""
    wanted = {k: 0 for k in book if (k // 2 >= mid if k % 2 == 0 else k // 2 <= mid)}
    for k in [2 * (mid - 1 - i) for i in range(levels)] + [2 * (mid + 1 + i) + 1 for i in range(levels)]:
        if whole or rng.random() < 0.2:
            wanted[k] = int(rng.integers(1 if whole else 0, 30))
    places = rng.permutation(len(wanted)).tolist()
    items = list(wanted.items())
    return {items[p][0]: items[p][1] for p in places if book.get(items[p][0], 0) != items[p][1]}
