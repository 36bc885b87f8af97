"""The tick streams of one instrument as kernels see them, and where its cursors stand."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from framework.arena import arena
from framework.engine.state import LONG
from framework.records import MESSAGE, TRADE

EXCHANGE, LOCAL = 0, 1  # the two books: rows by their exchange time, rows by their arrival here
NO_TICK = 2**40  # beyond every tick; -NO_TICK below every one

# one row per instrument
PLACE = np.dtype(
    [
        ("has_book", "i8"),
        ("n_messages", "i8"),
        ("n_trades", "i8"),
        ("tick", "f8"),
        ("tick_inv", "f8"),
        ("lot", "f8"),
        ("lot_inv", "f8"),
        ("message", "i8"),  # next message to meet own orders
        ("trade", "i8"),  # next trade to meet own orders
        ("trade_shown", "i8"),  # next trade for on_trade
        ("message_shown", "i8"),  # next message for on_book
        ("trade_seen", "i8"),  # trades the strategy has seen
        ("fenced", "i8"),  # 1 = the fence below stands
        ("resting", "i8"),  # own orders rows can touch
        ("bid_low", "i8"),  # fence: ticks of own resting limits, ticks at which trades reach something
        ("bid_high", "i8"),
        ("ask_low", "i8"),
        ("ask_high", "i8"),
        ("up", "i8"),
        ("down", "i8"),
        ("every", "i8"),  # 1 = every message is to be looked at
        ("hit", "i8"),  # what the scan stopped at: 0 a trade, 1 a message
        ("row", "i8"),  # and in the message, the first row that touches an own order
    ]
)

# one row per book
BOOK = np.dtype(
    [
        ("message", "i8"),  # next message to apply
        ("offset", "i8"),  # key of the window's first cell (even)
        ("cells", "i8"),
        ("bid_hint", "i8"),  # no bid of the window lies above this cell pair, no ask below the other
        ("ask_hint", "i8"),
        ("far_size", "i8"),
        ("far_bid", "i8"),  # no far bid lies above this tick, no far ask below the other
        ("far_ask", "i8"),
        ("bid", "i8"),  # best ticks as of the last look; -NO_TICK, NO_TICK = none
        ("ask", "i8"),
    ]
)

FAR = np.dtype([("key", "i8"), ("lots", "i8")])  # key -1 = free


class Ticks(NamedTuple):
    """Streams (read-only), cursors, and the two books of one instrument."""

    messages: np.ndarray  # n + 1 rows, the last a sentinel
    keys: np.ndarray
    lots: np.ndarray
    trades: np.ndarray
    place: np.ndarray
    books: np.ndarray
    near: np.ndarray  # lots by key, both windows one after the other
    far: np.ndarray  # open addressing: levels outside the window, both books one after the other


ticks_at = arena(Ticks, (MESSAGE, np.dtype("i4"), LONG, TRADE, PLACE, BOOK, LONG, FAR))
