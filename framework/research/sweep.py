"""`sweep`: one backtest for each set of parameters, one row of a table for each backtest."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import polars as pl

from framework import metrics as measures
from framework.engine import translate
from framework.errors import ConfigError, FrameworkError, StrategyError, near
from framework.jit import jit_enabled
from framework.market import Market
from framework.outcome import Outcome
from framework.plan import Plan, make_plan
from framework.questions import Answers
from framework.report.definitions import DEFINITIONS
from framework.research.grid import Params, grid, sort_keywords
from framework.research.inquiry import Inquiry, Point, Told, points_of
from framework.run import class_of, fresh, run
from framework.strategy import Analyst, Strategy, asks_portfolio, parameters_of

Row = dict[str, Any]
ALWAYS = ("final_equity", "max_drawdown")
COUNTERS = ("fills", "rejected", "late_orders", "liquidation")  # beside those of metrics.summary
CHUNK = 32  # sets a worker takes at a time, at most
GLANCE = 0.2  # s; Ctrl-C and SIGTERM are noticed between two waits
ASKED = {"model": pl.String, "temperature": pl.Float64, "sample": pl.Int64}  # of an analyst
POLARS = {int: pl.Int64, float: pl.Float64, bool: pl.Boolean, str: pl.String}


def sweep(
    strategy: Strategy | type[Strategy],
    market: Market,
    *,
    where: Callable[[Any], Any] | None = None,
    executor: Executor | None = None,
    workers: int | None = None,
    metrics: Iterable[str] | None = None,
    progress: Callable[[int, int], None] | None = None,
    analyst: Analyst | Sequence[Analyst] | None = None,
    confirm: Callable[[Inquiry], object] | None = None,
    **grid_and_options: Any,
) -> pl.DataFrame:
    """Backtest every set of a grid of parameters.

    Parameters
    ----------
    strategy
        A Strategy class, or an instance whose parameters are those not named here.
    market
        What is replayed. Its arrays are shared by all sets.
    where
        Keeps the sets for which it is true: `lambda p: p.fast < p.slow`.
    executor
        Any `concurrent.futures.Executor`; it gets the strategy's class, the market and some sets at a time,
        so with processes the class must live in a module that can be imported.
    workers
        Threads, default one for each core; compiled strategies only. One written in plain Python runs set
        after set, or in the executor.
    metrics
        Names of the metrics wanted; default all, () for none but final equity and maximal drawdown.
    progress
        Called with (sets done, sets).
    analyst
        Answers the questions of `ask`; default `Rules`. The prompts of all sets are collected first, each
        is asked once however many sets need it, and only then sets are run, by workers that hold recorded
        answers and can ask nobody. A list of analysts runs every set with each of them.
    confirm
        Called once with an `Inquiry` (prompts, decisions due, plan and price) before anything is asked;
        False ends the sweep there.
    **grid_and_options
        Parameters of the strategy: one value, or an ordered iterable of values (range, list, tuple, array).
        Anything else is an option of `backtest`.

    Returns
    -------
    polars.DataFrame
        One row for each set, in the order of the grid (the last declared parameter changes fastest): the
        parameters, with a list of analysts model, temperature and sample (analyst by analyst), n_orders,
        final_equity, max_drawdown, the metrics, fingerprint, error. A metric named like a parameter becomes
        `metric_<name>`, a column of the analyst `analyst_<name>`. A set that fails has its reason in `error`,
        NaN metrics and no counts. Fingerprints are those of the single backtests, whatever the number of
        workers.

    Raises
    ------
    ConfigError, DataError
        A name or value of the grid or an option that cannot be used; no set is left.
    StrategyError
        The class cannot be compiled, which no set would survive.
    """
    cls, base = class_of(strategy)
    values, options = sort_keywords(cls, grid_and_options)
    sets = grid(cls, base, values, where)
    wanted = metric_names(metrics, market)
    job, threads = Job(cls, make_plan(market, **options), wanted), workers_of(workers)
    points = points_of(cls, job.plan, sets, each(analyst), confirm)
    rows: list[Row] = []
    for part in run_all(job, for_workers(cls, points, executor), executor, threads):
        rows += part
        if progress is not None:
            progress(len(rows), len(points))
    return table(cls, points, rows, wanted, isinstance(analyst, (list, tuple)))


def for_workers(cls: type[Strategy], points: list[Point], executor: Executor | None) -> list[Point]:
    """Return what workers get: answers and nobody to ask, unless a class asks in the middle of its runs."""
    if not asks_portfolio(cls):
        return [one.bare() for one in points]
    if executor is not None and not isinstance(executor, ThreadPoolExecutor):
        raise ConfigError(
            f"executor: {cls.__name__} asks in the middle of its runs, and other processes hold no analyst; "
            "leave executor away"
        )
    return points


def each(analyst: Any) -> list[Any]:
    """Return the analysts of a sweep; one alone may be None."""
    if not isinstance(analyst, (list, tuple)):
        return [analyst]
    if not analyst or None in analyst:
        raise ConfigError("analyst: a list names whom to ask, like [HolySheep('a'), HolySheep('b')]")
    return list(analyst)


def metric_names(given: Iterable[str] | None, market: Market) -> tuple[str, ...]:
    """Return the metric columns of a sweep, on ticks those of execution too; unknown names are refused."""
    known = (*measures.summary((), (), start=1.0), *COUNTERS)
    if isinstance(market, Market) and market.is_ticks:
        known += tuple(name for name, one in DEFINITIONS.items() if one.group == "Execution")
    if given is None:
        return tuple(name for name in known if name not in ALWAYS)
    chosen = (given,) if isinstance(given, str) else tuple(given)
    for name in chosen:
        if name not in known:
            raise ConfigError(f"metrics: there is no '{name}': {near(name, known)}")
    return tuple(dict.fromkeys(name for name in chosen if name not in ALWAYS))


def workers_of(given: int | None) -> int:
    """Return the number of threads."""
    if given is None:
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if isinstance(given, bool) or not isinstance(given, int) or given < 1:
        raise ConfigError(f"workers: a number of threads of at least 1, not {given!r}")
    return given


@dataclass(frozen=True)
class Job:
    """What all sets of a sweep have in common."""

    cls: type[Strategy]
    plan: Plan
    metrics: tuple[str, ...]
    code: translate.Compiled | None = None

    def row(self, point: Point) -> Row:
        """Backtest one set and keep nothing of it but its row."""
        if point.error is not None:
            return {"error": point.error}
        asked: Told | Answers | None = point.told
        try:
            plan = with_answers(self.plan, point)
            tables = run(self.cls, point.params, plan, None, None, self.code)
            if tables.desk is not None:  # asked in the middle of the run
                heard = tables.desk.answers()
                asked, tables.source = heard, plan.with_answers(heard).market
                tables.market = tables.source
            outcome = Outcome(tables)
            found = outcome.metrics(asked.coverage if asked else None) if self.metrics else always(outcome)
        except FrameworkError as error:
            if "cannot be compiled" in str(error):
                raise
            return {"error": str(error)}
        said = (
            f"INCOMPLETE: {asked.missing} of {asked.due} decisions are missing"
            if asked and asked.missing
            else None
        )
        return {
            "n_orders": len(outcome.order_rows), "fingerprint": outcome.fingerprint(), "error": said,
            **{name: found[name] for name in (*ALWAYS, *self.metrics)},
        }  # fmt: skip

    def compile(self, params: Params) -> translate.Compiled | None:
        """Return the compiled form that sets of this layout share; None when this set's setup fails."""
        try:
            made = fresh(self.cls, params, self.plan.market, self.plan.latency.feed_ns)
        except FrameworkError:
            return None
        return translate.translate(made, self.plan.market.is_ticks)


def with_answers(plan: Plan, point: Point) -> Plan:
    """Return the plan over a market that carries a point's answers, or with who answers in the run."""
    if point.told is None:
        return plan if point.analyst is None else replace(plan, analyst=point.analyst)
    return replace(plan, market=replace(plan.market, signals=point.told.signals))


def always(outcome: Outcome) -> dict[str, float]:
    """Return final equity and maximal drawdown alone, as `metrics.summary` has them, in half its time."""
    equity = outcome.sim.equity[: int(outcome.tables.clock["rows"])]
    curve = np.maximum(np.concatenate(([float(outcome.sim.total[0]["start"])], equity)), 0.0)
    deepest = float(np.min(measures.drawdowns(curve))) if len(equity) else float("nan")
    return {"final_equity": float(equity[-1]) if len(equity) else float(curve[0]), "max_drawdown": deepest}


def run_sets(job: Job, points: Sequence[Point], stop: threading.Event | None = None) -> list[Row]:
    """Backtest some sets, one after another, until somebody says stop."""
    return [job.row(point) for point in points if stop is None or not stop.is_set()]


def run_all(job: Job, points: list[Point], executor: Executor | None, workers: int) -> Iterator[list[Row]]:
    """Yield the rows of all sets in order, some at a time. Nobody here can ask: the answers are there."""
    at, code = 0, None
    is_compiled = job.cls.compiled and jit_enabled()
    while at < len(points) and is_compiled and code is None:  # once, by the first set that gets that far
        made = job.compile(points[at].params)
        row = job.row(points[at])
        at += 1
        code = made if row["error"] is None else None
        yield [row]
    if executor is not None:
        workers = getattr(executor, "_max_workers", None) or workers
        shared = code if isinstance(executor, ThreadPoolExecutor) else None
        yield from spread(replace(job, code=shared), points[at:], executor, workers)
    elif is_compiled:
        with ThreadPoolExecutor(workers, thread_name_prefix="sweep") as pool:
            yield from spread(replace(job, code=code), points[at:], pool, workers)
    else:
        for point in points[at:]:
            yield [job.row(point)]


def spread(job: Job, points: list[Point], executor: Executor, workers: int) -> Iterator[list[Row]]:
    """Give the sets to an executor, enough parts for all workers to end together."""
    size = max(1, min(CHUNK, len(points) // (4 * workers)))
    parts = [points[i : i + size] for i in range(0, len(points), size)]
    stop = threading.Event() if isinstance(executor, ThreadPoolExecutor) else None  # no process can have it
    futures = [executor.submit(run_sets, job, part, stop) for part in parts]
    try:
        for j in range(len(futures)):
            yield result_of(futures[j])
    except Exception as error:
        if "pickle" not in str(error).lower():
            raise
        raise StrategyError(
            f"{job.cls.__name__} cannot be sent to the executor's processes: {error}; define it in a module "
            "that can be imported, or leave executor away"
        ) from error
    finally:
        if stop is not None:
            stop.set()  # whoever pressed Ctrl-C does not wait for whole parts
        for future in futures:
            future.cancel()


def result_of(future: Future[list[Row]]) -> list[Row]:
    """Wait for a result, never long at once: an untimed wait can sleep through a signal."""
    while not future.done():
        with contextlib.suppress(TimeoutError):
            return future.result(timeout=GLANCE)
    return future.result()


def table(
    cls: type[Strategy], points: list[Point], rows: list[Row], wanted: tuple[str, ...], several: bool
) -> pl.DataFrame:
    """Return the sweep's table."""
    known = parameters_of(cls)
    columns = [
        pl.Series(n, [one.params[n] for one in points], dtype=POLARS[kind]) for n, (kind, _) in known.items()
    ]
    for name, dtype in ASKED.items() if several else ():
        label = f"analyst_{name}" if name in known else name
        columns.append(pl.Series(label, [getattr(p.analyst, name, None) for p in points], dtype=dtype))
    columns.append(pl.Series("n_orders", [row.get("n_orders") for row in rows], dtype=pl.Int64))
    taken = {*(one.name for one in columns), "fingerprint", "error"}
    for name in (*ALWAYS, *wanted):
        values = [row.get(name) for row in rows]
        label = f"metric_{name}" if name in taken else name
        if any(isinstance(v, int) for v in values):
            columns.append(pl.Series(label, values, dtype=pl.Int64))
        else:
            columns.append(
                pl.Series(label, [float("nan") if v is None else v for v in values], dtype=pl.Float64)
            )
    texts = ("fingerprint", "error")
    columns += [pl.Series(name, [row.get(name) for row in rows], dtype=pl.String) for name in texts]
    return pl.DataFrame(columns)


__all__ = ["sweep"]
