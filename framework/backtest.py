"""`backtest` and `replay_orders`: one run, from a market to a Result."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from framework.engine import plain, translate
from framework.engine.calls import step
from framework.engine.rehearse import rehearse
from framework.engine.replay import advance_at
from framework.engine.state import E_ARGUMENT, E_IDENTITY, E_TOO_MANY, FAILED, GROW
from framework.engine.tables import Setup, Tables
from framework.errors import ConfigError, DataError, FrameworkError, OrderRejected, StrategyError
from framework.jit import is_cold, jit_enabled, mark_warm, native
from framework.manifest import manifest, notes
from framework.market import Market, View
from framework.options import Costs, Fills, Latency, Risk, engine_options
from framework.outcome import Outcome, bounds
from framework.questions import Answers, answers
from framework.result import Result
from framework.strategy import Analyst, Strategy, hooks_of
from framework.times import format_time, parse_duration, parse_interval

Say = Callable[[str], None]


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
            raise ConfigError(f"market must be a Market, not {type(self.market).__name__}; see Market.from_candles")
        if isinstance(self.cash, bool) or not isinstance(self.cash, (int, float)) or not 0 < self.cash < math.inf:
            raise ConfigError(f"cash must be a positive amount, not {self.cash!r}")
        if not any(len(self.market.match_bars(k)) for k in range(len(self.market.instruments))):
            raise DataError(f"market {self.market.name}: it has no bars to replay")
        settles = {one.settle for one in self.market.instruments}
        if len(settles) > 1:
            shown = ", ".join(f"{one.id} in {one.settle}" for one in self.market.instruments)
            raise ConfigError(
                f"one account has one settlement currency; here {shown}: run them apart, or give Instrument(settle=...) "
                "where two names mean one currency"
            )


def with_rule(plan: Plan, rule: str) -> Plan:
    """Return the plan under another intrabar rule."""
    return replace(plan, fills=replace(plan.fills, intrabar=rule))


def backtest(
    strategy: Strategy | type[Strategy], market: Market, *, cash: float = 10_000.0, costs: Costs | None = None,
    latency: Latency | None = None, fills: Fills | None = None, leverage: float = 1.0, margin: str = "cross",
    risk: Risk | None = None, analyst: Analyst | None = None, sample: str | int | None = None, strict: bool = False,
    seed: int = 0, say: Say | None = None, progress: Callable[[int], None] | None = None,
) -> Result:
    """Run one strategy over one market.

    Parameters
    ----------
    strategy
        A Strategy class or an instance; a fresh object is made from (class, parameters) either way.
    market, cash
        What is replayed, and the start in the settlement currency of its instruments.
    costs, latency, fills
        See `Costs`, `Latency`, `Fills`; the defaults are not free, not instant, and fill at the next open.
    leverage, margin
        Position value per unit of equity; "cross" or "isolated" liquidation for instruments with tiers.
    risk, strict
        Limits checked before every fill; check the double-entry identity after every event.
    analyst
        Answers the questions of `ask`; default `Rules`, the offline stand-in.
    sample, seed
        Step of the equity table ("1d", default every bar close); recorded, the engine itself draws nothing.

    Raises
    ------
    ConfigError, DataError, StrategyError
        One line each, naming what is wrong and the fix.
    """
    cls, params = class_of(strategy)
    plan = make_plan(
        market, cash=cash, costs=costs, latency=latency, fills=fills, leverage=leverage, margin=margin, risk=risk,
        strict=strict, seed=seed, sample=sample,
    )  # fmt: skip
    asked = ask_all(cls, params, plan, analyst)
    plan = plan.with_answers(asked)
    tables = run(cls, params, plan, say, progress)
    return package(tables, plan, cls, params, asked, rerun=lambda rule: run(cls, params, with_rule(plan, rule), None, None))


def ask_all(
    cls: type[Strategy], params: dict[str, Any], plan: Plan, analyst: Analyst | None
) -> Answers | None:
    """Ask everything the strategy wants to know over the plan's market; a mistake in its `ask` is one line.
    """
    try:
        return answers(cls(**params), plan.market, analyst, plan.latency.feed_ns)
    except FrameworkError:
        raise
    except Exception as error:
        raise told(cls, error) from error


def class_of(strategy: Strategy | type[Strategy]) -> tuple[type[Strategy], dict[str, Any]]:
    """Return the class of a strategy and the parameters that were given: a run makes its own object."""
    cls = type(strategy) if isinstance(strategy, Strategy) else strategy
    if not (isinstance(cls, type) and issubclass(cls, Strategy)):
        raise StrategyError(f"strategy must be a Strategy class or object, not {type(strategy).__name__}")
    return cls, strategy.params if isinstance(strategy, Strategy) else {}


def make_plan(
    market: Market, *, cash: float = 10_000.0, costs: Costs | None = None, latency: Latency | None = None,
    fills: Fills | None = None, leverage: float = 1.0, margin: str = "cross", risk: Risk | None = None,
    strict: bool = False, seed: int = 0, sample: str | int | None = None,
) -> Plan:
    """Return the checked plan of a run; options as in `backtest`."""
    if isinstance(cash, (int, np.integer)) and not isinstance(cash, bool):
        cash = float(cash)
    plan = Plan(
        market, cash, costs or Costs(), latency or Latency(), fills or Fills(), leverage, margin, risk, strict, seed, sample
    )
    plan.check()
    return plan


def replay_orders(
    orders: Any, market: Market, *, cash: float = 10_000.0, costs: Costs | None = None, latency: Latency | None = None,
    fills: Fills | None = None, leverage: float = 1.0, margin: str = "cross", risk: Risk | None = None,
    analyst: Analyst | None = None, sample: str | int | None = None, strict: bool = False, seed: int = 0,
) -> Result:
    """Replay a table of orders instead of a strategy; columns and options as in rules.md 2.

    Parameters
    ----------
    orders
        polars or pandas frame: ts (decision time), instrument, side, type, qty or share, price, trigger,
        stop, target,
        trail, tif, post_only, reduce_only, expire_ts, group, cancel_ts, id. Absent columns mean none.

    Raises
    ------
    DataError
        A cell that cannot be used, by row and column; values off the venue's grid are refused.
    """
    from framework.script import Script

    plan = make_plan(
        market, cash=cash, costs=costs, latency=latency, fills=fills, leverage=leverage, margin=margin, risk=risk,
        strict=strict, seed=seed, sample=sample,
    )  # fmt: skip
    script = Script(orders, market, plan.latency)

    def once(chosen: Plan) -> Tables:
        tables = Tables(market, chosen.setup(script=script.requests.copy(), orders=script.orders.copy()))
        finish(tables, call_until_done(tables), "replay_orders")
        return tables

    return package(once(plan), plan, None, {}, None, rerun=lambda rule: once(with_rule(plan, rule)))


def call_until_done(tables: Tables) -> int:
    """Run scripted orders to the end: nobody is woken."""
    advance = native(advance_at)
    while True:
        code = step(advance, tables.address)
        if code != GROW:
            return int(code)
        tables.grow()


def fresh(cls: type[Strategy], params: dict[str, Any], market: Market, feed_ns: int) -> Strategy:
    """Return a strategy object whose setup has run."""
    made = cls(**params)
    made.instruments = tuple(i.id for i in market.instruments)  # type: ignore[attr-defined]
    if not cls.compiled:
        made.view = View(market, market.start, feed_ns)  # type: ignore[attr-defined]
    try:
        made.setup()
    except FrameworkError:
        raise
    except Exception as error:
        raise told(cls, error) from error
    return made


def told(cls: type, error: BaseException) -> StrategyError:
    """Return an exception of the user's code as one line: class, hook, file and line."""
    place, trace = "", error.__traceback__
    # a library's frames below it say nothing
    home = getattr(sys.modules.get(cls.__module__), "__file__", None)
    while trace is not None:
        code = trace.tb_frame.f_code
        is_ours = Path(code.co_filename).is_relative_to(Path(__file__).parent)
        if code.co_filename == home or not (is_ours or (home and f", {Path(home).name}:" in place)):
            place = f".{code.co_name}, {Path(code.co_filename).name}:{trace.tb_lineno}"
        trace = trace.tb_next
    words = f": {' '.join(str(error).split())}" if str(error) else ""
    return StrategyError(f"{cls.__name__}{place}: {type(error).__name__}{words}")


def run(
    cls: type[Strategy], params: dict[str, Any], plan: Plan, say: Say | None, progress: Callable[[int], None] | None,
    code: translate.Compiled | None = None,
) -> Tables:
    """Run a strategy's hooks over the plan's market, compiled or plain; `code` = its compiled form, when
    rehearsed.
    """
    made = fresh(cls, params, plan.market, plan.latency.feed_ns)
    tables = Tables(plan.market, engine_setup(made, plan))
    wake(tables, made)
    try:
        if cls.compiled and jit_enabled():
            done = run_compiled(made, tables, plan, say, code)
        else:
            done = run_plain(made, tables, progress)
    except FrameworkError:
        raise
    except Exception as error:
        raise told(cls, error) from error
    finish(tables, done, cls.__name__)
    return tables


def engine_setup(made: Strategy, plan: Plan) -> Setup:
    """Return the engine's setup with what the class asks for."""
    known = plan.market.features
    for name in made.features:
        if name not in known:
            from framework.errors import near

            raise StrategyError(f"{type(made).__name__}.features: the market has no feature '{name}': {near(name, known)}")
    return plan.setup(
        features=made.features, bars=parse_interval(made.bars) if made.bars else None,
        timer=parse_duration(made.timer) if made.timer else 0,
    )  # fmt: skip


def wake(tables: Tables, made: Strategy) -> None:
    """Tell the engine which hooks exist, and hold on_bar back during the warm-up."""
    hooks = hooks_of(type(made))
    c = tables.clock
    for event in ("fill", "order", "signal", "bar"):
        c[f"wake_{event}"] = int(f"on_{event}" in hooks)
    if "on_timer" not in hooks:
        c["timer_step"] = 0
    elif not made.timer:
        raise StrategyError(f"{type(made).__name__}.on_timer is never called: say how often, timer = \"15m\"")
    if made.warmup:
        for cursor in tables.sim.cursor:
            cursor["hook"] = min(cursor["hook"] + made.warmup, cursor["hook_end"])
            cursor["same"] = 0


def run_compiled(
    made: Strategy, tables: Tables, plan: Plan, say: Say | None, code: translate.Compiled | None = None
) -> int:
    """Run compiled hooks to the end."""
    if say is not None and is_cold():
        say("compiling the engine for this machine, once (it is kept for later runs)")
    advance = native(advance_at)
    mark_warm()
    if code is None or code.fields != translate.fields_of(made):
        code = translate.translate(made)
        rehearse(made, code, plan.market, lambda m: fresh(type(made), made.params, m, plan.latency.feed_ns),
                 lambda m: (engine_setup(made, replace(plan, market=m)), wake), say)  # fmt: skip
    me = code.pack(made)
    while True:
        done = translate.call(code, tables.address, me, advance)
        if done != GROW:
            code.unpack(me, made)
            return done
        tables.grow()


def run_plain(made: Strategy, tables: Tables, progress: Callable[[int], None] | None) -> int:
    """Run plain Python hooks to the end."""
    return plain.Loop(tables, made, made.features, getattr(made, "view", None)).run(progress)


def finish(tables: Tables, code: int, who: str) -> None:
    """Turn the engine's error codes into errors."""
    if code != FAILED:
        return
    error, at = int(tables.clock["error"]), format_time(int(tables.clock["now"]))
    if error == E_ARGUMENT:
        raise OrderRejected(f"{who} at {at}: order() takes side +1 or -1 and exactly one finite qty or share")
    if error == E_TOO_MANY:
        raise OrderRejected(f"{who} at {at}: more than 1,000 orders in one hook; send fewer, or use replay_orders")
    if error == E_IDENTITY:
        raise FrameworkError(f"{who} at {at}: the books do not balance; this is a defect of the engine, please report it")
    raise FrameworkError(f"{who} at {at}: engine error {error}")


def package(
    tables: Tables, plan: Plan, cls: type[Strategy] | None, params: dict[str, Any], asked: Answers | None,
    rerun: Callable[[str], Tables],
) -> Result:
    """Wrap a finished run; tables, metrics and fingerprint are built when first asked for."""
    outcome = Outcome(tables)
    step = parse_duration(plan.sample) if plan.sample else 0
    status = "bust" if tables.clock["bust"] else "done"
    if asked is not None and asked.missing:
        status = "incomplete"
    return Result(
        orders=outcome.orders, fills=outcome.fills, trades=outcome.trades, equity=lambda: outcome.equity(step),
        decisions=asked.frame if asked else None, price=outcome.price,
        metrics=lambda: outcome.metrics(asked.coverage if asked else None), params=params,
        manifest=manifest(plan, cls, params, asked, outcome), fingerprint=outcome.fingerprint, status=status,
        bounds=lambda: bounds(outcome, plan.fills.intrabar, rerun), notes=notes(plan, outcome, asked),
        cassette=asked.tape if asked else b"",
    )  # fmt: skip
