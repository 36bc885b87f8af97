"""What a run with tick streams needs beside `tables`: the books and cursors of each instrument."""

from __future__ import annotations

from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from framework.arena import register
from framework.engine.state import Sim
from framework.engine.ticks import BOOK, FAR, NO_TICK, PLACE, Ticks
from framework.instruments import Instrument, grid_inverse
from framework.market import Market
from framework.market_parts import Joined
from framework.market_ticks import Book
from framework.records import BAR, MESSAGE, NEVER, NONE, TRADE
from framework.times import MINUTE, SECOND

Rows = NDArray[Any]
CELLS = 1 << 15  # of a book's window: 16,384 ticks of both sides
BLOCK = 11  # keys are counted in blocks of 2^11

LEVELS: WeakKeyDictionary[Book, int] = WeakKeyDictionary()


def most_levels(book: Book) -> int:
    """Return an upper bound of the different levels of a book, from counts of rows by blocks of keys."""
    if "levels" in book.__dict__:
        return len(book.levels)
    if book not in LEVELS:
        total = 0
        counts: Rows = np.zeros(0, np.int64)
        for first in range(0, len(book.keys), 1 << 20):
            part = np.bincount(book.keys[first : first + (1 << 20)] >> BLOCK)
            if len(part) > len(counts):
                part[: len(counts)] += counts
                counts = part
            else:
                counts[: len(part)] += part
        total = int(np.minimum(counts, 1 << BLOCK).sum())
        LEVELS[book] = total
    return LEVELS[book]


def first_offset(book: Book, cells: int) -> int:
    """Return the key of the window's first cell: the middle of the first message in its centre."""
    rows = slice(int(book.messages["first"][0]), int(book.messages["first"][min(1, len(book))]))
    keys = book.keys[rows][book.lots[rows] > 0]
    bids, asks = keys[keys & 1 == 0] >> 1, keys[keys & 1 == 1] >> 1
    touch = ([int(bids.max())] if len(bids) else []) + ([int(asks.min())] if len(asks) else [])
    middle = sum(touch) // len(touch) if touch else 0
    return 2 * (middle - cells // 4)


def place_of(what: Instrument, book: Book | None, trades: Rows) -> Rows:
    """Return the PLACE row of an instrument."""
    place = np.zeros(1, PLACE)
    row = place[0]
    row["has_book"] = int(book is not None)
    row["n_messages"] = len(book) if book is not None else 0
    row["n_trades"] = len(trades)
    for name, step in (("tick", what.tick_size), ("lot", what.lot_size)):
        row[name] = step or 1.0
        row[f"{name}_inv"] = grid_inverse(float(row[name]))
    return place


def ticks_of(market: Market, k: int, cells: int = CELLS) -> Ticks:
    """Return the streams of an instrument with books that know nothing yet."""
    book = market.books.get(k)
    trades = market.trades.get(k)
    if trades is None:
        trades = np.zeros(0, TRADE)
    if book is None:
        messages = np.array([(NEVER, NEVER, 0)], MESSAGE)
        keys, lots = np.zeros(1, np.int32), np.zeros(1, np.int64)
        cells, far = 2, 2
    else:
        messages, keys, lots = book.messages, book.keys, book.lots
        far = 1 << max(2 * most_levels(book), 2).bit_length()
    books = np.zeros(2, BOOK)
    books["offset"] = first_offset(book, cells) if book is not None else 0
    books["cells"], books["far_size"] = cells, far
    books["bid_hint"], books["ask_hint"] = -1, cells // 2
    books["far_bid"] = books["bid"] = -NO_TICK
    books["far_ask"] = books["ask"] = NO_TICK
    table = np.zeros(2 * far, FAR)
    table["key"] = -1
    return Ticks(
        np.ascontiguousarray(messages), np.ascontiguousarray(keys), np.ascontiguousarray(lots),
        np.ascontiguousarray(trades), place_of(market.instruments[k], book, trades), books,
        np.zeros(2 * cells, np.int64), table,
    )  # fmt: skip


def tick_range(market: Market) -> tuple[int, int, int]:
    """Return the first arrival, the last exchange time and the last arrival of all tick streams."""
    first, end, stop = NEVER, 0, 0
    taped = [tape for tape in market.tapes if tape.stream in ("books", "trades")]
    for tape in taped:
        first = min(first, tape.first_local)
        end, stop = max(end, tape.last_ts), max(stop, tape.last_local)
    known = {(tape.stream, tape.instrument) for tape in taped}
    books = [b.messages[:-1] for k, b in market.books.items() if ("books", k) not in known]
    for rows in (*books, *(rows for k, rows in market.trades.items() if ("trades", k) not in known)):
        if len(rows):
            first = min(first, int(rows["local_ts"][0]))
            end, stop = max(end, int(rows["ts"][-1])), max(stop, int(rows["local_ts"][-1]))
    return first, end, stop


def tick_instruments(market: Market) -> list[int]:
    """Return the instruments with trades or a book."""
    return [k for k in range(len(market.instruments)) if market.has_ticks(k)]


def tick_cursors(market: Market, joined: Joined, cursor: Rows, shows_bars: bool) -> tuple[Rows, Rows]:
    """Return bars and `shown` of a run: a blank row per instrument of ticks, then the bars it is shown."""
    chosen = tick_instruments(market)
    blank = np.zeros(len(chosen), BAR)
    blank["open_ts"] = blank["close_ts"] = NONE
    bars = joined.bars
    parts, times = [np.asarray(bars), blank], [np.zeros(0, np.int64)]
    cursor["shown"] = NONE
    at, seen = len(bars) + len(chosen), 0
    for j, k in enumerate(chosen):
        row, interval = cursor[k], joined.intervals[k] or MINUTE  # as views have it
        row["bar"] = row["bar_first"] = row["bar_end"] = row["seen"] = len(bars) + j
        row["hook"] = row["hook_end"] = at
        row["same"], row["interval"] = 0, interval
        if shows_bars:
            shown, when = market.shown_bars(k, interval)
            parts.append(shown)
            times.append(when)
            at, seen = at + len(shown), seen + len(shown)
            row["hook_end"], row["shown"] = at, seen
    return np.concatenate(parts), np.concatenate([*times, np.zeros(1, np.int64)])


def set_clock(c: Any, market: Market, first: int, step: int) -> int:
    """Set what the clock of a run with ticks begins with; return how many equity rows it can have.

    `first` is the open of the first bar, NEVER without bars; the clock knows the end of the bars.
    """
    begins, end, stop = tick_range(market)
    first = min(first, begins)
    c["ticks"], c["tight"], c["phase"] = 1, 0, 2
    c["mixed"] = int(len(tick_instruments(market)) < len(market.instruments))
    c["stop"] = max(int(c["stop"]), stop)
    c["end"] = max(int(c["end"]), end, stop)  # the last book stands until the last row is seen
    c["row_step"] = step or SECOND
    c["row_at"] = c["row_due"] = min(-(-first // int(c["row_step"])) * int(c["row_step"]), int(c["stop"]))
    if c["timer_step"]:
        c["timer"] = -(-first // int(c["timer_step"])) * int(c["timer_step"])
    return (int(c["stop"]) - first) // int(c["row_step"]) + 3


def attach(sim: Sim, market: Market, cells: int) -> list[Any]:
    """Publish the streams of every instrument; return what must stay alive."""
    kept: list[Any] = []
    for k in tick_instruments(market):
        arrays = ticks_of(market, k, cells)
        addresses = np.array([a.ctypes.data for a in arrays], dtype=np.int64)
        address, held = register(addresses.ctypes.data, arrays)
        sim.cursor[k]["ticks"] = address
        kept.append((arrays, addresses, held))
    return kept
