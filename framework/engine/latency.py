"""How long an order and its answer travel: constant or recorded tables, per instrument."""

from __future__ import annotations

from framework.engine.state import Sim
from framework.jit import kernel
from framework.records import NONE


@kernel(store=False)
def latency_row(sim: Sim, k, ts):
    """Row of the latency table in force at `ts` (the first row before any)."""
    rule = sim.rules[k]
    low = rule["latency_first"]
    high = rule["latency_end"]
    if high - low == 1:
        return low
    while high - low > 1:
        middle = (low + high) // 2
        if sim.latency[middle]["ts"] <= ts:
            low = middle
        else:
            high = middle
    return low


@kernel(store=False)
def respond(sim: Sim, row, fill, ts, earliest):
    """Queue what the strategy will learn of order `row`: at ts + response latency, never before `earliest`.

    Answers travel on one connection: none overtakes another.
    """
    c = sim.clock[0]
    seen = max(earliest, c["last_seen_ts"])
    if fill == NONE or earliest == ts:
        k = sim.orders[row]["instrument"]
        seen = max(ts + sim.latency[latency_row(sim, k, ts)]["response"], c["last_seen_ts"])
    c["last_seen_ts"] = seen
    answer = sim.responses[c["n_responses"]]
    answer["seen_ts"] = seen
    answer["order"] = row
    answer["fill"] = fill
    answer["status"] = sim.orders[row]["status"]
    c["n_responses"] += 1
    return seen
