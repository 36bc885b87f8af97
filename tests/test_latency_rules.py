"""How long bars, orders and answers travel: constant, by venue, by table."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from framework import Fills, Latency, Strategy, compiled
from framework.errors import ConfigError
from tests.golden import MS, t
from tests.small import FLAT, buy, column, made, play, replay
from tests.test_engine_modes import state_after, written

SECOND = 1_000 * MS
WIDE = Fills(grace=0.5)  # 30 s of a minute: the open can be had after 8 s too


@compiled
class Clocks(Strategy):
    """Write down when each thing is heard; buy at the first bar of each instrument."""

    def setup(self):
        self.heard = np.zeros((2, 12), dtype=np.int64)  # per instrument: bar times, then fill times
        self.count = np.zeros(2, dtype=np.int64)

    def on_bar(self, bar, broker):
        k = bar.instrument
        self.heard[k, self.count[k]] = broker.now
        self.count[k] += 1
        if self.count[k] == 1:
            broker.buy(qty=1.0)

    def on_fill(self, fill, broker):
        self.heard[fill.instrument, 11] = broker.now


def heard(market: Any, latency: Latency, is_compiled: bool) -> tuple[Any, Any]:
    """(times heard, result) of `Clocks`."""
    kept: list[Any] = []
    base = Clocks if is_compiled else written(Clocks)

    def setup(self: Any) -> None:
        Clocks.setup(self)
        kept.append(self)

    cls = type("Clocks", (base,), {"setup": setup, "__module__": __name__})
    result = play(cls, market, latency=latency, fills=WIDE)
    return next(one.heard for one in reversed(kept) if one.count[0]), result


BOTH = pytest.mark.parametrize("is_compiled", [True, False], ids=["compiled", "plain"])
THREE = ("100 101 100 101", "102 103 102 103", "104 105 104 105")


@BOTH
def test_feed_latency(is_compiled: bool) -> None:
    """rules 3, 4.1: a bar is seen at close + feed; the order leaves then, the answer travels too."""
    latency = Latency(feed="5s", order="3s", response="2s")
    times, result = heard(made(*THREE), latency, is_compiled)
    assert times[0, :3].tolist() == [t(1) + 5 * SECOND, t(2) + 5 * SECOND, t(3) + 5 * SECOND]
    order, fill = result.orders.row(0, named=True), result.fills.row(0, named=True)
    assert (order["ts"], order["arrival_ts"]) == (t(1) + 5 * SECOND, t(1) + 8 * SECOND)
    assert (fill["ts"], fill["price"], fill["bar_open_ts"]) == (t(1) + 8 * SECOND, 102.0, t(1))
    assert fill["seen_ts"] == times[0, 11] == t(1) + 10 * SECOND
    assert column(result, "equity", "ts") == [t(k) + 5 * SECOND for k in (1, 2, 3)]
    assert column(result, "equity", "equity") == [10_000.0, 10_001.0, 10_003.0]


@BOTH
def test_response_latency_decides_what_a_bar_shows(is_compiled: bool) -> None:
    """rules 3: a fill whose answer takes longer than the bar is not in that bar's equity row."""
    times, result = heard(made(*THREE), Latency(order=0, response="90s"), is_compiled)
    assert column(result, "fills", "ts") == [t(1)]
    assert times[0, 11] == t(1) + 90 * SECOND == t(2, 30_000)
    assert column(result, "equity", "position") == [0.0, 0.0, 1.0]


@BOTH
def test_latency_by_venue(is_compiled: bool) -> None:
    """rules 2: each venue has its own order and response latency, in either world."""
    market = made(*THREE) + made(*THREE, id="other:BBB")
    latency = Latency(order=0, response=0, venues={"other": Latency(order="5s", response="7s")})
    times, result = heard(market, latency, is_compiled)
    fills = {row["instrument"]: row for row in result.fills.rows(named=True)}
    near, far = fills["made:AAA"], fills["other:BBB"]
    assert (near["ts"], near["seen_ts"], times[0, 11]) == (t(1), t(1), t(1))
    assert (far["ts"], far["seen_ts"]) == (t(1) + 5 * SECOND, t(1) + 12 * SECOND)
    assert times[1, 11] == t(1) + 12 * SECOND


def test_latency_by_venue_in_a_replay() -> None:
    """rules 2: so do scripted orders and their cancels."""
    market = made(FLAT, FLAT, FLAT) + made(FLAT, FLAT, FLAT, id="other:BBB")
    rows = [{**buy(t(1), 1.0, "limit", price=90.0, cancel_ts=t(2)), "instrument": i} for i in ("AAA", "BBB")]
    latency = Latency(order="1s", response=0, venues={"other": Latency(order="9s", response=0)})
    result = replay(market, *rows, latency=latency)
    assert column(result, "orders", "arrival_ts") == [t(1) + SECOND, t(1) + 9 * SECOND]
    assert column(result, "orders", "end_ts") == [t(2) + SECOND, t(2) + 9 * SECOND]


@BOTH
def test_latency_by_table(is_compiled: bool) -> None:
    """rules 2: the row in force at the decision gives the order's way, at the fill the answer's."""
    rows = [(t(0), 2 * SECOND, 3 * SECOND), (t(1, 1_000), 11 * SECOND, 4 * SECOND)]
    times, result = heard(made(*THREE), Latency(table=rows), is_compiled)
    assert column(result, "orders", "arrival_ts") == [t(1) + 2 * SECOND]
    assert times[0, 11] == column(result, "fills", "seen_ts")[0] == t(1) + 6 * SECOND
    scripted = replay(made(*THREE), buy(t(1)), buy(t(2)), latency=Latency(table=rows), fills=WIDE)
    assert column(scripted, "orders", "arrival_ts") == [t(1) + 2 * SECOND, t(2) + 11 * SECOND]
    assert column(scripted, "fills", "seen_ts") == [t(1) + 6 * SECOND, t(2) + 15 * SECOND]


def test_a_cancel_travels_as_long_as_an_order() -> None:
    """rules 2: it acts at cancel_ts + order latency: what fills before that is filled."""
    market = made(FLAT, FLAT, "100 100 97 100", "100 100 97 100")
    order = buy(t(1), 1.0, "limit", price=98.0, cancel_ts=t(2, 30_000))
    slow = replay(market, order, latency=Latency(order="31s", response=0), fills=Fills(grace=0.6))
    assert column(slow, "orders", "status") == ["filled"]  # the cancel is there 1 s after the close of bar 2
    quick = replay(market, order, latency=Latency(order="29s", response=0), fills=Fills(grace=0.6))
    assert column(quick, "orders", "status") == ["cancelled"]
    assert column(quick, "orders", "end_ts") == [t(2, 59_000)]


def test_the_state_is_the_same_in_both_forms() -> None:
    """The clock of a compiled hook and of a plain one agree for every kind of latency."""
    market = made(*THREE)
    for latency in (Latency(feed="5s"), Latency(order="7s", response="70s")):
        options = {"latency": latency, "fills": WIDE}
        assert state_after(Counting, {}, market, **options) == state_after(
            written(Counting), {}, market, **options
        )


@compiled
class Counting(Strategy):
    """Sum of the times at which things were heard."""

    def setup(self):
        self.sum = 0

    def on_bar(self, bar, broker):
        self.sum += broker.now - 1_700_000_000_000_000_000
        if broker.position == 0.0:
            broker.buy(qty=1.0)

    def on_fill(self, fill, broker):
        self.sum += 7 * (broker.now - 1_700_000_000_000_000_000)


def test_feed_latency_by_venue() -> None:
    """A feed latency of one venue alone is refused in words, never left out in silence."""
    with pytest.raises(ConfigError, match="'other' has a feed"):
        Latency(order=0, response=0, venues={"other": Latency(feed="3s", order=0, response=0)})
