"""The compiled driver of runs with tick streams: hooks and engine in one loop.

The text below the line is compiled once per strategy, as `drive`'s is.
"""

from __future__ import annotations

from framework.arena import call_at
from framework.engine.book_view import view_of
from framework.engine.drive import idle
from framework.engine.events import bar_event, fill_event, order_event, signal_event, trade_event
from framework.engine.state import (
    WAKE_BAR,
    WAKE_BOOK,
    WAKE_FILL,
    WAKE_ORDER,
    WAKE_SIGNAL,
    WAKE_TIMER,
    WAKE_TRADE,
    sim_at,
)
from framework.engine.tick_broker import tick_broker_of
from framework.jit import kernel

on_bar = on_fill = on_order = on_signal = on_timer = on_trade = on_book = idle

# ---- per strategy


@kernel(store=False)
def show(sim, me, code):
    """Call the hook an event is for."""
    c = sim.clock[0]
    k = c["instrument"]
    if code == WAKE_TRADE:
        on_trade(me, trade_event(sim, k, c["row"]), tick_broker_of(sim, k))
    elif code == WAKE_BOOK:
        on_book(me, view_of(sim, k), tick_broker_of(sim, k))
    elif code == WAKE_FILL:
        fill = fill_event(sim, c["row"])
        on_fill(me, fill, tick_broker_of(sim, fill.instrument))
    elif code == WAKE_ORDER:
        change = order_event(sim, c["row"])
        on_order(me, change, tick_broker_of(sim, change.instrument))
    elif code == WAKE_SIGNAL:
        signal = signal_event(sim, c["row"])
        on_signal(me, signal, tick_broker_of(sim, signal.instrument))
    elif code == WAKE_BAR:
        on_bar(me, bar_event(sim.bars[c["row"]], k, c["now"]), tick_broker_of(sim, k))
    elif code == WAKE_TIMER:
        on_timer(me, c["now"], tick_broker_of(sim, 0))
    else:
        return False
    return True


@kernel(store=False)
def drive(address, me, advance):
    """Run to the end inside compiled code; returns DONE, GROW (call again after growing) or FAILED."""
    sim = sim_at(address)
    while True:
        code = call_at(advance, address)
        if not show(sim, me, code):
            return code
