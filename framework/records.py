"""Every structured dtype and every integer constant, in one room.

Times are int64 nanoseconds UTC, prices and quantities float64. `NEVER` stands for "no time given".
"""

from __future__ import annotations

import numpy as np

NEVER = 2**62  # a time later than every time; never add two of them
NONE = -1  # "no such row" in an index field

# order kinds
MARKET, LIMIT, STOP, STOP_LIMIT, TRAILING, CLOSE, LIQUIDATION = 0, 1, 2, 3, 4, 5, 6
KIND_NAMES = ("market", "limit", "stop", "stop_limit", "trailing", "close", "liquidation")

# requests that are not orders
CANCEL, CANCEL_ALL, AMEND = 10, 11, 12

BUY, SELL = 1, -1

# time in force
GTC, IOC, FOK, GTD = 0, 1, 2, 3
TIF_NAMES = ("GTC", "IOC", "FOK", "GTD")

# order status: in flight, working at the exchange, and the final ones
PENDING, OPEN, FILLED, CANCELLED, EXPIRED, REJECTED = 0, 1, 2, 3, 4, 5
STATUS_NAMES = ("open", "open", "filled", "cancelled", "expired", "rejected")

# why an order ended; index = code
REASONS = (
    "",  # 0
    "below lot",  # 1
    "below min notional",  # 2
    "insufficient margin",  # 3
    "post-only would take",  # 4
    "reduce-only would increase",  # 5
    "account is bust",  # 6
    "cancelled by strategy",  # 7
    "IOC remainder",  # 8
    "FOK not fillable",  # 9
    "no position",  # 10
    "other order of the group filled",  # 11
    "position closed",  # 12
    "past expire_ts",  # 13
    "liquidation",  # 14
    "bust",  # 15
    "risk limit",  # 16
    "stop",  # 17  bracket child: why the trade ended
    "target",  # 18
    "trail",  # 19
    "price below zero",  # 20
    "book exhausted",  # 21
)
(
    R_NONE,
    R_LOT,
    R_NOTIONAL,
    R_MARGIN,
    R_POST_ONLY,
    R_REDUCE_ONLY,
    R_BUST_ACCOUNT,
    R_CANCEL,
    R_IOC,
    R_FOK,
    R_FLAT,
    R_GROUP,
    R_CLOSED,
    R_EXPIRED,
    R_LIQUIDATION,
    R_BUST,
    R_RISK,
    R_STOP,
    R_TARGET,
    R_TRAIL,
    R_PRICE,
    R_DEPTH,
) = range(22)

# instrument kinds
SPOT, LINEAR, INVERSE = 0, 1, 2
INSTRUMENT_KINDS = ("spot", "linear", "inverse")

# intrabar rules
WORST, BEST, OPEN_FIRST = 0, 1, 2
INTRABAR_NAMES = ("worst", "best", "open_first")

# margin modes
CROSS, ISOLATED = 0, 1
MARGIN_NAMES = ("cross", "isolated")

# queue models of books, and what triggers stops there
RISK_AVERSE, POWER, LOG, FRONT, BACK = 0, 1, 2, 3, 4
QUEUE_NAMES = ("risk_averse", "power", "log", "front", "back")
BY_TRADE, BY_MARK, BY_QUOTE = 0, 1, 2
TRIGGER_NAMES = ("trade", "mark", "quote")

# market regimes and decision status of a signal row
REGIMES = ("trending_up", "trending_down", "ranging", "volatile", "uncertain")
DIRECTIONS = {"long": 1, "short": -1, "neutral": 0}
SIGNAL_STATUS = ("ok", "invalid", "refused", "truncated", "missing", "withheld")
OK, MISSING = SIGNAL_STATUS.index("ok"), SIGNAL_STATUS.index("missing")
WITHHELD = SIGNAL_STATUS.index("withheld")  # a valid decision that never reached the strategy (see `Replies`)
ASK = len(SIGNAL_STATUS)  # no decision: the time at which a portfolio question is due
HOLD, FLAT, HALT = range(3)  # what an unusable decision does: nothing, close, close and end trading
ON_INVALID_NAMES = ("hold", "flat", "stop")

BAR = np.dtype(
    [
        ("open_ts", "i8"),  # ns; the first instant of the bar
        ("close_ts", "i8"),  # ns; exclusive end; the bar can be seen from here on
        ("open", "f8"),
        ("high", "f8"),
        ("low", "f8"),
        ("close", "f8"),
        ("volume", "f8"),  # base units (contracts for inverse)
    ]
)

FUNDING = np.dtype(
    [
        ("ts", "i8"),  # ns; nominal boundary (recorded stamp floored to the second)
        ("rate", "f8"),  # fraction of notional; longs pay when positive
    ]
)

MARK = np.dtype([("ts", "i8"), ("price", "f8")])

FEATURE = np.dtype([("ts", "i8"), ("value", "f8")])  # ts = when the value could be known

TRADE = np.dtype(
    [
        ("ts", "i8"),  # ns; effective exchange time: min(running max of the file's stamps, local_ts)
        ("local_ts", "i8"),  # ns; arrival here
        ("raw_ts", "i8"),  # ns; exchange time as the file has it: bars are built by it
        ("lots", "i8"),  # quantity in lots of the instrument
        ("tick", "i4"),  # price in ticks of the instrument
        ("side", "i4"),  # of the taker: +1 bought, -1 sold, 0 unknown
    ]
)

MESSAGE = np.dtype(
    [
        ("ts", "i8"),  # ns; effective exchange time of the message's last row
        ("local_ts", "i8"),  # ns; arrival here
        ("first", "i8"),  # its first row in keys and lots; the next message's is the end
    ]
)

QUOTE = np.dtype(
    [
        ("ts", "i8"),  # ns; effective exchange time
        ("local_ts", "i8"),
        ("bid", "f8"),  # NaN = that side is empty
        ("bid_size", "f8"),
        ("ask", "f8"),
        ("ask_size", "f8"),
    ]
)

UNKNOWN = -1  # lots of a level that left the visible depth: not empty, not known

SIGNAL = np.dtype(
    [
        ("ts", "i8"),  # ns; when the question was asked
        ("arrival_ts", "i8"),  # ns; when the reply arrived (ts + latency)
        ("instrument", "i8"),  # index in Market.instruments
        ("regime", "i8"),  # index in REGIMES
        ("direction", "i8"),  # +1 long, -1 short, 0 neutral
        ("confidence", "f8"),  # 0..1
        ("entry", "f8"),  # price; NaN when neutral
        ("stop", "f8"),
        ("target", "f8"),
        ("size", "f8"),  # fraction of equity, 0..1
        ("risk_reward", "f8"),  # |target - entry| / |entry - stop|, recomputed here
        ("cost", "f8"),  # settlement currency, booked at arrival
        ("in_sample", "i8"),  # 1 = the model may remember this time
        ("status", "i8"),  # index in SIGNAL_STATUS; strategies are woken for 0 only; ASK in the engine
        ("id", "i8"),  # row in the decisions table
    ]
)

ORDER_FIELDS = (
    ("id", "i8"),
    ("instrument", "i8"),
    ("kind", "i8"),
    ("side", "i8"),
    ("tif", "i8"),
    ("post_only", "i8"),
    ("reduce_only", "i8"),
    ("group", "i8"),
    ("status", "i8"),
    ("reason", "i8"),
    ("ts", "i8"),  # decision time
    ("arrival_ts", "i8"),  # at the exchange
    ("end_ts", "i8"),  # became final at the exchange; NEVER while open
    ("expire_ts", "i8"),  # GTD; NEVER = none
    ("last_fill_ts", "i8"),
    ("n_fills", "i8"),
    ("asked_qty", "f8"),  # as the caller wrote it; NaN when sized by share
    ("asked_price", "f8"),
    ("asked_trigger", "f8"),
    ("qty", "f8"),  # quantised; NaN until a share is sized at the fill
    ("share", "f8"),
    ("price", "f8"),  # limit, NaN = none
    ("trigger", "f8"),  # stop, NaN = none
    ("stop", "f8"),  # bracket levels for this entry, NaN = none
    ("target", "f8"),
    ("trail", "f8"),  # distance in price units, NaN = none
    ("filled", "f8"),
    ("value", "f8"),  # sum of price * qty, for the average
    ("extreme", "f8"),  # trailing: best price known
    ("parent", "i8"),  # bracket child: row of its entry, NONE otherwise
    ("triggered", "i8"),  # stop-limit and capped stops: 1 = works as limit or market now
    ("role", "i8"),  # R_STOP, R_TARGET, R_TRAIL for bracket children, else 0
    ("seen_bar", "i8"),  # bar of its first look; NONE before
    ("works_in", "i8"),  # bar inside which it may be matched: one whose open it met
    ("dropped", "i8"),  # 1 = its group filled while it travelled: it ends when it arrives
    ("known", "i8"),  # status as the strategy knows it
    ("known_filled", "f8"),
    ("since", "i8"),  # on ticks: when it took its place among own orders
    ("tick", "i8"),  # limit price in ticks, while it rests in a book
    ("ahead", "f8"),  # lots before it in the queue
    ("level", "f8"),  # lots shown at its level when they last changed
    ("traded", "f8"),  # lots traded there since
)
ORDER = np.dtype(list(ORDER_FIELDS))

FILL = np.dtype(
    [
        ("order", "i8"),  # row in the orders table
        ("order_id", "i8"),
        ("ts", "i8"),
        ("seen_ts", "i8"),  # when the strategy learns of it
        ("bar_open_ts", "i8"),
        ("instrument", "i8"),
        ("side", "i8"),
        ("price", "f8"),
        ("qty", "f8"),
        ("fee", "f8"),  # paid; negative = rebate
        ("maker", "i8"),
        ("slippage", "f8"),  # money lost against the raw price
        ("equity", "f8"),  # true account just after
        ("row", "i8"),  # first equity row that knows of it
        ("liquidation", "f8"),  # shortfall the venue bore with it
    ]
)
