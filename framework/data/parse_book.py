"""Kernels: rows of incremental_book_L2, and rows that show the top of a book."""

from __future__ import annotations

from framework.data.parse import DONE, EMPTY, FULL, ODD, TOP_TICK, feed_at, head, leave, line_end, number
from framework.jit import entry, kernel


@kernel(store=False)
def snapshot_flag(f, i):
    """Read `true,` or `false,`; return 1, 0 or -1 for anything else, and where it ends."""
    text = f.text
    if text[i] == 116 and text[i + 1] == 114 and text[i + 2] == 117 and text[i + 3] == 101:
        return (1 if text[i + 4] == 44 else -1), i + 5
    if text[i] == 102 and text[i + 1] == 97 and text[i + 2] == 108 and text[i + 3] == 115:
        return (0 if text[i + 4] == 101 and text[i + 5] == 44 else -1), i + 6
    return -1, i


@kernel(store=False)
def book_side(f, i):
    """Read `bid,` or `ask,`; return 0, 1 or -1 for anything else. Both have four bytes."""
    text = f.text
    if text[i + 3] != 44:
        return -1
    if text[i] == 98 and text[i + 1] == 105 and text[i + 2] == 100:
        return 0
    return 1 if text[i] == 97 and text[i + 1] == 115 and text[i + 2] == 107 else -1


@kernel(store=False)
def change(f, c, i, row):
    """Read one row of incremental_book_L2; return where the next begins, -1 when it is odd."""
    i = head(f, c, i)
    if i < 0:
        return -1
    flag, i = snapshot_flag(f, i)
    side = book_side(f, i) if flag >= 0 else -1
    if side < 0:
        return -1
    tick, i = number(f, i + 4, c["price_scale"], c["price_unit"])
    if tick <= 0 or tick > TOP_TICK or f.text[i] != 44:
        return -1
    lots, i = number(f, i + 1, c["lot_scale"], c["lot_unit"])
    if lots < 0:
        return -1
    row["ts"] = c["effective"] * 1000
    row["local_ts"] = c["local"] * 1000
    row["raw_ts"] = c["ts"] * 1000
    row["lots"] = lots
    row["key"] = 2 * tick + side
    row["snapshot"] = flag
    return line_end(f, i)


@entry("int64(int64)", nogil=True)
def read_changes(address):
    """Read rows of incremental_book_L2."""
    f = feed_at(address)
    c = f.state[0]
    i = c["pos"]
    n = c["count"]
    while i < c["end"]:
        if n == c["room"]:
            return leave(c, i, n, FULL)
        following = change(f, c, i, f.changes[n])
        if following < 0:
            return leave(c, i, n, ODD)
        i = following
        n += 1
    return leave(c, i, n, DONE)


@kernel(store=False)
def cell(f, c, i, place):
    """Read one price (even place) or amount (odd place), or an empty cell; -2 for anything else."""
    byte = f.text[i]
    if byte == 44 or byte == 10 or byte == 13:
        return EMPTY, i
    if place % 2 == 1:
        value, i = number(f, i, c["lot_scale"], c["lot_unit"])
        return (value if value >= 0 else -2), i
    value, i = number(f, i, c["price_scale"], c["price_unit"])
    return (value if 0 < value <= TOP_TICK else -2), i


@kernel(store=False)
def in_order(f, c, base):
    """True when each side's levels go from best to worst, whole, and the empty ones come last."""
    for side in range(2):
        before = EMPTY
        ended = False
        for j in range(side * 2, c["width"], 4):
            price = f.cells[base + j]
            if (price == EMPTY) != (f.cells[base + j + 1] == EMPTY):
                return False
            if price == EMPTY:
                ended = True
                continue
            if ended:
                return False
            if before != EMPTY and (price <= before if side == 0 else price >= before):
                return False
            before = price
    return True


@kernel(store=False)
def levels(f, c, i, n):
    """Read one row of levels; return where the next begins, -1 when it is odd."""
    i = head(f, c, i)
    if i < 0:
        return -1
    width = c["width"]
    base = n * width
    for j in range(width):
        place = f.places[j]
        value, i = cell(f, c, i, place)
        if value < EMPTY:
            return -1
        f.cells[base + place] = value
        if j < width - 1:
            if f.text[i] != 44:
                return -1
            i += 1
    if not in_order(f, c, base):
        return -1
    f.moments[n]["ts"] = c["effective"] * 1000
    f.moments[n]["local_ts"] = c["local"] * 1000
    f.moments[n]["raw_ts"] = c["ts"] * 1000
    return line_end(f, i)


@entry("int64(int64)", nogil=True)
def read_levels(address):
    """Read rows of quotes, book_ticker or book_snapshot_N."""
    f = feed_at(address)
    c = f.state[0]
    i = c["pos"]
    n = c["count"]
    while i < c["end"]:
        if n == c["room"]:
            return leave(c, i, n, FULL)
        following = levels(f, c, i, n)
        if following < 0:
            return leave(c, i, n, ODD)
        i = following
        n += 1
    return leave(c, i, n, DONE)
