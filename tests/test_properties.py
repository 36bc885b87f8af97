"""Properties of the candle engine by name: what must hold whatever the market and the
orders.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
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
    at_open = case.options.at == "open"
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
        if row.get("post_only") and row["type"] == "limit" and order["id"] not in amended and at_open:
            assert not takes_first(case, row, order, fill), "a post-only order never takes at its first open"
    for number, quantity in filled.items():
        wanted = asked.get(number, {}).get("qty")
        if wanted is not None and number not in amended:
            assert quantity <= wanted * (1.0 + 1e-9)


def takes_first(case: Case, row: dict[str, Any], order: dict[str, Any], fill: dict[str, Any]) -> bool:
    """True when a fill is of the first open an order met, at once: what a post-only order may not do."""
    grace = case.options.grace
    for bar in case.bars[row["instrument"]]:
        if order["arrival_ts"] < bar[1] and order["arrival_ts"] <= bar[0] + grace * (bar[1] - bar[0]):
            return fill["ts"] == max(bar[0], order["arrival_ts"]) and fill["bar_open_ts"] == bar[0]
    return False


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


def first_seeds(count: int, wanted: Callable[[Case], bool], start: int = 1) -> list[int]:
    """The first seeds whose case is wanted."""
    found: list[int] = []
    seed = start
    while len(found) < count:
        if wanted(random_case(seed)):
            found.append(seed)
        seed += 1
    return found


@pytest.mark.parametrize("seed", first_seeds(60, lambda case: len(case.bars) > 1 and len(case.orders) > 3))
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
    assert [i.id for i in Market.join(*parts).instruments] != [i.id for i in market.instruments]
    columns = ["instrument", "ts", "side", "price", "qty", "fee", "maker"]  # ids of exits follow their birth
    one, other = (result.fills.select(columns).sort(columns).rows() for result in (straight, turned))
    assert one == other
    last = max(row["id"] for row in case.orders)
    one, other = (result.orders.filter(pl.col("id") <= last) for result in (straight, turned))
    assert one.equals(other)


def clean_cuts(case: Case) -> list[int]:
    """Closes before the last one at which no bar is cut in two and no stream is left without a bar."""
    every = [bar for bars in case.bars for bar in bars]
    closes = sorted({bar[1] for bar in every})[:-1]
    clean = [ts for ts in closes if not any(bar[0] < ts < bar[1] for bar in every)]
    return [ts for ts in clean if all(fits(case, k, ts) for k in range(len(case.bars)))]


def fits(case: Case, k: int, cut: int) -> bool:
    """True when what is left of an instrument's funding and marks lies in time of its bars."""
    ends = [bar[1] for bar in case.bars[k] if bar[1] <= cut]
    for rows in (case.funding[k], case.mark[k]):
        left = [ts for ts, _ in rows if ts < cut]
        if rows and not any(case.bars[k][0][0] <= ts < max(ends, default=0) for ts in left):
            return False
    return True


@pytest.mark.parametrize("part", range(10))
def test_truncation(part: int) -> None:
    """R3: a market cut short gives the same fills, orders, trades and equity up to the cut."""
    fills = 0
    for seed in first_seeds(32, lambda case: bool(clean_cuts(case)), 60_000 + 1_000 * part):
        case = random_case(seed)
        cuts = clean_cuts(case)
        cut = cuts[seed % len(cuts)]
        orders, market, options = compare.frames(case)
        whole = replay_orders(orders, market, **options)
        short = replay_orders(orders, market.slice(None, cut), **options)
        known = (("fills", "seen_ts"), ("trades", "exit_ts"), ("equity", "ts"), ("orders", "end_ts"))
        for name, column in known:
            one, two = (getattr(r, name).filter(pl.col(column) < cut) for r in (whole, short))
            if name == "fills":  # a bust after the cut tells at once what would have been told later
                one, two = (f.with_columns(pl.col("seen_ts").clip(upper_bound=cut)) for f in (one, two))
            assert one.equals(two), (seed, cut, name)
        one, two = (r.fills.filter(pl.col("ts") < cut).drop("seen_ts") for r in (whole, short))
        assert one.equals(two), (seed, cut)  # a bust tells all at once what was still on its way
        asked = ["id", "ts", "arrival_ts", "instrument", "type", "tif", "price"]
        one, two = (r.orders.filter(pl.col("ts") < cut).select(asked) for r in (whole, short))
        assert one.equals(two), (seed, cut)
        late = short.orders.filter(pl.col("end_ts").is_null() | (pl.col("end_ts") >= cut))
        assert (late["end_ts"].is_null() | (late["end_ts"] == cut)).all(), (seed, cut)
        fills += len(short.fills)
    assert fills > 40


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


def quarters(case: Case) -> bool:
    """True when every price is a multiple of a quarter: then sums and differences of prices are exact."""
    prices = [price for bars in case.bars for bar in bars for price in bar[2:6]]
    names = ("price", "trigger", "stop", "target", "trail")
    prices += [row[name] for row in case.orders for name in names if row.get(name) is not None]
    return all(price * 4.0 == round(price * 4.0) for price in prices)


def mirrored(case: Case) -> tuple[Case, float]:
    """The case upside down: prices p become c - p, sides are swapped; and c."""
    other = copy.deepcopy(case)
    levels = ("price", "trigger", "stop", "target")
    known = [bar[3] for bars in case.bars for bar in bars]
    known += [row[name] for row in case.orders for name in levels if row.get(name) is not None]
    c = 2.0 * (max(known) + 10.0)
    other.bars = [
        [(a, b, c - o, c - low, c - high, c - close, v) for a, b, o, high, low, close, v in bars]
        for bars in case.bars
    ]
    for row in other.orders:
        for name in levels:
            if row.get(name) is not None:
                row[name] = c - row[name]
        if row.get("side"):
            row["side"] = {"buy": "sell", "sell": "buy"}[row["side"]]
    return other, c


@pytest.mark.parametrize("part", range(10))
def test_mirror(part: int) -> None:
    """Upside down and with the sides swapped, without costs: the same fills at mirrored prices and gains."""
    fills = 0
    for seed in first_seeds(31, quarters, 70_000 + 1_000 * part):
        case = money_orders(random_case(seed))
        free = {"maker": 0.0, "taker": 0.0, "slippage": 0.0, "entry_spread": 0.0, "impact": None}
        case.options = replace(case.options, **free, slip_in_range=False)
        case.instruments = [{**row, "kind": "linear"} for row in case.instruments]
        case.funding = [[] for _ in case.funding]
        other, c = mirrored(case)
        one, two = result_of(case), result_of(other)
        turned = one.fills.with_columns(
            pl.col("side").replace({"buy": "sell", "sell": "buy"}), price=c - pl.col("price")
        )
        assert turned.equals(two.fills), seed
        same = ["id", "arrival_ts", "end_ts", "type", "status", "filled_qty", "maker", "n_fills", "reason"]
        assert one.orders.select(same).equals(two.orders.select(same)), seed
        gains = [np.array(result.trades["gross"]) for result in (one, two)]
        np.testing.assert_allclose(*gains, rtol=1e-9, atol=1e-9, err_msg=str(seed))
        fills += len(one.fills)
    assert fills > 60


@pytest.mark.parametrize("part", range(10))
def test_scaling_of_quantities(part: int) -> None:
    """Every quantity, volume and amount of money times four: the same orders, four times the money."""
    fills = 0
    for seed in range(80_000 + 31 * part, 80_031 + 31 * part):
        case = random_case(seed)
        large = copy.deepcopy(case)
        large.options = replace(case.options, cash=case.options.cash * 4.0)
        for row in large.instruments:
            row["lot"] = row["lot"] * 4.0 if row["lot"] else None
            row["min_notional"] *= 4.0
            row["tiers"] = tuple((a * 4.0, b, c * 4.0) for a, b, c in row["tiers"])
        large.bars = [[(*bar[:6], bar[6] * 4.0) for bar in bars] for bars in case.bars]
        for row in large.orders:
            if row.get("qty") is not None:
                row["qty"] = row["qty"] * 4.0
        one, four = result_of(case), result_of(large)
        same = ["order_id", "ts", "seen_ts", "side", "maker"]
        assert one.fills.select(same).equals(four.fills.select(same)), seed
        prices = [np.array(result.fills["price"]) for result in (one, four)]
        np.testing.assert_allclose(*prices, rtol=1e-12, err_msg=str(seed))
        for table, name in (("fills", "qty"), ("fills", "fee"), ("equity", "equity"), ("equity", "position")):
            small, big = (np.array(getattr(result, table)[name]) for result in (one, four))
            np.testing.assert_allclose(big, 4.0 * small, rtol=1e-9, atol=1e-7, err_msg=f"{seed} {name}")
        assert one.orders["reason"].equals(four.orders["reason"]), seed
        fills += len(one.fills)
    assert fills > 60
