"""One order book: a dense window of levels that slides with the price, a table for levels far away.

Rows are applied in one counted loop; the touch is looked for only when somebody asks. The window's size and
place are of no consequence for any number.
"""

from __future__ import annotations

import numpy as np

from framework.engine.ticks import EXCHANGE, NO_TICK, Ticks
from framework.jit import kernel
from framework.records import BUY

HASH = 2654435761  # Knuth's multiplier
HIGHEST = 2**31 - 1  # no key is as large


@kernel(inline=True, store=False)
def far_slot(t: Ticks, s, key):
    """Slot of a key in the table of book `s`: its own, or the free one it would take."""
    size = t.books[s]["far_size"]
    base = s * size
    h = ((key * HASH) >> 7) & (size - 1)
    while t.far[base + h]["key"] != key and t.far[base + h]["key"] != -1:
        h = (h + 1) & (size - 1)
    return base + h


@kernel(store=False)
def put_far(t: Ticks, s, key, lots):
    """Store a level outside the window."""
    b = t.books[s]
    slot = t.far[far_slot(t, s, key)]
    slot["key"] = key
    slot["lots"] = lots
    if lots > 0:
        if key & 1 == 0:
            b["far_bid"] = max(b["far_bid"], key >> 1)
        else:
            b["far_ask"] = min(b["far_ask"], key >> 1)


@kernel(store=False)
def apply_rows(t: Ticks, s, first, end):
    """Apply rows to book `s`; the hints stay outer bounds of the touch.

    Two passes: what can be said of all rows at once (which the compiler turns into vector code), then the
    stores, without a test where no row leaves the window.
    """
    b = t.books[s]
    keys = t.keys
    lots = t.lots
    low, high, bid, ask = extremes(keys, lots, first, end)
    cells = b["cells"]
    offset = b["offset"]
    near = t.near
    to = s * cells - offset
    if low >= offset and high < offset + cells:
        for i in range(first, end):
            near[to + keys[i]] = max(lots[i], 0)
    else:
        for i in range(first, end):
            cell = keys[i] - offset
            if cell < 0 or cell >= cells:
                put_far(t, s, cell + offset, max(lots[i], 0))
            else:
                near[to + cell + offset] = max(lots[i], 0)
    # a best level outside the window is told by the far hints; no cell pair beyond the window is a bound
    b["bid_hint"] = max(b["bid_hint"], min((bid - offset) >> 1, (cells >> 1) - 1))
    b["ask_hint"] = min(b["ask_hint"], max((ask - offset) >> 1, 0))


@kernel(store=False)
def extremes(keys, lots, first, end):
    """Lowest and highest key of some rows, highest bid and lowest ask that have lots."""
    low = np.int32(HIGHEST)
    high = np.int32(-1)
    bid = np.int32(-1)
    ask = np.int32(HIGHEST)
    for i in range(first, end):
        key = np.int32(keys[i])
        shows = lots[i] > 0
        is_ask = (key & np.int32(1)) == np.int32(1)
        low = min(low, key)
        high = max(high, key)
        bid = max(bid, key if shows and not is_ask else np.int32(-1))
        ask = min(ask, key if shows and is_ask else np.int32(HIGHEST))
    return int(low), int(high), int(bid), int(ask)


@kernel(store=False)
def apply_messages(t: Ticks, s, end):
    """Apply messages before number `end` to book `s`."""
    b = t.books[s]
    m = b["message"]
    if end > m:
        apply_rows(t, s, t.messages[m]["first"], t.messages[end]["first"])
        b["message"] = end


@kernel(store=False)
def catch_up(t: Ticks, s, ts):
    """Bring book `s` to the messages whose time on its clock is at most `ts`."""
    m = t.books[s]["message"]
    messages = t.messages
    if s == EXCHANGE:
        while messages[m]["ts"] <= ts:
            m += 1
    else:
        while messages[m]["local_ts"] <= ts:
            m += 1
    apply_messages(t, s, m)


@kernel(store=False)
def far_best(t: Ticks, s, is_ask, start):
    """Best far level of one side at or beyond tick `start`; -NO_TICK or NO_TICK without one."""
    size = t.books[s]["far_size"]
    best = NO_TICK if is_ask == 1 else -NO_TICK
    for j in range(s * size, (s + 1) * size):
        slot = t.far[j]
        key = slot["key"]
        if key < 0 or slot["lots"] <= 0 or key & 1 != is_ask:
            continue
        tick = key >> 1
        if is_ask == 1 and tick >= start:
            best = min(best, tick)
        elif is_ask == 0 and tick <= start:
            best = max(best, tick)
    return best


@kernel(store=False)
def slide(t: Ticks, s, offset):
    """Move the window so that key `offset` is its first cell; levels change between window and table."""
    b = t.books[s]
    near = t.near
    cells = b["cells"]
    base = s * cells
    by = b["offset"] - offset
    for i in range(cells):
        # from the end the cells move towards
        cell = cells - 1 - i if by > 0 else i
        v = near[base + cell]
        if v == 0:
            continue
        near[base + cell] = 0
        if 0 <= cell + by < cells:
            near[base + cell + by] = v
        else:
            put_far(t, s, cell + b["offset"], v)
    for j in range(s * b["far_size"], (s + 1) * b["far_size"]):
        slot = t.far[j]
        cell = slot["key"] - offset
        if slot["key"] >= 0 and slot["lots"] > 0 and 0 <= cell < cells:
            near[base + cell] = slot["lots"]
            slot["lots"] = 0
    b["offset"] = offset
    b["bid_hint"] = (cells >> 1) - 1
    b["ask_hint"] = 0
    b["far_bid"] = far_best(t, s, 0, NO_TICK)
    b["far_ask"] = far_best(t, s, 1, -NO_TICK)


@kernel(store=False)
def scan_inwards(t: Ticks, s):
    """Move the hints of the window to its best levels; -1 and the window's height when a side is empty."""
    b = t.books[s]
    near = t.near
    cells = b["cells"]
    base = s * cells
    bid = b["bid_hint"]
    while bid >= 0 and near[base + 2 * bid] == 0:
        bid -= 1
    b["bid_hint"] = bid
    ask = b["ask_hint"]
    height = cells >> 1
    while ask < height and near[base + 2 * ask + 1] == 0:
        ask += 1
    b["ask_hint"] = ask


@kernel(store=False)
def touch(t: Ticks, s):
    """Find the best bid and ask of book `s` (ticks in its row)."""
    b = t.books[s]
    scan_inwards(t, s)
    floor = b["offset"] >> 1
    height = b["cells"] >> 1
    bid = b["bid_hint"] + floor if b["bid_hint"] >= 0 else -NO_TICK
    ask = b["ask_hint"] + floor if b["ask_hint"] < height else NO_TICK
    if b["far_bid"] > bid:
        b["far_bid"] = far_best(t, s, 0, NO_TICK)
        bid = max(bid, b["far_bid"])
    if b["far_ask"] < ask:
        b["far_ask"] = far_best(t, s, 1, -NO_TICK)
        ask = min(ask, b["far_ask"])
    b["bid"] = bid
    b["ask"] = ask
    if bid == -NO_TICK and ask == NO_TICK:
        return
    middle = ask if bid == -NO_TICK else (bid if ask == NO_TICK else (bid + ask) >> 1)
    edge = height >> 3
    if middle - floor < edge or middle - floor >= height - edge:
        slide(t, s, 2 * (middle - (height >> 1)))


@kernel(store=False)
def level(t: Ticks, s, key):
    """Lots of a level in book `s`."""
    b = t.books[s]
    cell = key - b["offset"]
    if 0 <= cell < b["cells"]:
        return t.near[s * b["cells"] + cell]
    slot = t.far[far_slot(t, s, key)]
    return slot["lots"] if slot["key"] == key else 0


@kernel(store=False)
def set_level(t: Ticks, s, key, lots):
    """Overwrite a level with fewer lots: what an own taker left of it."""
    b = t.books[s]
    cell = key - b["offset"]
    if 0 <= cell < b["cells"]:
        t.near[s * b["cells"] + cell] = lots
    else:
        put_far(t, s, key, lots)


@kernel(store=False)
def next_level(t: Ticks, s, is_ask, start):
    """First level of one side at tick `start` or worse; NO_TICK (asks) or -NO_TICK (bids) without one."""
    b = t.books[s]
    cells = b["cells"]
    base = s * cells + is_ask
    floor = b["offset"] >> 1
    height = cells >> 1
    if is_ask == 1:
        tick = max(start, floor)
        while tick < floor + height and t.near[base + 2 * (tick - floor)] == 0:
            tick += 1
        found = tick if tick < floor + height else NO_TICK
        if start >= floor and found != NO_TICK:
            return found
        return min(found, far_best(t, s, 1, start))
    tick = min(start, floor + height - 1)
    while tick >= floor and t.near[base + 2 * (tick - floor)] == 0:
        tick -= 1
    found = tick if tick >= floor else -NO_TICK
    if start < floor + height and found != -NO_TICK:
        return found
    return max(found, far_best(t, s, 0, start))


@kernel(store=False)
def best_against(t: Ticks, s, side):
    """Tick of the best level an order of this side would take; NO_TICK or -NO_TICK without one."""
    b = t.books[s]
    return b["ask"] if side == BUY else b["bid"]


@kernel(store=False)
def is_none(tick):
    """True for "no such level"."""
    return tick == NO_TICK or tick == -NO_TICK
