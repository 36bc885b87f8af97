"""Properties of the candle engine by name (reliability.md): what must hold whatever the market and the
orders.
"""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
import pytest

from framework import Market, replay_orders
from framework.result import Result
from tests.naive import compare
from tests.naive.cases import random_case
from tests.naive.model import Case

SEEDS = range(1, 61)


def result_of(case: Case, **more: Any) -> Result:
    """Replay a case through the public call."""
    orders, market, options = compare.frames(case)
    return replay_orders(orders, market, **{**options, **more})


def money_orders(case: Case) -> Case:
    """The case without shares, margins and minimums: quantities that do not depend on money."""
    case = copy.deepcopy(case)
    numbered = [{**row, "id": row.get("id", n + 1)} for n, row in enumerate(case.orders)]
    shares = {row["id"] for row in numbered if row.get("share") is not None}
    case.orders = [row for row in numbered if row["id"] not in shares]
    for row in case.instruments:
        row["min_notional"], row["tiers"] = 0.0, ()
    case.options = replace(case.options, cash=1e12, margin="cross")
    return case


@pytest.mark.parametrize("seed", SEEDS)
def test_books_balance_after_every_event(seed: int) -> None:
    """R2: the double-entry identity holds in strict mode, which changes nothing."""
    case = random_case(seed)
    assert result_of(case, strict=True).fingerprint == result_of(case).fingerprint


@pytest.mark.parametrize("seed", SEEDS)
def test_fills_are_legal(seed: int) -> None:
    """R4: no worse than the limit, no more than the order, nothing before arrival or after the end."""
    case = random_case(seed)
    result = result_of(case)
    orders = {row["id"]: row for row in result.orders.rows(named=True)}
    asked = {row.get("id", n + 1): row for n, row in enumerate(case.orders)}
    amended = {row["id"] for row in case.orders if row["type"] == "amend"}
    filled: dict[int, float] = {}
    for fill in result.fills.rows(named=True):
        order = orders[fill["order_id"]]
        if order["type"] in ("limit", "stop_limit") and order["id"] not in amended:
            worse = (
                fill["price"] - order["price"] if fill["side"] == "buy" else order["price"] - fill["price"]
            )
            assert worse <= 1e-9 * order["price"], (fill, order)
        assert fill["ts"] >= order["arrival_ts"]
        assert order["end_ts"] is None or fill["ts"] <= order["end_ts"]
        assert fill["seen_ts"] >= fill["ts"]
        assert fill["qty"] > 0.0
        filled[order["id"]] = filled.get(order["id"], 0.0) + fill["qty"]
        row = asked.get(order["id"], {})
        if row.get("post_only") and order["type"] == "limit" and fill["ts"] == order["arrival_ts"]:
            assert fill["maker"], "a post-only order never takes on arrival"
    for number, quantity in filled.items():
        wanted = asked.get(number, {}).get("qty")
        if wanted is not None and number not in amended:
            assert quantity <= wanted * (1.0 + 1e-9)


@pytest.mark.parametrize("seed", SEEDS)
def test_reduce_only_never_flips(seed: int) -> None:
    """A reduce-only order or a bracket exit brings the position towards zero, never through it."""
    case = random_case(seed)
    result = result_of(case)
    exits = {
        row.get("id", n + 1)
        for n, row in enumerate(case.orders)
        if row.get("reduce_only") or row["type"] == "close"
    }
    own = {row.get("id", n + 1) for n, row in enumerate(case.orders)}
    position: dict[str, float] = {}
    for fill in result.fills.rows(named=True):
        before = position.get(fill["instrument"], 0.0)
        after = before + (fill["qty"] if fill["side"] == "buy" else -fill["qty"])
        if fill["order_id"] in exits or fill["order_id"] not in own:
            assert abs(after) <= abs(before) + 1e-9 * max(1.0, abs(before))
            assert after * before >= -1e-9 * max(1.0, before * before)
        position[fill["instrument"]] = after


@pytest.mark.parametrize("seed", SEEDS)
def test_scaling_of_prices(seed: int) -> None:
    """Every price and amount of money times four: the same orders, fills at four times the price."""
    case = random_case(seed)
    if any(row["kind"] == "inverse" for row in case.instruments):
        case.instruments = [{**row, "kind": "linear"} for row in case.instruments]
    large = copy.deepcopy(case)
    large.options = replace(case.options, cash=case.options.cash * 4.0)
    for row in large.instruments:
        row["tick"] = row["tick"] * 4.0 if row.get("tick") else row.get("tick")
        row["min_notional"] = (row.get("min_notional") or 0.0) * 4.0
        row["tiers"] = tuple((a * 4.0, b, c * 4.0) for a, b, c in row.get("tiers") or ())
    large.bars = [
        [(a, b, o * 4, h * 4, low * 4, c * 4, v) for a, b, o, h, low, c, v in bars] for bars in case.bars
    ]
    large.mark = [[(ts, price * 4) for ts, price in rows] for rows in case.mark]
    for row in large.orders:
        for name in ("price", "trigger", "stop", "target", "trail"):
            if row.get(name) is not None:
                row[name] = row[name] * 4.0
    one, four = result_of(case), result_of(large)
    same = ["order_id", "ts", "seen_ts", "side", "maker"]
    assert one.fills.select(same).rows() == four.fills.select(same).rows()
    np.testing.assert_allclose(
        four.fills["price"].to_numpy(), 4.0 * one.fills["price"].to_numpy(), rtol=1e-12
    )
    np.testing.assert_allclose(four.fills["qty"].to_numpy(), one.fills["qty"].to_numpy(), rtol=1e-9)
    np.testing.assert_allclose(
        four.equity["equity"].to_numpy(), 4.0 * one.equity["equity"].to_numpy(), rtol=1e-9
    )


@pytest.mark.parametrize("seed", SEEDS)
def test_order_of_instruments_does_not_matter(seed: int) -> None:
    """With money for everything, an instrument's fills do not depend on its place in the market."""
    case = money_orders(random_case(seed))
    for row in case.orders:
        row.pop("group", None)  # a group may span instruments, and ties them together
    orders, market, options = compare.frames(case)

    parts = []
    for k in reversed(range(len(market.instruments))):
        alone = Market(
            (market.instruments[k],),
            {(0, length): rows for (j, length), rows in market.bars.items() if j == k},
            {0: market.funding[k]} if k in market.funding else {},
            {0: market.mark[k]} if k in market.mark else {},
        )  # fmt: skip
        parts.append(alone)
    turned = replay_orders(orders, Market.join(*parts), **options)
    straight = replay_orders(orders, market, **options)
    columns = ["instrument", "order_id", "ts", "side", "price", "qty", "fee"]
    if orders.is_empty():
        return
    key = ["instrument", "ts", "order_id"]
    frame = orders.filter(~pl.col("type").is_in(["amend", "cancel_all"]))
    own = straight.fills.filter(pl.col("order_id").is_in(frame["id"].implode()))
    other = turned.fills.filter(pl.col("order_id").is_in(frame["id"].implode()))
    assert own.select(columns).sort(key).rows() == other.select(columns).sort(key).rows()


@pytest.mark.parametrize("seed", SEEDS)
def test_truncation(seed: int) -> None:
    """R3: a market cut short gives the same fills up to the cut."""
    case = random_case(seed)
    short = copy.deepcopy(case)
    every = [bar for bars in case.bars for bar in bars]
    clean = sorted(
        {bar[1] for bar in every if not any(b[0] < bar[1] < b[1] for b in every)}
    )  # no bar is cut in two
    cut = clean[len(clean) // 2]
    short.bars = [[bar for bar in bars if bar[1] <= cut] for bars in case.bars]
    if not all(short.bars):
        return
    short.funding = [[row for row in rows if row[0] <= cut] for rows in case.funding]
    short.mark = [[row for row in rows if row[0] <= cut] for rows in case.mark]
    whole, part = result_of(case).fills, result_of(short).fills
    columns = [c for c in whole.columns if c != "order_id"]
    early = whole.filter(pl.col("ts") < cut).select(columns).rows()
    assert part.filter(pl.col("ts") < cut).select(columns).rows() == early


@pytest.mark.parametrize("seed", SEEDS)
def test_latency_shifts_arrivals_exactly(seed: int) -> None:
    """Arrival is the decision plus the order latency, for every order that was sent."""
    case = random_case(seed)
    case.options = replace(case.options, order_latency=7_000_000, latency_table=None)
    sent = {o.get("id", n + 1) for n, o in enumerate(case.orders) if o["type"] not in ("amend", "cancel_all")}
    for row in result_of(case).orders.rows(named=True):
        if row["id"] in sent:
            assert row["arrival_ts"] - row["ts"] == 7_000_000


@pytest.mark.parametrize("seed", SEEDS)
def test_costs_are_monotone(seed: int) -> None:
    """Dearer slippage and fees never leave more money, when quantities do not depend on money."""
    case = money_orders(random_case(seed))
    exits = ("stop", "target", "trail")
    case.orders = [{k: v for k, v in row.items() if k not in exits} for row in case.orders
                   if row["type"] == "market"]  # fmt: skip
    case.instruments = [{**row, "kind": "linear"} for row in case.instruments]
    last = None
    for slippage in (0.0, 1e-3, 5e-3):
        case.options = replace(
            case.options, slippage=slippage, impact=None, slip_in_range=False, maker=1e-3, taker=1e-3
        )
        final = result_of(case).manifest["final"]
        money = final["realised"] - final["fees"]
        named = [(compare.name_of(k), row["multiplier"]) for k, row in enumerate(case.instruments)]
        open_cost = sum(-final[f"position:{name}"] * final[f"entry:{name}"] * multiplier
                        for name, multiplier in named if f"position:{name}" in final)  # fmt: skip
        total = money + open_cost
        assert last is None or total <= last + 1e-6
        last = total
