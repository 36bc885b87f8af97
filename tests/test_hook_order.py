"""What happens first at one local time, and when decisions are heard and paid.

Three instruments: bars of two minutes, of one, of one. At t(2) everything is due at once.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from framework import Latency, Market, Strategy, compiled, market_brief
from framework.llm import Rules
from framework.market import TIES
from tests.golden import MS, t
from tests.small import FLAT, buy, column, made, play, replay, sell, signals
from tests.test_broker_rules import Sends
from tests.test_engine_modes import written

ORDER, FILL, SIGNAL, BAR, TIMER = 1, 2, 3, 10, 20  # a bar is 10 + its instrument
HOOK_NAMES = {ORDER: "on_fill, on_order", FILL: "on_fill, on_order", SIGNAL: "on_signal", TIMER: "on_timer"}


@compiled
class Everything(Strategy):
    """Write down every hook with all it can see; at t(1) send what is answered at t(2)."""

    trade: bool = True

    timer = "2m"

    def setup(self):
        self.log = np.zeros((64, 8))  # what, minute, prices of the three, position, cash, equity
        self.count = 0

    def note(self, what, broker):
        row = self.log[self.count]
        row[0] = what
        row[1] = (broker.now - 1_700_000_400_000_000_000) / 60_000_000_000
        for k in range(3):
            row[2 + k] = broker.at(k).price
        row[5] = broker.at(1).position
        row[6] = broker.cash
        row[7] = broker.equity
        self.count += 1

    def on_bar(self, bar, broker):
        self.note(10 + bar.instrument, broker)
        if self.trade and bar.instrument == 1 and self.count == 2:
            broker.buy(qty=2.0, price=98.0)
            broker.cancel(broker.buy(qty=1.0, price=50.0))

    def on_fill(self, fill, broker):
        self.note(2, broker)

    def on_order(self, order, broker):
        self.note(1, broker)

    def on_signal(self, signal, broker):
        self.note(3, broker)

    def on_timer(self, now, broker):
        self.note(20, broker)


def three() -> Market:
    """The market of this page."""
    one = made("200 212 200 210", "220 220 220 220", step=2)
    two = made("100 101 100 100", "100 102 98 101", FLAT, FLAT, id="made:BBB")
    return one + two + made("50 50 50 50", "55 55 55 55", "50 50 50 50", "50 50 50 50", id="made:CCC")


def kept(cls: type[Strategy], market: Market, **options: Any) -> tuple[Any, Any]:
    """(object the hooks left, result) of a run."""
    made_ones: list[Any] = []

    def setup(self: Any) -> None:
        cls.setup(self)
        made_ones.append(self)

    traced = type(cls.__name__, (cls,), {"setup": setup, "__module__": cls.__module__})
    params = options.pop("params", {})
    result = play(traced(**params), market, **options)
    return next(one for one in reversed(made_ones) if one.count), result


BOTH = pytest.mark.parametrize("is_compiled", [True, False], ids=["compiled", "plain"])
SLOW = Latency(order=0, response="60s")


@BOTH
def test_hooks_at_one_local_time(is_compiled: bool) -> None:
    """rules 3.2: every row of t(2) is applied first; then answers, signal, bars (shorter, Market), timer."""
    told = signals({"ts": t(1), "arrival_ts": t(2), "cost": 0.25})
    cls = Everything if is_compiled else written(Everything)
    left, result = kept(cls, three().with_signals(told), latency=SLOW)
    log = left.log[: left.count]
    assert column(result, "fills", "seen_ts") == [t(2)]
    before = log[log[:, 1] < 2.0]
    # nothing has closed at t(0); at t(1) the two short bars, and the long one is not known
    assert before[:, :2].tolist() == [[20.0, 0.0], [11.0, 1.0], [12.0, 1.0]]
    assert before[:, 2:5].tolist() == [[0.0, 0.0, 0.0], [0.0, 100.0, 50.0], [0.0, 100.0, 50.0]]
    here = log[log[:, 1] == 2.0]
    assert here[:, 0].tolist() == [ORDER, FILL, SIGNAL, BAR + 1, BAR + 2, BAR, TIMER]
    # two bought at 98 are worth 101; the decision cost 0.25
    assert here[:, 2:].tolist() == [[210.0, 101.0, 55.0, 2.0, 9_999.75, 10_005.75]] * 7


@BOTH
def test_bars_alone_keep_the_order(is_compiled: bool) -> None:
    """rules 3.2: the same while nothing rests and nothing travels."""
    cls = Everything if is_compiled else written(Everything)
    left, _ = kept(cls, three(), params={"trade": False})
    log = left.log[: left.count]
    assert log[:, 0].tolist() == [20, 11, 12, 11, 12, 10, 20, 11, 12, 11, 12, 10, 20]
    assert log[:, 1].tolist() == [0, 1, 1, 2, 2, 2, 2, 3, 3, 4, 4, 4, 4]
    assert (log[log[:, 1] == 2.0][:, 2:5] == [210.0, 101.0, 55.0]).all()


@BOTH
def test_equal_intervals_go_in_market_order(is_compiled: bool) -> None:
    """rules 3.2: with one interval the Market's order decides, and the first hook sees the last leg."""
    rows = ("100 100 100 100", "100 104 100 104")
    market = made(*rows, id="made:ZZZ") + made(*rows, id="made:AAA") + made(*rows, id="made:MMM")
    cls = Everything if is_compiled else written(Everything)
    left, _ = kept(cls, market, params={"trade": False})
    log = left.log[: left.count]
    assert [what for what in log[:, 0] if what < TIMER] == [10, 11, 12, 10, 11, 12]
    assert (log[log[:, 1] == 2.0][:, 2:5] == 104.0).all()


def test_the_table_of_ties_is_what_hooks_do() -> None:
    """house 2: the order of hooks written in the table is the one that was heard."""
    told = signals({"ts": t(1), "arrival_ts": t(2)})
    left, _ = kept(Everything, three().with_signals(told), latency=SLOW)
    log = left.log[: left.count]
    heard = [HOOK_NAMES.get(int(what), "on_bar") for what in log[log[:, 1] == 2.0][:, 0]]
    listed = [name for side, name in TIES if side == "strategy" and name in heard]
    assert list(dict.fromkeys(heard)) == listed
    assert len(listed) == 4


def test_the_exchange_at_one_stamp() -> None:
    """rules 3.4, 4.3: funding, what fills inside the bar, what rests at the open, what arrives then."""
    market = made(FLAT, "100 101 97 100", "103 103 103 103").with_funding(
        {"ts": [t(2)], "rate": [0.01]}, unit="ns"
    )
    result = replay(
        market,
        {**buy(t(2), 16.0), "id": 1},  # arrives at t(2)
        {**buy(t(1), 8.0, "stop", trigger=102.0), "id": 2},  # rests: met by the open of bar 2
        {**buy(t(1), 4.0, "limit", price=98.0), "id": 3},  # inside bar 1, stamped with its close
        {**sell(t(1), 2.0), "id": 4},  # held over the boundary
    )
    assert list(zip(column(result, "fills", "order_id"), column(result, "fills", "ts"), strict=True)) == [
        (4, t(1)), (3, t(2)), (2, t(2)), (1, t(2))
    ]  # fmt: skip
    assert result.equity["funding"].to_list()[-1] == pytest.approx(2.06)  # of the two alone: 2 x 103 x 0.01
    seen = ["funding", "bar close", "bar open", "order arrival"]
    assert [name for side, name in TIES if side == "exchange" and name in seen] == seen


@compiled
class Ear(Strategy):
    """Write down when signals are heard and what the account is then."""

    timer = "30s"

    def setup(self):
        self.log = np.zeros((8, 4))
        self.cash = np.zeros(64)
        self.count = 0
        self.ticks = 0

    def on_signal(self, signal, broker):
        row = self.log[self.count]
        row[0] = (broker.now - 1_700_000_400_000_000_000) / 60_000_000_000
        row[1] = (signal.ts - 1_700_000_400_000_000_000) / 60_000_000_000
        row[2] = (signal.arrival_ts - 1_700_000_400_000_000_000) / 60_000_000_000
        row[3] = broker.equity
        self.count += 1

    def on_timer(self, now, broker):
        self.cash[self.ticks] = broker.cash
        self.ticks += 1


@BOTH
def test_a_signal_is_heard_when_it_arrives(is_compiled: bool) -> None:
    """rules 7, house 2: at question time + latency and not before, whatever bar is under way."""
    told = signals(
        {"ts": t(1), "arrival_ts": t(2, 45_000), "cost": 1.0},
        {"ts": t(0, 30_000), "arrival_ts": t(1, 15_000), "cost": 2.0},
        {"ts": t(1), "arrival_ts": t(3), "cost": 4.0, "direction": "neutral"},
    )
    cls = Ear if is_compiled else written(Ear)
    left, _ = kept(cls, made(FLAT, FLAT, FLAT, FLAT).with_signals(told))
    assert left.log[: left.count].tolist() == [
        [1.25, 0.5, 1.25, 9_998.0], [2.75, 1.0, 2.75, 9_997.0], [3.0, 1.0, 3.0, 9_993.0]
    ]  # fmt: skip
    assert left.cash[: left.ticks].tolist() == [1e4] * 3 + [9_998.0] * 3 + [9_993.0] * 3


def test_tokens_are_booked_at_arrival() -> None:
    """rules 6.5: a decision's cost leaves the account when it arrives; bad replies cost, and wake nobody."""
    told = signals(
        {"ts": t(0), "arrival_ts": t(1, 1), "cost": 1.5},
        {"ts": t(0), "arrival_ts": t(2), "cost": 0.5, "status": "invalid"},
        {"ts": t(0), "arrival_ts": t(9), "cost": 64.0},  # after the market's end
    )
    market = made(FLAT, FLAT, "110 110 110 110").with_signals(told)
    left, _ = kept(Ear, market)
    assert left.count == 1
    result = replay(market, buy(t(1), 3.0))
    assert column(result, "equity", "tokens") == [0.0, 2.0, 2.0]
    assert column(result, "equity", "equity") == [10_000.0, 9_998.0, 10_028.0]
    for row in result.equity.rows(named=True):
        worth = 10_000.0 + row["realised"] + row["unrealised"] - row["fees"] + row["funding"] - row["tokens"]
        assert row["equity"] == worth


class Asker(Strategy):
    """Ask every two minutes; note when the answers are heard."""

    ask_every = "2m"

    def setup(self):
        self.heard: list[Any] = []
        self.count = 0

    def ask(self, view):
        return market_brief(view)

    def on_signal(self, signal, broker):
        self.count += 1
        self.heard.append((signal.ts, signal.arrival_ts, broker.now))


@pytest.mark.parametrize(("analyst", "delay"), [(None, 2_000 * MS), (Rules("75s"), 75_000 * MS)])
def test_an_answer_takes_its_latency(analyst: Any, delay: int) -> None:
    """rules 7.1, house 2: `Rules` answers 2 s after the question unless told otherwise, never at once."""
    market = made(*[FLAT] * 9)
    left, result = kept(Asker, market, analyst=analyst)
    asked = [t(2), t(4), t(6), t(8)]
    assert left.heard == [(ts, ts + delay, ts + delay) for ts in asked if ts + delay <= t(9)]
    assert column(result, "decisions", "latency_ns") == [delay] * len(asked)


@BOTH
def test_nothing_is_paid_after_a_bust(is_compiled: bool) -> None:
    """rules 6.3: equity stays 0: a decision that arrives later is not paid, there is nothing to pay with."""
    asked = {"ts": t(1), "cost": 2.0}
    told = signals({**asked, "arrival_ts": t(1, 1)}, {**asked, "arrival_ts": t(3)})
    market = made(FLAT, "100 101 75 75", FLAT, FLAT).with_signals(told)
    cls = Sends if is_compiled else written(Sends)
    result = play(cls(qty=50.0), market, cash=1_000.0, leverage=10.0)
    assert result.status == "bust"
    assert column(result, "equity", "equity") == [1_000.0, 0.0, 0.0, 0.0]
    assert column(result, "equity", "tokens") == [0.0, 2.0, 2.0, 2.0]
    assert result.manifest["final"]["tokens"] == 2.0
