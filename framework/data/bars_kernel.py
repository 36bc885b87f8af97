"""Kernels: trades to bars of time, and of so many trades, so much volume or so much money.

Sums are kept with what rounding lost (Knuth's two-sum), and known to lie on the decimals of the amounts: the
volume of a bar is the decimal one would add up by hand.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from framework.arena import arena
from framework.jit import entry, kernel
from framework.records import NEVER

DONE, FULL, BACK, PRICE, AMOUNT, BUCKET = 0, 1, 2, 3, 4, 5  # why a kernel came back
TIME, TICKS, VOLUME, DOLLARS = 0, 1, 2, 3  # what makes a bar full
WINDOW = 500  # rows with an id in which one is looked for again, as in `streams`
HEADS, RINGS = 1024, 512
FINEST = 1e12  # amounts with more than 12 decimals lie on no grid

BAR_FIELDS = [
    ("open_ts", "i8"), ("close_ts", "i8"), ("open", "f8"), ("high", "f8"), ("low", "f8"), ("close", "f8"),
    ("volume", "f8"), ("buy_volume", "f8"), ("sell_volume", "f8"), ("trades", "i8"), ("vwap", "f8"),
    ("first_ts", "i8"), ("last_ts", "i8"),
]  # fmt: skip
SUMS = [(name, "f8") for name in (
    "buy", "buy_rest", "sell", "sell_rest", "other", "other_rest",  # amounts by side, other: unknown
    "value", "value_rest",  # price times amount
)]  # fmt: skip
WORK = np.dtype([field for field in BAR_FIELDS if "vol" not in field[0] and field[0] != "vwap"] + SUMS)
STATE = np.dtype(
    [(name, "i8") for name in (
        "kind", "interval", "anchor",  # anchor: where intervals of fixed length are counted from
        "low", "high",  # the calendar bucket the caller worked out; interval 0 = buckets are the caller's
        "next", "count",  # trades of the block
        "size", "room", "going",  # bars; going: the last one takes more trades
        "local", "sequence", "latest",  # last arrival; rows with an id; latest bar's open
        "rows", "repeated", "zero", "late", "ahead",  # counts; ahead: most ns a stamp lies after its arrival
    )] + [("scale", "f8"), ("limit", "f8")]
)  # fmt: skip  # scale: 10^decimals of the amounts, 0 = no grid; limit: trades, volume or money of a bar
RING = np.dtype([("id", "i8"), ("before", "i8")])  # before: the sequence of the row before in its chain
TS, REAL, SIDE, FLAG = np.dtype("i8"), np.dtype("f8"), np.dtype("i1"), np.dtype("u1")


class Block(NamedTuple):
    """Trades in order of arrival, the ids seen before, and the bars that are made."""

    state: NDArray[Any]
    ts: NDArray[Any]
    local_ts: NDArray[Any]
    price: NDArray[Any]
    amount: NDArray[Any]
    side: NDArray[Any]
    id: NDArray[Any]
    named: NDArray[Any]
    heads: NDArray[Any]
    ring: NDArray[Any]
    bars: NDArray[Any]


block_at = arena(Block, (STATE, TS, TS, REAL, REAL, SIDE, TS, FLAG, TS, RING, WORK))


@kernel(store=False)
def is_repeated(t, c, id):
    """Say whether one of the 500 rows with an id before has this one; remember it."""
    own = c["sequence"] + 1
    c["sequence"] = own
    head = id & (HEADS - 1)
    first = t.heads[head]
    row = t.ring[own & (RINGS - 1)]
    row["id"] = id
    row["before"] = first
    t.heads[head] = own
    at = first
    while at > 0 and own - at <= WINDOW:
        if t.ring[at & (RINGS - 1)]["id"] == id:
            return True
        at = t.ring[at & (RINGS - 1)]["before"]
    return False


@kernel(store=False)
def refined(scale, amount):
    """Return the scale that holds an amount too, 0.0 when it has too many decimals."""
    while scale <= FINEST and math.floor(amount * scale + 0.5) / scale != amount:
        scale *= 10.0
    return scale if scale <= FINEST else 0.0


@kernel(store=False)
def on_grid(scale, total):
    """Return a sum of amounts as the decimal it stands for."""
    steps = total * scale
    if scale == 0.0 or steps >= 9e15:
        return total
    return math.floor(steps + 0.5) / scale


@kernel(store=False, inline=True)
def lost(total, value, after):
    """Return what rounding took from `after` = total + value."""
    part = after - total
    return (total - (after - part)) + (value - part)


@kernel(store=False)
def start_bar(bar, low, high, price):
    """Begin a bar without trades."""
    bar["open_ts"], bar["close_ts"] = low, high
    bar["open"] = bar["high"] = bar["low"] = bar["close"] = price
    bar["first_ts"], bar["last_ts"], bar["trades"] = NEVER, -1, 0
    bar["buy"] = bar["buy_rest"] = bar["sell"] = bar["sell_rest"] = 0.0
    bar["other"] = bar["other_rest"] = bar["value"] = bar["value_rest"] = 0.0


@kernel(store=False, inline=True)
def is_odd(price, amount):
    """Say whether a row cannot be used."""
    return not (price > 0.0 and price < math.inf and amount >= 0.0 and amount < math.inf)


@kernel(store=False)
def fault(t, c, i):
    """Return why a row cannot be used, DONE when it can."""
    if t.local_ts[i] < c["local"]:
        return BACK
    if is_odd(t.price[i], t.amount[i]):
        return AMOUNT if t.price[i] > 0.0 and t.price[i] < math.inf else PRICE
    return DONE


@kernel(store=False)
def is_left_out(t, c, i):
    """Count a row; say whether it makes no bar: a repeated id, an amount of zero."""
    if t.named[i] != 0 and is_repeated(t, c, t.id[i]):
        c["repeated"] += 1
        return True
    if t.amount[i] == 0.0:
        c["zero"] += 1
        return True
    return False


@kernel(store=False)
def take_run(t, c, bar, i):
    """Add trades to a bar from row `i` on, which is known to be one; return the first row that is not.

    The run ends at a trade that belongs elsewhere, at a row that cannot be used, and where the bar is full.
    Open and close are those of the first and last exchange time, equal ones in file order.
    """
    low = bar["open_ts"] if c["kind"] == TIME else -1
    high = bar["close_ts"] if c["kind"] == TIME else NEVER
    limit = c["limit"]
    count = c["count"]
    scale = c["scale"]
    local = c["local"]
    ahead = c["ahead"]
    first_ts = bar["first_ts"]
    last_ts = bar["last_ts"]
    top = bar["high"]
    bottom = bar["low"]
    trades = bar["trades"]
    value = bar["value"]
    rest = bar["value_rest"]
    known = True
    while i < count:
        ts = t.ts[i]
        price = t.price[i]
        amount = t.amount[i]
        arrival = t.local_ts[i]
        if ts < low or ts >= high or arrival < local or is_odd(price, amount):
            break
        local = arrival
        ahead = max(ahead, ts - arrival)
        if not known and is_left_out(t, c, i):
            i += 1
            continue
        known = False
        if scale > 0.0 and math.floor(amount * scale + 0.5) / scale != amount:
            scale = refined(scale, amount)
        if ts < first_ts:
            first_ts = ts
            bar["open"] = price
        if ts >= last_ts:
            last_ts = ts
            bar["close"] = price
        top = max(top, price)
        bottom = min(bottom, price)
        trades += 1
        money = price * amount
        after = value + money
        rest += lost(value, money, after)
        value = after
        add_amount(bar, t.side[i], amount)
        i += 1
        if limit > 0.0 and is_full(c["kind"], limit, scale, trades, bar, value + rest):
            c["going"] = 0
            break
    c["scale"] = scale
    c["local"] = local
    c["ahead"] = ahead
    bar["first_ts"] = first_ts
    bar["last_ts"] = last_ts
    bar["high"] = top
    bar["low"] = bottom
    bar["trades"] = trades
    bar["value"] = value
    bar["value_rest"] = rest
    return i


@kernel(store=False)
def add_amount(bar, side, amount):
    """Add an amount to the sum of its side."""
    if side > 0:
        total = bar["buy"]
        bar["buy"] = total + amount
        bar["buy_rest"] += lost(total, amount, total + amount)
    elif side < 0:
        total = bar["sell"]
        bar["sell"] = total + amount
        bar["sell_rest"] += lost(total, amount, total + amount)
    else:
        total = bar["other"]
        bar["other"] = total + amount
        bar["other_rest"] += lost(total, amount, total + amount)


@kernel(store=False)
def volume_of(bar):
    """Return the volume of all sides."""
    return bar["buy"] + bar["sell"] + bar["other"] + (bar["buy_rest"] + bar["sell_rest"] + bar["other_rest"])


@kernel(store=False)
def is_full(kind, limit, scale, trades, bar, money):
    """Say whether a bar has the trades, the volume or the money that make it full."""
    if kind == TICKS:
        return trades >= limit
    if kind == VOLUME:
        volume = volume_of(bar)
        return volume > limit * 0.999999 and on_grid(scale, volume) >= limit
    return money >= limit


@kernel(store=False)
def bar_before(t, c, ts):
    """Return the last bar that opens at or before a time, -1 when there is none."""
    low = 0
    high = c["size"]
    while low < high:
        middle = (low + high) >> 1
        if t.bars[middle]["open_ts"] <= ts:
            low = middle + 1
        else:
            high = middle
    return low - 1


@kernel(store=False)
def place_of(t, c, ts, price):
    """Return the bar a trade belongs to, made where it is the first; there is room for it."""
    at = bar_before(t, c, ts)
    if at >= 0 and ts < t.bars[at]["close_ts"]:
        return at
    low = c["low"]
    high = c["high"]
    interval = c["interval"]
    if interval > 0:
        low = (ts - c["anchor"]) // interval * interval + c["anchor"]
        high = low + interval
    for k in range(c["size"], at + 1, -1):
        t.bars[k] = t.bars[k - 1]
    start_bar(t.bars[at + 1], low, high, price)
    c["size"] += 1
    c["latest"] = max(c["latest"], low)
    return at + 1


@kernel(store=False)
def lacks(c, ts):
    """Say what a bar that may have to be made needs: FULL its room, BUCKET its calendar bucket."""
    if c["size"] == c["room"]:
        return FULL
    return BUCKET if c["interval"] == 0 and (ts < c["low"] or ts >= c["high"]) else DONE


@entry("int64(int64)", nogil=True)
def bucket_trades(address):
    """Put trades into bars of time; the exchange time says which."""
    t = block_at(address)
    c = t.state[0]
    i = c["next"]
    count = c["count"]
    code = DONE
    while i < count:
        ts = t.ts[i]
        code = fault(t, c, i)
        if code == DONE:
            code = lacks(c, ts)
        if code != DONE:
            break
        if is_left_out(t, c, i):
            c["local"] = t.local_ts[i]
            i += 1
            continue
        bar = t.bars[place_of(t, c, ts, t.price[i])]
        before = bar["trades"]
        i = take_run(t, c, bar, i)
        if bar["open_ts"] < c["latest"]:
            c["late"] += bar["trades"] - before
    c["rows"] += i - c["next"]
    c["next"] = i
    return code


@entry("int64(int64)", nogil=True)
def count_trades(address):
    """Put trades into bars that end with the trade that makes them full, in order of arrival."""
    t = block_at(address)
    c = t.state[0]
    i = c["next"]
    count = c["count"]
    code = DONE
    while i < count:
        code = fault(t, c, i)
        if code == DONE and c["going"] == 0 and c["size"] == c["room"]:
            code = FULL
        if code != DONE:
            break
        if is_left_out(t, c, i):
            c["local"] = t.local_ts[i]
            i += 1
            continue
        if c["going"] == 0:
            start_bar(t.bars[c["size"]], 0, 0, t.price[i])
            c["size"] += 1
            c["going"] = 1
        bar = t.bars[c["size"] - 1]
        i = take_run(t, c, bar, i)
        bar["open_ts"] = bar["first_ts"]
        bar["close_ts"] = bar["last_ts"]
    c["rows"] += i - c["next"]
    c["next"] = i
    return code
