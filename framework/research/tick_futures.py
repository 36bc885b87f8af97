"""Other futures of ticks: books that go on mirrored, stretched and shifted, and trades to match.

Arrival and exchange times stay as they are, and so does the number of rows an array has room for. A book is
valid after a change as before: one rule for all ticks that keeps their order (or turns it, with the sides)
never crosses a book, and sizes that are changed level by level in one way leave no row in vain.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from framework.market_ticks import STREAMS, Book, Levels, Lots, local_times
from framework.records import NEVER

if TYPE_CHECKING:
    from framework.market import Market

Rows = NDArray[Any]
Longs = NDArray[np.int64]
AHEAD = 3_000  # rows of a stream of a scrambled future that are replayed
MOST = 2**29  # ticks; a book's key must fit into 32 bits
SALT = 1 << 10  # different additions to the sizes of levels


@dataclass(frozen=True)
class Turn:
    """One rule for the ticks and the sizes of a future: tick' = centre + slope x (tick - centre) + shift."""

    centre: int
    slope: int  # negative turns the book around: bids become asks
    shift: int
    more: Longs  # lots a level has more than before, by its tick

    def ticks(self, ticks: NDArray[Any]) -> Longs:
        """Return where ticks come to lie, 64 bits wide."""
        return self.centre + self.slope * (ticks.astype(np.int64) - self.centre) + self.shift

    def keys(self, keys: Levels) -> tuple[Longs, NDArray[np.bool_]]:
        """Return the keys of a book, and which of them are prices still."""
        ticks = self.ticks(keys >> 1)
        is_ask = (keys & 1) if self.slope > 0 else 1 - (keys & 1)
        return 2 * ticks + is_ask, (ticks > 0) & (ticks < MOST)

    def lots(self, keys: Levels, lots: Lots) -> Lots:
        """Return the sizes of levels; what is gone stays gone, what is unknown unknown."""
        return np.where(lots > 0, lots + self.more[keys % SALT], lots)


def arrivals(market: Market) -> Longs:
    """Return the arrival times of all tick rows from where every instrument with ticks has one, ascending."""
    found = [
        ts for k in range(len(market.instruments)) if market.has_ticks(k) for ts in local_times(market, k)
    ]
    if not found:
        return np.zeros(0, np.int64)
    every = np.unique(np.concatenate(found))
    return every[every >= max(int(ts[0]) for ts in found)]


def next_arrival(market: Market, cut: int) -> int:
    """Return when the first tick after `cut` arrives; NEVER without one."""
    return min((int(rows["local_ts"][0]) for rows in unseen(market, cut)), default=NEVER)


def next_at_exchange(market: Market, cut: int) -> int:
    """Return the exchange time of the first tick that arrives after `cut`; NEVER without one.

    Before it nothing at the exchange depends on what the strategy has not seen.
    """
    return min((int(rows["ts"][0]) for rows in unseen(market, cut)), default=NEVER)


def unseen(market: Market, cut: int) -> Iterator[Rows]:
    """Yield the rows (of books, messages) of each tick stream that arrive after `cut`, unless none does."""
    streams = [rows for name in STREAMS for rows in getattr(market, name).values()]
    streams += [book.messages[:-1] for book in market.books.values()]
    for rows in streams:
        part = rows[np.searchsorted(rows["local_ts"], cut, side="right") :]
        if len(part):
            yield part


def replayed_until(market: Market, cut: int) -> int:
    """Return where the replay of a scrambled future may end: some thousand rows on; NEVER = at its end."""
    ends = [int(rows["local_ts"][AHEAD]) for rows in unseen(market, cut) if len(rows) > AHEAD]
    return min(ends, default=NEVER)


def tick_changes(market: Market, cut: int, rng: np.random.Generator) -> Iterator[tuple[Rows, Rows]]:
    """Yield each array of tick streams with what arrives after `cut` replaced."""
    for k, what in enumerate(market.instruments):
        if not market.has_ticks(k):
            continue
        turn = drawn(market, k, cut, rng)
        if k in market.books:
            yield from book_changes(market.books[k], cut, turn)
        for name in ("trades", "liquidations"):
            rows = getattr(market, name).get(k)
            if rows is not None:
                yield rows, turned_trades(rows, cut, turn, rng)
        if k in market.quotes:
            yield market.quotes[k], turned_quotes(market.quotes[k], cut, turn, float(what.tick_size or 1.0))


def drawn(market: Market, k: int, cut: int, rng: np.random.Generator) -> Turn:
    """Draw the rule of one instrument's future."""
    trades, book = market.trades.get(k), market.books.get(k)
    ticks, sizes = [1], [1]
    if trades is not None and len(trades):
        seen = max(int(np.searchsorted(trades["local_ts"], cut, side="right")) - 1, 0)
        ticks, sizes = [int(trades["tick"][seen])], [int(np.median(trades["lots"]))]
    if book is not None:
        keys, lots = book.state_before(int(np.searchsorted(book.messages["local_ts"], cut, side="right")))
        shown = [keys[(lots > 0) & (keys & 1 == ask)] >> 1 for ask in (0, 1)]
        touch = [int(edge) for side, edge in zip(shown, (shown[0].max(initial=0), shown[1].min(initial=MOST)),
                                                 strict=True) if len(side)]  # fmt: skip
        ticks = touch or ticks
        sizes = [int(np.median(lots[lots > 0]))] if (lots > 0).any() else sizes
    slope = int(rng.choice([-1, -1, -2, 1, 2]))
    shift = int(rng.integers(-3, 4)) + (ticks[-1] - ticks[0] if slope < 0 else 0)
    if slope == 1 and shift == 0:
        shift = 1
    more = rng.integers(0, 2 * max(sizes[0], 1) + 1, SALT)
    return Turn(ticks[0], slope, shift, more)


def book_changes(book: Book, cut: int, turn: Turn) -> Iterator[tuple[Rows, Rows]]:
    """Yield a book's arrays with the messages after `cut` replaced: the first states the other book whole.

    What no longer fits into the arrays is left out from the end; where not even that first message fits, the
    book stands still.
    """
    at = int(np.searchsorted(book.messages["local_ts"], cut, side="right"))
    if at >= len(book):
        return
    first = book.messages["first"]
    low, high = int(first[at]), int(first[-1])
    begins, sizes = other_book(book, at, turn)
    after = slice(int(first[at + 1]), high)
    keys, kept = turn.keys(book.keys[after])
    lots = turn.lots(book.keys[after], book.lots[after])[kept]
    ends = np.concatenate(([0], np.cumsum(kept)))[first[at + 1 :] - first[at + 1]]
    room = high - low - len(begins)
    if room < 0:
        begins, sizes, room, ends = begins[:0], sizes[:0], 0, np.zeros_like(ends)
    ends = np.minimum(ends, ends[np.searchsorted(ends, room, side="right") - 1])
    count = low + len(begins) + int(ends[-1])
    messages, new_keys, new_lots = book.messages.copy(), book.keys.copy(), book.lots.copy()
    messages["first"][at + 1 :] = low + len(begins) + ends
    new_keys[low:count] = np.concatenate((begins, keys[kept][: ends[-1]]))
    new_lots[low:count] = np.concatenate((sizes, lots[: ends[-1]]))
    yield book.messages, messages
    yield book.keys, new_keys
    yield book.lots, new_lots


def other_book(book: Book, at: int, turn: Turn) -> tuple[Longs, Lots]:
    """Return the net changes from the book before message `at` to the other book after it, keys ascending."""
    known, before = book.state_before(at)
    after = before.copy()
    book.apply(after, int(book.messages["first"][at]), int(book.messages["first"][at + 1]))
    keys, kept = turn.keys(known)
    kept &= after != 0
    every = np.union1d(known, keys[kept])
    old, new = np.zeros((2, len(every)), np.int64)
    old[np.searchsorted(every, known)] = before
    new[np.searchsorted(every, keys[kept])] = turn.lots(known, after)[kept]
    changed = old != new
    return every[changed], new[changed]


def turned_trades(rows: Rows, cut: int, turn: Turn, rng: np.random.Generator) -> Rows:
    """Return trades whose future follows the other book, with other sizes and some other sides."""
    made, at = rows.copy(), int(np.searchsorted(rows["local_ts"], cut, side="right"))
    part = made[at:]
    part["tick"] = np.clip(turn.ticks(part["tick"]), 1, MOST)
    part["lots"] = np.maximum(rng.permutation(part["lots"]) + turn.more[rng.integers(0, SALT, len(part))], 1)
    part["side"] *= np.where(rng.random(len(part)) < 0.2, -1, 1) * np.sign(turn.slope)
    return made


def turned_quotes(rows: Rows, cut: int, turn: Turn, tick: float) -> Rows:
    """Return quotes whose future follows the other book; a price below one tick is an empty side."""
    made, at = rows.copy(), int(np.searchsorted(rows["local_ts"], cut, side="right"))
    part, old = made[at:], rows[at:]
    sides = ("bid", "ask") if turn.slope > 0 else ("ask", "bid")
    for name, other in zip(("bid", "ask"), sides, strict=True):
        price = old[other] + tick * ((turn.slope - 1) * (old[other] / tick - turn.centre) + turn.shift)
        part[name] = np.where(price >= tick, price, np.nan)
        part[f"{name}_size"] = np.where(price >= tick, old[f"{other}_size"] * 1.5, np.nan)
    return made


__all__ = ["arrivals", "next_arrival", "next_at_exchange", "replayed_until", "tick_changes"]
