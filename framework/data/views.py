"""Kernel: rows of book_snapshot_N and quotes, each the visible top of a book, to net changes of levels.

Every row is a message. A level of the row before that is not in this one is gone (0) when the row would show
it: better than the worst it shows, or the row shows less than N; else it left the view (-1), once.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from framework.arena import arena
from framework.data.parse import EMPTY, MOMENT
from framework.jit import entry, kernel
from framework.records import MESSAGE, UNKNOWN

STATE = np.dtype(
    [(name, "i8") for name in ("count", "width", "messages", "rows", "one_sided", "crossed")]
)  # fmt: skip
KEY, WHOLE = np.dtype("i4"), np.dtype("i8")


class Views(NamedTuple):
    """The rows of a block, the levels shown before, and the book that is made (room: 2 x width a row)."""

    state: NDArray[Any]
    moments: NDArray[Any]
    cells: NDArray[Any]  # rows x width: ask price, amount, bid price, amount, ...
    known: NDArray[Any]  # the row before in the same form; amount 0 = not known
    now: NDArray[Any]
    messages: NDArray[Any]
    keys: NDArray[Any]
    lots: NDArray[Any]


views_at = arena(Views, (STATE, MOMENT, WHOLE, WHOLE, WHOLE, MESSAGE, KEY, WHOLE))


@kernel(store=False)
def first_shown(t, c, side):
    """Return the cell of the best level of a side with an amount, -1 when there is none."""
    for j in range(side * 2, c["width"], 4):
        if t.now[j] != EMPTY and t.now[j + 1] > 0:
            return j
    return -1


@kernel(store=False)
def uncross(t, c):
    """Remove levels until the best bid is below the best ask; of the two the one named first in the row."""
    while True:
        ask = first_shown(t, c, 0)
        bid = first_shown(t, c, 1)
        if ask < 0 or bid < 0:
            c["one_sided"] += 1
            return
        if t.now[bid] < t.now[ask]:
            return
        t.now[min(ask, bid) + 1] = 0
        c["crossed"] += 1


@kernel(store=False)
def write(t, c, tick, side, lots):
    """Add one changed level to the message."""
    n = c["rows"]
    t.keys[n] = 2 * tick + (1 - side)
    t.lots[n] = lots
    c["rows"] = n + 1


@kernel(store=False)
def lots_at(levels, c, side, tick, near):
    """Return the amount a row shows at a price, EMPTY when it does not name it; `near` is looked at first."""
    if levels[near] == tick:
        return levels[near + 1]
    for j in range(side * 2, c["width"], 4):
        if levels[j] == tick:
            return levels[j + 1]
    return EMPTY


@kernel(store=False)
def compare(t, c, side):
    """Write what differs on one side between the row before and this one."""
    worst = EMPTY
    shown = 0
    for j in range(side * 2, c["width"], 4):
        tick = t.now[j]
        if tick != EMPTY:
            worst = tick
            shown += 1
            before = max(lots_at(t.known, c, side, tick, j), 0)
            if t.now[j + 1] != before:
                write(t, c, tick, side, t.now[j + 1])
    full = shown * 4 == c["width"]
    for j in range(side * 2, c["width"], 4):
        tick = t.known[j]
        if tick != EMPTY and t.known[j + 1] > 0 and lots_at(t.now, c, side, tick, j) == EMPTY:
            beyond = tick > worst if side == 0 else tick < worst
            write(t, c, tick, side, UNKNOWN if full and beyond else 0)


@entry("int64(int64)", nogil=True)
def compare_rows(address):
    """Write one message for each row of a block."""
    t = views_at(address)
    c = t.state[0]
    for i in range(c["count"]):
        for j in range(c["width"]):
            t.now[j] = t.cells[i * c["width"] + j]
        uncross(t, c)
        message = t.messages[c["messages"]]
        message["ts"] = t.moments[i]["ts"]
        message["local_ts"] = t.moments[i]["local_ts"]
        message["first"] = c["rows"]
        compare(t, c, 0)
        compare(t, c, 1)
        for j in range(c["width"]):
            t.known[j] = t.now[j]
        c["messages"] += 1
    return c["rows"]
