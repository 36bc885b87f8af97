"""`check_strategy`: what the rehearsal says of strategies that run and are wrong all the same."""

from __future__ import annotations

import math

import numpy as np
import pytest

from framework import Costs, Market, Strategy, check_strategy, samples
from framework.errors import ConfigError, StrategyError
from framework.indicators import sma


def weeks() -> Market:
    """Return two weeks of hourly bars."""
    return samples.load("btcusd-1h").slice(None, "2017-07-15")


class Good(Strategy):
    """Nothing wrong."""

    every: int = 10

    def setup(self):
        self.count = 0

    def on_bar(self, bar, broker):
        self.count += 1
        if self.count % self.every == 0:
            self.trade(bar, broker)

    def trade(self, bar, broker):
        if broker.position == 0.0:
            broker.buy(share=0.5)
        else:
            broker.close()


def test_a_good_one_is_ok() -> None:
    report = check_strategy(Good(every=5), weeks(), costs=Costs(slippage=0.0))
    assert report.ok
    assert str(report).startswith("Good: ok\n  hooks: on_bar; parameters: every=5\n")
    assert "twice, fingerprint" in str(report)


def problem(cls: type[Strategy]) -> str:
    """Return all problems of a strategy."""
    report = check_strategy(cls, weeks())
    assert not report.ok
    with pytest.raises(StrategyError) as caught:
        check_strategy(cls, weeks(), raise_on_error=True)
    assert str(caught.value) == report.problems[0]
    assert all("\n" not in line for line in report.problems)
    return str(report)


def test_misuse_of_the_broker_is_told_by_line() -> None:
    class Nothing(Good):
        def trade(self, bar, broker):
            broker.buy(qty=0.0)

    class NotReady(Good):
        def setup(self):
            super().setup()
            self.mean = sma.state(50)

        def trade(self, bar, broker):
            if broker.position == 0.0:
                broker.buy(share=0.1, stop=sma(self.mean, bar.close))

    class NotANumber(Good):
        def trade(self, bar, broker):
            broker.sell(qty=math.nan)

    class Both(Good):
        def trade(self, bar, broker):
            broker.order(1, qty=1.0, share=0.5)

    class Side(Good):
        def trade(self, bar, broker):
            broker.order(0, qty=1.0)

    class Negative(Good):
        def trade(self, bar, broker):
            broker.buy(share=0.1, price=-5.0)

    words = problem(Nothing)
    assert "Nothing.trade, test_rehearsal.py:" in words
    assert "order(qty=0.0): a size above 0" in words
    assert "every order that ended was rejected" in words
    assert "below lot" in words
    assert "order(stop=nan): is an indicator not ready yet?" in problem(NotReady)
    assert "NotANumber.trade, test_rehearsal.py:" in problem(NotANumber)
    assert "order(qty=nan): is an indicator not ready yet?" in problem(NotANumber)
    assert "give exactly one of qty and share" in problem(Both)
    assert "side is +1 (buy) or -1 (sell), not 0" in problem(Side)
    assert "order(price=-5.0): above 0" in problem(Negative)


def test_state_that_only_a_later_hook_sets() -> None:
    class Late(Good):
        def trade(self, bar, broker):
            if self.count > 10_000:
                self.first = self.frist
            self.last = 1.0 if self.count < 10_000 else self.last

    words = problem(Late)
    assert "names 'frist', which setup does not set: did you mean" in words or "choose from" in words
    assert "names 'last', which setup does not set: a hook sets it later" in words


def test_what_outlives_a_run_is_told() -> None:
    class Leaks(Good):
        seen = np.zeros(1)

        def trade(self, bar, broker):
            self.seen[0] += 1.0
            broker.order(1 if self.seen[0] % 3.0 < 1.5 else -1, qty=0.1)

    assert "two runs differ: something outlives a run" in problem(Leaks)


def test_hooks_that_are_never_called() -> None:
    class Silent(Strategy):
        def onBar(self, bar, broker):
            pass

    words = problem(Silent)
    assert "Silent.onBar is never called: did you mean on_bar" in words
    assert "Silent has no hook" in words

    class Deaf(Strategy):
        def ask(self, view):
            return None

    assert "Deaf asks and never hears: define on_signal" in problem(Deaf)

    class NoTimer(Strategy):
        def on_timer(self, now, broker):
            pass

    assert "on_timer is never called" in problem(NoTimer)


def test_mistakes_in_ask_are_told_by_line() -> None:
    class Asks(Good):
        def ask(self, view):
            return view.bars(3, "7m")

        def on_signal(self, signal, broker):
            pass

    class Fails(Asks):
        def ask(self, view):
            return {}["x"]

    assert "resample to 7m needs bars shorter than that" in problem(Asks)
    assert "Fails.ask, test_rehearsal.py:" in problem(Fails)


def test_options_and_class_are_checked() -> None:
    with pytest.raises(ConfigError, match="cash"):
        check_strategy(Good, weeks(), cash=-1.0)
    with pytest.raises(StrategyError, match="must be a Strategy class"):
        check_strategy(3)  # type: ignore[arg-type]
