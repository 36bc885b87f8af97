"""`fidelity`: one strategy over the same market as candles, as trades, and with its books."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import polars as pl

from framework.backtest import with_analyst
from framework.errors import ConfigError, FrameworkError, near
from framework.execution import order_metrics
from framework.market import Market
from framework.market_source import need_memory
from framework.outcome import Outcome
from framework.plan import Plan, make_plan
from framework.questions import check_analyst
from framework.report.compare import MISSING, show
from framework.research.grid import OPTIONS
from framework.run import class_of, run
from framework.strategy import Analyst, Strategy, hooks_of
from framework.times import MINUTE, parse_interval

Row = dict[str, Any]
COLUMNS: dict[str, Any] = {
    "fidelity": pl.String, "orders": pl.Int64, "fills": pl.Int64, "fill_rate": pl.Float64,
    "maker_share": pl.Float64, "final_equity": pl.Float64, "total_return": pl.Float64, "fees": pl.Float64,
    "max_drawdown": pl.Float64, "status": pl.String, "error": pl.String,
}  # fmt: skip
SHOWN = (
    "orders", "fills", "fill_rate", "maker_share", "total_return", "max_drawdown", "fees", "final_equity"
)  # fmt: skip


def fidelity(
    strategy: Strategy | type[Strategy],
    market: Market,
    bars: str | int = "1m",
    *,
    analyst: Analyst | None = None,
    **options: Any,
) -> pl.DataFrame:
    """Run a strategy on the candles of a market's trades, on the trades, and on trades and books.

    What a strategy earns on candles and loses on books, it owed to fills that candles cannot refuse.

    Parameters
    ----------
    bars
        Length of the candles.
    analyst, **options
        As of `backtest`; the same for all.

    Returns
    -------
    polars frame
        One row for each fidelity the market has ("candles", "trades", "books"): orders, fills, fill_rate
        (filled / asked quantity), maker_share (of traded value), final_equity, total_return, fees,
        max_drawdown, status ("done", "bust", "incomplete", "failed") and the error of a run that failed, null
        without one: a strategy with `on_book` cannot run on candles. `told(frame)` is its text.

    Raises
    ------
    ConfigError
        An option of no backtest, a market without ticks, or `bars` other than 1m for a class that does not
        say which bars `on_bar` wants.
    """
    for name in options:
        if name not in OPTIONS:
            raise ConfigError(f"{name}: no option of fidelity or backtest: {near(name, OPTIONS)}")
    cls, params = class_of(strategy)
    check_analyst(analyst)
    plan = make_plan(market, **options)
    if not market.is_ticks:
        raise ConfigError(f"fidelity: market {market.name} has bars only; it needs trades, and better books")
    need_memory(market, "fidelity")
    interval = parse_interval(bars)
    if cls.bars is None and "on_bar" in hooks_of(cls) and interval != MINUTE:
        raise ConfigError(
            f"fidelity: on ticks {cls.__name__}.on_bar gets 1m bars, here {bars} ones; say in the class what "
            f'it wants, bars = "{bars}"'
        )
    made: dict[str, Callable[[], Market]] = {"candles": lambda: as_candles(market, interval, cls)}
    if market.trades:
        made["trades"] = market.as_trades
    if market.books:
        made["books"] = lambda: market
    rows = [{"fidelity": name, **row_of(cls, params, plan, of, analyst)} for name, of in made.items()]
    return pl.DataFrame(rows, schema=COLUMNS)


def as_candles(market: Market, interval: int, cls: type[Strategy]) -> Market:
    """Return the market as candles, with those the strategy wants to see."""
    candles = market.as_candles(interval)
    return candles.resample(cls.bars) if cls.bars else candles


def row_of(
    cls: type[Strategy], params: dict[str, Any], plan: Plan, of: Callable[[], Market], analyst: Analyst | None
) -> Row:
    """Backtest one form of the market; a run that fails is a row that says why."""
    try:
        chosen = replace(plan, market=of())
        chosen.check()
        chosen, asked = with_analyst(cls, params, chosen, analyst)
        tables = run(cls, params, chosen, None, None)
        asked = tables.desk.answers() if tables.desk else asked
        outcome = Outcome(tables)
    except FrameworkError as error:
        return {"status": "failed", "error": str(error)}
    status = "bust" if outcome.tables.clock["bust"] else "done"
    found = {**outcome.metrics(), **order_metrics(outcome)}
    return {
        **{name: found[name] for name in COLUMNS if name in found},
        "status": "incomplete" if asked is not None and asked.missing else status,
    }


def told(frame: pl.DataFrame) -> str:
    """Return the frame as a few lines of text, a column for each fidelity."""
    rows = frame.rows(named=True)
    lines = [["", *(row["fidelity"] for row in rows)]]
    for name in SHOWN:
        shown = [MISSING if row[name] is None else show(name, row[name]) for row in rows]
        lines.append([name.replace("_", " "), *shown])
    wide = [max(len(line[i]) for line in lines) for i in range(len(rows) + 1)]
    text = ["  ".join([one.ljust(wide[0]), *map(str.rjust, rest, wide[1:])]) for one, *rest in lines]
    return "\n".join([*text, *(f"{row['fidelity']}: {row['error']}" for row in rows if row["error"])])


__all__ = ["fidelity", "told"]
