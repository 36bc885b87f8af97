"""After the run: the touch of a recorded book and that of own resting orders, change by change.

What the books showed is a matter of the market alone, so it is walked once a book, whichever clock is asked.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from framework.arena import arena, register
from framework.jit import entry, kernel
from framework.market_source import Changes, Tape
from framework.market_ticks import Book
from framework.records import MESSAGE

EMPTY = -(2**31)  # tick of an empty side
TOUCH = np.dtype([("ts", "i8"), ("local_ts", "i8"), ("bid", "i4"), ("ask", "i4")])  # best ticks from then on
QUOTED = np.dtype([("ts", "i8"), ("bid", "f8"), ("ask", "f8")])  # own best prices from then on; NaN = none
RESTING = np.dtype([("begin", "i8"), ("end", "i8"), ("side", "i8"), ("price", "f8")])  # works in [begin, end)
BLOCK, PAGE = 64, 4096  # ticks whose levels are counted together
WIDEST = 1 << 28  # ticks; a book that spans more is walked by the rank of its ticks

KEY, LOTS, FLAG, COUNT = np.dtype("i4"), np.dtype("i8"), np.dtype("i1"), np.dtype("i4")


class Walk(NamedTuple):
    """A book, which of its levels are there, and where the changes of the touch are written.

    Places stand for ticks; the sides lie one after the other, bids first.
    """

    messages: NDArray[Any]
    places: NDArray[np.int32]  # 2 x place of the tick, + 1 for an ask
    lots: NDArray[np.int64]
    there: NDArray[np.int8]
    blocks: NDArray[np.int32]
    pages: NDArray[np.int32]
    touch: NDArray[Any]
    best: NDArray[np.int64]  # best bid and ask so far, and those of the last row written; places


walk_at = arena(Walk, (MESSAGE, KEY, LOTS, FLAG, COUNT, COUNT, TOUCH, LOTS))


@kernel(store=False)
def set_level(w, size, side, place, is_there):
    """Note that a level came or went."""
    cell = side * size + place
    if w.there[cell] == is_there:
        return
    w.there[cell] = is_there
    by = 2 * is_there - 1
    block = cell // BLOCK
    page = cell // PAGE
    w.blocks[block] = w.blocks[block] + by
    w.pages[page] = w.pages[page] + by


@kernel(store=False)
def next_level(w, size, side, place, step):
    """First place with a level from `place` on in direction `step`; -1 when that side is empty there."""
    base = side * size
    at = place
    while 0 <= at < size:
        cell = base + at
        if w.pages[cell // PAGE] == 0:
            at = at // PAGE * PAGE + (PAGE if step > 0 else -1)
        elif w.blocks[cell // BLOCK] == 0:
            at = at // BLOCK * BLOCK + (BLOCK if step > 0 else -1)
        elif w.there[cell] == 0:
            at += step
        else:
            return at
    return -1


@entry("int64(int64, int64, int64, int64)")
def walk_touch(address, n, base, size):
    """Write every change of the touch in `n` messages of a book; return how many there are.

    `base` = number of the first message's first row; `size` = places of a side. Places stand for ticks.
    """
    w = walk_at(address)
    bid = w.best[0]
    ask = w.best[1]
    written = 0
    for m in range(n):
        message = w.messages[m]
        for i in range(message["first"] - base, w.messages[m + 1]["first"] - base):
            place = w.places[i] >> 1
            side = w.places[i] & 1
            is_there = 1 if w.lots[i] > 0 else 0
            set_level(w, size, side, place, is_there)
            if is_there == 1 and side == 0 and place > bid:
                bid = place
            if is_there == 1 and side == 1 and (place < ask or ask < 0):
                ask = place
        if bid >= 0:
            bid = next_level(w, size, 0, bid, -1)
        if ask >= 0:
            ask = next_level(w, size, 1, ask, 1)
        if w.best[2] != bid or w.best[3] != ask:
            row = w.touch[written]
            row["ts"] = message["ts"]
            row["local_ts"] = message["local_ts"]
            row["bid"] = bid
            row["ask"] = ask
            w.best[2] = bid
            w.best[3] = ask
            written += 1
    w.best[0] = bid
    w.best[1] = ask
    return written


class Places:
    """The ticks of a book by place: dense, or where they span too much by rank.

    A wide book costs little: of memory that is zero only what is written is really taken.
    """

    def __init__(self, low: int, high: int, keys: NDArray[np.int32]) -> None:
        self.low, self.names = low >> 1, np.zeros(0, np.int64)
        self.count = (high >> 1) - self.low + 1
        if self.count > WIDEST:
            self.names = np.unique(keys >> 1).astype(np.int64)
            self.count = len(self.names)

    def of(self, keys: NDArray[np.int32]) -> NDArray[np.int32]:
        """Return the places of keys, as in `Walk`."""
        if not len(self.names):
            return keys - np.int32(2 * self.low)
        return (2 * np.searchsorted(self.names, keys >> 1) + (keys & 1)).astype(np.int32)

    def ticks(self, places: NDArray[Any]) -> NDArray[np.int64]:
        """Return the ticks of places."""
        return self.names[np.maximum(places, 0)] if len(self.names) else places + np.int64(self.low)


def walked(pieces: Iterable[Changes], places: Places) -> NDArray[Any]:
    """Return the TOUCH rows of a book that comes in pieces."""
    size = -(-places.count // PAGE) * PAGE
    there, best = np.zeros(2 * size, np.int8), np.array([-1, -1, -2, -2])
    blocks, pages = np.zeros(2 * size // BLOCK, np.int32), np.zeros(2 * size // PAGE, np.int32)
    found = [np.zeros(0, TOUCH)]
    for messages, keys, lots in pieces:
        base, end = int(messages["first"][0]), len(keys)
        heads = np.append(messages, np.array([(0, 0, base + end)], MESSAGE))
        made = Walk(
            heads, np.ascontiguousarray(places.of(keys)), np.ascontiguousarray(lots), there, blocks, pages,
            np.empty(len(messages), TOUCH), best,
        )  # fmt: skip
        addresses = np.array([a.ctypes.data for a in made], dtype=np.int64)
        address, held = register(addresses.ctypes.data, made)
        found.append(made.touch[: walk_touch(address, len(messages), base, size)].copy())
        del held
    rows = np.concatenate(found)
    for side in ("bid", "ask"):
        place = rows[side]
        rows[side] = np.where(place >= 0, places.ticks(place), EMPTY)
    return rows


KNOWN: weakref.WeakKeyDictionary[Book | Tape, NDArray[Any]] = weakref.WeakKeyDictionary()


def touches_of(book: Book) -> NDArray[Any]:
    """Return the TOUCH rows of a book in memory."""
    first = book.messages["first"]
    low, high = int(first[0]), int(first[-1])
    if not len(book) or low == high:
        return np.zeros(0, TOUCH)
    keys = book.keys[low:high]
    part = Changes(book.messages[:-1], keys, book.lots[low:high])
    return walked([part], Places(int(keys.min()), int(keys.max()), keys))


def tape_touches(tape: Tape) -> NDArray[Any]:
    """Return the touch of a streamed book as `touches` does: a pass of its own, once."""
    found = KNOWN.get(tape)
    if found is None:
        levels = tape.levels
        if len(levels):
            found = walked(tape.read(), Places(int(levels[0]), int(levels[-1]), levels))  # type: ignore[arg-type]
        else:
            found = np.zeros(0, TOUCH)
        found.flags.writeable = False
        KNOWN[tape] = found
    return found


def touches(book: Book) -> NDArray[Any]:
    """Return a book's touch as TOUCH rows, one per change, after the whole message; walked once a book.

    The feed alone: what an own taker took in a simulation is not missing from it.
    """
    found = KNOWN.get(book)
    if found is None:
        found = KNOWN[book] = touches_of(book)
        found.flags.writeable = False
    return found


class Own(NamedTuple):
    """Resting orders, their beginnings and ends in order of time, and where their touch is written."""

    orders: NDArray[Any]
    events: NDArray[np.int64]  # row, or -1 - row for its end
    live: NDArray[np.int64]
    quoted: NDArray[Any]


own_at = arena(Own, (RESTING, LOTS, LOTS, QUOTED))


@kernel(store=False)
def best_of(o, count, side):
    """Best price of one side's live orders, NaN without one."""
    best = np.nan
    for j in range(count):
        order = o.orders[o.live[j]]
        if order["side"] == side and not side * order["price"] <= side * best:
            best = order["price"]
    return best


@entry("int64(int64, int64)")
def walk_own(address, n):
    """Write the own touch after every moment of which one of `n` events is; return how many moments."""
    o = own_at(address)
    count = 0
    written = 0
    for e in range(n):
        row = o.events[e]
        if row >= 0:
            ts = o.orders[row]["begin"]
            o.live[count] = row
            count += 1
        else:
            ts = o.orders[-1 - row]["end"]
            j = 0
            while o.live[j] != -1 - row:
                j += 1
            count -= 1
            o.live[j] = o.live[count]
        if written == 0 or o.quoted[written - 1]["ts"] != ts:
            written += 1
        quoted = o.quoted[written - 1]
        quoted["ts"] = ts
        quoted["bid"] = best_of(o, count, 1)
        quoted["ask"] = best_of(o, count, -1)
    return written


def own_touch(orders: NDArray[Any]) -> NDArray[Any]:
    """Return the best own bid and ask over time as QUOTED rows, from RESTING rows."""
    kept = np.ascontiguousarray(orders[orders["begin"] < orders["end"]])
    n = len(kept)
    times = np.concatenate((kept["begin"], kept["end"]))
    rows = np.arange(n)
    events = np.concatenate((rows, -1 - rows))[np.argsort(times, kind="stable")]
    made = Own(kept, np.ascontiguousarray(events), np.zeros(n + 1, np.int64), np.zeros(2 * n + 1, QUOTED))
    addresses = np.array([a.ctypes.data for a in made], dtype=np.int64)
    address, held = register(addresses.ctypes.data, made)
    found = made.quoted[: walk_own(address, 2 * n)]
    del held
    return found


__all__ = ["EMPTY", "QUOTED", "RESTING", "TOUCH", "own_touch", "tape_touches", "touches"]
