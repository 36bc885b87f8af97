"""Money: average-entry positions, double-entry cash, one formula for equity."""

from __future__ import annotations

import math

from framework.engine.state import E_IDENTITY, Sim
from framework.jit import kernel
from framework.records import INVERSE, SPOT

TOLERANCE = 1e-9  # of the money involved: what the two entries of the books may differ by


@kernel(inline=True, store=False)
def grid_value(k, step, inverse):
    """Price (or quantity) of grid index k: k / round(1/step) when that is whole, else k * step."""
    return k / inverse if inverse > 0.0 else k * step


@kernel(store=False)
def floor_to(x, step, inverse):
    """Largest grid value <= x; x itself without a grid."""
    if step <= 0.0:
        return x
    k = x / step
    return grid_value(float(math.floor(k + max(1e-9, abs(k) * 4.5e-16))), step, inverse)


@kernel(store=False)
def ceil_to(x, step, inverse):
    """Smallest grid value >= x; x itself without a grid."""
    if step <= 0.0:
        return x
    k = x / step
    return grid_value(float(math.ceil(k - max(1e-9, abs(k) * 4.5e-16))), step, inverse)


@kernel(store=False)
def nearest(x, step, inverse):
    """Nearest grid value, halves up; x itself without a grid."""
    if step <= 0.0:
        return x
    return grid_value(float(math.floor(x / step + 0.5)), step, inverse)


@kernel(inline=True, store=False)
def notional(kind, multiplier, qty, price):
    """Value of `qty` at `price` in the settlement currency."""
    if kind == INVERSE:
        return qty * multiplier / price
    return qty * price * multiplier


@kernel(inline=True, store=False)
def exchanged(kind, multiplier, qty, price):
    """What buying `qty` at `price` takes out of the settlement currency, and what holding it is worth."""
    if kind == INVERSE:
        return -qty * multiplier / price
    return qty * multiplier * price


@kernel(inline=True, store=False)
def gain(kind, multiplier, qty, price_from, price_to):
    """P&L of a signed quantity between two prices (inverse contracts settle in the base currency)."""
    if kind == INVERSE:
        return qty * multiplier * (1.0 / price_from - 1.0 / price_to)
    return qty * multiplier * (price_to - price_from)


@kernel(inline=True, store=False)
def unrealised(rule, held):
    """Open P&L of one account row at its own mark."""
    q = held["position"]
    if q == 0.0 or held["mark"] == 0.0:  # flat, or no price seen yet
        return 0.0
    return gain(rule["kind"], rule["multiplier"], q, held["entry"], held["mark"])


@kernel(inline=True, store=False)
def balance(t):
    """Equity without the open P&L."""
    return t["start"] + t["realised"] - t["fees"] + t["funding"] - t["tokens"] + t["liquidation"]


@kernel(store=False)
def equity_of(sim: Sim, side):
    """Return start + realised + unrealised - fees + funding - tokens + liquidation for side 0 (true) or 1
    (known).
    """
    n = sim.clock[0]["n"]
    open_gain = 0.0
    for k in range(n):
        open_gain += unrealised(sim.rules[k], sim.account[side * n + k])
    return balance(sim.total[side]) + open_gain


@kernel(store=False)
def margin_in_use(sim: Sim):
    """Sum of position values at the last prices divided by leverage, on the exchange side."""
    used = 0.0
    for k in range(sim.clock[0]["n"]):
        held = sim.account[k]
        if held["position"] != 0.0:
            rule = sim.rules[k]
            used += notional(rule["kind"], rule["multiplier"], abs(held["position"]), held["mark"])
    return used / sim.clock[0]["leverage"]


@kernel(store=False)
def snap(old, change, rule):
    """Position after a change: exact zero for residues, a whole number of lots where there is a lot grid."""
    new = old + change
    if abs(new) < 1e-9 * max(abs(old), abs(change)):
        return 0.0
    if rule["lot"] > 0.0:
        size = nearest(abs(new), rule["lot"], rule["lot_inv"])
        if abs(size - abs(new)) < 1e-6 * rule["lot"]:
            return size if new > 0.0 else -size
    return new


@kernel(store=False)
def average_entry(kind, held, entry, change, price):
    """Average entry after adding to a position: the mean, harmonic for inverse contracts."""
    if held == 0.0:
        return price
    if kind == INVERSE:
        return (held + change) / (held / entry + change / price)
    return (held * entry + change * price) / (held + change)


@kernel(store=False)
def book_fill(rule, held, total, change, price, fee, leverage):
    """Book a signed quantity `change` filled at `price` on one side's account row."""
    old = held["position"]
    kind = rule["kind"]
    mult = rule["multiplier"]
    new = snap(old, change, rule)
    realised = 0.0
    if old == 0.0 or (old > 0.0) == (change > 0.0):
        held["entry"] = average_entry(kind, old, held["entry"], change, price)
    else:
        closed = old if abs(change) >= abs(old) else -change
        realised = gain(kind, mult, closed, held["entry"], price)
        if new == 0.0:
            held["entry"] = 0.0
        elif (new > 0.0) != (old > 0.0):
            held["entry"] = price
    held["position"] = new
    held["realised"] += realised
    held["fees"] += fee
    held["isolated"] = notional(kind, mult, abs(new), held["entry"]) / leverage if new != 0.0 else 0.0
    total["realised"] += realised
    total["fees"] += fee
    # the other entries of the books: what was exchanged, and what left or entered the wallet
    flow = -exchanged(kind, mult, new - old, price)
    total["flow"] += flow
    total["cash"] += (flow if kind == SPOT else realised) - fee
    return realised


@kernel(store=False)
def known_break(sim: Sim, worth):
    """`identity_break` of the one instrument's known side at the mark just seen; `worth` is its equity."""
    rule = sim.rules[0]
    held = sim.account[1]
    total = sim.total[1]
    q = held["position"]
    scale = total["start"]
    by_flow = balance(total) - total["realised"] + total["flow"]
    by_cash = total["cash"]
    if q != 0.0:
        value = exchanged(rule["kind"], rule["multiplier"], q, held["mark"])
        scale += abs(value)
        by_flow += value
        opened = gain(rule["kind"], rule["multiplier"], q, held["entry"], held["mark"])
        by_cash += value if rule["kind"] == SPOT else opened
    return max(abs(by_flow - worth), abs(by_cash - worth)) / (scale + abs(worth))


@kernel(store=False)
def check_known(sim: Sim, worth):
    """`check_books` of the known side while only its mark moves."""
    c = sim.clock[0]
    wrong = known_break(sim, worth)
    c["checks"] += 1
    c["worst_identity"] = max(c["worst_identity"], wrong)
    if wrong > TOLERANCE:
        c["error"] = E_IDENTITY


@kernel(store=False)
def identity_break(sim: Sim, side):
    """Largest relative difference of three ways to the same equity (strict mode).

    By the formula of `equity_of`; by what fills exchanged at their own prices and what the positions are
    worth, which knows no average entry and no realised gain; and by the wallet, booked entry by entry.
    """
    n = sim.clock[0]["n"]
    total = sim.total[side]
    by_flow = balance(total) - total["realised"] + total["flow"]
    by_cash = total["cash"]
    scale = abs(total["start"])
    for k in range(n):
        rule = sim.rules[k]
        held = sim.account[side * n + k]
        if held["position"] == 0.0:
            continue
        price = held["mark"] if held["mark"] != 0.0 else held["entry"]  # no price was seen yet
        value = exchanged(rule["kind"], rule["multiplier"], held["position"], price)
        scale += abs(value)
        by_flow += value
        by_cash += value if rule["kind"] == SPOT else unrealised(rule, held)
    worth = equity_of(sim, side)
    return max(abs(by_flow - worth), abs(by_cash - worth)) / (scale + abs(worth) + 1e-300)
