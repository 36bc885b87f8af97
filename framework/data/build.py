"""Kernels: rows of incremental_book_L2 to net changes of levels, one set per message.

A message ends where local_timestamp changes. A snapshot replaces both sides and still is one net change per
level; rows that change nothing leave no trace; a book is never crossed or locked after a message: of the two
best levels the one whose last row is older goes.

Levels stand in an open-addressing table; each side's prices in a heap, dead ones until they come to its top.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from framework.arena import arena
from framework.data.parse import CHANGE
from framework.jit import entry, kernel
from framework.records import MESSAGE

DONE, ROOM, TABLE = 0, 1, 2  # why a kernel came back: no row is left; rows, or levels, need more room

STATE = np.dtype(
    [(name, "i8") for name in (
        "next", "count",  # rows of the block
        "row",  # number of the row in the stream: its age
        "size", "used",  # levels in the table
        "spare_size",  # of the table levels move into
        "message", "open", "ts", "local_ts", "touched",  # of the message being read
        "messages", "rows", "message_room", "row_room",  # of the book
        "started", "flag", "flag_local",  # a snapshot was seen; the row before is of one, and its time
        "saw_bid", "saw_ask",  # of the snapshot being read
        "cleared",  # 1 = a snapshot began in this message
        "skipped", "snapshots", "one_sided", "crossed",
    )]
)  # fmt: skip
LEVEL = np.dtype(
    [("key", "i8"), ("lots", "i8"), ("before", "i8"), ("row", "i8"), ("touch", "i8"), ("heaped", "i8")]
)  # key + 1, 0 = free; lots before the message `touch`; its last row; 1 = its price is in the heap
KEY, WHOLE = np.dtype("i4"), np.dtype("i8")


class Build(NamedTuple):
    """The rows of a block, the levels, and the book that is made."""

    state: NDArray[Any]
    changes: NDArray[Any]
    levels: NDArray[Any]
    spare: NDArray[Any]  # a larger table, when levels move into it
    heap: NDArray[Any]  # bids (as -key) in the first half, asks in the second
    heaped: NDArray[Any]  # prices in each half
    touched: NDArray[Any]  # places of the levels of this message
    messages: NDArray[Any]
    keys: NDArray[Any]
    lots: NDArray[Any]


build_at = arena(Build, (STATE, CHANGE, LEVEL, LEVEL, WHOLE, WHOLE, WHOLE, MESSAGE, KEY, WHOLE))


@kernel(store=False)
def place_of(levels, size, key):
    """Return the place of a key: where it stands, or the free place where it would. Near prices are near."""
    block = ((key >> 5) * 2 + (key & 1)) * 2654435761 >> 9
    place = (block * 16 + (key >> 1 & 15)) & (size - 1)
    while levels[place]["key"] != 0 and levels[place]["key"] != key + 1:
        place = (place + 1) & (size - 1)
    return place


@kernel(store=False)
def push(heap, base, n, value):
    """Put a value into a heap of n, the smallest on top."""
    i = n
    while i > 0:
        parent = (i - 1) >> 1
        if heap[base + parent] <= value:
            break
        heap[base + i] = heap[base + parent]
        i = parent
    heap[base + i] = value


@kernel(store=False)
def pop(heap, base, n):
    """Take the top off a heap of n."""
    value = heap[base + n - 1]
    n -= 1
    i = 0
    while 2 * i + 1 < n:
        child = 2 * i + 1
        if child + 1 < n and heap[base + child + 1] < heap[base + child]:
            child += 1
        if heap[base + child] >= value:
            break
        heap[base + i] = heap[base + child]
        i = child
    heap[base + i] = value


@kernel(store=False)
def heap_price(t, c, place):
    """Put the price of a level into its side's heap."""
    key = t.levels[place]["key"] - 1
    side = key & 1
    t.levels[place]["heaped"] = 1
    push(t.heap, side * c["size"], t.heaped[side], key if side else -key)
    t.heaped[side] = t.heaped[side] + 1


@kernel(store=False)
def best(t, c, side):
    """Return the place of the best level of a side, -1 when the side is empty; dead prices leave the heap."""
    base = side * c["size"]
    while t.heaped[side] > 0:
        value = t.heap[base]
        place = place_of(t.levels, c["size"], value if side else -value)
        if t.levels[place]["lots"] > 0:
            return place
        t.levels[place]["heaped"] = 0
        pop(t.heap, base, t.heaped[side])
        t.heaped[side] = t.heaped[side] - 1
    return -1


@kernel(store=False)
def touch(t, c, place):
    """Remember what a level held before this message."""
    level = t.levels[place]
    if level["touch"] != c["message"]:
        level["touch"] = c["message"]
        level["before"] = level["lots"]
        t.touched[c["touched"]] = place
        c["touched"] += 1


@kernel(store=False)
def clear_side(t, c, side):
    """Empty one side and its heap."""
    base = side * c["size"]
    for i in range(t.heaped[side]):
        value = t.heap[base + i]
        place = place_of(t.levels, c["size"], value if side else -value)
        t.levels[place]["heaped"] = 0
        if t.levels[place]["lots"] > 0:
            touch(t, c, place)
            t.levels[place]["lots"] = 0
    t.heaped[side] = 0


@kernel(store=False)
def begin_snapshot(t, c):
    """Empty both sides: what the snapshot does not name is gone."""
    clear_side(t, c, 0)
    clear_side(t, c, 1)
    c["started"] = 1
    c["cleared"] = 1
    c["snapshots"] += 1
    c["saw_bid"] = 0
    c["saw_ask"] = 0


@kernel(store=False)
def end_snapshot(c):
    """Count a snapshot that left a side empty."""
    if c["flag"] and not (c["saw_bid"] and c["saw_ask"]):
        c["one_sided"] += 1
    c["flag"] = 0


@kernel(store=False)
def uncross(t, c):
    """Remove levels until the best bid is below the best ask: of the two best the one not confirmed since."""
    while True:
        bid = best(t, c, 0)
        ask = best(t, c, 1)
        if bid < 0 or ask < 0 or t.levels[bid]["key"] < t.levels[ask]["key"] - 1:
            return
        older = bid if t.levels[bid]["row"] < t.levels[ask]["row"] else ask
        touch(t, c, older)
        t.levels[older]["lots"] = 0
        c["crossed"] += 1


@kernel(store=False)
def sink(t, low, i, n):
    """Let row i of a heap of n rows (the largest key on top) sink to where it belongs."""
    key = t.keys[low + i]
    lots = t.lots[low + i]
    while 2 * i + 1 < n:
        child = 2 * i + 1
        if child + 1 < n and t.keys[low + child + 1] > t.keys[low + child]:
            child += 1
        if t.keys[low + child] <= key:
            break
        t.keys[low + i] = t.keys[low + child]
        t.lots[low + i] = t.lots[low + child]
        i = child
    t.keys[low + i] = key
    t.lots[low + i] = lots


@kernel(store=False)
def sort_rows(t, low, end):
    """Put rows in ascending order of keys, so that what a snapshot changes is told in one way only."""
    n = end - low
    i = n // 2
    while i > 0:
        i -= 1
        sink(t, low, i, n)
    while n > 1:
        n -= 1
        key = t.keys[low]
        lots = t.lots[low]
        t.keys[low] = t.keys[low + n]
        t.lots[low] = t.lots[low + n]
        t.keys[low + n] = key
        t.lots[low + n] = lots
        sink(t, low, 0, n)


@kernel(store=False)
def close_message(t, c):
    """Write the open message: what each touched level holds now, where that is new. False = no room."""
    uncross(t, c)
    if c["messages"] + 2 > c["message_room"] or c["rows"] + c["touched"] > c["row_room"]:
        return False
    message = t.messages[c["messages"]]
    message["ts"] = c["ts"]
    message["local_ts"] = c["local_ts"]
    n = c["rows"]
    message["first"] = n
    for i in range(c["touched"]):
        level = t.levels[t.touched[i]]
        if level["lots"] != level["before"]:
            t.keys[n] = level["key"] - 1
            t.lots[n] = level["lots"]
            n += 1
    if c["cleared"]:
        sort_rows(t, c["rows"], n)
        c["cleared"] = 0
    c["rows"] = n
    c["messages"] += 1
    c["message"] += 1
    c["touched"] = 0
    c["open"] = 0
    return True


@kernel(store=False)
def apply_row(t, c, row):
    """Set one level to what the row says."""
    key = np.int64(row["key"])
    place = place_of(t.levels, c["size"], key)
    level = t.levels[place]
    if row["lots"] == 0 and level["lots"] == 0 and level["touch"] != c["message"]:
        return  # whether it was there some time before must not be seen in the order of rows
    if level["key"] == 0:
        level["key"] = key + 1
        c["used"] += 1
    touch(t, c, place)
    level["lots"] = row["lots"]
    level["row"] = c["row"]
    if row["lots"] > 0 and not level["heaped"]:
        heap_price(t, c, place)


@entry("int64(int64)", nogil=True)
def build(address):
    """Apply the rows of a block to the levels and write every message that ended."""
    t = build_at(address)
    c = t.state[0]
    while c["next"] < c["count"]:
        row = t.changes[c["next"]]
        if c["open"] and row["local_ts"] != c["local_ts"] and not close_message(t, c):
            return ROOM
        if 2 * c["used"] >= c["size"]:
            return TABLE
        if row["snapshot"]:
            if not (c["flag"] and c["flag_local"] == row["local_ts"]):
                end_snapshot(c)
                begin_snapshot(t, c)
            if row["lots"] > 0 and row["key"] & 1:
                c["saw_ask"] = 1
            elif row["lots"] > 0:
                c["saw_bid"] = 1
            c["flag_local"] = row["local_ts"]
            c["flag"] = 1
        else:
            end_snapshot(c)
        c["next"] += 1
        c["row"] += 1
        if not c["started"]:
            c["skipped"] += 1
            continue
        c["open"] = 1
        c["ts"] = row["ts"]
        c["local_ts"] = row["local_ts"]
        apply_row(t, c, row)
    return DONE


@entry("int64(int64)", nogil=True)
def finish(address):
    """Write the last message."""
    t = build_at(address)
    c = t.state[0]
    if c["open"] and not close_message(t, c):
        return ROOM
    return DONE


@entry("int64(int64)", nogil=True)
def move_levels(address):
    """Move the levels that live or belong to this message into the spare table; build the heaps anew."""
    t = build_at(address)
    c = t.state[0]
    size = c["spare_size"]
    used = 0
    for i in range(c["size"]):
        old = t.levels[i]
        mine = old["touch"] == c["message"]
        if old["key"] != 0 and (old["lots"] > 0 or mine):
            place = place_of(t.spare, size, old["key"] - 1)
            t.spare[place] = old
            t.spare[place]["heaped"] = 0
            used += 1
    for i in range(c["touched"]):
        t.touched[i] = place_of(t.spare, size, t.levels[t.touched[i]]["key"] - 1)
    c["used"] = used
    t.heaped[0] = 0
    t.heaped[1] = 0
    return used


@entry("int64(int64)", nogil=True)
def heap_all(address):
    """Put the price of every living level into its heap."""
    t = build_at(address)
    c = t.state[0]
    for i in range(c["size"]):
        if t.levels[i]["lots"] > 0:
            heap_price(t, c, i)
    return t.heaped[0] + t.heaped[1]
