"""What hooks can do, compiled and as written alike: timers, answers, amends, intervals, features."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest

from framework import Costs, Latency, Market, Strategy, backtest, compiled, samples
from framework.errors import OrderRejected, StrategyError
from framework.plan import make_plan
from framework.records import CANCELLED, EXPIRED, REJECTED
from framework.run import run

HOUR = 3_600_000_000_000


def weeks(stop: str = "2017-08-01") -> Market:
    """Return some weeks of hourly bars."""
    return samples.load("btcusd-1h").slice(None, stop)


def written(cls: type[Strategy]) -> type[Strategy]:
    """Return a compiled strategy as it is written."""
    return type(cls.__name__, (cls,), {"compiled": False, "__module__": cls.__module__})


def both(strategy: Strategy, market: Market, **options: Any) -> Any:
    """Run compiled and as written, compare everything, return the result and the state the hooks left."""
    cls, params = type(strategy), strategy.params
    states = [state_after(one, params, market, **options) for one in (cls, written(cls))]
    assert states[0] == states[1]
    compiled_one, plain_one = (
        backtest(strategy, market, **options),
        backtest(written(cls)(**params), market, **options),
    )
    assert compiled_one.fingerprint == plain_one.fingerprint
    assert compiled_one.equity.equals(plain_one.equity)
    return compiled_one, states[0]


def state_after(
    cls: type[Strategy], params: dict[str, Any], market: Market, **options: Any
) -> dict[str, Any]:
    """Run and return the state that numbers hold afterwards."""
    kept: list[Any] = []
    setup = cls.setup

    def keep(self: Any) -> None:
        setup(self)
        kept.append(self)

    traced = type(cls.__name__, (cls,), {"setup": keep, "__module__": cls.__module__})
    run(traced, params, make_plan(market, **options), None, None)
    state = {k: v for k, v in vars(kept[0]).items() if isinstance(v, (bool, int, float)) and v == v}
    assert state
    return state


@compiled
class Answers(Strategy):
    """Counts what it hears; enters with limits, cancels what rests too long, amends what is near."""

    expire: int = 6  # hours

    timer = "6h"

    def setup(self):
        self.bars = 0
        self.timers = 0
        self.last_timer = 0
        self.fills = 0
        self.bought = 0.0
        self.fees = 0.0
        self.cancelled = 0
        self.expired = 0
        self.rejected = 0
        self.order_id = 0
        self.heard_early = 0

    def on_bar(self, bar, broker):
        self.bars += 1
        turn = self.bars % 40
        if turn == 1:
            self.order_id = broker.buy(
                qty=0.5, price=bar.close * 0.999, expire_ts=bar.ts + self.expire * 3_600_000_000_000
            )
        elif turn == 3:
            broker.amend(self.order_id, price=bar.close * 1.001)
        elif turn == 10:
            self.order_id = broker.sell(qty=0.2, price=bar.close * 1.5)
        elif turn == 14:
            broker.cancel(self.order_id)
        elif turn == 18:
            broker.order(1, qty=0.1, price=bar.close * 0.5, group=7)
            broker.order(1, qty=0.1, price=bar.close * 0.4, group=7)
        elif turn == 20:
            broker.cancel_all()
        elif turn == 24:
            broker.order(1, qty=1e9)
        elif turn == 26:
            broker.buy(qty=0.1, price=bar.close * 0.5, expire_ts=bar.ts + self.expire * 3_600_000_000_000)
        elif turn == 34 and broker.position > 0.0:
            broker.close()

    def on_fill(self, fill, broker):
        self.fills += 1
        self.bought += fill.side * fill.qty
        self.fees += fill.fee
        if fill.ts > broker.now:
            self.heard_early += 1

    def on_order(self, order, broker):
        if order.status == CANCELLED:
            self.cancelled += 1
        elif order.status == EXPIRED:
            self.expired += 1
        elif order.status == REJECTED:
            self.rejected += 1

    def on_timer(self, now, broker):
        self.timers += 1
        self.last_timer = now


def test_answers_timers_cancels_and_amends() -> None:
    market = weeks()
    result, state = both(Answers(), market)
    orders = result.orders
    assert state["bars"] == len(market.match_bars(0))
    assert state["timers"] == (market.stop - market.start) // (6 * HOUR) + 1
    assert state["last_timer"] == market.stop
    assert state["fills"] == len(result.fills)
    assert state["fees"] == pytest.approx(result.fills["fee"].sum())
    assert state["heard_early"] == 0
    for word in ("cancelled", "expired", "rejected"):
        assert state[word] == (orders["status"] == word).sum() > 5, word
    assert set(orders["reason"]) >= {"cancelled by strategy", "insufficient margin"}
    amended = orders.filter((pl.col("type") == "limit") & (pl.col("side") == "buy") & (pl.col("qty") == 0.5))
    assert (amended["status"] == "filled").sum() > 5
    held = result.equity["position"].to_numpy()[-1]
    assert state["bought"] == pytest.approx(held, abs=1e-9)


def test_timers_keep_their_grid_with_a_slow_feed() -> None:
    market = weeks()
    _, state = both(Answers(), market, latency=Latency(feed="7m", order="3s", response="1m"))
    assert state["last_timer"] == market.stop
    assert state["heard_early"] == 0


@compiled
class FourHours(Strategy):
    """Trades on four-hour bars and fills on the finest."""

    bars = "4h"

    def setup(self):
        self.count = 0
        self.long_ones = 0
        self.last = 0.0
        self.seen_at_close = 0

    def on_bar(self, bar, broker):
        self.count += 1
        self.long_ones += int(
            bar.interval == 14_400_000_000_000 and bar.close_ts - bar.open_ts == bar.interval
        )
        self.seen_at_close += int(bar.ts == bar.close_ts and broker.now == bar.ts)
        if bar.close > self.last:
            if broker.position <= 0.0:
                broker.close()
                broker.buy(share=0.5, stop=bar.close * 0.98, target=bar.close * 1.02)
        elif broker.position >= 0.0:
            broker.close()
            broker.sell(share=0.5, trail=bar.close * 0.02)
        self.last = bar.close


def test_higher_bars_are_seen_closed_and_orders_fill_on_the_finest() -> None:
    market = weeks()
    result, state = both(FourHours(), market)
    assert (
        state["count"]
        == state["long_ones"]
        == state["seen_at_close"]
        == len(market.resample("4h").bars[0, 4 * HOUR])
    )
    decided = result.orders.filter(pl.col("type") == "market")
    assert (decided["ts"] % (4 * HOUR) == 0).all()
    inside = result.fills.filter(pl.col("bar_open_ts") % (4 * HOUR) != 0)
    assert len(inside) > 5
    assert len(result.equity) == len(market.match_bars(0))


@compiled
class OnFeatures(Strategy):
    """Holds the sign of one feature stream as long as another is there."""

    features = ("edge", "late")

    def setup(self):
        self.nothing = 0
        self.last = 0.0

    def on_bar(self, bar, broker):
        edge = broker.feature("edge")
        late = broker.feature("late")
        if late != late:
            self.nothing += 1
            return
        self.last = late
        if edge > 0.0 and broker.position <= 0.0:
            broker.close()
            broker.order(1, share=0.5)
        elif edge < 0.0 and broker.position >= 0.0:
            broker.close()
            broker.order(-1, share=0.5)


def test_features_are_known_from_their_time_on() -> None:
    market = weeks()
    rows = market.match_bars(0)
    ret = np.diff(rows["close"], prepend=rows["open"][0])
    market = market.with_features({"ts": rows["close_ts"], "edge": ret})
    slow = {"ts": rows["close_ts"][::24] + 1, "late": rows["close"][::24]}
    market = market.with_features(slow)
    result, state = both(OnFeatures(), market)
    assert state["nothing"] == 1  # one ns after the first close is too late for the first bar
    assert state["last"] == slow["late"][slow["ts"] <= rows["close_ts"][-1]][-1]
    entries = result.orders.filter(pl.col("type") == "market")
    sign = dict(zip(rows["close_ts"].tolist(), np.sign(ret).tolist(), strict=True))
    assert [sign[ts] for ts in entries["ts"]] == [1.0 if s == "buy" else -1.0 for s in entries["side"]]
    with pytest.raises(StrategyError, match="the market has no feature 'edge'"):
        backtest(OnFeatures, weeks())


@compiled
class Warm(Strategy):
    """Is not called before its warm-up, whatever the bars do to a held position."""

    warmup = 50

    def setup(self):
        self.first = 0
        self.count = 0

    def on_bar(self, bar, broker):
        if self.count == 0:
            self.first = bar.close_ts
            broker.buy(share=0.5, stop=bar.close * 0.97)
        self.count += 1


def test_warmup_holds_hooks_back() -> None:
    market = weeks()
    result, state = both(Warm(), market)
    rows = market.match_bars(0)
    assert state["first"] == rows["close_ts"][50]
    assert state["count"] == len(rows) - 50
    assert len(result.equity) == len(rows)


@compiled
class Insists(Strategy):
    """Send another order whenever one is rejected."""

    def on_bar(self, bar, broker):
        broker.buy(qty=0.0)

    def on_order(self, order, broker):
        broker.buy(qty=0.0)


@compiled
class Turns(Strategy):
    """Turn around at every fill, which without latency comes at once."""

    def on_bar(self, bar, broker):
        if broker.position == 0.0:
            broker.buy(qty=0.01)

    def on_fill(self, fill, broker):
        broker.order(-fill.side, qty=0.02)


@pytest.mark.parametrize("cls", [Insists, written(Insists), Turns], ids=["compiled", "plain", "fills"])
def test_an_endless_loop_of_orders_ends(cls: type[Strategy]) -> None:
    """A hook that answers every answer with an order would fill the memory before the next bar."""
    free = Costs(maker=0.0, taker=0.0, slippage=0.0)
    with pytest.raises(OrderRejected, match="100,000 fills and ends of orders since the last bar"):
        backtest(cls, weeks(), latency=Latency(order=0, response=0), costs=free)


def test_a_loop_that_takes_its_time_ends_too() -> None:
    with pytest.raises(OrderRejected, match="does on_fill or on_order send an order each time"):
        backtest(Insists, weeks())
