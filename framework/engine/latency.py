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


@kernel(inline=True, store=False)
def between(sim: Sim, end, row, ts, before, after):
    """Value of the row in force, or on the line to the next row's where the run interpolates."""
    first = sim.latency[row]["ts"]
    if sim.clock[0]["interpolate"] == 0 or row + 1 >= end or ts <= first:
        return before
    return before + (after - before) * (ts - first) // (sim.latency[row + 1]["ts"] - first)


@kernel(store=False)
def order_latency(sim: Sim, k, ts):
    """Time an order sent at `ts` travels, ns."""
    row = latency_row(sim, k, ts)
    end = sim.rules[k]["latency_end"]
    following = min(row + 1, end - 1)
    return between(sim, end, row, ts, sim.latency[row]["order"], sim.latency[following]["order"])


@kernel(store=False)
def response_latency(sim: Sim, k, ts):
    """Time an answer sent at `ts` travels, ns."""
    row = latency_row(sim, k, ts)
    end = sim.rules[k]["latency_end"]
    following = min(row + 1, end - 1)
    return between(sim, end, row, ts, sim.latency[row]["response"], sim.latency[following]["response"])


@kernel(store=False)
def respond(sim: Sim, row, fill, ts, earliest):
    """Queue what the strategy will learn of order `row`: at ts + response latency, never before `earliest`.

    Answers travel on one connection: none overtakes another.
    """
    c = sim.clock[0]
    seen = max(earliest, c["last_seen_ts"])
    if fill == NONE or earliest == ts:
        k = sim.orders[row]["instrument"]
        seen = max(ts + response_latency(sim, k, ts), c["last_seen_ts"])
    c["last_seen_ts"] = seen
    answer = sim.responses[c["n_responses"]]
    answer["seen_ts"] = seen
    answer["order"] = row
    answer["fill"] = fill
    answer["status"] = sim.orders[row]["status"]
    c["n_responses"] += 1
    return seen
