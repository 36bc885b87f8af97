"""The arrays of one run: made from a market and its options, grown when a table fills, read when it is over.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from framework.arena import register
from framework.engine import state
from framework.engine.state import (
    ACCOUNT,
    CLOCK,
    CURSOR,
    DTYPES,
    HEADROOM,
    JOURNAL,
    LATENCY,
    REQUEST,
    RESPONSE,
    RULES,
    SPAN,
    TIER,
    TOTAL,
    TRAIL,
    Sim,
)
from framework.engine.tick_calls import read_to_horizon
from framework.engine.tick_tables import CELLS, attach, set_clock, tick_cursors, tick_instruments
from framework.instruments import Instrument, grid_inverse
from framework.market import Market
from framework.market_parts import end_to_end
from framework.market_reel import LOOK_BACK, Reel
from framework.records import FEATURE, FILL, FUNDING, INSTRUMENT_KINDS, MARK, NEVER, NONE, ORDER

Rows = NDArray[Any]
ROOM_OF_TICKS = 1 << 17  # rows of every table; memory that is never written costs nothing
GROWING = {
    "orders": ("room_orders",),
    "fills": ("room_fills",),
    "responses": ("room_responses",),
    "journal": ("room_journal",),
    "trail": ("room_trail",),
    "live": ("room_lists",),
    "mine": ("room_lists",),
    "requests": ("room_lists",),
    "scratch": ("room_lists",),
}


@dataclass
class Setup:
    """Everything a run needs to know beside the market: plain numbers, already checked."""

    cash: float
    options: dict[str, float]
    maker: Sequence[float]
    taker: Sequence[float]
    latency: Sequence[Rows]  # one LATENCY table per instrument
    features: Sequence[str] = ()
    bars: int | None = None  # interval on_bar wants, None = the finest
    timer: int = 0
    shows_bars: bool = False  # the strategy has on_bar: ticks make bars for it
    step: int = 0  # ns between equity rows of a tick run; 0 = a second
    watch: int = 0  # id of an order whose place in the queue is written down
    window: int = CELLS  # cells of a book's window; of no consequence for any number
    script: Rows | None = None  # REQUEST rows of replay_orders
    orders: Rows | None = None  # ORDER rows the script sends


class Tables:
    """Owns the arrays of one run and their addresses."""

    def __init__(self, market: Market, setup: Setup) -> None:
        self.source = market
        self.desk: Any = None  # asks portfolio questions in the middle of the run, where there are some
        self.market = market if not market.tapes or market.reel is not None else Reel(market).market
        self.reel = self.market.reel
        self.sim = build(self.market, setup)
        self.sim.clock["horizon"] = self.reel.horizon if self.reel is not None else NEVER
        self.held_ticks = attach(self.sim, self.market, setup.window)
        self.bind()

    def bind(self) -> None:
        """Publish the arrays' addresses to compiled code."""
        self.addresses = np.array([a.ctypes.data for a in self.sim], dtype=np.int64)
        self.address, self.held = register(self.addresses.ctypes.data, self.sim)
        self.clock = self.sim.clock[0]

    def close(self) -> None:
        """Give back what a run over a streamed market held: from now on the market is the streamed one."""
        if self.reel is not None:
            self.reel.close()
            self.held_ticks, self.market, self.reel = [], self.source, None

    def read_on(self) -> None:
        """Give back the rows that everybody has read, and load the next ones."""
        assert self.reel is not None
        read_to_horizon(self.address)
        self.reel.show(self.reel.horizon)
        for k, (arrays, _, _) in zip(tick_instruments(self.market), self.held_ticks, strict=True):
            place, books = arrays.place[0], arrays.books["message"]
            if ("books", k) in self.reel.strands:
                waits = [int(books.min())] + ([int(place["message"])] if place["resting"] else [])
                waits += [int(place["message_shown"])] if self.clock["wake_book"] else []
                self.reel.forget("books", k, min(waits) - 1)
            if ("trades", k) in self.reel.strands:
                seen = min(int(place["trade_seen"]), int(place["trade"]))
                seen = min(seen, int(place["trade_shown"])) if self.clock["wake_trade"] else seen
                self.reel.forget("trades", k, seen - LOOK_BACK)
        self.reel.load()
        self.clock["horizon"], self.clock["starved"] = self.reel.horizon, 0

    def grow(self) -> None:
        """Double the tables that could overflow, or read on where the rows have run out."""
        c = self.clock
        if c["starved"]:
            self.read_on()
            return
        need = 4 * int(c["n_live"] + c["n_requests"] + c["script_end"] - c["script"]) + HEADROOM
        used = {
            "orders": c["n_orders"],
            "fills": c["n_fills"],
            "responses": c["n_responses"],
            "journal": c["n_journal"],
            "trail": c["n_trail"],
            "live": max(c["n_live"], c["n_requests"], c["n_mine"]),
        }
        fresh: dict[str, Rows] = {}
        for name, rooms in GROWING.items():
            old = getattr(self.sim, name)
            count = int(used.get(name, used["live"]))
            if count + need <= len(old) or (name == "trail" and not c["watch"]):
                continue
            size = max(2 * len(old), count + 2 * need)
            new = np.zeros(size, old.dtype)
            new[: len(old)] = old
            fresh[name] = new
            for room in rooms:
                c[room] = size
        self.sim = self.sim._replace(**fresh)
        lists = min(len(getattr(self.sim, n)) for n in ("live", "mine", "requests", "scratch"))
        self.sim.clock[0]["room_lists"] = lists
        self.bind()


def rules_of(market: Market, setup: Setup) -> tuple[Rows, Rows, Rows]:
    """Return the RULES, TIER and LATENCY tables."""
    rules = np.zeros(len(market.instruments), RULES)
    tiers: list[tuple[float, float, float]] = []
    latency: list[Rows] = []
    at = 0
    for k, one in enumerate(market.instruments):
        row = rules[k]
        row["kind"] = INSTRUMENT_KINDS.index(one.kind)
        for step, size in (("tick", one.tick_size), ("lot", one.lot_size)):
            row[step] = size or 0.0
            row[f"{step}_inv"] = grid_inverse(size) if size else 0.0
        row["min_notional"] = one.min_notional
        row["multiplier"] = one.multiplier
        row["maker"] = setup.maker[k]
        row["taker"] = setup.taker[k]
        row["tier_first"] = len(tiers)
        tiers += [(float(a), float(b), float(c)) for a, b, c, *_ in tiers_of(one)]
        row["tier_end"] = len(tiers)
        table = setup.latency[k]
        row["latency_first"] = at
        at += len(table)
        row["latency_end"] = at
        latency.append(table)
    return rules, np.array(tiers, dtype=TIER), np.concatenate(latency).astype(LATENCY)


def tiers_of(one: Instrument) -> Sequence[Sequence[float]]:
    """Maintenance tiers as plain triples."""
    return [tuple(t)[:3] for t in one.tiers]


def cursors(market: Market, setup: Setup) -> tuple[Rows, Rows, Rows]:
    """Return the concatenated bars, one CURSOR per instrument, and when hook bars of ticks can be seen."""
    joined = market.joined(setup.bars)
    cursor = np.zeros(len(market.instruments), CURSOR)
    for row, (first, end), span, interval in zip(
        cursor, joined.match, joined.shown, joined.intervals, strict=True
    ):
        row["bar"] = row["bar_first"] = row["seen"] = first
        row["bar_end"] = end
        row["hook"], row["hook_end"] = span
        row["interval"] = interval
        row["same"] = int(span == (first, end))
        row["mark_price"] = math.nan
        row["mark_bar"] = row["ambiguous_bar"] = row["fill_bar"] = NONE
    if not tick_instruments(market):
        return joined.bars, cursor, np.zeros(1, np.int64)
    bars, shown = tick_cursors(market, joined, cursor, setup.shows_bars)
    return bars, cursor, shown


def streams(market: Market, cursor: Rows, setup: Setup) -> dict[str, Rows]:
    """Return the funding, mark and feature tables, and set the cursors' spans."""
    n = len(market.instruments)
    none_funding, none_mark = np.zeros(0, FUNDING), np.zeros(0, MARK)
    funding, spans = end_to_end([market.funding.get(k, none_funding) for k in range(n)], FUNDING)
    marks, mark_spans = end_to_end([market.mark.get(k, none_mark) for k in range(n)], MARK)
    for k in range(n):
        cursor[k]["funding"], cursor[k]["funding_end"] = spans[k]
        cursor[k]["mark"], cursor[k]["mark_end"] = mark_spans[k]
    features, feature_spans = end_to_end([market.features[name][1] for name in setup.features], FEATURE)
    table = np.zeros(max(len(feature_spans), 1), SPAN)
    for j, (first, end) in enumerate(feature_spans):
        table[j] = (first, end, first)
    return {"funding": funding, "marks": marks, "features": features, "spans": table}


def set_times(c: Any, market: Market, setup: Setup, bars: Rows, cursor: Rows) -> int:
    """Set when a run begins, ends and wakes; return how many equity rows it can have."""
    some = [row for row in cursor if row["bar"] < row["bar_end"]]  # an instrument may have no bar yet
    first = min((int(bars[row["bar"]]["open_ts"]) for row in some), default=0)
    last = max((int(bars[row["bar_end"] - 1]["close_ts"]) for row in some), default=0) + int(c["feed"])
    c["stop"], c["end"], c["timer_step"] = last, last - int(c["feed"]), setup.timer
    c["expiry"] = NEVER
    c["timer"] = -(-first // setup.timer) * setup.timer if setup.timer else NEVER
    n_rows = int((cursor["bar_end"] - cursor["bar_first"]).sum())  # one a close, at most
    if tick_instruments(market):
        n_rows = set_clock(c, market, first if some else NEVER, setup.step)
    c["signal_end"] = int(np.searchsorted(market.signals["arrival_ts"], c["stop"], side="right"))
    return n_rows


def build(market: Market, setup: Setup) -> Sim:
    """Return the arrays of a new run."""
    n = len(market.instruments)
    bars, cursor, shown = cursors(market, setup)
    made = streams(market, cursor, setup)
    rules, tiers, latency = rules_of(market, setup)
    script = setup.script if setup.script is not None else np.zeros(0, REQUEST)
    room = 4 * len(script) + (ROOM_OF_TICKS if tick_instruments(market) else 4 * HEADROOM)
    clock = np.zeros(1, CLOCK)
    c = clock[0]
    for name, value in setup.options.items():
        c[name] = value
    c["n"], c["next_id"] = n, 1
    c["watch"], c["room_trail"] = setup.watch, 4 * HEADROOM if setup.watch else 1
    n_rows = set_times(c, market, setup, bars, cursor)
    c["script_end"] = len(script)
    for name in ("room_orders", "room_fills", "room_responses", "room_journal", "room_lists"):
        c[name] = room
    orders = np.zeros(room, ORDER)
    if setup.orders is not None:
        orders[: len(setup.orders)] = setup.orders
        c["n_orders"] = len(setup.orders)
        c["next_id"] = int(setup.orders["id"].max()) + 1 if len(setup.orders) else 1
    total = np.zeros(2, TOTAL)
    total["start"] = total["cash"] = setup.cash
    sim = Sim(
        bars=bars,
        **made,
        signals=np.ascontiguousarray(market.signals),
        rules=rules,
        tiers=tiers,
        latency=latency,
        cursor=cursor,
        account=np.zeros(2 * n, ACCOUNT),
        total=total,
        clock=clock,
        orders=orders,
        live=np.zeros(room, np.int64),
        mine=np.zeros(room, np.int64),
        requests=np.zeros(room, REQUEST),
        script=script,
        fills=np.zeros(room, FILL),
        responses=np.zeros(room, RESPONSE),
        journal=np.zeros(room, JOURNAL),
        equity=np.zeros(n_rows),
        scratch=np.zeros(room),
        shown=shown,
        top=np.zeros(4 * n),
        row_ts=np.zeros(n_rows if c["ticks"] else 1, np.int64),
        row_marks=np.zeros(n_rows * n if c["ticks"] else 1),
        trail=np.zeros(int(c["room_trail"]), TRAIL),
    )
    for array, dtype in zip(sim, DTYPES, strict=True):
        assert array.dtype == dtype, (array.dtype, dtype)
    return sim


def row_times(sim: Sim) -> NDArray[np.int64]:
    """Close times at which an equity row is due: one per distinct close of any instrument's match bars."""
    if sim.clock[0]["ticks"] == 1:
        return sim.row_ts
    feed = int(sim.clock[0]["feed"])
    closes = [sim.bars["close_ts"][int(r["bar_first"]) : int(r["bar_end"])] for r in sim.cursor]
    if len(closes) == 1:
        return np.asarray(closes[0] + feed)
    together = np.sort(np.concatenate(closes), kind="stable")  # runs that are sorted: a merge
    is_new = np.append(True, together[1:] != together[:-1]) if len(together) else np.zeros(0, dtype=bool)
    return np.asarray(together[is_new] + feed)


__all__ = ["Setup", "Tables", "build", "row_times", "state"]
