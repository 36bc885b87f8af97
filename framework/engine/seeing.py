"""The strategy's side of runs with tick streams: what has arrived, what it is worth, whom to wake."""

from __future__ import annotations

from framework.engine.book import catch_up
from framework.engine.ledger import equity_of
from framework.engine.quiet import is_timer_due
from framework.engine.replay import learn, next_answer_hook, pay_tokens
from framework.engine.requests import send_script
from framework.engine.state import DONE, WAKE_BAR, WAKE_BOOK, WAKE_TIMER, WAKE_TRADE, Sim
from framework.engine.taking import middle, price_at
from framework.engine.ticks import LOCAL, Ticks, ticks_at
from framework.jit import kernel
from framework.records import NEVER, NONE


@kernel(store=False)
def next_row_time(c, ts):
    """Time of the equity row after the one at `ts`: the grid, and the end of the run."""
    following = (ts // c["row_step"] + 1) * c["row_step"]
    if following <= c["stop"]:
        return following
    return c["stop"] if ts < c["stop"] else NEVER


@kernel(store=False)
def bar_seen(sim: Sim, k):
    """Time at which the next bar of an instrument can be shown; NEVER after the last."""
    cur = sim.cursor[k]
    if cur["hook"] >= cur["hook_end"]:
        return NEVER
    if cur["shown"] != NONE:
        return sim.shown[cur["shown"] + cur["hook"] - cur["hook_end"]]
    return sim.bars[cur["hook"]]["close_ts"] + sim.clock[0]["feed"]


@kernel(store=False)
def row_seen(sim: Sim, t: Ticks):
    """Time at which the next row of ticks is shown to a hook; NEVER after the last."""
    c = sim.clock[0]
    p = t.place[0]
    best = NEVER
    if c["wake_trade"] == 1 and p["trade_shown"] < p["n_trades"]:
        best = t.trades[p["trade_shown"]]["local_ts"]
    if c["wake_book"] == 1 and p["message_shown"] < p["n_messages"]:
        best = min(best, t.messages[p["message_shown"]]["local_ts"])
    return best


@kernel(store=False)
def strategy_time(sim: Sim):
    """Time of the next thing the strategy learns; NEVER when nothing is left."""
    c = sim.clock[0]
    best = NEVER
    if c["applied"] < c["n_responses"]:
        best = sim.responses[c["applied"]]["seen_ts"]
    if c["signal_paid"] < c["signal_end"]:
        best = min(best, sim.signals[c["signal_paid"]]["arrival_ts"])
    for k in range(c["n"]):
        cur = sim.cursor[k]
        if cur["seen"] < cur["bar_end"]:
            best = min(best, sim.bars[cur["seen"]]["close_ts"] + c["feed"])
        if c["wake_bar"] == 1:
            best = min(best, bar_seen(sim, k))
        if cur["ticks"] != 0 and (c["wake_trade"] == 1 or c["wake_book"] == 1):
            best = min(best, row_seen(sim, ticks_at(cur["ticks"])))
    if c["timer_step"] > 0 and c["timer"] <= c["stop"]:
        best = min(best, c["timer"])
    if c["script"] < c["script_end"] and sim.script[c["script"]]["ts"] <= c["end"]:
        best = min(best, sim.script[c["script"]]["ts"])
    best = min(best, c["row_due"])
    return max(best, c["now"])


@kernel(store=False)
def see_trades(t: Ticks, now):
    """Count the trades the strategy has seen."""
    p = t.place[0]
    x = p["trade_seen"]
    while x < p["n_trades"] and t.trades[x]["local_ts"] <= now:
        x += 1
    p["trade_seen"] = x
    return x


@kernel(store=False)
def know(sim: Sim, k):
    """Value instrument k on the strategy's side by the rows that have arrived."""
    c = sim.clock[0]
    cur = sim.cursor[k]
    if cur["ticks"] == 0:
        return
    t = ticks_at(cur["ticks"])
    held = sim.account[c["n"] + k]
    x = see_trades(t, c["now"])
    if t.place[0]["has_book"] == 1:
        catch_up(t, LOCAL, c["now"])
        held["mark"] = middle(t, LOCAL, x, held["entry"])
    elif x > 0:
        held["mark"] = price_at(t.place[0], t.trades[x - 1]["tick"])


@kernel(store=False)
def known_worth(sim: Sim):
    """Equity as the strategy knows it, its positions valued by what has arrived."""
    c = sim.clock[0]
    for k in range(c["n"]):
        if sim.account[c["n"] + k]["position"] != 0.0:
            know(sim, k)
    return equity_of(sim, 1)


@kernel(store=False)
def see(sim: Sim):
    """Apply every row of this local time to the strategy's views, then take the equity row that is due."""
    c = sim.clock[0]
    n = c["n"]
    learn(sim)
    pay_tokens(sim)
    for k in range(n):
        cur = sim.cursor[k]
        while cur["seen"] < cur["bar_end"] and sim.bars[cur["seen"]]["close_ts"] + c["feed"] <= c["now"]:
            sim.account[n + k]["mark"] = sim.bars[cur["seen"]]["close"]
            cur["seen"] += 1
    if c["row_due"] <= c["now"]:
        sim.equity[c["rows"]] = known_worth(sim)
        sim.row_ts[c["rows"]] = c["now"]
        for k in range(n):
            sim.row_marks[c["rows"] * n + k] = sim.account[n + k]["mark"]
        c["rows"] += 1
        c["told"] = 0
        c["row_due"] = next_row_time(c, c["now"])


@kernel(store=False)
def next_tick_hook(sim: Sim):
    """Say whether a trade or a message of this local time is still to be shown; DONE when none is."""
    c = sim.clock[0]
    if c["wake_trade"] == 1:
        for k in range(c["n"]):
            if sim.cursor[k]["ticks"] == 0:
                continue
            t = ticks_at(sim.cursor[k]["ticks"])
            p = t.place[0]
            x = p["trade_shown"]
            if x < p["n_trades"] and t.trades[x]["local_ts"] <= c["now"]:
                p["trade_shown"] = x + 1
                c["instrument"] = k
                c["row"] = x
                return WAKE_TRADE
    if c["wake_book"] == 1:
        for k in range(c["n"]):
            if sim.cursor[k]["ticks"] == 0:
                continue
            t = ticks_at(sim.cursor[k]["ticks"])
            p = t.place[0]
            m = p["message_shown"]
            if m < p["n_messages"] and t.messages[m]["local_ts"] <= c["now"]:
                p["message_shown"] = m + 1
                c["instrument"] = k
                c["row"] = m
                return WAKE_BOOK
    return DONE


@kernel(store=False)
def next_bar_hook(sim: Sim):
    """Instrument whose bar is to be shown now, NONE without any: shorter interval first, Market order."""
    c = sim.clock[0]
    best = NONE
    for k in range(c["n"]):
        if bar_seen(sim, k) > c["now"]:
            continue
        if best == NONE or sim.cursor[k]["interval"] < sim.cursor[best]["interval"]:
            best = k
    return best


@kernel(store=False)
def next_hook(sim: Sim):
    """Say whom to wake at this local time; DONE when everybody has been."""
    c = sim.clock[0]
    code = next_answer_hook(sim)
    if code != DONE:
        return code
    code = next_tick_hook(sim)
    if code != DONE:
        return code
    k = NONE if c["wake_bar"] == 0 else next_bar_hook(sim)
    if k != NONE:
        c["instrument"] = k
        c["row"] = sim.cursor[k]["hook"]
        sim.cursor[k]["hook"] += 1
        return WAKE_BAR
    if is_timer_due(sim):
        c["timer"] += c["timer_step"]
        c["told"] = 0
        return WAKE_TIMER
    send_script(sim)
    return DONE
