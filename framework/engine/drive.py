"""The compiled driver: hooks and engine in one loop, with a tight path while nothing rests.

The text below the line is compiled once per strategy, with the names on_bar, on_fill, on_order, on_signal and
on_timer bound to its hooks: a function that takes its hooks as arguments could not be kept on disk.
"""

from __future__ import annotations

from framework.arena import call_at
from framework.engine.broker import broker_of
from framework.engine.events import bar_event, fill_event, order_event, signal_event
from framework.engine.ledger import balance, check_known, gain
from framework.engine.quiet import (
    is_quiet,
    is_reached,
    leave_alone,
    pass_round,
    quiet_until,
    settle_down,
    trails,
)
from framework.engine.replay import is_full
from framework.engine.state import GROW, WAKE_BAR, WAKE_FILL, WAKE_ORDER, WAKE_SIGNAL, WAKE_TIMER, sim_at
from framework.jit import kernel


@kernel(store=False)
def idle(me, event, broker):
    """Stand in for a hook the strategy does not have."""


on_bar = on_fill = on_order = on_signal = on_timer = idle

# ---- per strategy


@kernel(store=False)
def show_round(sim, me):
    """Show the bars that closed in this round, in Market order; stop at the first hook that sends something.
    """
    c = sim.clock[0]
    for k in range(c["n"]):
        cur = sim.cursor[k]
        if cur["same"] == 1 and cur["hook"] < cur["bar"]:
            row = cur["hook"]
            cur["hook"] = row + 1
            on_bar(me, bar_event(sim.bars[row], k, c["now"]), broker_of(sim, k))
            if c["n_requests"] > 0 or c["error"] != 0:
                c["stage"] = 1  # what else is to be shown at this time
                return


@kernel(store=False)
def run_alone(sim, me, until):
    """A quiet stretch of one instrument: the rounds of `pass_round` with all they need in registers."""
    c = sim.clock[0]
    cur = sim.cursor[0]
    held = sim.account[1]
    rule = sim.rules[0]
    start = cur["bar"]
    row = start
    end = cur["bar_end"]
    first = cur["hook"] if cur["same"] == 1 else end
    floor = cur["floor"]
    ceiling = cur["ceiling"]
    base = balance(sim.total[1])
    q = held["position"]
    entry = held["entry"]
    kind = rule["kind"]
    multiplier = rule["multiplier"]
    rows = c["rows"]
    strict = c["strict"]
    broker = broker_of(sim, 0)
    while row < end and c["n_requests"] == 0 and c["error"] == 0:
        bar = sim.bars[row]
        ts = bar["close_ts"]
        if ts >= until or is_reached(sim, row, end, ts, floor, ceiling):
            break
        price = bar["close"]
        worth = base + (gain(kind, multiplier, q, entry, price) if q != 0.0 else 0.0)
        if worth <= 0.0:
            break
        held["mark"] = price
        c["now"] = ts
        sim.equity[rows] = worth
        rows += 1
        if strict == 1:
            check_known(sim, worth)
        row += 1
        if row > first:
            on_bar(me, bar_event(bar, 0, ts), broker)
    c["rows"] = rows
    if row > start:
        leave_alone(sim, row)


@kernel(store=False)
def run_quiet(sim, me):
    """Run through a quiet stretch: pass a round, show its bars, stop at the first order."""
    c = sim.clock[0]
    until = quiet_until(sim)
    trailing = trails(sim)
    if c["n"] == 1 and trailing == 0:
        run_alone(sim, me, until)
        return
    while c["n_requests"] == 0 and c["error"] == 0 and pass_round(sim, until, trailing):
        show_round(sim, me)
    settle_down(sim)


@kernel(store=False)
def drive(address, me, advance):
    """Run to the end inside compiled code; returns DONE, GROW (call again after growing) or FAILED."""
    sim = sim_at(address)
    c = sim.clock[0]
    while True:
        if c["wake_bar"] == 1 and is_quiet(sim):
            if is_full(sim):
                return GROW
            run_quiet(sim, me)
        code = call_at(advance, address)
        if code == WAKE_BAR:
            k = c["instrument"]
            on_bar(me, bar_event(sim.bars[c["row"]], k, c["now"]), broker_of(sim, k))
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
