"""Execution metrics: each against its naive twin or a case worked out by hand."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest

from framework import tick_metrics
from framework.engine.touch import EMPTY, RESTING, own_touch, touches
from framework.market_ticks import Book
from framework.records import MESSAGE, NEVER
from tests.naive import tick_metrics as naive
from tests.tick_frames import T0, book_of, coin, ms, random_feed, tick_market

NAN = math.nan


def changes(rows: list[tuple[int, int, int | None, int | None]]) -> list[tuple[int, int, int, int]]:
    """Rows of the naive touch at which it changed."""
    found: list[tuple[int, int, int, int]] = []
    for ts, seen, bid, ask in rows:
        row = (ts, seen, EMPTY if bid is None else bid, EMPTY if ask is None else ask)
        if not found or found[-1][2:] != row[2:]:
            found.append(row)
    return found


@pytest.mark.parametrize("base", [1_000, -40, 5_000_000])
def test_touch_is_that_of_the_naive_book(seed: int, base: int) -> None:
    messages, _ = random_feed(np.random.default_rng(seed), count=600, mid=base)
    messages.append((messages[-1][1] + 5, messages[-1][1] + 9, [("bid", base - 200, 3)]))
    messages.append((messages[-1][1] + 5, messages[-1][1] + 9, []))
    book = book_of(messages)
    assert touches(book).tolist() == changes(naive.touch_rows(messages))
    assert touches(book) is touches(book)  # walked once


def test_touch_of_an_emptied_side_and_of_far_levels() -> None:
    far = 400_000_000  # more ticks apart than are laid out one by one
    rows = [
        (ms(0), ms(1), [("bid", 10, 5), ("bid", 2, 5), ("ask", far, 1)]),
        (ms(2), ms(3), [("bid", 10, -1)]),
        (ms(4), ms(5), [("ask", far, 0), ("bid", 2, 0)]),
        (ms(6), ms(7), [("ask", 12, 1), ("bid", -7, 1)]),
    ]
    wanted = [
        (ms(0), ms(1), 10, far), (ms(2), ms(3), 2, far), (ms(4), ms(5), EMPTY, EMPTY), (ms(6), ms(7), -7, 12)
    ]  # fmt: skip
    assert touches(book_of(rows)).tolist() == wanted
    near = [(ts, seen, [(side, min(tick, 70_000), n) for side, tick, n in r]) for ts, seen, r in rows]
    assert touches(book_of(near)).tolist() == [(a, b, c, min(d, 70_000)) for a, b, c, d in wanted]


def test_touch_of_nothing_and_of_a_view() -> None:
    empty = Book(np.array([(NEVER, NEVER, 0)], dtype=MESSAGE), np.empty(0, np.int32), np.empty(0, np.int64))
    assert len(touches(empty)) == 0
    whole = book_of([(1, 1, [("bid", 5, 1)]), (2, 2, [("bid", 6, 1)]), (3, 3, [("ask", 9, 1)])])
    part = Book(whole.messages[1:], whole.keys, whole.lots)  # rows still counted from the whole book's first
    assert touches(part).tolist() == [(2, 2, 6, EMPTY), (3, 3, 6, 9)]


def test_own_touch_is_the_best_resting_price(seed: int) -> None:
    rng = np.random.default_rng(seed)
    orders = np.zeros(60, RESTING)
    orders["begin"] = rng.integers(0, 100, 60)
    orders["end"] = orders["begin"] + rng.integers(0, 30, 60)
    orders["side"] = rng.choice([1, -1], 60)
    orders["price"] = 100.0 - orders["side"] * rng.integers(1, 9, 60)
    rows = own_touch(orders)
    assert (np.diff(rows["ts"]) > 0).all()
    for now in range(140):
        row = np.searchsorted(rows["ts"], now, side="right") - 1
        got = (rows["bid"][row], rows["ask"][row]) if row >= 0 else (NAN, NAN)
        np.testing.assert_equal(got, naive.own_touch_at(orders.tolist(), now))
    assert len(own_touch(orders[:0])) == 0


def test_time_weighted_means(seed: int) -> None:
    rng = np.random.default_rng(seed)
    for _ in range(30):
        n = int(rng.integers(0, 6))
        ts = np.sort(rng.integers(0, 60, n)) + T0
        values = np.where(rng.random(n) < 0.25, NAN, rng.normal(size=n))
        start, stop = T0 + 10, T0 + int(rng.integers(11, 70))
        got = tick_metrics.step_mean(ts, values, start, stop)
        wanted = naive.weighted_mean(list(zip(ts.tolist(), values.tolist(), strict=True)), start, stop)
        np.testing.assert_allclose(got, wanted, rtol=1e-12, atol=1e-12)
        edges = np.unique(np.concatenate(([start, stop], rng.integers(start, stop, 4))))
        means = tick_metrics.step_means(ts, values, edges)
        for (a, b), mean in zip(pairwise(edges), means, strict=True):
            np.testing.assert_allclose(mean, tick_metrics.step_mean(ts, values, a, b), rtol=1e-9, atol=1e-12)
    assert math.isnan(tick_metrics.step_mean(np.array([1]), np.array([2.0]), 5, 5))


def test_share_of_time() -> None:
    ts = np.array([20, 30])
    is_so = np.array([True, False])
    assert tick_metrics.share_of_time(ts, is_so, 10, 50, at_first=False) == 0.25
    assert tick_metrics.share_of_time(ts, is_so, 10, 50, at_first=True) == 0.5
    assert math.isnan(tick_metrics.share_of_time(ts, is_so, 10, 10, at_first=True))


def test_fill_rate_counts_what_was_asked() -> None:
    assert tick_metrics.fill_rate([10.0, 10.0], [5.0, 10.0]) == 0.75
    assert tick_metrics.fill_rate([10.0, NAN], [5.0, 0.0]) == 0.5  # sized at a fill that never came
    assert tick_metrics.fill_rate([10.0, 1.0], [0.0, 1.0], [1.0, 90.0]) == 0.9
    assert math.isnan(tick_metrics.fill_rate([], []))
    assert tick_metrics.share([3.0], [1.0, 5.0]) == 0.5
    assert math.isnan(tick_metrics.share([], []))


def test_queue_wait_is_to_the_first_fill_of_a_maker() -> None:
    waits = tick_metrics.queue_waits(
        np.array([7, 3, 5, 9]), [100, 200, 300, 400],
        order=[3, 5, 3, 7, 5], ts=[250, 300, 260, 900, 950], maker=[1, 0, 1, 1, 1],
    )  # fmt: skip
    assert sorted(waits.tolist()) == [50, 800]  # 5 took at first, 9 has no fill
    assert tick_metrics.queue_waits(np.array([7]), [1], [], [], []).tolist() == []


def test_prices_by_either_clock() -> None:
    market = tick_market(
        [(ms(0), ms(5), [("bid", 99, 1), ("ask", 101, 1)]), (ms(10), ms(12), [("ask", 101, 0)])],
        [(ms(1), ms(2), 500, 1, 1)], what=coin(tick_size=0.1),
    )  # fmt: skip
    here, there = (tick_metrics.prices(market, 0, clock) for clock in ("local_ts", "ts"))
    np.testing.assert_equal(there.mid, [10.0, NAN])
    np.testing.assert_equal(there.ask, [10.1, NAN])
    assert (here.ts.tolist(), here.end, there.end) == ([ms(5), ms(12)], ms(12), ms(10))
    times = [ms(0) - 1, ms(0), ms(9), ms(10), ms(11)]
    np.testing.assert_equal(tick_metrics.sample(*there[:2], times, there.end), [NAN, 10.0, 10.0, NAN, NAN])
    np.testing.assert_equal(
        tick_metrics.sample(*there[:2], times, there.end, before=True), [NAN, NAN, 10.0, 10.0, NAN]
    )
    trades = tick_metrics.prices(tick_market(None, [(ms(1), ms(2), 500, 1, 1)], what=coin(tick_size=0.1)), 0)
    assert trades.mid.tolist() == [50.0]
    assert math.isnan(trades.bid[0])
    assert len(tick_metrics.prices(tick_market(), 0).ts) == 0


def test_mid_moves_by_hand() -> None:
    second = 1_000
    shown = tick_metrics.prices(
        tick_market([
            (ms(0), ms(0), [("bid", 99, 1), ("ask", 101, 1)]),
            (ms(10), ms(10), [("bid", 99, 0), ("bid", 97, 1), ("ask", 101, 0), ("ask", 99, 1)]),  # mid 98
            (ms(second), ms(second), [("bid", 98, 1)]),  # mid 98.5
            (ms(2 * second), ms(2 * second), [("bid", 98, 2)]),
        ]), 0)  # fmt: skip
    ts = np.array([ms(10), ms(10), ms(11), ms(1500)])
    side, qty = np.array([1, -1, 1, 1]), np.array([2.0, 2.0, 3.0, 1.0])
    move = tick_metrics.mid_moves(shown, ts, side, qty, 10**9, 0.5, inverse=False)
    np.testing.assert_allclose(move.money, [2 * -1.5 * 0.5, 1.5, 3 * 0.5 * 0.5, NAN])
    np.testing.assert_allclose(move.bps, [-150.0, 150.0, 1e4 * (98.5 / 98 - 1), NAN])
    paid = tick_metrics.mid_moves(shown, ts, side, qty, 10**9, 100.0, inverse=True).money
    np.testing.assert_allclose(paid[:2], [200 * (1 / 100 - 1 / 98.5), -200 * (1 / 100 - 1 / 98.5)])
    assert tick_metrics.mean(move.bps[:2]) == pytest.approx(0.0)
    assert tick_metrics.t_value(np.array([1.0, 2.0, 3.0, NAN])) == pytest.approx(2.0 / 1.0 * math.sqrt(3))
    assert math.isnan(tick_metrics.t_value(np.array([1.0])))
    assert math.isnan(tick_metrics.t_value(np.array([1.0, 1.0])))
