"""The loop: `advance` does the next event and says whom to wake; `drive` repeats it inside compiled code."""

from __future__ import annotations

from framework.engine.exchange import exchange, exchange_time
from framework.engine.ledger import book_fill, equity_of
from framework.engine.margin import give_back
from framework.engine.quiet import is_timer_due, next_bar_hook, pass_unseen
from framework.engine.requests import send_script
from framework.engine.sending import place_close, send_cancel_all
from framework.engine.state import (
    DONE,
    E_LOOP,
    FAILED,
    GROW,
    HEADROOM,
    J_TOKENS,
    MOST_TOLD,
    WAKE_BAR,
    WAKE_FILL,
    WAKE_ORDER,
    WAKE_SIGNAL,
    WAKE_TIMER,
    Sim,
    sim_at,
)
from framework.jit import kernel
from framework.records import ASK, FILLED, FLAT, HOLD, MISSING, NEVER, NONE, OK, OPEN, PENDING


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
        if cur["same"] == 0 and cur["hook"] < cur["hook_end"]:
            best = min(best, sim.bars[cur["hook"]]["close_ts"] + c["feed"])
    if c["timer_step"] > 0 and c["timer"] <= c["stop"]:
        best = min(best, c["timer"])
    if c["script"] < c["script_end"] and sim.script[c["script"]]["ts"] <= c["end"]:
        best = min(best, sim.script[c["script"]]["ts"])
    return max(best, c["now"])


@kernel(store=False)
def learn_fill(sim: Sim, answer):
    """Book an own fill on the strategy's side and list the exits it created."""
    c = sim.clock[0]
    fill = sim.fills[answer["fill"]]
    k = fill["instrument"]
    fill["row"] = c["rows"]
    held = sim.account[c["n"] + k]
    change = fill["side"] * fill["qty"]
    book_fill(sim.rules[k], held, sim.total[1], change, fill["price"], fill["fee"], c["leverage"])
    order = sim.orders[answer["order"]]
    order["known_filled"] += fill["qty"]
    if fill["liquidation"] > 0.0:
        give_back(sim, k, fill["liquidation"], answer["seen_ts"])
    for j in range(c["n_live"]):
        child = sim.orders[sim.live[j]]
        if child["parent"] == answer["order"] and child["known"] == PENDING:
            child["known"] = OPEN
            sim.mine[c["n_mine"]] = sim.live[j]
            c["n_mine"] += 1


@kernel(store=False)
def learn(sim: Sim):
    """Apply every answer that has arrived to the strategy's account and order list."""
    c = sim.clock[0]
    while c["applied"] < c["n_responses"] and sim.responses[c["applied"]]["seen_ts"] <= c["now"]:
        answer = sim.responses[c["applied"]]
        c["applied"] += 1
        if answer["fill"] != NONE:
            learn_fill(sim, answer)
        status = answer["status"]
        order = sim.orders[answer["order"]]
        order["known"] = status
        if status >= FILLED:
            kept = 0
            for j in range(c["n_mine"]):
                if sim.mine[j] != answer["order"]:
                    sim.mine[kept] = sim.mine[j]
                    kept += 1
            c["n_mine"] = kept


@kernel(store=False)
def pay_tokens(sim: Sim):
    """Book what the decisions that have arrived cost."""
    c = sim.clock[0]
    while c["signal_paid"] < c["signal_end"] and sim.signals[c["signal_paid"]]["arrival_ts"] <= c["now"]:
        cost = sim.signals[c["signal_paid"]]["cost"]
        if cost != 0.0 and c["bust"] == 0:
            for side in range(2):
                sim.total[side]["tokens"] += cost
                sim.total[side]["cash"] -= cost
            entry = sim.journal[c["n_journal"]]
            entry["ts"] = sim.signals[c["signal_paid"]]["arrival_ts"]
            entry["instrument"] = sim.signals[c["signal_paid"]]["instrument"]
            entry["kind"] = J_TOKENS
            entry["amount"] = cost
            entry["price"] = 0.0
            entry["qty"] = 0.0
            entry["row"] = c["rows"]
            c["n_journal"] += 1
        c["signal_paid"] += 1


@kernel(store=False)
def see(sim: Sim):
    """Apply every row of this local time to the strategy's views, then take the equity row that is due."""
    c = sim.clock[0]
    n = c["n"]
    learn(sim)
    pay_tokens(sim)
    due = False
    for k in range(n):
        cur = sim.cursor[k]
        while cur["seen"] < cur["bar_end"] and sim.bars[cur["seen"]]["close_ts"] + c["feed"] <= c["now"]:
            sim.account[n + k]["mark"] = sim.bars[cur["seen"]]["close"]
            cur["seen"] += 1
            due = True
    if due:
        sim.equity[c["rows"]] = equity_of(sim, 1)
        c["rows"] += 1
        c["told"] = 0


@kernel(store=False)
def do_without(sim: Sim, k):
    """Do what the policy says when there is no usable decision: leave this market, or all and for good."""
    c = sim.clock[0]
    if c["halted"] == 1:
        return
    if c["on_invalid"] == FLAT:
        place_close(sim, k)
        return
    c["halted"] = 1
    for j in range(c["n"]):
        send_cancel_all(sim, j)
        place_close(sim, j)
    c["timer_step"] = 0
    c["wake_fill"] = c["wake_order"] = c["wake_signal"] = c["wake_bar"] = 0
    c["wake_trade"] = c["wake_book"] = 0


@kernel(store=False)
def next_answer_hook(sim: Sim):
    """Say whether an answer or a signal is still to be shown; DONE when none is."""
    c = sim.clock[0]
    while c["shown"] < c["applied"]:
        answer = sim.responses[c["shown"]]
        c["shown"] += 1
        c["told"] += 1
        if c["told"] > MOST_TOLD:
            c["error"] = E_LOOP
        if answer["fill"] != NONE and c["wake_fill"] == 1:
            c["row"] = answer["fill"]
            return WAKE_FILL
        if answer["fill"] == NONE and c["wake_order"] == 1:
            c["row"] = c["shown"] - 1
            return WAKE_ORDER
    while c["signal"] < c["signal_paid"]:
        c["row"] = c["signal"]
        c["signal"] += 1
        status = sim.signals[c["row"]]["status"]
        if (status == OK and c["wake_signal"] == 1) or (status == ASK and c["halted"] == 0):
            return WAKE_SIGNAL
        if OK < status < MISSING and c["on_invalid"] != HOLD:
            do_without(sim, sim.signals[c["row"]]["instrument"])
    return DONE


@kernel(store=False)
def next_hook(sim: Sim):
    """Say whom to wake at this local time; DONE when everybody has been."""
    c = sim.clock[0]
    code = next_answer_hook(sim)
    if code != DONE:
        return code
    k = next_bar_hook(sim)
    while k != NONE:
        c["instrument"] = k
        c["row"] = sim.cursor[k]["hook"]
        sim.cursor[k]["hook"] += 1
        if c["wake_bar"] == 1:
            return WAKE_BAR
        k = next_bar_hook(sim)
    if is_timer_due(sim):
        c["timer"] += c["timer_step"]
        c["told"] = 0
        return WAKE_TIMER
    send_script(sim)
    return DONE


@kernel(store=False)
def is_full(sim: Sim):
    """True when a table could overflow in the next event or hook."""
    c = sim.clock[0]
    need = 4 * (c["n_live"] + c["n_requests"] + c["script_end"] - c["script"]) + HEADROOM
    return (
        c["n_orders"] + need > c["room_orders"]
        or c["n_fills"] + need > c["room_fills"]
        or c["n_responses"] + need > c["room_responses"]
        or c["n_journal"] + need > c["room_journal"]
        or (c["watch"] != 0 and c["n_trail"] + need > c["room_trail"])
        or max(c["n_live"], c["n_requests"], c["n_mine"]) + need > c["room_lists"]
    )


@kernel(store=False)
def advance(sim: Sim):
    """Do events until somebody is to be woken; resumable at any return."""
    c = sim.clock[0]
    while True:
        if c["error"] != 0:
            return FAILED
        if is_full(sim):
            return GROW
        if c["stage"] == 1:
            code = next_hook(sim)
            if code != DONE:
                return code
            c["stage"] = 0
        if c["wake_bar"] == 0:
            pass_unseen(sim)
        ts = min(exchange_time(sim), strategy_time(sim))
        if ts >= NEVER:
            return DONE
        c["now"] = ts
        if ts <= c["end"]:
            exchange(sim, ts)
        see(sim)
        c["stage"] = 1


def advance_at(address):
    """`advance` behind an address, the form compiled drivers and Python call."""
    return advance(sim_at(address))
