"""Inside a bar: which of the levels its range reaches come first, and what each does."""

from __future__ import annotations

import math

from framework.engine.fills import execute
from framework.engine.look import touched
from framework.engine.margin import liquidate_in, way_to_liquidation
from framework.engine.matching import sweep
from framework.engine.order import finish, is_live, is_stop_type, level_of, marketable, trigger_level
from framework.engine.state import INSIDE, Sim
from framework.jit import kernel
from framework.records import (
    BEST,
    BUY,
    CLOSE,
    MARKET,
    NONE,
    OPEN_FIRST,
    R_NONE,
    R_POST_ONLY,
    R_TARGET,
    REJECTED,
    STOP_LIMIT,
    TRAILING,
    WORST,
)

STOPS = 2  # beside the directions +1, -1, 0


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
def depend(one, two):
    """True for two orders of which one can end or feed the other, so that their order matters.

    Exits of one position; two of a group; an order that opens and an exit of its own that was sent alone.
    """
    if one["reduce_only"] == 1 and two["reduce_only"] == 1:
        return one["side"] == two["side"]
    if one["reduce_only"] == 1 and one["role"] == R_NONE and one["side"] != two["side"]:
        return True
    if two["reduce_only"] == 1 and two["role"] == R_NONE and one["side"] != two["side"]:
        return True
    ungrouped = one["group"] == 0 or one["role"] != R_NONE or two["role"] != R_NONE
    return one["group"] == two["group"] and not ungrouped


@kernel(store=False)
def way_to(level, start):
    """Direction from the open to a level: +1 up, -1 down, 0 there already."""
    return 1 if level > start else -1 if level < start else 0


@kernel(store=False)
def find_ambiguous(sim: Sim, k, bar, bar_row):
    """Two orders that depend on each other, touched above and below the open: which came first is unknown."""
    n = sim.clock[0]["n_live"]
    for j in range(n):
        one = sim.orders[sim.live[j]]
        if not takes_part(sim, one, k, bar_row) or not touched(sim, one, bar):
            continue
        for h in range(j + 1, n):
            two = sim.orders[sim.live[h]]
            if not depend(one, two) or not takes_part(sim, two, k, bar_row) or not touched(sim, two, bar):
                continue
            if way_to(level_of(sim, one), bar["open"]) * way_to(level_of(sim, two), bar["open"]) < 0:
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
def first_way(sim: Sim, k, bar, bar_row, n, level):
    """Direction in which the price goes first: under "worst" to the nearest stop or liquidation it reaches,
    under "best" to the nearest limit, without one to the nearest level; 0 = nothing is reached.
    """
    best = 0
    best_distance = math.inf
    best_wanted = False
    if level > 0.0 and sim.clock[0]["intrabar"] == WORST:
        return -1 if sim.account[k]["position"] > 0.0 else 1
    for j in range(n):
        order = sim.orders[sim.live[j]]
        if not takes_part(sim, order, k, bar_row) or not touched(sim, order, bar):
            continue
        price = level_of(sim, order)
        distance = abs(price - bar["open"])
        wanted = is_stop_type(order) == (sim.clock[0]["intrabar"] == WORST)
        if distance == 0.0 or (best_wanted and not wanted):
            continue
        if (wanted and not best_wanted) or distance < best_distance:
            best = way_to(price, bar["open"])
            best_distance = distance
            best_wanted = wanted
    return best


@kernel(store=False)
def inside_by_distance(sim: Sim, k, bar, bar_row, n, level, way):
    """Test orders in one direction from the open, or with `way` 0 in both, the nearer level first.

    `way` STOPS takes stops of both directions. Ties: stops, under "best" limits; then age. scratch marks what
    was tested.
    """
    stops_first = sim.clock[0]["intrabar"] != BEST
    while True:
        best = NONE
        best_distance = math.inf
        best_stop = False
        for j in range(n):
            order = sim.orders[sim.live[j]]
            if sim.scratch[j] != 0.0 or not takes_part(sim, order, k, bar_row):
                continue
            price = level_of(sim, order)
            stop = is_stop_type(order)
            is_other = not stop if way == STOPS else way * way_to(price, bar["open"]) < 0
            if is_other or comes_after_liquidation(sim, order, k, bar, level):
                continue
            distance = abs(price - bar["open"])
            wins_tie = distance == best_distance and stop != best_stop and stop == stops_first
            if distance < best_distance or wins_tie:
                best = j
                best_distance = distance
                best_stop = stop
        if best == NONE:
            return
        sim.scratch[best] = 1.0
        try_inside(sim, sim.live[best], bar, k)


@kernel(store=False)
def inside_in_turn(sim: Sim, k, bar, bar_row, n, level):
    """Test the first `n` live orders inside the bar, each once, along a way the price can have taken."""
    if sim.clock[0]["stop_first"] == 1:  # as other tools do it
        inside_by_distance(sim, k, bar, bar_row, n, level, STOPS)
    elif sim.clock[0]["intrabar"] != OPEN_FIRST:
        way = first_way(sim, k, bar, bar_row, n, level)
        if way != 0:
            inside_by_distance(sim, k, bar, bar_row, n, level, way)
    inside_by_distance(sim, k, bar, bar_row, n, level, 0)


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
