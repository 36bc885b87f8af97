"""Limits of a run, its [worst, chosen, best], and what its notes say: small cases worked by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from framework import Costs, Fills, Latency, Market, Result, Risk, Strategy, backtest, replay_orders
from framework.errors import ConfigError
from framework.samples import load
from strategies.regime_trader import RegimeTrader
from tests.golden import MS, t
from tests.naive import compare
from tests.naive.cases import random_case
from tests.small import FLAT, FREE, buy, column, made, play, replay, sell
from tests.test_broker_rules import Sends
from tests.test_engine_modes import written

REFUSED = ("rejected", "risk limit")
RULES = ("worst", "best", "open_first")


def ends(result: Result) -> list[tuple[Any, ...]]:
    """(status, reason) of every order."""
    return result.orders.select("status", "reason").rows()


# ---- limits


def test_max_order_notional() -> None:
    """An order worth 1,000 may fill under a limit of 1,000, one of 1,100 may not."""
    market, risk = made(FLAT, FLAT), Risk(max_order_notional=1_000.0)
    result = replay(market, buy(t(1), 10.0), buy(t(1), 11.0), sell(t(1), 21.0), risk=risk)
    assert ends(result)[:2] == [("filled", ""), REFUSED]
    assert ends(result)[2] == REFUSED  # 11 of the 21 would open
    assert ends(replay(market, buy(t(1), 10.0), buy(t(1), 11.0))) == [("filled", "")] * 2


def test_max_order_notional_counts_the_price_paid() -> None:
    """10 at 100 with 1 % of slippage are 1,010."""
    result = replay(
        made(FLAT, FLAT), buy(t(1), 10.0), risk=Risk(max_order_notional=1_000.0),
        costs=Costs(maker=0.0, taker=0.0, slippage=0.01),
    )  # fmt: skip
    assert ends(result) == [REFUSED]


@pytest.mark.parametrize("side", [1, -1])
def test_max_position_notional(side: int) -> None:
    """A position of 10 at 100 may grow by 5 under 1,500, and not by 6; the other side is its own limit."""
    add, cut = (buy, sell) if side > 0 else (sell, buy)
    market, risk = made(FLAT, FLAT, FLAT), Risk(max_position_notional=1_500.0)
    result = replay(market, add(t(1), 10.0), add(t(2), 6.0), add(t(2), 5.0), cut(t(2), 15.0), risk=risk)
    assert ends(result) == [("filled", ""), REFUSED, ("filled", ""), ("filled", "")]
    assert column(result, "equity", "position") == [0.0, side * 10.0, 0.0]


def test_reducing_is_always_allowed() -> None:
    """10 bought at 100 are worth 3,000 at 300, and may go whatever the limits; so may a bracket's exit."""
    market = made(FLAT, FLAT, "300 300 300 300", FLAT)
    risk = Risk(max_order_notional=1_000.0, max_position_notional=1_000.0)
    for out in (sell(t(2), 10.0), sell(t(2), 4.0), {"ts": t(2), "type": "close"}):
        assert ends(replay(market, buy(t(1), 10.0), out, risk=risk)) == [("filled", "")] * 2
    bracket = replay(market, buy(t(1), 10.0, target=200.0), risk=risk)
    assert column(bracket, "fills", "price") == [100.0, 300.0]


def test_limits_of_an_inverse_contract() -> None:
    """500 contracts of 10 at 100 are worth 50 coins."""
    market = made(FLAT, FLAT, kind="inverse", multiplier=10.0)
    for limit, wanted in ((50.0, ("filled", "")), (49.9, REFUSED)):
        result = replay(market, buy(t(1), 500.0), cash=60.0, risk=Risk(max_order_notional=limit))
        assert ends(result) == [wanted]


def test_limits_are_amounts() -> None:
    """A limit of nothing is a mistake, not "no limit"."""
    for value in (0.0, -1.0, float("nan")):
        with pytest.raises(ConfigError, match="max_order_notional"):
            Risk(max_order_notional=value)


# ---- bounds

BRACKET = buy(t(1), stop=95.0, target=105.0)
BOTH_TOUCHED = (FLAT, FLAT, "102 106 94 100")  # the open is nearer to the target
INSIDE = (FLAT, "100 106 94 100")  # entry at 98 inside the bar that touches all


def assert_bounds(make: Any, worst: float, chosen: dict[str, float], best: float) -> None:
    """Bounds are the figures of the runs under those rules, whichever rule was chosen."""
    runs = {rule: make(Fills(intrabar=rule)) for rule in RULES}
    assert runs["worst"].metrics["final_equity"] == worst
    assert runs["best"].metrics["final_equity"] == best
    for rule, result in runs.items():
        assert result.metrics["final_equity"] == chosen[rule]
        assert list(result.bounds) == ["worst", "chosen", "best"]
        for name, other in (("worst", "worst"), ("chosen", rule), ("best", "best")):
            figures = {key: runs[other].metrics[key] for key in result.bounds[name]}
            assert result.bounds[name] == pytest.approx(figures, nan_ok=True, rel=0, abs=0), (rule, name)
            assert {"final_equity", "max_drawdown", "trades"} <= set(figures)


def test_bounds_of_a_bracket() -> None:
    """rules 4.3, house 3: stop 95 and target 105 in one bar: -5, +5; nearer the open is the target."""
    assert_bounds(
        lambda fills: replay(made(*BOTH_TOUCHED), BRACKET, fills=fills),
        9_995.0, {"worst": 9_995.0, "best": 10_005.0, "open_first": 10_005.0}, 10_005.0,
    )  # fmt: skip


def test_bounds_of_an_entry_inside_the_bar() -> None:
    """rules 4.3: bought at 98 inside the bar; only its stop at 95, or only its target at 105."""
    order = buy(t(1), 1.0, "limit", price=98.0, stop=95.0, target=105.0)
    assert_bounds(
        lambda fills: replay(made(*INSIDE), order, fills=fills),
        9_997.0, {"worst": 9_997.0, "best": 10_007.0, "open_first": 9_997.0}, 10_007.0,
    )  # fmt: skip


@pytest.mark.parametrize("cls", [Sends, written(Sends)], ids=["compiled", "plain"])
def test_bounds_of_a_strategy(cls: type[Strategy]) -> None:
    """The strategy runs again under the other rules."""
    strategy = cls(stop=95.0, target=105.0)
    assert_bounds(
        lambda fills: play(strategy, made(*BOTH_TOUCHED), fills=fills),
        9_995.0, {"worst": 9_995.0, "best": 10_005.0, "open_first": 10_005.0}, 10_005.0,
    )  # fmt: skip


def test_bounds_without_an_ambiguous_bar_are_one_run() -> None:
    """Nothing is in doubt where no bar touches two levels."""
    result = replay(made(FLAT, FLAT, "100 100 94 96"), BRACKET)
    assert result.bounds["worst"] == result.bounds["chosen"] == result.bounds["best"]
    assert result.bounds["best"]["final_equity"] == 9_995.0


def test_bounds_of_a_stop_limit_triggered_inside_a_bar() -> None:
    """rules 4.2, house 3: it rests until the next bar, unless "best": bought at 105, worth 120; or never."""
    order = buy(t(1), 1.0, "stop_limit", trigger=105.0, price=107.0)
    assert_bounds(
        lambda fills: replay(made(FLAT, "100 106 99 105", "120 120 120 120"), order, fills=fills),
        10_000.0, {"worst": 10_000.0, "best": 10_015.0, "open_first": 10_000.0}, 10_015.0,
    )  # fmt: skip


@pytest.mark.parametrize("part", range(6))
def test_bounds_are_the_runs_of_their_rules(part: int) -> None:
    """house 3, for 300 random cases: each bound is what a run under that rule comes to."""
    for seed in range(1 + 50 * part, 51 + 50 * part):
        orders, market, options = compare.frames(random_case(seed))
        result = replay_orders(orders, market, **options)
        for rule in ("worst", "best"):
            other = {**options, "fills": replace(options["fills"], intrabar=rule)}
            figures = replay_orders(orders, market, **other).metrics
            bound = result.bounds[rule]
            assert bound == pytest.approx({n: figures[n] for n in bound}, nan_ok=True, abs=1e-9), (seed, rule)


# ---- notes

SHORT = "short positions on a spot instrument"


def has(result: Result, words: str) -> bool:
    """True when one note says this."""
    return any(words in note for note in result.notes)


def test_a_short_on_spot_is_said() -> None:
    """README: a short on a spot instrument is borrowed at no cost, and the result says so, with its name."""
    market = made(FLAT, FLAT, FLAT, kind="spot") + made(FLAT, FLAT, FLAT, kind="spot", id="made:BBB")
    name = {"instrument": "made:BBB"}
    short = replay(market, sell(t(1), **name))
    assert [note for note in short.notes if SHORT in note] == [
        "made:BBB: short positions on a spot instrument, borrowed at no cost in this simulation"
    ]
    crossed = replay(market, buy(t(1), **name), sell(t(2), 2.0, **name))
    assert has(crossed, SHORT)
    assert not has(replay(market, buy(t(1), **name), sell(t(2), **name)), SHORT)
    assert not has(replay(made(FLAT, FLAT), sell(t(1))), SHORT)


def test_fills_at_the_close_are_said() -> None:
    """house 3: Fills(at="close") exists and is printed in the report."""
    market = made(FLAT, FLAT)
    assert has(replay(market, buy(t(1)), fills=Fills(at="close")), 'Fills(at="close")')
    assert not has(replay(market, buy(t(1))), "at the close")


def test_late_orders_are_counted_and_said() -> None:
    """rules 4.1: a later arrival waits for the next bar and is counted as late."""
    market, latency = made(FLAT, FLAT, FLAT), Latency(order=1_201 * MS, response=0)
    late = replay(market, buy(t(1)), buy(t(1)), latency=latency)
    assert has(late, "2 orders arrived too late for their bar")
    assert late.metrics["late_orders"] == 2
    assert not has(replay(market, buy(t(1))), "too late")


def test_the_price_of_funding_is_said() -> None:
    """rules 3.4: without a mark stream the price is the bar's open, and the report says so."""
    funded = made(FLAT, FLAT).with_funding({"ts": [t(1)], "rate": [0.01]}, unit="ns")
    marked = funded.with_mark({"ts": [t(1)], "price": [90.0]}, unit="ns")
    words = "made:AAA: no mark stream; funding is priced at the bar's open"
    assert has(replay(funded, buy(t(1))), words)
    assert not has(replay(marked, buy(t(1))), "no mark stream")
    assert has(replay(made(FLAT, FLAT), buy(t(1))), "no funding stream; positions pay no funding")


def stand_in() -> tuple[Market, Result]:
    """Two days of real hours, decided by the stand-in."""
    market = load("btcusd-1h").slice("2018-01-01", "2018-01-03")
    return market, backtest(RegimeTrader, market)


def test_the_stand_in_is_said_first() -> None:
    """README: decisions of `Rules` are named as a stand-in in every output."""
    market, result = stand_in()
    assert result.notes[0] == "decisions by Rules (offline stand-in, no model was asked)"
    assert result.manifest["analyst"]["stand_in"] is True
    assert "stand-in" in result.table()
    assert not has(play(Sends(qty=0.1), market, **FREE), "decisions by")

