"""Kernels of the doctor: one stream against another, by the ranges their best prices had in short times."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from framework.arena import arena
from framework.data.doctor_book import BUCKET, BUCKETS, TOP
from framework.jit import entry, kernel

STATE = np.dtype(
    [(name, "i8") for name in (
        "count", "row", "day", "first", "last",  # first and last bucket with both
        "reach", "longest",  # buckets
        "compared", "differ", "differ_at", "run", "longest_run", "longest_at",
        "outside", "outside_row", "outside_at",
    )] + [("step", "f8"), ("share", "f8"), ("worst", "f8")]
)  # fmt: skip
WHOLE, REAL = np.dtype("i8"), np.dtype("f8")


class Against(NamedTuple):
    """Two books, or a book and deals."""

    state: NDArray[Any]
    tops: NDArray[Any]
    others: NDArray[Any]
    ts: NDArray[Any]
    local: NDArray[Any]
    price: NDArray[Any]


against_at = arena(Against, (STATE, TOP, TOP, WHOLE, WHOLE, REAL))


@kernel(store=False)
def lower(a, b):
    """Return the smaller of two, NaN counting for nothing."""
    return b if not a <= b and b == b else a


@kernel(store=False)
def higher(a, b):
    """Return the larger of two, NaN counting for nothing."""
    return b if not a >= b and b == b else a


@entry("int64(int64)")
def fill(address):
    """Carry the best prices into the times without a row: what holds at the end of a bucket holds on."""
    t = against_at(address)
    c = t.state[0]
    for i in range(c["first"] + 1, c["last"] + 1):
        before = t.tops[i - 1]
        top = t.tops[i]
        touched = top["bid_low"] == top["bid_low"] or top["ask_low"] == top["ask_low"]
        if not touched:
            top["bid"] = before["bid"]
            top["ask"] = before["ask"]
        top["bid_low"] = lower(top["bid_low"], before["bid"])
        top["bid_high"] = higher(top["bid_high"], before["bid"])
        top["ask_low"] = lower(top["ask_low"], before["ask"])
        top["ask_high"] = higher(top["ask_high"], before["ask"])
    return 0


@kernel(store=False)
def apart(low, high, other_low, other_high, step):
    """True when two ranges lie apart by more than a step; a range that is not known never does."""
    return low > other_high + step or high < other_low - step


@entry("int64(int64)")
def compare_tops(address):
    """Count the buckets in which two books show best prices that lie apart, `reach` buckets around."""
    t = against_at(address)
    c = t.state[0]
    for i in range(c["first"], c["last"] + 1):
        other = t.others[i]
        bid_low = bid_high = ask_low = ask_high = np.nan
        for j in range(max(i - c["reach"], c["first"]), min(i + c["reach"], c["last"]) + 1):
            top = t.tops[j]
            bid_low = lower(bid_low, top["bid_low"])
            bid_high = higher(bid_high, top["bid_high"])
            ask_low = lower(ask_low, top["ask_low"])
            ask_high = higher(ask_high, top["ask_high"])
        c["compared"] += 1
        differs = apart(bid_low, bid_high, other["bid_low"], other["bid_high"], c["step"])
        differs = differs or apart(ask_low, ask_high, other["ask_low"], other["ask_high"], c["step"])
        if not differs:
            c["run"] = 0
            continue
        if c["differ"] == 0:
            c["differ_at"] = c["day"] + i * BUCKET
        c["differ"] += 1
        c["run"] += 1
        if c["run"] > c["longest_run"]:
            c["longest_run"] = c["run"]
            c["longest_at"] = c["day"] + (i - c["run"] + 1) * BUCKET
    return c["differ"]


@entry("int64(int64)")
def deals_against(address):
    """Count deals outside the best prices of the time from a second before them to one after arrival."""
    t = against_at(address)
    c = t.state[0]
    for n in range(c["count"]):
        local = t.local[n]
        last = min((local - c["day"]) // BUCKET + c["reach"], BUCKETS - 1)
        begin = max(min(t.ts[n], local) - c["day"], 0) // BUCKET - c["reach"]
        begin = max(begin, last - c["longest"], c["first"])
        if last - c["reach"] > c["last"] or last < c["first"]:
            continue
        low = high = np.nan
        for j in range(begin, min(last, c["last"]) + 1):
            low = lower(low, t.tops[j]["bid_low"])
            high = higher(high, t.tops[j]["ask_high"])
        price = t.price[n]
        far = max(low - price, price - high)
        c["compared"] += 1
        if far > c["share"] * price + c["step"]:
            if c["outside"] == 0:
                c["outside_row"] = c["row"] + n + 1
                c["outside_at"] = local
            c["outside"] += 1
            c["worst"] = max(c["worst"], far / price)
    c["row"] += c["count"]
    return c["outside"]
