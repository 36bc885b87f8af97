"""After the run: the account row by row, and round trips first in first out."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from framework.arena import arena, register
from framework.engine.ledger import balance, book_fill, gain, unrealised
from framework.engine.state import ACCOUNT, J_FUNDING, J_TOKENS, TOTAL, Sim, sim_at
from framework.engine.tables import Tables, row_times
from framework.jit import entry, kernel

ROW = np.dtype(
    [(n, "i8" if n == "ts" else "f8") for n in
     ("ts", "equity", "cash", "position", "realised", "unrealised", "fees", "funding", "tokens")]
)  # fmt: skip
TRIP = np.dtype(
    [("instrument", "i8"), ("side", "i8"), ("qty", "f8"), ("entry", "i8"), ("exit", "i8"), ("gross", "f8"),
     ("fees", "f8"), ("funding", "f8")]
)  # fmt: skip  # entry, exit = rows in fills
LOT = np.dtype([("fill", "i8"), ("instrument", "i8"), ("qty", "f8"), ("fee", "f8"), ("funding", "f8")])
REAL = np.dtype("f8")


class Trace(NamedTuple):
    """Where the walk through the books writes."""

    rows: NDArray[Any]
    positions: NDArray[Any]  # rows x instruments
    account: NDArray[Any]
    total: NDArray[Any]
    seen: NDArray[Any]  # per instrument: next match bar
    last: NDArray[Any]  # per row: the run's own row at or before it
    until: NDArray[Any]  # per row: up to when it knows more than that one did; 0 = it is that one


SEEN = np.dtype("i8")
trace_at = arena(Trace, (ROW, REAL, ACCOUNT, TOTAL, SEEN, SEEN, SEEN))


class Trips(NamedTuple):
    """Where round trips are paired."""

    trips: NDArray[Any]
    lots: NDArray[Any]
    counts: NDArray[Any]


trips_at = arena(Trips, (TRIP, LOT, SEEN))


@kernel(store=False)
def value_row(sim: Sim, t, r, ts):
    """Mark every instrument as of equity row `r`; the open gain."""
    c = sim.clock[0]
    n = c["n"]
    open_gain = 0.0
    for k in range(n):
        bar = t.seen[k]
        if c["ticks"] == 1:
            t.account[k]["mark"] = sim.row_marks[r * n + k]
        else:
            while bar < sim.cursor[k]["bar_end"] and sim.bars[bar]["close_ts"] + c["feed"] <= ts:
                t.account[k]["mark"] = sim.bars[bar]["close"]
                bar += 1
        t.seen[k] = bar
        open_gain += unrealised(sim.rules[k], t.account[k])
        t.positions[r * n + k] = t.account[k]["position"]
    return open_gain


@entry("int64(int64, int64, int64)")
def walk(address, out, n_rows):
    """Apply fills and journal entries again up to each equity row, on the strategy's side."""
    sim = sim_at(address)
    t = trace_at(out)
    c = sim.clock[0]
    f = 0
    j = 0
    for r in range(n_rows):
        row = t.rows[r]
        ts = row["ts"]
        while f < c["n_fills"]:
            if sim.fills[f]["row"] > t.last[r] and sim.fills[f]["seen_ts"] > t.until[r]:
                break
            fill = sim.fills[f]
            k = fill["instrument"]
            book_fill(
                sim.rules[k],
                t.account[k],
                t.total[0],
                fill["side"] * fill["qty"],
                fill["price"],
                fill["fee"],
                c["leverage"],
            )
            f += 1
        while j < c["n_journal"]:
            if sim.journal[j]["row"] > t.last[r] and sim.journal[j]["ts"] > t.until[r]:
                break
            entry_row = sim.journal[j]
            total = t.total[0]
            if entry_row["kind"] == J_FUNDING:
                total["funding"] += entry_row["amount"]
                total["cash"] += entry_row["amount"]
            elif entry_row["kind"] == J_TOKENS:
                total["tokens"] += entry_row["amount"]
                total["cash"] -= entry_row["amount"]
            else:
                total["liquidation"] += entry_row["amount"]
                total["cash"] += entry_row["amount"]
            j += 1
        open_gain = value_row(sim, t, r, ts)
        total = t.total[0]
        row["equity"] = balance(total) + open_gain
        row["cash"] = total["cash"]
        row["position"] = t.account[0]["position"]
        row["realised"] = total["realised"]
        row["unrealised"] = open_gain
        row["fees"] = total["fees"]
        row["funding"] = total["funding"]
        row["tokens"] = total["tokens"]
    return f


def account_rows(tables: Tables, sample: int = 0) -> tuple[NDArray[Any], NDArray[np.float64]]:
    """Return the ROW table and positions (rows, instruments) of a finished run.

    One row per close, or with `sample` one every so many ns, as the strategy knew the account at its time.
    """
    sim = tables.sim
    n = int(sim.clock[0]["n"])
    own = ts = row_times(sim)[: int(sim.clock[0]["rows"])]
    if sample and len(own) and not sim.clock[0]["ticks"]:  # a tick run has them already
        ts = np.arange(-(-int(own[0]) // sample) * sample, int(own[-1]) + 1, sample)
    last = np.searchsorted(own, ts, side="right") - 1
    until = np.where(own[last] == ts, 0, ts) if len(ts) else ts
    rows = np.zeros(max(len(ts), 1), ROW)
    rows["ts"][: len(ts)] = ts
    total = np.zeros(1, TOTAL)
    total["start"] = total["cash"] = sim.total[0]["start"]
    out = Trace(
        rows, np.zeros(max(len(ts), 1) * n), np.zeros(n, ACCOUNT), total, sim.cursor["bar_first"].copy(),
        last.astype(np.int64), until.astype(np.int64),
    )  # fmt: skip
    addresses = np.array([a.ctypes.data for a in out], dtype=np.int64)
    address, held = register(addresses.ctypes.data, out)
    walk(tables.address, address, len(ts))
    del held
    return rows[: len(ts)], out.positions[: len(ts) * n].reshape(-1, n)


@kernel(store=False)
def spread_funding(t, entry_row):
    """Share one funding payment among the open lots of its instrument by quantity."""
    if entry_row["kind"] != J_FUNDING:
        return
    held = 0.0
    for i in range(t.counts[0]):
        if t.lots[i]["instrument"] == entry_row["instrument"]:
            held += t.lots[i]["qty"]
    for i in range(t.counts[0]):
        lot = t.lots[i]
        if lot["instrument"] == entry_row["instrument"] and held > 0.0:
            lot["funding"] += entry_row["amount"] * lot["qty"] / held


@kernel(store=False)
def close_lots(sim: Sim, t, f):
    """Let fill `f` close lots of the other side, oldest first; what is left opens a lot."""
    fill = sim.fills[f]
    rule = sim.rules[fill["instrument"]]
    rest = fill["qty"]
    kept = 0
    count = t.counts[0]
    for i in range(count):
        lot = t.lots[i]
        first = sim.fills[lot["fill"]]
        if rest > 0.0 and lot["instrument"] == fill["instrument"] and first["side"] != fill["side"]:
            qty = min(rest, lot["qty"])
            share = qty / lot["qty"]
            trip = t.trips[t.counts[1]]
            trip["instrument"] = fill["instrument"]
            trip["side"] = first["side"]
            trip["qty"] = qty
            trip["entry"] = lot["fill"]
            trip["exit"] = f
            trip["gross"] = gain(
                rule["kind"], rule["multiplier"], first["side"] * qty, first["price"], fill["price"]
            )
            trip["fees"] = lot["fee"] * share + fill["fee"] * qty / fill["qty"]
            trip["funding"] = lot["funding"] * share
            t.counts[1] = t.counts[1] + 1
            lot["fee"] -= lot["fee"] * share
            lot["funding"] -= lot["funding"] * share
            lot["qty"] -= qty
            rest -= qty
            if rest <= 1e-9 * fill["qty"]:
                rest = 0.0
        if lot["qty"] > 1e-9 * first["qty"]:
            t.lots[kept] = lot
            kept += 1
    if rest > 0.0:
        lot = t.lots[kept]
        lot["fill"] = f
        lot["instrument"] = fill["instrument"]
        lot["qty"] = rest
        lot["fee"] = fill["fee"] * rest / fill["qty"]
        lot["funding"] = 0.0
        kept += 1
    t.counts[0] = kept


@entry("int64(int64, int64)")
def pair(address, out):
    """Pair fills into round trips, first in first out; funding goes to the lots open at its time."""
    sim = sim_at(address)
    t = trips_at(out)
    c = sim.clock[0]
    j = 0
    for f in range(c["n_fills"]):
        fill = sim.fills[f]
        while j < c["n_journal"] and sim.journal[j]["ts"] <= fill["ts"]:
            spread_funding(t, sim.journal[j])
            j += 1
        close_lots(sim, t, f)
    return t.counts[1]


def round_trips(tables: Tables) -> NDArray[Any]:
    """Return the TRIP table of a finished run."""
    n = int(tables.clock["n_fills"])
    out = Trips(np.zeros(2 * n + 2, TRIP), np.zeros(n + 2, LOT), np.zeros(2, np.int64))
    addresses = np.array([a.ctypes.data for a in out], dtype=np.int64)
    address, held = register(addresses.ctypes.data, out)
    count = pair(tables.address, address)
    del held
    return out.trips[:count]


__all__ = ["account_rows", "round_trips"]
