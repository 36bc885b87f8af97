"""Metrics against empyrical-reloaded, against hand-computed cases, and their invariants."""

from __future__ import annotations

import gzip
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from framework import metrics
from framework.errors import DataError
from framework.report.compare import DEFINITIONS

REAL = Path(__file__).parents[2] / "shared/data/sample/bitstamp_BTCUSD_1d_2014-2020.csv.gz"
DAY = metrics.DAY
T0 = 19_000 * DAY  # midnight


def real_returns() -> np.ndarray:
    for path in (REAL, *Path("framework/samples").rglob("bitstamp_BTCUSD_1d*")):
        if path.exists():
            rows = gzip.decompress(path.read_bytes()).decode().splitlines()[1:]
            closes = [float(row.split(",")[4]) for row in rows]
            return metrics.simple_returns(closes)
    return metrics.simple_returns(np.cumprod(1 + np.random.default_rng(5).normal(0.001, 0.03, 2000)))


def test_equal_to_empyrical() -> None:
    empyrical = pytest.importorskip("empyrical", reason="empyrical-reloaded is in the test extra")
    seed = int(np.random.default_rng().integers(2**31))
    print(f"seed {seed}")
    rng = np.random.default_rng(seed)
    sets = [rng.normal(rng.normal(0, 0.003), 0.02, n).clip(-1, None) for n in (2, 3, 10, 365, 4_000)]
    sets += [np.r_[rng.normal(0, 0.02, 50), -1.0, 0.0, 0.0], real_returns()]
    for values in sets:
        year = {"annualization": 365}
        pairs = {
            "total_return": (metrics.total_return(values), empyrical.cum_returns_final(values)),
            "cagr": (metrics.cagr(values, 365), empyrical.cagr(values, **year)),
            "volatility": (metrics.volatility(values, 365), empyrical.annual_volatility(values, **year)),
            "sharpe": (metrics.sharpe(values, 365), empyrical.sharpe_ratio(values, **year)),
            "downside": (metrics.downside_deviation(values, 365), empyrical.downside_risk(values, **year)),
            "max_drawdown": (metrics.max_drawdown(values), empyrical.max_drawdown(values)),
            "calmar": (metrics.calmar(values, 365), empyrical.calmar_ratio(values, **year)),
            "omega": (metrics.omega(values), empyrical.omega_ratio(values)),
            "tail_ratio": (metrics.tail_ratio(values), empyrical.tail_ratio(values)),
            "var": (metrics.value_at_risk(values), empyrical.value_at_risk(values)),
            "cvar": (
                metrics.conditional_value_at_risk(values),
                empyrical.conditional_value_at_risk(values),
            ),
        }
        if (values < 0).any():  # a zero denominator is infinite there, NaN here
            pairs["sortino"] = (metrics.sortino(values, 365), empyrical.sortino_ratio(values, **year))
        for name, (ours, theirs) in pairs.items():
            assert ours == pytest.approx(float(theirs), rel=1e-12, abs=1e-15, nan_ok=True), (
                name,
                values.size,
            )


ON_RETURNS = (
    metrics.total_return, metrics.cagr, metrics.volatility, metrics.sharpe, metrics.sortino, metrics.calmar,
    metrics.max_drawdown, metrics.omega, metrics.tail_ratio, metrics.value_at_risk,
    metrics.conditional_value_at_risk, metrics.downside_deviation,
)  # fmt: skip


@pytest.mark.parametrize("function", ON_RETURNS)
def test_edges_of_returns(function) -> None:
    assert math.isnan(function([]))
    for values in (
        [0.0] * 5,
        [0.01] * 5,
        [0.01],
        [-0.5, -0.5, -0.5],
        [-1.0, 0.0],
        [-1.0],
        [float("nan")] * 3,
    ):
        assert not math.isinf(function(values))
    for bad in ([0.1, -1.0000001], [0.0, float("inf")], [-3.0]):
        with pytest.raises(DataError, match=r"row \d"):
            function(bad)


def test_undefined_is_nan() -> None:
    constant = [0.01] * 30
    assert math.isnan(metrics.sharpe(constant))
    assert math.isnan(metrics.sharpe([0.0, 0.0]))
    assert math.isnan(metrics.sortino(constant))
    assert math.isnan(metrics.omega(constant))
    assert math.isnan(metrics.calmar(constant))
    assert metrics.volatility(constant) == 0.0
    assert metrics.max_drawdown(constant) == 0.0
    assert metrics.max_drawdown([-0.5, -0.5]) == -0.75
    assert metrics.total_return([-1.0, 0.0]) == -1.0
    assert metrics.cagr([-1.0]) == -1.0
    assert math.isnan(metrics.cagr([20.0]))  # 21^365 is no number one could print


def test_trades() -> None:
    assert math.isnan(metrics.win_rate([]))
    assert math.isnan(metrics.profit_factor([1.0, 2.0]))
    assert metrics.profit_factor([-1.0]) == 0.0
    assert metrics.profit_factor([3.0, -1.0, -1.0]) == 1.5
    assert metrics.win_rate([3.0, 0.0, -1.0, 1.0]) == 0.5
    assert metrics.expectancy([3.0, -1.0]) == 1.0
    assert metrics.exposure([0.0, 1.0, -2.0, 0.0]) == 0.5
    assert metrics.turnover(300.0, [100.0, 200.0]) == 2.0
    assert math.isnan(metrics.turnover(300.0, [0.0]))
    assert math.isnan(metrics.coverage(0, 0))
    assert metrics.trade_returns([10.0, 1.0], [-100.0, 0.0])[0] == 0.1


def test_days_end_at_midnight_and_are_carried_forward() -> None:
    hour = DAY // 24
    ts = [T0 + hour, T0 + DAY, T0 + DAY + 1, T0 + 3 * DAY + hour]
    days, values = metrics.daily_equity(ts, [1.0, 2.0, 3.0, 6.0])
    assert days.tolist() == [19_000, 19_001, 19_002, 19_003]
    assert values.tolist() == [2.0, 3.0, 3.0, 6.0]  # the row at midnight closes its day; day 3 has no row
    assert metrics.daily_returns(ts, [1.0, 2.0, 3.0, 6.0], start=1.0).tolist() == [1.0, 0.5, 0.0, 1.0]
    assert metrics.daily_returns([], []).size == 0


def test_months() -> None:
    ts = np.array(["2023-12-31T23", "2024-01-01", "2024-02-01", "2024-04-02"], "M8[ns]").astype("i8")
    got = metrics.monthly_returns(ts, [11.0, 12.0, 6.0, 9.0], start=10.0)
    assert [(y, m) for y, m, _ in got] == [(2023, 12), (2024, 1), (2024, 2), (2024, 3), (2024, 4)]
    assert [r for *_, r in got] == pytest.approx([0.2, -0.5, 0.0, 0.0, 0.5])
    assert metrics.monthly_returns([], []) == []


def test_drawdown_span_and_length() -> None:
    assert metrics.drawdown_span([10.0, 12.0, 6.0, 9.0, 12.0, 13.0]) == (1, 2, 4)
    assert metrics.drawdown_span([10.0, 12.0, 6.0, 9.0]) == (1, 2, 3)
    assert metrics.drawdown_span([1.0, 2.0, 2.0]) is None
    assert metrics.drawdown_length([0, 5, 7, 9], [10.0, 12.0, 6.0, 9.0]) == 4
    assert metrics.drawdown_length([], []) == 0


def test_returns_after_nothing_is_left() -> None:
    assert metrics.simple_returns([2.0, 0.0, 0.0]).tolist() == [-1.0, 0.0]
    assert math.isnan(metrics.simple_returns([0.0, 1.0])[0])
    with pytest.raises(DataError, match="row 1"):
        metrics.simple_returns([1.0, -0.1])


def test_summary_names_what_is_defined_and_never_raises() -> None:
    n = 24 * 40
    ts = T0 + (1 + np.arange(n)) * (DAY // 24)
    rng = np.random.default_rng(1)
    equity = 10_000 * np.cumprod(1 + rng.normal(0, 0.004, n))
    for values in (equity, equity[:1], equity[:0], np.full(n, 1e4), equity * 0, equity - 11_000):
        got = metrics.summary(
            ts[: values.size], values, start=10_000.0, position=np.ones(values.size), pnl=[5.0, -2.0],
            notional=[100.0, 100.0], traded=400.0, fees=0.4, ambiguous=2, decisions=(9, 10),
        )  # fmt: skip
        counted = {"orders", "fills", "rejected", "late_orders", "liquidation"}  # by the run itself
        bars = {name for name, one in DEFINITIONS.items() if one.group != "Execution"}  # else of ticks
        assert set(got) | counted == bars
        assert not any(math.isinf(value) for value in got.values())
    full = metrics.summary(ts, equity, start=10_000.0)
    daily = np.r_[10_000.0, equity[23::24]]
    assert full["sharpe"] == pytest.approx(metrics.sharpe(daily[1:] / daily[:-1] - 1), rel=1e-12)
    assert full["max_drawdown"] == metrics.drawdowns(np.r_[10_000.0, equity]).min()
    assert full["calmar"] == full["cagr"] / -full["max_drawdown"]
    assert math.isnan(metrics.summary([], [], start=1.0)["total_return"])
    assert math.isnan(full["decision_coverage"])
    falling = metrics.summary([T0 + DAY], [5_000.0], start=10_000.0, start_ts=T0)
    assert (falling["max_drawdown"], falling["max_drawdown_days"]) == (-0.5, 1.0)


RETURNS = arrays(np.float64, st.integers(2, 60), elements=st.floats(-0.875, 2.0, width=32))


@settings(max_examples=150, deadline=None)
@given(RETURNS, st.floats(0.01, 1e6))
def test_invariants(values: np.ndarray, scale: float) -> None:
    deepest = metrics.max_drawdown(values)
    assert -1.0 <= deepest <= 0.0
    assert metrics.conditional_value_at_risk(values) <= metrics.value_at_risk(values) + 1e-12
    assert metrics.volatility(values) == pytest.approx(metrics.volatility(values[::-1]), rel=1e-9, abs=1e-9)
    assert deepest <= min(float(values.min()), 0.0) + 1e-12
    sharpe, sortino = metrics.sharpe(values), metrics.sortino(values)
    if not math.isnan(sharpe) and not math.isnan(sortino):
        assert math.copysign(1, sharpe) == math.copysign(1, sortino)
    equity = scale * np.cumprod(np.r_[1.0, values + 1.0])
    assert metrics.simple_returns(equity) == pytest.approx(values, rel=1e-9, abs=1e-9)
    assert metrics.drawdowns(equity).min() == pytest.approx(deepest, rel=1e-9, abs=1e-12)
    span = metrics.drawdown_span(equity)
    assert (span is None) == (deepest == 0.0)
    if span is not None:
        assert span[0] < span[1] <= span[2]


@settings(max_examples=100, deadline=None)
@given(arrays(np.float64, st.integers(1, 40), elements=st.floats(-1e6, 1e6, width=32)))
def test_trade_invariants(pnl: np.ndarray) -> None:
    assert 0.0 <= metrics.win_rate(pnl) <= 1.0
    factor = metrics.profit_factor(pnl)
    assert math.isnan(factor) == (not (pnl < 0).any())
    if not math.isnan(factor) and abs(factor - 1) > 1e-6:
        assert (factor > 1.0) == (metrics.expectancy(pnl) > 0.0)
