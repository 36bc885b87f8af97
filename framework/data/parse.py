"""Kernels: csv text to integers, for rows as Tardis writes them. At any other byte they stop at that row.

Nothing is judged here: a row that is not plain (`ODD`) goes to `careful`, which refuses it or writes it
plainly.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from framework.arena import arena
from framework.jit import kernel

DONE, FULL, ODD = 0, 1, 2  # why a kernel came back: no line is left, no room is left, an odd row
EMPTY = -1  # an empty cell
TOP_TICK = 2**30 - 2  # keys are int32: 2 * tick + 1
DIGITS = 18  # of an int64
EARLIEST, LATEST = 10**15, 9 * 10**15  # microseconds: 2001 to 2255; 16 digits

STATE = np.dtype(
    [(name, "i8") for name in (
        "pos", "end",  # bytes of the buffer to read
        "count", "room",  # rows read, and how many fit
        "last", "length",  # where the row before begins, and the length of its first four cells
        "prefix",  # length of "exchange,symbol,"
        "low", "high",  # local_timestamp is in [low, high), microseconds
        "local", "ts", "top", "effective", "moved",  # of the row before; top = running max of ts
        "price_scale", "price_unit", "lot_scale", "lot_unit",  # value = unit * n / 10^scale
        "width",  # own cells of a row
        "changed", "ahead", "back",  # rows whose exchange time was changed, and by how much at most
        "id_end",  # bytes of `ids` that are written
        "gaps", "gap", "gap_at", "limit",  # silences longer than `limit`: count, the longest, where it began
    )]
)  # fmt: skip
CHANGE = np.dtype(
    [("ts", "i8"), ("local_ts", "i8"), ("raw_ts", "i8"), ("lots", "i8"), ("key", "i4"), ("snapshot", "i4")]
)  # a row of incremental_book_L2; times in ns, raw_ts as in the file
DEAL = np.dtype(
    [("ts", "i8"), ("local_ts", "i8"), ("raw_ts", "i8"), ("lots", "i8"), ("tick", "i4"), ("side", "i4"),
     ("id", "i8"), ("id2", "i8"), ("named", "i8")]
)  # fmt: skip  # TRADE and two digests of the id; named = 0: the id is empty
MOMENT = np.dtype([("ts", "i8"), ("local_ts", "i8"), ("raw_ts", "i8")])
LONGEST_ID = 64  # bytes
BYTE, WHOLE, REAL = np.dtype("u1"), np.dtype("i8"), np.dtype("f8")


class Feed(NamedTuple):
    """What the kernels read from and write to."""

    text: NDArray[Any]
    prefix: NDArray[Any]
    state: NDArray[Any]
    changes: NDArray[Any]
    deals: NDArray[Any]
    moments: NDArray[Any]
    cells: NDArray[Any]  # rows x width
    reals: NDArray[Any]  # rows x 7 of derivative_ticker, NaN = an empty cell
    places: NDArray[Any]  # of each column among the cells of a row: ask price, amount, bid price, amount, ...
    ids: NDArray[Any]  # the ids of deals, each with a line end behind it


feed_at = arena(Feed, (BYTE, BYTE, STATE, CHANGE, DEAL, MOMENT, WHOLE, REAL, WHOLE, BYTE))


@kernel(store=False)
def stamp(f, i):
    """Return a time of 16 digits with a comma behind it, -1 for anything else."""
    value = 0
    bad = int(f.text[i + 16]) ^ 44
    for k in range(16):
        digit = int(f.text[i + k]) - 48
        if digit < 0 or digit > 9:
            bad = 1
        value = value * 10 + digit
    return value if bad == 0 and EARLIEST <= value < LATEST else -1


@kernel(store=False)
def same_head(f, i, last, length):
    """True when the row begins with the same four cells as the row before."""
    differ = np.uint8(0)
    for k in range(length):
        differ = np.uint8(differ | (f.text[i + k] ^ f.text[last + k]))
    return differ == 0


@kernel(store=False)
def head(f, c, i):
    """Read the first four cells at i; return where the row's own cells begin, -1 when they are odd."""
    if c["last"] >= 0 and same_head(f, i, c["last"], c["length"]):
        c["changed"] += c["moved"]
        c["last"] = i
        return i + c["length"]
    start = i
    for k in range(c["prefix"]):
        if f.text[i + k] != f.prefix[k]:
            return -1
    i += c["prefix"]
    ts = stamp(f, i)
    local = stamp(f, i + 17)
    if ts < 0 or local < c["low"] or local >= c["high"] or local < c["local"]:
        return -1
    note_silence(c, local)
    c["ahead"] = max(c["ahead"], ts - local)
    c["back"] = max(c["back"], c["top"] - ts)
    c["top"] = max(c["top"], ts)
    c["effective"] = min(c["top"], local)
    c["moved"] = 1 if c["effective"] != ts else 0
    c["changed"] += c["moved"]
    c["ts"] = ts
    c["local"] = local
    c["last"] = start
    c["length"] = i + 34 - start
    return i + 34


@kernel(store=False)
def note_silence(c, local):
    """Count a long time without a row."""
    gap = local - c["local"]
    if gap > c["limit"] and c["local"] > 0:
        c["gaps"] += 1
        if gap > c["gap"]:
            c["gap"] = gap
            c["gap_at"] = c["local"]


@kernel(store=False)
def scientific(f, i, scale, unit):
    """Read 1e-7 or 2.5E+3, as `number` does; what JavaScript prints for a small price has an exponent."""
    value = 0
    n = 0
    dot = False
    byte = int(f.text[i])
    while n < DIGITS and (48 <= byte <= 57 or (byte == 46 and not dot)):
        if byte == 46:
            dot = True
        else:
            value = value * 10 + byte - 48
            n += 1
            scale -= 1 if dot else 0
        i += 1
        byte = int(f.text[i])
    sign = -1 if f.text[i + 1] == 45 else 1
    if (byte != 101 and byte != 69) or f.text[i - 1] == 46:
        return -1, i
    i += 2 if f.text[i + 1] == 45 or f.text[i + 1] == 43 else 1
    power = 0
    first = i
    byte = int(f.text[i])
    while 48 <= byte <= 57 and i - first < 3:
        power = power * 10 + byte - 48
        i += 1
        byte = int(f.text[i])
    return (shifted(value, n, scale + sign * power, unit) if i > first else -1), i


@kernel(store=False)
def shifted(value, n, power, unit):
    """Return value * 10^power of n digits in units, -1 when that is not whole or too long."""
    if n + power > DIGITS:
        return -1
    while power > 0:
        value *= 10
        power -= 1
    while power < 0:
        if value % 10 != 0:
            return -1
        if value == 0:
            return 0
        value //= 10
        power += 1
    return in_units(value, unit)


@kernel(store=False)
def in_units(value, unit):
    """Return how many units a value has, -1 when it lies between two."""
    if unit == 1:
        return value
    count = value // unit
    return count if count * unit == value else -1


@kernel(store=False)
def number(f, i, scale, unit):
    """Read an unsigned decimal; return it as a count of unit / 10^scale and where it ends.

    -1 when it is no plain decimal, lies between two steps, or has too many digits.
    """
    value = 0
    n = 0
    start = i
    wanted = scale
    first = i
    digit = int(f.text[i]) - 48
    while 0 <= digit <= 9 and n < DIGITS:
        value = value * 10 + digit
        n += 1
        i += 1
        digit = int(f.text[i]) - 48
    if i == first:
        return -1, i
    if digit == -2:
        i += 1
        first = i
        digit = int(f.text[i]) - 48
        while 0 <= digit <= 9 and scale > 0 and n < DIGITS:
            value = value * 10 + digit
            scale -= 1
            n += 1
            i += 1
            digit = int(f.text[i]) - 48
        while digit == 0:
            i += 1
            digit = int(f.text[i]) - 48
        if i == first:
            return -1, i
    if digit == 53 or digit == 21:  # e, E
        return scientific(f, start, wanted, unit)
    n += scale
    if n > DIGITS:
        return -1, i
    while scale > 0:
        value *= 10
        scale -= 1
    return in_units(value, unit), i


@kernel(store=False)
def line_end(f, i):
    """Return where the next line begins when this one ends at i, else -1."""
    if f.text[i] == 13:
        i += 1
    return i + 1 if f.text[i] == 10 else -1


@kernel(store=False)
def leave(c, i, n, code):
    """Note how far a kernel came."""
    c["pos"] = i
    c["count"] = n
    if code == ODD and c["last"] == i:  # its head was read: it will be read again
        c["changed"] -= c["moved"]
    return code
