"""Shipped strategies run the same in every world; a broken one is told in one line where it is broken."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from framework import Market, Strategy, backtest, check_strategy, compiled, samples
from framework.errors import ConfigError, FrameworkError, StrategyError
from framework.strategy import parameters_of
from strategies.breakout import Breakout
from strategies.ema_cross import EmaCross
from strategies.llm_portfolio import LlmPortfolio
from strategies.pairs import Pairs
from strategies.regime_trader import RegimeTrader

ROOT = Path(__file__).parent.parent
COMPILED = (EmaCross, Breakout, Pairs)
SHIPPED = (*COMPILED, RegimeTrader, LlmPortfolio)
SHORT = {"btcusd-1h": "2017-08-01", "majors-1d": "2018-06-01"}


def uncompiled(cls: type[Strategy]) -> type[Strategy]:
    """Return the same strategy, run as it is written."""
    return type(cls.__name__, (cls,), {"compiled": False, "__module__": cls.__module__})


def short(name: str) -> Market:
    """Return the beginning of a sample."""
    return samples.load(name).slice(None, SHORT[name])


# ---- shipped ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cls", SHIPPED)
def test_a_shipped_file_is_short_and_says_what_it_does(cls: type[Strategy]) -> None:
    path = Path(sys.modules[cls.__module__].__file__ or "")
    text = path.read_text(encoding="utf-8")
    assert text.count("\n") < 60
    assert text.startswith('"""')
    assert cls.__doc__
    assert check_strategy(cls).ok, str(check_strategy(cls))


@pytest.mark.parametrize(
    ("cls", "name"),
    [(EmaCross, "btcusd-1h"), (EmaCross, "perp-1m"), (Breakout, "btcusd-1h"), (Breakout, "perp-1m"),
     (Pairs, "majors-1d")],
)  # fmt: skip
def test_compiled_is_plain(cls: type[Strategy], name: str) -> None:
    market = samples.load(name)
    one, two = backtest(cls, market), backtest(uncompiled(cls), market)
    assert one.fingerprint == two.fingerprint
    assert one.equity.equals(two.equity)
    assert len(one.trades) >= 10


INTERPRETED = """
import json, sys
sys.path.insert(0, {root!r})
from tests.test_strategies import SHIPPED, short
from framework import backtest
from framework.jit import jit_enabled
assert not jit_enabled()
print(json.dumps({{cls.__name__: backtest(cls, short(cls.sample)).fingerprint for cls in SHIPPED}}))
"""


def test_compiled_is_interpreted() -> None:
    """Without numba's compiler every kernel is the Python function it is written as; warnings are errors."""
    made = subprocess.run(
        [sys.executable, "-B", "-W", "error", "-c", INTERPRETED.format(root=str(ROOT))],
        env={**os.environ, "NUMBA_DISABLE_JIT": "1"}, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert made.returncode == 0, made.stderr[-2000:]
    interpreted = json.loads(made.stdout)
    for cls in SHIPPED:
        result = backtest(cls, short(cls.sample))
        assert len(result.orders) > 0
        assert interpreted[cls.__name__] == result.fingerprint, cls


def test_results_on_the_samples_are_sane() -> None:
    for cls in SHIPPED:
        result = backtest(cls, samples.load(cls.sample))
        m = result.metrics
        assert result.status == "done"
        assert m["trades"] >= 10
        assert m["rejected"] == 0
        assert m["max_drawdown"] > -0.75
        if cls is not EmaCross:  # the example of the house turns over its whole account and pays for it
            assert m["fees"] < 0.25 * 10_000.0, cls


def test_regime_trader_keeps_its_limits() -> None:
    result = backtest(RegimeTrader(max_share=0.1, min_confidence=0.7), samples.load("btcusd-1h"))
    entries = result.orders.filter(result.orders["type"] == "market")
    assert len(entries) > 50
    value = entries["filled_qty"] * entries["avg_price"]
    equity = result.equity["equity"].to_numpy()
    at = np.searchsorted(result.equity["ts"].to_numpy(), entries["ts"].to_numpy(), side="right") - 1
    assert (value.to_numpy() <= 0.1 * equity[at] * 1.001).all()
    sure = {d["ts"]: d["confidence"] for d in result.decisions.iter_rows(named=True)}
    asked = [max(t for t in sure if t <= ts) for ts in entries["ts"]]
    assert min(sure[t] for t in asked) >= 0.7


# ---- broken ----------------------------------------------------------------------------------------------


def line_of(marker: str) -> int:
    """Return the line of this file that carries a mistake."""
    lines = Path(__file__).read_text(encoding="utf-8").splitlines()
    return next(k for k, line in enumerate(lines, 1) if line.endswith(f"# mistake: {marker}"))


class Base(Strategy):
    """What the broken ones have in common."""

    share: float = 0.5

    def setup(self):
        self.count = 0
        self.level = 0.0

    def act(self, broker):
        broker.order(1, share=self.share)


class UndefinedName(Base):
    def on_bar(self, bar, broker):
        self.level = no_such_thing(bar.close)  # noqa: F821  # mistake: undefined


class StateNotSet(Base):
    def on_bar(self, bar, broker):
        self.count += 1
        if self.count > 100 and self.cuont > 3:  # mistake: not set
            self.act(broker)


class BecomesFloat(Base):
    def on_bar(self, bar, broker):
        self.count = self.count + 0.5


class HoldsList(Base):
    def setup(self):
        self.closes = [1.0]

    def on_bar(self, bar, broker):
        self.closes.append(bar.close)


class HoldsText(Base):
    mode: str = "long"

    def on_bar(self, bar, broker):
        self.act(broker)


class UsesDict(Base):
    def on_bar(self, bar, broker):
        seen = {}
        seen["bar"] = bar
        seen["close"] = bar.close


class FormatsText(Base):
    def on_bar(self, bar, broker):
        text = f"{bar.close:.2f}"  # mistake: format
        self.count += len(text)


class UsesPandas(Base):
    def on_bar(self, bar, broker):
        import pandas as pd  # mistake: pandas

        self.level = pd.Series([bar.close]).mean()


class ReadsFile(Base):
    def on_bar(self, bar, broker):
        self.helper(bar)

    def helper(self, bar):
        self.count += TABLE["x"]  # mistake: global


TABLE = {"x": 1}


class WrongField(Base):
    def on_bar(self, bar, broker):
        self.level = bar.closing  # mistake: field


class WrongOption(Base):
    def on_bar(self, bar, broker):
        broker.order(1, share=0.5, stop_loss=1.0)  # mistake: option


class BadFeature(Base):
    features = ("rsi",)

    def on_bar(self, bar, broker):
        self.level = broker.feature("rsy")  # mistake: feature


CASES: list[tuple[type[Strategy], str, str, str]] = [
    (UndefinedName, "on_bar", "undefined", "no_such_thing"),
    (StateNotSet, "on_bar", "not set", "cuont"),
    (FormatsText, "on_bar", "format", ""),
    (UsesPandas, "on_bar", "pandas", ""),
    (ReadsFile, "helper", "global", "TABLE"),
    (WrongField, "on_bar", "field", "closing"),
    (WrongOption, "on_bar", "option", "stop_loss"),
    (BadFeature, "on_bar", "feature", "did you mean rsi"),
]


def market_for(cls: type[Strategy]) -> Market:
    """Return a short market with a feature."""
    market = short("btcusd-1h").slice(None, "2017-07-10")
    rows = market.match_bars(0)
    return market.with_features({"ts": rows["close_ts"], "rsi": rows["close"]})


def said(call: Any) -> str:
    """Return the one line a mistake is told in."""
    with pytest.raises(FrameworkError) as caught:
        call()
    words = str(caught.value)
    assert "\n" not in words
    assert len(words) < 400
    assert isinstance(caught.value, (StrategyError, ConfigError)), type(caught.value)
    return words


@pytest.mark.parametrize(("cls", "hook", "marker", "word"), CASES, ids=[c[0].__name__ for c in CASES])
def test_compiling_tells_class_hook_and_line(cls: type[Strategy], hook: str, marker: str, word: str) -> None:
    broken = compiled(type(cls.__name__, (cls,), {"__module__": __name__}))
    words = said(lambda: backtest(broken, market_for(cls)))
    assert words.startswith(f"{cls.__name__}.{hook}, test_strategies.py:{line_of(marker)}: "), words
    assert word in words
    report = check_strategy(broken, market_for(cls))
    assert not report.ok
    assert any(f"test_strategies.py:{line_of(marker)}" in line for line in report.problems), str(report)


def test_a_dict_of_two_kinds_names_the_hook() -> None:
    """numba names no line for this one, so that of the hook may be told."""
    broken = compiled(type("UsesDict", (UsesDict,), {"__module__": __name__}))
    words = said(lambda: backtest(broken, market_for(broken)))
    assert words.startswith("UsesDict.on_bar, test_strategies.py:")
    assert "cannot be compiled" in words


PLAIN = [c for c in CASES if c[0] in (UndefinedName, StateNotSet, WrongField, WrongOption)]


@pytest.mark.parametrize(("cls", "hook", "marker", "word"), PLAIN, ids=[c[0].__name__ for c in PLAIN])
def test_running_tells_class_hook_and_line(cls: type[Strategy], hook: str, marker: str, word: str) -> None:
    words = said(lambda: backtest(cls, market_for(cls)))
    assert words.startswith(f"{cls.__name__}.{hook}, test_strategies.py:{line_of(marker)}: "), words
    assert word in words
    assert not check_strategy(cls, market_for(cls)).ok


def test_state_that_compiled_code_cannot_hold() -> None:
    for cls, field, kind in ((HoldsList, "closes", "a list"), (HoldsText, "mode", "a str")):
        broken = compiled(type(cls.__name__, (cls,), {"__module__": __name__}))
        words = said(lambda broken=broken: backtest(broken, market_for(broken)))
        assert f"{cls.__name__}.{field} is {kind}" in words
        assert "leave @compiled away" in words
        assert backtest(cls, market_for(cls)).status == "done"


def test_a_whole_number_that_becomes_a_fraction() -> None:
    broken = compiled(type("BecomesFloat", (BecomesFloat,), {"__module__": __name__}))
    words = said(lambda: backtest(broken, market_for(broken)))
    assert "BecomesFloat.count is int after setup and float after some events" in words
    assert "0.0" in words


def test_hooks_are_checked_when_the_class_is_made() -> None:
    def wrong_signature() -> None:
        class A(Strategy):
            def on_bar(self, bar):
                pass

    def unknown_hook() -> None:
        class A(Strategy):
            def on_bars(self, bar, broker):
                pass

    def wrong_parameter() -> None:
        class A(Strategy):
            levels: list = [1]  # noqa: RUF012

    def no_default() -> None:
        class A(Strategy):
            fast: int

    assert "A.on_bar(self, bar) must be on_bar(self, bar, broker)" in said(wrong_signature)
    assert "A.on_bars is no hook: did you mean on_bar" in said(unknown_hook)
    assert "A.levels: a parameter is an int, float, bool or str, not list" in said(wrong_parameter)
    assert "A.fast: a parameter needs a default" in said(no_default)


def test_parameters_are_checked() -> None:
    assert "EmaCross has no parameter 'fats': did you mean fast" in said(lambda: EmaCross(fats=3))
    assert "EmaCross.fast is int; 2.5 is not" in said(lambda: EmaCross(fast=2.5))
    assert "EmaCross.fast is int; True is not" in said(lambda: EmaCross(fast=True))
    assert "EmaCross.fast is int; 'x' is not" in said(lambda: EmaCross(fast="x"))
    assert EmaCross(fast=np.int64(5), stop=np.float64(0.5)).params["fast"] == 5
    assert list(parameters_of(EmaCross)) == ["fast", "slow", "share", "stop"]
    assert "must be at least 1" in said(lambda: backtest(EmaCross(fast=0), market_for(EmaCross)))


def test_setup_is_told_too() -> None:
    class Fails(Base):
        def setup(self):
            self.level = np.zeros(3)[7]  # mistake: setup

        def on_bar(self, bar, broker):
            pass

    words = said(lambda: backtest(Fails, market_for(Fails)))
    assert words.startswith(f"Fails.setup, test_strategies.py:{line_of('setup')}: IndexError"), words
    assert check_strategy(Fails, market_for(Fails)).problems == (words,)
    with pytest.raises(StrategyError, match=r"Fails\.setup"):
        check_strategy(Fails, market_for(Fails), raise_on_error=True)
