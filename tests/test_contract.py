"""The public contract of the rules, literally: defaults, signatures, table columns, sampling."""

from __future__ import annotations

import inspect
from dataclasses import fields
from typing import Any

import polars as pl
import pytest

import framework.engine.broker
from framework import UNSET, Costs, Fills, Latency, Strategy, backtest, compiled, replay_orders, sweep
from framework.engine.plain import PlainBroker
from framework.strategy import Broker
from strategies.regime_trader import RegimeTrader
from tests.golden import MINUTE, MS, t
from tests.small import FLAT, FREE, buy, column, made, play, replay, sell, signals

I64, F64, STR, BOOL = pl.Int64, pl.Float64, pl.String, pl.Boolean
TABLES: dict[str, dict[str, Any]] = {
    "orders": {
        "id": I64, "ts": I64, "arrival_ts": I64, "end_ts": I64, "instrument": STR, "side": STR, "type": STR,
        "tif": STR, "qty": F64, "price": F64, "status": STR, "filled_qty": F64, "avg_price": F64,
        "last_fill_ts": I64, "maker": BOOL, "n_fills": I64, "reason": STR,
    },
    "fills": {
        "order_id": I64, "ts": I64, "seen_ts": I64, "bar_open_ts": I64, "instrument": STR, "side": STR,
        "price": F64, "qty": F64, "fee": F64, "maker": BOOL,
    },
    "trades": {
        "instrument": STR, "side": STR, "qty": F64, "entry_ts": I64, "exit_ts": I64, "entry_bar": I64,
        "exit_bar": I64, "entry_price": F64, "exit_price": F64, "gross": F64, "fees": F64, "funding": F64,
        "pnl": F64, "reason": STR,
    },
    "equity": {
        "ts": I64, "equity": F64, "cash": F64, "position": F64, "realised": F64, "unrealised": F64,
        "fees": F64, "funding": F64, "tokens": F64,
    },
}  # fmt: skip
OPTIONS = {
    "cash": 10_000.0, "costs": None, "latency": None, "fills": None, "leverage": 1.0, "margin": "cross",
    "risk": None, "analyst": None, "sample": None, "strict": False, "seed": 0,
}  # fmt: skip
DAY = 24 * 60 * MINUTE
HOUR = 60 * MINUTE


@compiled
class Once(Strategy):
    """Buy some at the first close, and nothing more."""

    qty: float = 10.0

    def setup(self):
        self.done = 0

    def on_bar(self, bar, broker):
        if self.done == 0:
            self.done = 1
            broker.buy(qty=self.qty)


def keywords(function: Any) -> dict[str, Any]:
    """Name to default of the keyword-only parameters."""
    found = inspect.signature(function).parameters.values()
    return {one.name: one.default for one in found if one.kind is one.KEYWORD_ONLY}


def test_signatures_of_the_two_calls() -> None:
    """rules 2: the same options, in this order, with these defaults; None stands for Costs() and so on."""
    for function, first in ((backtest, "strategy"), (replay_orders, "orders")):
        found = inspect.signature(function)
        assert list(found.parameters)[:2] == [first, "market"]
        given = keywords(function)
        others = [name for name in ("say", "progress", "replies") if name in given]  # how it goes, a model
        told = {name: given.pop(name) for name in others}
        assert list(given.items()) == list(OPTIONS.items())
        assert not any(told.values())
        assert found.return_annotation == "Result"


def test_none_is_the_default_object() -> None:
    """rules 2: no costs, latency and fills given = Costs(), Latency(), Fills()."""
    market = made(FLAT, FLAT, "104 104 104 104")
    frame = pl.DataFrame([buy(t(1)), sell(t(2), 3.0)])
    plain = replay_orders(frame, market)
    named = replay_orders(frame, market, cash=10_000, costs=Costs(), latency=Latency(), fills=Fills())
    assert plain.fingerprint == named.fingerprint
    assert plain.manifest == named.manifest


@pytest.mark.parametrize(
    ("cls", "wanted", "more"),
    [
        (Costs, {"maker": None, "taker": None, "slippage": 5e-4, "entry_spread": 0.0, "impact": None}, {}),
        (
            Latency,
            {"feed": None, "order": "20ms", "response": "20ms"},
            {"table": None, "venues": None, "interpolate": False},
        ),
        (
            Fills,
            {
                "at": "open", "intrabar": "worst", "exits_from": "entry_bar", "grace": 0.02,
                "queue": "risk_averse", "partial": True, "volume_share": None,
            },
            dict.fromkeys(("slip_in_range", "stop_at_level", "limit_slips", "stop_first"), False)
            | {"trigger": "trade"},
        ),
    ],
)  # fmt: skip
def test_option_classes(cls: Any, wanted: dict[str, Any], more: dict[str, Any]) -> None:
    """rules 2: their fields in order, and every default; what a preset needs comes after and is off."""
    assert [(one.name, one.default) for one in fields(cls)] == [*wanted.items(), *more.items()]


@pytest.mark.parametrize("broker", [Broker.order, PlainBroker.order, framework.engine.broker.order])
def test_signature_of_order(broker: Any) -> None:
    """rules 2: broker.order takes the same names in the same order in every world; nothing given = none."""
    names = [
        "side", "qty", "share", "price", "trigger", "stop", "target", "trail", "tif", "post_only",
        "reduce_only", "group", "expire_ts",
    ]  # fmt: skip
    found = list(inspect.signature(broker).parameters.values())[1:]
    assert [one.name for one in found] == names
    defaults = {one.name: one.default for one in found[1:]}
    assert all(defaults[name] == UNSET for name in names[1:8])
    assert (defaults["post_only"], defaults["reduce_only"], defaults["group"]) == (False, False, 0)


@pytest.mark.parametrize("kind", ["backtest", "replay"])
def test_a_run_with_nothing_said(kind: str) -> None:
    """rules 1: cash 10,000, fee 0.001, slippage 0.0005, order and response latency 20 ms."""
    market = made(FLAT, FLAT, FLAT)
    if kind == "backtest":
        result = backtest(Once, market)
    else:
        result = replay_orders(pl.DataFrame([buy(t(1), 10.0)]), market)
    fill = result.fills.row(0, named=True)
    assert fill["price"] == 100.0 * 1.0005
    assert fill["fee"] == pytest.approx(10 * 100.05 * 0.001, abs=1e-12)
    assert (fill["ts"], fill["seen_ts"]) == (t(1, 20), t(1, 40))
    assert result.orders["arrival_ts"][0] == t(1, 20)
    # 10,000 - 1.0005 of fee - 10 x 0.05 of slippage
    assert column(result, "equity", "equity") == pytest.approx([10_000.0, 9_998.4995, 9_998.4995], abs=1e-9)


def test_default_maker_fee_and_costs_over_the_instrument() -> None:
    """rules 1: 0.001 as maker too; an instrument's fees come before it, Costs before both, 0 included."""
    touched, order = (FLAT, "100 100 98 99"), buy(t(1), 10.0, "limit", price=98.0)
    known = {"maker": 0.0003, "taker": 0.0007}
    for more, costs, fee in (
        ({}, Costs(), 0.98), (known, Costs(), 0.294), (known, Costs(maker=0.0), 0.0),
        (known, Costs(taker=0.0), 0.294),
    ):  # fmt: skip
        result = replay(made(*touched, **more), order, costs=costs)
        assert column(result, "fills", "maker") == [True]
        assert column(result, "fills", "fee") == pytest.approx([fee], abs=1e-12)


@pytest.mark.parametrize(("late_ns", "bar", "late"), [(0, 1, 0), (1, 2, 1)])
def test_default_grace(late_ns: int, bar: int, late: int) -> None:
    """rules 1, 4.1: 2 % of a minute is 1.2 s; a nanosecond more waits for the next open."""
    latency = Latency(order=1_200 * MS + late_ns, response=0)
    result = replay(made(FLAT, FLAT, "104 104 104 104"), buy(t(1)), latency=latency)
    assert column(result, "fills", "bar_open_ts") == [t(bar)]
    assert result.metrics["late_orders"] == late


def test_regime_trader_defaults() -> None:
    """rules 1: max share 0.25, min_confidence 0.6, one question per 4 hours."""
    assert RegimeTrader().params == {"min_confidence": 0.6, "max_share": 0.25}
    assert Strategy.ask_every == RegimeTrader.ask_every == "4h"
    market = made(FLAT, FLAT, FLAT, lot_size=0.01)
    for confidence, filled in ((0.6, [25.0]), (0.5999, [])):
        told = signals({"ts": t(1), "arrival_ts": t(1), "confidence": confidence, "size": 0.9,
                        "entry": 100.0, "stop": 90.0, "target": 120.0})  # fmt: skip
        result = play(RegimeTrader, market.with_signals(told))
        assert column(result, "fills", "qty") == filled  # 0.25 x 10,000 / 100


def test_table_columns() -> None:
    """rules 2: names, order and types of the four tables, with rows and without any."""
    market = made(FLAT, FLAT, "110 110 110 110", "110 110 110 110")
    full = replay(market, buy(t(1), 5.0), sell(t(2), 5.0), buy(t(2), 1.0, "limit", price=50.0))
    empty = replay(market, buy(t(1), 5.0)).trades
    none = play(Once(qty=1e9), market)  # more than the account can pay
    for name, wanted in TABLES.items():
        assert list(getattr(full, name).schema.items()) == list(wanted.items()), name
        assert list(getattr(none, name).schema.items()) == list(wanted.items()), name
        assert len(getattr(full, name)) > 0
    assert len(empty) == len(none.fills) == 0
    assert list(empty.schema.items()) == list(TABLES["trades"].items())
    assert full.orders["end_ts"].to_list() == [t(1), t(2), None]
    assert full.trades.row(0)[:5] == ("made:AAA", "long", 5.0, t(1), t(2))


def test_other_positions_have_their_columns() -> None:
    """rules 2: `position` is the first instrument's; another one's is named after it."""
    market = made(FLAT, FLAT) + made(FLAT, FLAT, id="made:BBB")
    result = replay(market, buy(t(1), 2.0, instrument="made:AAA"), sell(t(1), 3.0, instrument="made:BBB"))
    last = result.equity.row(-1, named=True)
    assert (last["position"], last["position:made:BBB"]) == (2.0, -3.0)


def test_sweep_columns() -> None:
    """rules 2: parameters, n_orders, final_equity, max_drawdown, the metrics, fingerprint, error."""
    table = sweep(Once, made(FLAT, FLAT, "90 90 90 90"), qty=[1.0, 2.0], metrics=["sharpe", "trades"], **FREE)
    assert list(table.schema.items()) == [
        ("qty", F64), ("n_orders", I64), ("final_equity", F64), ("max_drawdown", F64), ("sharpe", F64),
        ("trades", I64), ("fingerprint", STR), ("error", STR),
    ]  # fmt: skip
    assert table["final_equity"].to_list() == [9_990.0, 9_980.0]
    assert table["max_drawdown"].to_list() == pytest.approx([-0.001, -0.002])
    whole = sweep(Once, made(FLAT, FLAT), qty=[1.0])
    assert whole.columns[:4] == ["qty", "n_orders", "final_equity", "max_drawdown"]
    assert whole.columns[-2:] == ["fingerprint", "error"]


def hours(count: int) -> Any:
    """Bars of 20 minutes that gain 1 each; the first opens 40 minutes after a full hour."""
    first = (40 * MINUTE - t(0) % HOUR) // MINUTE % 60  # in minutes from t(0)
    return made(*(f"{100 + i} {101 + i} {100 + i} {101 + i}" for i in range(count)), step=20, first=first)


@pytest.mark.parametrize(("sample", "step"), [("1h", HOUR), ("1d", DAY)])
def test_sampled_rows_lie_on_the_grid(sample: str, step: int) -> None:
    """rules 2: with sample one row per step, at full steps, with the account as it was known there."""
    market = hours(150)
    start, stop = market.start, market.stop
    order = buy(start + 20 * MINUTE, 10.0)
    every, some = replay(market, order), replay(market, order, sample=sample)
    wanted = [ts for ts in range(0, stop + 1, step) if ts >= start + 20 * MINUTE]
    assert column(some, "equity", "ts") == wanted
    for row in some.equity.rows(named=True):
        bars_held = (row["ts"] - start) // (20 * MINUTE) - 1  # bought at the open of the second bar
        assert row["equity"] == 10_000.0 + 10.0 * bars_held
        assert row == every.equity.filter(pl.col("ts") <= row["ts"]).row(-1, named=True) | {"ts": row["ts"]}
    assert some.fingerprint == every.fingerprint
    assert some.metrics == every.metrics or some.metrics["final_equity"] == every.metrics["final_equity"]


def test_a_sample_between_two_bars_is_of_its_own_time() -> None:
    """rules 2: a row shows the account as it was known then: a fill heard 40 ms after the close too."""
    market = made(FLAT, FLAT, FLAT)
    latency, costs = Latency(order="20ms", response="20ms"), Costs(maker=0.0, taker=0.001, slippage=0.0)
    result = replay(market, buy(t(1), 5.0), sample="30s", latency=latency, costs=costs)
    assert column(result, "equity", "ts") == [t(1), t(1, 30_000), t(2), t(2, 30_000), t(3)]
    assert column(result, "equity", "position") == [0.0, 5.0, 5.0, 5.0, 5.0]
    assert column(result, "equity", "fees") == [0.0, 0.5, 0.5, 0.5, 0.5]
