"""`Plan`: everything one run depends on, checked."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from framework.engine.tables import Setup
from framework.errors import ConfigError, DataError
from framework.market import Market
from framework.market_ticks import tick_range
from framework.options import Costs, Fills, Latency, Risk, engine_options
from framework.questions import Answers
from framework.records import ON_INVALID_NAMES
from framework.replies import Replies
from framework.strategy import Analyst
from framework.times import parse_duration


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
    replies: Replies = field(default_factory=Replies)
    watch: int = 0  # id of an order whose place in the queue is written down
    analyst: Analyst | None = None  # answers portfolio questions in the middle of the run

    def setup(self, **more: Any) -> Setup:
        """Return the engine's form of this plan."""
        fees = [self.costs.fees(one) for one in self.market.instruments]
        options = engine_options(
            self.costs, self.latency, self.fills, self.leverage, self.margin, self.risk, self.strict
        ) | {"on_invalid": ON_INVALID_NAMES.index(self.replies.on_invalid)}
        return Setup(
            cash=self.cash, options=options, maker=[m for m, _ in fees], taker=[t for _, t in fees],
            latency=[self.latency.rows(one.venue) for one in self.market.instruments],
            watch=self.watch, step=parse_duration(self.sample) if self.sample else 0, **more,
        )  # fmt: skip

    def with_answers(self, asked: Answers | None) -> Plan:
        """Return the plan over a market that carries these answers as signals; nobody is asked any more."""
        if asked is None:
            return self
        return replace(self, market=replace(self.market, signals=asked.signals), analyst=None)

    def check(self) -> None:
        """Refuse what cannot be run: no bars, no money, two currencies in one account."""
        if not isinstance(self.market, Market):
            raise ConfigError(
                f"market must be a Market, not {type(self.market).__name__}; see Market.from_candles"
            )
        is_amount = isinstance(self.cash, (int, float)) and not isinstance(self.cash, bool)
        if not is_amount or not 0 < self.cash < math.inf:
            raise ConfigError(f"cash must be a positive amount, not {self.cash!r}")
        engine_options(
            self.costs, self.latency, self.fills, self.leverage, self.margin, self.risk, self.strict
        )  # refuses what is out of range, before anything is asked
        if not any(
            tick_range(self.market, k) is not None or len(self.market.match_bars(k))
            for k in range(len(self.market.instruments))
        ):
            raise DataError(f"market {self.market.name}: it has no bars, trades or books to replay")
        settles = {one.settle for one in self.market.instruments}
        if len(settles) > 1:
            shown = ", ".join(f"{one.id} in {one.settle}" for one in self.market.instruments)
            raise ConfigError(
                f"one account has one settlement currency; here {shown}: run them apart, or give "
                "Instrument(settle=...) where two names mean one currency"
            )


WRITTEN = {  # how an option that is no plain value is written
    "costs": (Costs, "costs=Costs(taker=0.001)"),
    "latency": (Latency, 'latency=Latency(order="50ms")'),
    "fills": (Fills, 'fills=Fills.like("vectorbt")'),
    "replies": (Replies, 'replies=Replies(latency="2s")'),
    "risk": (Risk, "risk=Risk(max_position_notional=50_000)"),
}


def check_types(given: dict[str, Any]) -> None:
    """Refuse an option of the wrong type: what it is, what it got, and how it is written."""
    for name, (kind, example) in WRITTEN.items():
        value = given[name]
        if value is not None and not isinstance(value, kind):
            raise ConfigError(f"{name} must be a {kind.__name__}, not {value!r}; write {example}")
    if isinstance(given["seed"], bool) or not isinstance(given["seed"], (int, np.integer)):
        raise ConfigError(f"seed must be a whole number, not {given['seed']!r}; write seed=1")
    if not isinstance(given["strict"], (bool, np.bool_)):
        raise ConfigError(f"strict must be True or False, not {given['strict']!r}")
    if given["sample"] is not None:
        try:
            parse_duration(given["sample"])
        except ConfigError:
            raise ConfigError(
                f'sample must be a length of time, not {given["sample"]!r}; write sample="1d"'
            ) from None


def with_rule(plan: Plan, rule: str) -> Plan:
    """Return the plan under another intrabar rule; "best" gives up a preset's preference for stops."""
    stop_first = plan.fills.stop_first and rule != "best"
    return replace(plan, fills=replace(plan.fills, intrabar=rule, stop_first=stop_first))


def make_plan(
    market: Market, *, cash: float = 10_000.0, costs: Costs | None = None, latency: Latency | None = None,
    fills: Fills | None = None, leverage: float = 1.0, margin: str = "cross", risk: Risk | None = None,
    strict: bool = False, seed: int = 0, sample: str | int | None = None, replies: Replies | None = None,
) -> Plan:
    """Return the checked plan of a run; options as in `backtest`."""
    if isinstance(cash, (int, np.integer, np.floating)) and not isinstance(cash, bool):
        cash = float(cash)
    if isinstance(leverage, (np.integer, np.floating)):
        leverage = float(leverage)
    check_types({"costs": costs, "latency": latency, "fills": fills, "risk": risk, "seed": seed,
                 "strict": strict, "sample": sample, "replies": replies})  # fmt: skip
    plan = Plan(
        market, cash, costs or Costs(), latency or Latency(), fills or Fills(), leverage, margin, risk,
        bool(strict), int(seed), sample, replies or Replies(),
    )  # fmt: skip
    plan.check()
    return plan
