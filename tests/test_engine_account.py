"""Accounts of one and many instruments: `broker.at`, empty instruments, the equity table and the engine's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from framework import Costs, Fills, Instrument, Latency, Market, Strategy, compiled, samples
from framework.engine.trace import account_rows
from framework.outcome import Outcome
from framework.plan import make_plan
from framework.run import run
from strategies.breakout import Breakout
from strategies.ema_cross import EmaCross
from strategies.pairs import Pairs
from tests.test_engine_modes import HOUR, both, weeks, written


@compiled
class Everyone(Strategy):
    """Acts on every instrument through `at`, whichever bar it is called for."""

    number: int = 3

    def setup(self):
        self.count = 0
        self.worth = 0.0
        self.wrong = 0

    def on_bar(self, bar, broker):
        self.count += 1
        self.wrong += int(broker.price != bar.close)
        self.worth = broker.equity
        if self.count % 20 == 1:
            for k in range(self.number):
                other = broker.at(k)
                if other.price > 0.0:
                    if other.position != 0.0:
                        other.close()
                    else:
                        other.order(
                            1 if k % 2 == 0 else -1,
                            share=0.2,
                            stop=other.price * (0.9 if k % 2 == 0 else 1.1),
                        )


def test_one_class_trades_many_instruments() -> None:
    market = samples.load("majors-1d").slice("2017-01-01", None)
    result, state = both(Everyone(), market)
    assert state["count"] == sum(len(market.match_bars(k)) for k in range(3))
    assert state["wrong"] == 0
    assert set(result.fills["instrument"]) == {i.id for i in market.instruments}
    assert result.orders["status"].is_in(["filled", "cancelled", "open"]).all()
    last = result.equity.row(-1, named=True)
    assert {"position:bitstamp:ETHUSD", "position:bitstamp:LTCUSD"} <= set(last)
    assert state["worth"] == last["equity"]


def test_instruments_may_begin_and_end_apart() -> None:
    whole = samples.load("majors-1d")
    early = whole.slice(None, "2016-01-01")  # two of the three have no bar here
    assert [len(early.match_bars(k)) for k in (1, 2)] == [0, 0]
    result, _ = both(Everyone(), early)
    assert set(result.fills["instrument"]) == {"bitstamp:BTCUSD"}
    parts = [Market.from_candles(whole.match_bars(k), whole.instruments[k], "1d") for k in (1, 0)]
    late_first = Market.join(*parts).slice(None, "2016-01-01")
    assert [len(late_first.match_bars(k)) for k in (0, 1)] == [0, len(early.match_bars(0))]
    result, state = both(Everyone(number=2), late_first)
    assert state["count"] == len(result.equity) == len(early.match_bars(0))
    assert len(result.fills) > 5
    assert 0.0 < result.metrics["max_drawdown_days"] < 500.0


def perpetual(kind: str) -> Market:
    """Return hourly bars as a contract with funding and a grid."""
    what = Instrument(f"test:{kind}", kind=kind, tick_size=0.01, lot_size=0.001 if kind == "linear" else 1.0,
                      maker=0.0002, taker=0.0005, settle="USD" if kind == "linear" else "BTC")  # fmt: skip
    market = Market.from_candles(weeks().match_bars(0), what, "1h")
    ts = np.arange(market.start, market.stop, 8 * HOUR)
    rate = np.where(np.arange(len(ts)) % 3 == 0, -1e-4, 2e-4)
    return market.with_funding({"ts": ts, "rate": rate}, unit="ns")


EQUITIES: list[tuple[Any, Any, dict[str, Any]]] = [
    (EmaCross, lambda: samples.load("btcusd-1h"), {}),
    (Breakout, lambda: samples.load("btcusd-1h"), {"fills": Fills(intrabar="best", at="close")}),
    (EmaCross, lambda: samples.load("perp-1m"), {"leverage": 3.0, "strict": True}),
    (Pairs, lambda: samples.load("majors-1d"), {}),
    (Everyone, lambda: samples.load("majors-1d"), {"latency": Latency(feed="3h", order="1h", response="2h")}),
    (EmaCross, lambda: perpetual("linear"), {"leverage": 5.0, "costs": Costs(slippage=0.001)}),
    (EmaCross, lambda: perpetual("inverse"), {"cash": 5.0}),
    (EmaCross, weeks, {"fills": Fills(volume_share=0.002), "strict": True}),
    (EmaCross, weeks, {"leverage": 50.0}),
]


def worth_of_fills(tables: Any, rows: Any, journal: Any) -> Any:
    """Equity at each row without any average entry: each fill's own gain up to the last close seen."""
    market, fills = tables.market, tables.sim.fills[: int(tables.clock["n_fills"])]
    feed = int(tables.clock["feed"])
    paid = np.array([np.sum(journal["amount"][journal["ts"] <= ts]) for ts in rows["ts"]])
    worth = float(tables.sim.total[0]["start"]) + paid
    for k, what in enumerate(market.instruments):
        bars, own = market.match_bars(k), fills[fills["instrument"] == k]
        last = np.searchsorted(bars["close_ts"] + feed, rows["ts"], side="right") - 1
        price = bars["close"][np.maximum(last, 0)]
        for fill in own:
            known = rows["ts"] >= fill["seen_ts"]
            size = fill["side"] * fill["qty"] * what.multiplier
            move = 1.0 / fill["price"] - 1.0 / price if what.kind == "inverse" else price - fill["price"]
            worth += np.where(known, size * move - fill["fee"], 0.0)
    return worth


@pytest.mark.parametrize(("cls", "market", "options"), EQUITIES)
def test_the_equity_table_is_the_engines_own(cls: Any, market: Any, options: dict[str, Any]) -> None:
    """The account walked again over fills and journal equals, bit for bit, what the engine wrote."""
    made = market()
    tables = run(cls, {}, make_plan(made, **options), None, None)
    rows, positions = account_rows(tables)
    count = int(tables.clock["rows"])
    assert count == len(rows)
    assert np.array_equal(rows["equity"].view(np.int64), tables.sim.equity[:count].view(np.int64))
    assert tables.clock["n_fills"] > 5
    journal = tables.sim.journal[: int(tables.clock["n_journal"])]
    if tables.clock["bust"]:
        assert rows["equity"][-1] == 0.0
    else:
        worth = worth_of_fills(tables, rows, journal)
        np.testing.assert_allclose(rows["equity"], worth, rtol=1e-9, atol=1e-6)
    assert positions.shape == (count, len(made.instruments))
    if made.funding:
        assert len(journal) > 0
    again = Outcome(run(written(cls), {}, make_plan(made, **options), None, None))
    assert again.fingerprint() == Outcome(tables).fingerprint()
    assert np.array_equal(again.sim.equity[:count].view(np.int64), tables.sim.equity[:count].view(np.int64))
