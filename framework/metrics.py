"""Performance metrics as pure functions on arrays, each with its definition.

Functions of returns take `(returns, periods_per_year)`: simple returns as fractions per period (0.01 = 1 %).
What is undefined is NaN, never an exception and never infinity: an empty array, one point where two are
needed, a zero denominator (constant equity has no Sharpe ratio, a run without a loss no profit factor).
A return below -100 % is no return: it is refused with DataError. Values equal empyrical's
(tested to 1e-12), but for zero denominators: NaN here, infinite there.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from framework.errors import DataError

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Months = list[tuple[int, int, float]]
DAY = 86_400 * 10**9  # ns
DAYS_PER_YEAR = 365.0  # crypto trades every day
NAN = float("nan")


def _refuse(values: Floats, bad: NDArray[np.bool_], name: str) -> None:
    if bad.any():
        row = int(np.argmax(bad))
        raise DataError(f"{name}: row {row} is {float(values[row])!r}; no return can be below -100 %")


def _checked(returns: ArrayLike) -> Floats:
    """Return float64 returns; DataError for the first one below -100 % or infinite."""
    values = np.asarray(returns, dtype=np.float64).ravel()
    _refuse(values, (values < -1.0) | np.isinf(values), "returns")
    return values


def _ratio(numerator: float, denominator: float) -> float:
    """Return numerator / denominator, NaN where that is undefined or overflows."""
    if denominator == 0.0:
        return NAN
    with np.errstate(all="ignore"):
        value = float(np.float64(numerator) / np.float64(denominator))
    return value if np.isfinite(value) else NAN


def _deviation(values: Floats) -> float:
    """Sample standard deviation (ddof 1); exactly 0 where all values are equal, NaN below two values."""
    if values.size < 2:
        return NAN
    return 0.0 if np.min(values) == np.max(values) else float(values.std(ddof=1))


def simple_returns(equity: ArrayLike) -> Floats:
    """Return equity[i+1] / equity[i] - 1, shape (n-1,). After equity 0: 0 while it stays 0, else NaN.

    Raises DataError for negative equity: its return would be below -100 %.
    """
    values = np.asarray(equity, dtype=np.float64)
    _refuse(values, values < 0.0, "equity")
    if values.size < 2:
        return np.empty(0)
    before, after = values[:-1], values[1:]
    result = np.where(after == 0.0, 0.0, NAN)
    with np.errstate(over="ignore"):
        np.divide(after, before, out=result, where=before > 0.0)
    result[np.isinf(result)] = NAN
    return np.where(before > 0.0, result - 1.0, result)


def _closes(keys: Ints, equity: Floats) -> tuple[Ints, Floats]:
    """Last equity of each key of a running whole number, keys without rows carried forward."""
    if keys.size == 0:
        return np.empty(0, dtype=np.int64), np.empty(0)
    every = np.arange(keys[0], keys[-1] + 1, dtype=np.int64)
    return every, equity[np.searchsorted(keys, every, side="right") - 1]


def daily_equity(ts: ArrayLike, equity: ArrayLike) -> tuple[Ints, Floats]:
    """Return (day numbers since 1970, last equity of each UTC day); days without rows carry forward.

    A day is (00:00, 24:00]: the row stamped midnight is the close of the day that ends there.
    `ts` int64 ns ascending, shape (n,); `equity` shape (n,).
    """
    days = (np.asarray(ts, dtype=np.int64) - 1) // DAY
    return _closes(days, np.asarray(equity, dtype=np.float64))


def daily_returns(ts: ArrayLike, equity: ArrayLike, start: float | None = None) -> Floats:
    """Return the returns of `daily_equity`; with `start` equity the first day counts from it."""
    values = daily_equity(ts, equity)[1]
    if start is not None and values.size:
        values = np.concatenate(([start], values))
    return simple_returns(values)


def monthly_returns(ts: ArrayLike, equity: ArrayLike, start: float | None = None) -> Months:
    """Return (year, month, return) of every UTC month touched, months as (first 00:00, last 24:00]."""
    stamps = (np.asarray(ts, dtype=np.int64) - 1).astype("datetime64[ns]")
    months, values = _closes(stamps.astype("datetime64[M]").astype(np.int64), np.asarray(equity, np.float64))
    if values.size:
        values = np.concatenate(([values[0] if start is None else start], values))
    pairs = zip(months.tolist(), simple_returns(values).tolist(), strict=True)
    return [(1970 + month // 12, month % 12 + 1, value) for month, value in pairs]


def total_return(returns: ArrayLike) -> float:
    """Product of (1 + return) - 1; NaN when empty."""
    values = _checked(returns)
    return float(np.prod(values + 1.0) - 1.0) if values.size else NAN


def cagr(returns: ArrayLike, periods_per_year: float = DAYS_PER_YEAR) -> float:
    """Compound annual growth rate: (1 + total return)^(periods_per_year / n) - 1."""
    values = _checked(returns)
    if not values.size:
        return NAN
    with np.errstate(all="ignore"):
        growth = float(np.prod(values + 1.0) ** (periods_per_year / values.size) - 1.0)
    return growth if np.isfinite(growth) else NAN


def volatility(returns: ArrayLike, periods_per_year: float = DAYS_PER_YEAR) -> float:
    """Standard deviation of the returns (ddof 1) x sqrt(periods_per_year)."""
    return _deviation(_checked(returns)) * float(np.sqrt(periods_per_year))


def sharpe(returns: ArrayLike, periods_per_year: float = DAYS_PER_YEAR) -> float:
    """Mean / standard deviation (ddof 1) of the returns x sqrt(periods_per_year); no risk-free rate."""
    values = _checked(returns)
    if values.size < 2:
        return NAN
    return _ratio(float(values.mean()), _deviation(values)) * float(np.sqrt(periods_per_year))


def downside_deviation(returns: ArrayLike, periods_per_year: float = DAYS_PER_YEAR) -> float:
    """Root of the mean over ALL periods of min(return, 0)^2, x sqrt(periods_per_year) (as empyrical)."""
    values = _checked(returns)
    if not values.size:
        return NAN
    return float(np.sqrt(np.mean(np.square(np.minimum(values, 0.0)))) * np.sqrt(periods_per_year))


def sortino(returns: ArrayLike, periods_per_year: float = DAYS_PER_YEAR) -> float:
    """Mean return x periods_per_year / `downside_deviation`; NaN without a negative return."""
    values = _checked(returns)
    if values.size < 2:
        return NAN
    return _ratio(float(values.mean()) * periods_per_year, downside_deviation(values, periods_per_year))


def drawdowns(equity: ArrayLike) -> Floats:
    """Return equity / running peak - 1 after every row, shape (n,); the first row is the first peak."""
    values = np.asarray(equity, dtype=np.float64)
    peaks = np.maximum.accumulate(values)
    result = np.zeros(values.size)
    np.divide(values - peaks, peaks, out=result, where=peaks > 0.0)
    return result


def max_drawdown(returns: ArrayLike) -> float:
    """Most negative fall from a running peak (fraction, <= 0), the start counting as a peak."""
    values = _checked(returns)
    if not values.size:
        return NAN
    return float(np.min(drawdowns(np.concatenate(([1.0], np.cumprod(values + 1.0))))))


def drawdown_span(equity: ArrayLike) -> tuple[int, int, int] | None:
    """Return rows (peak, trough, recovery) of the deepest drawdown; the last row if it never recovers.

    Peak is the last row at the peak's value before the trough. None when there is no drawdown.
    """
    values = np.asarray(equity, dtype=np.float64)
    falls = drawdowns(values)
    if not falls.size or not np.min(falls) < 0.0:
        return None
    trough = int(np.argmin(falls))
    top = np.max(values[: trough + 1])
    peak = int(np.flatnonzero(values[: trough + 1] == top)[-1])
    back = np.flatnonzero(values[trough:] >= top)
    return peak, trough, trough + int(back[0]) if back.size else values.size - 1


def drawdown_length(ts: ArrayLike, equity: ArrayLike) -> int:
    """Return ns from the peak of the deepest drawdown to its recovery or the end; 0 when there is none."""
    span = drawdown_span(equity)
    stamps = np.asarray(ts, dtype=np.int64)
    return 0 if span is None else int(stamps[span[2]] - stamps[span[0]])


def calmar(returns: ArrayLike, periods_per_year: float = DAYS_PER_YEAR) -> float:
    """`cagr` / |`max_drawdown`|; NaN without a drawdown."""
    return _ratio(cagr(returns, periods_per_year), abs(max_drawdown(returns)))


def omega(returns: ArrayLike) -> float:
    """Sum of positive returns / |sum of negative returns| (threshold 0); NaN without a loss."""
    values = _checked(returns)
    if values.size < 2:
        return NAN
    return _ratio(float(values[values > 0.0].sum()), -float(values[values < 0.0].sum()))


def tail_ratio(returns: ArrayLike) -> float:
    """|95th percentile| / |5th percentile| of the returns (linear interpolation)."""
    values = _checked(returns)
    if not values.size:
        return NAN
    high, low = np.abs(np.percentile(values, [95, 5]))
    return _ratio(high, low)


def value_at_risk(returns: ArrayLike, cutoff: float = 0.05) -> float:
    """The `cutoff` quantile of the returns (fraction, a loss is negative)."""
    values = _checked(returns)
    return float(np.percentile(values, 100 * cutoff)) if values.size else NAN


def conditional_value_at_risk(returns: ArrayLike, cutoff: float = 0.05) -> float:
    """Mean of the returns at or below the `cutoff` quantile: the int((n - 1) x cutoff) + 1 lowest."""
    values = np.sort(_checked(returns))
    return float(values[: int((values.size - 1) * cutoff) + 1].mean()) if values.size else NAN


def _mean(values: Floats) -> float:
    return float(values.mean()) if values.size else NAN


def win_rate(pnl: ArrayLike) -> float:
    """Share of trades with net profit above 0."""
    return _mean((np.asarray(pnl, dtype=np.float64) > 0.0).astype(np.float64))


def profit_factor(pnl: ArrayLike) -> float:
    """Sum of net profits / |sum of net losses|; NaN without a losing trade (neither 0 nor infinity)."""
    values = np.asarray(pnl, dtype=np.float64)
    return _ratio(float(values[values > 0.0].sum()), -float(values[values < 0.0].sum()))


def expectancy(pnl: ArrayLike) -> float:
    """Mean net profit of a trade in money = win rate x mean profit - loss rate x mean loss."""
    return _mean(np.asarray(pnl, dtype=np.float64))


def trade_returns(pnl: ArrayLike, notional: ArrayLike) -> Floats:
    """Return net profit / notional at entry of each trade; NaN where the notional is 0."""
    profit, value = np.asarray(pnl, dtype=np.float64), np.abs(np.asarray(notional, dtype=np.float64))
    result: Floats = np.full(profit.shape, NAN)
    np.divide(profit, value, out=result, where=value > 0.0)
    return result


def exposure(position: ArrayLike) -> float:
    """Share of rows whose position is not 0."""
    return _mean((np.asarray(position) != 0).astype(np.float64))


def turnover(traded: float, equity: ArrayLike) -> float:
    """Traded notional / mean of the equity rows, over the whole run (not per year)."""
    mean = _mean(np.asarray(equity, dtype=np.float64))
    return _ratio(traded, mean) if mean > 0.0 else NAN


def coverage(valid: int, due: int) -> float:
    """Valid decisions / decisions due; NaN when none was due."""
    return _ratio(valid, due)


def _return_metrics(stamps: Ints, values: Floats, start: float) -> dict[str, Any]:
    """Metrics of the equity curve `values`, row 0 being the start; Calmar uses the drawdown of every row."""
    daily = daily_returns(stamps[1:], values[1:], start)
    deepest = float(np.min(drawdowns(values))) if daily.size else NAN
    growth = cagr(daily)
    return {
        "total_return": _ratio(float(values[-1]) - start, start) if daily.size else NAN,
        "cagr": growth,
        "sharpe": sharpe(daily),
        "sortino": sortino(daily),
        "calmar": _ratio(growth, abs(deepest)),
        "omega": omega(daily),
        "max_drawdown": deepest,
        "max_drawdown_days": drawdown_length(stamps, values) / DAY if daily.size else NAN,
        "volatility": volatility(daily),
        "var_95": value_at_risk(daily),
        "cvar_95": conditional_value_at_risk(daily),
        "tail_ratio": tail_ratio(daily),
    }


def _trade_metrics(pnl: Floats, notional: Floats) -> dict[str, Any]:
    gains = trade_returns(pnl, notional)
    return {
        "trades": int(pnl.size),
        "win_rate": win_rate(pnl),
        "profit_factor": profit_factor(pnl),
        "expectancy": expectancy(pnl),
        "average_trade": _mean(gains),
        "average_winner": _mean(gains[pnl > 0.0]),
        "average_loser": _mean(gains[pnl < 0.0]),
    }


def summary(
    ts: ArrayLike,
    equity: ArrayLike,
    *,
    start: float,
    start_ts: int | None = None,
    position: ArrayLike = (),
    pnl: ArrayLike = (),
    notional: ArrayLike = (),
    traded: float = 0.0,
    fees: float = 0.0,
    funding: float = 0.0,
    slippage: float = 0.0,
    tokens: float = 0.0,
    ambiguous: int = 0,
    decisions: tuple[int, int] | None = None,
) -> dict[str, float | int]:
    """Return every metric of the report, named as in `framework.report.compare.DEFINITIONS`.

    Parameters
    ----------
    ts, equity, position : the equity rows, shape (n,): int64 ns ascending, money, and what is nonzero while
        a position is open. Equity below 0 counts as 0: a loss is never more than the account.
    start, start_ts : equity before the first row, and its time (default the first row's).
    pnl, notional : net profit and entry notional of each trade, shape (k,), settlement currency.
    traded : sum of |notional| of all fills. fees, funding, slippage, tokens : sums, settlement currency.
    ambiguous : count of ambiguous bars. decisions : (valid, due), None when the run asked nobody.
    """
    stamps, values = np.asarray(ts, dtype=np.int64), np.asarray(equity, dtype=np.float64)
    curve = np.maximum(np.concatenate(([start], values)), 0.0)
    first = start_ts if start_ts is not None else stamps[0] if stamps.size else 0
    return {
        "start_equity": float(start),
        "final_equity": float(values[-1]) if values.size else float(start),
        **_return_metrics(np.concatenate(([first], stamps)).astype(np.int64), curve, float(start)),
        "exposure": exposure(position),
        **_trade_metrics(np.asarray(pnl, dtype=np.float64), np.asarray(notional, dtype=np.float64)),
        "turnover": turnover(traded, values),
        "fees": float(fees),
        "slippage": float(slippage),
        "funding": float(funding),
        "tokens": float(tokens),
        "ambiguous_bars": int(ambiguous),
        "decision_coverage": NAN if decisions is None else coverage(*decisions),
    }
