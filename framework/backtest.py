"""`backtest` and `replay_orders`: one run, from a market to a Result."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from framework.engine.tables import Tables
from framework.errors import FrameworkError
from framework.manifest import manifest, notes
from framework.market import Market
from framework.options import Costs, Fills, Latency, Risk
from framework.outcome import Outcome, bounds
from framework.plan import Plan, make_plan, with_rule
from framework.questions import Answers, answers, check_analyst
from framework.replies import Replies
from framework.result import Result
from framework.run import Say, call_until_done, class_of, finish, run, told
from framework.strategy import Analyst, Strategy, asks_portfolio
from framework.times import parse_duration


def backtest(
    strategy: Strategy | type[Strategy], market: Market, *, cash: float = 10_000.0,
    costs: Costs | None = None,
    latency: Latency | None = None, fills: Fills | None = None, leverage: float = 1.0, margin: str = "cross",
    risk: Risk | None = None, analyst: Analyst | None = None, sample: str | int | None = None,
    strict: bool = False,
    seed: int = 0, replies: Replies | None = None, say: Say | None = None,
    progress: Callable[[int], None] | None = None,
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
        Answers the questions of `ask` and `ask_portfolio`; default `Rules`, the offline stand-in.
    replies
        When its answers arrive, which of them reach the strategy, and what they cost; see `Replies`.
    sample, seed
        Step of the equity table ("1d", default every bar close); recorded, the engine itself draws nothing.

    Raises
    ------
    ConfigError, DataError, StrategyError
        One line each, naming what is wrong and the fix.
    """
    cls, params = class_of(strategy)
    check_analyst(analyst)
    plan = make_plan(
        market, cash=cash, costs=costs, latency=latency, fills=fills, leverage=leverage, margin=margin,
        risk=risk,
        strict=strict, seed=seed, sample=sample, replies=replies,
    )  # fmt: skip
    plan, asked = with_analyst(cls, params, plan, analyst)
    tables = run(cls, params, plan, say, progress)
    if tables.desk is not None:
        asked = tables.desk.answers()
        plan = plan.with_answers(asked)
        tables.source = tables.market = plan.market
    return package(
        tables, plan, cls, params, asked,
        rerun=lambda chosen: run(cls, params, chosen, None, None),
    )  # fmt: skip


def with_analyst(
    cls: type[Strategy], params: dict[str, Any], plan: Plan, analyst: Analyst | None
) -> tuple[Plan, Answers | None]:
    """Return the plan with its questions answered, or with who answers those of the portfolio in the run."""
    if asks_portfolio(cls):
        return replace(plan, analyst=analyst), None
    asked = ask_all(cls, params, plan, analyst)
    return plan.with_answers(asked), asked


def ask_all(
    cls: type[Strategy], params: dict[str, Any], plan: Plan, analyst: Analyst | None
) -> Answers | None:
    """Ask everything the strategy wants to know over the plan's market; a mistake in its `ask` is one line.
    """
    try:
        return answers(cls(**params), plan.market, analyst, plan.latency.feed_ns, plan.replies)
    except FrameworkError:
        raise
    except (Exception, SystemExit) as error:
        raise told(cls, error) from error


def replay_orders(
    orders: Any, market: Market, *, cash: float = 10_000.0, costs: Costs | None = None,
    latency: Latency | None = None,
    fills: Fills | None = None, leverage: float = 1.0, margin: str = "cross", risk: Risk | None = None,
    analyst: Analyst | None = None, sample: str | int | None = None, strict: bool = False, seed: int = 0,
) -> Result:
    """Replay a table of orders instead of a strategy; options as of `backtest`.

    Parameters
    ----------
    orders
        polars or pandas frame: ts (decision time), instrument, side, type, qty or share, price, trigger,
        stop, target, trail, tif, post_only, reduce_only, expire_ts, group, cancel_ts, id. Absent columns mean
        none. Times are ns as integers, or ISO texts or datetimes with a zone; a cancel is sent at cancel_ts;
        rows of one ts are sent in the frame's order.

    Raises
    ------
    DataError
        A cell that cannot be used, by row and column: values off the venue's grid, times long before the
        market (another unit), without a zone, or rounded as floats.
    """
    from framework.script import Script

    plan = make_plan(
        market, cash=cash, costs=costs, latency=latency, fills=fills, leverage=leverage, margin=margin,
        risk=risk,
        strict=strict, seed=seed, sample=sample,
    )  # fmt: skip
    script = Script(orders, market, plan.latency)

    def once(chosen: Plan) -> Tables:
        tables = Tables(market, chosen.setup(script=script.requests.copy(), orders=script.orders.copy()))
        finish(tables, call_until_done(tables), "replay_orders")
        return tables

    return package(once(plan), plan, None, {}, None, rerun=once)


TRAIL_WORDS = ("it joined the queue", "a trade at its price", "its level changed")


def queue_path(tables: Tables) -> list[tuple[int, float, float, float, str]]:
    """Return the queue of the watched order of a run: (ts, lots ahead, traded, shown, why), change by change.
    """
    rows = tables.sim.trail[: int(tables.clock["n_trail"])]
    return [(ts, ahead, traded, level, TRAIL_WORDS[why]) for ts, ahead, traded, level, why in rows.tolist()]


def package(
    tables: Tables, plan: Plan, cls: type[Strategy] | None, params: dict[str, Any], asked: Answers | None,
    rerun: Callable[[Plan], Tables],
) -> Result:
    """Wrap a finished run; tables, metrics and fingerprint are built when first asked for."""
    outcome = Outcome(tables)
    step = parse_duration(plan.sample) if plan.sample else 0
    status = "bust" if tables.clock["bust"] else "done"
    if asked is not None and asked.missing:
        status = "incomplete"
    return Result(
        orders=outcome.orders, fills=outcome.fills, trades=outcome.trades,
        equity=lambda: outcome.equity(step), decisions=asked.frame if asked else None, price=outcome.price,
        metrics=lambda: outcome.metrics(asked.coverage if asked else None), params=params,
        manifest=manifest(plan, cls, params, asked, outcome), fingerprint=outcome.fingerprint, status=status,
        bounds=lambda: bounds(outcome, plan.fills.intrabar, lambda rule: rerun(with_rule(plan, rule))),
        queue=lambda order_id: queue_path(rerun(replace(plan, watch=order_id))),
        notes=notes(plan, outcome, asked), cassette=asked.tape if asked else b"", market=plan.market,
    )  # fmt: skip
