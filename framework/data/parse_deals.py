"""Kernels: rows of trades and liquidations."""

from __future__ import annotations

from framework.data.parse import (
    DONE,
    FULL,
    LONGEST_ID,
    ODD,
    TOP_TICK,
    feed_at,
    head,
    leave,
    line_end,
    number,
)
from framework.jit import entry, kernel


@kernel(store=False)
def trade_id(f, c, i, row):
    """Read an id of printable text; return the place of the comma after it, -1 when it is odd.

    Two polynomials of 56 bits stand for the text, which is written to `ids`.
    """
    start = i
    out = c["id_end"] - start
    one = 0
    two = 0
    byte = int(f.text[i])
    while byte > 32 and byte < 127 and byte != 44 and byte != 34 and i - start < LONGEST_ID:
        f.ids[out + i] = f.text[i]
        one = (one * 127 + byte) & 0xFFFFFFFFFFFFFF
        two = (two * 101 + byte) & 0xFFFFFFFFFFFFFF
        i += 1
        byte = int(f.text[i])
    row["id"] = one
    row["id2"] = two
    row["named"] = 1 if i > start else 0
    f.ids[out + i] = 10
    return i if byte == 44 else -1


@kernel(store=False)
def taker_side(f, i):
    """Read `buy,`, `sell,`, `unknown,` or nothing; return +1, -1, 0, or 9 for anything else, and its end."""
    text = f.text
    if text[i] == 44:
        return 0, i + 1
    if text[i] == 98 and text[i + 1] == 117 and text[i + 2] == 121 and text[i + 3] == 44:
        return 1, i + 4
    if text[i] == 115 and text[i + 1] == 101 and text[i + 2] == 108 and text[i + 3] == 108:
        return (-1 if text[i + 4] == 44 else 9), i + 5
    if text[i] == 117 and text[i + 1] == 110 and text[i + 2] == 107 and text[i + 3] == 110:
        known = text[i + 4] == 111 and text[i + 5] == 119 and text[i + 6] == 110 and text[i + 7] == 44
        return (0 if known else 9), i + 8
    return 9, i


@kernel(store=False)
def deal(f, c, i, row):
    """Read one row of trades or liquidations; return where the next begins, -1 when it is odd."""
    i = head(f, c, i)
    if i < 0:
        return -1
    begin = i
    i = trade_id(f, c, i, row)
    if i < 0:
        return -1
    length = i - begin
    side, i = taker_side(f, i + 1)
    if side > 1:
        return -1
    tick, i = number(f, i, c["price_scale"], c["price_unit"])
    if tick <= 0 or tick > TOP_TICK or f.text[i] != 44:
        return -1
    lots, i = number(f, i + 1, c["lot_scale"], c["lot_unit"])
    if lots < 0:
        return -1
    row["ts"] = c["effective"] * 1000
    row["local_ts"] = c["local"] * 1000
    row["raw_ts"] = c["ts"] * 1000
    row["lots"] = lots
    row["tick"] = tick
    row["side"] = side
    i = line_end(f, i)
    if i >= 0:
        c["id_end"] += length + 1
    return i


@entry("int64(int64)", nogil=True)
def read_deals(address):
    """Read rows of trades or liquidations."""
    f = feed_at(address)
    c = f.state[0]
    i = c["pos"]
    n = c["count"]
    while i < c["end"]:
        if n == c["room"]:
            return leave(c, i, n, FULL)
        following = deal(f, c, i, f.deals[n])
        if following < 0:
            return leave(c, i, n, ODD)
        i = following
        n += 1
    return leave(c, i, n, DONE)
