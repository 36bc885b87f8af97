"""Laws of changed tick runs: a run that is scaled, mirrored, cut, joined or slowed, against the run itself.

Sources: facts on what a simulator promises (R5, "Properties of the matching engine"). Random cases are those
of the naive twin; every assertion names its seed.
"""

from __future__ import annotations

import random
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from framework import Market, Result, replay_orders
from framework.errors import DataError
from framework.market_ticks import Book
from framework.research.futures import last_happened
from tests.naive import compare, tick_compare
from tests.naive.model import on_grid
from tests.naive.tick_cases import random_tick_case
from tests.naive.tick_model import Feed, TickCase

ROOT = Path(__file__).parent.parent
SEEDS = range(80_001, 80_061)
OTHER = {"buy": "sell", "sell": "buy", "long": "short", "short": "long"}
Row = dict[str, Any]


@cache
def cases() -> list[TickCase]:
    """Random cases of the twin."""
    return [random_tick_case(seed) for seed in SEEDS]


def run(case: TickCase, market: Market | None = None, **more: Any) -> Result:
    """Replay a case."""
    options = {**tick_compare.arguments(case.options), **more}
    return replay_orders(compare.orders_frame(case), market or tick_compare.market_of(case), **options)


def frames_of(result: Result) -> dict[str, pl.DataFrame]:
    """The tables of a result that laws speak of."""
    return {name: getattr(result, name) for name in ("orders", "fills", "trades", "equity")}


# ---- scaling


def scaled(case: TickCase, price: float, lot: float) -> TickCase:
    """All prices by a factor with their ticks, all quantities by another with their lots, money by both."""
    money = price * lot
    prices, sizes = ("price", "trigger", "stop", "target", "trail"), ("qty",)

    def order(row: Row) -> Row:
        factors = {**dict.fromkeys(prices, price), **dict.fromkeys(sizes, lot)}
        return {n: v * factors[n] if n in factors and v is not None else v for n, v in row.items()}

    options = replace(case.options, cash=case.options.cash * money)
    for name in ("max_order_notional", "max_position_notional"):
        if getattr(options, name) is not None:
            setattr(options, name, getattr(options, name) * money)
    return replace(
        case,
        instruments=[
            {**row, "tick": row["tick"] * price, "lot": row["lot"] * lot,
             "min_notional": row["min_notional"] * money,
             "tiers": tuple((a * money, b, c * money) for a, b, c in row["tiers"])}
            for row in case.instruments
        ],
        bars=[[(a, b, *(x * price for x in rest), v * lot) for a, b, *rest, v in bars] for bars in case.bars],
        mark=[[(ts, x * price) for ts, x in rows] for rows in case.mark],
        orders=[order(row) for row in case.orders], options=options,
    )  # fmt: skip


PRICES = ("price", "avg_price", "entry_price", "exit_price")
SIZES = ("qty", "filled_qty")
MONEY = ("fee", "fees", "gross", "funding", "pnl", "equity", "cash", "realised", "unrealised")


def unscaled(frame: pl.DataFrame, price: float, lot: float) -> pl.DataFrame:
    """A table of a scaled run in the units of the first; powers of two are exact."""
    factors = dict.fromkeys(PRICES, price) | dict.fromkeys(SIZES, lot) | dict.fromkeys(MONEY, price * lot)
    factors |= {name: lot for name in frame.columns if name.startswith("position")}
    return frame.with_columns(pl.col(n) / factors[n] for n in frame.columns if n in factors)


@pytest.mark.parametrize(("price", "lot"), [(2.0, 1.0), (1.0, 2.0)])
def test_scaling(price: float, lot: float) -> None:
    """Prices x 2 with the tick, or quantities x 2 with the lot, and money to match: the same run to the bit.

    Not prices of inverse contracts, whose money falls with the price, and not sizes with queue="log", which
    counts base units.
    """
    count = 0
    for case in cases():
        kinds = {row["kind"] for row in case.instruments}
        if (price != 1.0 and "inverse" in kinds) or (lot != 1.0 and case.options.queue == "log"):
            continue
        one, two = frames_of(run(case)), frames_of(run(scaled(case, price, lot)))
        for name, frame in one.items():
            assert unscaled(two[name], price, lot).equals(frame), (case.seed, name)
        count += len(one["fills"])
    assert count > 100


# ---- mirror and permutation


def plain(case: TickCase) -> bool:
    """True for a case without what knows up from down: sizes in money, funding, tiers, bars."""
    return not any(case.bars) and all(row.get("share") is None for row in case.orders)


def rich(case: TickCase, **more: Any) -> TickCase:
    """The case on linear contracts that cost nothing, with more money than it can lose."""
    options = replace(
        case.options, cash=1e9, maker=0.0, taker=0.0, slippage=0.0, entry_spread=0.0, max_order_notional=None,
        max_position_notional=None,
    )  # fmt: skip
    rules = {"kind": "linear", "tiers": (), "min_notional": 0.0}
    instruments = [{**row, **rules} for row in case.instruments]
    none: list[Any] = [[] for _ in instruments]
    return replace(case, options=options, instruments=instruments, funding=none, **more)


CENTRE = 400  # tick' = CENTRE - tick; feeds lie about 12 to 150


def mirrored(case: TickCase) -> TickCase:
    """Bids are asks, buys are sells, and prices are as far below as they were above."""

    def feed(one: Feed | None) -> Feed | None:
        if one is None:
            return None
        files = [[r._replace(side=1 - r.side, tick=CENTRE - r.tick) for r in rows] for rows in one.files]
        turn = [
            s._replace(
                bids=tuple((CENTRE - t, n) for t, n in s.asks), asks=tuple((CENTRE - t, n) for t, n in s.bids)
            )
            for s in one.shots
        ]
        return Feed(files, turn, one.depth)

    def order(row: Row) -> Row:
        step = case.instruments[row["instrument"]]["tick"]
        made = dict(row)
        for name in ("price", "trigger", "stop", "target"):
            if row.get(name) is not None:
                made[name] = on_grid(CENTRE - round(row[name] / step), step)
        return {**made, "side": OTHER[row["side"]]} if row.get("side") else made

    return replace(
        case, books=[feed(one) for one in case.books],
        trades=[[x._replace(tick=CENTRE - x.tick, side=-x.side) for x in rows] for rows in case.trades],
        mark=[
            [(ts, CENTRE * row["tick"] - x) for ts, x in rows]
            for row, rows in zip(case.instruments, case.mark, strict=True)
        ],
        orders=[order(row) for row in case.orders],
    )  # fmt: skip


def test_mirror() -> None:
    """Sides swapped and prices reflected: the same fills of the same orders, reflected.

    Where nothing depends on how much money a price is: no sizes by share, no fees, no limits near.
    """
    count = 0
    for case in (rich(case) for case in cases() if plain(case)):
        if case.options.trigger == "mark" and any(row.get("trail") for row in case.orders):
            continue  # a mark lies between two ticks: half a tick from the extreme is rounded up
        one, two = run(case), run(mirrored(case))
        steps = {compare.name_of(k): row["tick"] for k, row in enumerate(case.instruments)}
        for table in ("orders", "fills"):
            for a, b in zip(getattr(one, table).to_dicts(), getattr(two, table).to_dicts(), strict=True):
                same = [n for n in a if n not in ("side", "price", "avg_price", "fee")]
                assert str([a[n] for n in same]) == str([b[n] for n in same]), (case.seed, a, b)  # NaN is NaN
                assert OTHER.get(a["side"], "") == b["side"], (case.seed, a, b)
                for name in {"price", "avg_price"} & set(a):
                    if a[name] is not None and a[name] == a[name]:
                        wanted = CENTRE * steps[a["instrument"]] - a[name]
                        assert b[name] == pytest.approx(wanted, abs=1e-6), (case.seed, a, b)
        count += len(one.fills)
    assert count > 12


def test_permutation_of_independent_instruments() -> None:
    """The order of instruments in the market is of no consequence where nothing joins them."""
    count = 0
    for case in cases():
        n = len(case.instruments)
        if n < 2 or not plain(case):
            continue
        one = rich(case, orders=[{k: v for k, v in row.items() if k != "group"} for row in case.orders])
        market = tick_compare.market_of(one)
        turned = Market.join(*(alone(market, k) for k in reversed(range(n))))
        tables = [run(one, some).fills for some in (market, turned)]
        for what in market.instruments:
            a, b = (frame.filter(pl.col("instrument") == what.id) for frame in tables)
            assert a.equals(b), (case.seed, what.id)
        count += len(tables[0])
    assert count > 15


def alone(market: Market, k: int) -> Market:
    """One instrument of a market."""
    parts = {
        name: {0: getattr(market, name)[k]} if k in getattr(market, name) else {}
        for name in ("trades", "books", "mark", "funding")
    }
    return Market((market.instruments[k],), **parts)


# ---- time


def test_latency_shifts_arrivals_by_exactly_itself() -> None:
    """What is sent L earlier with L more latency arrives at the same time and meets the same.

    Without groups: an order that travels when another of its group fills is dropped, one sent later is not.
    """
    count = 0
    for case in cases()[1::2]:
        by = 7_000_001
        if case.options.latency_table or any(case.bars):
            continue
        options = replace(case.options, order_latency=case.options.order_latency + by)
        times = ("ts", "cancel_ts")
        earlier = [
            {n: v - by if n in times and v else v for n, v in row.items() if n != "group"}
            for row in case.orders
        ]
        case = replace(case, orders=[{**row, "group": None} for row in case.orders])
        one, two = run(case), run(replace(case, orders=earlier, options=options))
        assert two.fills.equals(one.fills), case.seed
        assert two.orders["arrival_ts"].equals(one.orders["arrival_ts"]), case.seed
        assert two.orders["end_ts"].equals(one.orders["end_ts"]), case.seed
        count += len(one.fills)
    assert count > 35


def test_concatenation() -> None:
    """Two parts of a market, joined, are the market: same content, same run."""
    count = 0
    for case in cases()[::3]:
        market = tick_compare.market_of(case)
        rng, whole = random.Random(case.seed), run(case, market)
        for _ in range(3):
            at = rng.randint(market.start + 1, max(market.start + 1, market.stop - 1))
            if any(rows["open_ts"][0] < at < rows["close_ts"][-1] for rows in market.bars.values()):
                continue  # a bar that the cut goes through belongs to neither part
            try:
                halves = market.split(at)
            except DataError:  # a side without a tick
                continue
            assert run(case, Market.join(*halves)).fingerprint == whole.fingerprint, (case.seed, at)
            count += 1
    assert count > 20


def test_truncation() -> None:
    """The prefix of a result is the result of the prefix, up to what nobody can have seen."""
    count = 0
    for case in cases()[::2]:
        market = tick_compare.market_of(case)
        if case.bars != [[] for _ in case.bars]:
            continue
        whole = run(case, market)
        times = np.unique(
            np.concatenate(
                [r["local_ts"] for r in market.trades.values()]
                + [b.messages["local_ts"][:-1] for b in market.books.values()]
            )
        )
        for cut in times[len(times) // 3 :: max(len(times) // 3, 1)].tolist():
            happened = last_happened(market, cut)
            part = run(case, market.slice(None, cut + 1)).fills
            known = pl.col("ts") <= happened
            a, b = (frame.filter(known).drop("seen_ts") for frame in (whole.fills, part))
            assert a.equals(b), (case.seed, cut)
            count += len(a)
    assert count > 25


# ---- rows that say nothing


def test_rows_that_say_nothing() -> None:
    """Messages without a row, anywhere, change no fill and no order.

    Unless stops watch the quotes: each message lets them look, so that one born beyond its level acts sooner.
    """
    count = 0
    for case in cases()[::2]:
        market = tick_compare.market_of(case)
        watched = case.options.trigger == "quote" or any(k not in market.trades for k in market.books)
        if not market.books or watched:
            continue
        rng = np.random.default_rng(case.seed)
        books = {k: with_silence(book, rng) for k, book in market.books.items()}
        one, two = run(case, market), run(case, replace(market, books=books))
        assert two.fills.equals(one.fills), case.seed
        assert two.orders.equals(one.orders), case.seed
        count += len(one.fills)
    assert count > 30


def with_silence(book: Book, rng: np.random.Generator) -> Book:
    """A book with some messages said again, without their rows."""
    again = np.sort(rng.integers(0, len(book), len(book) // 3 + 1))
    silent = book.messages[again]
    silent["first"] = book.messages["first"][again + 1]
    return Book(np.insert(book.messages, again + 1, silent), book.keys, book.lots, book.source)
