"""The engine's own records and the tuple of arrays every kernel works on."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from framework.arena import arena
from framework.records import BAR, FEATURE, FILL, FUNDING, MARK, ORDER, SIGNAL

# one row per instrument: its rules, as numbers
RULES = np.dtype(
    [
        ("kind", "i8"),  # SPOT, LINEAR, INVERSE
        ("tick", "f8"),  # 0 = no grid
        ("tick_inv", "f8"),  # round(1/tick) when whole, else 0
        ("lot", "f8"),
        ("lot_inv", "f8"),
        ("min_notional", "f8"),
        ("multiplier", "f8"),
        ("maker", "f8"),  # fee fractions
        ("taker", "f8"),
        ("tier_first", "i8"),  # rows of `tiers`
        ("tier_end", "i8"),
        ("latency_first", "i8"),  # rows of `latency`
        ("latency_end", "i8"),
    ]
)

TIER = np.dtype([("max_notional", "f8"), ("rate", "f8"), ("amount", "f8")])
LATENCY = np.dtype([("ts", "i8"), ("order", "i8"), ("response", "i8")])

# one row per instrument: where its streams stand on the exchange side
CURSOR = np.dtype(
    [
        ("bar", "i8"),  # row of the current (or next) match bar
        ("bar_first", "i8"),
        ("bar_end", "i8"),
        ("opened", "i8"),  # 1 = that bar's open has happened
        ("hook", "i8"),  # next bar to show to on_bar
        ("hook_end", "i8"),
        ("same", "i8"),  # 1 = the shown bars are the match bars
        ("interval", "i8"),  # of the shown bars; 0 = this instrument wakes nobody
        ("seen", "i8"),  # next match bar to become visible to the strategy
        ("funding", "i8"),
        ("funding_end", "i8"),
        ("mark", "i8"),
        ("mark_end", "i8"),
        ("mark_price", "f8"),  # last mark row; NaN before the first
        ("mark_bar", "i8"),  # bar in which the last mark row fell
        ("used", "f8"),  # volume taken from the current bar
        ("used_before", "f8"),  # and from the one before it
        ("floor", "f8"),  # quiet stretch: no resting order acts above this price
        ("ceiling", "f8"),  # and below this one
        ("fill_bar", "i8"),  # bar the fill under way belongs to
        ("ambiguous_bar", "i8"),  # last bar counted as ambiguous
        ("ticks", "i8"),  # address of its tick streams; 0 = none
        ("shown", "i8"),  # hook bars of ticks: end of their times in `shown`; NONE = seen at their close
    ]
)

# one row per instrument and side (exchange first, then what the strategy knows)
ACCOUNT = np.dtype(
    [
        ("position", "f8"),
        ("entry", "f8"),  # average entry price
        ("mark", "f8"),  # price the side values its position at
        ("realised", "f8"),
        ("fees", "f8"),
        ("funding", "f8"),
        ("isolated", "f8"),  # isolated margin posted for the position
    ]
)

# one row per side
TOTAL = np.dtype(
    [
        ("start", "f8"),
        ("realised", "f8"),
        ("fees", "f8"),
        ("funding", "f8"),
        ("tokens", "f8"),
        ("liquidation", "f8"),
        ("cash", "f8"),  # the wallet, booked entry by entry
        ("flow", "f8"),  # what fills exchanged, by their own prices: no average entry in it
    ]
)

# one row: the clock, the counters, and the options of this run
CLOCK = np.dtype(
    [
        ("now", "i8"),
        ("stage", "i8"),  # 1 = strategy side of `now` still has something to do
        ("instrument", "i8"),  # of the event being shown
        ("row", "i8"),  # of the event being shown
        ("n", "i8"),  # instruments
        ("n_orders", "i8"),
        ("n_live", "i8"),
        ("n_requests", "i8"),
        ("n_fills", "i8"),
        ("n_journal", "i8"),
        ("expiry", "i8"),  # no order works past an earlier time than this; NEVER = none expires
        ("n_responses", "i8"),
        ("n_mine", "i8"),
        ("applied", "i8"),  # responses booked on the strategy's side
        ("shown", "i8"),  # responses shown to hooks
        ("last_seen_ts", "i8"),
        ("sequence", "i8"),  # of requests
        ("segment", "i8"),  # of requests
        ("told", "i8"),  # on_fill and on_order calls since the last bar, timer or quiet moment
        ("rows", "i8"),  # equity rows written
        ("due", "i8"),  # 1 = a bar became visible at `now`: an equity row is due
        ("closed", "i8"),  # 1 = a bar closed at `now`: the bust test is due
        ("signal", "i8"),
        ("signal_end", "i8"),
        ("signal_paid", "i8"),  # next signal whose cost is to be booked
        ("script", "i8"),  # next scripted request
        ("script_end", "i8"),
        ("timer", "i8"),  # next timer
        ("timer_step", "i8"),  # 0 = none
        ("end", "i8"),  # the last close: nothing happens at the exchange after it
        ("stop", "i8"),  # when the last close is seen here: no timer after it
        ("wake_fill", "i8"),
        ("wake_order", "i8"),
        ("wake_signal", "i8"),
        ("on_invalid", "i8"),  # what an invalid, refused or truncated decision does: HOLD, FLAT, HALT
        ("halted", "i8"),  # 1 = trading ended by such a decision: no hook is called any more
        ("wake_bar", "i8"),
        ("ambiguous", "i8"),
        ("late", "i8"),
        ("bust", "i8"),
        ("error", "i8"),
        ("strict", "i8"),
        ("tight", "i8"),  # 1 = bars may pass in quiet stretches; 0 = every event one by one, as a proof
        ("next_id", "i8"),
        ("at_close", "i8"),
        ("intrabar", "i8"),
        ("next_bar_exits", "i8"),
        ("isolated", "i8"),
        ("slip_in_range", "i8"),
        ("limit_slips", "i8"),  # a limit a bar opens beyond pays slippage, down to its limit (backtrader)
        ("stop_first", "i8"),  # a touched stop comes before its target, even one met at the open
        ("stop_at_level", "i8"),  # stop fills without slippage (vectorbt's stop price)
        ("grace", "f8"),
        ("slippage", "f8"),
        ("entry_spread", "f8"),
        ("impact", "f8"),
        ("volume_share", "f8"),  # 0 = no cap
        ("leverage", "f8"),
        ("feed", "i8"),  # ns from a bar's close to its arrival here
        ("worst_identity", "f8"),  # strict: largest relative break seen
        ("checks", "i8"),
        ("interpolate", "i8"),  # 1 = latencies between the rows of a table lie on a line
        ("max_order_notional", "f8"),  # risk limits; 0 = none
        ("max_position_notional", "f8"),
        ("ticks", "i8"),  # 1 = an instrument has trades or a book
        ("mixed", "i8"),  # 1 = and another has bars only
        ("queue", "i8"),  # queue model
        ("power", "f8"),
        ("whole", "i8"),  # 1 = a touched order fills whole
        ("trigger", "i8"),  # what triggers stops on ticks
        ("phase", "i8"),  # of the exchange's stamp under way: 0 trades, 1 messages, 2 the rest
        ("horizon", "i8"),  # no row of a later time is there yet; NEVER = all are
        ("starved", "i8"),  # 1 = the run waits for rows beyond it
        ("row_step", "i8"),  # ns between equity rows of a tick run
        ("row_at", "i8"),  # the next one, at the exchange
        ("row_due", "i8"),  # and here
        ("watch", "i8"),  # id of the order whose queue is written down; 0 = none
        ("n_trail", "i8"),
        ("room_trail", "i8"),
        ("wake_trade", "i8"),
        ("wake_book", "i8"),
        ("room_orders", "i8"),  # capacities of the tables that grow
        ("room_fills", "i8"),
        ("room_responses", "i8"),
        ("room_journal", "i8"),
        ("room_lists", "i8"),  # live, mine, requests, scratch
    ]
)

REQUEST = np.dtype(
    [
        ("ts", "i8"),  # sent
        ("arrival_ts", "i8"),
        ("segment", "i8"),  # a cancel or amend begins a new one: what was sent before it acts before it
        ("rank", "i8"),  # within a segment at one stamp: a cancel, then exits, then entries
        ("sequence", "i8"),
        ("kind", "i8"),  # 0 = a new order, else CANCEL, CANCEL_ALL, AMEND
        ("row", "i8"),  # order row
        ("instrument", "i8"),
        ("qty", "f8"),
        ("price", "f8"),
        ("trigger", "f8"),
        ("stop", "f8"),
        ("target", "f8"),
    ]
)

RESPONSE = np.dtype(
    [
        ("seen_ts", "i8"),
        ("order", "i8"),
        ("fill", "i8"),  # row in fills; NONE = a change of status
        ("status", "i8"),
    ]
)

SPAN = np.dtype(
    [("first", "i8"), ("end", "i8"), ("at", "i8")]
)  # rows of one feature stream; `at` = first unseen

# every change of cash that is no fill
JOURNAL = np.dtype(
    [
        ("ts", "i8"),
        ("instrument", "i8"),
        ("kind", "i8"),
        ("amount", "f8"),
        ("price", "f8"),
        ("qty", "f8"),
        ("row", "i8"),
    ]
)  # row = first equity row that knows of it
J_FUNDING, J_TOKENS, J_LIQUIDATION = 0, 1, 2

# the queue of one order, change by change
TRAIL = np.dtype([("ts", "i8"), ("ahead", "f8"), ("traded", "f8"), ("level", "f8"), ("why", "i8")])
T_JOINED, T_TRADE, T_LEVEL = 0, 1, 2

AT_OPEN, INSIDE, AT_CLOSE, FORCED = 0, 1, 2, 3  # where in its bar a fill happens

# what `advance` returns
DONE, WAKE_FILL, WAKE_ORDER, WAKE_SIGNAL, WAKE_BAR, WAKE_TIMER, GROW, FAILED = range(8)
WAKE_TRADE, WAKE_BOOK = 8, 9

# CLOCK["error"]
E_NONE, E_TOO_MANY, E_IDENTITY, E_ARGUMENT, E_LOOP, E_NUMBER = range(6)  # E_NUMBER + n: argument NUMBERS[n]
NUMBERS = ("qty", "share", "price", "trigger", "stop", "target", "trail")  # what a hook may leave out

MOST_TOLD = 100_000  # such calls between two bars: more is a hook that answers every answer with an order
HEADROOM = 1024  # free rows every table has before a hook or a step runs


class Sim(NamedTuple):
    """All arrays of one run. Read-only: bars funding marks signals features rules tiers latency script."""

    bars: np.ndarray
    funding: np.ndarray
    marks: np.ndarray
    signals: np.ndarray
    features: np.ndarray
    spans: np.ndarray
    rules: np.ndarray
    tiers: np.ndarray
    latency: np.ndarray
    cursor: np.ndarray
    account: np.ndarray
    total: np.ndarray
    clock: np.ndarray
    orders: np.ndarray
    live: np.ndarray  # rows of the orders the exchange works, by age
    mine: np.ndarray  # rows of the orders the strategy believes to be working
    requests: np.ndarray
    script: np.ndarray
    fills: np.ndarray
    responses: np.ndarray
    journal: np.ndarray
    equity: np.ndarray
    scratch: np.ndarray
    shown: np.ndarray  # times at which hook bars of ticks can be seen
    top: np.ndarray  # touch of the book last asked for by plain hooks
    row_ts: np.ndarray  # times and marks of the equity rows of a tick run
    row_marks: np.ndarray
    trail: np.ndarray


LONG, REAL = np.dtype("i8"), np.dtype("f8")
DTYPES = (
    BAR,
    FUNDING,
    MARK,
    SIGNAL,
    FEATURE,
    SPAN,
    RULES,
    TIER,
    LATENCY,
    CURSOR,
    ACCOUNT,
    TOTAL,
    CLOCK,
    ORDER,
    LONG,
    LONG,
    REQUEST,
    REQUEST,
    FILL,
    RESPONSE,
    JOURNAL,
    REAL,
    REAL,
    LONG,
    REAL,
    LONG,
    REAL,
    TRAIL,
)
sim_at = arena(Sim, DTYPES)
