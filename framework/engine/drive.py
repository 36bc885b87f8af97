"""The compiled driver: hooks and engine in one loop, with a tight path while nothing rests.

The text below the line is compiled once per strategy, with the names on_bar, on_fill, on_order, on_signal and
on_timer bound to its hooks: a function that takes its hooks as arguments could not be kept on disk.
"""

from __future__ import annotations

from framework.arena import call_at
from framework.engine.broker import broker_of
from framework.engine.events import bar_event, fill_event, order_event, signal_event
from framework.engine.ledger import balance, gain
from framework.engine.replay import is_full, leave_quiet, quiet_instrument, quiet_until
from framework.engine.state import GROW, WAKE_BAR, WAKE_FILL, WAKE_ORDER, WAKE_SIGNAL, WAKE_TIMER, sim_at
from framework.jit import kernel
from framework.records import NONE


@kernel(store=False)
def idle(me, event, broker):
    """Stand in for a hook the strategy does not have."""


on_bar = on_fill = on_order = on_signal = on_timer = idle

# ---- per strategy


@kernel(store=False)
def run_quiet(sim, me):
    """Run through bars while nothing rests: mark, write equity, call the hook, stop at the first order."""
    c = sim.clock[0]
    until = quiet_until(sim, 0)
    cur = sim.cursor[0]
    held = sim.account[1]
    rule = sim.rules[0]
    start = cur["bar"]
    row = start
    end = cur["bar_end"]
    base = balance(sim.total[1])
    q = held["position"]
    entry = held["entry"]
    kind = rule["kind"]
    multiplier = rule["multiplier"]
    shows = cur["same"] == 1 and c["wake_bar"] == 1
    interval = cur["interval"]
    rows = c["rows"]
    broker = broker_of(sim, 0)
    while row < end:
        bar = sim.bars[row]
        ts = bar["close_ts"]
        if ts >= until:
            break
        price = bar["close"]
        worth = base + (gain(kind, multiplier, q, entry, price) if q != 0.0 else 0.0)
        if worth <= 0.0:
            break
        held["mark"] = price
        c["now"] = ts
        sim.equity[rows] = worth
        rows += 1
        row += 1
        if shows:
            on_bar(me, bar_event(bar, 0, interval, ts), broker)
            if c["n_requests"] > 0:
                break
    c["rows"] = rows
    if row > start:
        leave_quiet(sim, 0, row, c["now"])


@kernel(store=False)
def drive(address, me, advance):
    """Run to the end inside compiled code; returns DONE, GROW (call again after growing) or FAILED."""
    sim = sim_at(address)
    c = sim.clock[0]
    while True:
        if quiet_instrument(sim) != NONE:
            if is_full(sim):
                return GROW
            run_quiet(sim, me)
        code = call_at(advance, address)
        if code == WAKE_BAR:
            k = c["instrument"]
            on_bar(
                me, bar_event(sim.bars[c["row"]], k, sim.cursor[k]["interval"], c["now"]), broker_of(sim, k)
            )
        elif code == WAKE_FILL:
            fill = fill_event(sim, c["row"])
            on_fill(me, fill, broker_of(sim, fill.instrument))
        elif code == WAKE_ORDER:
            change = order_event(sim, c["row"])
            on_order(me, change, broker_of(sim, change.instrument))
        elif code == WAKE_SIGNAL:
            signal = signal_event(sim, c["row"])
            on_signal(me, signal, broker_of(sim, signal.instrument))
        elif code == WAKE_TIMER:
            on_timer(me, c["now"], broker_of(sim, 0))
        else:
            return code
