"""`compare_models`: one strategy and market, decided by several models, side by side."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import polars as pl

from framework.backtest import backtest
from framework.errors import ConfigError, FrameworkError
from framework.market import Market
from framework.report.words import in_sample_only
from framework.result import Result
from framework.run import class_of
from framework.strategy import Analyst, Strategy

NAN = float("nan")
TEXTS = ("strategy", "model", "temperature", "sample", "prompt", "status")
SCHEMA: dict[str, Any] = {
    **dict.fromkeys(TEXTS, pl.String), "temperature": pl.Float64, "sample": pl.Int64,
    "decisions": pl.Int64, "coverage": pl.Float64, "calls": pl.Int64,
    **dict.fromkeys(
        ("total_return_after", "sharpe_after", "sharpe_after_low", "sharpe_after_high", "move_after",
         "move_after_low", "move_after_high", "total_return", "sharpe", "max_drawdown", "right", "brier",
         "skill", "latency_median", "latency_p95", "booked", "spent"), pl.Float64,
    ),
    "fingerprint": pl.String, "error": pl.String,
}  # fmt: skip


def compare_models(
    strategy: Strategy | type[Strategy] | Iterable[Strategy | type[Strategy]], market: Market,
    models: Iterable[str | Analyst], *, temperatures: Iterable[float] = (0.3,), mode: str = "replay",
    client: Mapping[str, Any] | None = None, **options: Any,
) -> pl.DataFrame:
    """Backtest a strategy with each of several models; nothing is optimised and nothing is left out.

    Parameters
    ----------
    strategy
        A class or object, or several (versions of a prompt).
    market
        What is replayed.
    models
        Names of models for `HolySheep`, or analysts.
    temperatures
        Each named model is asked at each of them; an analyst has its own.
    mode
        Of `HolySheep`: "replay" (nothing is paid), "record" or "refresh".
    client
        Further options of `HolySheep` (sample, store, budget, prices ...).
    **options
        Of `backtest`.

    Returns
    -------
    polars.DataFrame
        A row for each strategy, model and temperature, in the order given. `_after` counts from the model's
        cutoff on and is NaN where nothing was decided there; right, brier and skill are of the calls after
        the cutoff, of all where none lies before it, else NaN; move is a fraction. Latencies are seconds,
        booked (into the P&L) and spent (real) USD. A run that fails has its reason in `error`. The best of n
        rows is the best of n tries: its figures are too good by as much as n is large.

    Raises
    ------
    ConfigError
        No model, or one that is neither a name nor an analyst.
    """
    strategies = [strategy] if isinstance(strategy, (Strategy, type)) else list(strategy)
    chosen = list(models) if not isinstance(models, str) else [models]
    if not chosen or not strategies:
        raise ConfigError('models: name at least one, like models=["deepseek-v3.2", "gpt-4.1"]')
    asked = {**(client or {}), "mode": mode}
    warm = tuple(temperatures)
    rows = [
        _row(one, market, model, temperature, asked, options)
        for one in strategies
        for model in chosen
        for temperature in (warm if isinstance(model, str) else (NAN,))
    ]
    return pl.DataFrame(rows, schema=SCHEMA)


def _row(
    strategy: Strategy | type[Strategy], market: Market, model: str | Analyst, temperature: float,
    client: Mapping[str, Any], options: Mapping[str, Any],
) -> dict[str, Any]:
    """Return one row; a failed run keeps its place with its reason."""
    row: dict[str, Any] = {name: NAN for name, kind in SCHEMA.items() if kind == pl.Float64}
    named = model if isinstance(model, str) else getattr(model, "model", None)
    row |= {"strategy": class_of(strategy)[0].__name__, "model": named, "temperature": temperature}
    try:
        result = _result(strategy, market, model, temperature, client, options)
        return row | figures(result)
    except FrameworkError as error:
        return row | {"status": "failed", "error": str(error)}


def _result(
    strategy: Strategy | type[Strategy], market: Market, model: str | Analyst, temperature: float,
    client: Mapping[str, Any], options: Mapping[str, Any],
) -> Result:
    if not isinstance(model, str):
        return backtest(strategy, market, analyst=model, **options)
    from framework.llm.client import HolySheep

    with HolySheep(model, temperature=temperature, **client) as analyst:
        return backtest(strategy, market, analyst=analyst, **options)


def figures(result: Result) -> dict[str, Any]:
    """Return what a row says of a result."""
    about = result.manifest.get("analyst") or {}
    frame, split = result.decisions, result.split or {"after": {}, "before": {}}
    after, judged = split["after"], result.calibration or {}
    calls = judged.get("after") if split["before"] else judged.get("all")
    said = frame.filter(pl.col("status") != "missing")
    ns = said["latency_ns"].to_numpy() if said.height else np.array([NAN])
    metrics = result.metrics
    row = {
        "model": about.get("model") or about.get("name"), "sample": about.get("sample"),
        "temperature": about.get("temperature"), "prompt": about.get("prompt"), "status": result.status,
        "decisions": frame.height, "coverage": metrics.get("decision_coverage"),
        "calls": calls["n"] if calls else 0,
        **{name: metrics.get(name) for name in ("total_return", "sharpe", "max_drawdown")},
        **{name: calls[name] if calls else NAN for name in ("right", "brier", "skill")},
        "latency_median": float(np.median(ns)) / 1e9, "latency_p95": float(np.percentile(ns, 95)) / 1e9,
        "booked": float(frame["cost"].sum()), "spent": NAN if result.spent is None else result.spent,
        "fingerprint": result.fingerprint, "error": None,
    }  # fmt: skip
    if not in_sample_only(result):
        ends = ("", "_low", "_high")
        row |= {f"{name}_after{end}": after.get(f"{name}{end}", NAN)
                for name, these in (("total_return", ("",)), ("sharpe", ends), ("move", ends))
                for end in these}  # fmt: skip
    return row


__all__ = ["compare_models"]
