"""`Plan`: everything one run depends on, checked."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from framework.engine.tables import Setup
from framework.errors import ConfigError, DataError
from framework.market import Market
from framework.options import Costs, Fills, Latency, Risk, engine_options
from framework.questions import Answers


@dataclass(frozen=True)
class Plan:
    """Everything one run depends on; running it twice gives the same result."""

    market: Market
    cash: float
    costs: Costs
    latency: Latency
    fills: Fills
    leverage: float
    margin: str
    risk: Risk | None
    strict: bool
    seed: int
    sample: str | int | None

    def setup(self, **more: Any) -> Setup:
        """Return the engine's form of this plan."""
        fees = [self.costs.fees(one) for one in self.market.instruments]
        options = engine_options(
            self.costs, self.latency, self.fills, self.leverage, self.margin, self.risk, self.strict
        )
        return Setup(
            cash=self.cash, options=options, maker=[m for m, _ in fees], taker=[t for _, t in fees],
            latency=[self.latency.rows(one.venue) for one in self.market.instruments], **more,
        )  # fmt: skip

    def with_answers(self, asked: Answers | None) -> Plan:
        """Return the plan over a market that carries these answers as signals."""
        return self if asked is None else replace(self, market=replace(self.market, signals=asked.signals))

    def check(self) -> None:
        """Refuse what cannot be run: no bars, no money, two currencies in one account."""
        if not isinstance(self.market, Market):
            raise ConfigError(
                f"market must be a Market, not {type(self.market).__name__}; see Market.from_candles"
            )
        is_amount = isinstance(self.cash, (int, float)) and not isinstance(self.cash, bool)
        if not is_amount or not 0 < self.cash < math.inf:
            raise ConfigError(f"cash must be a positive amount, not {self.cash!r}")
        if not any(len(self.market.match_bars(k)) for k in range(len(self.market.instruments))):
            raise DataError(f"market {self.market.name}: it has no bars to replay")
        settles = {one.settle for one in self.market.instruments}
        if len(settles) > 1:
            shown = ", ".join(f"{one.id} in {one.settle}" for one in self.market.instruments)
            raise ConfigError(
                f"one account has one settlement currency; here {shown}: run them apart, or give "
                "Instrument(settle=...) where two names mean one currency"
            )


def with_rule(plan: Plan, rule: str) -> Plan:
    """Return the plan under another intrabar rule; "best" gives up a preset's preference for stops."""
    stop_first = plan.fills.stop_first and rule != "best"
    return replace(plan, fills=replace(plan.fills, intrabar=rule, stop_first=stop_first))


def make_plan(
    market: Market, *, cash: float = 10_000.0, costs: Costs | None = None, latency: Latency | None = None,
    fills: Fills | None = None, leverage: float = 1.0, margin: str = "cross", risk: Risk | None = None,
    strict: bool = False, seed: int = 0, sample: str | int | None = None,
) -> Plan:
    """Return the checked plan of a run; options as in `backtest`."""
    if isinstance(cash, (int, np.integer)) and not isinstance(cash, bool):
        cash = float(cash)
    plan = Plan(
        market, cash, costs or Costs(), latency or Latency(), fills or Fills(), leverage, margin, risk,
        strict, seed, sample
    )
    plan.check()
    return plan
