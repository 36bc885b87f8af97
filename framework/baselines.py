"""What a model's decisions are measured against: the same strategy and market, decided otherwise.

Every row is one more run of the same class with the same costs, latencies and rules of filling; nothing is
asked of anybody, and nothing is random but a shuffle of fixed seed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from framework import memory
from framework.calibration import calibration, calls, prices_at
from framework.deliver import deliver
from framework.engine.tables import Tables
from framework.errors import FrameworkError
from framework.market import Market
from framework.outcome import Outcome
from framework.plan import Plan
from framework.questions import Answers
from framework.records import SIGNAL, SIGNAL_STATUS
from framework.run import call_until_done, finish

Rows = NDArray[Any]
Rerun = Callable[[Plan], Tables]
SEED = 1
SHUFFLES = 5  # the row shows the middle one by total return
SAID = ("regime", "direction", "confidence", "size", "risk_reward")  # what moves to another time as it is
LEVELS = ("entry", "stop", "target")  # and what moves in proportion to the price there
FIGURES = ("total_return", "sharpe", "max_drawdown", "trades")
NAN = float("nan")


def with_signals(plan: Plan, signals: Rows) -> Plan:
    """Return the plan over a market with other signals."""
    return replace(plan, market=replace(plan.market, signals=signals))


def at_once(asked: Answers, plan: Plan) -> Rows:
    """Return the decisions as signals that arrive when they are asked for."""
    return deliver(asked.decisions, replace(plan.replies, latency="0s"))[0]


def by_rules(asked: Answers, plan: Plan) -> Rows:
    """Return what the offline `Rules` say to the same questions, as signals."""
    from framework.llm.rules import Rules

    return deliver(Rules().decide(asked.prompts), plan.replies)[0]


def shuffled(signals: Rows, market: Market, seed: int) -> Rows:
    """Return the same valid answers at one another's times, instrument by instrument.

    Times, latencies and costs stay where they are. Levels keep their distance from the price in proportion.
    """
    rng, rows = np.random.default_rng(seed), signals.copy()
    for k in range(len(market.instruments)):
        mine = np.flatnonzero(
            (signals["instrument"] == k) & (signals["status"] == SIGNAL_STATUS.index("ok"))
        )
        mine = mine[np.argsort(signals["ts"][mine], kind="stable")]
        other = rng.permutation(mine)
        price = np.full(len(signals), NAN)
        price[mine] = prices_at(market, k, signals["ts"][mine])
        for name in SAID:
            rows[name][mine] = signals[name][other]
        for name in LEVELS:
            rows[name][mine] = signals[name][other] / price[other] * price[mine]
    return rows


def holding(plan: Plan) -> Tables:
    """Return the run that puts all equity into the first instrument and keeps it; no `Risk` holds it back."""
    from framework.script import Script

    quiet = replace(with_signals(plan, np.zeros(0, SIGNAL)), risk=None)
    market = quiet.market
    orders = pl.DataFrame(
        {"ts": [market.start], "instrument": [market.instruments[0].id], "side": ["buy"],
         "type": ["market"], "share": [1.0 / plan.leverage]}
    )  # fmt: skip
    script = Script(orders, market, plan.latency)
    tables = Tables(market, quiet.setup(script=script.requests.copy(), orders=script.orders.copy()))
    finish(tables, call_until_done(tables), "buy and hold")
    return tables


def figures(outcome: Outcome, boundary: int | None) -> dict[str, Any]:
    """Return the figures of a row: of the whole run, and of the account after the cutoff."""
    found = outcome.metrics()
    late = memory.account(outcome.equity(), found["start_equity"], boundary, None) if boundary else {}
    after = {f"{name}_after": late.get(name, NAN) for name in ("total_return", "sharpe", "max_drawdown")}
    return {name: found[name] for name in FIGURES} | after


def row(name: str, boundary: int | None, made: Callable[[], Sequence[Outcome]]) -> dict[str, Any]:
    """Return one row: the middle outcome by its first figure, how far all reach, or why there is none."""
    by = "total_return_after" if boundary else "total_return"
    try:
        rows = sorted((figures(one, boundary) for one in made()), key=lambda one: one[by])
    except FrameworkError as error:
        return {"name": name, "problem": str(error)}
    reach = {"low": rows[0][by], "high": rows[-1][by]} if len(rows) > 1 else {}
    return {"name": name, **rows[len(rows) // 2], **reach}


def baselines(
    plan: Plan, asked: Answers, outcome: Outcome, rerun: Rerun
) -> list[dict[str, Any]]:
    """Return the rows of the table: run, latency 0, rules, shuffled, hold.

    Each has its name, total_return, sharpe, max_drawdown and trades, the first three also `_after` the
    model's cutoff (NaN where no decision or every one lies after it). `shuffled` is the middle one of five by
    total return (after the cutoff, where there is one), `low` and `high` are the least and the most of them.
    One that cannot be run has a `problem` instead. A stand-in has no rules beside itself, and is shuffled
    once.
    """
    decisions = asked.frame()
    at = memory.boundary(decisions) if decisions["in_sample"].any() else None

    def again(signals: Rows) -> Outcome:
        return Outcome(rerun(with_signals(plan, signals)))

    rows = [row("run", at, lambda: [outcome]), row("latency 0", at, lambda: [again(at_once(asked, plan))])]
    if not asked.stand_in:
        rows.append(row("rules", at, lambda: [again(by_rules(asked, plan))]))
    seeds = range(SEED, SEED + (1 if asked.stand_in else SHUFFLES))
    mixed = [shuffled(asked.signals, plan.market, seed) for seed in seeds]
    rows.append(row("shuffled", at, lambda: [again(signals) for signals in mixed]))
    return [*rows, row("hold", at, lambda: [Outcome(holding(plan))])]


def evidence(
    plan: Plan, asked: Answers | None, outcome: Outcome, rerun: Rerun
) -> dict[str, Any]:
    """Return what a Result takes beside its tables to judge who decided; each part is made when asked for.

    A stand-in remembers nothing and its confidence is a formula: there is neither to judge.
    """
    if asked is None or not asked.due:
        return {}
    rows = {"baselines": lambda: baselines(plan, asked, outcome, rerun)}
    if asked.stand_in:
        return rows
    start = float(outcome.sim.total[0]["start"])

    @cache
    def found() -> tuple[pl.DataFrame, pl.DataFrame]:
        decisions = asked.frame()
        return decisions, calls(decisions, plan.market)

    def halves() -> dict[str, Any] | None:
        decisions, said = found()
        return memory.split(decisions, outcome.equity(), outcome.trades(), start, said)

    return {
        **rows, "split": halves, "calibration": lambda: calibration(found()[1], memory.boundary(found()[0]))
    }  # fmt: skip


__all__ = ["baselines", "evidence", "shuffled"]
