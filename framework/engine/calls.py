"""Kernels as Python calls them: by the address of a run's arrays, through their bare entry points."""

from __future__ import annotations

from framework.arena import call_at
from framework.engine.ledger import balance, equity_of, gain
from framework.engine.quiet import is_quiet, is_reached, pass_round, quiet_until, settle_down, trails
from framework.engine.replay import is_full
from framework.engine.sending import place, place_close, send_amend, send_cancel, send_cancel_all
from framework.engine.state import sim_at
from framework.jit import entry
from framework.records import NEVER, NONE


@entry("int64(int64, int64)")
def step(advance, address):
    """`advance` for Python, by its address."""
    return call_at(advance, address)


@entry("int64(int64, int64)")
def quiet_end(address, most):
    """Return the row before which bars of the one instrument may pass unseen by the kernel; NONE for none."""
    sim = sim_at(address)
    if sim.clock[0]["n"] > 1 or not is_quiet(sim) or is_full(sim) or trails(sim) > 0:
        return NONE
    until = quiet_until(sim)
    cur = sim.cursor[0]
    if cur["hook"] != cur["bar"]:
        return NONE
    held = sim.account[1]
    rule = sim.rules[0]
    base = balance(sim.total[1])
    q = held["position"]
    row = cur["bar"]
    end = min(cur["bar_end"], row + most)
    while row < end:
        bar = sim.bars[row]
        worth = base
        if q != 0.0:
            worth += gain(rule["kind"], rule["multiplier"], q, held["entry"], bar["close"])
        if bar["close_ts"] >= until or worth <= 0.0 or is_reached(
            sim, row, cur["bar_end"], bar["close_ts"], cur["floor"], cur["ceiling"]
        ):
            break
        row += 1
    return row if row > cur["bar"] else NONE


@entry("int64(int64, int64)")
def catch_up(address, row):
    """Let the kernel pass every bar before `row`, as the compiled driver's tight path does."""
    sim = sim_at(address)
    cur = sim.cursor[0]
    if cur["bar"] >= row:
        return 0
    while cur["bar"] < row:
        pass_round(sim, NEVER, 0)
    cur["hook"] = row
    settle_down(sim)
    return row


@entry("float64(int64)")
def known_equity(address):
    """Equity as the strategy knows it."""
    return equity_of(sim_at(address), 1)


@entry(
    "int64(int64, int64, int64, float64, float64, float64, float64, float64, float64, float64, int64, "
    "boolean, boolean, int64, int64)"
)
def send_order(
    address,
    k,
    side,
    qty,
    share,
    price,
    trigger,
    stop,
    target,
    trail,
    tif,
    post_only,
    reduce_only,
    group,
    expire_ts,
):
    """`broker.order` for Python."""
    return place(
        sim_at(address),
        k,
        side,
        qty,
        share,
        price,
        trigger,
        stop,
        target,
        trail,
        tif,
        post_only,
        reduce_only,
        group,
        expire_ts,
    )


@entry("int64(int64, int64)")
def send_close(address, k):
    """`broker.close` for Python."""
    return place_close(sim_at(address), k)


@entry("int64(int64, int64, int64)")
def send_cancels(address, k, order_id):
    """`broker.cancel` (`order_id` > 0) and `cancel_all` for Python."""
    if order_id > 0:
        send_cancel(sim_at(address), order_id)
    else:
        send_cancel_all(sim_at(address), k)
    return 0


@entry("int64(int64, int64, float64, float64, float64, float64, float64)")
def send_amends(address, order_id, qty, price, trigger, stop, target):
    """`broker.amend` for Python."""
    send_amend(sim_at(address), order_id, qty, price, trigger, stop, target)
    return 0
