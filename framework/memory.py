"""Skill or memory: a run before and after the cutoff of the model that decided, each with its uncertainty.

What lies before the cutoff may be remembered (arXiv:2504.14765: skill there cannot be told from recall), so
only what comes after it is evidence. Intervals are percentiles of the stationary bootstrap: blocks of random,
geometric length keep the dependence between neighbours (Politis and Romano 1994, The Stationary Bootstrap,
JASA 89, 1303-1313); the mean length grows as n^(1/3), the order that is best for it (Politis and White 2004).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import ArrayLike, NDArray

from framework import metrics

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Statistic = Callable[[Floats], Floats]  # of resampled series, one number for each
SEED, DRAWS = 1, 1_000
FEWEST = 10  # values from which on an interval is given
ROOM = 2_000_000  # values resampled at a time
NAN = float("nan")
NONE = (NAN, NAN)
NO_CALLS = np.zeros((0, 2))


# ---- the bootstrap
def block_length(n: int) -> float:
    """Return the mean length of a block for n values."""
    return float(max(1.0, round(n ** (1.0 / 3.0))))


def resample(n: int, length: float, draws: int, rng: np.random.Generator) -> Ints:
    """Return rows of one stationary bootstrap, shape (draws, n): blocks of mean `length`, around the end."""
    starts = rng.integers(n, size=(draws, n), dtype=np.int32)
    is_new = rng.random((draws, n), dtype=np.float32) < 1.0 / length
    is_new[:, 0] = True
    place = np.arange(n, dtype=np.int32)
    last = np.maximum.accumulate(np.where(is_new, place, 0), axis=1)
    rows = np.take_along_axis(starts, last, axis=1) + place - last
    return np.asarray(np.where(rows < n, rows, rows - n))


def draws_of(series: ArrayLike, statistics: Sequence[Statistic], seed: int = SEED) -> list[Floats]:
    """Return each statistic of `DRAWS` resampled series, shape (DRAWS,): rows of `series` are kept together.

    `series` shape (n,) or (n, k); a statistic gets (draws, n) or (draws, n, k).
    """
    given = np.asarray(series, dtype=np.float64)
    n, rng, left = len(given), np.random.default_rng(seed), DRAWS
    found: list[list[Floats]] = [[] for _ in statistics]
    while left:
        some = min(left, max(1, ROOM // n))
        rows = given[resample(n, block_length(n), some, rng)]
        for kept, statistic in zip(found, statistics, strict=True):
            kept.append(statistic(rows))
        left -= some
    return [np.concatenate(kept) for kept in found]


def ends(drawn: Floats) -> tuple[float, float]:
    """Return the 95 % interval of draws; NaN where most of them are undefined."""
    known = drawn[np.isfinite(drawn)]
    if known.size <= drawn.size // 2:
        return NONE
    low, high = np.percentile(known, [2.5, 97.5]).tolist()
    return low, high


def intervals(series: ArrayLike, statistics: Sequence[Statistic]) -> list[tuple[float, float]]:
    """Return the 95 % interval of each statistic of a series; NaN below ten rows or with undefined ones."""
    given = np.asarray(series, dtype=np.float64)
    if len(given) < FEWEST or not np.isfinite(given).all():
        return [NONE] * len(statistics)
    return [ends(drawn) for drawn in draws_of(given, statistics)]


def means(rows: Floats) -> Floats:
    """Mean of each row."""
    return np.asarray(rows.mean(axis=1))


def sharpes(rows: Floats) -> Floats:
    """Sharpe ratio of each row of daily returns, NaN for a constant one."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(
            rows.mean(axis=1) / rows.std(axis=1, ddof=1) * np.sqrt(metrics.DAYS_PER_YEAR)
        )


def growths(rows: Floats) -> Floats:
    """Total return of each row of returns."""
    return np.asarray(np.prod(1.0 + rows, axis=1) - 1.0)


# ---- before and after
def boundary(decisions: pl.DataFrame) -> int | None:
    """Return when the first question was asked that the model cannot remember; None when there is none.

    Questions without an answer are no evidence, and nothing counts as later before the last one the model may
    remember.
    """
    answered = decisions.filter(pl.col("status") != "missing")
    known = answered if answered.height else decisions
    remembered = known.filter(pl.col("in_sample"))["ts"].max()
    fresh = known.filter(~pl.col("in_sample"))
    if remembered is not None:
        fresh = fresh.filter(pl.col("ts") > remembered)
    first = fresh["ts"].min()
    return None if first is None else int(first)  # type: ignore[arg-type]


def account(equity: pl.DataFrame, start: float, first: int | None, stop: int | None) -> dict[str, Any]:
    """Return the figures of the account in (first, stop] of ns, None = open, from the equity held at `first`.

    total_return, cagr, sharpe, max_drawdown, final_equity as the metrics of a whole run are; returns, daily.
    """
    if first is not None:
        held = equity.filter(pl.col("ts") <= first)["equity"]
        start = float(held[-1]) if held.len() else start
        equity = equity.filter(pl.col("ts") > first)
    if stop is not None:
        equity = equity.filter(pl.col("ts") <= stop)
    ts, values = equity["ts"].to_numpy(), np.maximum(equity["equity"].to_numpy(), 0.0)
    daily = metrics.daily_returns(ts, values, max(start, 0.0))
    curve = np.concatenate(([start], values))
    return {
        "total_return": float(values[-1]) / start - 1.0 if values.size and start > 0.0 else NAN,
        "cagr": metrics.cagr(daily), "sharpe": metrics.sharpe(daily),
        "max_drawdown": float(metrics.drawdowns(curve).min()) if values.size else NAN,
        "final_equity": float(curve[-1]), "returns": daily,
    }  # fmt: skip


def side(
    decisions: pl.DataFrame, found: pl.DataFrame | None, trades: pl.DataFrame, figures: dict[str, Any]
) -> dict[str, Any]:
    """Return one side of the cutoff: figures of account and calls, each with its 95 % interval."""
    daily = figures.pop("returns")
    said = NO_CALLS
    if found is not None:
        said = found.select("move", pl.col("right").cast(pl.Float64)).to_numpy()
    ranges = dict(zip(("total_return", "sharpe"), intervals(daily, (growths, sharpes)), strict=True))
    pairs = intervals(said, (lambda rows: means(rows[..., 0]), lambda rows: means(rows[..., 1])))
    ranges |= dict(zip(("move", "right"), pairs, strict=True))
    move, right = said.mean(axis=0).tolist() if len(said) else NONE
    valid = int((decisions["status"] == "ok").sum())
    return {
        "first": decisions["ts"].min() if decisions.height else NAN,
        "last": decisions["ts"].max() if decisions.height else NAN,
        "days": daily.size, "decisions": decisions.height, "valid": valid,
        "decision_coverage": metrics.coverage(valid, decisions.height), **figures,
        "trades": trades.height, "win_rate": metrics.win_rate(trades["pnl"]),
        "calls": len(said), "right": right, "move": move,
        **{f"{name}_{end}": value for name, pair in ranges.items()
           for end, value in zip(("low", "high"), pair, strict=True)},
    }  # fmt: skip


def split(
    decisions: pl.DataFrame, equity: pl.DataFrame, trades: pl.DataFrame, start: float,
    found: pl.DataFrame | None = None,
) -> dict[str, Any] | None:
    """Return a run before and after its model's cutoff; None without decisions.

    Parameters
    ----------
    decisions, equity, trades : tables of a result. start : equity at the start.
    found : `calibration.calls`, where the market is at hand.

    Returns
    -------
    dict
        boundary : ns, time of the first question that is not in-sample, NaN when there is none. before, after
        : figures of each side (empty when it has no decision), `<name>_low` and `<name>_high` their 95 %
        intervals. decay, decay_low, decay_high : mean move of a call before minus after, NaN with one side.
        A position open at the boundary is carried over at its value; trades count where they were entered.
    """
    if not decisions.height:
        return None
    at = boundary(decisions)
    far = 2**62 if at is None else at
    late, entered = decisions["ts"] >= far, trades["entry_ts"] >= far
    sides: dict[str, dict[str, Any]] = {"before": {}, "after": {}}
    for name, is_late in (("before", False), ("after", True)):
        asked = decisions.filter(late if is_late else ~late)
        if not asked.height:
            continue
        mine = found.filter((pl.col("ts") >= far) == is_late) if found is not None else None
        figures = account(equity, start, at if is_late else None, None if is_late else at)
        sides[name] = side(asked, mine, trades.filter(entered if is_late else ~entered), figures)
    return {"boundary": NAN if at is None else at, **sides, **decay(found, far)}


def decay(found: pl.DataFrame | None, at: int) -> dict[str, float]:
    """Return how much better a call was before the cutoff than after, and the 95 % interval of that."""
    none = {"decay": NAN, "decay_low": NAN, "decay_high": NAN}
    if found is None:
        return none
    move, is_late = found["move"].to_numpy(), (found["ts"] >= at).to_numpy()
    early, late = move[~is_late], move[is_late]
    if min(early.size, late.size) < FEWEST:
        return none
    drawn = draws_of(early, [means])[0] - draws_of(late, [means], SEED + 1)[0]
    low, high = ends(drawn)
    return {"decay": float(early.mean() - late.mean()), "decay_low": low, "decay_high": high}


__all__ = ["account", "boundary", "draws_of", "intervals", "resample", "split"]
