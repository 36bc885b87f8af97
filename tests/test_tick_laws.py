"""R4 and R5 on ticks over random cases, judged by the feeds and the script alone.

Each case is run once, in strict mode; `SEEDS` are theirs, and every assertion names its seed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pytest

from framework import Market, replay_orders
from framework.engine.calls import step
from framework.engine.state import DONE, FAILED, GROW
from framework.engine.tables import Tables
from framework.engine.tick_calls import advance_of
from framework.outcome import Outcome
from framework.plan import make_plan
from framework.records import FILLED, NEVER, NONE, OPEN, PENDING, REJECTED
from framework.script import Script
from tests.naive import compare, tick_compare
from tests.naive.tick_cases import random_tick_case
from tests.naive.tick_model import TickCase

SEEDS = range(70_001, 70_141)
Row = dict[str, Any]
SIGN = {"buy": 1, "sell": -1}


@dataclass
class Done:
    """One case, run: its tables as rows, and what was asked by id."""

    seed: int
    case: TickCase
    market: Market
    orders: dict[int, Row]
    fills: list[Row]
    asked: dict[int, Row]
    amends: dict[int, list[Row]]
    status: str
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

    def tick(self, k: int, price: float) -> int:
        """Tick of a price on the grid."""
        return round(price / self.case.instruments[k]["tick"])


@cache
def done(seed: int) -> Done:
    """Run one case."""
    case = random_tick_case(seed)
    market = tick_compare.market_of(case)
    options = tick_compare.arguments(case.options)
    result = replay_orders(compare.orders_frame(case), market, **options, strict=True)
    amends: dict[int, list[Row]] = {}
    for row in case.orders:
        if row["type"] == "amend":
            amends.setdefault(row["id"], []).append(row)
    return Done(
        seed, case, market, {row["id"]: row for row in result.orders.rows(named=True)},
        result.fills.rows(named=True),
        {row["id"]: row for row in case.orders if row["type"] not in ("amend", "cancel_all")}, amends,
        result.status, result.fingerprint,
    )  # fmt: skip


def every() -> Iterator[tuple[Done, Row, Row, int]]:
    """(case, fill, its order, its instrument) of all fills on ticks that an order asked for."""
    for seed in SEEDS:
        one = done(seed)
        numbers = {what.id: k for k, what in enumerate(one.market.instruments)}
        for fill in one.fills:
            order, k = one.orders[fill["order_id"]], numbers[fill["instrument"]]
            if order["type"] != "liquidation" and one.market.has_ticks(k):
                yield one, fill, order, k


def test_never_worse_than_the_limit() -> None:
    """R4: a limit pays its price or a better one, to the last digit, in whole lots."""
    count: Counter[str] = Counter()
    for one, fill, order, k in every():
        lots = fill["qty"] / one.case.instruments[k]["lot"]
        assert lots == pytest.approx(round(lots), abs=1e-6), (one.seed, fill)
        if order["type"] in ("limit", "stop_limit"):
            limits, sign = one.limits(order), SIGN[fill["side"]]
            assert sign * fill["price"] <= max(sign * p for p in limits), (one.seed, fill, order)
            count[order["type"]] += 1
    assert count["limit"] > 150
    assert count["stop_limit"] > 8


def reached(one: Done, k: int, fill: Row) -> str:
    """What at the fill's stamp lets a resting order fill: a trade through it or at it, or the other side."""
    tick, sign = one.tick(k, fill["price"]), SIGN[fill["side"]]
    rows = one.market.trades.get(k)
    now = rows[rows["ts"] == fill["ts"]] if rows is not None else ()
    book = one.market.books.get(k)
    met = [(sign * (tick - int(trade["tick"])), int(trade["side"])) for trade in now]
    if any(beyond > 0 and (side != sign or book is None) for beyond, side in met):
        return "through"
    if any(beyond == 0 and side == -sign for beyond, side in met):
        return "at"
    if book is not None:
        for m in np.flatnonzero(book.messages["ts"][:-1] == fill["ts"]).tolist():
            part = slice(int(book.messages["first"][m]), int(book.messages["first"][m + 1]))
            keys = book.keys[part][book.lots[part] > 0]
            other = keys[keys & 1 == (sign > 0)] >> 1
            if (sign * (other - tick) <= 0).any():
                return "quote"
    return ""


def test_maker_only_where_the_market_traded_at_or_through_it() -> None:
    """R4: a maker fill is a limit at its own price which a trade or the other side reached at that stamp."""
    count: Counter[str] = Counter()
    for one, fill, order, k in every():
        count["maker" if fill["maker"] else "taker"] += 1
        if not fill["maker"]:
            continue
        assert order["type"] in ("limit", "stop_limit"), (one.seed, fill, order)
        assert order["tif"] not in ("IOC", "FOK"), (one.seed, fill, order)
        assert fill["price"] in one.limits(order), (one.seed, fill, order)
        how = reached(one, k, fill)
        assert how, (one.seed, fill, order)
        count[how] += 1
        if how == "at" and k not in one.market.books:
            assert one.case.options.queue == "front", (one.seed, fill)
    assert min(count.values()) > 12, count


def test_nothing_before_arrival_or_after_a_cancel_took_effect() -> None:
    """R4, time order: arrivals are late by exactly the latency; fills lie between arrival and end."""
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
    assert cancels > 8


def test_answers_are_late_by_the_latency() -> None:
    """Time order: an answer is seen one response latency after its fill; none overtakes another."""
    count: Counter[bool] = Counter()
    for seed in SEEDS:
        one, last = done(seed), 0
        options = one.case.options
        if options.latency_table or one.status == "bust":  # then everything is known at once
            continue
        for fill in sorted(one.fills, key=lambda fill: fill["seen_ts"]):
            due = fill["ts"] + options.response_latency
            by_bars = fill["bar_open_ts"] is not None  # inside one, what fills is known at its close
            if not by_bars and one.orders[fill["order_id"]]["type"] != "liquidation":
                assert fill["seen_ts"] == due or fill["seen_ts"] == max(due, last), (seed, fill)
                count[fill["seen_ts"] == due] += 1
            last = fill["seen_ts"]
    assert count[True] > 150


def test_post_only_never_takes() -> None:
    """R4: every fill of a post-only order is a maker's, and some are refused."""
    count: Counter[str] = Counter()
    for seed in SEEDS:
        one = done(seed)
        for number, row in one.asked.items():
            if row.get("post_only") and one.market.has_ticks(row["instrument"]):
                own = [fill for fill in one.fills if fill["order_id"] == number]
                assert all(fill["maker"] for fill in own), (seed, own)
                count["rested"] += bool(own)
                count["refused"] += one.orders[number]["reason"] == "post-only would take"
    assert min(count["refused"], count["rested"]) > 6, count


def test_reduce_only_never_flips() -> None:
    """R4: an exit brings its position towards zero, never through it."""
    count = 0
    for seed in SEEDS:
        one, held = done(seed), Counter[str]()
        for fill in one.fills:
            before = held[fill["instrument"]]
            after = before + SIGN[fill["side"]] * fill["qty"]
            row = one.asked.get(fill["order_id"])
            if row is None or row.get("reduce_only") or row["type"] == "close":
                slack = 1e-9 * max(1.0, abs(before))
                assert abs(after) <= abs(before) + slack, (seed, fill, before)
                assert after * before >= -slack * max(1.0, abs(before)), (seed, fill, before)
                count += 1
            held[fill["instrument"]] = after
    assert count > 100


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


def test_strict_changes_nothing() -> None:
    """R2: every case passed strict mode; the fingerprint is the same without."""
    for seed in SEEDS[::5]:
        one = done(seed)
        options = tick_compare.arguments(one.case.options)
        plain = replay_orders(compare.orders_frame(one.case), one.market, **options)
        assert plain.fingerprint == one.fingerprint, seed


# ---- states and queues, row by row


def stepped(seed: int) -> Iterator[Any]:
    """A copy of the order rows at every trade, message and answer of a case."""
    case = done(seed).case
    plan = make_plan(done(seed).market, **tick_compare.arguments(case.options))
    script = Script(compare.orders_frame(case), plan.market, plan.latency)
    tables = Tables(plan.market, plan.setup(script=script.requests, orders=script.orders))
    for name in ("wake_bar", "wake_fill", "wake_order", "wake_trade", "wake_book"):
        tables.clock[name] = 1
    advance = advance_of(tables.sim)
    while True:
        code = int(step(advance, tables.address))
        assert code != FAILED, seed
        if code == GROW:
            tables.grow()
            continue
        yield tables.sim.orders[: int(tables.clock["n_orders"])].copy()
        if code == DONE:
            assert Outcome(tables).fingerprint() == done(seed).fingerprint, seed
            return


LEGAL = {(a, b) for a in (PENDING, OPEN) for b in range(a, REJECTED + 1)}
FINAL = ("status", "filled", "end_ts", "reason", "n_fills", "value")


def check_states(seed: int, before: Any, rows: Any, seen: Counter[tuple[int, int]]) -> None:
    """In flight, then working, then final for ever; filled grows, and stops at the end."""
    for name in ("status", "known"):
        pairs = Counter(zip(before[name].tolist(), rows[name].tolist(), strict=True))
        assert all(a == b or (a, b) in LEGAL for a, b in pairs), (seed, name, pairs)
        seen.update(pairs if name == "status" else ())
    assert (rows["filled"] >= before["filled"]).all(), seed
    stopped = before["status"] >= FILLED
    for name in FINAL:
        assert np.array_equal(rows[name][stopped], before[name][stopped]), (seed, name)


def test_legal_transitions_and_queues_that_only_move_on() -> None:
    """R4 and R5: states are legal; who rests and amends nothing never has more ahead than before."""
    seen: Counter[tuple[int, int]] = Counter()
    moved = 0
    for seed in SEEDS[::2]:
        before: Any = None
        amended = list(done(seed).amends)
        for rows in stepped(seed):
            final = rows["status"] >= FILLED
            assert ((rows["end_ts"] < NEVER) == final).all(), seed
            assert (rows["known_filled"] <= rows["filled"] * (1 + 1e-12)).all(), seed
            if before is not None:
                now = rows[: len(before)]
                check_states(seed, before, now, seen)
                rests = (
                    (before["level"] + before["ahead"] > 0.0)
                    & (before["seen_bar"] != NONE)
                    & (before["status"] == OPEN)
                )
                rests &= ~np.isin(before["id"], amended) & (before["since"] == now["since"])
                assert (now["ahead"][rests] <= before["ahead"][rests]).all(), seed
                moved += int((now["ahead"][rests] < before["ahead"][rests]).sum())
            before = rows
    assert {(PENDING, OPEN), (OPEN, FILLED), (PENDING, FILLED)} <= set(seen)
    assert moved > 30
