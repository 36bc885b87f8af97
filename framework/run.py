"""One run: a fresh strategy over the engine's tables, compiled or plain, and its errors as one line."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from framework.desk import Desk
from framework.engine import translate
from framework.engine.calls import step
from framework.engine.rehearse import loop_of, rehearse
from framework.engine.state import (
    E_ARGUMENT,
    E_IDENTITY,
    E_LOOP,
    E_NUMBER,
    E_TOO_MANY,
    FAILED,
    GROW,
    MOST_TOLD,
    NUMBERS,
)
from framework.engine.tables import Setup, Tables
from framework.engine.tick_calls import advance_of
from framework.errors import FrameworkError, OrderRejected, StrategyError, near
from framework.jit import is_cold, jit_enabled, mark_warm
from framework.market import Market, View
from framework.market_reel import Reel
from framework.plan import Plan
from framework.questions import stand_in
from framework.strategy import TICK_HOOKS, Strategy, asks_portfolio, hooks_of, need_hook, parameters_of
from framework.times import format_time, parse_duration, parse_interval

Say = Callable[[str], None]


def class_of(strategy: Strategy | type[Strategy]) -> tuple[type[Strategy], dict[str, Any]]:
    """Return the class of a strategy and its parameters, a class's defaults: a run makes its own object."""
    cls = type(strategy) if isinstance(strategy, Strategy) else strategy
    if not (isinstance(cls, type) and issubclass(cls, Strategy)):
        raise StrategyError(f"strategy must be a Strategy class or object, not {type(strategy).__name__}")
    if isinstance(strategy, Strategy):
        return cls, strategy.params
    return cls, {name: getattr(cls, name) for name in parameters_of(cls)}


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
    except (Exception, SystemExit) as error:  # a strategy that ends the program has failed
        raise told(cls, error) from error
    return made


def told(cls: type, error: BaseException) -> StrategyError:
    """Return an exception of the user's code as one line: class, hook, file and line."""
    words = f": {' '.join(str(error).split())}" if str(error) else ""
    return StrategyError(f"{cls.__name__}{place_of(cls, error)}: {type(error).__name__}{words}")


def place_of(cls: type, error: BaseException) -> str:
    """Return hook, file and line of the user's code that raised."""
    place, trace = "", error.__traceback__
    # a library's frames below it say nothing
    home = getattr(sys.modules.get(cls.__module__), "__file__", None)
    while trace is not None:
        code = trace.tb_frame.f_code
        is_ours = Path(code.co_filename).is_relative_to(Path(__file__).parent)
        if code.co_filename == home or not (is_ours or (home and f", {Path(home).name}:" in place)):
            place = f".{code.co_name}, {Path(code.co_filename).name}:{trace.tb_lineno}"
        trace = trace.tb_next
    return place


def run(
    cls: type[Strategy], params: dict[str, Any], plan: Plan, say: Say | None,
    progress: Callable[[int], None] | None, code: translate.Compiled | None = None,
) -> Tables:
    """Run a strategy's hooks over the plan's market, compiled or plain; `code` = its compiled form, when
    rehearsed.
    """
    need_hook(cls)
    market = plan.market if not plan.market.tapes else Reel(plan.market).market
    made = fresh(cls, params, market, plan.latency.feed_ns)
    tables = tables_of(made, market, plan)
    try:
        if cls.compiled and jit_enabled():
            done = run_compiled(made, tables, plan, say, code)
        else:
            done = run_plain(made, tables, progress)
    except OrderRejected as error:
        raise OrderRejected(f"{cls.__name__}{place_of(cls, error)}: {error}") from error
    except FrameworkError:
        raise
    except (Exception, SystemExit) as error:
        raise told(cls, error) from error
    finally:
        tables.close()
    finish(tables, done, cls.__name__)
    return tables


def tables_of(made: Strategy, market: Market, plan: Plan) -> Tables:
    """Return the engine's tables of a new run: what the strategy asks for, and who is woken."""
    desk = desk_of(made, market, plan)
    if desk is not None:
        market = replace(market, signals=desk.signals())
    tables = Tables(market, engine_setup(made, plan))
    tables.source, tables.desk = plan.market, desk
    wake(tables, made)
    return tables


def desk_of(made: Strategy, market: Market, plan: Plan) -> Desk | None:
    """Return who asks the portfolio questions of a run; None where there are none, or signals instead."""
    if not asks_portfolio(type(made)) or len(market.signals):
        return None
    return Desk(made, market, plan.analyst or stand_in(), plan.replies, plan.latency.feed_ns)


def engine_setup(made: Strategy, plan: Plan) -> Setup:
    """Return the engine's setup with what the class asks for."""
    known = plan.market.features
    for name in made.features:
        if name not in known:
            raise StrategyError(
                f"{type(made).__name__}.features: the market has no feature '{name}': {near(name, known)}"
            )
    timer = parse_duration(made.timer) if made.timer else 0
    if made.timer and not timer:
        who = type(made).__name__
        raise StrategyError(f'{who}.timer must be longer than 0, like "15m", not {made.timer!r}')
    return plan.setup(
        features=made.features, bars=parse_interval(made.bars) if made.bars else None,
        timer=timer, shows_bars="on_bar" in hooks_of(type(made)),
    )  # fmt: skip


def wake(tables: Tables, made: Strategy) -> None:
    """Tell the engine which hooks exist, and hold on_bar back during the warm-up."""
    hooks = hooks_of(type(made))
    c = tables.clock
    for event in ("fill", "order", "signal", "bar", "trade", "book"):
        c[f"wake_{event}"] = int(f"on_{event}" in hooks)
    if not c["ticks"] and (wrong := hooks & set(TICK_HOOKS)):
        raise StrategyError(
            f"{type(made).__name__}.{min(wrong)}: the market has bars only; trade and book hooks need trades "
            "and a book (framework.data.from_tardis, or sample = \"ticks\")"
        )
    if "on_timer" not in hooks:
        c["timer_step"] = 0
    elif not made.timer:
        raise StrategyError(f"{type(made).__name__}.on_timer is never called: say how often, timer = \"15m\"")
    if made.warmup:
        for cursor in tables.sim.cursor:
            cursor["hook"] = min(cursor["hook"] + made.warmup, cursor["hook_end"])


def run_compiled(
    made: Strategy, tables: Tables, plan: Plan, say: Say | None, code: translate.Compiled | None = None
) -> int:
    """Run compiled hooks to the end."""
    if say is not None and is_cold():
        say("compiling the engine for this machine, once (it is kept for later runs)")
    advance = advance_of(tables.sim)
    mark_warm()
    if code is None or code.fields != translate.fields_of(made):
        code = translate.translate(made, bool(tables.clock["ticks"]))
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
    return int(loop_for(tables, made).run(progress))


def loop_for(tables: Tables, made: Strategy) -> Any:
    """Return the plain driver of a run."""
    loop = loop_of(tables)(tables, made, made.features, getattr(made, "view", None))
    if tables.desk is not None:
        loop.desk = tables.desk
        loop.desk.start(tables)
    return loop


def finish(tables: Tables, code: int, who: str) -> None:
    """Turn the engine's error codes into errors."""
    if code != FAILED:
        return
    error, at = int(tables.clock["error"]), format_time(int(tables.clock["now"]))
    if error == E_ARGUMENT:
        raise OrderRejected(
            f"{who} at {at}: order() takes side +1 or -1, exactly one of qty and share, a known tif, and "
            'with tif="GTD" an expire_ts'
        )
    if error == E_TOO_MANY:
        raise OrderRejected(
            f"{who} at {at}: more than 1,000 orders in one hook; send fewer, or use replay_orders"
        )
    if error == E_LOOP:
        raise OrderRejected(
            f"{who} at {at}: {MOST_TOLD:,} fills and ends of orders since the last bar: does on_fill or "
            "on_order send an order each time?"
        )
    if error == E_IDENTITY:
        raise FrameworkError(
            f"{who} at {at}: the books do not balance; this is a defect of the engine, please report it"
        )
    if error >= E_NUMBER:
        raise OrderRejected(
            f"{who} at {at}: order({NUMBERS[error - E_NUMBER]}) is NaN or infinite, or a trail not above 0: "
            "is an indicator not ready yet? Wait for it, or leave the argument out"
        )
    raise FrameworkError(f"{who} at {at}: engine error {error}")


def call_until_done(tables: Tables) -> int:
    """Run scripted orders to the end: nobody is woken."""
    advance = advance_of(tables.sim)
    try:
        while (code := step(advance, tables.address)) == GROW:
            tables.grow()
    finally:
        tables.close()
    return int(code)
