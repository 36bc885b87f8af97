"""Quiet stretches: bars pass in a tight loop while no order travels and no resting one is reached.

One round is one close time. A stretch leaves every cursor where `advance` would have left it, so that either
may do the next event; what a round must not do (a touched order, funding, an expiry) it leaves to `advance`.
"""

from __future__ import annotations

import math

from framework.engine.exchange import check_books
from framework.engine.inside import trail_along
from framework.engine.ledger import equity_of
from framework.engine.order import is_stop_type, level_of, reached, trigger_level
from framework.engine.state import Sim
from framework.jit import kernel
from framework.records import BUY, CLOSE, MARKET, NEVER, NONE, STOP_LIMIT, TRAILING


@kernel(store=False)
def next_bar_hook(sim: Sim):
    """Instrument whose bar is to be shown now, NONE without any: shorter interval first, Market order."""
    c = sim.clock[0]
    best = NONE
    for k in range(c["n"]):
        cur = sim.cursor[k]
        if cur["hook"] >= cur["hook_end"] or sim.bars[cur["hook"]]["close_ts"] + c["feed"] > c["now"]:
            continue
        if best == NONE or cur["interval"] < sim.cursor[best]["interval"]:
            best = k
    return best


@kernel(store=False)
def is_timer_due(sim: Sim):
    """True when the strategy's timer is to be called now."""
    c = sim.clock[0]
    return c["timer_step"] > 0 and c["timer"] <= c["now"] and c["timer"] <= c["stop"]


@kernel(store=False)
def nothing_travels(sim: Sim):
    """True when no order or answer is on its way and every answer was shown."""
    c = sim.clock[0]
    return c["n_requests"] == 0 and c["applied"] == c["n_responses"] and c["shown"] == c["applied"]


@kernel(store=False)
def only_rests(sim: Sim, order):
    """True for an order that waits for its level, and takes part in the bar under way."""
    cur = sim.cursor[order["instrument"]]
    if order["seen_bar"] == NONE or (cur["opened"] == 1 and order["works_in"] != cur["bar"]):
        return False
    kind = order["kind"]
    return not (kind in (MARKET, CLOSE) or (order["triggered"] == 1 and kind != STOP_LIMIT))


@kernel(store=False)
def fence_in(sim: Sim):
    """Set per instrument the prices between which no resting order acts: reaching one ends the stretch."""
    c = sim.clock[0]
    for k in range(c["n"]):
        sim.cursor[k]["floor"] = -math.inf
        sim.cursor[k]["ceiling"] = math.inf
    for j in range(c["n_live"]):
        order = sim.orders[sim.live[j]]
        cur = sim.cursor[order["instrument"]]
        level = level_of(sim, order)
        # a stop to buy, a limit to sell: reached from below
        if (order["side"] == BUY) == is_stop_type(order):
            cur["ceiling"] = min(cur["ceiling"], level)
        else:
            cur["floor"] = max(cur["floor"], level)


@kernel(store=False)
def trails(sim: Sim):
    """Count the resting orders that move with the price."""
    count = 0
    for j in range(sim.clock[0]["n_live"]):
        if sim.orders[sim.live[j]]["kind"] == TRAILING:
            count += 1
    return count


@kernel(store=False)
def is_quiet(sim: Sim):
    """True when the next thing to happen may be a round; sets the fence."""
    c = sim.clock[0]
    if c["tight"] == 0 or c["feed"] != 0 or c["bust"] == 1 or not nothing_travels(sim):
        return False
    if c["stage"] == 1:
        if c["signal"] < c["signal_paid"] or next_bar_hook(sim) != NONE or is_timer_due(sim):
            return False
        c["stage"] = 0
    interval = NONE
    for k in range(c["n"]):
        cur = sim.cursor[k]
        if sim.account[k]["position"] != 0.0 and sim.rules[k]["tier_first"] != sim.rules[k]["tier_end"]:
            return False
        if cur["same"] == 1:
            if interval != NONE and interval != cur["interval"]:
                return False  # a shorter interval is shown first: the general loop sorts them
            interval = cur["interval"]
    for j in range(c["n_live"]):
        if not only_rests(sim, sim.orders[sim.live[j]]):
            return False
    fence_in(sim)
    c["told"] = 0
    return True


@kernel(store=False)
def quiet_until(sim: Sim):
    """First time at which something other than closes and opens happens."""
    c = sim.clock[0]
    best = c["end"] + 1
    for k in range(c["n"]):
        cur = sim.cursor[k]
        if cur["funding"] < cur["funding_end"]:
            best = min(best, sim.funding[cur["funding"]]["ts"])
        if cur["mark"] < cur["mark_end"]:
            best = min(best, sim.marks[cur["mark"]]["ts"])
        if cur["same"] == 0 and cur["hook"] < cur["hook_end"]:
            best = min(best, sim.bars[cur["hook"]]["close_ts"])
    for j in range(c["n_live"]):
        best = min(best, sim.orders[sim.live[j]]["expire_ts"])
    if c["script"] < c["script_end"]:
        best = min(best, sim.script[c["script"]]["ts"])
    if c["signal_paid"] < c["signal_end"]:
        best = min(best, sim.signals[c["signal_paid"]]["arrival_ts"])
    if c["timer_step"] > 0 and c["timer"] <= c["stop"]:
        best = min(best, c["timer"])
    return best


@kernel(store=False)
def next_close(sim: Sim):
    """Time of the next close of any instrument; NEVER after the last."""
    best = NEVER
    for k in range(sim.clock[0]["n"]):
        cur = sim.cursor[k]
        if cur["bar"] < cur["bar_end"]:
            best = min(best, sim.bars[cur["bar"]]["close_ts"])
    return best


@kernel(store=False)
def is_reached(sim: Sim, row, end, ts, floor, ceiling):
    """True when bar `row`, which closes at `ts`, or the open that follows at once touches the fence."""
    bar = sim.bars[row]
    if bar["low"] <= floor or bar["high"] >= ceiling:
        return True
    if row + 1 == end:
        return False
    bar = sim.bars[row + 1]
    return bar["open_ts"] <= ts and (bar["open"] <= floor or bar["open"] >= ceiling)


@kernel(store=False)
def is_untouched(sim: Sim, ts):
    """True when no resting order is reached by a bar that closes, or an open that happens, up to `ts`."""
    for k in range(sim.clock[0]["n"]):
        cur = sim.cursor[k]
        row = cur["bar"]
        if row == cur["bar_end"]:
            continue
        bar = sim.bars[row]
        floor = cur["floor"]
        ceiling = cur["ceiling"]
        closes = bar["close_ts"] <= ts
        opens = not closes and cur["opened"] == 0 and bar["open_ts"] <= ts
        if closes and is_reached(sim, row, cur["bar_end"], ts, floor, ceiling):
            return False
        if opens and (bar["open"] <= floor or bar["open"] >= ceiling):
            return False
    return True


@kernel(store=False)
def mark_closes(sim: Sim, ts):
    """Value every instrument whose bar closes at `ts` at that close, on both sides."""
    n = sim.clock[0]["n"]
    for k in range(n):
        cur = sim.cursor[k]
        if cur["bar"] < cur["bar_end"] and sim.bars[cur["bar"]]["close_ts"] <= ts:
            price = sim.bars[cur["bar"]]["close"]
            sim.account[k]["mark"] = price
            sim.account[n + k]["mark"] = price


@kernel(store=False)
def move_on(sim: Sim, ts):
    """Pass the bars that close at `ts` and open those that follow."""
    c = sim.clock[0]
    for k in range(c["n"]):
        cur = sim.cursor[k]
        if cur["bar"] < cur["bar_end"] and sim.bars[cur["bar"]]["close_ts"] <= ts:
            if cur["opened"] == 0:
                cur["used"] = 0.0  # it opened within the round
            cur["bar"] += 1
            cur["seen"] = cur["bar"]
            cur["opened"] = 0
        if cur["opened"] == 0 and cur["bar"] < cur["bar_end"] and sim.bars[cur["bar"]]["open_ts"] <= ts:
            cur["opened"] = 1
            cur["used_before"] = cur["used"]
            cur["used"] = 0.0
            sim.account[k]["mark"] = sim.bars[cur["bar"]]["open"]


@kernel(store=False)
def is_clear_of_trails(sim: Sim, ts):
    """True when no trailing stop, moved by the bar that closes at `ts`, is reached by the open after it."""
    for j in range(sim.clock[0]["n_live"]):
        order = sim.orders[sim.live[j]]
        cur = sim.cursor[order["instrument"]]
        row = cur["bar"] + 1
        if order["kind"] != TRAILING or row >= cur["bar_end"]:
            continue
        bar = sim.bars[row - 1]
        if bar["close_ts"] > ts:
            continue
        before = order["extreme"]
        trail_along(order, bar)
        level = trigger_level(sim, order)
        order["extreme"] = before
        if sim.bars[row]["open_ts"] <= ts and reached(order["side"], level, sim.bars[row]["open"]):
            return False
    return True


@kernel(store=False)
def trail_round(sim: Sim, ts):
    """Let trailing stops see the bars that close at `ts`, untouched, and move the fence with them."""
    for j in range(sim.clock[0]["n_live"]):
        order = sim.orders[sim.live[j]]
        cur = sim.cursor[order["instrument"]]
        if order["kind"] != TRAILING or cur["bar"] == cur["bar_end"]:
            continue
        if sim.bars[cur["bar"]]["close_ts"] <= ts:
            trail_along(order, sim.bars[cur["bar"]])
    fence_in(sim)


@kernel(store=False)
def pass_round(sim: Sim, until, trailing):
    """Do the next round if nothing stands in its way: marks, cursors, equity row. False when it does."""
    c = sim.clock[0]
    ts = next_close(sim)
    if ts >= until or not is_untouched(sim, ts) or (trailing > 0 and not is_clear_of_trails(sim, ts)):
        return False
    mark_closes(sim, ts)
    worth = equity_of(sim, 1)
    if worth <= 0.0 or (c["n"] > 1 and equity_of(sim, 0) <= 0.0):
        return False
    if trailing > 0:
        trail_round(sim, ts)
    move_on(sim, ts)
    c["now"] = ts
    sim.equity[c["rows"]] = worth
    c["rows"] += 1
    if c["strict"] == 1:
        check_books(sim)
    return True


@kernel(store=False)
def leave_alone(sim: Sim, row):
    """Put the cursor of the one instrument where the rounds that ended with bar `row - 1` leave it."""
    c = sim.clock[0]
    cur = sim.cursor[0]
    if row > cur["bar"] + 1 or cur["opened"] == 0:
        cur["used"] = 0.0  # nothing was taken from bar `row - 1`
    cur["bar"] = row
    cur["seen"] = row
    cur["hook"] = max(cur["hook"], row) if cur["same"] == 1 else cur["hook"]
    cur["opened"] = 0
    sim.account[0]["mark"] = sim.bars[row - 1]["close"]
    if row < cur["bar_end"] and sim.bars[row]["open_ts"] <= c["now"]:
        cur["opened"] = 1
        cur["used_before"] = cur["used"]
        cur["used"] = 0.0
        sim.account[0]["mark"] = sim.bars[row]["open"]
    settle_down(sim)


@kernel(store=False)
def settle_down(sim: Sim):
    """After a stretch: every resting order has met the open of the bar under way."""
    for j in range(sim.clock[0]["n_live"]):
        order = sim.orders[sim.live[j]]
        cur = sim.cursor[order["instrument"]]
        if cur["opened"] == 1:
            order["works_in"] = cur["bar"]


@kernel(store=False)
def pass_unseen(sim: Sim):
    """Pass rounds nobody is shown, until something else is due."""
    if not is_quiet(sim):
        return
    until = quiet_until(sim)
    trailing = trails(sim)
    while pass_round(sim, until, trailing):
        pass
    for k in range(sim.clock[0]["n"]):
        cur = sim.cursor[k]
        if cur["same"] == 1:
            cur["hook"] = max(cur["hook"], cur["bar"])
    settle_down(sim)
