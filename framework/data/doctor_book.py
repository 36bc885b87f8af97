"""Kernels of the doctor: a book as the rows leave it, its best prices in time, crossed and one-sided time.

The levels are `build`'s, kept by the same rule: of two that cross, the one whose last row is older goes. What
went stays in a list until the feed itself deletes or rewrites it: so long the book as sent is crossed.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from framework.arena import arena
from framework.data.build import (
    LEVEL,
    STATE,
    begin_snapshot,
    best,
    end_snapshot,
    heap_price,
    place_of,
    touch,
)
from framework.data.parse import CHANGE
from framework.jit import entry, kernel
from framework.records import MESSAGE

DONE, TABLE = 0, 2
BUCKET = 200_000  # us
BUCKETS = 432_000  # of a day
MOST_STALE = 256  # levels that were removed and not yet deleted by the feed

OWN = (
    "day", "first_row",  # us; rows before this chunk
    "n_stale", "many_stale",
    "noops", "absent", "zero_snapshot", "all_snapshot", "first_snapshot", "first_snapshot_row",
    "seen", "at",  # messages seen; local time of the last one
    "known", "crossed_time", "locked_time", "one_sided_time",  # us
    "crossings", "locks", "crossed_row", "crossed_at", "locked_row", "locked_at",
    "run", "longest_crossed", "longest_crossed_at", "longest_locked", "longest_locked_at",
    "is_crossed", "is_locked", "is_one_sided", "one_sideds", "one_sided_row", "one_sided_at",
)  # fmt: skip
OWN_STATE = np.dtype([*((name, "i8") for name in OWN), ("unit", "f8")])
TOP = np.dtype([(name, "f8") for name in ("bid_low", "bid_high", "ask_low", "ask_high", "bid", "ask")])
KEY, WHOLE, REAL, BYTE = np.dtype("i4"), np.dtype("i8"), np.dtype("f8"), np.dtype("u1")


class Watch(NamedTuple):
    """`build.Build`, so that its kernels work here too, and what the doctor adds."""

    state: NDArray[Any]
    changes: NDArray[Any]
    levels: NDArray[Any]
    spare: NDArray[Any]
    heap: NDArray[Any]
    heaped: NDArray[Any]
    touched: NDArray[Any]
    messages: NDArray[Any]
    keys: NDArray[Any]
    lots: NDArray[Any]
    watch: NDArray[Any]
    stale: NDArray[Any]  # keys
    local: NDArray[Any]
    snapshot: NDArray[Any]
    side: NDArray[Any]  # 1 = ask
    price: NDArray[Any]
    amount: NDArray[Any]
    other: NDArray[Any]  # prices of the ask where rows have both
    tops: NDArray[Any]


watch_at = arena(
    Watch,
    (STATE, CHANGE, LEVEL, LEVEL, WHOLE, WHOLE, WHOLE, MESSAGE, KEY, WHOLE, OWN_STATE, WHOLE, WHOLE, BYTE,
     BYTE, REAL, REAL, REAL, TOP),
)  # fmt: skip


@kernel(store=False)
def note_time(w, local):
    """Give the time since the last message to the state the book was in."""
    if w["seen"] == 0:
        return
    passed = max(local - w["at"], 0)
    w["known"] += passed
    if w["is_crossed"]:
        w["crossed_time"] += passed
    if w["is_locked"]:
        w["locked_time"] += passed
    if w["is_one_sided"]:
        w["one_sided_time"] += passed


@kernel(store=False)
def note_cross(w, local, row, crossed, locked):
    """Begin and end the times in which the book is crossed or locked."""
    if w["is_crossed"] and local - w["run"] > w["longest_crossed"]:
        w["longest_crossed"] = local - w["run"]
        w["longest_crossed_at"] = w["run"]
    if w["is_locked"] and local - w["run"] > w["longest_locked"]:
        w["longest_locked"] = local - w["run"]
        w["longest_locked_at"] = w["run"]
    if crossed != w["is_crossed"] or locked != w["is_locked"]:
        w["run"] = local
    if crossed and not w["is_crossed"]:
        if w["crossings"] == 0:
            w["crossed_row"] = row
            w["crossed_at"] = local
        w["crossings"] += 1
    if locked and not w["is_locked"]:
        if w["locks"] == 0:
            w["locked_row"] = row
            w["locked_at"] = local
        w["locks"] += 1
    w["is_crossed"] = crossed
    w["is_locked"] = locked


@kernel(store=False)
def note_sides(w, local, row, one_sided):
    """Count the times at which a side becomes empty."""
    if one_sided and not w["is_one_sided"]:
        if w["one_sideds"] == 0:
            w["one_sided_row"] = row
            w["one_sided_at"] = local
        w["one_sideds"] += 1
    w["is_one_sided"] = one_sided


@kernel(store=False)
def note_top(t, w, local, bid, ask):
    """Keep the best prices of a bucket of time; NaN = an empty side."""
    top = t.tops[min(max((local - w["day"]) // BUCKET, 0), BUCKETS - 1)]
    if bid == bid:
        top["bid_low"] = bid if not bid >= top["bid_low"] else top["bid_low"]
        top["bid_high"] = bid if not bid <= top["bid_high"] else top["bid_high"]
    if ask == ask:
        top["ask_low"] = ask if not ask >= top["ask_low"] else top["ask_low"]
        top["ask_high"] = ask if not ask <= top["ask_high"] else top["ask_high"]
    top["bid"] = bid
    top["ask"] = ask
    w["seen"] += 1
    w["at"] = local


@kernel(store=False)
def uncross(t, c, w):
    """Remove levels until the best bid is below the best ask; remember them. Return the places of the two."""
    while True:
        bid = best(t, c, 0)
        ask = best(t, c, 1)
        if bid < 0 or ask < 0 or t.levels[bid]["key"] < t.levels[ask]["key"] - 1:
            return bid, ask
        older = bid if t.levels[bid]["row"] < t.levels[ask]["row"] else ask
        touch(t, c, older)
        t.levels[older]["lots"] = 0
        c["crossed"] += 1
        if w["n_stale"] < MOST_STALE:
            t.stale[w["n_stale"]] = t.levels[older]["key"] - 1
            w["n_stale"] += 1
        else:
            w["many_stale"] += 1


@kernel(store=False)
def forget_stale(t, w, key):
    """Take a key off the list of stale levels: the feed has named it again."""
    for i in range(w["n_stale"]):
        if t.stale[i] == key:
            w["n_stale"] -= 1
            t.stale[i] = t.stale[w["n_stale"]]
            return


@kernel(store=False)
def end_message(t, c, w, row):
    """Look at the book after a message."""
    bid, ask = uncross(t, c, w)
    local = c["local_ts"]
    high = (t.levels[bid]["key"] - 1) // 2 if bid >= 0 else -1
    low = (t.levels[ask]["key"] - 1) // 2 if ask >= 0 else -1
    note_time(w, local)
    sent_high, sent_low = high, low
    for i in range(w["n_stale"]):
        tick = t.stale[i] // 2
        if t.stale[i] & 1:
            sent_low = tick if sent_low < 0 else min(sent_low, tick)
        else:
            sent_high = max(sent_high, tick)
    both = sent_high >= 0 and sent_low >= 0
    crossed = 1 if both and sent_high > sent_low else 0
    note_cross(w, local, row, crossed, 1 if both and sent_high == sent_low else 0)
    note_sides(w, local, row, 0 if high >= 0 and low >= 0 else 1)
    unit = w["unit"]
    note_top(t, w, local, high * unit if high >= 0 else np.nan, low * unit if low >= 0 else np.nan)
    c["message"] += 1
    c["touched"] = 0
    c["open"] = 0


@kernel(store=False)
def apply_row(t, c, w, key, amount):
    """Set one level."""
    lots = 0
    if amount > 0.0:
        lots = max(int(min(amount * 1e8, 9e18) + 0.5), 1)
    place = place_of(t.levels, c["size"], key)
    level = t.levels[place]
    if w["n_stale"] > 0:
        forget_stale(t, w, key)
    if level["key"] == 0:
        if lots == 0:
            w["absent"] += 1
            return
        level["key"] = key + 1
        c["used"] += 1
    elif level["lots"] == lots and not c["flag"]:
        w["noops"] += 1
    touch(t, c, place)
    level["lots"] = lots
    level["row"] = c["row"]
    if lots > 0 and not level["heaped"]:
        heap_price(t, c, place)


@kernel(store=False)
def begin_or_go_on(t, c, w, i, side):
    """Note a row of a snapshot; the first of one empties the book."""
    local = t.local[i]
    if not (c["flag"] and c["flag_local"] == local):
        end_snapshot(c)
        if c["started"] == 0:
            w["first_snapshot"] = local
            w["first_snapshot_row"] = w["first_row"] + i + 1
        begin_snapshot(t, c)
        w["n_stale"] = 0
    if t.amount[i] > 0.0 and side:
        c["saw_ask"] = 1
    elif t.amount[i] > 0.0:
        c["saw_bid"] = 1
    else:
        w["zero_snapshot"] += 1
    c["flag_local"] = local
    c["flag"] = 1
    w["all_snapshot"] += 1


@entry("int64(int64)")
def watch_changes(address):
    """Apply the rows of a chunk of incremental_book_L2."""
    t = watch_at(address)
    c = t.state[0]
    w = t.watch[0]
    while c["next"] < c["count"]:
        i = c["next"]
        if c["open"] and t.local[i] != c["local_ts"]:
            end_message(t, c, w, w["first_row"] + i)
        if 2 * c["used"] >= c["size"]:
            return TABLE
        side = 1 if t.side[i] else 0
        if t.snapshot[i]:
            begin_or_go_on(t, c, w, i, side)
        else:
            end_snapshot(c)
        c["next"] += 1
        c["row"] += 1
        if not c["started"]:
            c["skipped"] += 1
            continue
        c["open"] = 1
        c["local_ts"] = t.local[i]
        apply_row(t, c, w, 2 * int(t.price[i] / w["unit"] + 0.5) + side, t.amount[i])
    return DONE


@entry("int64(int64)")
def finish_changes(address):
    """Look at the book after the last message."""
    t = watch_at(address)
    c = t.state[0]
    w = t.watch[0]
    end_snapshot(c)
    if c["open"]:
        end_message(t, c, w, c["row"])
    note_cross(w, w["at"], c["row"], 0, 0)
    return DONE


@entry("int64(int64)")
def watch_views(address):
    """Look at the best prices of a chunk of rows that each show them."""
    t = watch_at(address)
    c = t.state[0]
    w = t.watch[0]
    for i in range(c["count"]):
        local = t.local[i]
        row = w["first_row"] + i + 1
        bid = t.price[i]
        ask = t.other[i]
        note_time(w, local)
        note_cross(w, local, row, 1 if bid > ask else 0, 1 if bid == ask else 0)
        note_sides(w, local, row, 0 if bid == bid and ask == ask else 1)
        note_top(t, w, local, bid, ask)
        c["row"] += 1
    return DONE


@entry("int64(int64)")
def finish_views(address):
    """End the last crossed or locked time."""
    t = watch_at(address)
    c = t.state[0]
    w = t.watch[0]
    note_cross(w, w["at"], c["row"], 0, 0)
    return DONE
