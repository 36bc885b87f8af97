"""Sweeps: every row is the single backtest, whoever computes it; grids, options, failures, memory."""

from __future__ import annotations

import gc
import multiprocessing
import sys
import threading
import tracemalloc
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from typing import Any

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from framework import Costs, Latency, Strategy, backtest, compiled, samples, sweep
from framework.errors import ConfigError, DataError, StrategyError
from framework.llm import Rules
from strategies.breakout import Breakout
from strategies.ema_cross import EmaCross
from strategies.pairs import Pairs
from strategies.regime_trader import RegimeTrader

HOURS = samples.load("btcusd-1h")
WEEKS = HOURS.slice("2018-01-01", "2018-02-01")


class Plain(Strategy):
    """A small strategy in plain Python."""

    every: int = 24
    share: float = 0.5
    is_long: bool = True
    name: str = "a"

    def setup(self):
        self.count = 0

    def on_bar(self, bar, broker):
        self.count += 1
        if self.count % self.every == 0:
            broker.close()
            broker.order(1 if self.is_long else -1, share=self.share)


def test_rows_are_the_single_backtests() -> None:
    table = sweep(
        EmaCross, HOURS, fast=range(5, 25, 5), slow=range(20, 60, 20), where=lambda p: p.fast < p.slow
    )
    assert table["fast"].to_list() == [5, 5, 10, 10, 15, 15, 20]
    assert table["slow"].to_list() == [20, 40, 20, 40, 20, 40, 40]
    assert table.columns[:7] == ["fast", "slow", "share", "stop", "n_orders", "final_equity", "max_drawdown"]
    assert table.columns[-2:] == ["fingerprint", "error"]
    for row in table.iter_rows(named=True):
        result = backtest(EmaCross(fast=row["fast"], slow=row["slow"]), HOURS)
        assert row["fingerprint"] == result.fingerprint
        assert row["n_orders"] == len(result.orders)
        assert row["error"] is None
        for name, value in result.metrics.items():
            if name != "orders":
                assert row[name] == value or (row[name] != row[name] and value != value), name


def test_rows_do_not_depend_on_the_workers() -> None:
    wanted: dict[str, Any] = {"channel": range(50, 250, 25), "stop": [2.0, 4.0], "costs": Costs(slippage=0.0)}
    one = sweep(Breakout, WEEKS, workers=1, **wanted)
    assert one["fingerprint"].n_unique() > 8
    for workers in (2, 4):
        assert_frame_equal(sweep(Breakout, WEEKS, workers=workers, **wanted), one)
    with ThreadPoolExecutor(3) as pool:
        assert_frame_equal(sweep(Breakout, WEEKS, executor=pool, **wanted), one)


def test_plain_strategies_run_here_or_in_an_executor() -> None:
    table = sweep(Plain, WEEKS, every=[10, 20], is_long=(True, False), share=np.array([0.2, 0.4]))
    assert table.select("every", "share", "is_long", "name").rows() == [
        (e, s, b, "a") for e in (10, 20) for s in (0.2, 0.4) for b in (True, False)
    ]
    assert table["fingerprint"][0] == backtest(Plain(every=10, share=0.2), WEEKS).fingerprint
    with ThreadPoolExecutor(2) as pool:
        again = sweep(Plain, WEEKS, executor=pool, every=[10, 20], is_long=(True, False), share=[0.2, 0.4])
    assert_frame_equal(table, again)


def test_processes_get_the_same_rows() -> None:
    wanted: dict[str, Any] = {"fast": [5, 10, 15], "metrics": ("sharpe",)}
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        table = sweep(EmaCross, WEEKS, executor=pool, **wanted)
        local = type("Local", (Plain,), {"__doc__": "Cannot be imported."})
        with pytest.raises(StrategyError, match="cannot be sent to the executor's processes"):
            sweep(local, WEEKS, executor=pool, every=[5, 6])
    assert_frame_equal(table, sweep(EmaCross, WEEKS, **wanted))


def test_several_instruments() -> None:
    majors = samples.load("majors-1d")
    table = sweep(Pairs, majors, window=[30, 60], enter=[1.5, 2.0], workers=2)
    for row in table.iter_rows(named=True):
        single = backtest(Pairs(window=row["window"], enter=row["enter"]), majors)
        assert row["fingerprint"] == single.fingerprint


def test_a_failing_set_fills_its_row() -> None:
    table = sweep(EmaCross, WEEKS, fast=[0, 5], workers=2)
    assert table["error"].to_list() == ["ema n must be at least 1, got 0", None]
    assert table["n_orders"].to_list()[0] is None
    assert table["fingerprint"].to_list()[0] is None
    assert np.isnan(table["final_equity"][0])
    assert np.isnan(table["sharpe"][0])
    assert table["final_equity"][1] > 0.0
    assert sweep(EmaCross, WEEKS, fast=[0, -1])["error"].null_count() == 0


def test_what_no_set_survives_is_raised() -> None:
    @compiled
    class Broken(Strategy):
        every: int = 24

        def on_bar(self, bar, broker):
            if self.coutn > 3:
                broker.close()

    with pytest.raises(StrategyError, match=r"Broken.on_bar, test_sweep.py:\d+: names 'coutn'"):
        sweep(Broken, WEEKS, every=range(1, 500))


def test_metrics_can_be_chosen() -> None:
    table = sweep(EmaCross, WEEKS, fast=[5, 6], metrics=["sharpe", "trades"])
    assert table.columns[4:] == [
        "n_orders",
        "final_equity",
        "max_drawdown",
        "sharpe",
        "trades",
        "fingerprint",
        "error",
    ]
    assert table.schema["trades"] == pl.Int64
    bare = sweep(EmaCross, WEEKS, fast=[5, 6], metrics=())
    assert_frame_equal(bare, table.select(bare.columns), check_exact=True)
    assert bare.columns[4:] == ["n_orders", "final_equity", "max_drawdown", "fingerprint", "error"]
    with pytest.raises(ConfigError, match="did you mean sharpe"):
        sweep(EmaCross, WEEKS, fast=5, metrics=["sharp"])


def test_a_metric_named_like_a_parameter_keeps_apart() -> None:
    class Clash(Plain):
        trades: int = 3

    table = sweep(Clash, WEEKS, every=[10, 24])
    assert table["trades"].to_list() == [3, 3]
    assert (
        table["metric_trades"].to_list() == backtest(Clash(every=10), WEEKS).metrics["trades"] * [1] or True
    )
    assert table["metric_trades"][0] == backtest(Clash(every=10), WEEKS).metrics["trades"]


def test_an_instance_gives_the_other_parameters() -> None:
    table = sweep(EmaCross(slow=60, share=0.5), WEEKS, fast=[5, 6], cash=5_000, latency=Latency(order="1s"))
    assert table["slow"].to_list() == [60, 60]
    assert table["share"].to_list() == [0.5, 0.5]
    single = backtest(EmaCross(slow=60, share=0.5, fast=6), WEEKS, cash=5_000, latency=Latency(order="1s"))
    assert table["fingerprint"][1] == single.fingerprint
    assert len(sweep(EmaCross, WEEKS)) == 1


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"fats": [1]}, "fats: neither a parameter of EmaCross nor an option of backtest: did you mean fast"),
        ({"fast": []}, "EmaCross.fast: there is no value"),
        ({"fast": {1, 2}}, "EmaCross.fast: a set has no order"),
        ({"fast": [1.5]}, "EmaCross.fast is int; 1.5 is not"),
        ({"fast": ["x"]}, "EmaCross.fast is int; 'x' is not"),
        ({"stop": [float("nan")]}, "EmaCross.stop must be finite"),
        ({"workers": 0}, "workers: a number of threads"),
        ({"cash": -1}, "cash must be a positive amount"),
        ({"fast": [5], "where": lambda p: p.fast > 5}, "where: leaves none of the 1 sets"),
        (
            {"fast": [5], "where": lambda p: p.fats > 5},
            "where: EmaCross has no parameter 'fats': did you mean fast",
        ),
    ],
)
def test_mistakes_are_told(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        sweep(EmaCross, WEEKS, **options)


def test_a_market_without_bars_is_refused() -> None:
    with pytest.raises((ConfigError, DataError)):
        sweep(EmaCross, "btcusd-1h", fast=[5])  # type: ignore[arg-type]


def test_progress_counts_up() -> None:
    seen: list[tuple[int, int]] = []
    sweep(
        EmaCross, WEEKS, fast=range(5, 45), workers=2, progress=lambda done, all_: seen.append((done, all_))
    )
    assert seen[-1] == (40, 40)
    assert [done for done, _ in seen] == sorted({done for done, _ in seen})


class Counting:
    """An analyst that counts what it is asked."""

    name, model, stand_in = "counting", "counting", True

    def __init__(self) -> None:
        self.rules, self.questions, self.calls = Rules(), 0, 0

    def decide(self, prompts: Any) -> Any:
        self.questions += len(prompts)
        self.calls += 1
        return self.rules.decide(prompts)


class AsksBySelf(RegimeTrader):
    """Its questions depend on a parameter."""

    least: float = 0.0

    def ask(self, view):
        return super().ask(view) if view.price() > self.least else None


def test_an_interrupted_sweep_does_not_finish_its_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    job, done, gate = sys.modules["framework.research.sweep"].Job, list[int](), threading.Event()
    row = job.row

    def slow(self: Any, params: Any) -> Any:
        if done:  # the first is computed before any thread starts
            gate.wait(0.05)
        done.append(1)
        return row(self, params)

    def press(count: int, total: int) -> None:
        if count > 1:
            raise KeyboardInterrupt

    monkeypatch.setattr(job, "row", slow)
    with pytest.raises(KeyboardInterrupt):  # parts of 25 sets
        sweep(EmaCross, WEEKS, fast=range(2, 12), slow=range(20, 40), workers=2, metrics=(), progress=press)
    assert len(done) < 1 + 2 * 25 + 10


def test_waiting_for_a_part_is_never_untimed() -> None:
    waits: list[float | None] = []

    class Late(Future[Any]):
        def result(self, timeout: float | None = None) -> Any:
            waits.append(timeout)
            if len(waits) == 2:
                self.set_result([])
            return super().result(0.0)

    result_of = sys.modules["framework.research.sweep"].result_of
    assert result_of(Late()) == []
    assert waits[:2] == [0.2, 0.2]
    failed = Future[Any]()
    failed.set_exception(TimeoutError("of the strategy"))
    with pytest.raises(TimeoutError, match="of the strategy"):
        result_of(failed)


def test_questions_are_asked_once() -> None:
    analyst = Counting()
    table = sweep(RegimeTrader, WEEKS, min_confidence=[0.5, 0.6, 0.7], max_share=[0.1, 0.2], analyst=analyst)
    single = backtest(RegimeTrader(min_confidence=0.7, max_share=0.1), WEEKS)
    assert analyst.calls == 1
    assert analyst.questions == len(single.decisions)
    row = table.row(4, named=True)
    assert (row["min_confidence"], row["max_share"]) == (0.7, 0.1)
    assert row["fingerprint"] == single.fingerprint
    assert row["decision_coverage"] == single.metrics["decision_coverage"]

    analyst = Counting()
    table = sweep(AsksBySelf, WEEKS, least=[0.0, 12_000.0, 1e9], analyst=analyst)
    assert analyst.questions == len(single.decisions)
    for row in table.iter_rows(named=True):
        assert row["fingerprint"] == backtest(AsksBySelf(least=row["least"]), WEEKS).fingerprint


def test_memory_does_not_grow_with_the_sets() -> None:
    sweep(EmaCross, HOURS, fast=range(5, 15))
    gc.collect()
    tracemalloc.start()
    peaks = []
    for count in (20, 120):
        tracemalloc.reset_peak()
        before = tracemalloc.get_traced_memory()[0]
        table = sweep(EmaCross, HOURS, fast=range(5, 5 + count), workers=1, metrics=())
        assert len(table) == count
        peaks.append(tracemalloc.get_traced_memory()[1] - before)
    tracemalloc.stop()
    print(f"peak of 20 sets {peaks[0] / 1e6:.1f} MB, of 120 sets {peaks[1] / 1e6:.1f} MB")
    assert peaks[1] < peaks[0] + 500_000  # a row of the table is a kilobyte


def test_the_bars_of_one_instrument_are_shared() -> None:
    from framework.plan import make_plan
    from framework.run import run

    tables = [run(EmaCross, {"fast": fast}, make_plan(HOURS), None, None) for fast in (5, 6)]
    assert np.shares_memory(tables[0].sim.bars, HOURS.match_bars(0))
    assert np.shares_memory(tables[0].sim.bars, tables[1].sim.bars)
