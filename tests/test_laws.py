"""R4 over random cases, judged by the bars and the script alone: what no fill and no order may ever do.

Each case is run once; `SEEDS` are theirs, and every assertion names its seed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pytest

from framework import replay_orders
from framework.engine.calls import step
from framework.engine.replay import advance_at
from framework.engine.state import DONE, FAILED, GROW
from framework.engine.tables import Tables
from framework.jit import native
from framework.outcome import Outcome
from framework.plan import make_plan
from framework.records import EXPIRED, FILLED, NEVER, OPEN, PENDING, REJECTED
from framework.script import Script
from tests.naive import compare
from tests.naive.cases import random_case
from tests.naive.model import Case

SEEDS = range(50_001, 50_401)
Row = dict[str, Any]


@dataclass
class Done:
    """One case, run: its tables as rows, what was asked by id, its bars by (instrument, open)."""

    seed: int
    case: Case
    orders: dict[int, Row]
    fills: list[Row]
    asked: dict[int, Row]
    amends: dict[int, list[Row]]
    bars: dict[tuple[str, int], tuple[Any, ...]]
    fingerprint: str

    def arrival(self, ts: int) -> int:
        """When something sent at `ts` is at the exchange."""
        table = self.case.options.latency_table
        if not table:
            return ts + self.case.options.order_latency
        return ts + ([row for row in table if row[0] <= ts] or table[:1])[-1][1]

    def limits(self, order: Row) -> list[float]:
        """Prices an order was given, one after another."""
        later = [row["price"] for row in self.amends.get(order["id"], []) if row.get("price") is not None]
        return [order["price"], *later]


@cache
def done(seed: int) -> Done:
    """Run one case."""
    case = random_case(seed)
    orders, market, options = compare.frames(case)
    result = replay_orders(orders, market, **options)
    amends: dict[int, list[Row]] = {}
    for row in case.orders:
        if row["type"] == "amend":
            amends.setdefault(row["id"], []).append(row)
    return Done(
        seed, case, {row["id"]: row for row in result.orders.rows(named=True)},
        result.fills.rows(named=True),
        {row["id"]: row for row in case.orders if row["type"] not in ("amend", "cancel_all")}, amends,
        {(compare.name_of(k), bar[0]): bar for k, bars in enumerate(case.bars) for bar in bars},
        result.fingerprint,
    )  # fmt: skip


def every() -> Iterator[tuple[Done, Row, Row, tuple[Any, ...]]]:
    """(case, fill, its order, its bar) of all fills that an order asked for."""
    for seed in SEEDS:
        one = done(seed)
        for fill in one.fills:
            order = one.orders[fill["order_id"]]
            if order["type"] != "liquidation":
                yield one, fill, order, one.bars[fill["instrument"], fill["bar_open_ts"]]


def test_never_worse_than_the_limit() -> None:
    """R4: a limit or stop-limit pays its price or a better one, to the last digit, and one the bar had."""
    count: Counter[str] = Counter()
    for one, fill, order, bar in every():
        if order["type"] not in ("limit", "stop_limit"):
            continue
        limits = one.limits(order)
        if fill["side"] == "buy":
            assert fill["price"] <= max(limits), (one.seed, fill, order)
        else:
            assert fill["price"] >= min(limits), (one.seed, fill, order)
        assert bar[4] <= fill["price"] <= bar[3], (one.seed, fill, bar)
        count[order["type"]] += 1
    assert count["limit"] > 300
    assert count["stop_limit"] > 20


def test_maker_only_where_the_market_traded_at_or_through_it() -> None:
    """R4: a maker fill is a limit at its own price, and the bar reached it; all others are takers."""
    count: Counter[bool] = Counter()
    for one, fill, order, bar in every():
        count[fill["maker"]] += 1
        if fill["maker"]:
            assert order["type"] in ("limit", "stop_limit"), (one.seed, fill, order)
            assert fill["price"] in one.limits(order), (one.seed, fill, order)
            reached = bar[4] <= fill["price"] if fill["side"] == "buy" else bar[3] >= fill["price"]
            assert reached, (one.seed, fill, bar)
            assert order["tif"] not in ("IOC", "FOK"), (one.seed, fill, order)
    assert min(count.values()) > 200


def test_takers_pay_at_least_the_bars_price() -> None:
    """R4: slippage, impact and spread only ever make it dearer; a raw price lies inside the bar."""
    count = 0
    for one, fill, order, bar in every():
        if order["type"] in ("limit", "stop_limit"):
            continue
        options = one.case.options
        count += 1
        if fill["side"] == "buy":
            assert fill["price"] >= bar[4], (one.seed, fill, bar)
        else:
            assert fill["price"] <= bar[3], (one.seed, fill, bar)
        if options.impact is None:
            most = (1.0 + options.slippage) * (1.0 + options.entry_spread) * (1.0 + 1e-12)
            least = (1.0 - options.slippage) * (1.0 - options.entry_spread) * (1.0 - 1e-12)
            assert bar[4] * least <= fill["price"] <= bar[3] * most, (one.seed, fill, bar)
    assert count > 500


def test_nothing_before_arrival_or_after_a_cancel_took_effect() -> None:
    """R4: every fill lies between the order's arrival and its end, its cancel, its expiry."""
    cancels = 0
    for one, fill, order, _ in every():
        assert fill["ts"] >= order["arrival_ts"], (one.seed, fill, order)
        assert order["end_ts"] is None or fill["ts"] <= order["end_ts"], (one.seed, fill, order)
        assert fill["seen_ts"] >= fill["ts"], (one.seed, fill)
        row = one.asked.get(order["id"])
        if row is None:
            continue
        assert order["arrival_ts"] == one.arrival(row["ts"]), (one.seed, order)
        if row.get("cancel_ts") is not None:
            assert fill["ts"] <= one.arrival(row["cancel_ts"]), (one.seed, fill, row)
            cancels += 1
        if row.get("expire_ts") is not None:
            assert fill["ts"] <= row["expire_ts"], (one.seed, fill, row)
        for other in one.case.orders:
            if other["type"] == "cancel_all" and other["instrument"] == row["instrument"]:
                gone = one.arrival(other["ts"])
                assert order["arrival_ts"] >= gone or fill["ts"] <= gone, (one.seed, fill, row, other)
    assert cancels > 50


def test_stamps_of_fills() -> None:
    """rules 4.7: at the open max(open, arrival) inside the grace, inside the bar its close."""
    count: Counter[str] = Counter()
    for one, fill, order, bar in every():
        if one.case.options.at == "close":
            continue
        arrivals = {order["arrival_ts"], *(one.arrival(r["ts"]) for r in one.amends.get(order["id"], []))}
        if fill["ts"] in (bar[0], bar[1]):
            count["at an end"] += 1
            continue
        grace = one.case.options.grace * (bar[1] - bar[0])
        assert bar[0] < fill["ts"] <= bar[0] + grace, (one.seed, fill, bar)
        born = order["arrival_ts"] == order["ts"] and order["id"] not in one.asked  # an exit, with its entry
        assert fill["ts"] in arrivals or born, (one.seed, fill, order)
        count["on arrival"] += 1
    assert count["on arrival"] > 100


def first_open(one: Done, order: Row, k: int) -> float | None:
    """Open that an order meets first."""
    for bar in one.case.bars[k]:
        grace = one.case.options.grace * (bar[1] - bar[0])
        if order["arrival_ts"] < bar[1] and order["arrival_ts"] <= bar[0] + grace:
            return float(bar[2])
    return None


def test_post_only_never_takes() -> None:
    """R4, rules 4.5: nothing fills at the open it meets first; rejected there and only there."""
    count: Counter[str] = Counter()
    for seed in SEEDS:
        one = done(seed)
        for number, row in one.asked.items():
            if not row.get("post_only") or number in one.amends or one.case.options.at == "close":
                continue
            if row["type"] != "limit":
                continue  # rejected at the door, or (stop-limits) when triggered
            order = one.orders[number]
            price = first_open(one, order, row["instrument"])
            takes = price is not None and (
                price <= row["price"] if row["side"] == "buy" else price >= row["price"]
            )
            if takes:
                assert order["n_fills"] == 0, (seed, order)
                assert order["status"] != "filled", (seed, order)
            refused = order["reason"] == "post-only would take"
            assert takes or not refused, (seed, order)
            count["refused"] += refused
            count["rested"] += order["n_fills"] > 0
            own = [f for f in one.fills if f["order_id"] == number and f["price"] == row["price"]]
            assert all(f["maker"] for f in own), (seed, own)
    assert min(count["refused"], count["rested"]) > 20


def test_reduce_only_never_flips() -> None:
    """R4: an exit brings its position towards zero, never through it."""
    count = 0
    for seed in SEEDS:
        one = done(seed)
        held: dict[str, float] = {}
        for fill in one.fills:
            before = held.get(fill["instrument"], 0.0)
            after = before + (fill["qty"] if fill["side"] == "buy" else -fill["qty"])
            row = one.asked.get(fill["order_id"])
            if row is None or row.get("reduce_only") or row["type"] == "close":
                slack = 1e-9 * max(1.0, abs(before))
                assert abs(after) <= abs(before) + slack, (seed, fill, before)
                assert after * before >= -slack * abs(before), (seed, fill, before)
                count += 1
            held[fill["instrument"]] = after
    assert count > 300


def test_no_more_than_was_asked() -> None:
    """R4: the fills of an order make its filled quantity and average, and never more than the order."""
    for seed in SEEDS:
        one = done(seed)
        for number, order in one.orders.items():
            own = [fill for fill in one.fills if fill["order_id"] == number]
            total = sum(fill["qty"] for fill in own)
            assert order["filled_qty"] == pytest.approx(total, rel=1e-12), (seed, order)
            assert order["n_fills"] == len(own), (seed, order)
            if own:
                mean = sum(fill["qty"] * fill["price"] for fill in own) / total
                assert order["avg_price"] == pytest.approx(mean, rel=1e-12), (seed, order)
                assert order["last_fill_ts"] == own[-1]["ts"], (seed, order)
            wanted = one.asked.get(number, {}).get("qty")
            if wanted is not None and number not in one.amends:
                assert total <= wanted * (1.0 + 1e-9), (seed, order)
                whole = order["status"] == "filled" and not one.asked[number].get("reduce_only")
                assert not whole or total == pytest.approx(wanted, rel=1e-9), (seed, order)
            assert (order["status"] == "filled") <= (total > 0.0), (seed, order)
            assert (order["end_ts"] is None) == (order["status"] == "open"), (seed, order)


# ---- states


def stepped(seed: int) -> Iterator[tuple[Tables, Any]]:
    """The engine at every bar of a case: (tables, a copy of its order rows)."""
    orders, market, options = compare.frames(done(seed).case)
    plan = make_plan(market, **options)
    script = Script(orders, market, plan.latency)
    tables = Tables(market, plan.setup(script=script.requests, orders=script.orders))
    for name in ("wake_bar", "wake_fill", "wake_order"):
        tables.clock[name] = 1
    advance = native(advance_at)
    while True:
        code = int(step(advance, tables.address))
        assert code != FAILED, seed
        if code == GROW:
            tables.grow()
            continue
        yield tables, tables.sim.orders[: int(tables.clock["n_orders"])].copy()
        if code == DONE:
            assert Outcome(tables).fingerprint() == done(seed).fingerprint, seed
            return


LEGAL = {(a, b) for a in (PENDING, OPEN) for b in range(a, REJECTED + 1)}


def test_legal_transitions_of_orders() -> None:
    """R4: in flight, then working, then final for ever; filled grows, and stops at the end."""
    seen: Counter[tuple[int, int]] = Counter()
    for seed in SEEDS:
        before: Any = None
        for _, rows in stepped(seed):
            final = rows["status"] >= FILLED
            assert ((rows["end_ts"] < NEVER) == final).all(), seed
            assert (rows["known_filled"] <= rows["filled"] * (1 + 1e-12)).all(), seed
            assert ((rows["known"] < FILLED) | (rows["known"] == rows["status"])).all(), seed
            if before is not None:
                now = rows[: len(before)]
                for name in ("status", "known"):
                    pairs = list(zip(before[name].tolist(), now[name].tolist(), strict=True))
                    for a, b in set(pairs):
                        assert a == b or (a, b) in LEGAL, (seed, name, a, b)
                    seen.update(pairs if name == "status" else [])
                assert (now["filled"] >= before["filled"]).all(), seed
                stopped = before["status"] >= FILLED
                for name in ("status", "filled", "end_ts", "reason", "n_fills", "value"):
                    assert np.array_equal(now[name][stopped], before[name][stopped]), (seed, name)
            before = rows
    assert {(PENDING, OPEN), (OPEN, FILLED), (PENDING, FILLED), (OPEN, EXPIRED)} <= set(seen)
