"""Options of a backtest: each wrong type or value is one line that names the option and the fix."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from framework import Fills, Strategy, backtest, replay_orders, samples
from framework.errors import ConfigError
from framework.plan import make_plan

MARKET = samples.load("majors-1d")
WRONG: list[tuple[dict[str, Any], str]] = [
    ({"fills": "vectorbt"}, "fills must be a Fills, not 'vectorbt'; write fills=Fills.like(\"vectorbt\")"),
    ({"costs": 0.001}, "costs must be a Costs, not 0.001; write costs=Costs(taker=0.001)"),
    ({"costs": 0}, "costs must be a Costs, not 0;"),
    ({"latency": "50ms"}, "latency must be a Latency, not '50ms'; write latency=Latency(order=\"50ms\")"),
    ({"risk": 5}, "risk must be a Risk, not 5;"),
    ({"leverage": "2"}, "leverage must be a number above 0 and at most 200, not '2'"),
    ({"leverage": 0.0}, "leverage must be a number above 0 and at most 200, not 0.0"),
    ({"leverage": True}, "leverage must be a number"),
    ({"margin": "crosss"}, "margin='crosss': did you mean cross?"),
    ({"margin": 1}, "margin=1: choose from cross, isolated"),
    ({"seed": "1"}, "seed must be a whole number, not '1'"),
    ({"strict": "yes"}, "strict must be True or False, not 'yes'"),
    ({"sample": "daily"}, "sample must be a length of time, not 'daily'"),
    ({"cash": "1"}, "cash must be a positive amount"),
]


class Idle(Strategy):
    """Hold nothing."""

    fast: int = 12

    def on_bar(self, bar, broker):
        pass


@pytest.mark.parametrize(("given", "words"), WRONG, ids=[str(row[0]) for row in WRONG])
def test_a_wrong_option_is_named(given: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        backtest(Idle, MARKET, **given)
    assert words in str(caught.value)
    with pytest.raises(ConfigError) as caught:
        replay_orders({"ts": [1], "side": ["buy"], "qty": [1.0]}, MARKET, **given)
    assert words in str(caught.value)


def test_numbers_of_numpy_are_numbers() -> None:
    plan = make_plan(MARKET, cash=np.float32(5.0), leverage=np.int64(2), seed=np.int64(3))
    assert (plan.cash, plan.leverage, plan.seed) == (5.0, 2.0, 3)


def test_an_analyst_is_an_object() -> None:
    with pytest.raises(ConfigError, match="analyst must be an analyst, not 'deepseek'"):
        backtest(Idle, MARKET, analyst="deepseek")  # type: ignore[arg-type]


def test_choices_of_fills() -> None:
    assert Fills.like("hftbacktest") == Fills(queue="risk_averse", partial=False)
    assert "partial=False) is for trades and books" in " ".join(
        backtest(Idle, MARKET.slice("2018-01-01", "2018-01-03"), fills=Fills.like("hftbacktest")).notes
    )
    with pytest.raises(ConfigError, match="power:3"):
        Fills(queue="power")
    with pytest.raises(ConfigError, match="did you mean risk_averse"):
        Fills(queue="risk_adverse")
    with pytest.raises(ConfigError, match="trigger='last'"):
        Fills(trigger="last")
    with pytest.raises(ConfigError, match=r"Fills\(partial='no'\): must be True or False"):
        Fills(partial="no")  # type: ignore[arg-type]


def test_a_class_runs_with_its_defaults_as_an_object_does() -> None:
    class Faster(Idle):
        """Another default."""

        fast = 9

    part = MARKET.slice("2018-01-01", "2018-02-01")
    for cls, fast in ((Idle, 12), (Faster, 9)):
        one, other = backtest(cls, part), backtest(cls(), part)
        assert one.params == other.params == {"fast": fast}
        assert one.manifest["parameters"] == {"fast": fast}
        assert f"fast={fast}" in one.table()
        assert one.diff(other) == []
