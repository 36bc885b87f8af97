"""Filling on candles: at an open, inside a bar, at a close."""

from __future__ import annotations

import math

from framework.engine.fills import execute
from framework.engine.look import look, stopped_in_bar, touched
from framework.engine.margin import liquidate_in, way_to_liquidation
from framework.engine.order import finish, is_live, is_stop_type, marketable, rank_of, trigger_level
from framework.engine.state import AT_CLOSE, AT_OPEN, INSIDE, Sim
from framework.jit import kernel
from framework.records import (
    BEST,
    BUY,
    CLOSE,
    EXPIRED,
    MARKET,
    NEVER,
    NONE,
    OPEN_FIRST,
    PENDING,
    R_EXPIRED,
    R_NONE,
    R_POST_ONLY,
    R_TARGET,
    REJECTED,
    STOP_LIMIT,
    TRAILING,
    WORST,
)

ALL, ONLY_STOPS, ONLY_LIMITS = 0, 1, 2


@kernel(store=False)
def sweep(sim: Sim):
    """Forget final orders in the list of live ones, keeping age order; exits not until they are known of."""
    c = sim.clock[0]
    kept = 0
    for j in range(c["n_live"]):
        row = sim.live[j]
        order = sim.orders[row]
        if is_live(order) or (order["parent"] != NONE and order["known"] == PENDING):
            sim.live[kept] = row
            kept += 1
    c["n_live"] = kept


@kernel(store=False)
def expire(sim: Sim, ts):
    """End the orders whose GTD time has come; after a close at that stamp, before an open at it."""
    c = sim.clock[0]
    c["expiry"] = NEVER
    for j in range(c["n_live"]):
        row = sim.live[j]
        order = sim.orders[row]
        if order["expire_ts"] <= ts and is_live(order):
            finish(sim, row, EXPIRED, R_EXPIRED, order["expire_ts"])
        else:
            c["expiry"] = min(c["expiry"], order["expire_ts"])
    sweep(sim)


@kernel(store=False)
def match_open(sim: Sim, k):
    """Everything that rests or waits meets the open of the current bar: exits first, then by age."""
    c = sim.clock[0]
    cur = sim.cursor[k]
    bar_row = cur["bar"]
    bar = sim.bars[bar_row]
    ts = bar["open_ts"]
    n = c["n_live"]
    for rank in range(2):
        for j in range(n):
            row = sim.live[j]
            order = sim.orders[row]
            if order["instrument"] != k or not is_live(order) or rank_of(order) != rank:
                continue
            if c["at_close"] == 1 and order["seen_bar"] == NONE:
                continue  # waits for a close
            if c["stop_first"] == 1 and stopped_in_bar(sim, order, bar):
                continue
            cur["fill_bar"] = bar_row
            look(sim, row, bar["open"], ts, bar, bar_row, AT_OPEN)
    sweep(sim)


@kernel(store=False)
def takes_part(sim: Sim, order, k, bar_row):
    """True when the order may be matched inside this bar."""
    if order["instrument"] != k or not is_live(order) or order["works_in"] != bar_row:
        return False
    kind = order["kind"]
    return not (kind in (MARKET, CLOSE) or (order["triggered"] == 1 and kind != STOP_LIMIT))


@kernel(store=False)
def count_ambiguous(sim: Sim, k):
    """Count the current bar once."""
    cur = sim.cursor[k]
    if cur["ambiguous_bar"] != cur["bar"]:
        cur["ambiguous_bar"] = cur["bar"]
        sim.clock[0]["ambiguous"] += 1


@kernel(store=False)
def rival_exits(one, two):
    """True for two exits of one position: bracket children, or reduce-only orders of one side."""
    return one["reduce_only"] == 1 and two["reduce_only"] == 1 and one["side"] == two["side"]


@kernel(store=False)
def share_a_group(one, two):
    """True for two orders of which the first to fill cancels the other."""
    ungrouped = one["group"] == 0 or one["role"] != R_NONE or two["role"] != R_NONE
    return one["group"] == two["group"] and not ungrouped


@kernel(store=False)
def find_ambiguous(sim: Sim, k, bar, bar_row):
    """A stop and a limit that exit one position, or are of one group, both touched."""
    n = sim.clock[0]["n_live"]
    for j in range(n):
        one = sim.orders[sim.live[j]]
        if not takes_part(sim, one, k, bar_row) or not is_stop_type(one) or not touched(sim, one, bar):
            continue
        for h in range(n):
            two = sim.orders[sim.live[h]]
            if not rival_exits(one, two) and not share_a_group(one, two):
                continue
            if takes_part(sim, two, k, bar_row) and not is_stop_type(two) and touched(sim, two, bar):
                count_ambiguous(sim, k)
                return


@kernel(store=False)
def find_doomed_targets(sim: Sim, k, bar, bar_row):
    """A target and the liquidation price both touched: which came first is not known either."""
    is_long = sim.account[k]["position"] > 0.0
    for j in range(sim.clock[0]["n_live"]):
        order = sim.orders[sim.live[j]]
        if not takes_part(sim, order, k, bar_row) or (order["side"] == BUY) == is_long:
            continue
        if not is_stop_type(order) and touched(sim, order, bar):
            count_ambiguous(sim, k)


@kernel(store=False)
def trail_along(order, bar):
    """Let a trailing stop see this bar's extreme, after the bar was tested."""
    if order["side"] == BUY:
        order["extreme"] = min(order["extreme"], bar["low"])
    else:
        order["extreme"] = max(order["extreme"], bar["high"])


@kernel(store=False)
def inside_stop_limit(sim: Sim, row, level, bar, ts):
    """A stop-limit triggered inside a bar rests until the next one, unless the rule is "best"."""
    order = sim.orders[row]
    order["triggered"] = 1
    if sim.clock[0]["intrabar"] != BEST:
        return
    if marketable(order["side"], order["price"], level):
        if order["post_only"] == 1:
            finish(sim, row, REJECTED, R_POST_ONLY, ts)
            return
        execute(sim, row, level, ts, bar, False, False, INSIDE)
    elif touched(sim, order, bar):
        execute(sim, row, order["price"], ts, bar, True, False, INSIDE)


@kernel(store=False)
def test_inside(sim: Sim, row, bar, start):
    """Test one order against the bar's range; `start` is the price its path began at (the open, or its
    entry).
    """
    order = sim.orders[row]
    ts = bar["close_ts"]
    hit = touched(sim, order, bar)
    if not is_stop_type(order):
        if hit:
            level = order["price"]
            price = min(start, level) if order["side"] == BUY else max(start, level)
            execute(sim, row, price, ts, bar, price == level, False, INSIDE)
        return
    if hit:
        level = trigger_level(sim, order)
        price = max(start, level) if order["side"] == BUY else min(start, level)
        if order["kind"] == STOP_LIMIT:
            inside_stop_limit(sim, row, price, bar, ts)
        else:
            order["triggered"] = 1
            execute(sim, row, price, ts, bar, False, sim.clock[0]["stop_at_level"] == 0, INSIDE)
    elif order["kind"] == TRAILING:
        trail_along(order, bar)


@kernel(store=False)
def try_inside(sim: Sim, row, bar, k):
    """Test one order inside the bar, and remember the price of an entry for the exits it creates."""
    n = sim.clock[0]["n_live"]
    test_inside(sim, row, bar, bar["open"])
    for j in range(n, sim.clock[0]["n_live"]):
        sim.scratch[j] = sim.account[k]["mark"]  # raw price of the entry just filled


@kernel(store=False)
def comes_after_liquidation(sim: Sim, order, k, bar, level):
    """True for an exit the bar's path meets only after the liquidation price `level` (0 = none).

    A stop beyond it; a target too, under "worst", or under "open_first" where it is farther from the open.
    """
    q = sim.account[k]["position"]
    if level == 0.0 or q == 0.0 or (q > 0.0) == (order["side"] == BUY):
        return False
    if is_stop_type(order):
        trigger = trigger_level(sim, order)
        return trigger < level if q > 0.0 else trigger > level
    rule = sim.clock[0]["intrabar"]
    if rule == OPEN_FIRST:
        return abs(order["price"] - bar["open"]) > abs(level - bar["open"])
    return rule == WORST


@kernel(store=False)
def inside_by_distance(sim: Sim, k, bar, bar_row, n, level, kinds):
    """Test orders whose level is nearer to the open first; ties: stops, then age.

    `kinds` is ALL, ONLY_STOPS or ONLY_LIMITS; scratch marks what was tested.
    """
    while True:
        best = NONE
        best_distance = math.inf
        best_stop = False
        for j in range(n):
            order = sim.orders[sim.live[j]]
            if sim.scratch[j] != 0.0 or not takes_part(sim, order, k, bar_row):
                continue
            stop = is_stop_type(order)
            if kinds != ALL and stop != (kinds == ONLY_STOPS):
                continue
            if comes_after_liquidation(sim, order, k, bar, level):
                continue
            price = trigger_level(sim, order) if stop else order["price"]
            distance = abs(price - bar["open"])
            if distance < best_distance or (distance == best_distance and stop and not best_stop):
                best = j
                best_distance = distance
                best_stop = stop
        if best == NONE:
            return
        sim.scratch[best] = 1.0
        try_inside(sim, sim.live[best], bar, k)


@kernel(store=False)
def inside_in_turn(sim: Sim, k, bar, bar_row, n, level):
    """Test the first `n` live orders inside the bar, each once, in the order the intrabar rule wants."""
    rule = sim.clock[0]["intrabar"]
    if rule == OPEN_FIRST:
        inside_by_distance(sim, k, bar, bar_row, n, level, ALL)
        return
    inside_by_distance(sim, k, bar, bar_row, n, level, ONLY_STOPS if rule == WORST else ONLY_LIMITS)
    inside_by_distance(sim, k, bar, bar_row, n, level, ONLY_LIMITS if rule == WORST else ONLY_STOPS)


@kernel(store=False)
def new_children_of(sim: Sim, first, end, bar, start, k):
    """Exits born inside this bar: "worst" lets only stops fill, "best" only targets."""
    c = sim.clock[0]
    if c["next_bar_exits"] == 1:
        return
    for j in range(first, end):
        order = sim.orders[sim.live[j]]
        if is_live(order) and touched(sim, order, bar):
            count_ambiguous(sim, k)
    for j in range(first, end):
        row = sim.live[j]
        order = sim.orders[row]
        if not is_live(order):
            continue
        if (order["role"] == R_TARGET) == (c["intrabar"] == BEST):
            test_inside(sim, row, bar, start)
        elif order["kind"] == TRAILING:
            trail_along(order, bar)


@kernel(store=False)
def match_inside(sim: Sim, k):
    """Match the range of the bar that closes now, then orders that wait for a close."""
    c = sim.clock[0]
    cur = sim.cursor[k]
    bar_row = cur["bar"]
    bar = sim.bars[bar_row]
    cur["fill_bar"] = bar_row
    n = c["n_live"]
    level = way_to_liquidation(sim, k, bar)
    if n > 1:
        find_ambiguous(sim, k, bar, bar_row)
    if level > 0.0:
        find_doomed_targets(sim, k, bar, bar_row)
    for j in range(n):
        sim.scratch[j] = 0.0
    inside_in_turn(sim, k, bar, bar_row, n, level)
    if level > 0.0:
        liquidate_in(sim, k, bar)
        inside_in_turn(sim, k, bar, bar_row, n, 0.0)
    for j in range(n, c["n_live"]):
        born = sim.scratch[j]
        if born > 0.0:
            # a bracket's exits stand side by side: handle them together, once
            end = j
            while (
                end < c["n_live"] and sim.orders[sim.live[end]]["parent"] == sim.orders[sim.live[j]]["parent"]
            ):
                sim.scratch[end] = 0.0
                end += 1
            new_children_of(sim, j, end, bar, born, k)
    sweep(sim)


@kernel(store=False)
def match_close(sim: Sim, k):
    """Fills(at="close"): orders that arrived too late for an earlier close are looked at now."""
    c = sim.clock[0]
    bar_row = sim.cursor[k]["bar"]
    bar = sim.bars[bar_row]
    sim.cursor[k]["fill_bar"] = bar_row
    ts = bar["close_ts"]
    n = c["n_live"]
    for rank in range(2):
        for j in range(n):
            row = sim.live[j]
            order = sim.orders[row]
            if order["instrument"] != k or not is_live(order) or rank_of(order) != rank:
                continue
            if order["seen_bar"] == NONE:
                look(sim, row, bar["close"], ts, bar, bar_row, AT_CLOSE)
    sweep(sim)
