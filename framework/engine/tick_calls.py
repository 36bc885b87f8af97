"""Kernels of tick runs as Python calls them, by the address of a run's arrays."""

from __future__ import annotations

from typing import Any

from framework.engine import replay, ticking
from framework.engine.book_view import (
    best_price,
    best_size,
    book_age,
    bought_share,
    depth_of,
    known_book,
    level_price,
    level_size,
    size_until,
)
from framework.engine.seeing import known_worth, see_trades
from framework.engine.sending import NAN, UNSET, place
from framework.engine.state import Sim, sim_at
from framework.engine.tick_broker import known_price
from framework.engine.ticks import LOCAL, ticks_at
from framework.jit import entry, native
from framework.records import NEVER

AGE, PRICE, SIZE, DEPTH, SIZE_TO, PRESSURE, WORTH, KNOWN = range(8)


def advance_of(sim: Sim) -> Any:
    """Return the compiled `advance` for a run's arrays."""
    return native(ticking.advance_at if sim.clock[0]["ticks"] == 1 else replay.advance_at)


@entry("int64(int64, int64)")
def book_top(address, k):
    """Write best bid and ask and their sizes to row k of `top`."""
    sim = sim_at(address)
    sim.top[4 * k] = best_price(sim, k, 1)
    sim.top[4 * k + 1] = best_price(sim, k, -1)
    sim.top[4 * k + 2] = best_size(sim, k, 1)
    sim.top[4 * k + 3] = best_size(sim, k, -1)
    return 0


@entry("float64(int64, int64, int64, int64, float64)")
def book_number(address, k, what, side, x):
    """Answer one question about the book, the trades or the account."""
    sim = sim_at(address)
    if what == AGE:
        return float(book_age(sim, k))
    if what == PRICE:
        return level_price(sim, k, side, int(x))
    if what == SIZE:
        return level_size(sim, k, side, int(x))
    if what == DEPTH:
        return depth_of(sim, k, side, int(x))
    if what == SIZE_TO:
        return size_until(sim, k, side, x)
    if what == PRESSURE:
        return bought_share(sim, k, int(x))
    if what == WORTH:
        return known_worth(sim)
    if what == KNOWN:
        return known_price(sim, k)
    return NAN


@entry("int64(int64, int64)")
def message_known(address, k):
    """Count the messages of a book that have arrived."""
    return known_book(sim_at(address), k).books[LOCAL]["message"]


@entry("int64(int64)")
def read_to_horizon(address):
    """Let both books take every row up to the horizon."""
    ticking.read_out(sim_at(address))
    return 0


@entry("int64(int64, int64)")
def trades_seen(address, k):
    """Count the trades of an instrument that have arrived."""
    sim = sim_at(address)
    if sim.cursor[k]["ticks"] == 0:
        return 0
    return see_trades(ticks_at(sim.cursor[k]["ticks"]), sim.clock[0]["now"])


@entry("int64(int64, int64, int64, float64, float64, boolean, boolean)")
def send_limit(address, k, side, qty, price, post_only, reduce_only):
    """`broker.order` of a plain limit."""
    return place(
        sim_at(address), k, side, qty, UNSET, price, UNSET, UNSET, UNSET, UNSET, 0, post_only, reduce_only, 0,
        NEVER,
    )
