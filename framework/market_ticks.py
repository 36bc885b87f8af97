"""Order books as a market keeps them: net changes of levels, grouped into messages; and where ticks lie."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from framework.market import Market

Rows = NDArray[Any]
Levels = NDArray[np.int32]
Lots = NDArray[np.int64]

STREAMS = ("trades", "quotes", "liquidations")  # rows with a local_ts; books are messages
WIDE = 4  # keys a row: a smaller range is marked, not sorted, to find the levels


@dataclass(frozen=True, eq=False)
class Book:
    """One instrument's book as messages of changed levels; never a snapshot, never crossed, no row in vain.

    Attributes
    ----------
    messages : MESSAGE array, n + 1 rows
        In file order; the last row is a sentinel (ts = local_ts = NEVER, first = number of rows).
    keys : int32 array
        2 x tick, + 1 for an ask.
    lots : int64 array
        New absolute size of the level; 0 = gone, -1 (`records.UNKNOWN`) = it left the visible depth.
    source : str
        Kind of the file it was built from.
    seeded : bool
        The first message was made by a cut: it states what was known there and is no message of the feed.
    """

    messages: Rows
    keys: Levels
    lots: Lots
    source: str = "incremental_book_L2"
    seeded: bool = False

    def __len__(self) -> int:
        return len(self.messages) - 1

    @property
    def nbytes(self) -> int:
        """Bytes of memory the rows take."""
        return int(self.messages.nbytes + self.keys.nbytes + self.lots.nbytes)

    @cached_property
    def levels(self) -> Levels:
        """Every key that occurs, ascending: a dense place for each level."""
        if not len(self.keys):
            return self.keys[:0]
        low, high = int(self.keys.min()), int(self.keys.max())
        if high - low >= WIDE * len(self.keys):
            return np.unique(self.keys)
        seen = np.zeros(high - low + 1, dtype=bool)
        seen[self.keys - low] = True
        return (np.flatnonzero(seen) + low).astype(np.int32)

    def places(self, keys: NDArray[np.int32]) -> NDArray[np.int64]:
        """Return the places of keys among `levels`; many are looked up in a table where that is small."""
        levels = self.levels
        if not len(levels) or len(keys) < (width := int(levels[-1]) - int(levels[0]) + 1):
            return np.searchsorted(levels, keys)
        table = np.zeros(width, dtype=np.int64)
        table[levels - levels[0]] = np.arange(len(levels))
        found: NDArray[np.int64] = table[keys - levels[0]]
        return found

    def apply(self, state: Lots, first: int, end: int) -> NDArray[np.int64]:
        """Write rows [first, end) into `state`, the lots of each of `levels`; return the places written."""
        places = self.places(self.keys[first:end])
        state[places] = self.lots[first:end]  # of a place that is written twice the last value stays
        return places

    def state_before(self, message: int) -> tuple[Levels, Lots]:
        """Return the keys (ascending) and lots of all levels touched before a message, 0 and -1 too."""
        state = np.zeros(len(self.levels), dtype=np.int64)
        self.apply(state, int(self.messages["first"][0]), int(self.messages["first"][message]))
        return self.levels, state


def local_times(market: Market, k: int) -> list[NDArray[np.int64]]:
    """Return the arrival times of each tick stream of an instrument that has a row, of those in memory."""
    found = [rows["local_ts"] for s in STREAMS if (rows := getattr(market, s).get(k)) is not None]
    if k in market.books:
        found.append(market.books[k].messages["local_ts"][:-1])
    return [ts for ts in found if len(ts)]


def has_ticks(market: Market, k: int) -> bool:
    """True when orders on an instrument meet trades or a book, not bars."""
    if k in market.trades or k in market.books:
        return True
    return any(tape.instrument == k and tape.stream in ("trades", "books") for tape in market.tapes)


def arrivals(market: Market, k: int) -> list[tuple[int, int]]:
    """Return the first and last arrival of each tick stream of an instrument that has a row."""
    taped = {tape.stream for tape in market.tapes if tape.instrument == k}
    found = [(t.first_local, t.last_local) for t in market.tapes if t.instrument == k]
    for stream in (*STREAMS, "books"):
        rows = getattr(market, stream).get(k)
        if stream in taped or rows is None or not len(rows):
            continue
        ts = (rows.messages if stream == "books" else rows)["local_ts"][: len(rows)]
        found.append((int(ts[0]), int(ts[-1])))
    return found


def tick_range(market: Market, k: int) -> tuple[int, int] | None:
    """Return the first arrival and the ns after the last one of an instrument's ticks."""
    spans = arrivals(market, k)
    return (min(a for a, _ in spans), max(b for _, b in spans) + 1) if spans else None


def bar_ranges(bars: Mapping[tuple[int, int], Rows], but: set[int]) -> list[tuple[int, int]]:
    """Return first open and last close of each bar stream of instruments not in `but`."""
    return [
        (int(rows["open_ts"][0]), int(rows["close_ts"][-1]))
        for (k, _), rows in bars.items()
        if len(rows) and k not in but
    ]


def traded_range(market: Market) -> tuple[int, int]:
    """Return start and stop of what orders can meet; of bars alone theirs; (0, 0) for an empty market.

    Bars of an instrument with ticks are shown and never matched, so a longer history of them is no time in
    which anything could be traded.
    """
    ticking = {k for k in range(len(market.instruments)) if has_ticks(market, k)}
    spans = [span for k in ticking if (span := tick_range(market, k)) is not None]
    spans += bar_ranges(market.bars, ticking)
    spans = spans or bar_ranges(market.bars, set())
    return min((a for a, _ in spans), default=0), max((b for _, b in spans), default=0)
