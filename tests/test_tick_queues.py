"""R5 and what must not matter: one resting order under every model and latency, windows, modes, candles."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from framework import Fills, Latency, Market, backtest, book_at, replay_orders, samples
from framework.data import from_tardis
from framework.engine.tables import Tables
from framework.outcome import Outcome
from framework.plan import make_plan
from framework.records import NEVER
from framework.run import call_until_done, finish
from framework.script import Script
from framework.times import MILLISECOND
from strategies.imbalance_maker import ImbalanceMaker
from strategies.spot_perp_hedge import SpotPerpHedge
from tests.naive import compare, tick_compare
from tests.naive.tick_cases import random_tick_case
from tests.small import FREE, replay
from tests.tick_files import change_rows, csv_text, random_changes, save
from tests.tick_frames import T0, book_of, coin, random_feed, tick_market, trade_rows

ROOT = Path(__file__).parent.parent
SPLIT = ("power:1", "power:3", "log")  # what leaves the level is shared by who stands ahead and behind
CAREFUL = ("back", "risk_averse", *SPLIT, "front")


def resting(rng: np.random.Generator, unseen: float = 0.0) -> tuple[Market, list[dict[str, Any]]]:
    """Ten instruments of 0.3 s each, calm ones mostly, and one limit near the touch of each."""
    books, trades, orders = {}, {}, []
    for k in range(10):
        feed = random_feed(rng, 250, levels=4, unseen=unseen, restless=float(rng.choice([0.03, 0.1, 1.0])))
        books[k], trades[k] = book_of(feed[0]), trade_rows(feed[1])
    market = Market(tuple(coin(f"made:A{k}") for k in books), books=books, trades=trades)
    for k in books:
        ts, side = T0 + int(rng.integers(5, 200)) * MILLISECOND // 2, int(rng.choice([1, -1]))
        book = book_at(market, k, ts)
        touch = book.bid if side > 0 else book.ask
        price = touch - side * int(rng.choice([0, 0, 0, 1, 1, 2])) if touch == touch else 1000.0
        orders.append(
            {"ts": ts, "instrument": f"made:A{k}", "side": "buy" if side > 0 else "sell", "type": "limit",
             "qty": float(rng.choice([1, 3, 8, 30])), "price": price}
        )  # fmt: skip
    return market, orders


def filled(market: Market, orders: list[dict[str, Any]], queue: str, late: int = 0) -> Any:
    """First fill and filled size of each order, with more money than it can cost."""
    latency = Latency(order=late, response=0)
    result = replay(market, *orders, fills=Fills(queue=queue), latency=latency, cash=1e9)
    ids, first = np.unique(result.fills["order_id"].to_numpy(), return_index=True)
    times = np.full(len(orders), NEVER)
    times[ids - 1] = result.fills["ts"].to_numpy()[first]
    return times, result.orders.sort("id")["filled_qty"].to_numpy()


def test_a_more_careful_model_never_fills_earlier(seed: int) -> None:
    """R5: of one resting order, first fill and filled size: front <= power, log <= risk_averse <= back.

    power and log may stand either way to each other.
    """
    differ: Counter[tuple[str, str]] = Counter()
    for n in range(7):
        market, orders = resting(np.random.default_rng([seed, n]), unseen=0.1)
        times, sizes = {}, {}
        for queue in CAREFUL:
            times[queue], sizes[queue] = filled(market, orders, queue)
        pairs = [(a, b) for q in SPLIT for a, b in (("risk_averse", q), (q, "front"))]
        for one, two in [("back", "risk_averse"), *pairs]:
            assert (times[two] <= times[one]).all(), (seed, n, one, two)
            assert (sizes[two] >= sizes[one]).all(), (seed, n, one, two)
            differ[one, two] += int((times[two] < times[one]).sum())
    assert differ["back", "risk_averse"] > 2, differ
    assert sum(differ["risk_averse", queue] for queue in SPLIT) > 0, differ
    assert min(differ[queue, "front"] for queue in SPLIT) > 2, differ


@pytest.mark.parametrize("queue", ["risk_averse", "power:1", "front"])
def test_more_latency_never_fills_earlier(queue: str, seed: int) -> None:
    """R5: one resting order that arrives later fills first at the same time or later.

    Not with "back", whose queue ignores what leaves the level before it, nor with "power:N" above 1 and
    "log", where a larger queue may lose more than it is larger by; nor where levels leave the view and hide a
    queue.
    """
    differ = 0
    for n in range(7):
        rng = np.random.default_rng([seed, n])
        market, orders = resting(rng)
        late = np.sort(rng.integers(0, 60, 4)) * MILLISECOND // 2
        times = np.array([filled(market, orders, queue, int(by))[0] for by in late])
        assert (np.diff(times, axis=0) >= 0).all(), (seed, n, late, times)
        differ += int((np.diff(times, axis=0) > 0).sum())
    assert differ > 20


# ---- candles of the same trades


def test_what_is_traded_through_fills_on_candles_too(seed: int) -> None:
    """A limit that a trade goes strictly through on trades fills on the candles of these trades as well.

    By the close of that trade's bar, where it was there before the bar opened, and never at a worse price.
    Without an order both runs hold the cash they began with.
    """
    count = 0
    for n in range(8):
        rng = np.random.default_rng([seed, n])
        _, rows = random_feed(rng, 900)
        trades = tick_market(None, rows)
        candles = trades.as_candles("20ms")
        bars = candles.match_bars(0)
        first = trades.trades[0]["tick"][0]
        sends = [
            {
                "ts": T0 + i * 13 * MILLISECOND,
                "side": side,
                "type": "limit",
                "qty": 1.0,
                "price": float(first + away),
            }
            for i, (side, away) in enumerate([("buy", -3), ("sell", 3), ("buy", -1), ("sell", 1)] * 4)
        ]
        one, two = replay(trades, *sends), replay(candles, *sends, fills=Fills(grace=0.0))
        for a, b in zip(one.orders.rows(named=True), two.orders.rows(named=True), strict=True):
            if a["status"] != "filled" or not a["maker"]:
                continue
            bar = bars[(bars["open_ts"] <= a["end_ts"]) & (bars["close_ts"] > a["end_ts"])]
            if not len(bar) or a["arrival_ts"] > bar["open_ts"][0] or a["arrival_ts"] < bars["open_ts"][0]:
                continue
            assert b["status"] == "filled", (seed, n, a, b)
            assert b["end_ts"] <= bar["close_ts"][0], (seed, n, a, b)
            sign = 1 if a["side"] == "buy" else -1
            assert sign * b["avg_price"] <= sign * a["avg_price"], (seed, n, a, b)
            count += 1
    assert count > 15
    for market in (trades, candles):
        idle = replay(market, {**sends[0], "price": 1.0})
        assert set(idle.equity["equity"].to_list()) == {10_000.0}


# ---- windows of cells


def jumpy_feed(rng: np.random.Generator, count: int = 260) -> Market:
    """A book whose price jumps far, whose sides empty, and that has levels far from all others."""
    book: dict[int, int] = {}
    messages, trades, mid, ts = [], [], 20_000, T0
    for i in range(count):
        ts += int(rng.integers(0, 3)) * MILLISECOND
        mid += int(
            rng.choice([0, 0, 1, -1, 2, -40, 60, 200, -300, 5_000, -4_000] if i % 4 == 0 else [0, 1, -1])
        )
        mid = max(mid, 6_000)
        far = int(rng.choice([0, 0, 40, 900, 20_000]))
        wanted = {k: 0 for k in book if (k // 2 >= mid if k % 2 == 0 else k // 2 <= mid)}
        for away in (1, 2, 3, 1 + min(far, mid - 2)):
            if rng.random() < 0.6:
                wanted[2 * (mid - away)] = int(rng.integers(0, 9))
            if rng.random() < 0.6:
                wanted[2 * (mid + away) + 1] = int(rng.integers(0, 9))
        if rng.random() < 0.06:  # a side goes, or both
            gone = int(rng.integers(0, 3))
            wanted |= {k: 0 for k in book if gone == 2 or k % 2 == gone}
        changed = {k: size for k, size in wanted.items() if book.get(k, 0) != size}
        book.update(changed)
        messages.append(
            (ts, ts + MILLISECOND, [(("bid", "ask")[k % 2], k // 2, s) for k, s in changed.items()])
        )
        if rng.random() < 0.5:
            side = int(rng.choice([1, -1]))
            trades.append(
                (ts, ts + MILLISECOND, mid + side * int(rng.integers(0, 3)), int(rng.integers(1, 9)), side)
            )
    return tick_market(messages, trades)


def jumpy_orders(rng: np.random.Generator, market: Market) -> list[dict[str, Any]]:
    """Orders of all kinds near and far."""
    rows = []
    for i in range(30):
        ts = T0 + int(rng.integers(1, 260)) * MILLISECOND
        mid = book_at(market, 0, ts).mid
        mid = mid if mid == mid else 20_000.0
        side, kind = (
            str(rng.choice(["buy", "sell"])),
            str(rng.choice(["limit", "limit", "market", "stop", "close"])),
        )
        row: dict[str, Any] = {"id": i + 1, "ts": ts, "type": kind}
        if kind != "close":
            row |= {"side": side, "qty": float(rng.integers(1, 40))}
        away = float(rng.integers(-3, 4)) * float(rng.choice([1, 1, 300]))
        if kind in ("limit", "stop"):
            row["price" if kind == "limit" else "trigger"] = max(float(np.floor(mid + away)), 1.0)
        rows.append(row)
    return sorted(rows, key=lambda row: row["ts"])


def windowed(market: Market, orders: Any, window: int, **options: Any) -> tuple[str, Any]:
    """Fingerprint and equity of a run whose books have windows of so many cells."""
    plan = make_plan(market, **options)
    script = Script(orders, market, plan.latency)
    tables = Tables(market, plan.setup(script=script.requests, orders=script.orders, window=window))
    finish(tables, call_until_done(tables), "windowed")
    outcome = Outcome(tables)
    return outcome.fingerprint(), outcome.equity(0)


WINDOWS = (1 << 8, 1 << 12, 1 << 17)


def test_the_window_of_a_book_is_of_no_consequence(seed: int) -> None:
    """256 cells, 4096 or 131072: equal fingerprints and equity, wherever the price goes."""
    fills = 0
    for n in range(8):
        rng = np.random.default_rng([seed, n])
        market = jumpy_feed(rng)
        orders = pl.DataFrame(jumpy_orders(rng, market), infer_schema_length=None)
        options = {
            **FREE,
            "cash": 1e8,
            "fills": Fills(queue="power:2", trigger=str(rng.choice(["trade", "quote"]))),
        }
        found = [windowed(market, orders, window, **options) for window in WINDOWS]
        result = replay_orders(orders, market, **options)
        fills += len(result.fills)
        for print_, equity in found:
            assert print_ == result.fingerprint, (seed, n)
            assert equity.equals(result.equity), (seed, n)
    assert fills > 50


# ---- rows in vain


def test_files_that_say_things_twice(seed: int, tmp_path: Path) -> None:
    """A level said again, or a whole snapshot, in a row of its own time: a message without rows."""
    for n in range(4):
        rng = random.Random(seed + n)
        rows = random_changes(rng, 1, 60, 4)[0]
        rows = [(ts, local + 10 * i, *rest) for i, (ts, local, *rest) in enumerate(rows)]
        books = []
        for name, twice in (("once", False), ("twice", True)):
            folder = tmp_path / f"{name}{n}"
            folder.mkdir()
            path = save(
                folder, "incremental_book_L2", csv_text("incremental_book_L2", change_rows(said(rows, twice)))
            )
            books.append(from_tardis([path], coin("made:AAABBB", tick_size=0.1, lot_size=0.001)).books[0])
        one, two = books
        assert two.keys.tolist() == one.keys.tolist(), seed + n
        assert two.lots.tolist() == one.lots.tolist(), seed + n
        counts = np.diff(two.messages["first"])
        assert counts[counts > 0].tolist() == [c for c in np.diff(one.messages["first"]).tolist() if c]
        assert len(two) > len(one)


def said(rows: list[Any], twice: bool) -> Iterator[Any]:
    """Rows, and after some of them the same level again, 3 us later."""
    for i, row in enumerate(rows):
        yield row
        following = rows[i + 1] if i + 1 < len(rows) else None
        if twice and not row[2] and following is not None and not following[2]:
            yield (row[0], row[1] + 3, *row[2:])


# ---- strict mode, and the engine without its compiler


@pytest.mark.parametrize("cls", [ImbalanceMaker, SpotPerpHedge])
def test_shipped_strategies_balance(cls: type[Any]) -> None:
    """R2: strict mode passes on whole samples."""
    result = backtest(cls, samples.load(cls.sample), strict=True)
    assert result.status == "done"
    assert len(result.fills) > 50


INTERPRETED = range(90_001, 90_009)


def prints() -> list[str]:
    """Fingerprints of some random cases and of jumps."""
    found = []
    for seed in INTERPRETED:
        case = random_tick_case(seed)
        options = tick_compare.arguments(case.options)
        run = replay_orders(compare.orders_frame(case), tick_compare.market_of(case), **options, strict=True)
        found.append(run.fingerprint)
    rng = np.random.default_rng(90_001)
    market = jumpy_feed(rng, 60)
    orders = pl.DataFrame(jumpy_orders(rng, market), infer_schema_length=None)
    return [*found, windowed(market, orders, 256, cash=1e8)[0]]


def test_compiled_is_interpreted() -> None:
    """Random cases of orders without numba's compiler: the same fingerprints; warnings are errors."""
    code = "import json, tests.test_tick_queues as t; print(json.dumps(t.prints()))"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120,
        env={**os.environ, "NUMBA_DISABLE_JIT": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    assert json.loads(done.stdout) == prints()
